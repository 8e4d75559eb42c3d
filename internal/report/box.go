package report

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/store"
)

// box is what belongs to one destination.
type box struct {
	name    string
	setup   *Setup // nil: it is not configured any more
	account account
	waiting map[uint64]*item
	at      map[netip.Addr][]uint64  // the reports of waiting, by address
	last    map[netip.Addr]time.Time // when an address was reported, or is to be
	done    map[uint64]time.Time     // reports that are remembered
	recent  []time.Time              // of reports within FloodTime, at most one more than Flood
	pause   time.Time                // nothing is tried before, since the last try failed
	flood   time.Time                // since when there is one; zero: there is none
	broken  string                   // why nothing is sent until somebody does something
	refused int                      // reports that were not taken since there were too many
	unsaved []store.OutboxRow        // what became of reports and could not be written
	wake    chan struct{}
	counts  Counts
}

// item is a report that waits.
type item struct {
	addr   netip.Addr
	jail   string
	due    time.Time
	banned time.Time
	tries  int
	stored bool // it is on the disk
	busy   bool // it is being sent
	lifted bool // its ban was lifted while it was being sent
}

// newBox makes the box of a destination.
func newBox(name string) *box {
	return &box{
		name: name, waiting: map[uint64]*item{}, at: map[netip.Addr][]uint64{}, last: map[netip.Addr]time.Time{}, done: map[uint64]time.Time{}, wake: make(chan struct{}, 1),
	}
}

// add has a report wait.
func (b *box) add(id uint64, i *item) {
	b.waiting[id] = i
	b.at[i.addr] = append(b.at[i.addr], id)
}

// remove takes a report out of those that wait.
func (b *box) remove(id uint64) {
	i := b.waiting[id]
	if i == nil {
		return
	}
	delete(b.waiting, id)
	rest := slices.DeleteFunc(b.at[i.addr], func(x uint64) bool { return x == id })
	if len(rest) == 0 {
		delete(b.at, i.addr)
		return
	}
	b.at[i.addr] = rest
}

// forget has an address be reported again, since the report of a ban is not sent; unless there is a later one.
func (b *box) forget(a netip.Addr, banned time.Time) {
	if b.last[a].Equal(banned) {
		delete(b.last, a)
	}
}

// rouse has the sender look again.
func (b *box) rouse() {
	select {
	case b.wake <- struct{}{}:
	default:
	}
}

// due is the report that is to be sent first, and when. mu is held.
func (b *box) due() (id uint64, at time.Time) {
	for i, x := range b.waiting {
		if !x.stored || x.busy {
			continue
		}
		if id == 0 || x.due.Before(at) || x.due.Equal(at) && i < id {
			id, at = i, x.due
		}
	}
	return id, at
}

// firsts are the reports that are due by now, at most so many: those that have been due for longest.
func (b *box) firsts(now time.Time, most int) []uint64 {
	if most == 1 {
		if id, at := b.due(); id != 0 && !at.After(now) {
			return []uint64{id}
		}
		return nil
	}
	var ids []uint64
	for id, i := range b.waiting {
		if i.stored && !i.busy && !i.due.After(now) {
			ids = append(ids, id)
		}
	}
	slices.SortFunc(ids, func(x, y uint64) int { return cmp.Or(b.waiting[x].due.Compare(b.waiting[y].due), cmp.Compare(x, y)) })
	return ids[:min(len(ids), most)]
}

// again has what became of reports written once more, after what is under way of them: an older row of theirs may
// be among it. Without anything under way there is nothing to do.
func (b *box) again(rows ...store.OutboxRow) {
	if len(b.unsaved) > 0 {
		b.unsaved = append(b.unsaved, rows...)
	}
}

// flooding reports whether there is a flood, and ends one that is over. mu is held.
func (b *box) flooding(now time.Time) bool {
	if b.flood.IsZero() {
		return false
	}
	if b.setup == nil || b.setup.Flood <= 0 || now.Sub(b.flood) >= FloodTime {
		b.flood, b.recent = time.Time{}, nil
	}
	return !b.flood.IsZero()
}

// resumeFlood finds the flood that the last run has left, from the times of its bans.
func (b *box) resumeFlood(now time.Time) {
	b.recent = slices.DeleteFunc(b.recent, func(t time.Time) bool { return t.After(now) || now.Sub(t) >= FloodTime })
	slices.SortFunc(b.recent, time.Time.Compare)
	if b.setup == nil || b.setup.Flood <= 0 || len(b.recent) <= b.setup.Flood {
		return
	}
	b.flood = b.recent[len(b.recent)-1]
	b.recent = slices.Clone(b.recent[len(b.recent)-b.setup.Flood:])
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
