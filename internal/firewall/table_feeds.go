package firewall

import (
	"maps"
	"slices"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// feedTable is the part of a Table that holds what feeds want: whole contents without timeouts, as one
// column per set. First everything new is added, in all sets; when the rules that look it up are in force,
// what nobody wants is removed.
type feedTable struct {
	plan   *FeedPlan
	sets   map[Set]*feedSet
	order  []Set            // of sets
	groups map[string]Group // of all plans so far whose sets may stand
	stage  stage
	staged *feedSet // whose changes were given last
}

type feedSet struct {
	keys keys
	c4   *column[uint32] // keys, if they are IPv4
	c6   *column[cidr.Addr6]

	known      bool // what the kernel holds is known; if not, only how many: found
	found      int
	obsolete   bool // it goes when all that is wanted has been added elsewhere
	leaving    bool // it goes with the next Commit, and is not in the layout any more
	unverified bool // taken over from an earlier process by the number of its elements alone
}

func newFeedSet(s Set) *feedSet {
	f := &feedSet{}
	if s.V6 {
		f.c6 = column6()
		f.keys = f.c6
	} else {
		f.c4 = column4()
		f.keys = f.c4
	}
	return f
}

// wants tells whether the set is to hold exactly what a list says already.
func (f *feedSet) wants(l cidr.Lists, bits int) bool {
	if f.c6 != nil {
		return same(f.c6.desired, l.V6[bits])
	}
	return same(f.c4.desired, l.V4[bits])
}

func same[K any](a, b []K) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

func (f *feedSet) want(l cidr.Lists, bits int) {
	if f.c6 != nil {
		f.c6.want(l.V6[bits])
	} else {
		f.c4.want(l.V4[bits])
	}
}

func (f *feedSet) adopt(l cidr.Lists, bits int) {
	if f.c6 != nil {
		f.c6.adopt(l.V6[bits])
	} else {
		f.c4.adopt(l.V4[bits])
	}
	f.known, f.unverified = true, true
}

// TakePlan takes in what feeds want from now on.
func (t *Table) TakePlan(p *FeedPlan) {
	t.feeds.plan = p
	maps.Copy(t.feeds.groups, p.groups)
	if t.feeds.match() {
		t.changed(false)
	}
	t.feeds.begin()
}

// match gives all that is planned its sets. It is true if the layout is another by that.
func (f *feedTable) match() (changed bool) {
	for s, fs := range f.sets {
		if _, planned := f.plan.groups[s.Group]; !fs.known {
			fs.obsolete = fs.obsolete || !planned || f.plan.complete[s.Group]
		} else if l := f.plan.lists[s.Group]; !s.V6 && len(l.V4[s.Bits]) == 0 || s.V6 && len(l.V6[s.Bits]) == 0 {
			if fs.unverified {
				fs.doubt()
				continue
			}
			fs.want(cidr.Lists{}, s.Bits)
		}
	}
	for _, group := range sortedNames(f.plan.lists) {
		l := f.plan.lists[group]
		for bits, keys := range l.V4 {
			changed = f.place(Set{Group: group, Bits: bits}, l, len(keys)) || changed
		}
		for bits, keys := range l.V6 {
			changed = f.place(Set{Group: group, V6: true, Bits: bits}, l, len(keys)) || changed
		}
	}
	return changed
}

// place gives a list its set. It is true if there is a new one.
func (f *feedTable) place(s Set, l cidr.Lists, n int) bool {
	if n == 0 {
		return false
	}
	for _, s := range s.twins() {
		if fs := f.sets[s]; fs != nil && fs.known && !fs.obsolete {
			if !fs.wants(l, s.Bits) {
				if fs.unverified {
					fs.doubt()
					break
				}
				fs.want(l, s.Bits)
			}
			back := fs.leaving
			fs.leaving = false
			return back
		}
	}
	for _, s := range s.twins() {
		if fs := f.sets[s]; fs != nil && !fs.known && fs.found == n {
			fs.adopt(l, s.Bits)
			back := fs.leaving
			fs.obsolete, fs.leaving = false, false
			return back
		}
	}
	for _, s := range s.twins() {
		if f.sets[s] != nil {
			f.sets[s].obsolete = true
			continue
		}
		fs := newFeedSet(s)
		fs.known = true
		fs.want(l, s.Bits)
		f.sets[s] = fs
		return true
	}
	return false // as many take each other's place already; the next plan or survey finds a place
}

// begin notes that there may be something to add.
func (f *feedTable) begin() {
	f.order = f.order[:0]
	f.stage = done
	for s, fs := range f.sets {
		if fs.leaving {
			continue
		}
		f.order = append(f.order, s)
		if fs.obsolete || fs.known && (fs.keys.inStage() != done || fs.keys.counts().desired == 0) {
			f.stage = adding
		}
		if fs.known && fs.keys.inStage() != done {
			fs.keys.rewind()
		}
	}
	slices.SortFunc(f.order, compareSets)
}

// next gives changes. If there are none, retire may have something to do.
func (f *feedTable) next(out []Change, limit int, mayRemove bool) []Change {
	f.staged = nil
	if f.stage == adding {
		if out = f.give(out, limit); len(out) > 0 {
			return out
		}
		f.stage = added
	}
	if f.stage == removing && mayRemove {
		if out = f.give(out, limit); len(out) > 0 {
			return out
		}
		f.stage = done
	}
	return out
}

func (f *feedTable) give(out []Change, limit int) []Change {
	for _, s := range f.order {
		fs := f.sets[s]
		if fs == nil || !fs.known || fs.leaving {
			continue
		}
		if out = fs.keys.next(out, s, limit); len(out) > 0 {
			f.staged = fs
			return out
		}
	}
	return out
}

// retire goes from the additions to the removals. It is true if sets have gone whole, which changes the
// layout.
func (f *feedTable) retire() (gone bool) {
	if _, ok := f.unverified(); ok || f.stage != added {
		return false // what goes may be what protects in place of what is not there
	}
	for _, fs := range f.sets {
		switch {
		case fs.leaving:
		case fs.obsolete || fs.known && fs.keys.counts().desired == 0:
			fs.leaving, gone = true, true
		case fs.known:
			fs.keys.remove()
		}
	}
	f.stage = removing
	return gone
}

// committed takes note that what was leaving has gone.
func (f *feedTable) committed() {
	for s, fs := range f.sets {
		if fs.leaving {
			delete(f.sets, s)
		}
	}
}

// unverified gives a set that was taken over by the number of its elements alone.
func (f *feedTable) unverified() (Set, bool) {
	for _, s := range f.order {
		if fs := f.sets[s]; fs != nil && fs.known && fs.unverified && !fs.leaving {
			return s, true
		}
	}
	return Set{}, false
}

func (f *feedTable) acknowledged(changes []Change) bool {
	if f.staged == nil || len(changes) == 0 {
		return false
	}
	f.staged.keys.acknowledged()
	f.staged = nil
	return true
}

func (f *feedTable) failed(changes []Change) bool {
	if f.staged == nil || len(changes) == 0 {
		return false
	}
	f.staged.keys.failed()
	f.staged = nil
	return true
}

func (f *feedTable) pending() (n int) {
	for _, fs := range f.sets {
		if fs.known && !fs.leaving {
			c := fs.keys.counts()
			n += c.adds + c.removals
		}
	}
	return n
}

func (f *feedTable) held() (n int) {
	for _, fs := range f.sets {
		n += fs.count()
	}
	return n
}

func (f *feedTable) desired() (n int) {
	for _, fs := range f.sets {
		if fs.known {
			n += fs.keys.counts().desired
		}
	}
	return n
}

// count is how many elements the kernel holds as far as it is known.
func (f *feedSet) count() int {
	if !f.known {
		return max(f.found, 0)
	}
	return f.keys.counts().held
}

// surveyed takes note of which sets stand in the kernel.
func (f *feedTable) surveyed(st Standing) {
	for s, fs := range maps.Clone(f.sets) {
		n, stands := st.Sets[s]
		switch {
		case !stands && fs.known && !fs.leaving:
			fs.keys.forget()
		case !stands:
			delete(f.sets, s)
		case fs.leaving:
			// What it was to leave to may be gone by now: it goes when that has been brought in again.
			fs.leaving = false
			fs.doubt()
		case fs.known && n >= 0 && n == fs.keys.counts().held && fs.keys.inStage() == done:
		case fs.known && n == 0:
			fs.keys.forget()
		case fs.known:
			f.renew(s)
		}
	}
	for s, n := range st.Sets {
		if g, feed := f.plan.groups[s.Group]; feed && g.Lasting && f.sets[s] == nil {
			fs := newFeedSet(s)
			fs.found = n
			f.sets[s] = fs
		}
	}
}

// doubt gives a set up whose contents are not what they were thought to be.
func (f *feedSet) doubt() {
	f.found, f.known, f.obsolete, f.unverified = f.keys.counts().held, false, true, false
}

// renew lets another set take the place of one whose contents are in doubt. It is false if that is not
// possible now.
func (f *feedTable) renew(s Set) bool {
	fs := f.sets[s]
	free := slices.IndexFunc(s.twins(), func(o Set) bool { return f.sets[o] == nil })
	if fs == nil || !fs.known || free < 0 {
		return false
	}
	other := s.twins()[free]
	next := newFeedSet(other)
	next.known = true
	if s.V6 {
		next.c6.want(fs.c6.desired)
	} else {
		next.c4.want(fs.c4.desired)
	}
	fs.doubt()
	f.sets[other] = next
	return true
}
