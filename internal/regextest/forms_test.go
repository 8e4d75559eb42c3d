package regextest_test

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/regextest"
)

// now is a Sunday.
var now = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func tester(t *testing.T, o filter.Options) *regextest.Tester {
	t.Helper()
	o.Local = time.UTC
	x, err := regextest.New(regextest.Settings{Filter: o, Now: now, FirstOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestForms(t *testing.T) {
	const (
		line   = "Nov 22 11:59:51 h app: bob from 192.0.2.1"
		zoned  = "2026-11-22T11:59:51Z h app: bob from 2001:db8::1"
		subnet = "Nov 22 11:59:51 h app: bob from 198.51.100.0/24"
		name   = "Nov 22 11:59:51 h app: bob from h.example"
		other  = "Nov 22 11:59:52 h app: nothing"
	)
	hostOf := func(id ident.ID) string {
		if id.String() == "192.0.2.1" {
			return "bob.example"
		}
		return ""
	}
	for _, tt := range []struct{ title, line, form, want string }{
		{"the ID", line, "id", "192.0.2.1"},
		{"the address", zoned, "ip", "2001:db8::1"},
		{"the line", line, "msg", line},
		{"the line in three parts", line, "matches", "[('', 'Nov 22 11:59:51', ' h app: bob from 192.0.2.1')]"},
		{"a group", line, "user", "bob"},
		{"a group that there is not", line, "alias", "None"},
		{"a row", line, "row", "['192.0.2.1',\t1795348791.0,\t{'user': 'bob', 'ip4': '192.0.2.1', 'ip6': None, 'cidr': None}],"},
		{"whole seconds where the date names its zone", zoned, "row", "['2001:db8::1',\t1795348791,\t{'user': 'bob', 'ip4': None, 'ip6': '2001:db8::1', 'cidr': None}],"},
		{"tags", line, "<ip>,<fid>,<F-USER>,<time>,<family>,<failures>", "192.0.2.1,192.0.2.1,bob,1795348791.0,inet4,0"},
		{"a tag of nothing", line, "[<F-ALIAS>]", "[]"},
		{"a tag within a tag is replaced once", line, "<<ip>> <a b> <> <ip", "<192.0.2.1> <a b> <> <ip"},
		{"a tag that nobody knows", line, "<ports>", "<ports>"},
		{"lines and blanks", line, "<fid><br><sp><msg>", "192.0.2.1\n " + line},
		{"all groups", line, "<F-*>", "{'matches': [('', 'Nov 22 11:59:51', ' h app: bob from 192.0.2.1')], 'failures': 0, 'user': 'bob', 'ip4': '192.0.2.1'}"},
		{"an address from behind", line, "<ip-rev>", "1.2.0.192."},
		{"an address of IPv6 from behind", zoned, "<ip-rev>", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2."},
		{"what is no address from behind", name, "[<ip-rev>] <family>", "[] None"},
		{"a network from behind", subnet, "<ip-rev>", "0/24.100.51.198."},
		{"the name of an address", line, "<ip-host>", "bob.example"},
		{"an address without a name", zoned, "<ip-host>", "None"},
		{"what is no failure is not written", other, "msg", ""},
	} {
		x := tester(t, filter.Options{FailRegex: []string{`app: <F-USER>\S+</F-USER> from <SUBNET>$`, `app: <F-USER>\S+</F-USER> from <HOST>$`}, UseDNS: filter.DNSRaw})
		form := regextest.Form{Text: tt.form, HostOf: hostOf, Now: now}
		if got := strings.Join(form.Lines(x.Try(t.Context(), tt.line)), "|"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.title, got, tt.want)
		}
	}
}

// TestInvertedFormsWriteWhatIsNoFailure, with the last time that was seen, and without an ID.
func TestInvertedFormsWriteWhatIsNoFailure(t *testing.T) {
	x := tester(t, filter.Options{FailRegex: []string{`from <ADDR>$`}, IgnoreRegex: []string{"192.0.2.7"}})
	lines := []string{"2026-11-22T11:59:51Z x from 192.0.2.1", "2026-11-22T11:59:52Z x from 192.0.2.7", "2026-11-22T11:59:53Z x"}
	for form, want := range map[string]string{
		"msg":             lines[1] + "\n" + lines[2],
		"id":              "\n",
		"matches":         "['" + lines[1] + "']\n['" + lines[2] + "']",
		"<time> [<fid>]":  "1795348792 []\n1795348793 []",
		"row":             "['',\t1795348792,\t{'fid': ''}],\n['',\t1795348793,\t{'fid': ''}],",
		"<F-USER> <msg>!": " " + lines[1] + "!\n " + lines[2] + "!",
	} {
		var got []string
		for _, line := range lines {
			got = append(got, regextest.Form{Text: form, Invert: true}.Lines(x.Try(t.Context(), line))...)
		}
		if strings.Join(got, "\n") != want {
			t.Errorf("%s: %q, want %q", form, got, want)
		}
	}
}
