package filter

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// testNow is a Saturday at noon, far from any change of the clocks.
var testNow = time.Date(2025, 11, 22, 12, 0, 0, 0, time.UTC)

func mustNew(tb testing.TB, o Options) *Filter {
	tb.Helper()
	f, err := New(o, testNow)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// stamp is the date of a line so many seconds before testNow.
func stamp(before int) string {
	return testNow.Add(-time.Duration(before) * time.Second).Format("2006-01-02 15:04:05")
}

// show makes a match comparable at a glance: ID, captures that are not the ID's, lines.
func show(m Match) string {
	id := m.ID.String()
	if m.Host != "" {
		id = "resolve " + m.Host
	}
	if m.Pending {
		id = "pending"
	}
	if m.NoFail {
		id += " nofail"
	}
	if !m.IP.IsZero() {
		id += " ip=" + m.IP.String()
	}
	var captured []string
	for name, v := range m.Captures {
		switch name {
		case "ip4", "ip6", "dns", "mlfid":
			continue
		}
		captured = append(captured, name+"="+v.Text)
	}
	slices.Sort(captured)
	return strings.Join(append([]string{id}, captured...), " ")
}

func showAll(r Result) string {
	all := make([]string, len(r.Matches))
	for i, m := range r.Matches {
		all[i] = show(m)
	}
	return strings.Join(all, "; ")
}

func TestWhatIsHeldResponsible(t *testing.T) {
	const prefix = `^ fail `
	tests := []struct {
		name  string
		regex string
		dns   UseDNS
		line  string
		want  string
	}{
		{"an address", `<HOST>$`, DNSWarn, "192.0.2.1", "192.0.2.1"},
		{"a mapped address is its IPv4", `<ADDR>$`, DNSWarn, "::ffff:192.0.2.1", "192.0.2.1"},
		{"IPv6 in its short spelling", `<ADDR>$`, DNSWarn, "2001:DB8:0:0::1", "2001:db8::1"},
		{"IPv6 in brackets", `<HOST>:\d+$`, DNSWarn, "[2001:db8::1]:22", "2001:db8::1"},
		{"IPv6 that ends in colons", `<IP6>$`, DNSWarn, "2001:db8::", "2001:db8::"},
		{"numbers that are no address stay text", `<HOST>$`, DNSWarn, "999.1.2.3", "999.1.2.3"},
		{"a name is for the caller to resolve", `<HOST>$`, DNSWarn, "host.example", "resolve host.example"},
		{"a name under usedns yes", `<HOST>$`, DNSYes, "host.example", "resolve host.example"},
		{"a name is the ID under usedns raw", `<HOST>$`, DNSRaw, "host.example", "host.example"},
		{"a name does not match under usedns no", `<HOST>$`, DNSNo, "host.example", ""},
		{"a name of a DNS tag is dropped under usedns no", `<DNS>$`, DNSNo, "host.example", ""},
		{"a name that is an address", `<DNS>$`, DNSNo, "192.0.2.7", "192.0.2.7"},
		{"a network", `<ADDR>/<CIDR>$`, DNSWarn, "192.0.2.77/24", "192.0.2.0/24 cidr=24"},
		{"a subnet tag with a length", `<SUBNET>$`, DNSWarn, "2001:db8:1::1/32", "2001:db8::/32 cidr=32"},
		{"a subnet tag without one", `<SUBNET>$`, DNSWarn, "192.0.2.77", "192.0.2.77"},
		{"a length beyond the family is none", `<SUBNET>$`, DNSWarn, "192.0.2.77/99", "192.0.2.77 cidr=99"},
		{"nobody can have the whole network banned", `<SUBNET>$`, DNSWarn, "192.0.2.77/0", "0.0.0.0 cidr=0"},
		{"a length that is no number", `<SUBNET>$`, DNSWarn, "192.0.2.77/99999999999999999999", "192.0.2.77 cidr=99999999999999999999"},
		{"an ID of its own", `<F-ID>\w+</F-ID>$`, DNSWarn, "alice", "alice fid=alice"},
		{"an ID that is a network", `<F-ID/>$`, DNSWarn, "10.0.0.7/8", "10.0.0.0/8 fid=10.0.0.7/8"},
		{"an ID that is all addresses", `<F-ID/>$`, DNSWarn, "10.0.0.7/0", "0.0.0.0 fid=10.0.0.7/0"},
		{"an ID stays text under usedns raw", `<F-ID/>$`, DNSRaw, "10.0.0.7/8", "10.0.0.7/8 fid=10.0.0.7/8"},
		{"an ID beside an address", `<F-ID>\w+</F-ID> <ADDR>$`, DNSWarn, "alice 192.0.2.1", "alice ip=192.0.2.1 fid=alice"},
		{"an ID that is the address", `<F-ID><ADDR></F-ID>$`, DNSWarn, "192.0.2.1", "192.0.2.1 fid=192.0.2.1"},
		{"an ID beside a raw name", `<F-ID>\w+</F-ID> <DNS>$`, DNSRaw, "alice host.example", "alice ip=host.example fid=alice"},
		{"an ID that is the raw name", `<F-ID><DNS></F-ID>$`, DNSRaw, "host.example", "host.example fid=host.example"},
		{"an ID beside a name to resolve", `<F-ID>\w+</F-ID> <DNS>$`, DNSWarn, "alice host.example", "resolve host.example fid=alice"},
		{"own groups are stored", `<F-USER>\w+</F-USER> <ADDR> <F-PORT/>$`, DNSWarn, "alice 192.0.2.1 22", "192.0.2.1 fport=22 user=alice"},
		{"an alternative name fills the name", `(?:u <F-USER>\w+</F-USER>|v <F-ALT_USER_1>\w+</F-ALT_USER_1>) <ADDR>$`, DNSWarn, "v bob 192.0.2.1", "192.0.2.1 alt_user_1=bob user=bob"},
		{"the first alternative in order of names wins", `<F-ALT_USER_2>\w+</F-ALT_USER_2> <F-ALT_USER_1>\w+</F-ALT_USER_1> <ADDR>$`, DNSWarn, "b a 192.0.2.1", "192.0.2.1 alt_user_1=a alt_user_2=b user=a"},
		{"a number without underscore is part of the name", `<F-ALT_USER2>\w+</F-ALT_USER2> <ADDR>$`, DNSWarn, "b 192.0.2.1", "192.0.2.1 alt_user2=b user2=b"},
		{"an alternative does not replace", `<F-USER>\w+</F-USER> <F-ALT_USER>\w+</F-ALT_USER> <ADDR>$`, DNSWarn, "a b 192.0.2.1", "192.0.2.1 alt_user=b user=a"},
		{"alternatives of the ID", `<F-ALT_ID>\w+</F-ALT_ID>(?P<fid>)$`, DNSWarn, "b", "b alt_id=b fid=b"},
		{"a tuple of parts", `<F-TUPLE_ID_1>\w</F-TUPLE_ID_1> <F-TUPLE_ID_2>\w</F-TUPLE_ID_2> <F-ID>\w</F-ID>$`, DNSWarn, "x z y", "('y', 'x', 'z') fid=('y', 'x', 'z') tuple_id_1=x tuple_id_2=z"},
		{"a tuple without its own value, and a part missing", `<F-TUPLE_X_1>'\w</F-TUPLE_X_1>(?:no <F-TUPLE_X_2>\w</F-TUPLE_X_2>)? <ADDR>$`, DNSWarn, "'a 192.0.2.1", `192.0.2.1 tuple_x_1='a x=(None, "'a", None)`},
		{"leftmost alternative, not the longest", `(?:<F-USER>\w</F-USER>|<F-NAME>\w+</F-NAME>).*? <ADDR>$`, DNSWarn, "abc 192.0.2.1", "192.0.2.1 user=a"},
		{"the last of two addresses by greed", `.*from <HOST>`, DNSWarn, "from 198.51.100.1 from 192.0.2.1", "192.0.2.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustNew(t, Options{FailRegex: []string{prefix + tt.regex}, UseDNS: tt.dns})
			r := f.NewSession().Process(Line{Text: stamp(3) + " fail " + tt.line}, testNow, true)
			if got := showAll(r); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if wantVerdict := map[bool]Verdict{true: Matched, false: Missed}[tt.want != ""]; r.Verdict != wantVerdict {
				t.Errorf("verdict %v, want %v", r.Verdict, wantVerdict)
			}
			for _, m := range r.Matches {
				if want := testNow.Add(-3 * time.Second); !m.Time.Equal(want) {
					t.Errorf("time %v, want %v", m.Time, want)
				}
				if want := []string{stamp(3) + " fail " + tt.line}; !slices.Equal(m.Lines, want) {
					t.Errorf("lines %q, want %q", m.Lines, want)
				}
				if m.Attempts != 1 {
					t.Errorf("attempts %d, want 1", m.Attempts)
				}
			}
		})
	}
}

func TestWhichRegexCounts(t *testing.T) {
	tests := []struct {
		name string
		o    Options
		line string // behind the date
		want string
		verd Verdict
		by   []int
	}{
		{
			"the date leaves its blank",
			Options{FailRegex: []string{`^ h fail <HOST>$`}},
			" h fail 192.0.2.1", "0 192.0.2.1", Matched, nil,
		},
		{
			"a regex without the blank misses",
			Options{FailRegex: []string{`^h fail <HOST>$`}},
			" h fail 192.0.2.1", "", Missed, nil,
		},
		{
			"the end of the line is before its newline",
			Options{FailRegex: []string{`^ a <HOST>$`}},
			" a 192.0.2.1 ", "", Missed, nil,
		},
		{
			"blanks at the end are the regex's business",
			Options{FailRegex: []string{`^ a <HOST>\s*$`}},
			" a 192.0.2.1  ", "0 192.0.2.1", Matched, nil,
		},
		{
			"the first that matches",
			Options{FailRegex: []string{`nothing <HOST>`, `a <HOST>`, `<HOST>`}},
			" a 192.0.2.1", "1 192.0.2.1", Matched, nil,
		},
		{
			"all of them when all are checked",
			Options{FailRegex: []string{`nothing <HOST>`, `a <HOST>`, `<HOST>$`}, CheckAll: true},
			" a 192.0.2.1", "1 192.0.2.1; 2 192.0.2.1", Matched, nil,
		},
		{
			"prefregex gives what failregexes see",
			Options{PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^ P a <HOST>`, `^a <HOST>$`}},
			" P a 192.0.2.1", "1 192.0.2.1", Matched, nil,
		},
		{
			"a line that prefregex misses",
			Options{PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`a <HOST>$`}},
			" Q a 192.0.2.1", "", Missed, nil,
		},
		{
			"without content the whole line stays",
			Options{PrefRegex: `^ P`, FailRegex: []string{`^ P a <HOST>$`}},
			" P a 192.0.2.1", "0 192.0.2.1", Matched, nil,
		},
		{
			"an empty content leaves the whole line",
			Options{PrefRegex: `^ P<F-CONTENT></F-CONTENT>`, FailRegex: []string{`^ P a <HOST>$`}},
			" P a 192.0.2.1", "0 192.0.2.1", Matched, nil,
		},
		{
			"prefregex may name the ID",
			Options{PrefRegex: `^ <HOST> <F-USER>\w+</F-USER> <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^fail$`}},
			" 192.0.2.1 bob fail", "0 192.0.2.1 user=bob", Matched, nil,
		},
		{
			"failregex overlays prefregex, but not with nothing",
			Options{
				PrefRegex: `^ <F-USER>\w+</F-USER> <F-NAME>\w+</F-NAME> <F-CONTENT>.+</F-CONTENT>$`,
				FailRegex: []string{`^(?:x <F-NAME>\w+</F-NAME> )?<F-USER>\w+</F-USER> <HOST>$`},
			},
			" a b c 192.0.2.1", "0 192.0.2.1 name=b user=c", Matched, nil,
		},
		{
			"an ignored line",
			Options{FailRegex: []string{`a <HOST>`}, IgnoreRegex: []string{`nothing`, `\.1$`}},
			" a 192.0.2.1", "", Ignored,
			[]int{1},
		},
		{
			"an ignoreregex that does not match",
			Options{FailRegex: []string{`a <HOST>`}, IgnoreRegex: []string{`\.2$`}},
			" a 192.0.2.1", "0 192.0.2.1", Matched, nil,
		},
		{
			"few failregexes: ignoreregex sees the content alone",
			Options{
				PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`a <HOST>`}, IgnoreRegex: []string{`^ P`},
			},
			" P a 192.0.2.1", "0 192.0.2.1", Matched, nil,
		},
		{
			"many failregexes: it sees the line first",
			Options{
				PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`a <HOST>`, `b <HOST>`, `c <HOST>`, `d <HOST>`}, IgnoreRegex: []string{`^ P`},
			},
			" P a 192.0.2.1", "", Ignored,
			[]int{0},
		},
		{
			"all ignoreregexes when all are checked",
			Options{FailRegex: []string{`a <HOST>`}, IgnoreRegex: []string{`a`, `b`, `192`}, CheckAll: true},
			" a 192.0.2.1", "", Ignored,
			[]int{0, 2},
		},
		{
			"nofail without a connection is a failure",
			Options{FailRegex: []string{`<F-NOFAIL>a</F-NOFAIL> <HOST>`}},
			" a 192.0.2.1", "0 192.0.2.1 nofail=a", Matched, nil,
		},
		{
			"but shown as none to those who try it",
			Options{FailRegex: []string{`<F-NOFAIL>a</F-NOFAIL> <HOST>`}, CheckAll: true},
			" a 192.0.2.1", "0 192.0.2.1 nofail nofail=a", Ignored, nil,
		},
		{
			"no regex sees the date",
			Options{FailRegex: []string{`2025.*<HOST>`}},
			" a 192.0.2.1", "", Missed, nil,
		},
		{
			"no failregex at all", Options{PrefRegex: `a`}, " a 192.0.2.1", "", Missed, nil,
		},
		{
			"local flags made of inner global ones",
			Options{FailRegex: []string{`((?i)FAIL) <HOST>`}},
			" fail 192.0.2.1", "0 192.0.2.1", Matched, nil,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustNew(t, tt.o)
			r := f.NewSession().Process(Line{Text: stamp(3) + tt.line}, testNow, true)
			var got []string
			for _, m := range r.Matches {
				got = append(got, strconv.Itoa(m.Regex)+" "+show(m))
			}
			if g := strings.Join(got, "; "); g != tt.want || r.Verdict != tt.verd {
				t.Errorf("got  %v %s\nwant %v %s", r.Verdict, g, tt.verd, tt.want)
			}
			if !slices.Equal(r.IgnoredBy, tt.by) {
				t.Errorf("ignored by %v, want %v", r.IgnoredBy, tt.by)
			}
		})
	}
}

func TestWrongOptionsAreAllReported(t *testing.T) {
	_, err := New(Options{
		PrefRegex:   `(`,
		FailRegex:   []string{`ok <HOST>`, `no group`, `  `, `<HOST> <ADDR>`},
		IgnoreRegex: []string{`[`},
		MaxLines:    -1,
		LogTimezone: "Middle/Earth",
		DatePattern: "%Q",
	}, testNow)
	want := []string{"maxlines 0", "prefregex 0", "failregex 1", "failregex 2", "failregex 3", "ignoreregex 0", "logtimezone 0", "datepattern 0"}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		t.Fatalf("error %v does not join several", err)
	}
	var got []string
	for _, e := range joined.Unwrap() {
		var o *OptionError
		if !errors.As(e, &o) {
			t.Fatalf("%v is no OptionError", e)
		}
		got = append(got, fmt.Sprint(o.Key, " ", o.Index))
		if !strings.Contains(o.Error(), o.Key) || !strings.Contains(o.Error(), o.Unwrap().Error()) {
			t.Errorf("text %q lacks the key or the reason", o.Error())
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if !errors.Is(err, ErrNoID) || !errors.Is(err, ErrEmptyRegex) {
		t.Errorf("the error %v does not tell its reasons", err)
	}
}

func TestAFilterShowsItsRegexesExpanded(t *testing.T) {
	f := mustNew(t, Options{PrefRegex: "a<F-CONTENT>.</F-CONTENT>", FailRegex: []string{"x<F-ID/>"}, IgnoreRegex: []string{"y<CIDR>"}})
	got := []string{f.PrefRegex(), f.FailRegex()[0], f.IgnoreRegex()[0]}
	want := []string{"a(?P<content>.)", `x(?P<fid>\S+)`, `y(?P<cidr>\d+)`}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if p := mustNew(t, Options{}).PrefRegex(); p != "" {
		t.Errorf("prefregex %q of a filter without one", p)
	}
	if s := f.NewSession(); s.Filter() != f || s.Dates() == nil || f.Dates() == nil {
		t.Error("the session does not know its filter and dates")
	}
}

func TestUseDNSIsReadAsWritten(t *testing.T) {
	for _, u := range []UseDNS{DNSWarn, DNSYes, DNSNo, DNSRaw} {
		got, err := ParseUseDNS(strings.ToUpper(u.String()))
		if err != nil || got != u {
			t.Errorf("%v reads back as %v, %v", u, got, err)
		}
	}
	if u, err := ParseUseDNS("maybe"); err == nil || u != DNSNo {
		t.Errorf("maybe reads as %v, %v", u, err)
	}
}
