package firewall

import (
	"maps"
	"net/netip"
	"slices"
)

// phase is how far the kernel has the Layout.
type phase uint8

const (
	unknown   phase = iota // it is not known what stands
	surveyed               // it is known
	prepared               // all sets stand
	committed              // the rules are in force
)

// Step is what brings the kernel nearer to what is wished.
type Step uint8

// The steps.
const (
	// NeedSurvey: ask the Backend what stands, and call Surveyed.
	NeedSurvey Step = iota
	// NeedPrepare: have the Backend make sets, and call Prepared.
	NeedPrepare
	// NeedElements: bring in what Delta gives, if anything, and call Applied or Failed.
	NeedElements
	// NeedCommit: have the Backend put the rules in force, and call Committed.
	NeedCommit
)

// Next says what to do next.
func (t *Table) Next() Step {
	switch {
	case t.phase == unknown:
		return NeedSurvey
	case t.phase == surveyed:
		return NeedPrepare
	case t.phase == prepared && t.urgent.front() >= t.gate:
		return NeedCommit
	}
	return NeedElements
}

// changed takes note that the layout is another. With gate, its rules wait for the bans that are on their
// way into its sets, since older rules still protect by older sets.
func (t *Table) changed(gate bool) {
	if t.phase == committed {
		t.gate = 0
	}
	t.phase = min(t.phase, surveyed)
	if gate {
		t.gate, t.gateReach = t.urgent.end(), gateMax
	}
}

// gateMax is how many wishes that come meanwhile a Commit waits for: a flood must not hold it up.
const gateMax = 100_000

// moved takes note that claims have moved to other elements: those must be in before anything goes that
// they were in until now.
func (t *Table) moved() {
	t.hold = t.urgent.end()
	if t.phase < committed {
		t.gate, t.gateReach = t.hold, gateMax
	}
}

// Layout gives what is to stand around the elements.
func (t *Table) Layout() Layout {
	l := Layout{Sizes: map[Set]int{}}
	for _, g := range t.groups {
		l.Groups = append(l.Groups, g)
	}
	named := map[string]bool{}
	for s, f := range t.feeds.sets {
		if f.leaving {
			continue
		}
		if g, ok := t.feeds.group(s); ok {
			if !named[g.Name] {
				named[g.Name] = true
				l.Groups = append(l.Groups, g)
			}
			l.Sets = append(l.Sets, s)
			if f.known {
				l.Sizes[s] = f.keys.counts().desired
			}
		}
	}
	if t.phase == unknown {
		// Sets of feeds that have not said anything yet are looked for, too.
		for name, g := range t.feeds.plan.groups {
			if !named[name] {
				l.Groups = append(l.Groups, g)
			}
		}
	}
	slices.SortFunc(l.Groups, compareGroups)
	for s, id := range t.setIDs {
		l.Sets = append(l.Sets, s)
		l.Sizes[s] = t.wished[id]
	}
	slices.SortFunc(l.Sets, compareSets)
	return l
}

// group gives the group of a set, also if its feeds are gone.
func (f *feedTable) group(s Set) (Group, bool) {
	if g, ok := f.plan.groups[s.Group]; ok {
		return g, true
	}
	g, ok := f.groups[s.Group]
	return g, ok
}

// Surveyed takes note of what stands in the kernel. What the elements of the sets are is not known.
func (t *Table) Surveyed(st Standing) {
	for s, id := range maps.Clone(t.setIDs) {
		delete(t.strays, id)
		for _, twin := range s.twins() {
			_, stands := st.Sets[twin]
			if _, used := t.setIDs[twin]; !stands || used && twin != s {
				continue
			}
			delete(t.setIDs, s)
			t.setIDs[twin], t.sets[id] = id, twin
			t.strays[id] = struct{}{}
			break
		}
	}
	for k, e := range t.elements {
		state := absent
		if _, stands := t.strays[k.set]; stands {
			state = unsure
		}
		t.setState(k, e, state)
		t.touch(k, e)
	}
	// What stands and is not in use goes with the next Commit, and its name is not free until then.
	clear(t.retired)
	for s := range st.Sets {
		if _, used := t.setIDs[s]; !used && !t.feeds.plan.groups[s.Group].Lasting {
			t.retired[s] = true
		}
	}
	t.feeds.surveyed(st)
	t.feeds.match()
	t.feeds.begin()

	t.phase = surveyed
	l := t.Layout()
	standing := !slices.ContainsFunc(l.Sets, func(s Set) bool { _, ok := st.Sets[s]; return !ok })
	switch {
	case standing && st.Rules && len(l.Sets) == len(st.Sets):
		t.phase = committed
	case standing:
		t.phase = prepared
	}
	if !t.met && (len(st.Sets) > 0 || st.Other) {
		t.gate, t.gateReach = t.urgent.end(), gateMax // the rules of an earlier process protect until then
	}
	t.met = true
}

// Prepared takes note that all sets of the Layout stand.
func (t *Table) Prepared() { t.phase = max(t.phase, prepared) }

// Committed takes note that the rules of the Layout are in force, and nothing else of ours stands.
func (t *Table) Committed() {
	t.phase, t.gate = committed, 0
	clear(t.retired)
	t.feeds.committed()
}

// Standing tells whether the rules of the Layout are in force.
func (t *Table) Standing() bool { return t.phase == committed }

// Invalidate takes note that it is not known what the kernel holds.
func (t *Table) Invalidate() { t.phase = unknown }

// Adopted gives the sets that have been taken over with contents that are not known, but are fewer than
// what may be there.
func (t *Table) Adopted() []Set {
	var sets []Set
	for id := range t.strays {
		sets = append(sets, t.sets[id])
	}
	slices.SortFunc(sets, compareSets)
	return sets
}

// Trust takes note that a set holds nothing but what is known.
func (t *Table) Trust(s Set) {
	if id, ok := t.setIDs[s]; ok {
		delete(t.strays, id)
	}
	if f := t.feeds.sets[s]; f != nil {
		f.unverified = false
	}
}

// Renew lets another set take the place of one whose contents are in doubt. It is false if that is not
// possible before the next Commit.
func (t *Table) Renew(s Set) bool {
	if t.feeds.sets[s] != nil {
		if !t.feeds.renew(s) {
			return false
		}
		t.feeds.begin()
		t.changed(false)
		return true
	}
	id, ok := t.setIDs[s]
	if !ok {
		return false
	}
	free := slices.IndexFunc(s.twins(), func(o Set) bool { _, used := t.setIDs[o]; return !used && !t.retired[o] })
	if free < 0 {
		return false
	}
	next := s.twins()[free]
	delete(t.setIDs, s)
	delete(t.strays, id)
	t.setIDs[next], t.sets[id], t.retired[s] = id, next, true
	for k, e := range t.elements {
		if k.set == id {
			t.setState(k, e, absent)
			t.touch(k, e)
		}
	}
	t.changed(true)
	return true
}

// Unverified gives a feed's set that was taken over from an earlier process by its number of elements
// alone, with up to n of what it should hold.
func (t *Table) Unverified(n int) (Set, []netip.Prefix, bool) {
	if s, ok := t.feeds.unverified(); ok {
		return s, t.feeds.sets[s].keys.sample(n, s.Bits), true
	}
	return Set{}, nil, false
}
