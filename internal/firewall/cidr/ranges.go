package cidr

import (
	"cmp"
	"iter"
	"math"
	"math/bits"
	"net/netip"
	"slices"
)

type range4 struct{ first, last uint32 }

type range6 struct{ first, last Addr6 }

// Ranges is a set of addresses of both families. It does not change; a copy shares memory. The zero value
// is empty.
type Ranges struct {
	// Ascending, disjoint, and no two touch.
	v4 []range4
	v6 []range6
}

// kind is what has to be known of a family to work with its ranges.
type kind[A any] struct {
	compare  func(a, b A) int
	next     func(A) A // wraps around behind the last
	previous func(A) A
	max      A
}

func kind4() kind[uint32] {
	return kind[uint32]{cmp.Compare[uint32], func(a uint32) uint32 { return a + 1 }, func(a uint32) uint32 { return a - 1 }, math.MaxUint32}
}

func kind6() kind[Addr6] {
	return kind[Addr6]{Addr6.Compare, Addr6.next, Addr6.previous, Addr6{math.MaxUint64, math.MaxUint64}}
}

// join4 makes ranges of spans that ascend by their first address, in place.
func join4(spans []range4) []range4 {
	n := 0
	for _, r := range spans {
		if n > 0 && (spans[n-1].last == math.MaxUint32 || r.first <= spans[n-1].last+1) {
			spans[n-1].last = max(spans[n-1].last, r.last)
			continue
		}
		spans[n] = r
		n++
	}
	return spans[:n]
}

func join6(spans []range6) []range6 {
	n := 0
	for _, r := range spans {
		if n > 0 {
			end := spans[n-1].last
			if next := end.next(); next == (Addr6{}) || !next.less(r.first) {
				if end.less(r.last) {
					spans[n-1].last = r.last
				}
				continue
			}
		}
		spans[n] = r
		n++
	}
	return spans[:n]
}

// Builder collects addresses for a Ranges; the zero value is ready to use. It takes 8 bytes for an IPv4
// prefix and 32 for one of IPv6.
type Builder struct {
	v4 []range4
	v6 []range6
}

// Grow makes room for n more IPv4 prefixes.
func (b *Builder) Grow(n int) { b.v4 = slices.Grow(b.v4, n) }

// Add takes a prefix in; host bits do not matter. What is no prefix is left out.
func (b *Builder) Add(p netip.Prefix) {
	p, ok := canonical(p)
	switch {
	case !ok:
	case p.Addr().Is4():
		b.v4 = append(b.v4, span4(p))
	default:
		b.v6 = append(b.v6, span6(p))
	}
}

// AddRange takes all addresses from first to last in. It is false if they are of different families or in
// the wrong order.
func (b *Builder) AddRange(first, last netip.Addr) bool {
	first, last = first.Unmap(), last.Unmap()
	if !first.IsValid() || first.Is4() != last.Is4() || last.Less(first) {
		return false
	}
	if first.Is4() {
		b.v4 = append(b.v4, range4{number4(first), number4(last)})
	} else {
		b.v6 = append(b.v6, range6{number6(first), number6(last)})
	}
	return true
}

// Ranges gives what was collected, and empties the Builder.
func (b *Builder) Ranges() Ranges {
	sort4(b.v4)
	slices.SortFunc(b.v6, func(x, y range6) int { return x.first.Compare(y.first) })
	r := Ranges{slices.Clip(join4(b.v4)), slices.Clip(join6(b.v6))}
	*b = Builder{}
	return r
}

// sort4 sorts by the first address. Radix sort takes a quarter of the time of comparisons for a million.
func sort4(spans []range4) {
	if len(spans) < 4096 {
		slices.SortFunc(spans, func(x, y range4) int { return cmp.Compare(x.first, y.first) })
		return
	}
	if slices.IsSortedFunc(spans, func(x, y range4) int { return cmp.Compare(x.first, y.first) }) {
		return
	}
	other := make([]range4, len(spans))
	from, to := spans, other
	for shift := 0; shift < 32; shift += 8 {
		var starts [256]int
		for _, r := range from {
			starts[r.first>>shift&0xff]++
		}
		sum := 0
		for i, n := range starts {
			starts[i] = sum
			sum += n
		}
		for _, r := range from {
			i := r.first >> shift & 0xff
			to[starts[i]] = r
			starts[i]++
		}
		from, to = to, from
	}
	// Four passes: the result is in spans again.
}

// Of gives the addresses of prefixes in any order, overlapping or not.
func Of(prefixes ...netip.Prefix) Ranges {
	var b Builder
	for _, p := range prefixes {
		b.Add(p)
	}
	return b.Ranges()
}

// Union gives what is in any of the sets.
func Union(sets ...Ranges) Ranges {
	var out Ranges
	switch len(sets) {
	case 0:
		return out
	case 1:
		return sets[0]
	case 2:
		return Ranges{
			join4(mergeSpans(sets[0].v4, sets[1].v4, func(x, y range4) bool { return x.first <= y.first })),
			join6(mergeSpans(sets[0].v6, sets[1].v6, func(x, y range6) bool { return !y.first.less(x.first) })),
		}
	}
	half := len(sets) / 2
	return Union(Union(sets[:half]...), Union(sets[half:]...))
}

func mergeSpans[R any](a, b []R, first func(x, y R) bool) []R {
	out := make([]R, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		if first(a[0], b[0]) {
			out, a = append(out, a[0]), a[1:]
		} else {
			out, b = append(out, b[0]), b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// Without gives what is in r and not in o.
func (r Ranges) Without(o Ranges) Ranges {
	return Ranges{
		subtract(r.v4, o.v4, kind4(), func(x range4) (uint32, uint32) { return x.first, x.last }, func(a, b uint32) range4 { return range4{a, b} }),
		subtract(r.v6, o.v6, kind6(), func(x range6) (Addr6, Addr6) { return x.first, x.last }, func(a, b Addr6) range6 { return range6{a, b} }),
	}
}

// Intersect gives what is in both.
func (r Ranges) Intersect(o Ranges) Ranges { return r.Without(r.Without(o)) }

func subtract[A, R any](from, what []R, k kind[A], ends func(R) (A, A), of func(A, A) R) []R {
	if len(what) == 0 || len(from) == 0 {
		return from
	}
	out := make([]R, 0, len(from)+len(what))
	for _, r := range from {
		first, last := ends(r)
		for len(what) > 0 {
			if _, end := ends(what[0]); k.compare(end, first) >= 0 {
				break
			}
			what = what[1:]
		}
		gone := false
		for _, w := range what {
			begin, end := ends(w)
			if k.compare(begin, last) > 0 {
				break
			}
			if k.compare(first, begin) < 0 {
				out = append(out, of(first, k.previous(begin)))
			}
			if gone = k.compare(end, last) >= 0; gone {
				break
			}
			first = k.next(end)
		}
		if !gone {
			out = append(out, of(first, last))
		}
	}
	return out
}

// find4 gives the first range that does not end before an address.
func (r Ranges) find4(a uint32) int {
	i, _ := slices.BinarySearchFunc(r.v4, a, func(x range4, a uint32) int { return cmp.Compare(x.last, a) })
	return i
}

func (r Ranges) find6(a Addr6) int {
	i, _ := slices.BinarySearchFunc(r.v6, a, func(x range6, a Addr6) int { return x.last.Compare(a) })
	return i
}

// Contains tells whether an address is in the set.
func (r Ranges) Contains(a netip.Addr) bool {
	if !a.IsValid() {
		return false
	}
	a = a.Unmap()
	return r.Overlaps(netip.PrefixFrom(a, a.BitLen()))
}

// Overlaps tells whether any address of a prefix is in the set.
func (r Ranges) Overlaps(p netip.Prefix) bool {
	p, ok := canonical(p)
	if !ok {
		return false
	}
	if p.Addr().Is4() {
		s := span4(p)
		i := r.find4(s.first)
		return i < len(r.v4) && r.v4[i].first <= s.last
	}
	s := span6(p)
	i := r.find6(s.first)
	return i < len(r.v6) && !s.last.less(r.v6[i].first)
}

// Covers tells whether all addresses of a prefix are in the set.
func (r Ranges) Covers(p netip.Prefix) bool {
	p, ok := canonical(p)
	if !ok {
		return false
	}
	if p.Addr().Is4() {
		s := span4(p)
		i := r.find4(s.first)
		return i < len(r.v4) && r.v4[i].first <= s.first && s.last <= r.v4[i].last
	}
	s := span6(p)
	i := r.find6(s.first)
	return i < len(r.v6) && !s.first.less(r.v6[i].first) && !r.v6[i].last.less(s.last)
}

// Empty tells whether no address is in the set.
func (r Ranges) Empty() bool { return len(r.v4)+len(r.v6) == 0 }

// Len counts the ranges, which is at most the number of prefixes that they were made of.
func (r Ranges) Len() int { return len(r.v4) + len(r.v6) }

// Addresses counts the addresses; those of IPv6 are too many for a whole number.
func (r Ranges) Addresses() (v4 uint64, v6 float64) {
	for _, x := range r.v4 {
		v4 += uint64(x.last-x.first) + 1
	}
	for _, x := range r.v6 {
		lo, borrow := bits.Sub64(x.last.Lo, x.first.Lo, 0)
		v6 += float64(x.last.Hi-x.first.Hi-borrow)*0x1p64 + float64(lo) + 1
	}
	return v4, v6
}

// Equal tells whether both hold the same addresses.
func (r Ranges) Equal(o Ranges) bool { return slices.Equal(r.v4, o.v4) && slices.Equal(r.v6, o.v6) }

// Prefixes gives the fewest prefixes that cover the set and nothing else: IPv4 first, ascending.
func (r Ranges) Prefixes() iter.Seq[netip.Prefix] {
	return func(yield func(netip.Prefix) bool) {
		for _, x := range r.v4 {
			for p := range x.prefixes() {
				if !yield(Prefix4(p.addr, p.length)) {
					return
				}
			}
		}
		for _, x := range r.v6 {
			for p := range x.prefixes() {
				if !yield(Prefix6(p.addr, p.length)) {
					return
				}
			}
		}
	}
}

type prefix4 struct {
	addr   uint32
	length int
}

func (x range4) prefixes() iter.Seq[prefix4] {
	return func(yield func(prefix4) bool) {
		first := x.first
		for {
			// As long as the alignment of the first address allows, and what is left.
			size := min(bits.TrailingZeros32(first), bits.Len64(uint64(x.last-first)+1)-1)
			if !yield(prefix4{first, 32 - size}) {
				return
			}
			last := first | mask4(32-size)
			if last == x.last {
				return
			}
			first = last + 1
		}
	}
}

type prefix6 struct {
	addr   Addr6
	length int
}

func (x range6) prefixes() iter.Seq[prefix6] {
	return func(yield func(prefix6) bool) {
		first := x.first
		for {
			length := 128
			for length > 0 {
				m := mask6(length - 1)
				if first.Hi&m.Hi != 0 || first.Lo&m.Lo != 0 || x.last.less(Addr6{first.Hi | m.Hi, first.Lo | m.Lo}) {
					break
				}
				length--
			}
			if !yield(prefix6{first, length}) {
				return
			}
			m := mask6(length)
			last := Addr6{first.Hi | m.Hi, first.Lo | m.Lo}
			if last == x.last {
				return
			}
			first = last.next()
		}
	}
}

// Cut gives the fewest prefixes that cover p without what is out.
func Cut(p netip.Prefix, out Ranges) []netip.Prefix {
	return slices.Collect(Of(p).Without(out).Prefixes())
}
