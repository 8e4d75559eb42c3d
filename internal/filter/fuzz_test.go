package filter

import (
	"strings"
	"testing"
	"time"
)

// lineLimit is how long one line may take one filter in FuzzLine: the searches that may give up and
// as many that only just do not, with room for a machine that is busy.
const lineLimit = 3 * time.Second

// FuzzLine feeds two lines of any bytes to filters of all kinds. None may panic or take long, what
// matches must have been wanted, and what a match says must be usable.
func FuzzLine(f *testing.F) {
	filters := []*Filter{
		mustNew(f, gate),
		mustNew(f, Options{FailRegex: []string{`<HOST>`}}),
		mustNew(f, Options{FailRegex: []string{`^\s*fail (?:for <F-USER>.*</F-USER>)? from <SUBNET>\s*$`}, UseDNS: DNSNo, DatePattern: "{^LN-BEG}"}),
		mustNew(f, Options{FailRegex: []string{`^\[\] <HOST>.*"<F-ALT_USER_1>[^"]*</F-ALT_USER_1>|<F-TUPLE_ID>\w+</F-TUPLE_ID>-<F-ID/>`}, DatePattern: `^[^\[]*\[({DATE})`}),
		mustNew(f, Options{FailRegex: []string{`begin <F-ID>\S+</F-ID><SKIPLINES>end`, `^fail <HOST>$`}, MaxLines: 4, IgnoreRegex: []string{`friend`}}),
		mustNew(f, Options{FailRegex: []string{`(?:\w+\W?)+ <HOST>$`, `(?:a|\w)+=<DNS>`}, CheckAll: true, NoTimeCheck: true}),
	}
	for _, seed := range [][2]string{
		{stamp(3) + " gate[1]: wrong word for bob from 192.0.2.1", " gate[1]: too many tries"},
		{"begin x\v", "end"},
		{"1.2.3.4 - - [" + stamp(3) + "] \"x\"", " fail from 192.0.2.1/0"},
		{stamp(3) + " fail from 2001:db8::/200 ", "\x00\xff\u2028"},
		{strings.Repeat("aa ", 40), strings.Repeat("a", 60) + "="},
		{"2025-02-29 10:00:00 a-b", "12:00:00"},
	} {
		f.Add(seed[0], seed[1], true)
	}
	f.Fuzz(func(t *testing.T, first, second string, inOperation bool) {
		for i, filter := range filters {
			s := filter.NewSession()
			for _, text := range []string{first, second, first} {
				if len(text) > 1<<10 {
					text = text[:1<<10]
				}
				text = strings.Map(func(r rune) rune {
					if r == '\r' || r == '\n' {
						return -1
					}
					return r
				}, strings.ToValidUTF8(text, "\uFFFD"))
				start := time.Now()
				r := s.Examine(Line{Text: text}, testNow, inOperation)
				if took := time.Since(start); took > lineLimit {
					t.Errorf("filter %d took %v for %q", i, took, text)
				}
				if len(r.Matches) > 0 && !filter.Wants(text) {
					t.Errorf("filter %d matches %q and does not want it", i, text)
				}
				for _, m := range r.Matches {
					if m.ID.IsZero() == (m.Host == "") && !m.Pending && m.Captures["fid"].Text+m.Captures["dns"].Text != "" {
						t.Errorf("filter %d: %q gives %+v", i, text, m)
					}
					if p := m.ID.Prefix(); p.IsValid() && p.Bits() == 0 {
						t.Errorf("filter %d: %q bans everybody", i, text)
					}
					if m.Time.After(testNow) && filter.checkTime {
						t.Errorf("filter %d: %q happens in the future", i, text)
					}
				}
			}
		}
	})
}
