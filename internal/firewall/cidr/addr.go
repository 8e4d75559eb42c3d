package cidr

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Addr6 is an IPv6 address as a number.
type Addr6 struct{ Hi, Lo uint64 }

// Compare orders addresses as numbers.
func (a Addr6) Compare(b Addr6) int { return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo)) }

func (a Addr6) less(b Addr6) bool { return a.Hi < b.Hi || a.Hi == b.Hi && a.Lo < b.Lo }

func (a Addr6) next() Addr6 {
	lo, carry := bits.Add64(a.Lo, 1, 0)
	return Addr6{a.Hi + carry, lo}
}

func (a Addr6) previous() Addr6 {
	lo, borrow := bits.Sub64(a.Lo, 1, 0)
	return Addr6{a.Hi - borrow, lo}
}

// mask6 has ones for the host bits of a length.
func mask6(length int) Addr6 {
	switch {
	case length <= 0:
		return Addr6{^uint64(0), ^uint64(0)}
	case length < 64:
		return Addr6{^uint64(0) >> length, ^uint64(0)}
	case length < 128:
		return Addr6{0, ^uint64(0) >> (length - 64)}
	}
	return Addr6{}
}

func mask4(length int) uint32 {
	if length <= 0 {
		return ^uint32(0)
	}
	return uint32(uint64(1)<<(32-length) - 1)
}

// Prefix4 gives the prefix of a length at an IPv4 address.
func Prefix4(a uint32, bits int) netip.Prefix {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.PrefixFrom(netip.AddrFrom4(b), bits)
}

// Prefix6 gives the prefix of a length at an IPv6 address.
func Prefix6(a Addr6, bits int) netip.Prefix {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], a.Hi)
	binary.BigEndian.PutUint64(b[8:], a.Lo)
	return netip.PrefixFrom(netip.AddrFrom16(b), bits)
}

// Key4 gives the address of an IPv4 prefix as a number.
func Key4(p netip.Prefix) uint32 { return number4(p.Addr()) }

// Key6 gives the address of an IPv6 prefix as a number.
func Key6(p netip.Prefix) Addr6 { return number6(p.Addr()) }

func number4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

func number6(a netip.Addr) Addr6 {
	b := a.As16()
	return Addr6{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// span4 and span6 give the first and last address of a prefix.
func span4(p netip.Prefix) range4 {
	a, m := number4(p.Addr()), mask4(p.Bits())
	return range4{a &^ m, a | m}
}

func span6(p netip.Prefix) range6 {
	a, m := number6(p.Addr()), mask6(p.Bits())
	return range6{Addr6{a.Hi &^ m.Hi, a.Lo &^ m.Lo}, Addr6{a.Hi | m.Hi, a.Lo | m.Lo}}
}

// canonical gives IPv4 in its own form. It is false for what is no prefix.
func canonical(p netip.Prefix) (netip.Prefix, bool) {
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p, p.IsValid()
}
