package cidr_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// collect gives a Builder n hosts and n/50 networks in no order.
func collect(n int) *cidr.Builder {
	random := rand.New(rand.NewPCG(7, 7))
	b := &cidr.Builder{}
	for range n {
		b.Add(cidr.Prefix4(random.Uint32(), 32))
	}
	for range n / 50 {
		b.Add(cidr.Prefix4(random.Uint32(), 16+random.IntN(14)))
	}
	return b
}

// Sorting by digits, which only large sets do, gives what sorting by comparison does.
func TestLargeSetsAreTheSumOfSmallOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var all []netip.Prefix
	for range 20_000 {
		all = append(all, cidr.Prefix4(random.Uint32(), 20+random.IntN(13)))
	}
	var parts []cidr.Ranges
	for i := 0; i < len(all); i += 1000 {
		parts = append(parts, cidr.Of(all[i:i+1000]...))
	}
	large := cidr.Of(all...)
	if !large.Equal(cidr.Union(parts...)) {
		t.Fatal("all at once is another set than its parts together")
	}
	few(t, large, 4)
	rest := large
	for _, p := range parts {
		rest = rest.Without(p)
	}
	if !rest.Empty() {
		t.Errorf("without all its parts %d ranges are left", rest.Len())
	}
}

func BenchmarkOf1M(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		c := collect(1_000_000)
		b.StartTimer()
		c.Ranges()
	}
}

func BenchmarkLists1M(b *testing.B) {
	r := collect(1_000_000).Ranges()
	b.ReportAllocs()
	for b.Loop() {
		r.Lists(8)
	}
}

func BenchmarkContains1M(b *testing.B) {
	r := collect(1_000_000).Ranges()
	random := rand.New(rand.NewPCG(5, 6))
	b.ReportAllocs()
	for b.Loop() {
		r.Contains(cidr.Prefix4(random.Uint32(), 32).Addr())
	}
}

func BenchmarkWithout1M(b *testing.B) {
	r, allow := collect(1_000_000).Ranges(), collect(1000).Ranges()
	b.ReportAllocs()
	for b.Loop() {
		r.Without(allow)
	}
}
