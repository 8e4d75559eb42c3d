package feed

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// worker follows one list. Its fields below mu are shared; the others belong to run.
type worker struct {
	*Runner
	source Source
	wake   chan struct{} // has a value when the list is to be judged anew
	asked  chan chan error
	ended  chan struct{}
	cancel context.CancelFunc

	afresh     bool      // all of a list that comes as changes is to be asked for
	verdictEnd time.Time // when what was delivered is to be judged anew; zero: never
	delivered  bool
	sum        uint32 // of the copy that was judged last

	mu     sync.Mutex
	status Status
	block  cidr.Ranges // that were delivered
	count  cidr.Ranges
}

func newWorker(r *Runner, s Source) *worker {
	return &worker{
		Runner: r, source: s, wake: make(chan struct{}, 1), asked: make(chan chan error), ended: make(chan struct{}),
		status: Status{Source: s, State: Waiting},
	}
}

// run follows the list until ctx ends.
func (w *worker) run(ctx context.Context) {
	defer close(w.ended)
	o, known := w.copies.origin(w.source.Name)
	if known && o.Source != w.source.identity() {
		o, known = origin{}, false // a list of the same name that is another's
	}
	known = w.begin(o, known)
	next := w.now()
	if known && w.source.Path == "" {
		// A restart is no reason to ask again.
		next = later(next, o.Fetched.Add(w.source.Interval))
		next = earlier(next, w.now().Add(w.source.Interval))
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		w.set(func(s *Status) { s.Next = next })
		timer.Reset(max(w.soonest(next).Sub(w.now()), 0))
		var waiting chan error
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
			w.judgeCopy("what is allowed has changed")
			continue
		case waiting = <-w.asked:
			if s := w.current(); w.source.Path == "" && w.now().Sub(s.Tried) < w.source.Least && s.Tried.After(w.started) {
				waiting <- fmt.Errorf("%s was asked %s ago, and its owner wants at least %s in between: it is asked again at %s", w.source.Name,
					w.now().Sub(s.Tried).Round(time.Second), w.source.Least, next.Local().Format(time.TimeOnly))
				continue
			}
		case <-timer.C:
			if now := w.now(); now.Before(next) {
				w.age(now)
				continue
			}
		}
		err := w.try(ctx)
		if ctx.Err() != nil {
			return
		}
		next = w.now().Add(w.pause(err))
		if waiting != nil {
			waiting <- err
		}
	}
}

// begin delivers the last good copy, or what stands for it until there is one. It is true if there is a copy.
func (w *worker) begin(o origin, known bool) bool {
	if known {
		w.set(func(s *Status) { s.Fetched, s.Changed, s.Entries = o.Fetched, o.Changed, o.Entries })
		if w.judgeCopy("") {
			if w.sum != o.Sum {
				// The list is newer than what is known of it: a crash came between. It is asked for as a whole.
				_ = w.copies.note(w.source.Name, origin{Source: o.Source, Fetched: o.Fetched, Changed: o.Changed})
			}
			return true
		}
		w.set(func(s *Status) { s.Fetched, s.Changed, s.Entries = time.Time{}, time.Time{}, 0 })
	}
	var b cidr.Builder
	for _, text := range w.source.Pinned {
		if p, err := netip.ParsePrefix(text); err == nil {
			b.Add(p)
		}
	}
	w.deliver(&Verdict{Block: b.Ranges()}, Waiting)
	return false
}

// soonest is when something has to be done: the next try, an entry's end, or that of the list.
func (w *worker) soonest(next time.Time) time.Time {
	s := w.current()
	if !w.verdictEnd.IsZero() {
		next = earlier(next, w.verdictEnd)
	}
	if end, ends := w.end(s); ends && s.State != Over {
		next = earlier(next, end)
	}
	return next
}

func (w *worker) end(s Status) (time.Time, bool) {
	if w.source.Expires < 0 || s.Fetched.IsZero() {
		return time.Time{}, false
	}
	return s.Fetched.Add(w.source.Expires), true
}

// age ends what is over: entries, or the whole copy.
func (w *worker) age(now time.Time) {
	s := w.current()
	if end, ends := w.end(s); ends && s.State != Over && !now.Before(end) {
		w.log.Error("a list had no good answer for so long that it is given up", "feed", w.source.Name, "since", s.Fetched, "err", s.Err)
		w.deliver(&Verdict{}, Over)
		return
	}
	if e := w.verdictEnd; !e.IsZero() && !now.Before(e) {
		w.judgeCopy("")
	}
}

// judgeCopy judges the last good copy anew and delivers what is left of it; it is false if there is none.
func (w *worker) judgeCopy(why string) bool {
	s := w.current()
	if end, ends := w.end(s); s.State == Over || ends && !w.now().Before(end) {
		w.deliver(&Verdict{}, Over)
		return true
	}
	if s.Fetched.IsZero() {
		return false
	}
	j := w.newJudge()
	sum, err := w.copies.read(w.source.Name, j.take)
	w.sum = sum
	if err != nil {
		w.log.Error("the copy of a list cannot be read; it is asked for anew", "feed", w.source.Name, "err", err)
		_ = w.copies.note(w.source.Name, origin{})
		return s.State != Waiting // what was delivered stays
	}
	g := w.source.Guards
	v, err := j.verdict(0)
	if err != nil {
		if !g.MayEmpty && j.over == 0 {
			w.log.Warn("nothing of a list may be blocked", "feed", w.source.Name, "err", err)
		}
		v = &Verdict{}
	}
	if why != "" {
		w.log.Debug("a list is judged anew", "feed", w.source.Name, "why", why)
	}
	state := s.State
	if state == Waiting {
		state = Good
	}
	w.deliver(v, state)
	return true
}

// try asks for the list once.
func (w *worker) try(ctx context.Context) error {
	old, _ := w.copies.origin(w.source.Name)
	w.set(func(s *Status) { s.Tried = w.now() })
	var f fetched
	var err error
	switch {
	case w.source.Path != "":
		f, err = w.local(old)
	case len(w.source.Hosts) > 0:
		f, err = w.hosts(ctx, old)
	default:
		f, err = w.fetch(ctx, old)
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, errUnsettled):
		return err
	case err != nil && !errors.Is(err, errUnchanged):
		w.failed(err)
		return err
	}
	was := w.current()
	w.set(func(s *Status) {
		s.Fetched, s.Changed, s.Err, s.Since, s.Failures, s.Notes = f.origin.Fetched, f.origin.Changed, nil, time.Time{}, 0, f.notes
		s.Fetches++
		s.Bad, s.BadCount = nil, 0
		for _, p := range f.origin.Parts {
			s.Bad = append(s.Bad, p.Bad...)
			s.BadCount += p.BadCount
		}
		if f.verdict == nil {
			s.Unchanged++
		}
	})
	if was.Err != nil {
		w.log.Info("a list is good again", "feed", w.source.Name)
	}
	switch {
	case f.verdict != nil:
		w.deliver(f.verdict, Good)
		s := w.current()
		w.log.Info("a list has news", "feed", w.source.Name, "entries", s.Entries, "blocked", s.Blocked, "refused", refusedEntries(s.Refused), "bad", s.BadCount)
	case was.State != Good:
		w.set(func(s *Status) { s.State = Waiting })
		w.judgeCopy("")
	}
	return nil
}

func refusedEntries(all []Refusal) (n int) {
	for _, r := range all {
		n += r.Entries
	}
	return n
}

// failed takes note of a try that brought no list.
func (w *worker) failed(err error) {
	was := w.current()
	if was.Err == nil || was.Err.Error() != err.Error() {
		w.log.Warn("a list cannot be had; its last good copy counts", "feed", w.source.Name, "err", err)
	}
	w.set(func(s *Status) {
		if s.Err == nil {
			s.Since = w.now()
		}
		s.Err = err
		s.Failures++
		s.Errors++
		if s.State == Good {
			s.State = Failing
		}
	})
}

// pause is how long to wait after a try.
func (w *worker) pause(err error) time.Duration {
	interval := max(w.source.Interval, w.source.Least)
	if errors.Is(err, errUnsettled) {
		return settleTime / 2
	}
	if err == nil {
		if w.source.Path != "" {
			return interval
		}
		return interval + time.Duration((rand.Float64()-0.5)/5*float64(interval)) // a tenth sooner or later: not all at once
	}
	if w.source.Path != "" {
		return interval
	}
	wait := firstRetry
	for range min(w.current().Failures-1, 20) {
		wait *= 2
	}
	if !Unreachable(err) {
		wait = max(wait, w.source.Least) // its owner was asked
	}
	wait = min(wait, longestRetry)
	if wait > interval && interval >= firstRetry {
		wait = interval
	}
	if e, ok := errors.AsType[*StatusError](err); ok {
		switch {
		case e.After > 0:
			wait = max(e.After, w.source.Least)
		case e.Status == http.StatusTooManyRequests:
			wait = max(2*interval, w.source.Least)
		}
	}
	return wait + time.Duration(rand.Float64()/10*float64(wait))
}

// deliver hands over what is to be blocked and how the list stands.
func (w *worker) deliver(v *Verdict, state State) {
	w.mu.Lock()
	same := w.delivered && w.block.Equal(v.Block) && w.count.Equal(v.Count)
	w.block, w.count = v.Block, v.Count
	w.status.State, w.status.Entries, w.status.Refused = state, v.Entries, v.Refused
	w.status.Blocked, w.status.Counted = v.Block.Len(), v.Count.Len()
	w.mu.Unlock()
	w.verdictEnd, w.delivered = v.NextEnd, true
	if !same {
		w.gatherSuspects()
		w.out(w.source, v.Block, v.Count)
	}
}

func (w *worker) set(f func(*Status)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	f(&w.status)
}

func (w *worker) current() Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.status
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
