package cidr

import "net/netip"

// SpecialRange is a range that has a purpose of its own, so that nobody out there has its addresses.
type SpecialRange struct {
	Prefix netip.Prefix
	What   string
	// Never is set where even a list of one's own cannot mean to block it: loopback, multicast, link-local.
	Never bool
}

// Special are the ranges to which the registries of IANA (RFC 6890, RFC 8190) give a special purpose, and those that
// are reserved.
func Special() []SpecialRange {
	r := func(p, what string, never bool) SpecialRange {
		return SpecialRange{netip.MustParsePrefix(p), what, never}
	}
	return []SpecialRange{
		r("0.0.0.0/8", "this network (RFC 791)", true),
		r("10.0.0.0/8", "private space (RFC 1918)", false),
		r("100.64.0.0/10", "space shared by providers (RFC 6598)", false),
		r("127.0.0.0/8", "loopback", true),
		r("169.254.0.0/16", "link-local space", true),
		r("172.16.0.0/12", "private space (RFC 1918)", false),
		r("192.0.0.0/24", "protocol assignments (RFC 6890)", false),
		r("192.0.2.0/24", "documentation space (RFC 5737)", false),
		r("192.88.99.0/24", "6to4 relays (RFC 7526)", false),
		r("192.168.0.0/16", "private space (RFC 1918)", false),
		r("198.18.0.0/15", "benchmarking space (RFC 2544)", false),
		r("198.51.100.0/24", "documentation space (RFC 5737)", false),
		r("203.0.113.0/24", "documentation space (RFC 5737)", false),
		r("224.0.0.0/4", "multicast", true),
		r("240.0.0.0/4", "reserved space (RFC 1112)", true),
		r("::/8", "reserved space (RFC 4291)", true), // with ::, ::1 and what maps or translates IPv4
		r("100::/64", "discard-only space (RFC 6666)", true),
		r("2001::/23", "protocol assignments, Teredo among them (RFC 2928)", false),
		r("2001:db8::/32", "documentation space (RFC 3849)", false),
		r("2002::/16", "6to4 (RFC 3056)", false),
		r("3fff::/20", "documentation space (RFC 9637)", false),
		r("5f00::/16", "segment routing (RFC 9602)", false),
		r("fc00::/7", "private space (RFC 4193)", false),
		r("fe80::/10", "link-local space", true),
		r("fec0::/10", "site-local space (RFC 3879)", false),
		r("ff00::/8", "multicast", true),
	}
}

// SpecialPurpose names the purpose of the special range that an address is in; empty if it is in none.
func SpecialPurpose(a netip.Addr) string {
	a = a.Unmap()
	for _, s := range Special() {
		if s.Prefix.Contains(a) {
			return s.What
		}
	}
	return ""
}
