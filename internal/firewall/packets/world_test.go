package packets_test

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// world is the naive model: lists, searched from one end to the other.
type world struct {
	scopes []firewall.Scope
	claims []firewall.Wish
	feeds  map[string][]netip.Prefix
	allow  []netip.Prefix
}

func (w *world) has(owner string) bool {
	return slices.ContainsFunc(w.scopes, func(s firewall.Scope) bool { return s.Owner == owner })
}

// closed tells whether a packet from a is to be blocked at a time.
func (w *world) closed(a netip.Addr, proto uint8, port uint16, now time.Time) bool {
	in := func(p netip.Prefix) bool { return p.Contains(a) }
	if slices.ContainsFunc(w.allow, in) {
		return false
	}
	for _, s := range w.scopes {
		switch {
		case s.Verdict == firewall.Log:
			continue
		case s.Feed:
			if slices.ContainsFunc(w.feeds[s.Owner], in) {
				return true
			}
			continue
		case !w.applies(s, proto, port):
			continue
		}
		for _, c := range w.claims {
			if c.Owner == s.Owner && in(c.Prefix) && (c.Until.IsZero() || now.Before(c.Until)) {
				return true
			}
		}
	}
	return false
}

func (w *world) applies(s firewall.Scope, proto uint8, port uint16) bool {
	names := map[uint8]firewall.Protocol{packets.UDP: "udp", packets.TCP: "tcp"}
	if len(s.Protocols) > 0 && !slices.Contains(s.Protocols, names[proto]) {
		return false
	}
	return s.AllPorts || len(s.Ports) == 0 || slices.ContainsFunc(s.Ports, func(r firewall.PortRange) bool { return r.First <= port && port <= r.Last })
}

// sure tells whether nothing about a changes by itself within a second around a time.
func (w *world) sure(a netip.Addr, from, to time.Time) bool {
	return !slices.ContainsFunc(w.claims, func(c firewall.Wish) bool {
		return !c.Until.IsZero() && c.Prefix.Contains(a) && c.Until.After(from.Add(-2*time.Second)) && c.Until.Before(to.Add(2*time.Second))
	})
}

// step is what happens to a firewall at once.
type step struct {
	name   string
	scopes []firewall.Scope // nil: as they were
	wishes []wish
	feeds  map[string][]netip.Prefix // contents that change
	allow  []netip.Prefix            // nil: as it was
	ends   bool                      // wait until claims that end within a minute have ended
}

type wish struct {
	owner   string
	prefix  netip.Prefix
	length  time.Duration // 0: for ever
	release bool
}

// take does a step, learns it, and waits until the keepers have done it.
func (w *world) take(t *testing.T, s step, keepers ...*firewall.Keeper) {
	t.Helper()
	w.tell(s, keepers...)
	for _, k := range keepers {
		if err := k.Sync(t.Context()); err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
	}
	for s.ends && slices.ContainsFunc(w.claims, func(c firewall.Wish) bool {
		return !c.Until.IsZero() && time.Until(c.Until) > -2*time.Second && time.Until(c.Until) < time.Minute
	}) {
		time.Sleep(50 * time.Millisecond)
	}
}

// tell does a step and learns it.
func (w *world) tell(s step, keepers ...*firewall.Keeper) {
	if s.scopes != nil {
		w.scopes = s.scopes
		w.claims = slices.DeleteFunc(w.claims, func(c firewall.Wish) bool { return !w.has(c.Owner) })
		for owner := range w.feeds {
			if !w.has(owner) {
				delete(w.feeds, owner)
			}
		}
	}
	now := time.Now()
	var wishes []firewall.Wish
	for _, x := range s.wishes {
		c := firewall.Wish{Owner: x.owner, Prefix: x.prefix, Release: x.release}
		if x.length > 0 {
			c.Until = now.Add(x.length)
		}
		wishes = append(wishes, c)
		w.claims = slices.DeleteFunc(w.claims, func(old firewall.Wish) bool {
			return old.Owner == x.owner && old.Prefix.Masked() == x.prefix.Masked()
		})
		if !x.release {
			w.claims = append(w.claims, c)
		}
	}
	if w.feeds == nil {
		w.feeds = map[string][]netip.Prefix{}
	}
	maps.Copy(w.feeds, s.feeds)
	if s.allow != nil {
		w.allow = s.allow
	}
	for _, k := range keepers {
		if s.scopes != nil {
			k.SetScopes(s.scopes)
		}
		for owner, contents := range s.feeds {
			k.Replace(owner, cidr.Of(contents...))
		}
		if s.allow != nil {
			k.SetAllow(cidr.Of(s.allow...))
		}
		k.Submit(wishes)
	}
}

// dice makes random contents around few centres, so that they overlap.
type dice struct{ *rand.Rand }

func (d dice) addr() netip.Addr {
	if d.IntN(3) > 0 {
		return netip.AddrFrom4([4]byte{10 + byte(d.IntN(2)), byte(d.IntN(3)), byte(d.IntN(16)), byte(d.IntN(256))})
	}
	a := [16]byte{0x2a, 0, 0, 0x77, 0, byte(d.IntN(2)), 0, byte(d.IntN(8))}
	for i := 8; i < 16; i++ {
		if d.IntN(3) == 0 {
			a[i] = byte(d.IntN(4))
		}
	}
	return netip.AddrFrom16(a)
}

// prefix is seldom wide; its host bits may be set.
func (d dice) prefix() netip.Prefix {
	a := d.addr()
	if d.IntN(2) == 0 {
		return netip.PrefixFrom(a, a.BitLen())
	}
	if a.Is4() {
		return netip.PrefixFrom(a, []int{20, 22, 24, 25, 26, 27, 28, 28, 29, 29, 30, 31}[d.IntN(12)])
	}
	return netip.PrefixFrom(a, []int{48, 56, 61, 64, 64, 64, 80, 112, 120, 127}[d.IntN(10)])
}

func (d dice) prefixes(n int) []netip.Prefix {
	out := make([]netip.Prefix, n)
	for i := range out {
		out[i] = d.prefix()
	}
	return out
}

// questions are addresses of which most lie in, at the ends of, or beside what w holds.
func (d dice) questions(w *world, n int) []netip.Addr {
	var pool []netip.Prefix
	for _, c := range w.claims {
		pool = append(pool, c.Prefix)
	}
	for _, f := range w.feeds {
		pool = append(pool, f...)
	}
	pool = append(pool, w.allow...)
	out := make([]netip.Addr, 0, n)
	for len(out) < n {
		a := d.addr()
		if len(pool) > 0 && d.IntN(4) > 0 {
			p := pool[d.IntN(len(pool))].Masked()
			switch last := lastOf(p); d.IntN(5) {
			case 0:
				a = p.Addr()
			case 1:
				a = last
			case 2:
				a = p.Addr().Prev()
			case 3:
				a = last.Next()
			case 4:
				a = d.within(p)
			}
		}
		out = append(out, a)
	}
	return out
}

func (d dice) within(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= byte(d.IntN(2)) << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Masked().Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 1 << (7 - i%8)
	}
	a, _ := netip.AddrFromSlice(b)
	return a
}
