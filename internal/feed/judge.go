package feed

import (
	"net/netip"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// judge is a Guard that also ends what is blocked for a short time.
type judge struct {
	guard     *Guard
	now       time.Time
	shortTime time.Duration
	over      int       // entries whose short time is over
	next      time.Time // when the next one's will be; zero: never
}

func (w *worker) newJudge() *judge {
	g := w.source.Guards
	g.Now = w.now()
	if w.source.Use == ForBlocking {
		g.Allow, g.Own = w.allow(), w.own()
	}
	return &judge{guard: NewGuard(g), now: g.Now, shortTime: w.source.ShortTime}
}

// trust lets the list become small or empty: its publisher has taken back entry by entry.
func (j *judge) trust() { j.guard.g.MayEmpty, j.guard.g.MayShrink = true, 1 }

func (j *judge) take(k kept) {
	if !k.since.IsZero() {
		end := k.since.Add(j.shortTime)
		if !end.After(j.now) {
			j.over++
			return
		}
		if j.next.IsZero() || end.Before(j.next) {
			j.next = end
		}
	}
	j.guard.Take(k.Entry)
}

// verdict is that of the guard, all that is blocked together.
func (j *judge) verdict(previous int) (*Verdict, error) {
	v, err := j.guard.Verdict(max(previous-j.over, 0))
	if err != nil {
		return nil, err
	}
	v.Entries += j.over
	if j.over > 0 {
		v.Refused = append(v.Refused, Refusal{Why: "blocked for a short time, which is over", Entries: j.over})
	}
	if !v.Short.Empty() {
		v.Block = cidr.Union(v.Block, v.Short)
	}
	if !j.next.IsZero() && (v.NextEnd.IsZero() || j.next.Before(v.NextEnd)) {
		v.NextEnd = j.next
	}
	return &v, nil
}

// isShort reports whether an entry is to be blocked for a short time.
func (w *worker) isShort(e Entry) bool {
	g := w.source.Guards
	return g.ShortScore >= 0 && e.Score >= g.ShortScore && e.Score < g.MinScore
}

// maxShort bounds how many entries are remembered by when they appeared; others have just appeared.
const maxShort = 500_000

// appeared tells since when entries are on the list, for those to whom that matters.
func (w *worker) appeared() func(Entry) time.Time {
	if w.source.Guards.ShortScore < 0 {
		return func(Entry) time.Time { return time.Time{} }
	}
	known := map[netip.Addr]time.Time{}
	_, _ = w.copies.read(w.source.Name, func(k kept) {
		if !k.since.IsZero() && len(known) < maxShort {
			known[k.First] = k.since
		}
	})
	now := w.now()
	return func(e Entry) time.Time {
		switch since, ok := known[e.First]; {
		case !w.isShort(e):
			return time.Time{}
		case ok:
			return since
		}
		return now
	}
}
