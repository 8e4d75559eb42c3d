package filter

import (
	"strings"
	"testing"
)

// Regexes that never end on slowText, and texts. The reference keeps the engine from remembering where it
// failed.
const (
	slow     = `^ (?P<again>(?:x|\w|xx)+)(?P=again)-`
	slowText = " xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx! -"
)

func TestARegexThatGivesUpNeverBans(t *testing.T) {
	tests := []struct {
		name    string
		o       Options
		want    string // matches
		verdict Verdict
		gaveUp  string // roles and indices
	}{
		{
			"the other regexes are still tried",
			Options{FailRegex: []string{slow + `<HOST>`, `fail <HOST>$`}},
			"192.0.2.1", Matched, "failregex 0",
		},
		{
			"but not endlessly",
			Options{FailRegex: []string{slow + `<HOST>`, slow + `a<HOST>`, slow + `b<HOST>`, `fail <HOST>$`}},
			"", Missed, "failregex 0, failregex 1, failregex 2",
		},
		{
			"a prefregex ends the line",
			Options{PrefRegex: slow, FailRegex: []string{`fail <HOST>$`}},
			"", Missed, "prefregex 0",
		},
		{
			"an ignoreregex lets off",
			Options{FailRegex: []string{`fail <HOST>$`}, IgnoreRegex: []string{`nothing`, slow}},
			"", Ignored, "ignoreregex 1",
		},
		{
			"an ignoreregex before the rest lets off",
			Options{FailRegex: []string{`fail <HOST>$`, `a <HOST>`, `b <HOST>`, `c <HOST>`}, IgnoreRegex: []string{slow}},
			"", Ignored, "ignoreregex 0",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustNew(t, tt.o).NewSession()
			// Examine, not Process: a scan for literals would spare us the slow ones.
			r := s.Examine(Line{Text: slowText + " fail 192.0.2.1", Time: testNow}, testNow, true)
			var gaveUp []string
			for _, n := range r.Notices {
				if n.Kind == NoticeGaveUp {
					gaveUp = append(gaveUp, n.Role.String()+" "+string(rune('0'+n.Regex)))
				}
			}
			if got := strings.Join(gaveUp, ", "); got != tt.gaveUp {
				t.Errorf("gave up: %q, want %q", got, tt.gaveUp)
			}
			if got := showAll(r); got != tt.want || r.Verdict != tt.verdict {
				t.Errorf("got %v %q, want %v %q", r.Verdict, got, tt.verdict, tt.want)
			}
			if tt.o.PrefRegex != "" {
				return
			}
			r = s.Examine(Line{Text: " fail 192.0.2.1", Time: testNow}, testNow, true)
			if got := showAll(r); got != "192.0.2.1" {
				t.Errorf("the next line gives %q", got)
			}
		})
	}
}
