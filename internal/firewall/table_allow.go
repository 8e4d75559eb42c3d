package firewall

import (
	"net/netip"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// cutKey names the wish of an owner for a network that holds some of the allowlist.
type cutKey struct {
	owner  int32
	prefix netip.Prefix
}

// cut is such a wish: the kernel gets the pieces without what is allowed.
type cut struct {
	id     int32
	pieces []netip.Prefix
	until  int64
}

func (t *Table) claimPieces(o *owner, c *cut) {
	for _, group := range o.groups {
		for _, p := range c.pieces {
			t.claim(key{t.setID(t.setFor(group, p)), p}, claim{owner: o.id, cut: c.id, until: c.until})
		}
	}
}

func (t *Table) uncut(k cutKey, c *cut) {
	delete(t.cuts, k)
	o := t.byID[k.owner]
	if o == nil {
		return
	}
	for _, group := range o.groups {
		for _, p := range c.pieces {
			if id, known := t.setIDs[t.setFor(group, p)]; known {
				t.release(key{id, p}, k.owner, c.id)
			}
		}
	}
}

// SetAllow says what nothing may block: bans of addresses in it are not enforced, and it is cut out of
// the networks of bans. Feeds have their own (Feeds.SetAllow).
func (t *Table) SetAllow(allow cidr.Ranges) {
	if t.allow.Equal(allow) {
		return
	}
	again := map[cutKey]int64{}
	for k, c := range t.cuts {
		again[k] = c.until
		t.uncut(k, c)
	}
	for k, e := range t.elements {
		if !allow.Overlaps(k.prefix) {
			continue
		}
		for _, c := range e.claims {
			if c.cut == 0 {
				again[cutKey{c.owner, k.prefix}] = c.until
			}
		}
	}
	for k := range again {
		if o := t.byID[k.owner]; o != nil {
			t.wish(o, k.prefix, 0, true)
		}
	}
	t.allow = allow
	for k, until := range again {
		if o := t.byID[k.owner]; o != nil {
			t.wish(o, k.prefix, until, false)
		}
	}
	t.moved()
}
