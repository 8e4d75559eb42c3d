package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Protocol names an IP protocol as fail2ban's protocol parameter does: "tcp", "udp", "icmp", "all" or
// a number from 0 to 255.
type Protocol string

const (
	protoICMP   = 1
	protoICMPv6 = 58
)

type protocol struct {
	number uint8
	names  []string
	ports  bool
}

// protocols are those that iptables and nft know by name.
func protocols() []protocol {
	return []protocol{
		{6, []string{"tcp"}, true},
		{17, []string{"udp"}, true},
		{132, []string{"sctp"}, true},
		{33, []string{"dccp"}, true},
		{136, []string{"udplite"}, true},
		{protoICMP, []string{"icmp"}, false},
		{protoICMPv6, []string{"icmpv6", "ipv6-icmp"}, false},
		{2, []string{"igmp"}, false},
		{47, []string{"gre"}, false},
		{50, []string{"esp"}, false},
		{51, []string{"ah"}, false},
		{135, []string{"mh"}, false},
	}
}

// HasPorts tells whether the packets of an IP protocol carry ports.
func HasPorts(number uint8) bool { return slices.Contains(portProtocols(), number) }

func portProtocols() []uint8 {
	var numbers []uint8
	for _, p := range protocols() {
		if p.ports {
			numbers = append(numbers, p.number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

// Number gives the protocol's number. It is false for "all" and for what is no protocol.
func (p Protocol) Number() (uint8, bool) {
	name := strings.ToLower(string(p))
	for _, known := range protocols() {
		if slices.Contains(known.names, name) {
			return known.number, true
		}
	}
	n, err := strconv.ParseUint(name, 10, 8)
	return uint8(n), err == nil && n > 0
}

// all tells whether p stands for every protocol; iptables writes 0 for that as well.
func (p Protocol) all() bool { return strings.EqualFold(string(p), "all") || p == "0" }

// ParseProtocols reads a list as in fail2ban's protocol parameter, separated by commas or spaces. The
// error names every word that is no protocol; what could be read is returned with it.
func ParseProtocols(text string) ([]Protocol, error) {
	var list []Protocol
	var errs []error
	for _, word := range words(text) {
		p := Protocol(strings.ToLower(word))
		if _, ok := p.Number(); !ok && !p.all() {
			errs = append(errs, fmt.Errorf("unknown protocol %q", word))
			continue
		}
		list = append(list, p)
	}
	return list, errors.Join(errs...)
}

// ParsePorts reads a list as in fail2ban's port parameter: numbers, ranges with ":" or "-", and names
// of services, separated by commas or spaces, as in "ssh,2222" or "0:65535". lookup gives a service's
// port for the protocol "tcp" or "udp"; where they differ, both are taken. The error names every word
// that is no port; what could be read is returned with it.
func ParsePorts(text string, lookup func(name, proto string) (uint16, bool)) ([]PortRange, error) {
	var list []PortRange
	var errs []error
	for _, word := range words(text) {
		ranges, err := parsePort(word, lookup)
		if err != nil {
			errs = append(errs, err)
		}
		list = append(list, ranges...)
	}
	return list, errors.Join(errs...)
}

func parsePort(word string, lookup func(name, proto string) (uint16, bool)) ([]PortRange, error) {
	if found := lookUp(word, lookup); found != nil {
		return found, nil
	}
	// A service's name may hold a "-": the name as a whole was tried first.
	if i := strings.IndexAny(word, ":-"); i >= 0 {
		first, last := lookUp(word[:i], lookup), lookUp(word[i+1:], lookup)
		// An end that is left out is open, as in iptables.
		if first == nil && word[:i] == "" {
			first = []PortRange{{0, 0}}
		}
		if last == nil && word[i+1:] == "" {
			last = []PortRange{{65535, 65535}}
		}
		if len(first) != 1 || len(last) != 1 || len(word) == 1 {
			return nil, fmt.Errorf("unknown port %q", word)
		}
		if first[0].First > last[0].First {
			return nil, fmt.Errorf("port range %q ends before it begins", word)
		}
		return []PortRange{{first[0].First, last[0].First}}, nil
	}
	return nil, fmt.Errorf("unknown port %q", word)
}

// lookUp gives the ports of a single number or name.
func lookUp(word string, lookup func(name, proto string) (uint16, bool)) []PortRange {
	if n, err := strconv.ParseUint(word, 10, 16); err == nil {
		return []PortRange{{uint16(n), uint16(n)}}
	}
	var found []PortRange
	if word == "" || lookup == nil {
		return nil
	}
	for _, proto := range []string{"tcp", "udp"} {
		if n, ok := lookup(word, proto); ok && !slices.Contains(found, PortRange{n, n}) {
			found = append(found, PortRange{n, n})
		}
	}
	return found
}

func words(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' })
}
