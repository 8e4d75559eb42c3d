package ipset

import (
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/netlink"
)

// LookAgain has the next Inspect read the rules, as time would.
func (b *Backend) LookAgain() { b.rules.looked = time.Now().Add(-2 * lookAgain) }

// NextCount tells when elements are counted next after counting began at start and took d.
func NextCount(start time.Time, d time.Duration) time.Time {
	var s schedule
	s.took(start, d)
	return s.next
}

// Explain gives the error for a number of the kernel's.
func Explain(op string, err error) error { return failed(op, err) }

// Complain gives the error for what a program says.
func Complain(err error, said string) error {
	return program{}.failure("change the rules", "iptables-restore", err, said)
}

// NameOf is a set's name in the kernel, SetOf the way back.
func NameOf(s firewall.Set) string { return nameOf(s) }

// SetOf finds the set for a name.
func SetOf(name string, l firewall.Layout) (firewall.Set, bool) { return setOf(name, l) }

// Rules gives the rules of a layout for IPv4, of all chains, each with the chain before it.
func Rules(l firewall.Layout) []string {
	names := map[firewall.Set]string{}
	for _, s := range l.Sets {
		names[s] = nameOf(s)
	}
	var rules []string
	for _, t := range render(l, false, names) {
		for _, c := range t.chains {
			for _, r := range c.rules {
				rules = append(rules, t.name+" "+c.name+" "+r)
			}
		}
	}
	return rules
}

// ReadAll reads bytes in every way in which those of the kernel are read, and tells how many things were
// found in them.
func ReadAll(data []byte) (total int) {
	var h header
	_ = netlink.Messages(data, func(m netlink.Message) error {
		total += len(m.Payload)
		h.parse(m.Body())
		if m.Errno() != 0 {
			total++
		}
		netlink.Attributes(m.Body(), func(_ uint16, value []byte) {
			total += len(netlink.Text(value))
			_ = netlink.Number(value)
			netlink.Attributes(value, func(_ uint16, value []byte) { total += len(value) })
		})
		if e, ok := parseEntry(m.Body()); ok && e.prefix.IsValid() {
			total++
		}
		return nil
	})
	return total
}

// ReadListing reads a listing and gives the script that brings the tables of a layout about.
func ReadListing(text string, l firewall.Layout) (script string) {
	names := map[firewall.Set]string{}
	for _, s := range l.Sets {
		names[s] = nameOf(s)
	}
	return parseListing(text).script(render(l, false, names)[0])
}
