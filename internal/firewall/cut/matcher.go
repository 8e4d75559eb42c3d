package cut

import (
	"net/netip"
	"slices"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const tcp = 6

// matcher tells whether a connection is one of those that a batch of bans closes.
type matcher struct {
	own      map[netip.Addr]bool
	bits     [2][]int // the prefix lengths that there are, for IPv4 and IPv6
	bans     map[netip.Prefix][]firewall.Ban
	hasPorts [256]bool
}

func newMatcher(bans []firewall.Ban, own []netip.Addr) *matcher {
	m := &matcher{own: map[netip.Addr]bool{}, bans: map[netip.Prefix][]firewall.Ban{}}
	for _, a := range own {
		m.own[a] = true
	}
	for n := range m.hasPorts {
		m.hasPorts[n] = firewall.HasPorts(uint8(n))
	}
	for _, b := range bans {
		if !b.Prefix.IsValid() {
			continue
		}
		p := b.Prefix.Masked()
		f := &m.bits[family(p.Addr())]
		if !slices.Contains(*f, p.Bits()) {
			*f = append(*f, p.Bits())
		}
		if !slices.ContainsFunc(m.bans[p], func(other firewall.Ban) bool {
			return slices.Equal(b.Protocols, other.Protocols) && slices.Equal(b.Ports, other.Ports)
		}) {
			m.bans[p] = append(m.bans[p], b)
		}
	}
	return m
}

func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// concerns tells whether any ban is of this family.
func (m *matcher) concerns(v6 bool) bool {
	if v6 {
		return len(m.bits[1]) > 0
	}
	return len(m.bits[0]) > 0
}

// match tells whether a connection of a peer to a port of ours is to end. What goes through the loopback
// never is, since no rule keeps it out either: addresses of the loopback, and our own.
func (m *matcher) match(peer netip.Addr, protocol uint8, port uint16) bool {
	peer = peer.Unmap().WithZone("")
	if peer.IsLoopback() || peer.IsUnspecified() || m.own[peer] {
		return false
	}
	for _, bits := range m.bits[family(peer)] {
		p, err := peer.Prefix(bits)
		if err != nil {
			continue // more bits than the address has: not of its family
		}
		for _, b := range m.bans[p] {
			if m.closes(b, protocol, port) {
				return true
			}
		}
	}
	return false
}

func (m *matcher) closes(b firewall.Ban, protocol uint8, port uint16) bool {
	switch {
	case len(b.Protocols) > 0 && !slices.Contains(b.Protocols, protocol):
		return false
	case len(b.Ports) == 0:
		return true
	case !m.hasPorts[protocol]:
		return len(b.Protocols) > 0 // a protocol without ports is closed as a whole, if it is named
	}
	return slices.ContainsFunc(b.Ports, func(r firewall.PortRange) bool { return r.First <= port && port <= r.Last })
}
