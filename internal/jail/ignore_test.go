package jail_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

var testID = ident.Parse("192.0.2.1")

func addrs(list ...string) []netip.Addr {
	var out []netip.Addr
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func testList() *jail.IgnoreList {
	l := jail.NewIgnoreList([]string{
		"127.0.0.1/8", "::1", "192.0.2.7", "198.51.100.0/255.255.255.0", "198.51.100.128/25", "2001:db8::/32",
		"home.example", "backup", "", "192.0.2.7",
	})
	l.SetOwn(addrs("203.0.113.1", "fe80::1%eth0", "::ffff:203.0.113.2"))
	l.SetResolved("home.example", addrs("203.0.113.9", "2001:db9::9"))
	return l
}

func TestIgnoreListMatchesByContainment(t *testing.T) {
	l := testList()
	for _, c := range []struct {
		id, rule string
		source   jail.Source
	}{
		{"127.4.5.6", "127.0.0.1/8", jail.SourceIP},
		{"::1", "::1", jail.SourceIP},
		{"192.0.2.7", "192.0.2.7", jail.SourceIP},
		{"::ffff:192.0.2.7", "192.0.2.7", jail.SourceIP},
		{"198.51.100.1", "198.51.100.0/255.255.255.0", jail.SourceIP},
		{"198.51.100.200", "198.51.100.128/25", jail.SourceIP},
		{"198.51.100.192/26", "198.51.100.128/25", jail.SourceIP},
		{"198.51.100.0/24", "198.51.100.0/255.255.255.0", jail.SourceIP},
		{"2001:db8:1::2", "2001:db8::/32", jail.SourceIP},
		{"203.0.113.9", "home.example", jail.SourceDNS},
		{"2001:db9::9", "home.example", jail.SourceDNS},
		{"203.0.113.1", "ignoreself", jail.SourceSelf},
		{"203.0.113.2", "ignoreself", jail.SourceSelf},
		{"fe80::1", "ignoreself", jail.SourceSelf},
		{"backup", "backup", jail.SourceIP},
		{"home.example", "home.example", jail.SourceIP},

		{"192.0.2.8", "", ""},
		{"198.51.100.0/23", "", ""},
		{"203.0.113.0/31", "", ""},
		{"::2", "", ""},
		{"2001:db9::8", "", ""},
		{"back", "", ""},
		{"", "", ""},
	} {
		rule, ok := l.Match(ident.Parse(c.id))
		found, _ := l.Find(ident.Parse(c.id))
		if rule != c.rule || ok != (c.rule != "") || found.Source != c.source {
			t.Errorf("%q: %q %v %+v, want %q %q", c.id, rule, ok, found, c.rule, c.source)
		}
	}
}

func TestIgnoreListTouchesWhatANetworkWouldReach(t *testing.T) {
	l := testList()
	for _, c := range []struct{ id, rule string }{
		{"192.0.2.7", "192.0.2.7"},
		{"192.0.2.0/24", "192.0.2.7"},
		{"198.51.0.0/16", "198.51.100.0/255.255.255.0"},
		{"203.0.113.0/29", "ignoreself"},
		{"203.0.113.8/29", "home.example"},
		{"2000::/3", "2001:db8::/32"},
		{"192.0.3.0/24", ""},
		{"192.0.2.8", ""},
		{"user", ""},
		{"backup", "backup"},
	} {
		r, ok := l.Touches(ident.Parse(c.id))
		if r.Entry != c.rule || ok != (c.rule != "") {
			t.Errorf("%q: %+v %v, want %q", c.id, r, ok, c.rule)
		}
	}
}

func TestIgnoreListTellsWhatToResolve(t *testing.T) {
	l := jail.NewIgnoreList([]string{
		"www.example", "a-b_c.example", "10.0.0.1", "999.1.2.3", "file:/etc/list", "with blank", strings.Repeat("x", 254), "localhost",
	})
	if got, want := l.Hosts(), []string{"a-b_c.example", "localhost", "www.example"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestIgnoreListTakesTheLatestAnswer(t *testing.T) {
	l := jail.NewIgnoreList([]string{"one.example", "two.example"})
	l.SetResolved("one.example", addrs("192.0.2.1", "192.0.2.2", "192.0.2.2"))
	l.SetResolved("two.example", addrs("192.0.2.2"))
	l.SetResolved("three.example", addrs("192.0.2.3"))
	l.SetResolved("one.example", addrs("192.0.2.4"))
	for id, want := range map[string]string{"192.0.2.1": "", "192.0.2.2": "two.example", "192.0.2.3": "", "192.0.2.4": "one.example"} {
		if rule, _ := l.Match(ident.Parse(id)); rule != want {
			t.Errorf("%s: %q, want %q", id, rule, want)
		}
	}
	if got := l.Resolved("one.example"); !slices.Equal(got, addrs("192.0.2.4")) {
		t.Errorf("resolved: %v", got)
	}

	var many []netip.Addr
	for a := netip.MustParseAddr("10.0.0.0"); len(many) < 1000; a = a.Next() {
		many = append(many, a)
	}
	l.SetResolved("one.example", many)
	if got := len(l.Resolved("one.example")); got != 256 {
		t.Errorf("kept %d addresses of one name", got)
	}
}

func TestIgnoreListChangesAtRunTime(t *testing.T) {
	l := jail.NewIgnoreList([]string{"192.0.2.0/24"})
	if !l.Add("192.0.2.0/25") || !l.Add("home.example") || !l.Add("2001:db8::1") {
		t.Error("a new entry was taken for an old one")
	}
	if l.Add("192.0.2.77/24") || l.Add("home.example") || l.Add(" ") {
		t.Error("an old entry, or none, was taken for a new one")
	}
	l.SetResolved("home.example", addrs("203.0.113.9"))
	if want := []string{"192.0.2.0/24", "192.0.2.0/25", "home.example", "2001:db8::1"}; !slices.Equal(l.Entries(), want) {
		t.Errorf("entries: %q", l.Entries())
	}
	if !l.Remove("192.0.2.0/255.255.255.0") || !l.Remove("home.example") || !l.Remove("2001:db8:0::1") {
		t.Error("an entry could not be removed")
	}
	if l.Remove("192.0.2.0/24") || l.Remove("home.example") || l.Remove("2001:db8::1") {
		t.Error("an entry was removed twice")
	}
	for id, want := range map[string]string{"192.0.2.1": "192.0.2.0/25", "192.0.2.200": "", "203.0.113.9": "", "home.example": ""} {
		if rule, _ := l.Match(ident.Parse(id)); rule != want {
			t.Errorf("%s: %q, want %q", id, rule, want)
		}
	}
	l.SetOwn(addrs("203.0.113.1"))
	l.SetOwn(nil)
	if rule, ok := l.Match(ident.Parse("203.0.113.1")); ok {
		t.Errorf("no longer own, but ignored by %q", rule)
	}
}
