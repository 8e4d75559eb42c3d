package firewall

import (
	"net/netip"
	"slices"
	"time"
)

// SetScopes replaces all scopes. Claims of owners that are gone go with them; those of owners whose
// scope has changed move to where they belong now.
func (t *Table) SetScopes(scopes []Scope) {
	groups, byOwner := map[string]Group{}, map[string][]string{}
	for _, s := range scopes {
		g := groupOf(s)
		groups[g.Name] = g
		byOwner[s.Owner] = append(byOwner[s.Owner], g.Name)
	}
	moved := t.setOwners(byOwner)
	homeless := t.evict(moved)

	if !slices.Equal(sortedKeys(groups), sortedKeys(t.groups)) {
		t.groups = groups
		t.resetSets()
		t.current = false
	}
	for _, h := range homeless {
		o := t.byID[h.owner]
		if o == nil {
			continue
		}
		for _, group := range o.groups {
			t.claim(key{t.setID(setOf(group, h.prefix)), h.prefix}, claim{h.owner, h.until})
		}
	}
}

// Drop lets go of all claims of an owner.
func (t *Table) Drop(owner string) {
	if o := t.owners[owner]; o != nil {
		t.evict(map[int32]bool{o.id: true})
	}
}

// setOwners notes who has which groups and returns the numbers of those whose groups have changed.
func (t *Table) setOwners(byOwner map[string][]string) (moved map[int32]bool) {
	moved = map[int32]bool{}
	for name, o := range t.owners {
		if _, stays := byOwner[name]; !stays {
			moved[o.id] = true
			delete(t.owners, name)
			delete(t.byID, o.id)
		}
	}
	for name, groups := range byOwner {
		slices.Sort(groups)
		groups = slices.Compact(groups)
		o := t.owners[name]
		if o == nil {
			t.ids++
			o = &owner{id: t.ids}
			t.owners[name], t.byID[o.id] = o, o
		} else if !slices.Equal(o.groups, groups) {
			moved[o.id] = true
		}
		o.groups = groups
	}
	return moved
}

type homeless struct {
	owner  int32
	prefix netip.Prefix
	until  int64
}

// evict takes the claims of some owners out of all elements.
func (t *Table) evict(owners map[int32]bool) (out []homeless) {
	if len(owners) == 0 {
		return nil
	}
	for k, e := range t.elements {
		n := len(e.claims)
		e.claims = slices.DeleteFunc(e.claims, func(c claim) bool {
			if owners[c.owner] {
				out = append(out, homeless{c.owner, k.prefix, c.until})
			}
			return owners[c.owner]
		})
		if len(e.claims) < n {
			t.touch(k, e)
		}
	}
	return out
}

// resetSets leaves the sets that groups always have, those for hosts, and those that hold something.
func (t *Table) resetSets() {
	used := map[int32]bool{}
	for k, e := range t.elements {
		if _, ok := t.groups[t.sets[k.set].Group]; ok && len(e.claims) > 0 {
			used[k.set] = true
			continue
		}
		// Nobody wants it, or its set goes; the layout is made anew without it.
		e.claims = nil
		t.setState(k, e, absent)
		t.settle(k, e)
	}
	for s, id := range t.setIDs {
		if !used[id] {
			delete(t.setIDs, s)
			delete(t.sets, id)
			delete(t.counts, id)
		}
	}
	for name := range t.groups {
		t.setID(Set{Group: name, Bits: 32})
		t.setID(Set{Group: name, V6: true, Bits: 128})
	}
}

// setID gives the number of a set. A set that is new changes the layout.
func (t *Table) setID(s Set) int32 {
	id, ok := t.setIDs[s]
	if !ok {
		t.setNum++
		id = t.setNum
		t.setIDs[s], t.sets[id] = id, s
		t.current = false
	}
	return id
}

// Layout gives what is to stand around the elements.
func (t *Table) Layout() Layout {
	var l Layout
	for _, g := range t.groups {
		l.Groups = append(l.Groups, g)
	}
	slices.SortFunc(l.Groups, compareGroups)
	for s := range t.setIDs {
		l.Sets = append(l.Sets, s)
	}
	slices.SortFunc(l.Sets, compareSets)
	return l
}

// LayoutStands tells whether the kernel has the Layout, with elements that are known. If not, only
// Replaced or Adopted lead on.
func (t *Table) LayoutStands() bool { return t.current }

// Invalidate takes note that it is not known what the kernel holds.
func (t *Table) Invalidate() { t.current = false }

// Counts gives the number of acknowledged elements per set.
func (t *Table) Counts() map[Set]int {
	counts := make(map[Set]int, len(t.sets))
	for id, s := range t.sets {
		counts[s] = t.counts[id]
	}
	return counts
}

// Lasting gives the number of acknowledged elements per set that have not reached their end.
func (t *Table) Lasting(now time.Time) map[Set]int {
	counts := make(map[Set]int, len(t.sets))
	for k, e := range t.elements {
		if e.state == present && e.kernel > now.UnixNano() {
			counts[t.sets[k.set]]++
		}
	}
	return counts
}

func sortedKeys(m map[string]Group) []string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
