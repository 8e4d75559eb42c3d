package ident_test

import (
	"encoding/json"
	"net/netip"
	"testing"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// parsed lists what Parse makes of a text. The oracle test holds the same list against fail2ban.
var parsed = []struct{ in, text, family string }{
	{"192.0.2.1", "192.0.2.1", "inet4"},
	{"[192.0.2.1]", "192.0.2.1", "inet4"},
	{"192.0.2.1/16", "192.0.0.0/16", "inet4"},
	{"192.0.2.1/255.255.0.0", "192.0.0.0/16", "inet4"},
	{"192.0.2.1/33", "192.0.2.1", "inet4"},
	{"192.0.2.1/99", "192.0.2.1", "inet4"},
	{"192.0.2.1/-1", "192.0.2.1", "inet4"},
	{"192.0.2.1/08", "192.0.0.0/8", "inet4"},
	{"192.0.2.1/32", "192.0.2.1", "inet4"},
	{"::1/128", "::1", "inet6"},
	{"::ffff:192.0.2.1", "192.0.2.1", "inet4"},
	{"::ffff:c000:201", "192.0.2.1", "inet4"},
	{"::192.0.2.1", "::192.0.2.1", "inet6"},
	{"::102", "::102", "inet6"},
	{"::1:0", "::0.1.0.0", "inet6"},
	{"2001:DB8::1", "2001:db8::1", "inet6"},
	{"[2001:db8::1]", "2001:db8::1", "inet6"},
	{"2001:db8::1/ffff:ffff::", "2001:db8::/32", "inet6"},
	{"2001:db8::1/129", "2001:db8::1", "inet6"},
	{"1:0:2:0:3:0:4:5", "1:0:2:0:3:0:4:5", "inet6"},
	{"1:0:0:2:0:0:0:5", "1:0:0:2::5", "inet6"},
	{"fe80::1%eth0", "fe80::1%eth0", ""},
	{"01.2.3.4", "01.2.3.4", ""},
	{"999.1.2.3", "999.1.2.3", ""},
	{" 192.0.2.1", " 192.0.2.1", ""},
	{"1.2.3/24", "1.2.3", ""},
	{"host.example/24", "host.example", ""},
	{"[abc]", "abc", ""},
	{"[192.0.2.1", "[192.0.2.1", ""},
	{"abc", "abc", ""},
	{"", "", ""},
}

func TestParseSpellsAsFail2ban(t *testing.T) {
	for _, c := range parsed {
		id := ident.Parse(c.in)
		if id.String() != c.text || id.Family() != c.family || id.IsAddr() != (c.family != "") {
			t.Errorf("Parse(%q) = %q (%s), want %q (%s)", c.in, id, id.Family(), c.text, c.family)
		}
		if again := ident.Parse(id.String()); again != id {
			t.Errorf("Parse(%q) is not stable: %q then %q", c.in, id, again)
		}
	}
}

func TestParseEqualsFail2bansIPAddr(t *testing.T) {
	in := make([]string, len(parsed))
	for i, c := range parsed {
		in[i] = c.in
	}
	stdin, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var got []struct {
		Text   string
		Family string
	}
	oracle.JSON(t, `
import sys, json, socket
from fail2ban.server.ipdns import IPAddr
fam = {socket.AF_INET: "inet4", socket.AF_INET6: "inet6"}
out = []
for s in json.load(sys.stdin):
    ip = IPAddr(s)
    out.append({"Text": str(ip), "Family": fam.get(ip.family, "")})
json.dump(out, sys.stdout)
`, stdin, &got)
	for i, g := range got {
		id := ident.Parse(in[i])
		if id.String() != g.Text || id.Family() != g.Family {
			t.Errorf("Parse(%q) = %q (%s), fail2ban %q (%s)", in[i], id, id.Family(), g.Text, g.Family)
		}
	}
}

func TestParseWhereWeAreKinder(t *testing.T) {
	// fail2ban raises an exception on the first two, loses the network on the third, and prints
	// 0.0.0.0 for a whole family, which then looks like a host.
	for in, want := range map[string]string{
		"192.0.2.1/255.0.255.0":   "192.0.2.1/255.0.255.0",
		"192.0.2.1/":              "192.0.2.1/",
		"[2001:db8::1]/64":        "2001:db8::/64",
		"0.0.0.0/0":               "0.0.0.0/0",
		"::ffff:192.0.2.1/120":    "192.0.2.0/24",
		"::ffff:192.0.2.1/64":     "::/64",
		"192.0.2.1/24/8":          "192.0.2.1/24/8",
		"::ffff:0:0/96":           "0.0.0.0/0",
		"[2001:db8::1]/not-a-net": "[2001:db8::1]/not-a-net",
	} {
		if got := ident.Parse(in).String(); got != want {
			t.Errorf("Parse(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestContains(t *testing.T) {
	for _, c := range []struct {
		outer, inner string
		want         bool
	}{
		{"192.0.2.0/24", "192.0.2.77", true},
		{"192.0.2.0/24", "192.0.2.0/25", true},
		{"192.0.2.0/25", "192.0.2.0/24", false},
		{"192.0.2.0/24", "2001:db8::1", false},
		{"2001:db8::/32", "2001:db8:1::/48", true},
		{"bob", "bob", true},
		{"bob", "eve", false},
		{"192.0.2.0/24", "bob", false},
	} {
		if got := ident.Parse(c.outer).Contains(ident.Parse(c.inner)); got != c.want {
			t.Errorf("%s contains %s = %v, want %v", c.outer, c.inner, got, c.want)
		}
	}
}

func TestRawIsNeverAnAddress(t *testing.T) {
	id := ident.Raw("192.0.2.1")
	if id.IsAddr() || id.Prefix().IsValid() || id.String() != "192.0.2.1" || id.Contains(ident.Parse("192.0.2.1")) {
		t.Errorf("Raw = %#v", id)
	}
}

func TestFromAddrAndPrefix(t *testing.T) {
	if got := ident.FromAddr(netip.MustParseAddr("fe80::1%eth0")).String(); got != "fe80::1" {
		t.Errorf("zone kept: %q", got)
	}
	if !ident.FromAddr(netip.Addr{}).IsZero() || !ident.FromPrefix(netip.Prefix{}).IsZero() {
		t.Error("an invalid address must give the zero ID")
	}
	if got := ident.FromPrefix(netip.MustParsePrefix("192.0.2.9/24")).String(); got != "192.0.2.0/24" {
		t.Errorf("host bits kept: %q", got)
	}
}

func TestTextRoundTrip(t *testing.T) {
	b, err := json.Marshal(map[string]ident.ID{"id": ident.Parse("2001:DB8::/32")})
	if err != nil || string(b) != `{"id":"2001:db8::/32"}` {
		t.Fatalf("%s, %v", b, err)
	}
	var back map[string]ident.ID
	if err := json.Unmarshal(b, &back); err != nil || back["id"] != ident.Parse("2001:db8::/32") {
		t.Fatalf("%v, %v", back, err)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range parsed {
		f.Add(c.in)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id := ident.Parse(s)
		if !id.IsAddr() {
			return
		}
		if again := ident.Parse(id.String()); again != id {
			t.Errorf("Parse(%q) = %#v, its text gives %#v", s, id, again)
		}
		if id.Prefix() != id.Prefix().Masked() || id.Prefix().Addr().Is4In6() && id.Prefix().Bits() >= 96 {
			t.Errorf("Parse(%q) is not normal: %v", s, id.Prefix())
		}
	})
}
