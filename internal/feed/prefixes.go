package feed

import (
	"net/netip"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Prefixes are the fewest networks that hold the addresses of an entry and no others.
func (e Entry) Prefixes() (all []netip.Prefix) {
	var b cidr.Builder
	b.AddRange(e.First, e.Last)
	for p := range b.Ranges().Prefixes() {
		all = append(all, p)
	}
	return all
}
