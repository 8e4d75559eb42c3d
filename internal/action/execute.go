package action

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// MaxOutput is how many bytes are kept of what a command prints to each of its two outputs.
const MaxOutput = 64 << 10

// The times that a command gets after it should have ended.
const (
	// graceTime is between SIGTERM and SIGKILL, fail2ban's.
	graceTime = 200 * time.Millisecond
	// drainTime is for what it printed to arrive. Only what it left running, with our pipes open, lets it
	// pass.
	drainTime = 200 * time.Millisecond
	// killTime is for the kernel to end what was killed. What hangs in the kernel is left behind.
	killTime = 2 * time.Second
)

// shell executes commands by a shell.
type shell struct {
	path string // of the shell
}

// run executes one command and waits for its end. It takes no longer than the limit and the times above.
func (s shell) run(ctx context.Context, c Command, limit time.Duration) Result {
	begin := time.Now()
	r := Result{Command: c, Exit: -1, Limit: limit}
	args := append([]string{"-c", c.Script}, c.Args...)
	cmd := exec.Command(s.path, args...) //nolint:noctx // its end is ours: first a signal to the group, then another
	p, err := startProcess(cmd, nil)
	if err != nil {
		r.Err = err
		return r
	}
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-p.ended:
	case <-timer.C:
		r.TimedOut = true
		p.kill()
	case <-ctx.Done():
		r.Stopped = true
		p.kill()
	}
	r.Stdout, r.Stderr = p.outputs()
	state, err := p.reap()
	switch status, ok := state.(syscall.WaitStatus); {
	case err != nil:
		r.Err = err
	case ok && status.Signaled():
		r.Signal = status.Signal()
	case ok:
		r.Exit = status.ExitStatus()
	}
	r.Took = time.Since(begin)
	return r
}

// process is a program in a session of its own.
type process struct {
	pid     int
	ended   chan struct{} // closed when it has ended, before it is reaped: until then its ID is its own
	release chan struct{} // closed to reap it
	reaped  chan struct{}
	err     error // of waiting; set before reaped is closed
	state   *os.ProcessState

	pipes   [2]*os.File
	readers sync.WaitGroup
	kept    [2]keeper
}

// startProcess starts a program, without input unless it has one, and with outputs that we keep in part; what it
// prints is listen's, if there is one, which reads to the end.
func startProcess(cmd *exec.Cmd, listen func(io.Reader)) (*process, error) {
	p := &process{ended: make(chan struct{}), release: make(chan struct{}), reaped: make(chan struct{})}
	var theirs [2]*os.File
	closeAll := func() {
		for i := range theirs {
			for _, f := range []*os.File{theirs[i], p.pipes[i]} {
				if f != nil {
					f.Close()
				}
			}
		}
	}
	for i := range theirs {
		var err error
		if p.pipes[i], theirs[i], err = os.Pipe(); err != nil {
			closeAll()
			return nil, fmt.Errorf("make a pipe: %w", err)
		}
	}
	cmd.Stdout, cmd.Stderr = theirs[0], theirs[1]
	if cmd.Dir == "" {
		cmd.Dir = "/"
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		closeAll()
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p.pid = cmd.Process.Pid
	for i := range theirs {
		theirs[i].Close()
		p.readers.Go(func() {
			if i == 0 && listen != nil {
				listen(p.pipes[i])
				return
			}
			p.kept[i].readAll(p.pipes[i])
		})
	}
	go p.wait(cmd)
	return p, nil
}

// wait notes the end of the program, and reaps it when that is allowed.
func (p *process) wait(cmd *exec.Cmd) {
	for {
		err := unix.Waitid(unix.P_PID, p.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break // it has ended, or cmd.Wait will say why not
		}
	}
	close(p.ended)
	<-p.release
	err := cmd.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		p.err = err
	}
	p.state = cmd.ProcessState
	close(p.reaped)
}

// kill ends the program and all of its process group: it is asked to, and after the grace time forced.
func (p *process) kill() {
	_ = syscall.Kill(-p.pid, syscall.SIGTERM) // there may be nobody left
	wait(nil, graceTime)
	_ = syscall.Kill(-p.pid, syscall.SIGKILL)
	wait(p.ended, killTime)
}

// wait waits for a channel to close, or for the time to pass; it tells whether the channel did.
func wait(ch <-chan struct{}, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ch:
		return true
	case <-timer.C:
		return false
	}
}

// outputs gives what the program printed. What is left running with our pipes open loses them.
func (p *process) outputs() (stdout, stderr Output) {
	for _, f := range p.pipes {
		_ = f.SetReadDeadline(time.Now().Add(drainTime)) // a pipe has deadlines
	}
	p.readers.Wait()
	for _, f := range p.pipes {
		f.Close()
	}
	return p.kept[0].output, p.kept[1].output
}

// errUnkillable is for a program that hangs in the kernel.
var errUnkillable = errors.New("it was killed and has not ended")

// reap gives how the program ended. One that did not is left to itself.
func (p *process) reap() (any, error) {
	close(p.release)
	if !wait(p.reaped, killTime) {
		return nil, errUnkillable
	}
	if p.err != nil {
		return nil, fmt.Errorf("wait for the command: %w", p.err)
	}
	return p.state.Sys(), nil
}

// keeper keeps the beginning of an output and counts the rest.
type keeper struct{ output Output }

func (k *keeper) readAll(r io.Reader) {
	buf := make([]byte, 16<<10)
	for {
		n, err := r.Read(buf)
		room := min(n, MaxOutput-len(k.output.Text))
		k.output.Text = append(k.output.Text, buf[:room]...)
		k.output.More += int64(n - room)
		if err != nil {
			return
		}
	}
}
