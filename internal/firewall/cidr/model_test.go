package cidr_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// The model is the plainest there is: which of some addresses are in. They lie in blocks so small that
// everything overlaps, among them the first and the last of each family, where numbers wrap around.
const blockSize = 256

func blocks() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/24"), netip.MustParsePrefix("198.51.100.0/24"), netip.MustParsePrefix("255.255.255.0/24"),
		netip.MustParsePrefix("::/120"), netip.MustParsePrefix("2001:db8::ffff:ffff:ffff:ff00/120"),
		netip.MustParsePrefix("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ff00/120"),
	}
}

const blockCount = 6

type model [blockCount][blockSize]bool

// addresses are those of the blocks.
var addresses = sync.OnceValue(func() *[blockCount][blockSize]netip.Addr {
	var out [blockCount][blockSize]netip.Addr
	for block, p := range blocks() {
		a := p.Addr()
		for i := range blockSize {
			out[block][i] = a
			a = a.Next()
		}
	}
	return &out
})

func address(block, i int) netip.Addr { return addresses()[block][i] }

// prefix gives a prefix of 2^size addresses around one.
func prefix(block, i, size int) netip.Prefix {
	a := address(block, i)
	return netip.PrefixFrom(a, a.BitLen()-size)
}

func (m *model) add(block, first, last int) {
	for i := first; i <= last; i++ {
		m[block][i] = true
	}
}

// runs counts those that do not touch.
func (m *model) runs() (n int) {
	for _, block := range m {
		for i, in := range block {
			if in && (i == 0 || !block[i-1]) {
				n++
			}
		}
	}
	return n
}

// fewest counts the prefixes that cover what is in of a part, and nothing else.
func fewest(part []bool) int {
	if !slices.Contains(part, false) {
		return 1
	}
	if !slices.Contains(part, true) {
		return 0
	}
	half := len(part) / 2
	return fewest(part[:half]) + fewest(part[half:])
}

// program makes sets by the bytes of a text, as a stack machine, and beside each its model.
type program struct {
	text  []byte
	sets  []cidr.Ranges
	shown []model
}

func (p *program) next(n int) int {
	if len(p.text) == 0 {
		return 0
	}
	b := int(p.text[0])
	p.text = p.text[1:]
	return b % n
}

func (p *program) push(r cidr.Ranges, m model) {
	p.sets, p.shown = append(p.sets, r), append(p.shown, m)
}

// build makes a set of prefixes and ranges in any order.
func (p *program) build() {
	var b cidr.Builder
	var m model
	for range p.next(20) {
		block, i := p.next(blockCount), p.next(blockSize)
		if p.next(2) == 0 {
			size := p.next(9)
			q := prefix(block, i, size)
			if mapped := p.next(4) == 0; mapped && q.Addr().Is4() {
				q = netip.PrefixFrom(netip.AddrFrom16(q.Addr().As16()), q.Bits()+96)
			}
			b.Add(q)
			m.add(block, i&^(1<<size-1), i|(1<<size-1))
			continue
		}
		last := i + p.next(blockSize-i)
		b.AddRange(address(block, i), address(block, last))
		m.add(block, i, last)
	}
	p.push(b.Ranges(), m)
}

func (p *program) step() {
	switch p.next(5) {
	case 0, 1:
		p.build()
	case 2: // all that there are
		out, all := cidr.Union(p.sets...), model{}
		for _, m := range p.shown {
			for block := range m {
				for i, in := range m[block] {
					all[block][i] = all[block][i] || in
				}
			}
		}
		p.push(out, all)
	default:
		if len(p.sets) < 2 {
			p.build()
			return
		}
		x, y := len(p.sets)-1-p.next(len(p.sets)), len(p.sets)-1-p.next(len(p.sets))
		without := p.next(2) == 0
		var m model
		for block := range m {
			for i := range m[block] {
				m[block][i] = p.shown[x][block][i] && p.shown[y][block][i] != without
			}
		}
		if without {
			p.push(p.sets[x].Without(p.sets[y]), m)
		} else {
			p.push(p.sets[x].Intersect(p.sets[y]), m)
		}
	}
}

// run holds every set that the text makes to its model, and at the end all of them again: none changes.
func run(t *testing.T, text []byte) {
	t.Helper()
	p := &program{text: text}
	for len(p.text) > 0 && len(p.sets) < 12 {
		p.step()
		last := len(p.sets) - 1
		agree(t, p.sets[last], &p.shown[last])
		fits(t, p, p.sets[last], &p.shown[last])
	}
	for i := range p.sets {
		agree(t, p.sets[i], &p.shown[i])
	}
	for i := range p.sets {
		for j := range p.sets {
			if got, want := p.sets[i].Equal(p.sets[j]), p.shown[i] == p.shown[j]; got != want {
				t.Fatalf("Equal is %v of\n%v\n%v", got, list(p.sets[i]), list(p.sets[j]))
			}
		}
	}
}

func list(r cidr.Ranges) []netip.Prefix { return slices.Collect(r.Prefixes()) }

// agree compares a set with its model.
func agree(t *testing.T, r cidr.Ranges, m *model) {
	t.Helper()
	var n4, n6 uint64
	for block := range m {
		for i, in := range m[block] {
			if got := r.Contains(address(block, i)); got != in {
				t.Fatalf("Contains(%s) is %v of %v", address(block, i), got, list(r))
			}
			if in && block < blockCount/2 {
				n4++
			} else if in {
				n6++
			}
		}
	}
	if v4, v6 := r.Addresses(); v4 != n4 || v6 != float64(n6) {
		t.Fatalf("Addresses gives %d and %g instead of %d and %d of %v", v4, v6, n4, n6, list(r))
	}
	if got, want := r.Len(), m.runs(); got != want || r.Empty() != (want == 0) {
		t.Fatalf("Len is %d instead of %d, Empty %v, of %v", got, want, r.Empty(), list(r))
	}
	want := 0
	for block := range m {
		want += fewest(m[block][:])
	}
	got := list(r)
	if len(got) != want || !slices.IsSortedFunc(got, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) }) {
		t.Fatalf("%d prefixes instead of %d, or in disorder: %v", len(got), want, got)
	}
	if again := cidr.Of(got...); !again.Equal(r) {
		t.Fatalf("%v make %v", got, list(again))
	}
}

// fits asks for single prefixes, what is left of them, and few lengths.
func fits(t *testing.T, p *program, r cidr.Ranges, m *model) {
	t.Helper()
	for range 1 + p.next(3) {
		block, i, size := p.next(blockCount), p.next(blockSize), p.next(9)
		q := prefix(block, i, size)
		part := m[block][i&^(1<<size-1) : i|(1<<size-1)+1]
		if got, want := r.Covers(q), !slices.Contains(part, false); got != want {
			t.Fatalf("Covers(%s) is %v of %v", q, got, list(r))
		}
		if got, want := r.Overlaps(q), slices.Contains(part, true); got != want {
			t.Fatalf("Overlaps(%s) is %v of %v", q, got, list(r))
		}
		var rest model
		for j := range 1 << size {
			rest[block][i&^(1<<size-1)+j] = !part[j]
		}
		left := cidr.Cut(q, r)
		agree(t, cidr.Of(left...), &rest)
		if len(left) != fewest(rest[block][:]) {
			t.Fatalf("Cut(%s) gives %v", q, left)
		}
	}
	few(t, r, 1+p.next(5))
}

// few demands what Lists promises: the same addresses, once each, in few lengths.
func few(t *testing.T, r cidr.Ranges, maxLengths int) {
	t.Helper()
	l := r.Lists(maxLengths)
	if len(l.V4) > maxLengths || len(l.V6) > maxLengths {
		t.Fatalf("%d and %d lengths instead of %d of %v", len(l.V4), len(l.V6), maxLengths, list(r))
	}
	var all []netip.Prefix
	for n, keys := range l.V4 {
		if len(keys) == 0 || !slices.IsSorted(keys) {
			t.Fatalf("of length %d: %v", n, keys)
		}
		for _, k := range keys {
			all = append(all, cidr.Prefix4(k, n))
		}
	}
	for n, keys := range l.V6 {
		if len(keys) == 0 || !slices.IsSortedFunc(keys, cidr.Addr6.Compare) {
			t.Fatalf("of length %d: %v", n, keys)
		}
		for _, k := range keys {
			all = append(all, cidr.Prefix6(k, n))
		}
	}
	sum := 0.0
	for _, p := range all {
		if p != p.Masked() {
			t.Fatalf("%s has host bits", p)
		}
		size := 1.0
		for range p.Addr().BitLen() - p.Bits() {
			size *= 2
		}
		sum += size
	}
	used4, used6 := map[int]bool{}, map[int]bool{}
	fewest := 0
	for p := range r.Prefixes() {
		fewest++
		if p.Addr().Is4() {
			used4[p.Bits()] = true
		} else {
			used6[p.Bits()] = true
		}
	}
	if len(used4) <= maxLengths && len(used6) <= maxLengths && len(all) != fewest {
		t.Fatalf("%d prefixes instead of %d, though their lengths are few enough: %v", len(all), fewest, list(r))
	}
	v4, v6 := r.Addresses()
	if again := cidr.Of(all...); !again.Equal(r) || sum != float64(v4)+v6 || l.Len() != len(all) {
		t.Fatalf("%d lists of %d prefixes, %d of them in all:\n%v\ninstead of\n%v", len(l.V4)+len(l.V6), len(all), l.Len(), list(again), list(r))
	}
}

func TestSetsAgreeWithThePlainestModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		text := make([]byte, 200+random.IntN(400))
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		run(t, text)
	}
}

func FuzzSets(f *testing.F) {
	f.Add([]byte{0, 3, 0, 255, 1, 1, 2, 0, 0, 8, 5, 5, 255, 0, 2, 2, 3, 0, 1, 0})
	f.Add([]byte("two sets that touch at the end of a block, and their difference"))
	f.Fuzz(func(t *testing.T, text []byte) { run(t, text[:min(len(text), 1000)]) })
}
