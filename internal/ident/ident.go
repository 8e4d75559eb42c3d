// Package ident holds ID, the thing that gets banned: mostly an address, sometimes a network, and
// now and then any text that a filter names (a user, a session).
//
// The spelling of an ID is fail2ban's, because people compare it: with the output of their scripts,
// with the names in the database that they import, with what their actions are given. Two IDs are
// the same exactly when their text is equal. Inside the program the address is a netip.Prefix; text
// is read here, once, where it enters.
//
// The package is pure.
package ident

import (
	"net/netip"
	"strconv"
	"strings"
)

// ID names what is banned. The zero ID is empty text and names nothing. IDs are comparable and
// immutable; equal text means equal ID.
type ID struct {
	text   string
	prefix netip.Prefix
}

// Parse reads an ID as fail2ban does: surrounding brackets go, IPv4-mapped IPv6 becomes IPv4, a
// network (address/bits or address/netmask) loses its host bits, a full-length prefix its length,
// and an address gets its canonical spelling. Text that is no address stays as it is, so Parse
// cannot fail: "999.1.2.3", "01.02.03.04", "fe80::1%eth0" and host names are raw IDs.
//
// A prefix length beyond the family's is taken as none, as fail2ban takes it.
func Parse(s string) ID {
	if p, ok := ParsePrefix(s); ok {
		return FromPrefix(p)
	}
	if before, after, cut := strings.Cut(unbracket(s), "/"); cut {
		if _, err := strconv.Atoi(strings.TrimSpace(after)); err == nil {
			return Raw(before)
		}
	}
	return Raw(unbracket(s))
}

// Raw makes an ID of the text as it stands, even where it looks like an address. It is what a
// filter means that runs with usedns = raw.
func Raw(s string) ID { return ID{text: s} }

// FromAddr makes the ID of one host. IPv4-mapped addresses become IPv4; a zone is dropped, since
// neither a set nor a log tells zones apart.
func FromAddr(a netip.Addr) ID {
	if !a.IsValid() {
		return ID{}
	}
	a = a.Unmap().WithZone("")
	return ID{text: format(a), prefix: netip.PrefixFrom(a, a.BitLen())}
}

// FromPrefix makes the ID of a network; host bits are masked and mapped addresses unmapped. A
// full-length prefix is the host. An invalid prefix gives the zero ID.
func FromPrefix(p netip.Prefix) ID {
	if !p.IsValid() {
		return ID{}
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == p.Addr().BitLen() {
		return FromAddr(p.Addr())
	}
	p = p.Masked()
	return ID{text: format(p.Addr()) + "/" + strconv.Itoa(p.Bits()), prefix: p}
}

// ParsePrefix reads an address or network as Parse does and says whether the text was one.
func ParsePrefix(s string) (netip.Prefix, bool) {
	host, mask, isNet := strings.Cut(s, "/")
	addr, err := netip.ParseAddr(unbracket(host))
	if err != nil || addr.Zone() != "" {
		return netip.Prefix{}, false
	}
	bits := addr.BitLen()
	if isNet {
		n, ok := parseMask(mask, addr)
		if !ok {
			return netip.Prefix{}, false
		}
		bits = n
	}
	p := netip.PrefixFrom(addr, bits)
	if addr.Is4In6() {
		if bits < 96 {
			return p.Masked(), true
		}
		p = netip.PrefixFrom(addr.Unmap(), bits-96)
	}
	return p.Masked(), true
}

// parseMask reads what follows the slash: a number of bits, where out-of-range means the whole
// address, or a contiguous netmask of the same family.
func parseMask(s string, addr netip.Addr) (bits int, ok bool) {
	if n, err := strconv.Atoi(strings.TrimSpace(s)); err == nil {
		if n < 0 || n > addr.BitLen() {
			n = addr.BitLen()
		}
		return n, true
	}
	m, err := netip.ParseAddr(s)
	if err != nil || m.BitLen() != addr.BitLen() {
		return 0, false
	}
	n, ended := 0, false
	for _, b := range m.AsSlice() {
		for i := 7; i >= 0; i-- {
			set := b>>i&1 == 1
			if set && ended {
				return 0, false // 255.0.255.0 has no prefix length
			}
			if set {
				n++
			} else {
				ended = true
			}
		}
	}
	return n, true
}

func unbracket(s string) string {
	if len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' {
		return s[1 : len(s)-1]
	}
	return s
}

// format spells an address as C's inet_ntop does, which differs from netip in one place: an IPv6
// address whose first 96 bits are zero, and no more than these, ends in dotted form.
func format(a netip.Addr) string {
	if a.Is6() {
		b := a.As16()
		compatible := true
		for _, x := range b[:12] {
			compatible = compatible && x == 0
		}
		if compatible && (b[12] != 0 || b[13] != 0) {
			return "::" + netip.AddrFrom4([4]byte(b[12:])).String()
		}
		if a.Is4In6() { // only as the base of a network shorter than /96
			return "::ffff:" + a.Unmap().String()
		}
	}
	return a.String()
}

// String gives the text that logs, scripts and databases know the ID by.
func (id ID) String() string { return id.text }

// IsZero reports whether the ID names nothing.
func (id ID) IsZero() bool { return id.text == "" }

// Prefix gives the network or (full-length) host address; it is invalid for a raw ID.
func (id ID) Prefix() netip.Prefix { return id.prefix }

// IsAddr reports whether the ID is an address or a network, hence something a firewall can hold.
func (id ID) IsAddr() bool { return id.prefix.IsValid() }

// Family is fail2ban's name of the address family: "inet4", "inet6", or "" for a raw ID.
func (id ID) Family() string {
	switch {
	case !id.prefix.IsValid():
		return ""
	case id.prefix.Addr().Is4():
		return "inet4"
	default:
		return "inet6"
	}
}

// Contains reports whether every address of other lies in id. A raw ID contains only itself.
func (id ID) Contains(other ID) bool {
	if !id.IsAddr() || !other.IsAddr() {
		return id == other
	}
	return id.prefix.Bits() <= other.prefix.Bits() && id.prefix.Contains(other.prefix.Addr())
}

// MarshalText writes the ID's text, so that JSON shows it as a string.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.text), nil }

// UnmarshalText reads what MarshalText wrote. An address in raw form comes back as an address.
func (id *ID) UnmarshalText(b []byte) error {
	*id = Parse(string(b))
	return nil
}
