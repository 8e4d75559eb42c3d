package agent

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/internal/store"
)

const (
	inboxSize = 64 // messages; a full inbox makes the intakes wait
	drainMax  = 256

	// A commit happens at the latest this long after the first decision that it holds, or sooner
	// when so many are waiting; positions that moved over lines without failures can wait longer,
	// since reading such lines again changes nothing.
	commitDelay      = 200 * time.Millisecond
	commitMany       = 1024
	commitQuietDelay = 5 * time.Second

	// After a failed commit the next try waits, twice as long each time.
	retryFirst = time.Second
	retryLast  = 30 * time.Second

	purgeInterval = time.Hour // as fail2ban purges its database
)

var errEngineEnded = errors.New("the daemon is stopping")

// placeKey names what a position belongs to: a jail has its own place in every file it watches.
type placeKey struct{ jail, path string }

// observed is what an intake found in one block of a file.
type observed struct {
	failures []observedFailure
	// position is where the block ends; jails lists who has read up to there.
	position source.Position
	jails    []string
}

type observedFailure struct {
	jail string
	jail.Failure
	regex int // that found it, from 1; 0 is none
}

// engine owns who is banned and how far the logs are read. One goroutine, run, is the only one that
// touches the fields under "owned by run"; everybody else sends it a message.
type engine struct {
	store    Store
	firewall Firewall
	scripts  *scripts
	outbox   Outbox // nil: nothing is reported
	own      *ownLog
	events   *events
	health   *health
	log      *slog.Logger

	inbox chan any      // observed, func(*engine): in order of arrival
	ended chan struct{} // closed when run has returned

	commits, failedCommits atomic.Uint64

	// owned by run
	book      *jail.Book
	positions map[placeKey]store.Position
	moved     map[placeKey]struct{} // positions not handed to a commit yet
	dropped   []store.PositionKey   // places that are of no use any more, to be forgotten with the next commit
	reports   []store.OutboxRow     // that follow from what is staged
	staged    int                   // decisions and failures since the last commit began
	waiting   []chan error          // told when what they staged is durable
	inFlight  *store.Batch          // being committed, with those who wait for it
	inFlightW []chan error
	retry     time.Duration
	lastPurge time.Time
}

func newEngine(book *jail.Book, s Store, fw Firewall, ev *events, h *health, log *slog.Logger) *engine {
	return &engine{
		store: s, firewall: fw, own: newOwnLog(), events: ev, health: h, log: log,
		inbox: make(chan any, inboxSize), ended: make(chan struct{}),
		book: book, positions: map[placeKey]store.Position{}, moved: map[placeKey]struct{}{},
	}
}

// send hands a message over; it waits while the inbox is full, which is what slows the sources down.
func (e *engine) send(ctx context.Context, m any) error {
	select {
	case e.inbox <- m:
		return nil
	case <-e.ended:
		return errEngineEnded
	case <-ctx.Done():
		return ctx.Err()
	}
}

// do runs f in the engine's goroutine and waits for it to end. f may use everything that run owns.
func (e *engine) do(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if err := e.send(ctx, func() { f(); close(done) }); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-e.ended:
		return errEngineEnded
	}
}

// durable asks, in the engine's goroutine, to be told when all that is staged now has been committed.
// The channel gets one value: nil, or why the first try failed (it will be tried again).
func (e *engine) durable() <-chan error {
	c := make(chan error, 1)
	e.waiting = append(e.waiting, c)
	e.staged++
	return c
}

// run is the engine's loop. It ends when stop is closed, after everything in the inbox has been
// handled and committed: whoever closes stop has made sure that nobody sends any more.
func (e *engine) run(stop <-chan struct{}) {
	defer close(e.ended)
	batches, results := make(chan store.Batch), make(chan error, 1)
	committed := make(chan struct{})
	go func() {
		defer close(committed)
		for b := range batches {
			err := e.store.Commit(b)
			if err != nil {
				e.failedCommits.Add(1)
			} else {
				e.commits.Add(1)
			}
			results <- err
		}
	}()
	defer func() { close(batches); <-committed }()

	commit, expiry := time.NewTimer(commitQuietDelay), time.NewTimer(0)
	defer commit.Stop()
	defer expiry.Stop()
	var commitAt time.Time // when commit fires; zero: nothing to commit
	e.lastPurge = time.Now()

	for {
		select {
		case m := <-e.inbox:
			e.drain(m)
		case <-expiry.C:
			e.expire()
		case <-commit.C:
			commitAt = time.Time{}
			if e.inFlight == nil && e.dirty() {
				e.begin(batches)
			}
		case err := <-results:
			e.finish(err)
		case <-stop:
			e.drainAll()
			e.lastCommit(batches, results)
			return
		}
		e.armExpiry(expiry)
		commitAt = e.armCommit(commit, commitAt)
	}
}

// drain handles a message and up to drainMax more that wait, so that what they decide goes to the
// firewall and the store together.
func (e *engine) drain(m any) {
	var decisions []jail.Decision
	for range drainMax {
		switch m := m.(type) {
		case observed:
			decisions = append(decisions, e.observe(m)...)
		case func():
			// It may decide, too, and must not overtake what was decided before.
			e.enforce(decisions)
			decisions = nil
			m()
		}
		select {
		case m = <-e.inbox:
			continue
		default:
		}
		break
	}
	e.enforce(decisions)
}

// drainAll handles everything that waits.
func (e *engine) drainAll() {
	for {
		select {
		case m := <-e.inbox:
			e.drain(m)
		default:
			return
		}
	}
}

func (e *engine) observe(o observed) []jail.Decision {
	var decisions []jail.Decision
	for _, f := range o.failures {
		begin := len(decisions)
		decisions = append(decisions, e.book.Observe(f.jail, f.Failure, time.Now())...)
		for i := begin; i < len(decisions); i++ {
			if d := &decisions[i]; d.Kind == jail.BanStart {
				d.Source, d.Regex = o.position.Path, f.regex
			}
		}
	}
	e.staged += len(o.failures)
	for _, name := range o.jails {
		key := placeKey{name, o.position.Path}
		e.positions[key] = store.Position{Jail: name, Position: o.position}
		e.moved[key] = struct{}{}
	}
	return decisions
}

// enforce gives decisions to the firewall and to those who watch. It never waits.
func (e *engine) enforce(decisions []jail.Decision) {
	if len(decisions) == 0 {
		return
	}
	e.staged += len(decisions)
	wishes := make([]firewall.Wish, 0, len(decisions))
	for _, d := range decisions {
		if w, ok := wish(d); ok {
			wishes = append(wishes, w)
		}
	}
	if len(wishes) > 0 {
		e.firewall.Submit(wishes)
	}
	if e.outbox != nil {
		e.reports = append(e.reports, e.outbox.Stage(decisions)...)
	}
	e.scripts.submit(decisions)
	e.own.publish(decisions)
	e.events.publish(decisions)
}

// wish says what a decision means for the firewall, if anything.
func wish(d jail.Decision) (w firewall.Wish, ok bool) {
	if !d.ID.IsAddr() || d.ID.Prefix().Bits() == 0 { // a whole family is never shut out
		return w, false
	}
	w = firewall.Wish{Owner: Owner(d.Jail), Prefix: d.ID.Prefix()}
	switch d.Kind {
	case jail.BanStart, jail.Prolong, jail.Restore:
		if end, permanent := d.Ban.End(); !permanent {
			w.Until = end
		}
		return w, true
	case jail.Unban:
		w.Release = true
		return w, true
	default:
		return w, false
	}
}

func (e *engine) expire() {
	now := time.Now()
	e.enforce(e.book.Expire(now)) // a slice of what is due; NextExpiry calls again for the rest
	if now.Sub(e.lastPurge) >= purgeInterval && !e.book.Purge(now) {
		e.lastPurge = now
	}
	e.staged++
}

func (e *engine) armExpiry(t *time.Timer) {
	wait := purgeInterval
	if next, ok := e.book.NextExpiry(); ok {
		wait = min(max(time.Until(next), 0), purgeInterval)
	}
	t.Reset(wait)
}

func (e *engine) dirty() bool { return e.staged > 0 || len(e.moved) > 0 }

// armCommit sets the timer for the next commit, if one is due earlier than at.
func (e *engine) armCommit(t *time.Timer, at time.Time) time.Time {
	if e.inFlight != nil || !e.dirty() {
		return at
	}
	delay := commitQuietDelay
	switch {
	case e.retry > 0:
		delay = e.retry
	case e.staged >= commitMany:
		delay = 0
	case e.staged > 0:
		delay = commitDelay
	}
	if due := time.Now().Add(delay); at.IsZero() || due.Before(at) {
		t.Reset(delay)
		return due
	}
	return at
}

// begin gives what is staged to the committer. Until finish, it is in flight and nothing else commits.
// It reports false if there was nothing to write after all; who waits has been told then.
func (e *engine) begin(batches chan<- store.Batch) bool {
	b := store.Batch{Changes: e.book.TakeChanges(), Dropped: e.dropped, Outbox: e.reports}
	e.dropped, e.reports = nil, nil
	for key := range e.moved {
		b.Positions = append(b.Positions, e.positions[key])
	}
	clear(e.moved)
	e.inFlight, e.inFlightW = &b, e.waiting
	e.staged, e.waiting = 0, nil
	if b.Empty() && len(b.Positions) == 0 && len(b.Dropped) == 0 && len(b.Outbox) == 0 {
		e.finish(nil)
		return false
	}
	batches <- b
	return true
}

// finish takes note of how the commit in flight ended. What could not be written is staged again;
// newer state of the same things wins.
func (e *engine) finish(err error) {
	b, waiting := e.inFlight, e.inFlightW
	e.inFlight, e.inFlightW = nil, nil
	for _, w := range waiting {
		w <- err
	}
	e.health.set(healthStore, err)
	if err == nil {
		e.retry = 0
		if len(b.Outbox) > 0 {
			e.outbox.Stored(b.Outbox)
		}
		return
	}
	e.reports = append(b.Outbox, e.reports...)
	e.retry = min(max(2*e.retry, retryFirst), retryLast)
	e.book.Return(b.Changes)
	e.dropped = append(e.dropped, b.Dropped...)
	e.staged++
	for _, p := range b.Positions {
		e.moved[placeKey{p.Jail, p.Path}] = struct{}{}
	}
}

// lastCommit writes what is left when the engine ends. One more try is all it gets: what stays
// unwritten is read from the logs again.
func (e *engine) lastCommit(batches chan<- store.Batch, results <-chan error) {
	if e.inFlight != nil {
		e.finish(<-results)
	}
	if e.dirty() && e.begin(batches) {
		err := <-results
		e.finish(err)
		if err != nil {
			e.log.Error("could not save everything before the end; the log lines since the last save will be read again", "err", err)
		}
	}
	for _, w := range e.waiting {
		w <- errEngineEnded
	}
}

// wishAgain repeats the wishes for all bans, for scopes that may be new. What the firewall holds
// already changes nothing.
func (e *engine) wishAgain() {
	var wishes []firewall.Wish
	for _, name := range e.book.Jails() {
		for _, b := range e.book.Status(name).Banned {
			if w, ok := wish(jail.Decision{Kind: jail.Restore, Key: b.Key, Ban: b}); ok {
				wishes = append(wishes, w)
			}
		}
	}
	if len(wishes) > 0 {
		e.firewall.Submit(wishes)
	}
}

// placesKept is how many places in files are kept without asking whether the files are still there.
const placesKept = 4096

// restorePositions takes over how far the files had been read. A file that is not there keeps its place,
// since it may have been renamed a moment ago and is then found by its inode. Only where there are very
// many, as logs with the date in their names leave behind, are the places of vanished files forgotten.
func (e *engine) restorePositions(list []store.Position) {
	for _, p := range list {
		if len(list) > placesKept && p.Cursor == "" {
			if _, err := os.Lstat(p.Path); errors.Is(err, fs.ErrNotExist) {
				e.dropped = append(e.dropped, store.PositionKey{Jail: p.Jail, Path: p.Path})
				e.staged++
				continue
			}
		}
		e.positions[placeKey{p.Jail, p.Path}] = p
	}
}
