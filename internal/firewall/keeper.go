package firewall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

const (
	// batchSize is how many elements go to the kernel in one transaction, for which a ban that comes in
	// between waits: 1 ms in the median for a thousand. Measured, a feed of a million takes as long with
	// 2,000 and a third longer with 500.
	batchSize = 1000

	// While bans come in, feeds go in smaller chunks, for quickTime after the last one: what waits for a
	// chunk is a third of what it would be, and a feed takes half as long again.
	quickBatch = 250
	quickTime  = 50 * time.Millisecond

	// After an error the next try waits, twice as long each time. News are tried after firstRetry.
	firstRetry   = 100 * time.Millisecond
	longestRetry = 30 * time.Second

	// The kernel's timeouts follow a clock that nobody sets; beyond this difference they are renewed.
	clockStep = time.Second

	// refusedMax is how many single elements may fail in a row before it is taken that all would.
	refusedMax = 64

	expireEvery = time.Minute
	// sampled is how many elements of a feed's set are looked up before an earlier process's is taken for
	// what it should be.
	sampled = 256
	// lastWords is how long a Keeper that is told to end goes on bringing in what waits.
	lastWords = 2 * time.Second
)

// ErrEnded says that the Keeper no longer runs.
var ErrEnded = errors.New("the firewall has ended")

// KeeperOptions are the settings of a Keeper; the zero value is ready to use.
type KeeperOptions struct {
	Log *slog.Logger // nil logs nothing
	// Now gives the wall clock; nil is time.Now.
	Now func() time.Time
	// Patience is how long an error is borne that waiting seldom cures (no permission, a table that
	// belongs to another process, no support) before Run gives up; 0 is a minute.
	Patience time.Duration
	// Trouble is told, by Run, why the kernel does not hold what it should or that somebody else has
	// changed it, and nil when all is as it should be again; nil tells nobody. It must not wait.
	Trouble func(err error)
	// Banned is told, by Run, what the kernel has newly closed, after it has said so; nil tells nobody. What
	// was banned before the start is not told. It must not wait.
	Banned func([]Ban)
	// LargeAt is from how many elements on a feed group is Large; 0 makes none so.
	LargeAt int
}

// Ban is what the kernel has newly closed.
type Ban struct {
	Prefix    netip.Prefix
	Protocols []uint8     // none means all
	Ports     []PortRange // none means all
}

// Keeper keeps a Backend in line with wishes. Make one with NewKeeper; it works while Run does. All
// methods are safe for use by several goroutines.
type Keeper struct {
	backend  Backend
	log      *slog.Logger
	now      func() time.Time
	patience time.Duration
	trouble  func(error)
	banned   func([]Ban)

	mailbox  *mailbox
	planner  *planner
	requests chan func()   // executed by Run
	ended    chan struct{} // closed when Run has returned

	mu     sync.Mutex // guards the fields below
	status Status
	begun  bool

	// owned by Run
	table       *Table
	batch       int // elements of the next transaction
	last        Batch
	memory      int64 // of the kernel, when last told
	settledOnce bool  // all that was wished at the start has been brought in
	err         error
	troubled    bool // trouble was told of something that is not over
	retries     int
	rebuilds    int
	delay       time.Duration // before the next try; 0: all is well
	retryAt     time.Time
	refused     int // single elements that failed one after the other
	tried       time.Time
	lastWish    time.Time
	hopeless    time.Time // since when; zero: not
	offset      time.Duration
	lastSweep   time.Time
	waiters     []waiter
	order       *banOrder // of bans, for those who page through them
}

// waiter waits until the table has reached a mark.
type waiter struct {
	mark Mark
	done chan error
}

// NewKeeper makes a Keeper for a Backend, which belongs to it from now on.
func NewKeeper(b Backend, o KeeperOptions) *Keeper {
	k := &Keeper{
		backend: b, log: o.Log, now: o.Now, patience: o.Patience, trouble: o.Trouble,
		banned: o.Banned, mailbox: newMailbox(), planner: newPlanner(o.LargeAt),
		requests: make(chan func()), ended: make(chan struct{}),
		table: NewTable(), batch: batchSize,
	}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	if k.now == nil {
		k.now = time.Now
	}
	if k.trouble == nil {
		k.trouble = func(error) {}
	}
	if k.banned == nil {
		k.banned = func([]Ban) {}
	}
	if k.patience == 0 {
		k.patience = time.Minute
	}
	k.status.Backend, k.status.Notes = b.About().Name, b.About().Notes
	return k
}

// Submit hands over wishes. It never waits; of several wishes of one owner for one prefix the newest
// counts. Wishes of owners without a scope are ignored.
func (k *Keeper) Submit(wishes []Wish) { k.mailbox.submit(wishes) }

// SetScopes replaces all scopes. It never waits. What owners have wished that have no scope any more
// is forgotten.
func (k *Keeper) SetScopes(scopes []Scope) {
	k.mailbox.setScopes(scopes)
	k.planner.setScopes(scopes)
}

// Replace hands over the whole contents of a feed. It never waits; the newest contents of an owner count.
// Those of owners without a scope of a feed are ignored.
func (k *Keeper) Replace(owner string, contents cidr.Ranges) { k.planner.replace(owner, contents) }

// SetAllow says what nothing may block: it is cut out of the networks of bans and feeds. It never waits.
func (k *Keeper) SetAllow(allow cidr.Ranges) {
	k.mailbox.setAllow(allow)
	k.planner.setAllow(allow)
}

// Sync waits until the kernel has acknowledged all that was submitted before. The error is that of
// ctx, with what the kernel said last, ErrEnded, or why the kernel refuses an element.
func (k *Keeper) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	err := k.ask(ctx, func() {
		k.take()
		k.waiters = append(k.waiters, waiter{k.table.Mark(k.planner.asked()), done})
	})
	if err != nil {
		return k.because(err)
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return k.because(ctx.Err())
	case <-k.ended:
		select {
		case err := <-done:
			return err
		default:
			return k.because(ErrEnded)
		}
	}
}

// because adds what is wrong with the kernel, if anything is.
func (k *Keeper) because(err error) error {
	if cause := k.Status().Err; cause != nil {
		return fmt.Errorf("%w: %w", err, cause)
	}
	return err
}

// Contents lists what the kernel holds, in order: at most limit elements, all of them if limit is not
// above 0. Sets of feeds are left out that would take long to read.
func (k *Keeper) Contents(ctx context.Context, limit int) ([]Element, error) {
	if limit <= 0 {
		limit = -1
	}
	var v View
	var failure error
	done := make(chan struct{})
	if err := k.ask(ctx, func() { v, failure = k.backend.Inspect(limit); close(done) }); err != nil {
		return nil, err
	}
	select {
	case <-done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	SortElements(v.Elements)
	return v.Elements, failure
}

// ask has f executed by Run.
func (k *Keeper) ask(ctx context.Context, f func()) error {
	select {
	case k.requests <- f:
		return nil
	case <-k.ended:
		return ErrEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close gives the kernel's side up, after Run has ended or if it never ran: with keep everything stays
// as it is, otherwise it is removed.
func (k *Keeper) Close(keep bool) error {
	k.mu.Lock()
	begun := k.begun
	k.mu.Unlock()
	if begun {
		<-k.ended
	}
	return k.backend.Close(keep)
}

// Run works until ctx ends, then brings in what still waits and returns nil. An error says why nothing
// can be enforced any more. Run is called once.
func (k *Keeper) Run(ctx context.Context) error {
	k.mu.Lock()
	k.begun = true
	k.mu.Unlock()
	defer close(k.ended)

	start := time.Now()
	k.lastSweep = start
	k.offset = k.clockOffset(start)
	retry := time.NewTimer(0)
	defer retry.Stop()
	check := time.NewTicker(max(k.backend.About().CheckEvery, time.Second))
	defer check.Stop()

	k.table.TakePlan(k.planner.first())
	planning := make(chan struct{})
	plans := make(chan *FeedPlan)
	ctx, cancel := context.WithCancel(ctx)
	defer func() { cancel(); <-planning }()
	go func() {
		defer close(planning)
		k.planner.run(ctx, plans)
	}()

	for {
		k.take()
		more := k.work()
		k.publish()
		k.answer()
		if !k.hopeless.IsZero() && time.Since(k.hopeless) >= k.patience {
			return k.err
		}
		var idle <-chan time.Time
		if more {
			retry.Reset(0)
			idle = retry.C
		} else if k.delay > 0 {
			retry.Reset(time.Until(k.retryAt))
			idle = retry.C
		}
		select {
		case <-ctx.Done():
			k.finish()
			return nil
		case f := <-k.requests:
			f()
		case p := <-plans:
			k.table.TakePlan(p)
		case <-k.mailbox.notify:
			// What is new need not wait for a long time because of what went wrong before.
			if soon := k.tried.Add(firstRetry); k.retryAt.After(soon) {
				k.retryAt = soon
			}
		case <-check.C:
			k.check(start)
		case <-idle:
		}
	}
}

// finish brings in what waits, for as long as that works and does not take too long.
func (k *Keeper) finish() {
	k.take()
	end := time.Now().Add(lastWords)
	k.retryAt = time.Time{}
	for more := true; more && k.delay == 0 && time.Now().Before(end); {
		more = k.work()
	}
	k.publish()
	k.answer()
}

// take brings what has come into the table.
func (k *Keeper) take() {
	m := k.mailbox.take()
	for name := range m.gone {
		k.table.Drop(name)
	}
	if m.fresh {
		k.table.SetScopes(m.scopes)
	}
	if m.allow != nil {
		k.table.SetAllow(*m.allow)
	}
	if len(m.wishes) > 0 {
		k.lastWish = time.Now()
	}
	for _, w := range m.wishes {
		if err := k.table.Wish(w); err != nil {
			k.log.Warn("a ban cannot be enforced", "addr", w.Prefix, "err", err)
		}
	}
}

// work does one step towards what is wished: one transaction. It is true if there may be more to do at
// once.
func (k *Keeper) work() bool {
	if time.Now().Before(k.retryAt) {
		return false
	}
	k.tried = time.Now()
	layout := k.table.Layout
	switch k.table.Next() {
	case NeedSurvey:
		st, err := k.backend.Survey(layout())
		if err == nil {
			k.table.Surveyed(st)
		}
		return k.outcome(err, nil)
	case NeedPrepare:
		err := k.backend.Prepare(layout())
		if err == nil {
			k.table.Prepared()
		}
		return k.outcome(err, nil)
	case NeedCommit:
		err := k.backend.Commit(layout())
		if err == nil {
			k.table.Committed()
		}
		return k.outcome(err, nil)
	case NeedElements:
	}
	k.table.feedLimit = 0
	if time.Since(k.lastWish) < quickTime {
		k.table.feedLimit = quickBatch
	}
	changes := k.table.Delta(k.now(), k.batch)
	if len(changes) == 0 {
		return k.settled()
	}
	begin := time.Now()
	err := k.backend.Apply(changes)
	if err == nil {
		k.last = Batch{Changes: len(changes), Took: time.Since(begin), At: k.now()}
		k.tellBans(changes)
		k.table.Applied(changes)
		k.batch = min(2*k.batch, batchSize)
	}
	return k.outcome(err, changes)
}

// tellBans tells of what is closed now and was not before.
func (k *Keeper) tellBans(changes []Change) {
	if !k.settledOnce || !k.table.Standing() {
		return // what moves to other sets was closed before
	}
	var bans []Ban
	for _, c := range changes {
		if g, ok := k.table.groups[c.Set.Group]; ok && c.Fresh && !c.Remove {
			bans = append(bans, Ban{c.Prefix, g.Protocols, g.Ports})
		}
	}
	if len(bans) > 0 {
		k.banned(bans)
	}
}

// outcome takes note of how a step went, and says whether the next one may follow at once.
func (k *Keeper) outcome(err error, changes []Change) bool {
	if err == nil {
		k.delay, k.retryAt, k.hopeless, k.refused = 0, time.Time{}, time.Time{}, 0
		return true
	}
	k.retries++
	first := k.err == nil
	if first || k.err.Error() != err.Error() {
		k.log.Error("the firewall could not be changed; it will be tried again", "err", err)
		k.tell(err)
	}
	k.err = err
	if len(changes) > 0 {
		k.table.Failed(changes, len(changes) == 1)
	}
	switch {
	case errors.Is(err, ErrLost):
		k.lost()
		if first {
			return true
		}
	case hopeless(err):
		if k.hopeless.IsZero() {
			k.hopeless = time.Now()
		}
	case len(changes) > 1:
		// One element may spoil the whole batch: find it.
		k.batch = max(len(changes)/2, 1)
		return true
	case len(changes) == 1:
		for _, w := range k.waiters {
			w.done <- err
		}
		k.waiters = nil
		// Now it is at the end of the queue; those before it may fare better.
		k.refused++
		if k.refused < min(k.table.Pending(), refusedMax) {
			return true
		}
		k.refused = 0
	}
	k.delay = min(max(2*k.delay, firstRetry), longestRetry)
	k.retryAt = time.Now().Add(k.delay)
	return false
}

// answer tells those who wait that the kernel has what they wait for.
func (k *Keeper) answer() {
	k.waiters = slices.DeleteFunc(k.waiters, func(w waiter) bool {
		if !k.table.Reached(w.mark) {
			return false
		}
		w.done <- nil
		return true
	})
}
