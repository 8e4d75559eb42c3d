package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// Parts is what an agent is made of. All that are told something, and Reasons, may be nil; the others are
// required.
type Parts struct {
	Store    Store
	Firewall Firewall
	Book     *jail.Book
	Resolver *Resolver
	Log      *slog.Logger
	Lists    Lists  // nil: there are none
	Outbox   Outbox // nil: nothing is reported

	// Reload reads the configuration again. An error means that it could not be read at all.
	Reload func() (Options, error)

	// Record is told every decision as it is made and Ignored every failure that an ignore list took
	// out, one at a time and in order for each jail; they write fail2ban's log lines.
	Record  func(jail.Decision)
	Ignored func(jailName string, id ident.ID, by string, t time.Time)
	// Action is told what happens to actions that are scripts, as it happens, from several goroutines.
	Action func(action.Event)

	// Trouble is told when a part of the agent stops to work, and with nil when it works again. It may be
	// called from several goroutines, and must not wait; so must Configured not.
	Trouble func(part string, err error)
	// Configured is told of each change of the configuration, and of each that could not be made.
	Configured func(Configuration)
	// Reasons tells what else is wrong with the process, for its health.
	Reasons func() []string

	// Hooks tells who handles packets on this machine besides the firewall, and what could pass by it; nil
	// tells nothing.
	Hooks func(ctx context.Context) (hooks []control.Hook, warnings []string, err error)

	// Ready is called once, when the bans of the last run are enforced again and the logs are read.
	Ready func()

	// About is what status tells of the process: version, PID, configuration, database.
	About control.Status
}

// readyWait is how long a start waits for the kernel to have taken the bans of the last run.
const readyWait = 10 * time.Second

// Agent runs jails. Make one with New; it starts with Run.
type Agent struct {
	parts  Parts
	engine *engine
	events *events
	health *health
	source *sources
	script *scripts

	stop    chan struct{} // closed when somebody asks for the end over the control socket
	stopped sync.Once
	keep    atomic.Bool // the firewall keeps its bans when we end
	started time.Time

	reloading sync.Mutex // held for the whole of a reload, so that two cannot mix

	mu      sync.Mutex // guards the fields below
	options Options
	ctx     context.Context //nolint:containedctx // the readers' life, which reloads started by peers must share
}

// New makes an agent of the parts, with a first configuration.
func New(p Parts, o Options) *Agent {
	a := &Agent{
		parts: p, options: o,
		events: newEvents(p.Record, p.Ignored), health: newHealth(p.Log, p.Trouble),
		stop: make(chan struct{}), started: time.Now(),
	}
	a.engine = newEngine(p.Book, p.Store, p.Firewall, a.events, a.health, p.Log)
	a.source = newSources(a.engine, p.Resolver, p.Log)
	a.source.lists = p.Lists
	a.script = newScripts(a.engine, p.Resolver, p.Log, p.Action)
	a.engine.scripts = a.script
	a.engine.outbox = p.Outbox
	return a
}

// Run restores the bans of the last run, then follows the logs until ctx ends or Stop is called. The
// end follows the flow: readers, engine with its last commit, firewall. An error names the part whose
// failure ended the run. Run is called once.
func (a *Agent) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	if err := a.restore(ctx); err != nil {
		close(a.engine.ended) // it never ran: whoever asks it something must not wait
		return err
	}
	fwCtx, endFirewall := context.WithCancel(context.WithoutCancel(ctx))
	defer endFirewall()
	fwEnded := make(chan error, 1)
	go func() { fwEnded <- a.parts.Firewall.Run(fwCtx) }()

	endEngine := make(chan struct{})
	go a.engine.run(endEngine)

	a.mu.Lock()
	a.ctx = ctx
	jails := a.options.Jails
	a.mu.Unlock()

	// Without a firewall within this time the logs are followed all the same; status says what it lacks.
	syncCtx, endSync := context.WithTimeout(ctx, readyWait)
	if err := a.parts.Firewall.Sync(syncCtx); err != nil && ctx.Err() == nil {
		a.parts.Log.Error("the bans of the last run are not in force yet; it is tried again", "err", err)
	}
	endSync()

	var failure error
	if err := a.source.apply(ctx, jails); err != nil {
		if ctx.Err() == nil {
			failure = fmt.Errorf("follow the logs: %w", err)
		}
	} else {
		if a.parts.Ready != nil {
			a.parts.Ready()
		}
		select {
		case <-ctx.Done():
		case <-a.stop:
		case err := <-fwEnded:
			fwEnded <- err
			failure = fmt.Errorf("the firewall has ended: %w", orUnsaid(err))
		}
	}

	cancel()
	a.source.wait()
	close(endEngine)
	<-a.engine.ended
	a.script.endAll()
	endFirewall()
	if err := <-fwEnded; err != nil && failure == nil && !errors.Is(err, context.Canceled) {
		failure = fmt.Errorf("the firewall has ended: %w", err)
	}
	keep := a.keep.Load() || failure != nil
	if !keep {
		a.repeal()
	}
	if err := a.parts.Firewall.Close(keep); err != nil {
		failure = errors.Join(failure, fmt.Errorf("give the firewall up: %w", err))
	}
	return failure
}

// repeal tells that the bans in force end with the daemon; they are remembered for the next start. The engine has
// ended.
func (a *Agent) repeal() {
	one := make([]jail.Decision, 1)
	for _, name := range a.engine.book.Jails() {
		for _, b := range a.engine.book.Status(name).Banned {
			one[0] = jail.Decision{Kind: jail.Unban, Key: b.Key, Ban: b, Time: time.Now(), Reason: jail.JailRemoved}
			a.events.publish(one)
		}
	}
}

// orUnsaid makes sure that an end has a reason to name.
func orUnsaid(err error) error {
	if err == nil {
		return errors.New("without saying why")
	}
	return err
}

// restore takes the bans, tallies and positions of the last run from the store, and wishes the
// firewall what follows. Nothing runs yet, so the engine's state is free to touch.
func (a *Agent) restore(ctx context.Context) error {
	snapshot, err := a.parts.Store.Load()
	if err != nil {
		return fmt.Errorf("load the database: %w", err)
	}
	e := a.engine
	e.restorePositions(snapshot.Positions)
	a.source.mu.Lock()
	a.source.jails = a.options.Jails
	a.source.prepare()
	a.source.mu.Unlock()
	for _, j := range a.options.Jails {
		e.book.SetJail(j.Policy)
	}
	a.parts.Firewall.SetScopes(scopes(a.options.Jails))
	a.script.apply(a.options.Jails, true)

	// Whom a jail ignores now it does not ban again.
	snapshot.Bans = slices.DeleteFunc(snapshot.Bans, func(b jail.Ban) bool {
		g := a.source.ignorers[b.Jail]
		if g == nil {
			return false
		}
		by, ignored := g.listed(ctx, b.ID)
		if ignored {
			a.events.ignored(b.Jail, b.ID, by, b.Start)
		}
		return ignored
	})
	// One decision at a time: those on 100,000 bans would take more memory than all the rest.
	wishes := make([]firewall.Wish, 0, len(snapshot.Bans))
	one := make([]jail.Decision, 1)
	for one[0] = range e.book.Restoring(snapshot.Snapshot, time.Now()) {
		if w, ok := wish(one[0]); ok {
			wishes = append(wishes, w)
		}
		a.script.submit(one)
		e.events.publish(one)
		e.staged++
	}
	a.parts.Firewall.Submit(wishes)
	return nil
}

func scopes(jails []Jail) []firewall.Scope {
	var all []firewall.Scope
	for _, j := range jails {
		all = append(all, j.Scopes...)
	}
	return all
}

// reload reads the configuration and brings what runs in line with it: jails that are gone end with
// their bans, new ones start, others keep their bans, tallies and places. Nothing is touched before
// the new configuration has been read and checked.
func (a *Agent) reload(ctx context.Context) (control.ReloadResult, error) {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	o, err := a.parts.Reload()
	if err != nil {
		a.configured(Configuration{Reload: true}, err)
		return control.ReloadResult{Problems: []control.Problem{{Severity: "error", Message: err.Error()}}}, nil
	}
	a.mu.Lock()
	old, run := a.options, a.ctx
	for _, j := range old.Jails {
		if slices.Contains(o.Broken, j.Name()) {
			o.Jails = append(o.Jails, j)
		}
	}
	a.options = o
	a.mu.Unlock()
	if run == nil {
		return control.ReloadResult{}, errStarting
	}

	err = a.change(ctx, run, old, o, true)
	a.configured(Configuration{Reload: true, Options: o}, err)
	if err != nil {
		return control.ReloadResult{}, err
	}
	result := control.ReloadResult{Applied: true, Problems: o.Problems}
	for _, j := range o.Jails {
		result.Jails = append(result.Jails, j.Name())
	}
	slices.Sort(result.Jails)
	return result, nil
}

// Configuration is a change of the configuration.
type Configuration struct {
	Reload  bool    // by a reload; otherwise by a command
	Options Options // as they are now
	Err     error   // why it could not be made, or not wholly
}

func (a *Agent) configured(c Configuration, err error) {
	if c.Err = err; a.parts.Configured != nil {
		a.parts.Configured(c)
	}
}

// change brings what runs from the old options to new ones. It is called with reloading held; run is the
// readers' life. With reload, actions are told of it that have not changed.
func (a *Agent) change(ctx, run context.Context, old, o Options, reload bool) error {
	gone := map[string]bool{}
	for _, j := range old.Jails {
		gone[j.Name()] = true
	}
	for _, j := range o.Jails {
		delete(gone, j.Name())
	}
	err := a.engine.do(ctx, func() {
		now := time.Now()
		var decisions []jail.Decision
		a.script.endJails(gone)
		for name := range gone {
			decisions = append(decisions, a.engine.book.RemoveJail(name, now)...)
		}
		a.engine.enforce(decisions)
		for _, j := range o.Jails {
			a.engine.book.SetJail(j.Policy)
		}
		a.parts.Firewall.SetScopes(scopes(o.Jails))
		a.script.apply(o.Jails, reload)
		decisions = nil
		for _, j := range o.Jails {
			decisions = append(decisions, a.engine.book.Revive(j.Name(), now)...)
		}
		a.engine.enforce(decisions)
		a.engine.wishAgain()
	})
	if err != nil {
		return err
	}
	if err := a.source.apply(run, o.Jails); err != nil {
		return fmt.Errorf("follow the logs: %w", err)
	}
	return nil
}

// Stop begins the end of Run and returns at once. With keep, the firewall keeps its bans.
func (a *Agent) Stop(_ context.Context, keep bool) error {
	a.stopped.Do(func() {
		a.keep.Store(keep)
		close(a.stop)
	})
	return nil
}

var _ Store = (*store.DB)(nil)
