package firewall

import (
	"net/netip"
	"slices"
	"time"
)

// SetScopes replaces all scopes but those of feeds, which are ignored. Claims of owners that are gone go
// with them; those of owners whose scope has changed move to where they belong now.
func (t *Table) SetScopes(scopes []Scope) {
	groups, byOwner := map[string]Group{}, map[string][]string{}
	for _, s := range scopes {
		if s.Feed {
			continue
		}
		g := groupOf(s)
		groups[g.Name] = g
		byOwner[s.Owner] = append(byOwner[s.Owner], g.Name)
	}
	moved := t.setOwners(byOwner)
	homeless := t.evict(moved)

	changed := !slices.Equal(sortedNames(groups), sortedNames(t.groups))
	if changed {
		t.groups = groups
		t.resetSets()
	}
	for _, h := range homeless {
		if o := t.byID[h.owner]; o != nil {
			t.wish(o, h.prefix, h.until, false)
		}
	}
	if len(homeless) > 0 {
		t.moved()
	}
	if changed {
		t.changed(true)
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
			o = &owner{id: t.ids, name: name}
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
	for k, c := range t.cuts {
		if owners[k.owner] {
			out = append(out, homeless{k.owner, k.prefix, c.until})
			delete(t.cuts, k)
		}
	}
	for k, e := range t.elements {
		n := len(e.claims)
		e.claims = slices.DeleteFunc(e.claims, func(c claim) bool {
			if owners[c.owner] && c.cut == 0 {
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

// resetSets leaves the sets that groups always have, those for hosts, and those that hold something. The
// others are retired: they protect until the next Commit, and go then as a whole.
func (t *Table) resetSets() {
	used := map[int32]bool{}
	for k, e := range t.elements {
		if _, ok := t.groups[t.sets[k.set].Group]; ok && len(e.claims) > 0 {
			used[k.set] = true
		}
	}
	for s, id := range t.setIDs {
		if _, ok := t.groups[s.Group]; ok && (used[id] || s.Bits == hostBits(s.V6)) {
			used[id] = true
			continue
		}
		delete(t.setIDs, s)
		delete(t.strays, id)
		t.retired[s] = true
	}
	for k, e := range t.elements {
		if used[k.set] {
			continue
		}
		e.claims = nil
		t.setState(k, e, absent)
		t.touch(k, e)
	}
	for id := range t.sets {
		if !used[id] {
			delete(t.sets, id)
			delete(t.counts, id)
			delete(t.wished, id)
		}
	}
	for name := range t.groups {
		for _, v6 := range []bool{false, true} {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{}), 32)
			if v6 {
				p = netip.PrefixFrom(netip.IPv6Unspecified(), 128)
			}
			t.setID(t.setFor(name, p))
		}
	}
}

func hostBits(v6 bool) int {
	if v6 {
		return 128
	}
	return 32
}

// setID gives the number of a set. A set that is new changes the layout.
func (t *Table) setID(s Set) int32 {
	id, ok := t.setIDs[s]
	if !ok {
		t.setNum++
		id = t.setNum
		t.setIDs[s], t.sets[id] = id, s
		if t.retired[s] {
			// It stands with contents that were given up: whatever is wished may be there, and more.
			delete(t.retired, s)
			t.strays[id] = struct{}{}
		}
		t.changed(false)
	}
	return id
}

// Counts gives the number of acknowledged elements per set.
func (t *Table) Counts() map[Set]int {
	counts := make(map[Set]int, len(t.sets)+len(t.feeds.sets))
	for id, s := range t.sets {
		counts[s] = t.counts[id]
	}
	for s, f := range t.feeds.sets {
		if !f.leaving {
			counts[s] = f.count()
		}
	}
	return counts
}

// Lasting gives the number of acknowledged elements per set that have not reached their end. Sets of
// feeds that are being changed are left out.
func (t *Table) Lasting(now time.Time) map[Set]int {
	counts := make(map[Set]int, len(t.sets)+len(t.feeds.sets))
	for k, e := range t.elements {
		if e.state == present && e.kernel > now.UnixNano() {
			counts[t.sets[k.set]]++
		}
	}
	for s, f := range t.feeds.sets {
		if f.known && !f.leaving && f.keys.inStage() == done {
			counts[s] = f.count()
		}
	}
	return counts
}
