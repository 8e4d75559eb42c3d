package cidr_test

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

func of(texts ...string) cidr.Ranges {
	var b cidr.Builder
	for _, s := range texts {
		b.Add(netip.MustParsePrefix(s))
	}
	return b.Ranges()
}

// written gives a set as text, for comparison.
func written(r cidr.Ranges) string { return fmt.Sprint(slices.Collect(r.Prefixes())) }

func TestEverythingIsOneRangeOfEachFamily(t *testing.T) {
	all := of("0.0.0.0/0", "::/0")
	v4, v6 := all.Addresses()
	if all.Len() != 2 || v4 != 1<<32 || v6 != 0x1p128 || written(all) != "[0.0.0.0/0 ::/0]" {
		t.Errorf("%s: %d ranges, %d and %g addresses", written(all), all.Len(), v4, v6)
	}
	if !cidr.Union(of("0.0.0.0/1", "8000::/1"), of("128.0.0.0/1", "::/1")).Equal(all) {
		t.Error("two halves are not the whole")
	}
	if nothing := all.Without(all); !nothing.Empty() || nothing.Lists(1).Len() != 0 {
		t.Errorf("all without all is %s", written(nothing))
	}
	if rest := all.Without(of("0.0.0.0/32", "255.255.255.255/32", "::/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128")); rest.Len() != 2 ||
		rest.Contains(netip.MustParseAddr("0.0.0.0")) || rest.Contains(netip.MustParseAddr("255.255.255.255")) || rest.Contains(netip.IPv6Unspecified()) ||
		!rest.Covers(netip.MustParsePrefix("64.0.0.0/2")) {
		t.Errorf("without its ends it is %s", written(rest))
	}
	if !all.Intersect(of("192.0.2.0/24")).Equal(of("192.0.2.0/24")) {
		t.Error("all and a network is not the network")
	}
}

// A hole in a network costs one prefix per bit: an allowlisted address in a blocked /8 does not open it.
func TestCutLeavesEverythingButTheHole(t *testing.T) {
	for _, c := range []struct {
		prefix, hole string
		want         int
	}{
		{"10.0.0.0/8", "10.1.2.3/32", 24},
		{"10.0.0.0/8", "10.128.0.0/9", 1},
		{"10.0.0.0/8", "11.0.0.0/8", 1},
		{"10.0.0.0/8", "0.0.0.0/0", 0},
		{"10.1.2.3/32", "10.0.0.0/8", 0},
		{"2001:db8::/32", "2001:db8::1/128", 96},
		{"::/0", "::/128", 128},
	} {
		p, hole := netip.MustParsePrefix(c.prefix), of(c.hole)
		got := cidr.Cut(p, hole)
		left := cidr.Of(got...)
		if len(got) != c.want || !left.Intersect(hole).Empty() || !cidr.Union(left, hole.Intersect(cidr.Of(p))).Equal(cidr.Of(p)) {
			t.Errorf("%s without %s: %v", c.prefix, c.hole, got)
		}
	}
}

func TestWhatIsNoAddressIsInNoSet(t *testing.T) {
	var b cidr.Builder
	b.Add(netip.Prefix{})
	b.Add(netip.PrefixFrom(netip.MustParseAddr("192.0.2.1"), 33))
	for _, c := range []struct {
		first, last netip.Addr
		ok          bool
	}{
		{netip.Addr{}, netip.Addr{}, false},
		{netip.MustParseAddr("192.0.2.1"), netip.Addr{}, false},
		{netip.MustParseAddr("::1"), netip.Addr{}, false},
		{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("::1"), false},
		{netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.1"), false},
		{netip.MustParseAddr("::ffff:192.0.2.1"), netip.MustParseAddr("192.0.2.1"), true},
	} {
		if got := b.AddRange(c.first, c.last); got != c.ok {
			t.Errorf("AddRange(%s, %s) is %v", c.first, c.last, got)
		}
	}
	r := b.Ranges()
	if written(r) != "[192.0.2.1/32]" {
		t.Errorf("%s", written(r))
	}
	if r.Contains(netip.Addr{}) || r.Covers(netip.Prefix{}) || r.Overlaps(netip.Prefix{}) {
		t.Error("it has what is no address")
	}
	if !b.Ranges().Empty() {
		t.Error("the builder still has what it has given")
	}
}

// IPv4 has one form: an address in IPv6's clothes is the same one.
func TestMappedAddressesAreIPv4(t *testing.T) {
	r := of("::ffff:192.0.2.0/120")
	if written(r) != "[192.0.2.0/24]" || !r.Contains(netip.MustParseAddr("::ffff:192.0.2.77")) || !r.Covers(netip.MustParsePrefix("::ffff:192.0.2.0/121")) {
		t.Errorf("%s", written(r))
	}
	if wide := of("::ffff:0:0/95"); wide.Contains(netip.MustParseAddr("192.0.2.1")) {
		t.Errorf("a network of IPv6 has IPv4 addresses: %s", written(wide))
	}
}

// Few lengths are worth more prefixes, but not any number of them.
func TestFewLengthsAreBoughtWithMorePrefixes(t *testing.T) {
	odd := of("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/25", "203.0.113.130/31", "100.64.0.0/22")
	if l := odd.Lists(8); len(l.V4) > 8 || l.Len() < 5 {
		t.Errorf("8 lengths: %v", l.V4)
	}
	for n := 1; n <= 4; n++ {
		few(t, odd, n)
	}
	// What has been split counts where it is now: giving up /22 would split four, so /20 goes.
	chain := of("10.0.0.0/20", "10.1.0.0/21", "10.2.0.0/22", "10.3.0.0/22", "10.4.0.0/23").Lists(2)
	if len(chain.V4[22]) != 8 || len(chain.V4[23]) != 1 || chain.Len() != 9 {
		t.Errorf("two of four lengths: %v", chain.V4)
	}
	// A /8 among hosts stays what it is, rather than being sixteen million hosts.
	wide := of("10.0.0.0/8", "192.0.2.1/32").Lists(1)
	if len(wide.V4[8]) != 1 || len(wide.V4[32]) != 1 || wide.Len() != 2 {
		t.Errorf("a /8 and a host: %d prefixes of %d lengths", wide.Len(), len(wide.V4))
	}
	if l := of("2001:db8::/32", "2001:db8:ffff::1/128", "2001:db9::1/128").Lists(1); l.Len() != 2 {
		t.Errorf("a /32 and a host of IPv6: %v", l.V6)
	}
}

func TestKeysGoThereAndBack(t *testing.T) {
	for _, s := range []string{"0.0.0.0/0", "192.0.2.1/32", "255.255.255.255/32", "10.0.0.0/8"} {
		p := netip.MustParsePrefix(s)
		if got := cidr.Prefix4(cidr.Key4(p), p.Bits()); got != p {
			t.Errorf("%s becomes %s", p, got)
		}
	}
	for _, s := range []string{"::/0", "2001:db8::1/128", "2001:db8:1:2::/64", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128"} {
		p := netip.MustParsePrefix(s)
		if got := cidr.Prefix6(cidr.Key6(p), p.Bits()); got != p {
			t.Errorf("%s becomes %s", p, got)
		}
	}
}
