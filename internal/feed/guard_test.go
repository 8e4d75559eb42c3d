package feed

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

var someTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// usual are guards as a feed has them that says nothing of its own.
func usual() Guards {
	return Guards{Min4: 8, Min6: 19, MaxEntries: 1000, MayShrink: 0.5, ShortScore: NoScore, CountScore: NoScore, Now: someTime}
}

func entry(t *testing.T, text string) Entry {
	t.Helper()
	e, why := span([]byte(text))
	if why != "" {
		t.Fatalf("%s: %s", text, why)
	}
	e.Score = NoScore
	return e
}

func list(r cidr.Ranges) string {
	var all []string
	for p := range r.Prefixes() {
		all = append(all, p.String())
	}
	return strings.Join(all, " ")
}

func set(texts ...string) cidr.Ranges {
	var b cidr.Builder
	for _, t := range texts {
		b.Add(netip.MustParsePrefix(t))
	}
	return b.Ranges()
}

func TestSpecialSpaceIsNeverBlockedAndIsNamed(t *testing.T) {
	for text, want := range map[string]string{
		"0.0.0.0/0": "more addresses than a /8", "::/0": "more addresses than a /19", "2000::/3": "more addresses than a /19", "0.1.2.3": "this network",
		"10.0.0.0/8": "private", "100.64.1.1": "shared by providers", "127.0.0.1": "loopback", "169.254.169.254": "link-local", "172.31.255.255": "private",
		"192.0.2.1": "documentation", "192.168.0.0/16": "private", "198.18.0.1": "benchmarking", "224.0.0.1": "multicast", "255.255.255.255": "reserved",
		"::1": "reserved", "64:ff9b::1.2.3.4": "reserved", "2001::1": "Teredo", "2001:db8::/32": "documentation", "2002:808::1": "6to4", "fe80::1": "link-local",
		"fd00::1": "private", "fec0::1": "site-local", "5f00::1": "segment routing", "3fff::1": "documentation", "100::1": "discard", "::ffff:10.0.0.1": "private", "192.88.99.1": "6to4", "192.0.0.8": "protocol",
		"ff02::1": "multicast", "1.0.0.0-2.255.255.255": "more addresses than a /8",
	} {
		g := NewGuard(usual())
		g.Take(entry(t, text))
		v, err := g.Verdict(0)
		if err != nil || !v.Block.Empty() || len(v.Refused) != 1 || !strings.Contains(v.Refused[0].Why, want) || v.Refused[0].Entries != 1 {
			t.Errorf("%s: blocks %q, refused %+v, %v; want %q", text, list(v.Block), v.Refused, err, want)
		}
	}
}

func TestAListOfOnesOwnMayNamePrivateSpaceAndNoMore(t *testing.T) {
	g := usual()
	g.Private = true
	guard := NewGuard(g)
	for _, text := range []string{"192.168.1.100", "10.1.0.0/16", "192.0.2.0/24", "127.0.0.1", "224.0.0.1", "fe80::1", "::1", "fd00::/32"} {
		guard.Take(entry(t, text))
	}
	v, err := guard.Verdict(0)
	if got := list(v.Block); err != nil || got != "10.1.0.0/16 192.0.2.0/24 192.168.1.100/32 fd00::/32" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestWhatIsAllowedIsCutOutOfNetworks(t *testing.T) {
	g := usual()
	g.Allow, g.Own = set("1.2.3.0/25", "9.9.9.9/32"), set("1.2.3.200/32", "2606:4700::1/128")
	guard := NewGuard(g)
	for _, text := range []string{"1.2.3.0/24", "1.2.3.5", "9.9.9.9", "1.2.3.200", "2606:4700::1", "2606:4700::2", "192.0.0.0-192.0.3.255"} {
		guard.Take(entry(t, text))
	}
	v, err := guard.Verdict(0)
	want := "1.2.3.128/26 1.2.3.192/29 1.2.3.201/32 1.2.3.202/31 1.2.3.204/30 1.2.3.208/28 1.2.3.224/27 192.0.1.0/24 192.0.3.0/24 2606:4700::2/128"
	if got := list(v.Block); err != nil || got != want {
		t.Errorf("%q\nnot %q, %v", got, want, err)
	}
	var why []string
	for _, r := range v.Refused {
		why = append(why, fmt.Sprint(r.Why, r.Examples))
	}
	if got := strings.Join(why, "; "); got != "allowed[1.2.3.5 9.9.9.9]; this machine's own, its gateway or its resolver[1.2.3.200 2606:4700::1]" {
		t.Errorf("refused: %s", got)
	}
}

func TestScoresHaveBands(t *testing.T) {
	g := usual()
	g.MinScore, g.ShortScore, g.CountScore = 60, 40, 20
	guard := NewGuard(g)
	for i, score := range []int{NoScore, 100, 60, 59, 40, 39, 20, 19, 0} {
		e := entry(t, fmt.Sprintf("8.8.4.%d", 10*i))
		e.Score = score
		guard.Take(e)
	}
	v, err := guard.Verdict(0)
	if err != nil || list(v.Block) != "8.8.4.0/32 8.8.4.10/32 8.8.4.20/32" || list(v.Short) != "8.8.4.30/32 8.8.4.40/32" || list(v.Count) != "8.8.4.50/32 8.8.4.60/32" {
		t.Errorf("%q %q %q %v", list(v.Block), list(v.Short), list(v.Count), err)
	}
	if len(v.Refused) != 1 || v.Refused[0].Why != "a score below 20" || v.Refused[0].Entries != 2 {
		t.Errorf("%+v", v.Refused)
	}
}

func TestAListThatShouldSayScoresIsNotTakenWithout(t *testing.T) {
	for _, c := range []struct {
		min    int
		scores []int
		want   error
		block  string
	}{
		{60, []int{Unscored, Unscored}, ErrUnscored, ""},
		{60, []int{Unscored, 70}, nil, "8.8.4.10/32"},
		{60, []int{Unscored, 10}, nil, ""},
		{0, []int{Unscored, 10}, nil, "8.8.4.0/32 8.8.4.10/32"},
	} {
		g := usual()
		g.MinScore = c.min
		guard := NewGuard(g)
		for i, score := range c.scores {
			e := entry(t, fmt.Sprintf("8.8.4.%d", 10*i))
			e.Score = score
			guard.Take(e)
		}
		v, err := guard.Verdict(0)
		if !errors.Is(err, c.want) || list(v.Block) != c.block {
			t.Errorf("%+v: %q, %v", c, list(v.Block), err)
		}
	}
}

func TestEntriesThatAreOverDoNotCountAndTheNextEndIsKnown(t *testing.T) {
	guard := NewGuard(usual())
	for i, until := range []time.Duration{-time.Second, 0, time.Hour, 2 * time.Hour} {
		e := entry(t, fmt.Sprintf("8.8.4.%d", 10*i))
		e.Until = someTime.Add(until)
		guard.Take(e)
	}
	e := entry(t, "8.8.4.99")
	e.Revoked = true
	guard.Take(e)
	v, err := guard.Verdict(0)
	if err != nil || list(v.Block) != "8.8.4.20/32 8.8.4.30/32" || v.Entries != 2 || !v.NextEnd.Equal(someTime.Add(time.Hour)) {
		t.Errorf("%q %d %v %v", list(v.Block), v.Entries, v.NextEnd, err)
	}
}

func TestAListThatShrinksOrIsEmptyIsNotTaken(t *testing.T) {
	for _, c := range []struct {
		previous, now int
		shrink        float64
		mayEmpty      bool
		want          error
	}{
		{0, 0, 0.5, false, ErrEmpty},
		{50, 0, 0.5, false, ErrEmpty},
		{50, 0, 0.5, true, nil},
		{200, 0, 0.5, true, ErrShrunk},
		{200, 0, 1, true, nil},
		{200, 0, 1, false, ErrEmpty},
		{100, 49, 0.5, false, ErrShrunk},
		{100, 50, 0.5, false, nil},
		{99, 1, 0.5, false, nil},
		{1000, 899, 0.1, false, ErrShrunk},
		{0, 5, 0.5, false, nil},
	} {
		g := usual()
		g.MayShrink, g.MayEmpty = c.shrink, c.mayEmpty
		guard := NewGuard(g)
		for i := range c.now {
			guard.Take(entry(t, fmt.Sprintf("8.8.%d.%d", i/250, i%250)))
		}
		if _, err := guard.Verdict(c.previous); !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// TestAGuardIsRightAboutEveryAddress compares with a model that asks for each address by itself.
func TestAGuardIsRightAboutEveryAddress(t *testing.T) {
	rng := rand.New(rand.NewPCG(6, 11))
	special := cidr.Special()
	for range 300 {
		g := usual()
		g.Private = rng.IntN(2) == 0
		g.MinScore, g.ShortScore, g.CountScore = 60, []int{NoScore, 40}[rng.IntN(2)], []int{NoScore, 20}[rng.IntN(2)]
		base := []uint32{0xc0000000, 0x0a000000, 0xc6120000, 0x08080000, 0xe0000000 - 256}[rng.IntN(5)]
		random := func() (a, b netip.Addr) {
			x := base + rng.Uint32N(768)
			y := min(x+rng.Uint32N(1<<rng.UintN(8)), base+1024)
			return address4(x), address4(y)
		}
		var allowed cidr.Builder
		for range rng.IntN(4) {
			a, b := random()
			allowed.AddRange(a, b)
		}
		g.Allow = allowed.Ranges()
		var entries []Entry
		guard := NewGuard(g)
		for range rng.IntN(12) {
			e := Entry{Score: rng.IntN(102) - 1}
			e.First, e.Last = random()
			entries = append(entries, e)
			guard.Take(e)
		}
		v, err := guard.Verdict(0)
		if err != nil && len(entries) > 0 {
			t.Fatal(err)
		}
		for x := base; x < base+1100; x++ {
			a := address4(x)
			var block, short, count bool
			for _, e := range entries {
				if a.Less(e.First) || e.Last.Less(a) {
					continue
				}
				switch {
				case e.Score == NoScore || e.Score >= 60:
					block = true
				case g.ShortScore >= 0 && e.Score >= g.ShortScore:
					short = true
				case g.CountScore >= 0 && e.Score >= g.CountScore:
					count = true
				}
			}
			free := !g.Allow.Contains(a)
			for _, s := range special {
				free = free && (!s.Prefix.Contains(a) || g.Private && !s.Never)
			}
			if v.Block.Contains(a) != (block && free) || v.Short.Contains(a) != (short && free) || v.Count.Contains(a) != (count && free) {
				t.Fatalf("%s: block %v short %v count %v, and the guard says %v %v %v; entries %+v, allowed %s", a, block && free, short && free, count && free,
					v.Block.Contains(a), v.Short.Contains(a), v.Count.Contains(a), entries, list(g.Allow))
			}
		}
	}
}

func address4(x uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], x)
	return netip.AddrFrom4(b)
}
