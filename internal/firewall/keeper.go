package firewall

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// batchSize is how many elements go to the kernel in one transaction. 2,000 fit into one netlink
	// message; measured, a ban that comes in between waits 1 ms at the 99th percentile, and larger
	// transactions are not faster.
	batchSize = 2000

	// After an error the next try waits, twice as long each time. News are tried after firstRetry.
	firstRetry   = 100 * time.Millisecond
	longestRetry = 30 * time.Second

	// The kernel's timeouts follow a clock that nobody sets; beyond this difference they are renewed.
	clockStep = time.Second

	// refusedMax is how many single elements may fail in a row before it is taken that all would.
	refusedMax = 64

	expireEvery = time.Minute
	// lastWords is how long a Keeper that is told to end goes on bringing in what waits.
	lastWords = 2 * time.Second
	// dumpMax is how many elements are read back at most: reading nf_tables' sets is quadratic, 20,000
	// take about 50 ms.
	dumpMax = 20_000
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
}

// Keeper keeps a Backend in line with wishes. Make one with NewKeeper; it works while Run does. All
// methods are safe for use by several goroutines.
type Keeper struct {
	backend  Backend
	log      *slog.Logger
	now      func() time.Time
	patience time.Duration
	trouble  func(error)

	mailbox  *mailbox
	requests chan func()   // executed by Run
	ended    chan struct{} // closed when Run has returned

	mu     sync.Mutex // guards the fields below
	status Status
	begun  bool

	// owned by Run
	table     *Table
	batch     int // elements of the next transaction
	claimed   bool
	adopted   bool // the kernel may hold elements that the table does not know
	err       error
	troubled  bool // trouble was told of something that is not over
	retries   int
	rebuilds  int
	delay     time.Duration // before the next try; 0: all is well
	retryAt   time.Time
	refused   int // single elements that failed one after the other
	tried     time.Time
	hopeless  time.Time // since when; zero: not
	offset    time.Duration
	lastSweep time.Time
	waiters   []waiter
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
		mailbox: newMailbox(), requests: make(chan func()), ended: make(chan struct{}),
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
func (k *Keeper) SetScopes(scopes []Scope) { k.mailbox.setScopes(scopes) }

// Sync waits until the kernel has acknowledged all that was submitted before. The error is that of
// ctx, with what the kernel said last, ErrEnded, or why the kernel refuses an element.
func (k *Keeper) Sync(ctx context.Context) error {
	done := make(chan error, 1)
	err := k.ask(ctx, func() {
		k.take()
		k.waiters = append(k.waiters, waiter{k.table.Mark(), done})
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
// above 0.
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

	for {
		k.take()
		more := k.work()
		k.answer()
		k.publish()
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
	k.answer()
	k.publish()
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
	if !k.table.LayoutStands() {
		return k.outcome(k.layOut(), nil)
	}
	changes := k.table.Delta(k.now(), k.batch)
	if len(changes) == 0 {
		k.settled()
		return !k.table.LayoutStands() || k.table.Pending() > 0
	}
	err := k.backend.Apply(changes)
	if err == nil {
		k.table.Applied(changes)
		k.batch = min(2*k.batch, batchSize)
	}
	return k.outcome(err, changes)
}

// layOut brings the layout into the kernel: what an earlier process has left is taken over once, if
// it fits, and otherwise everything is made anew.
func (k *Keeper) layOut() error {
	layout := k.table.Layout()
	if c, ok := k.backend.(Claimer); ok && !k.claimed {
		kept, err := c.Claim(layout)
		if err != nil {
			return err
		}
		k.claimed = true
		if kept {
			k.table.Adopted()
			k.adopted = true
			return nil
		}
	}
	k.claimed = true
	now := k.now()
	if err := k.backend.Replace(layout, k.table.All(now)); err != nil {
		return err
	}
	k.table.Replaced(now)
	k.adopted = false
	return nil
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

// lost takes note that everything has to be made anew.
func (k *Keeper) lost() {
	if k.table.LayoutStands() {
		k.rebuilds++
	}
	k.table.Invalidate()
}

// settled takes note that the kernel holds what is wished, and looks for what it holds beyond that.
func (k *Keeper) settled() {
	if k.adopted {
		if err := k.reconcile(); err != nil {
			k.log.Warn("the firewall's earlier contents could not be compared; they are replaced", "err", err)
			k.table.Invalidate()
		}
		k.adopted = false
		return
	}
	if k.troubled {
		k.tell(nil)
	}
	if k.err != nil {
		k.log.Info("the firewall holds what it should again", "rebuilds", k.rebuilds)
		k.err = nil
	}
}

// reconcile finds elements that an earlier process has left and that nobody wants.
func (k *Keeper) reconcile() error {
	v, err := k.backend.Inspect(0)
	if err != nil {
		return err
	}
	strays, held := v.Counts == nil, 0
	for s, n := range k.table.Counts() {
		strays = strays || v.Counts[s] != n
		held += max(v.Counts[s], n)
	}
	if !strays {
		return nil
	}
	if held > dumpMax {
		k.table.Invalidate()
		return nil
	}
	if v, err = k.backend.Inspect(-1); err != nil {
		return err
	}
	for _, e := range v.Elements {
		k.table.Found(e.Set, e.Prefix)
	}
	return nil
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

// clockOffset is how far the wall clock is ahead of the clock that only ticks.
func (k *Keeper) clockOffset(start time.Time) time.Duration {
	ticked := time.Since(start)
	return k.now().Round(0).Sub(start.Round(0)) - ticked
}

// check looks whether all is as it was left.
func (k *Keeper) check(start time.Time) {
	if offset := k.clockOffset(start); (offset - k.offset).Abs() > clockStep {
		k.log.Info("the clock was set: the timeouts of all bans are renewed", "by", offset-k.offset)
		k.offset = offset
		k.table.Rearm()
	}
	if time.Since(k.lastSweep) >= expireEvery {
		k.lastSweep = time.Now()
		k.table.Expire(k.now())
	}
	if !k.table.LayoutStands() {
		return
	}
	err := k.verify()
	switch {
	case err == nil:
	case errors.Is(err, ErrLost):
		k.log.Warn("somebody else has changed the firewall: it is made anew", "err", err)
		k.tell(err)
		k.lost()
	default:
		k.log.Warn("the firewall could not be inspected", "err", err)
	}
}

// verify compares the kernel's counts with ours.
func (k *Keeper) verify() error {
	v, err := k.backend.Inspect(0)
	if err != nil || v.Counts == nil {
		return err
	}
	var lasting map[Set]int
	for s, n := range k.table.Counts() {
		if v.Counts[s] >= n {
			continue
		}
		if lasting == nil {
			// What is about to expire may have done so already: the two clocks are not the same.
			lasting = k.table.Lasting(k.now().Add(5 * clockStep))
		}
		if v.Counts[s] < lasting[s] {
			return fmt.Errorf("%w: set %s holds %d elements instead of %d", ErrLost, s, v.Counts[s], lasting[s])
		}
	}
	return nil
}
