package date

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// FuzzTraitsNeverHideADate holds every default template against its needs: where the regex matches, the
// line has the traits that it is not tried without.
func FuzzTraitsNeverHideADate(f *testing.F) {
	for _, line := range []string{
		"2026-11-22T10:11:12", "Nov 2  1:2:3", "20261122T101112Z", "[1763633472.123] x", "type=X msg=audit(1763633472.000:9): y",
		"@400000006922eb8a0f1d2c3c", "@aaaaaaaaaaaaaaaaaaaaaaaa", "10:11:12", "Nov 22 1٢:٣٤:٥٦", "Nov 22 ١:٢:٣", "x 10:11:12:13:14 y",
		"1:234:5:6", "202٦1122101112", "١٧٦٣٦٣٣٤٧٢ x", "<11/20/25@10:11:12>", "a 𝟏𝟎:𝟏𝟏:𝟏𝟐 Nov 22 𝟏𝟎:𝟏𝟏:𝟏𝟐", "251120  9:1:2", "::1:1::2:",
	} {
		f.Add(line)
	}
	templates, err := Compile(Options{}, time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC))
	if err != nil {
		f.Fatal(err)
	}
	for _, t := range templates.list {
		if t.needs == 0 {
			f.Errorf("%s is tried on every line", t.name)
		}
	}
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.ToValidUTF8(line[:min(len(line), 1<<10)], "?")
		s, m, has := pyre.NewSubject(line), &pyre.Match{}, traitsOf(line)
		for _, tmpl := range templates.list {
			if ok, err := tmpl.regex.Search(s, m); ok && err == nil && tmpl.needs&^has != 0 {
				t.Errorf("%s matches %q, which is missing traits %b", tmpl.name, line, tmpl.needs&^has)
			}
		}
	})
}

func TestTraitsOfALine(t *testing.T) {
	for line, want := range map[string]traits{
		"":                     0,
		"no date":              0,
		"port 22":              hasDigit,
		"12345678":             hasDigit | hasEight,
		"1234567 8":            hasDigit,
		"1234567890":           hasDigit | hasEight | hasTen,
		"a@b":                  hasAt,
		"1:2:3":                hasDigit | hasClock,
		"10:11:12":             hasDigit | hasClock,
		"10:11:":               hasDigit,
		"10:11":                hasDigit,
		":11:12":               hasDigit,
		"10::12":               hasDigit,
		"10:110:12":            hasDigit,
		"10:110:12:13":         hasDigit | hasClock,
		"10: 11:12":            hasDigit,
		"fe80::1:20:300":       hasDigit | hasClock,
		"é":                    hasDigit, // not looked into
		"١:٢:٣":                hasDigit | hasClock,
		"10:ééééé:12 and 1234": hasDigit | hasEight | hasTen,
	} {
		if got := traitsOf(line); got != want {
			t.Errorf("%q: %05b, want %05b", line, got, want)
		}
	}
}
