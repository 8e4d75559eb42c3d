package feed

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"strconv"
	"strings"
)

// plain reads a list with an address, a network or a range on each line: what follows it after a blank, a tab, a
// comma, or one of # ; | is a comment, and so are lines that begin with # ; or //. A line of two addresses and
// the length of the prefix that they make is a range, as DShield writes it.
func (p *parser) plain() error {
	begun := false
	for {
		b, long, err := p.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Lines++
		b = bytes.TrimSpace(b)
		if len(b) == 0 || b[0] == '#' || b[0] == ';' || bytes.HasPrefix(b, []byte("//")) {
			continue
		}
		first := !begun
		begun = true
		word, rest := firstWord(b)
		e, why := span(word)
		switch {
		case why == "":
			if last, ok := secondAddress(rest, e); ok {
				e.Last = last
			}
			e.Line, e.Score = p.Lines, NoScore
			p.entry(e)
		case first && isHeading(b):
			// Some begin with the names of their columns.
		case long:
			p.bad(p.Lines, b, "the line is too long")
		default:
			p.bad(p.Lines, b, why)
		}
	}
}

func firstWord(b []byte) (word, rest []byte) {
	i := bytes.IndexAny(b, " \t,#;|\"")
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i:]
}

// secondAddress reads the end of a range that stands beside its beginning: behind a dash, or where the length of
// the prefix that both make stands behind it. Two addresses alone may be anything.
func secondAddress(rest []byte, e Entry) (last netip.Addr, ok bool) {
	if e.First != e.Last || len(rest) == 0 || rest[0] != '\t' && rest[0] != ' ' {
		return last, false
	}
	rest, dash := bytes.CutPrefix(bytes.TrimSpace(rest), []byte("-"))
	if rest = bytes.TrimSpace(rest); len(rest) == 0 || !dash && (rest[0] < '0' || rest[0] > '9') {
		return last, false
	}
	word, rest := firstWord(rest)
	end, why := span(word)
	if why != "" || end.First != end.Last || end.First.Is4() != e.First.Is4() || end.First.Less(e.First) {
		return last, false
	}
	if dash {
		return end.First, true
	}
	word, _ = firstWord(bytes.TrimSpace(rest))
	bits, err := strconv.Atoi(string(word))
	if err != nil || bits < 0 || bits > e.First.BitLen() {
		return last, false
	}
	first, last := ends(netip.PrefixFrom(e.First, bits))
	return last, first == e.First && last == end.First
}

// isHeading reports whether a line is of words alone.
func isHeading(b []byte) bool {
	return bytes.IndexFunc(b, func(r rune) bool { return r >= '0' && r <= '9' || r == ':' || r == '<' || r == '{' || r == 0xfffd }) < 0
}

// span reads an address, a network or a range. Why is empty if it is one.
func span(word []byte) (e Entry, why string) {
	if a, ok := host4(word); ok {
		return Entry{First: a, Last: a}, ""
	}
	if len(word) > 100 {
		return e, "this is no address"
	}
	s := string(word)
	if first, last, isRange := strings.Cut(s, "-"); isRange {
		a, errA := netip.ParseAddr(first)
		z, errZ := netip.ParseAddr(last)
		a, z = a.Unmap(), z.Unmap()
		switch {
		case errA != nil || errZ != nil || a.Zone() != "" || z.Zone() != "":
			return e, "this is no range of addresses"
		case a.BitLen() != z.BitLen() || z.Less(a):
			return e, "the range ends before it begins"
		}
		return Entry{First: a, Last: z}, ""
	}
	host, mask, isNet := strings.Cut(s, "/")
	a, err := netip.ParseAddr(host)
	switch {
	case err != nil && (strings.HasPrefix(s, "[") || strings.Count(s, ":") == 1 && strings.Contains(s, ".")):
		return e, "an address with a port is no address"
	case err != nil:
		return e, "this is no address"
	case a.Zone() != "":
		return e, "an address with a zone means one device"
	case !isNet:
		a = a.Unmap()
		return Entry{First: a, Last: a}, ""
	}
	bits, ok := prefixBits(mask, a)
	if !ok {
		return e, "this is no length of a prefix"
	}
	if a.Is4In6() {
		if bits -= 96; bits < 0 {
			return e, "this is no length of a prefix"
		}
		a = a.Unmap()
	}
	first, last := ends(netip.PrefixFrom(a, bits))
	if last.Is4In6() {
		return e, "this network ends in IPv4 addresses that are written as IPv6"
	}
	return Entry{First: first, Last: last}, ""
}

// host4 reads what most lines are, without making a string of it. What it does not take may be an address still.
func host4(b []byte) (netip.Addr, bool) {
	var a [4]byte
	part, n, digits := 0, 0, 0
	for _, c := range b {
		switch {
		case c >= '0' && c <= '9' && digits < 3 && (digits == 0 || n > 0):
			n, digits = 10*n+int(c-'0'), digits+1
		case c == '.' && digits > 0 && n < 256 && part < 3:
			a[part] = byte(n)
			part, n, digits = part+1, 0, 0
		default:
			return netip.Addr{}, false
		}
	}
	if part != 3 || digits == 0 || n > 255 {
		return netip.Addr{}, false
	}
	a[3] = byte(n)
	return netip.AddrFrom4(a), true
}

// prefixBits reads the length of a prefix, or a mask of IPv4.
func prefixBits(mask string, a netip.Addr) (int, bool) {
	if n, err := strconv.ParseUint(mask, 10, 8); err == nil && len(mask) <= 3 {
		return int(n), int(n) <= a.BitLen()
	}
	m, err := netip.ParseAddr(mask)
	if err != nil || !m.Is4() || !a.Is4() {
		return 0, false
	}
	b := m.As4()
	v := uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
	n := 0
	for v&(1<<31) != 0 {
		n++
		v <<= 1
	}
	return n, v == 0
}

// ends are the first and the last address of a network.
func ends(p netip.Prefix) (first, last netip.Addr) {
	p = p.Masked()
	first = p.Addr()
	if first.Is4() {
		b := first.As4()
		fill(b[:], p.Bits())
		return first, netip.AddrFrom4(b)
	}
	b := first.As16()
	fill(b[:], p.Bits())
	return first, netip.AddrFrom16(b)
}

// fill sets all bits from a place on.
func fill(b []byte, from int) {
	for i := range b {
		switch at := from - 8*i; {
		case at <= 0:
			b[i] = 0xff
		case at < 8:
			b[i] |= 0xff >> at
		}
	}
}
