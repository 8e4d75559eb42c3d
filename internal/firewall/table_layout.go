package firewall

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"slices"
	"strconv"
	"strings"
)

// nameMax is the longest list of ports that is written out in a group's name. The kernel takes names
// of up to 255 bytes; people read shorter ones.
const nameMax = 48

// groupOf gives the group of a scope: equal groups for scopes that close the same.
func groupOf(s Scope) Group {
	if s.Feed {
		g := Group{Name: "feed." + s.Verdict.String(), Verdict: s.Verdict, Both: s.Both, Lasting: true}
		if g.Both {
			g.Name += ".both"
		}
		return g
	}
	g := Group{Protocols: protocolNumbers(s.Protocols), Verdict: s.Verdict}
	if !s.AllPorts {
		g.Ports = joinRanges(s.Ports)
	}
	if len(g.Ports) > 0 && g.Protocols == nil {
		g.Protocols = portProtocols()
	}
	// Ports of protocols without ports say nothing.
	if !slices.ContainsFunc(g.Protocols, HasPorts) {
		g.Ports = nil
	}
	g.Counted = s.Counted
	g.Name = groupName(g)
	return g
}

// protocolNumbers gives the numbers in ascending order, or nil for all protocols. "icmp" stands for
// the protocol of both families, since the address decides about the family.
func protocolNumbers(names []Protocol) []uint8 {
	var numbers []uint8
	for _, name := range names {
		n, ok := name.Number()
		switch {
		case name.all():
			return nil
		case ok && n == protoICMP:
			numbers = append(numbers, protoICMP, protoICMPv6)
		case ok:
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	return slices.Compact(numbers)
}

// joinRanges sorts ranges and joins those that touch.
func joinRanges(ranges []PortRange) []PortRange {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b PortRange) int {
		return cmp.Or(cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last))
	})
	var joined []PortRange
	for _, r := range sorted {
		if r.First > r.Last {
			continue
		}
		if n := len(joined); n > 0 && int(r.First) <= int(joined[n-1].Last)+1 {
			joined[n-1].Last = max(joined[n-1].Last, r.Last)
			continue
		}
		joined = append(joined, r)
	}
	if len(joined) == 1 && joined[0].First <= 1 && joined[0].Last == 65535 {
		return nil // fail2ban's "0:65535"
	}
	return joined
}

// groupName makes a name that the nft tool can read back and that differs for different groups.
func groupName(g Group) string {
	protocols := make([]string, len(g.Protocols))
	for i, p := range g.Protocols {
		protocols[i] = protocolName(p)
	}
	ports := make([]string, len(g.Ports))
	for i, r := range g.Ports {
		ports[i] = r.String()
	}
	proto, port := short(strings.Join(protocols, "_")), short(strings.Join(ports, "_"))
	verdict := g.Verdict.String()
	if g.Counted {
		verdict += ".hits"
	}
	switch {
	case proto == "":
		return "all." + verdict
	case port == "":
		return proto + "." + verdict
	}
	return proto + "." + port + "." + verdict
}

// short cuts a long list; a hash keeps the names of different lists apart.
func short(list string) string {
	if len(list) <= nameMax {
		return list
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(list)) // never fails
	return fmt.Sprintf("%s.x%016x", list[:strings.LastIndexByte(list[:nameMax-16], '_')], h.Sum64())
}

// compareGroups orders groups as packets meet them.
func compareGroups(a, b Group) int {
	width := func(g Group) int {
		switch {
		case g.Lasting && g.Verdict == Log:
			return 4
		case g.Lasting:
			return 3
		case len(g.Protocols) == 0:
			return 0
		case len(g.Ports) == 0:
			return 1
		}
		return 2
	}
	return cmp.Or(cmp.Compare(width(a), width(b)), strings.Compare(a.Name, b.Name))
}

func compareSets(a, b Set) int {
	v6 := func(s Set) int {
		if s.V6 {
			return 1
		}
		return 0
	}
	// Longest prefixes first: hosts are most of what is banned.
	return cmp.Or(strings.Compare(a.Group, b.Group), cmp.Compare(v6(a), v6(b)), cmp.Compare(b.Bits, a.Bits), cmp.Compare(a.Gen, b.Gen))
}

func protocolName(n uint8) string {
	for _, p := range protocols() {
		if p.number == n {
			return p.names[0]
		}
	}
	return "proto" + strconv.Itoa(int(n))
}
