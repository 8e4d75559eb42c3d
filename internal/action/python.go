package action

import (
	"bufio"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"
)

// driver is the program that runs an action written in Python.
//
//go:embed driver.py
var driver string

// maxAnswer is how long a line of the driver's may be.
const maxAnswer = 1 << 20

// errGone is for an interpreter that has ended, or says what it should not.
var errGone = errors.New("the interpreter has ended")

// python is an action written in Python, in an interpreter that runs as long as the action. It belongs to the
// goroutine of Runner.Run.
type python struct {
	*machine                                       // for its values
	timed    func(op string, f func() Result) bool // counts and tells of an execution

	process *process
	in      *os.File
	answers chan answer
	has     map[string]bool // the methods of the action
	skips   bool            // it does not want to know of bans of an earlier run
	begun   bool            // its start has succeeded
	lost    error           // why the interpreter that ran before has ended
}

// answer is a line of the driver's: a question, or the end of a request.
type answer struct {
	Ask   *string  `json:"ask"`
	Done  bool     `json:"done"`
	Error string   `json:"error"`
	Has   []string `json:"has"`
	// NoRestored is set by an action that does not want to know of bans of an earlier run.
	NoRestored bool `json:"norestored"`
	// Missing is the Python module that is not there, of an action that wants one.
	Missing string `json:"missing"`
}

// request is what the driver is asked to do.
type request struct {
	Op      string            `json:"op"`
	File    string            `json:"file,omitempty"`
	Jail    string            `json:"jail,omitempty"`
	Name    string            `json:"name,omitempty"`
	BanTime int64             `json:"bantime,omitempty"`
	Params  map[string]string `json:"params,omitempty"`
	Names   []string          `json:"names,omitempty"`
}

// infoNames are what an action finds in what it is told of a ban, besides what the filter captured.
var infoNames = []string{
	"ip", "family", "ip-rev", "ip-host", "fid", "failures", "time", "bantime", "bancount", "matches", "restored",
	"ipmatches", "ipjailmatches", "ipfailures", "ipjailfailures", "raw-ticket",
	"jail.banned", "jail.banned_total", "jail.found", "jail.found_total",
}

// open starts the interpreter, if it does not run, and has it load the action.
func (p *python) open(ctx context.Context) error {
	if p.process != nil {
		return nil
	}
	reader, writer, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("make a pipe: %w", err)
	}
	cmd := exec.Command(p.options.Python, "-c", driver) //nolint:noctx,gosec // its end is ours; the program is named by the daemon
	cmd.Stdin = reader
	answers := make(chan answer)
	p.process, err = startProcess(cmd, func(lines io.Reader) { listen(lines, answers) })
	_ = reader.Close()
	if err != nil {
		_ = writer.Close()
		return fmt.Errorf("%w (actions written in Python need python3, and most of them the Python modules of fail2ban)", err)
	}
	p.in, p.answers = writer, answers
	if p.lost != nil {
		p.record(Event{Kind: Restarted, Err: p.lost})
		p.lost = nil
	}
	params := map[string]string{}
	for _, x := range p.program.Params {
		params[x.Name] = x.Value
	}
	a, err := p.ask(ctx, request{
		Op: "load", File: p.program.Python, Jail: p.program.Jail, Name: p.program.Name,
		BanTime: int64(p.program.BanTime / time.Second), Params: params,
	}, nil)
	if err != nil {
		out := p.close()
		if lines := out.Lines(); errors.Is(err, errGone) && len(lines) > 0 {
			err = fmt.Errorf("%w: %s", err, lines[len(lines)-1])
		}
		if a.Missing == "fail2ban" || strings.HasPrefix(a.Missing, "fail2ban.") {
			err = fmt.Errorf("%w (this action needs the Python modules of fail2ban: leave its package installed, or name their folder in PYTHONPATH)", err)
		}
		return fmt.Errorf("load %s: %w", p.program.Python, err)
	}
	p.skips, p.has = a.NoRestored, map[string]bool{}
	for _, name := range a.Has {
		p.has[name] = true
	}
	return nil
}

// listen turns the lines of the driver into answers. What is no answer ends it.
func listen(lines io.Reader, answers chan<- answer) {
	defer close(answers)
	s := bufio.NewScanner(lines)
	s.Buffer(nil, maxAnswer)
	for s.Scan() {
		var a answer
		if json.Unmarshal(s.Bytes(), &a) != nil {
			break
		}
		answers <- a
	}
}

// ask has the driver do something and waits for its answer, answering its own questions on the way.
func (p *python) ask(ctx context.Context, r request, tags *Tags) (answer, error) {
	if err := p.write(r); err != nil {
		return answer{}, err
	}
	timer := time.NewTimer(p.program.Timeout)
	defer timer.Stop()
	for {
		select {
		case a, ok := <-p.answers:
			switch {
			case !ok:
				return a, errGone
			case a.Ask != nil && tags != nil:
				if err := p.write(map[string]any{"value": typedValue(*a.Ask, *tags)}); err != nil {
					return a, err
				}
				continue
			case a.Error != "":
				return a, errors.New(a.Error)
			}
			return a, nil
		case <-timer.C:
			return answer{}, errTimeout
		case <-ctx.Done():
			return answer{}, ctx.Err()
		}
	}
}

// errTimeout is for an action that takes longer than it may.
var errTimeout = errors.New("it takes too long")

// write hands the driver a line. It reads nothing else meanwhile, so a line that does not fit the pipe is read
// at once, or it hangs and the deadline ends it.
func (p *python) write(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write a request: %w", err)
	}
	_ = p.in.SetWriteDeadline(time.Now().Add(p.program.Timeout)) // a pipe has deadlines
	if _, err := p.in.Write(append(b, '\n')); err != nil {
		return fmt.Errorf("%w: %w", errGone, err)
	}
	return nil
}

// typedValue is a value as fail2ban has it: some are numbers.
func typedValue(name string, tags Tags) any {
	if capture, is := strings.CutPrefix(name, "F-"); is {
		capture = strings.ToLower(capture)
		if capture == "id" || capture == "port" {
			capture = "f" + capture
		}
		return tags.Capture(capture)
	}
	text, _ := tags.Value(name)
	switch name {
	case "failures", "time", "bantime", "bancount", "restored", "ipfailures", "ipjailfailures", "jail.banned", "jail.banned_total", "jail.found", "jail.found_total":
		return json.Number(text)
	}
	return text
}

// close ends the interpreter, and gives what it said besides its answers.
func (p *python) close() (stderr Output) {
	if p.process == nil {
		return stderr
	}
	_ = p.in.Close()
	if !wait(p.process.ended, graceTime) { // it ends by itself when nobody asks any more
		p.process.kill()
	}
	go func(answers <-chan answer) {
		for range answers { // what it still says is for nobody
		}
	}(p.answers)
	_, stderr = p.process.outputs()
	_, _ = p.process.reap()
	p.process = nil
	return stderr
}

// call has the action do something, if it can.
func (p *python) call(ctx context.Context, op, method string, tags *Tags) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	if !p.has[method] {
		return nil
	}
	r := request{Op: method}
	if tags != nil {
		r.Names = infoNames
	}
	var failure error
	p.timed(op, func() Result {
		begin := time.Now()
		res := Result{Command: Command{Script: p.program.Python + ": " + method}, Limit: p.program.Timeout, Exit: 0}
		_, failure = p.ask(ctx, r, tags)
		switch {
		case failure == nil:
		case errors.Is(failure, errTimeout):
			res.TimedOut, res.Exit = true, -1
		case ctx.Err() != nil:
			res.Stopped, res.Exit = true, -1
		default:
			res.Exit, res.Err = -1, failure
		}
		if res.TimedOut || res.Stopped || errors.Is(failure, errGone) {
			p.lost, res.Stderr = failure, p.close()
		}
		res.Took = time.Since(begin)
		return res
	})
	if failure != nil {
		return errCommand
	}
	return nil
}

func (p *python) start(ctx context.Context) error {
	err := p.call(ctx, opStart, "start", nil)
	p.begun = err == nil
	return err
}

func (p *python) stop(ctx context.Context) error {
	defer p.close()
	if !p.begun && p.process == nil {
		return nil
	}
	p.begun = false
	return p.call(ctx, opStop, "stop", nil)
}

// about calls a method with what is known of a ban.
func (p *python) about(ctx context.Context, op, method string, t Ticket) error {
	if err := p.open(ctx); err != nil {
		return err
	}
	if t.Restored && p.skips && op != opUnban {
		return nil
	}
	tags := p.values(t, t.family(), false)
	return p.call(ctx, op, method, &tags)
}

func (p *python) ban(ctx context.Context, t Ticket) error { return p.about(ctx, opBan, "ban", t) }

func (p *python) unban(ctx context.Context, t Ticket) error {
	return p.about(ctx, opUnban, "unban", t)
}

func (p *python) prolong(ctx context.Context, t Ticket) error {
	return p.about(ctx, opProlong, "prolong", t)
}

// again does nothing: only commands are checked and repaired.
func (p *python) again(context.Context, Ticket, time.Time) (bool, error) { return false, nil }

func (p *python) flush(context.Context) error { return nil }

func (p *python) consistent(context.Context, string) error { return nil }

// reload loads the action anew, with what it may have become.
func (p *python) reload(ctx context.Context) error {
	if err := p.stop(ctx); err != nil {
		return err
	}
	return p.start(ctx)
}

func (p *python) startedFamilies() []string {
	if p.begun {
		return []string{""}
	}
	return nil
}
