package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

const (
	// scriptsWaiting is how many IDs may wait for one script. A restart hands it all bans at once.
	scriptsWaiting = 50_000
	// scriptsEnd is how long the scripts have for the end of all bans when the daemon stops. A service
	// manager kills after 90 seconds.
	scriptsEnd = 60 * time.Second
	// scriptAsks bounds how long a script waits for what a tag asks the engine.
	scriptAsks = 5 * time.Second
)

// scripts runs the actions that are scripts, each by a runner of its own, so that one that hangs delays only
// itself. Nobody waits for a script; what it has not done yet waits in the runner's mailbox.
type scripts struct {
	engine   *engine
	resolver *Resolver
	log      *slog.Logger
	record   func(action.Event) // the log; may be nil
	hostname string
	patience time.Duration // scriptsEnd, less in tests

	ctx    context.Context //nolint:containedctx // the runners' life, which ends after the engine's
	cancel context.CancelFunc
	wg     sync.WaitGroup

	mu    sync.Mutex // guards the field below
	jails map[string][]*script
}

// script is one action of one jail.
type script struct {
	definition action.Definition
	runner     *action.Runner
	done       chan struct{} // closed when its runner has ended
}

// becomes reports whether an action may be another from now on: one of commands is never one in Python.
func (x *script) becomes(d action.Definition) bool {
	return d.Name == x.definition.Name && (d.Python == "") == (x.definition.Python == "")
}

func newScripts(e *engine, r *Resolver, log *slog.Logger, record func(action.Event)) *scripts {
	s := &scripts{engine: e, resolver: r, log: log, record: record, patience: scriptsEnd, jails: map[string][]*script{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.hostname, _ = os.Hostname() // without one the tags that name it are empty
	return s
}

// CheckScript says what is wrong with an action: a tag that refers to itself, or a text without bounds.
func CheckScript(d action.Definition) error {
	_, err := action.New(d, action.Options{})
	return err
}

// apply makes the scripts those of the jails. A jail that is new, or has a new action, is told of the bans
// that stand, as restored ones; one that goes on as it was is told of a reload, if it is one. It is called in the
// engine's goroutine, or before that runs.
func (s *scripts) apply(jails []Jail, reload bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	wanted := map[string]bool{}
	for _, j := range jails {
		wanted[j.Name()] = true
		s.applyJail(j, reload)
	}
	for name, list := range s.jails {
		if !wanted[name] {
			s.end(name, list)
			delete(s.jails, name)
		}
	}
}

// applyJail is apply for one jail. Called with mu held.
func (s *scripts) applyJail(j Jail, reload bool) {
	old := s.jails[j.Name()]
	var list, gone []*script
	for _, x := range old {
		if !slices.ContainsFunc(j.Scripts, x.becomes) {
			gone = append(gone, x)
		}
	}
	s.end(j.Name(), gone)
	for _, d := range j.Scripts {
		at := slices.IndexFunc(old, func(x *script) bool { return x.becomes(d) })
		if at < 0 {
			if x := s.begin(j.Name(), d); x != nil {
				list = append(list, x)
			}
			continue
		}
		x := old[at]
		list = append(list, x)
		if !reload && reflect.DeepEqual(d, x.definition) {
			continue
		}
		if err := x.runner.Reload(d); err != nil { // setup has tried it
			s.log.Error("the action goes on as it was", "jail", j.Name(), "action", d.Name, "err", err)
		} else {
			x.definition = d
		}
	}
	s.jails[j.Name()] = list
}

// begin starts a script. Called with mu held.
func (s *scripts) begin(jailName string, d action.Definition) *script {
	r, err := action.New(d, action.Options{
		MaxWaiting: scriptsWaiting, NoIPv6: noIPv6(), Hostname: shortName(s.hostname), FQDN: s.hostname,
		Host: s.host, Record: s.record,
		History: func(id ident.ID, allJails bool) ([]string, int, bool) { return s.history(jailName, id, allJails) },
		Counts:  func() action.Counts { return s.counts(jailName) },
	})
	if err != nil {
		s.log.Error("the action is not run", "jail", jailName, "action", d.Name, "err", err)
		return nil
	}
	x := &script{definition: d, runner: r, done: make(chan struct{})}
	s.wg.Go(func() {
		defer close(x.done)
		if err := r.Run(s.ctx); err != nil && s.ctx.Err() == nil {
			s.log.Error("an action has ended", "jail", jailName, "action", d.Name, "err", err)
		}
	})
	r.Start()
	for _, b := range s.engine.book.Status(jailName).Banned {
		t := ticket(b)
		t.Restored = true
		r.Ban(t)
	}
	return x
}

// end has scripts of a jail end all its bans, in the order opposite to that of their start. It does not wait.
// Called with mu held, in the engine's goroutine.
func (s *scripts) end(jailName string, list []*script) {
	if len(list) == 0 {
		return
	}
	var tickets []action.Ticket
	for _, b := range s.engine.book.Status(jailName).Banned {
		tickets = append(tickets, ticket(b))
	}
	for _, x := range slices.Backward(list) {
		x.runner.Flush(tickets)
		x.runner.Stop()
	}
}

// endJails has the scripts of jails that are about to go end their bans. Called in the engine's goroutine,
// while the book still knows them.
func (s *scripts) endJails(gone map[string]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range gone {
		s.end(name, s.jails[name])
		delete(s.jails, name)
	}
}

// submit tells the scripts what was decided. It never waits.
func (s *scripts) submit(decisions []jail.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range decisions {
		for _, x := range s.jails[d.Jail] {
			switch d.Kind {
			case jail.BanStart, jail.Restore:
				x.runner.Ban(ticket(d.Ban))
			case jail.Prolong:
				x.runner.Prolong(ticket(d.Ban))
			case jail.Already:
				x.runner.Again(action.Again{Ticket: ticket(d.Ban), Failure: d.Time})
			case jail.Unban:
				x.runner.Unban(ticket(d.Ban))
			default: // concerns no ban
			}
		}
	}
}

// endAll ends all bans and all scripts, and waits for them as long as the end of a daemon may take. The
// engine has ended.
func (s *scripts) endAll() {
	s.mu.Lock()
	for name, list := range s.jails {
		s.end(name, list)
	}
	s.mu.Unlock()
	ended := make(chan struct{})
	go func() { s.wg.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(s.patience):
		s.log.Error("actions were stopped before they had ended all bans", "wait", s.patience, "unfinished", s.unfinished())
	}
	s.cancel()
	<-ended
}

// unfinished names the actions that still run.
func (s *scripts) unfinished() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name, list := range s.jails {
		for _, x := range list {
			select {
			case <-x.done:
			default:
				names = append(names, name+"/"+x.definition.Name)
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, " ")
}

// status tells how the scripts of a jail stand, by the names of their actions.
func (s *scripts) status(jailName string) map[string]action.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := map[string]action.Status{}
	for _, x := range s.jails[jailName] {
		all[x.definition.Name] = x.runner.Status()
	}
	return all
}

// reasons names the scripts that do not do what they should, for the health of the daemon.
func (s *scripts) reasons() (reasons []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name, list := range s.jails {
		for _, x := range list {
			st := x.runner.Status()
			switch {
			case st.Dropped > 0:
				reasons = append(reasons, fmt.Sprintf("action %s of jail %s: %d bans or unbans were dropped, since more than %d waited", st.Name, name, st.Dropped, scriptsWaiting))
			case !st.Since.IsZero() && time.Since(st.Since) > scriptSlow:
				reasons = append(reasons, fmt.Sprintf("action %s of jail %s: a command runs for %v, %d wait", st.Name, name, time.Since(st.Since).Round(time.Second), st.Waiting))
			case st.Err != nil && st.FailedLast:
				reasons = append(reasons, fmt.Sprintf("action %s of jail %s: %v", st.Name, name, st.Err))
			}
		}
	}
	slices.Sort(reasons)
	return reasons
}

// scriptSlow is how long a command may run before the daemon's health says so.
const scriptSlow = 10 * time.Second

// host finds the name of an address; empty if it has none.
func (s *scripts) host(id ident.ID) string {
	ctx, cancel := context.WithTimeout(s.ctx, scriptAsks)
	defer cancel()
	return s.resolver.Reverse(ctx, id.Prefix().Addr())
}

// history is what is remembered of an ID's bans: the lines and failures of those that stand.
func (s *scripts) history(jailName string, id ident.ID, allJails bool) (lines []string, failures int, ok bool) {
	err := s.ask(func() {
		for _, x := range s.engine.book.Lookup(id) {
			if x.Ban != nil && (allJails || x.Jail == jailName) {
				lines, failures, ok = append(lines, x.Ban.Lines...), failures+x.Ban.Failures, true
			}
		}
	})
	if err != nil {
		return nil, 0, false
	}
	return lines, failures, ok
}

func (s *scripts) counts(jailName string) (c action.Counts) {
	_ = s.ask(func() { // without an answer, as at the end, the figures are zero
		n := s.engine.book.Counts(jailName)
		c = action.Counts{Banned: n.CurrentlyBanned, BannedTotal: n.TotalBanned, Found: n.CurrentlyFailed, FoundTotal: n.TotalFailed}
	})
	return c
}

// ask runs f in the engine's goroutine, if that is not too busy.
func (s *scripts) ask(f func()) error {
	ctx, cancel := context.WithTimeout(s.ctx, scriptAsks)
	defer cancel()
	return s.engine.do(ctx, f)
}

// ticket is what a script is told of a ban.
func ticket(b jail.Ban) action.Ticket {
	t := action.Ticket{
		ID: b.ID, Time: b.Start, WholeSeconds: b.Restored, BanTime: b.Duration, BanCount: b.Count,
		Failures: b.Failures, Matches: b.Lines, Restored: b.Restored, Captures: b.Data,
	}
	if ip := b.Data["ip"]; ip != "" {
		t.IP = ident.Parse(ip)
	}
	return t
}

// scriptState is how a script stands, for those who ask over the socket.
func scriptState(st action.Status) *control.Script {
	c := &control.Script{
		Started: st.Started, Waiting: st.Waiting, Executed: st.Executed, Failed: st.Failed, TimedOut: st.TimedOut,
		Dropped: st.Dropped, Canceled: st.Canceled,
	}
	if !st.Since.IsZero() {
		c.Running, c.Since = st.Running, &st.Since
	}
	if st.Err != nil {
		c.Error, c.ErrorAt = st.Err.Error(), &st.ErrAt
	}
	return c
}

// noIPv6 reports whether the machine has IPv6 switched off.
func noIPv6() bool {
	b, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/disable_ipv6")
	if errors.Is(err, os.ErrNotExist) {
		return true
	}
	return err == nil && strings.TrimSpace(string(b)) != "0"
}

func shortName(host string) string {
	short, _, _ := strings.Cut(host, ".")
	return short
}
