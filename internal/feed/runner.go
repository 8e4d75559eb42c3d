package feed

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/outbound"
)

// Options are what a Runner needs.
type Options struct {
	Dir string       // where the last good copies are kept; made if it is not there
	Log *slog.Logger // nil logs nothing
	Now func() time.Time
	// Client gives the client to ask with; it may be another one after a reload.
	Client func() *outbound.Client
	// Lookup gives the addresses of a name; nil asks the system.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Deliver is told what of a list is to be blocked, or allowed, and what is banned at its first failure: once
	// for each list soon after Run has begun, be it nothing, and whenever it changes. It must not wait.
	Deliver func(s Source, block, count cidr.Ranges)
	// Allow and Own are what no list may block; nil is nothing. See Rejudge.
	Allow, Own func() cidr.Ranges
}

// Runner follows lists. Make one with NewRunner; it works while Run does. Its methods are safe for concurrent
// use.
type Runner struct {
	copies  copies
	log     *slog.Logger
	now     func() time.Time
	client  func() *outbound.Client
	lookup  func(context.Context, string) ([]netip.Addr, error)
	out     func(Source, cidr.Ranges, cidr.Ranges)
	allow   func() cidr.Ranges
	own     func() cidr.Ranges
	started time.Time

	suspects atomic.Pointer[[]suspect]

	mu      sync.Mutex // guards the fields below
	order   []string
	workers map[string]*worker // by name, of sources
	ending  map[string]*worker // by name, of sources that are gone
	//nolint:containedctx // that of Run, for those that Set starts later; nil: Run has not begun
	running context.Context
	group   sync.WaitGroup
}

// NewRunner makes a Runner without lists; see Set.
func NewRunner(o Options) *Runner {
	r := &Runner{copies: copies{o.Dir}, log: o.Log, now: o.Now, client: o.Client, lookup: o.Lookup, out: o.Deliver, allow: o.Allow, own: o.Own, workers: map[string]*worker{}, ending: map[string]*worker{}}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.now == nil {
		r.now = time.Now
	}
	if r.lookup == nil {
		r.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	nothing := func() cidr.Ranges { return cidr.Ranges{} }
	if r.allow == nil {
		r.allow = nothing
	}
	if r.own == nil {
		r.own = nothing
	}
	return r
}

// Set says which lists there are from now on. Those that are as they were go on undisturbed; one with other
// settings keeps its copy, if that is of the same documents.
func (r *Runner) Set(sources []Source) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := map[string]bool{}
	for _, s := range sources {
		names[s.Name] = true
		if old := r.workers[s.Name]; old != nil && old.source.same(s) {
			continue
		}
		w := newWorker(r, s)
		before := r.ending[s.Name]
		if old := r.workers[s.Name]; old != nil && old.cancel != nil {
			old.cancel()
			before = old
		}
		r.workers[s.Name] = w
		r.start(w, before)
	}
	for name, w := range r.workers {
		if names[name] {
			continue
		}
		delete(r.workers, name)
		if w.cancel != nil {
			w.cancel()
			r.forget(w)
		}
	}
	r.order = r.order[:0]
	for _, s := range sources {
		r.order = append(r.order, s.Name)
	}
	r.joinSuspects()
	if err := r.copies.sweep(names); err != nil {
		r.log.Warn("old copies of lists could not be removed", "err", err)
	}
}

// forget removes the copy of a list that is gone, once its worker has ended. mu is held.
func (r *Runner) forget(w *worker) {
	name := w.source.Name
	r.ending[name] = w
	if r.running == nil {
		return
	}
	r.group.Go(func() {
		<-w.ended
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.ending[name] == w {
			delete(r.ending, name)
		}
		if r.workers[name] == nil {
			r.copies.remove(name)
		}
	})
}

// start has a worker run once the one whose place it takes has ended; nil: there is none. mu is held.
func (r *Runner) start(w, before *worker) {
	if r.running == nil {
		return
	}
	ctx, cancel := context.WithCancel(r.running)
	w.cancel = cancel
	r.group.Go(func() {
		defer cancel()
		if before != nil {
			<-before.ended
		}
		w.run(ctx)
	})
}

// Run follows the lists until ctx ends, and returns nil. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	r.running, r.started = ctx, r.now()
	for _, name := range r.order {
		r.start(r.workers[name], nil)
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.running = nil // nothing is started any more
	r.mu.Unlock()
	r.group.Wait()
	return nil
}

// Rejudge has all lists for blocking judged anew, since what is allowed has changed.
func (r *Runner) Rejudge() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range r.workers {
		if w.source.Use != ForBlocking {
			continue
		}
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

// Refresh asks for a list now, unless that is more often than its owner wants, and waits for the answer.
func (r *Runner) Refresh(ctx context.Context, name string) error {
	r.mu.Lock()
	w := r.workers[name]
	running := r.running != nil
	r.mu.Unlock()
	if w == nil || !running {
		return fmt.Errorf("there is no list %q: there are %s", name, strings.Join(r.Names(), ", "))
	}
	answer := make(chan error, 1)
	select {
	case w.asked <- answer:
	case <-w.ended:
		return fmt.Errorf("the list %q has just been removed", name)
	case <-ctx.Done():
		return fmt.Errorf("the list %q is still being read: %w", name, ctx.Err())
	}
	select {
	case err := <-answer:
		return err
	case <-w.ended:
		return fmt.Errorf("the list %q has just been removed", name)
	case <-ctx.Done():
		return fmt.Errorf("the answer takes long: %w; see agentctl feed show %s", ctx.Err(), name)
	}
}

// Names are those of the lists, in the order of their configuration.
func (r *Runner) Names() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.order)
}

// Status tells how the lists stand, in the order of their configuration.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	workers := make([]*worker, 0, len(r.order))
	for _, name := range r.order {
		workers = append(workers, r.workers[name])
	}
	r.mu.Unlock()
	all := make([]Status, 0, len(workers))
	for _, w := range workers {
		all = append(all, w.current())
	}
	return all
}

// Contents are what a list for blocking says.
type Contents struct {
	Source Source
	Block  cidr.Ranges
}

// Blocked gives what lists for blocking say, in the order of their configuration.
func (r *Runner) Blocked() (all []Contents) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range r.order {
		w := r.workers[name]
		if w.source.Use != ForBlocking {
			continue
		}
		w.mu.Lock()
		all = append(all, Contents{w.source, w.block})
		w.mu.Unlock()
	}
	return all
}

// Counts names the list by which an address is banned at its first failure; empty if there is none. It is asked for
// every failure, and takes no lock.
func (r *Runner) Counts(a netip.Addr) string {
	all := r.suspects.Load()
	if all == nil {
		return ""
	}
	for _, s := range *all {
		if s.count.Contains(a) {
			return s.name
		}
	}
	return ""
}

// suspect is who is banned at the first failure, by one list.
type suspect struct {
	name  string
	count cidr.Ranges
}

// gatherSuspects renews what Counts looks at.
func (r *Runner) gatherSuspects() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.joinSuspects()
}

// joinSuspects is gatherSuspects with mu held.
func (r *Runner) joinSuspects() {
	var all []suspect
	for _, name := range r.order {
		w := r.workers[name]
		w.mu.Lock()
		if w.source.Use == ForBlocking && !w.count.Empty() {
			all = append(all, suspect{name, w.count})
		}
		w.mu.Unlock()
	}
	r.suspects.Store(&all)
}
