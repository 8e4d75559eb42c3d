package action

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// DefaultMaxWaiting is how many IDs may wait for one action.
const DefaultMaxWaiting = 10_000

// Options are what a Runner needs besides its Definition. All may be zero.
type Options struct {
	// Shell executes commands. Default: /bin/sh.
	Shell string
	// Python runs actions that are written in it. Default: python3.
	Python string
	// MaxWaiting is how many IDs may wait. What waits longest is dropped for more. Default: DefaultMaxWaiting.
	MaxWaiting int
	// NoIPv6 leaves out the start for IPv6 where an action starts for both families at once.
	NoIPv6 bool
	// Hostname and FQDN are what <sh-hostname> and <fq-hostname> say.
	Hostname, FQDN string
	// Host finds the name of an address for <ip-host>; empty if it has none. It may take its time.
	Host func(ident.ID) string
	// History tells what else is known of an ID, in its jail or in all: the lines of its failures and their
	// number. False if nothing is. It may take its time.
	History func(id ident.ID, allJails bool) (lines []string, failures int, ok bool)
	// Counts gives the figures of the jail. It may take its time.
	Counts func() Counts
	// Record is told what happens, by the goroutine of Run and those of callers whose wish drops another.
	Record func(Event)
}

// Again is the failure of an ID that is banned.
type Again struct {
	Ticket  Ticket    // the ban
	Failure time.Time // when it failed
}

// Status is how an action stands.
type Status struct {
	Name    string
	Started []string // the families whose actionstart was executed; "" is an action without families
	Waiting int      // IDs, and wishes for all of them
	Running string   // the operation whose command is being executed, if one is
	Since   time.Time
	// Executed are the commands that have ended, Failed those of them that did not succeed, TimedOut those of
	// these that took too long.
	Executed, Failed, TimedOut uint64
	Canceled, Dropped          uint64 // bans that were over before their turn, wishes for which there was no room
	Err                        error  // of the last operation that failed
	ErrAt                      time.Time
	// FailedLast is set while nothing has succeeded since.
	FailedLast bool
}

// performer does what an action can do. What fails is in the commands that it has executed, or in the error.
type performer interface {
	configure(*program)
	start(context.Context) error
	ban(context.Context, Ticket) error
	unban(context.Context, Ticket) error
	prolong(context.Context, Ticket) error
	again(ctx context.Context, t Ticket, failure time.Time) (rebanned bool, err error)
	flush(context.Context) error
	consistent(ctx context.Context, refuse string) error
	reload(context.Context) error
	stop(context.Context) error
	startedFamilies() []string
}

// Runner runs one action of one jail. Make one with New; it works while Run does. Its other methods are safe
// for concurrent use and never wait for a command.
type Runner struct {
	options Options
	mailbox *mailbox
	program *program  // belongs to the goroutine of Run
	does    performer // too

	mu         sync.Mutex // guards the fields below
	definition Definition // as of the last Reload
	whole      bool       // it has an actionflush
	status     Status
}

// New makes a runner, and starts nothing. The error names an option of the definition that refers to itself.
func New(d Definition, o Options) (*Runner, error) {
	if o.Shell == "" {
		o.Shell = "/bin/sh"
	}
	if o.MaxWaiting <= 0 {
		o.MaxWaiting = DefaultMaxWaiting
	}
	p, err := compile(d, &o)
	if err != nil {
		return nil, err
	}
	if o.Python == "" {
		o.Python = "python3"
	}
	r := &Runner{options: o, mailbox: newMailbox(o.MaxWaiting), program: p, definition: d, whole: p.has(opFlush), status: Status{Name: d.Name}}
	var number uint64
	m := &machine{program: p, options: &r.options, record: r.record, executed: map[string]map[string]string{}}
	m.execute = func(ctx context.Context, op string, c Command, limit time.Duration) bool {
		return r.execute(op, func() Result {
			res := shell{path: r.options.Shell}.run(ctx, c, limit)
			number++
			res.Number = number
			return res
		})
	}
	r.does = m
	if d.Python != "" {
		r.does = &python{machine: m, timed: func(op string, f func() Result) bool {
			return r.execute(op, func() Result {
				res := f()
				number++
				res.Number = number
				return res
			})
		}}
	}
	return r, nil
}

// Run executes what is wished, until Stop has had its turn or ctx ends; then the command under way is killed.
// It is called once.
func (r *Runner) Run(ctx context.Context) error {
	if p, is := r.does.(*python); is {
		defer p.close()
	}
	for {
		wishes, ok := r.mailbox.take()
		if !ok {
			select {
			case <-r.mailbox.notify:
				continue
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		for _, w := range wishes {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			r.carryOut(ctx, w)
			if w.kind == wishStop {
				return nil
			}
		}
	}
}

// carryOut does what one wish asks for.
func (r *Runner) carryOut(ctx context.Context, w wish) {
	m := r.does
	switch w.kind {
	case wishStart:
		r.settle(opStart, nil, m.start(ctx))
	case wishBan:
		if !r.program.skips(&w.ticket) {
			r.settle(opBan, &w.ticket, m.ban(ctx, w.ticket))
		}
	case wishUnban:
		r.settle(opUnban, &w.ticket, m.unban(ctx, w.ticket))
	case wishProlong:
		if !r.program.skips(&w.ticket) {
			r.settle(opProlong, &w.ticket, m.prolong(ctx, w.ticket))
		}
	case wishAgain:
		_, err := m.again(ctx, w.again.Ticket, w.again.Failure)
		r.settle(opReban, &w.again.Ticket, err)
	case wishFlush:
		r.flush(ctx, w)
	case wishReload:
		r.program = w.program
		m.configure(w.program)
		r.settle(opReload, nil, m.reload(ctx))
	case wishStop:
		r.settle(opStop, nil, m.stop(ctx))
	}
}

// flush ends all bans: by one command, or one by one.
func (r *Runner) flush(ctx context.Context, w wish) {
	m := r.does
	if !r.program.has(opFlush) {
		for i := range w.tickets {
			if ctx.Err() != nil {
				return
			}
			r.settle(opUnban, &w.tickets[i], m.unban(ctx, w.tickets[i]))
		}
		return
	}
	r.record(Event{Kind: Flushing, Operation: opFlush})
	err := m.flush(ctx)
	r.settle(opFlush, nil, err)
	if err == nil || ctx.Err() != nil {
		return
	}
	r.record(Event{Kind: FlushFailed, Operation: opFlush})
	refuse := ""
	if r.mailbox.stops() && !isTrue(r.program.options["actionrepair_on_unban"]) {
		refuse = opFlush // what is about to be stopped needs no repair
	}
	r.settle(opCheck, nil, m.consistent(ctx, refuse))
}

// settle notes how an operation ended.
func (r *Runner) settle(op string, t *Ticket, err error) {
	r.mu.Lock()
	if err != nil {
		// Which command failed, and how, is the error of the last one, if it was one that failed.
		if !errors.Is(err, errCommand) || r.status.Err == nil {
			r.status.Err = err
		}
		r.status.ErrAt, r.status.FailedLast = time.Now(), true
	}
	r.status.Started = r.does.startedFamilies()
	r.mu.Unlock()
	if err != nil {
		r.record(Event{Kind: Failed, Operation: op, Ticket: t, Err: err})
	}
}

// execute does one thing and tells of it.
func (r *Runner) execute(op string, do func() Result) bool {
	r.mu.Lock()
	r.status.Running, r.status.Since = op, time.Now()
	r.mu.Unlock()
	res := do()
	r.mu.Lock()
	r.status.Running, r.status.Since = "", time.Time{}
	r.status.Executed++
	r.status.FailedLast = !res.OK()
	if !res.OK() {
		r.status.Failed++
		r.status.Err = res.problem(op)
		r.status.ErrAt = time.Now()
	}
	if res.TimedOut {
		r.status.TimedOut++
	}
	r.mu.Unlock()
	r.record(Event{Kind: Executed, Operation: op, Result: &res})
	return res.OK()
}

// problem says in a few words why a command did not succeed.
func (r *Result) problem(op string) error {
	switch {
	case r.Err != nil:
		return fmt.Errorf("%s: %w", op, r.Err)
	case r.TimedOut:
		return fmt.Errorf("%s: ended after %v", op, r.Limit)
	case r.Stopped:
		return fmt.Errorf("%s: ended, since the action had to", op)
	case r.Signal != 0:
		return fmt.Errorf("%s: killed by signal %d", op, r.Signal)
	}
	if lines := r.Stderr.Lines(); len(lines) > 0 {
		return fmt.Errorf("%s: exit status %d: %s", op, r.Exit, lines[0])
	}
	return fmt.Errorf("%s: exit status %d", op, r.Exit)
}

// record tells of an event.
func (r *Runner) record(e Event) {
	if r.options.Record == nil {
		return
	}
	r.mu.Lock()
	e.Jail, e.Action = r.definition.Jail, r.definition.Name
	r.mu.Unlock()
	r.options.Record(e)
}

// Start is for the start of the jail: actionstart is executed, unless the action is started by its first ban.
func (r *Runner) Start() { r.mailbox.putAll(wish{kind: wishStart}) }

// Ban asks for a ban.
func (r *Runner) Ban(t Ticket) { r.put(wish{kind: wishBan, ticket: t}) }

// Unban asks for the end of a ban. One that has not been carried out never will be.
func (r *Runner) Unban(t Ticket) { r.put(wish{kind: wishUnban, ticket: t}) }

// Prolong tells that a ban lasts longer.
func (r *Runner) Prolong(t Ticket) { r.put(wish{kind: wishProlong, ticket: t}) }

// Again tells that an ID failed while it is banned: if a repair has lost its ban, it is banned again.
func (r *Runner) Again(a Again) { r.put(wish{kind: wishAgain, ticket: a.Ticket, again: a}) }

func (r *Runner) put(w wish) {
	for _, x := range r.mailbox.put(w) {
		r.record(Event{Kind: Dropped, Operation: operations[x.kind], Ticket: &x.ticket})
	}
}

// Flush asks for the end of all bans of the jail: these are the tickets.
func (r *Runner) Flush(tickets []Ticket) {
	r.mu.Lock()
	whole := r.whole
	r.mu.Unlock()
	r.mailbox.flush(tickets, whole)
}

// ErrOtherKind is for a reload that would make an action of commands one in Python, or the other way round: they
// have nothing in common, so the old one has to end its bans and stop, and a new one to begin.
var ErrOtherKind = errors.New("an action of commands and one in Python cannot take each other's place")

// Reload changes the definition for all that comes after what waits, and executes actionreload. An error
// changes nothing: ErrOtherKind, or that of New.
func (r *Runner) Reload(d Definition) error {
	p, err := compile(d, &r.options)
	if err != nil {
		return err
	}
	r.mu.Lock()
	if (d.Python == "") != (r.definition.Python == "") {
		r.mu.Unlock()
		return fmt.Errorf("jail %s, action %s: %w", d.Jail, d.Name, ErrOtherKind)
	}
	r.definition, r.whole = d, p.has(opFlush)
	r.mu.Unlock()
	r.mailbox.putAll(wish{kind: wishReload, program: p})
	return nil
}

// Stop asks for actionstop where something is started, and for the end of Run. What is wished after it is
// not done.
func (r *Runner) Stop() { r.mailbox.putAll(wish{kind: wishStop}) }

// Status tells how the action stands.
func (r *Runner) Status() Status {
	r.mu.Lock()
	st := r.status
	st.Name = r.definition.Name
	r.mu.Unlock()
	st.Waiting, st.Canceled, st.Dropped = r.mailbox.figures()
	return st
}
