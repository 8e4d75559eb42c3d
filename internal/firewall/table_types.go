package firewall

import (
	"net/netip"
	"strconv"
	"time"
)

// Verdict says what happens to a packet from a banned address.
type Verdict uint8

// The verdicts.
const (
	// Drop lets the packet vanish.
	Drop Verdict = iota
	// Reject answers with ICMP (or ICMPv6) port unreachable, as fail2ban's default blocktype does.
	Reject
)

// String gives the verdict as a word of nft.
func (v Verdict) String() string {
	if v == Reject {
		return "reject"
	}
	return "drop"
}

// PortRange is a range of ports, both ends in it. First is not above Last.
type PortRange struct{ First, Last uint16 }

// String gives the range as fail2ban and nft write it: "22" or "6000-6010".
func (r PortRange) String() string {
	if r.First == r.Last {
		return strconv.Itoa(int(r.First))
	}
	return strconv.Itoa(int(r.First)) + "-" + strconv.Itoa(int(r.Last))
}

// Scope says what the bans of one owner close.
type Scope struct {
	// Owner names whose bans these are, as "jail:sshd". An owner may have several scopes; its bans
	// are then in all of them.
	Owner string
	// AllPorts closes every port, whatever Ports says. So does a scope without any port.
	AllPorts bool
	// Protocols are the IP protocols that are closed; none, or "all" among them, closes every one.
	// With ports, "all" means the protocols that have ports, and a protocol without ports is closed
	// as a whole. Unknown names are ignored, so that only unknown ones close everything: see
	// ParseProtocols, which reports them.
	Protocols []Protocol
	// Ports are the destination ports as the peer dialled them, before any address translation.
	Ports   []PortRange
	Verdict Verdict
}

// Wish is what one owner wants for one prefix. The newest wish of an owner for a prefix counts.
type Wish struct {
	Owner  string
	Prefix netip.Prefix // a host is a /32 or /128; host bits do not matter
	// Until is when the claim ends by itself, by the wall clock; zero never.
	Until time.Time
	// Release takes the claim back.
	Release bool
}

// Set names one of the kernel's sets: hosts or networks of one length of one family, for one group.
type Set struct {
	Group string // the name of a Group
	V6    bool
	Bits  int // prefix length: 32 and 128 are hosts
}

// String gives the set's name in the kernel: "tcp.22.drop.v4", "all.drop.v6-64".
func (s Set) String() string {
	family, host := ".v4", 32
	if s.V6 {
		family, host = ".v6", 128
	}
	if s.Bits == host {
		return s.Group + family
	}
	return s.Group + family + "-" + strconv.Itoa(s.Bits)
}

// setOf names the set of a group that holds p.
func setOf(group string, p netip.Prefix) Set {
	return Set{Group: group, V6: p.Addr().Is6(), Bits: p.Bits()}
}

// Change is one element that the kernel is to take in or give up.
type Change struct {
	Set    Set
	Prefix netip.Prefix // masked; its family and length are those of Set
	Remove bool
	// Timeout is how long the element lives from now on; 0 for ever. At least a millisecond.
	Timeout time.Duration
	// Fresh says that the kernel surely does not have the element. Otherwise it may have it, perhaps
	// with another timeout, which is then to be replaced.
	Fresh bool

	until int64
	seq   uint32
}

// Element is one element as the kernel holds it.
type Element struct {
	Set     string // as Set.String gives it
	Prefix  netip.Prefix
	Timeout time.Duration // left; 0 permanent
}

// Layout is what stands around the elements: the groups with their rules, and the sets.
type Layout struct {
	// Groups in the order in which a packet meets them: those that close all ports first.
	Groups []Group
	// Sets of all groups, in a fixed order.
	Sets []Set
}

// Group is what equal scopes have in common. A packet that it applies to and whose source is in one of
// its sets meets its verdict.
type Group struct {
	Name string
	// Protocols are IP protocol numbers in ascending order; none means every protocol.
	Protocols []uint8
	// Ports are disjoint and in ascending order; none means every port.
	Ports   []PortRange
	Verdict Verdict
}
