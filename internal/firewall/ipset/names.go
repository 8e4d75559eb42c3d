package ipset

import (
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// prefix begins the names of all our sets.
	prefix = "pal-"
	// second ends the name of a set whose own name is taken by one of another kind, which an earlier
	// version of us may have left or somebody may have made.
	second = ".x"
	// groupMax is how long a group's name may be: the kernel takes names of up to 31 bytes, and a set's has
	// a family, a length, a generation and perhaps second behind it (".v6-127.b.x").
	groupMax = 31 - len(prefix) - len(".v6-127.b") - len(second)
)

// shortGroup cuts the name of a group to groupMax bytes. A hash keeps those that are cut apart.
func shortGroup(group string) string {
	if len(group) <= groupMax {
		return group
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(group)) // never fails
	sum := fmt.Sprintf("~%08x", h.Sum32())
	return group[:groupMax-len(sum)] + sum
}

// nameOf gives the name of a set in the kernel.
func nameOf(s firewall.Set) string {
	s.Group = shortGroup(s.Group)
	return prefix + s.String()
}

// setOf finds the set of one of the layout's groups that has a name in the kernel. It is false for other
// names, also for those of sets of ours that belong to no group of the layout.
func setOf(name string, l firewall.Layout) (firewall.Set, bool) {
	rest, ours := strings.CutPrefix(name, prefix)
	if !ours {
		return firewall.Set{}, false
	}
	s, ok := firewall.ParseSet(strings.TrimSuffix(rest, second))
	if !ok {
		return s, false
	}
	for _, g := range l.Groups {
		if shortGroup(g.Name) == s.Group {
			s.Group = g.Name
			return s, true
		}
	}
	return s, false
}
