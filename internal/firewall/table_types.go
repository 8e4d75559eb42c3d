package firewall

import (
	"net/netip"
	"strconv"
	"strings"
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
	// Log writes a line to the kernel's log, some times a second at most, and lets the packet go on.
	Log
)

// String gives the verdict as a word of nft.
func (v Verdict) String() string {
	switch v {
	case Reject:
		return "reject"
	case Log:
		return "log"
	case Drop:
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

// Scope says what the bans of one owner close, or the contents of a feed.
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

	// Feed says that the owner is a feed, whose contents come as a whole and without timeouts, and which
	// closes everything: AllPorts, Protocols and Ports say nothing then. It has one scope.
	Feed bool
	// Counted lets bans count packets and bytes. Feeds count in their rules.
	Counted bool
	// Both, for a feed, also stops packets that go to the address, from this host or through it.
	Both bool
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
	Bits  int   // prefix length: 32 and 128 are hosts
	Gen   uint8 // below Gens: tells sets of one use apart while one takes the place of others
}

// Gens is how many sets of one use there are at most.
const Gens = 4

// String gives the set's name in the kernel: "tcp.22.drop.v4", "all.drop.v6-64"; those of Gen 1 to 3 have
// ".b", ".c", ".d" at their end.
func (s Set) String() string {
	family, host := ".v4", 32
	if s.V6 {
		family, host = ".v6", 128
	}
	name := s.Group + family
	if s.Bits != host {
		name += "-" + strconv.Itoa(s.Bits)
	}
	if s.Gen > 0 {
		name += "." + string('a'+rune(s.Gen))
	}
	return name
}

// twins gives all sets of the same use, this one first.
func (s Set) twins() []Set {
	all := make([]Set, 0, Gens)
	for i := range uint8(Gens) {
		t := s
		t.Gen = (s.Gen + i) % Gens
		all = append(all, t)
	}
	return all
}

// ParseSet is the inverse of Set.String. It is false for what is no such name.
func ParseSet(name string) (Set, bool) {
	var s Set
	rest := name
	if n := len(name); n > 2 && name[n-2] == '.' && name[n-1] > 'a' && name[n-1] < 'a'+Gens {
		rest, s.Gen = name[:n-2], name[n-1]-'a'
	}
	dot := strings.LastIndexByte(rest, '.')
	if dot <= 0 {
		return s, false
	}
	family, bits, network := strings.Cut(rest[dot+1:], "-")
	host := 32
	switch family {
	case "v4":
	case "v6":
		s.V6, host = true, 128
	default:
		return s, false
	}
	s.Group, s.Bits = rest[:dot], host
	if network {
		n, err := strconv.Atoi(bits)
		if err != nil || n < 1 || n >= host || strconv.Itoa(n) != bits {
			return s, false
		}
		s.Bits = n
	}
	return s, true
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
	// Groups in the order in which a packet meets them: those that close all ports first, feeds last.
	Groups []Group
	// Sets of all groups, in a fixed order.
	Sets []Set
	// Sizes tell about how many elements are on their way into a set, as a hint; sets may be missing.
	Sizes map[Set]int
}

// Group gives the group of a set, if the layout has it.
func (l Layout) Group(s Set) (Group, bool) {
	for _, g := range l.Groups {
		if g.Name == s.Group {
			return g, true
		}
	}
	return Group{}, false
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
	// Both also applies to packets whose destination is in a set, from this host or through it. Such a
	// group has neither protocols nor ports.
	Both bool
	// Lasting says that elements have no timeouts: they are those of feeds.
	Lasting bool
	// Counted says that elements count packets and bytes.
	Counted bool
	// Large says that the group is a feed's, and so large that reading it disturbs others.
	Large bool
}

// Standing is what a Backend has found of a layout.
type Standing struct {
	// Sets are all of ours that stand, also such as the layout does not have, with how many elements; -1
	// is not known.
	Sets map[Set]int
	// Rules says that exactly the rules of the layout are in force.
	Rules bool
	// Other says that something of ours stands besides, which goes with the next Commit.
	Other bool
}

// Held is what the kernel holds of one prefix.
type Held struct {
	Present        bool
	Timeout        time.Duration // left; 0 is for ever
	Packets, Bytes uint64        // since it came; 0 where nobody counts
}
