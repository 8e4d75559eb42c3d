package date_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// findLimit is how long one Find may take in a fuzz test: far more than an honest line needs, since
// several processes share the machine there.
const findLimit = 2 * time.Second

// checkFound holds a result against what callers rely on.
func checkFound(t *testing.T, line string, r date.Result) {
	t.Helper()
	switch {
	case !r.Found:
		if r.Start != 0 || r.End != 0 || !r.Time.IsZero() || r.Template != "" {
			t.Errorf("%q: nothing found, and yet %+v", line, r)
		}
		return
	case r.Start < 0 || r.Start > r.End || r.End > len(line):
		t.Fatalf("%q: the span %d-%d is not in the line", line, r.Start, r.End)
	case r.Empty != (r.Start == r.End):
		t.Errorf("%q: the span %d-%d is empty: %v", line, r.Start, r.End, r.Empty)
	case !r.Empty && r.Err == nil && r.Time.IsZero():
		t.Errorf("%q: neither a time nor a reason in %+v", line, r)
	case r.Err != nil && !r.Time.IsZero():
		t.Errorf("%q: a time and a reason in %+v", line, r)
	}
	for _, i := range []int{r.Start, r.End} {
		if i < len(line) && !utf8.RuneStart(line[i]) {
			t.Errorf("%q: the span %d-%d cuts a character", line, r.Start, r.End)
		}
	}
}

// FuzzFind feeds a detector two lines of any bytes, the first of them twice, so that what it remembers
// of one meets the other.
func FuzzFind(f *testing.F) {
	patterns := []string{
		"", "{^LN-BEG}", "{NONE}", `^[^\[]*\[({DATE})`, "%H:%M:%S\n%Y-%m-%d", "**%H:%M:%S**", "{LEPOCH}", "LEPOCH\nTAI64N",
		"%c\n%x %X", "%j %Y\n%Y %U %a\n%Y %W %w", "%I:%M %p %Exz", `^I\(()**`, `(?:^|\W)+(%d)$`, `\b%k:%M:%S %Z` + "\n{DEFAULT}",
	}
	var all []*date.Templates
	for i, p := range patterns {
		all = append(all, mustCompile(f, date.Options{
			Pattern: p, Local: mustLoad(f, zones[i%len(zones)]), LogTimezone: []string{"", "CET+0100"}[i%2],
		}, testNow))
	}
	for i, s := range stamps() {
		if i%7 == 0 {
			f.Add(s, "host "+s, byte(i))
		}
	}
	f.Add("é\x00 10:00:00 \u2028", "\xff\xfe10:00:00", byte(4))
	f.Add("9999-12-31 23:59:59", "0001-01-01 00:00:00", byte(4))
	f.Add("٣٤:٠٠:00", "99999999999", byte(7))
	f.Fuzz(func(t *testing.T, first, second string, which byte) {
		d, s := all[int(which)%len(all)].NewDetector(), pyre.NewSubject("")
		for _, line := range []string{first, second, first} {
			line = strings.ToValidUTF8(line[:min(len(line), 1<<12)], "\uFFFD")
			s.Reset(line)
			start := time.Now()
			r := d.Find(s, testNow)
			if took := time.Since(start); took > findLimit {
				t.Errorf("%q took %v", line, took)
			}
			checkFound(t, line, r)
		}
	})
}

// FuzzCompile compiles any pattern and lets it look at a few lines.
func FuzzCompile(f *testing.F) {
	for _, p := range []string{
		"", "{^LN-BEG}", "{NONE}\n{DEFAULT}", `^[^\[]*\[({DATE})`, `\{DATE}{DATE}**`, "**%H:%M:%S**", "{UNB}%c", "x{EPOCH}({LEPOCH})",
		"^EPOCH", "(?i)%b", "%Y-%m-%d$\n%H", `(?P<_sep>[-/])%d(?P=_sep)%Exm%Exz`, "%", "%Ex", "(", "((((", "**", "(**)", "^$", `(?(x)y)`, "{UNB}{^LN-BEG}",
	} {
		f.Add(p, "host 2026-11-22 10:00:00 said 1763633472", "UTC+02")
	}
	f.Fuzz(func(t *testing.T, pattern, line, zone string) {
		pattern = pattern[:min(len(pattern), 300)]
		templates, err := date.Compile(date.Options{Pattern: pattern, LogTimezone: zone}, testNow)
		if err != nil {
			if err.Error() == "" || templates != nil {
				t.Errorf("%q: %v and %v", pattern, templates, err)
			}
			return
		}
		names := map[string]bool{}
		for _, name := range templates.Names() {
			if names[name] {
				t.Errorf("%q: two templates are called %s", pattern, name)
			}
			names[name] = true
		}
		d, s := templates.NewDetector(), pyre.NewSubject("")
		line = strings.ToValidUTF8(line[:min(len(line), 1<<10)], "\uFFFD")
		for _, text := range []string{line, "2026-11-22 10:00:00", "host Nov 22 10:00:00", line} {
			s.Reset(text)
			start := time.Now()
			r := d.Find(s, testNow)
			if took := time.Since(start); took > findLimit {
				t.Errorf("%q of %q took %v", pattern, text, took)
			}
			checkFound(t, text, r)
		}
	})
}
