package report

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/store"
)

const (
	// pace is the least time between two reports.
	pace = time.Second
	// After a failure the next try waits, twice as long each time.
	firstWait   = time.Minute
	longestWait = 6 * time.Hour
	// spentAtLeast is how long a destination that takes no more is left alone.
	spentAtLeast = 10 * time.Minute
	pruneEvery   = time.Hour
	saveEvery    = 5 * time.Second
	// bulkFrom is how many reports wait before they are sent together.
	bulkFrom = 10
	// sendTime bounds one report.
	sendTime = time.Minute
)

// runs are the senders under way. They belong to the Desk and are guarded by its mu.
type runs struct {
	workers map[string]*run
	//nolint:containedctx // that of Run, for those that Set starts later; nil: Run has not begun
	ctx   context.Context
	group sync.WaitGroup
}

// run is one sender.
type run struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// Set says which destinations there are from now on. Those with an equal Same go on undisturbed, with their new
// rules, and where nothing was taken it is tried again. The reports of one that is gone wait until it is there again, or somebody drops them.
func (d *Desk) Set(setups []Setup) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.order = nil
	for i := range setups {
		s := setups[i]
		b := d.box(s.Name)
		d.order = append(d.order, s.Name)
		fresh, same := b.setup == nil, b.setup != nil && b.setup.Same == s.Same
		if same {
			s.Destination = b.setup.Destination
		}
		b.setup = &s
		if fresh {
			b.resumeFlood(d.now())
		}
		b.broken = "" // what was wrong may be a file that the configuration only names
		if same && d.runs.workers[s.Name] != nil {
			b.rouse()
			continue
		}
		d.start(b)
	}
	for name, b := range d.boxes {
		if slices.Contains(d.order, name) {
			continue
		}
		b.setup = nil
		if r := d.runs.workers[name]; r != nil {
			r.cancel()
			delete(d.runs.workers, name)
		}
	}
}

// start has the sender of a destination run, once the one before it has ended. mu is held.
func (d *Desk) start(b *box) {
	before := d.runs.workers[b.name]
	if before != nil {
		before.cancel()
	}
	if d.runs.ctx == nil || d.runs.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(d.runs.ctx)
	r := &run{cancel, make(chan struct{})}
	d.runs.workers[b.name] = r
	s := sender{Desk: d, box: b, setup: *b.setup}
	d.runs.group.Go(func() {
		defer close(r.ended)
		defer cancel()
		if before != nil {
			<-before.ended
		}
		s.run(ctx)
	})
}

// Run sends what is due until ctx ends, and returns nil. It is called once, after Load.
func (d *Desk) Run(ctx context.Context) error {
	d.mu.Lock()
	d.runs.ctx = ctx
	for _, name := range d.order {
		d.start(d.boxes[name])
	}
	d.mu.Unlock()
	d.forgetOld()
	<-ctx.Done()
	d.mu.Lock()
	d.runs.ctx = nil // nothing is started any more
	d.mu.Unlock()
	d.runs.group.Wait()
	return nil
}

// forgetOld prunes what is remembered of destinations that are not configured any more, which have no sender to do it.
func (d *Desk) forgetOld() {
	d.mu.Lock()
	var rows []store.OutboxRow
	for _, b := range d.boxes {
		if b.setup == nil {
			rows = append(rows, d.prune(b, d.now())...)
		}
	}
	d.mu.Unlock()
	if len(rows) == 0 {
		return
	}
	if err := d.store.CommitOutbox(rows); err != nil { // the next start does it
		d.log.Warn("old reports cannot be forgotten", "err", err)
	}
}

// sender sends to one destination.
type sender struct {
	*Desk
	box    *box
	setup  Setup
	pruned time.Time
	next   time.Time // nothing is sent before, whoever rouses it
}

func (s *sender) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.box.wake:
		case <-timer.C:
		}
		wait := s.step(ctx)
		if ctx.Err() != nil {
			return
		}
		timer.Reset(wait)
	}
}

// step saves, prunes and sends one report, or many at once; it gives how long to wait until the next.
func (s *sender) step(ctx context.Context) time.Duration {
	now := s.now()
	s.mu.Lock()
	if now.Sub(s.pruned) >= pruneEvery {
		s.pruned = now
		s.box.unsaved = append(s.box.unsaved, s.prune(s.box, now)...)
	}
	s.mu.Unlock()
	if !s.save() {
		return saveEvery
	}
	s.mu.Lock()
	if s.box.setup != nil {
		s.setup.Rules, s.setup.Pace = s.box.setup.Rules, s.box.setup.Pace
	}
	wait, bulk := s.when(now)
	if wait > 0 {
		s.mu.Unlock()
		return wait
	}
	ids := s.take(now, most(s.setup.Destination, bulk))
	s.mu.Unlock()
	if len(ids) == 0 {
		return 0
	}
	s.send(ctx, ids, bulk)
	s.next = s.now().Add(cmp.Or(s.setup.Pace, pace))
	return 0
}

// when is how long nothing may be sent, and whether it is to be many at once. mu is held.
func (s *sender) when(now time.Time) (wait time.Duration, bulk bool) {
	b := s.box
	id, at := b.due()
	switch {
	case id == 0 || b.broken != "":
		return pruneEvery, false
	case b.flooding(now):
		return max(b.flood.Add(FloodTime).Sub(now), time.Millisecond), false
	case later(later(at, b.pause), s.next).After(now):
		return min(later(later(at, b.pause), s.next).Sub(now), pruneEvery), false
	}
	full := now
	if b.account.Until.After(now) {
		full = b.account.Until
	} else if s.setup.Budget > 0 && b.account.used(now) >= s.setup.Budget {
		full = tomorrow(now)
	}
	if !full.After(now) {
		return 0, false
	}
	if _, can := s.setup.Destination.(Bulker); can && s.ready(now) >= bulkFrom {
		return 0, true
	}
	return min(full.Sub(now), pruneEvery), false
}

// ready counts what is due. mu is held.
func (s *sender) ready(now time.Time) (n int) {
	for _, i := range s.box.waiting {
		if i.stored && !i.busy && !i.due.After(now) {
			n++
		}
	}
	return n
}

// most is how many reports go together.
func most(d Destination, bulk bool) int {
	if b, can := d.(Bulker); bulk && can {
		return b.Most()
	}
	return 1
}

// take takes what is to be sent next. mu is held.
func (s *sender) take(now time.Time, most int) []uint64 {
	ids := s.box.firsts(now, most)
	for _, id := range ids {
		s.box.waiting[id].busy = true
	}
	return ids
}

// send sends reports and takes note of what became of them.
func (s *sender) send(ctx context.Context, ids []uint64, bulk bool) {
	rows := make([]Row, 0, len(ids))
	reports := make([]Report, 0, len(ids))
	facts := s.facts()
	for _, id := range ids {
		r, err := s.row(s.box.name, id)
		if err != nil {
			s.log.Error("a report cannot be read; it is given up", "report", s.box.name, "id", id, "err", err)
			s.mu.Lock()
			s.box.remove(id)
			s.mu.Unlock()
			continue
		}
		if s.now().Sub(r.Report.Banned) >= tooOld {
			s.settle(r, Result{Kind: Refused, Detail: "it could not be sent for a week"}, TooOld)
			continue
		}
		if why := s.setup.Forbids(r.Report.ban(), facts); why != "" { // since it waits, what is allowed may have changed
			s.settle(r, Result{Detail: why}, Cancelled)
			continue
		}
		rows = append(rows, r)
		reports = append(reports, r.Report)
	}
	if len(rows) == 0 {
		s.save()
		return
	}
	sending, cancel := context.WithTimeout(ctx, sendTime)
	defer cancel()
	var results []Result
	if b, can := s.setup.Destination.(Bulker); bulk && can {
		results = b.SendBulk(sending, reports)
	} else {
		results = []Result{s.setup.Send(sending, reports[0])}
	}
	for i, r := range rows {
		result := Result{Kind: Later, Detail: "the destination said nothing of it"}
		if i < len(results) {
			result = results[i]
		}
		s.settle(r, result, "")
	}
	if n := len(rows); !bulk && n == 1 {
		s.counted(results[0])
	}
	s.save()
}

// counted takes a single report into account that was answered.
func (s *sender) counted(r Result) {
	if r.Status == 0 || r.Kind == Broken || r.Kind == Spent {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.box.account.count(s.now(), 1)
	s.box.unsaved = append(s.box.unsaved, s.box.account.encode(s.box.name))
}

// settle takes note of what became of a report; as is the state if it is not by the result.
func (s *sender) settle(r Row, result Result, as State) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, id, now := s.box, r.Report.ID, s.now()
	i := b.waiting[id]
	if i == nil {
		return
	}
	i.busy = false
	if as == "" {
		r.Tries++
	}
	r.Status, r.Detail, r.Receipt = result.Status, result.Detail, result.Receipt
	final := map[ResultKind]State{Sent: IsSent, Known: IsKnown, Refused: IsRefused}[result.Kind]
	if as != "" {
		final = as
	}
	switch {
	case final != "":
		r.State = final
		b.unsaved = append(b.unsaved, s.finish(b, id, r))
		s.told(r)
		return
	case result.Kind == Broken:
		if b.broken == "" {
			s.log.Error("reports are not taken; nothing is sent until agentctl reload, or agentctl report retry --all", "report", b.name, "status", result.Status, "err", result.Detail)
		}
		b.broken = cause(result)
	case result.Kind == Spent:
		until := result.Until
		if !until.After(now.Add(spentAtLeast)) {
			until = now.Add(spentAtLeast)
		}
		s.log.Warn("no more reports are taken for now", "report", b.name, "until", until, "status", result.Status, "says", result.Detail)
		b.account.Until = until.UTC()
		b.unsaved = append(b.unsaved, b.account.encode(b.name))
	default:
		wait := firstWait
		for range min(r.Tries-1, 20) {
			wait *= 2
		}
		wait = max(min(wait, longestWait), result.After)
		i.due, i.tries = now.Add(wait).UTC(), r.Tries
		if r.Tries == 1 {
			s.log.Warn("a report could not be sent; it is tried again", "report", b.name, "addr", r.Report.Addr, "in", wait, "status", result.Status, "err", result.Detail)
		}
		b.pause = i.due // what failed for one would fail for the next: all wait
		b.counts.Failed++
	}
	if i.lifted {
		r.State, r.Detail = Cancelled, liftedDetail
		b.unsaved = append(b.unsaved, s.finish(b, id, r))
		s.told(r)
		return
	}
	r.Due = i.due
	b.unsaved = append(b.unsaved, r.encode())
}

// told counts and logs a report that is done. mu is held.
func (s *sender) told(r Row) {
	switch r.State {
	case IsSent:
		s.box.counts.Sent++
	case IsKnown:
		s.box.counts.Known++
	case Cancelled:
		s.box.counts.Cancelled++
		s.box.forget(r.Report.Addr, r.Report.Banned)
		return
	case Waiting, IsRefused, Dropped, TooOld:
		s.box.counts.Refused++
		s.log.Warn("a report is given up", "report", s.box.name, "addr", r.Report.Addr, "status", r.Status, "err", r.Detail)
		return
	}
	s.log.Info("reported", "report", s.box.name, "addr", r.Report.Addr, "category", r.Report.Category, "result", string(r.State))
}

// cause is why a destination takes nothing.
func cause(r Result) string {
	if r.Status == 0 {
		return r.Detail
	}
	return fmt.Sprintf("the server answers %d: %s", r.Status, r.Detail)
}

// save writes what became of reports. Until it can, nothing else is sent: a crash would repeat it.
func (s *sender) save() bool {
	s.mu.Lock()
	rows := s.box.unsaved
	s.mu.Unlock()
	if len(rows) == 0 {
		return true
	}
	err := s.store.CommitOutbox(rows)
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil {
		s.log.Error("what became of a report cannot be saved; nothing is sent until it can", "report", s.box.name, "err", err)
		return false
	}
	s.box.unsaved = s.box.unsaved[len(rows):]
	return true
}

// row reads a report.
func (d *Desk) row(destination string, id uint64) (r Row, err error) {
	err2 := d.store.OutboxFrom(destination, id, func(o store.OutboxRow) bool {
		if o.ID != id {
			err = ErrNoReport
			return false
		}
		r, err = decode(o)
		return false
	})
	if r.Report.ID == 0 && err == nil {
		err = ErrNoReport
	}
	return r, errors.Join(err2, err)
}

func decodeAccount(b []byte) (a account) {
	_ = json.Unmarshal(b, &a) // one that is damaged begins anew
	return a
}
