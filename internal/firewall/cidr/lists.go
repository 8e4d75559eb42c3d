package cidr

import (
	"slices"
)

// Lists is a set of addresses as hash sets hold it: prefixes of few lengths, each list ascending. It does
// not change.
type Lists struct {
	V4 map[int][]uint32 // by prefix length
	V6 map[int][]Addr6
}

// Len counts the prefixes.
func (l Lists) Len() (n int) {
	for _, list := range l.V4 {
		n += len(list)
	}
	for _, list := range l.V6 {
		n += len(list)
	}
	return n
}

const (
	// costMax is the most prefixes that giving a length up may add: rather too many lengths than that.
	costMax = 1 << 20
)

// Lists gives prefixes of at most maxLengths lengths per family, which is at least 1: the fewest there
// are, but that where they have more lengths, prefixes of those that few have are split into longer ones,
// since each length costs every packet a lookup. It is more than maxLengths where a million prefixes would
// have to be added.
func (r Ranges) Lists(maxLengths int) Lists {
	var have4, have6 [129]int
	for _, x := range r.v4 {
		for p := range x.prefixes() {
			have4[p.length]++
		}
	}
	for _, x := range r.v6 {
		for p := range x.prefixes() {
			have6[p.length]++
		}
	}
	into4, count4 := lengths(have4, maxLengths, 32)
	into6, _ := lengths(have6, maxLengths, 128)
	l := Lists{V4: map[int][]uint32{}, V6: map[int][]Addr6{}}
	var lists4 [33][]uint32
	for n := range lists4 {
		if count4[n] > 0 {
			lists4[n] = make([]uint32, 0, count4[n])
		}
	}
	for _, x := range r.v4 {
		for p := range x.prefixes() {
			to := into4[p.length]
			step := uint64(mask4(to)) + 1
			for i := range uint64(1) << (to - p.length) {
				lists4[to] = append(lists4[to], p.addr+uint32(i*step))
			}
		}
	}
	for n, list := range lists4 {
		if len(list) > 0 {
			l.V4[n] = list
		}
	}
	for _, x := range r.v6 {
		for p := range x.prefixes() {
			to := into6[p.length]
			a := p.addr
			for range uint64(1) << (to - p.length) {
				l.V6[to] = append(l.V6[to], a)
				m := mask6(to)
				a = Addr6{a.Hi | m.Hi, a.Lo | m.Lo}.next()
			}
		}
	}
	for n, list := range l.V6 {
		l.V6[n] = slices.Clip(list)
	}
	return l
}

// lengths says into which length the prefixes of each are split, and how many there will be of it.
func lengths(have [129]int, maxLengths, longest int) (into, count [129]int) {
	count = have
	for n := range into {
		into[n] = n
	}
	for {
		used := 0
		best, cost := -1, 0
		next := 0 // the next longer length in use
		for n := longest; n > 0; n-- {
			if count[n] == 0 {
				continue
			}
			used++
			if next > 0 && next-n < 40 {
				if c := count[n]<<(next-n) - count[n]; best < 0 || c < cost {
					best, cost = n, c
				}
			}
			next = n
		}
		if used <= maxLengths || best < 0 || cost > costMax {
			return into, count
		}
		to := best + 1
		for count[to] == 0 {
			to++
		}
		for n := range into {
			if into[n] == best {
				into[n] = to
			}
		}
		count[to] += count[best] << (to - best)
		count[best] = 0
	}
}
