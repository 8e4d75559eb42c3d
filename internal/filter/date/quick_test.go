package date

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// quickTemplates are those with a quick reader, by the year of their clock.
func quickTemplates(tb testing.TB) (all []*template) {
	tb.Helper()
	for _, year := range []int{1970, 2026, 2027} {
		templates, err := Compile(Options{}, time.Date(year, 6, 1, 12, 0, 0, 0, time.UTC))
		if err != nil {
			tb.Fatal(err)
		}
		for _, t := range templates.list {
			if t.quick != nil {
				all = append(all, t)
			}
		}
	}
	if len(all) != 6 {
		tb.Fatalf("%d templates with a quick reader, want 6", len(all))
	}
	return all
}

// checkQuick holds what a quick reader says against the regex, and reports whether it said anything.
func checkQuick(t *testing.T, tmpl *template, line string) bool {
	t.Helper()
	got, end, ok := tmpl.quick(line)
	if !ok {
		return false
	}
	var m pyre.Match
	s := pyre.NewSubject(line)
	if found, err := tmpl.regex.Search(s, &m); !found || err != nil {
		t.Errorf("%s: read in %q, where the regex matches nothing: %v", tmpl.name, line, err)
		return true
	}
	for group := range 2 {
		if from, to := m.Group(group); from != 0 || to != end {
			t.Errorf("%s: in %q 0-%d read, the regex's group %d is %d-%d", tmpl.name, line, end, group, from, to)
		}
	}
	var want fields
	if err := want.read(tmpl.fields, s, &m); err != nil {
		t.Errorf("%s: %q: the regex's groups are no date: %v", tmpl.name, line, err)
	}
	if got != want {
		t.Errorf("%s: %q:\n read  %+v\n regex %+v", tmpl.name, line, got, want)
	}
	return true
}

// nearDates makes a date of one of the two forms, and often spoils it a little.
func nearDates(r *rand.Rand) string {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	two := func(n int) string {
		return fmt.Sprintf(pick("%02d", "%02d", "%02d", "%02d", "%02d", "%2d", "%d"), r.IntN(n))
	}
	clock := two(26) + ":" + two(61) + ":" + two(63)
	var date string
	if r.IntN(2) == 0 {
		date = pick("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "nov", "Nof", "anF") + " " + two(33) + " " + clock
	} else {
		sep := pick("-", "-", "/", ".", ":")
		date = pick("2026", "2029", "2030", "2039", "2040", "1999", "1979", "2009", "202") + sep + two(14) + pick(sep, sep, sep, sep, "-") + two(33) + pick("T", " ", "t", "  ") + clock
	}
	date += pick("", "", "", ".5", ",123456", ".1234567", ".", ",")
	date += pick("", "", "", "Z", "+01", "-0130", "+01:30", "+2000", " Z", " UTC", "GMT", "+01:3", "+1", "-", "+", "+01:3x", "+0١")
	date += pick("", " ", " ", " host", "  2026", " 2026", " 2026x", " 2", " é", "é", "x", "_", "-1", ":", "]", ")", ",", "|", ";", "[", " [", " +", " \t", "\t", "1")
	if r.IntN(3) == 0 && date != "" {
		i := r.IntN(len(date))
		date = date[:i] + pick("", "0", "9", " ", ":", "x", "é", "٣") + date[min(len(date), i+r.IntN(2)):]
	}
	return strings.ToValidUTF8(date, "")
}

func TestQuickReadersEqualTheRegexes(t *testing.T) {
	templates := quickTemplates(t)
	r := rand.New(rand.NewPCG(3, 14))
	said := 0
	for range 200_000 {
		line := nearDates(r)
		for _, tmpl := range templates {
			if checkQuick(t, tmpl, line) {
				said++
			}
		}
	}
	if said < 10_000 {
		t.Errorf("the quick readers took %d lines only", said)
	}
}

// TestQuickReadersTakeTheCommonForms: what they do not take costs time, and only that.
func TestQuickReadersTakeTheCommonForms(t *testing.T) {
	templates := quickTemplates(t)
	for line, want := range map[string]string{
		"Nov 22 10:11:12 host":                  "Nov 22 10:11:12",
		"Nov  2 10:11:12 host":                  "Nov  2 10:11:12",
		"Nov 02 00:00:00 host":                  "Nov 02 00:00:00",
		"2026-11-22T10:11:12Z host":             "2026-11-22T10:11:12Z",
		"2026-11-22T10:11:12.123456+01:00 host": "2026-11-22T10:11:12.123456+01:00",
		"2026-11-22 10:11:12,123 fail2ban":      "2026-11-22 10:11:12,123",
		"2026/11/22 10:11:12 +error":            "",
		"2026/11/22 10:11:12 [error]":           "2026/11/22 10:11:12",
		"2026/11/22 10:11:12 error":             "2026/11/22 10:11:12",
		"2026-11-22 10:11:12":                   "2026-11-22 10:11:12",
		"2026-11-22 10:11:12 -0700 x":           "",
		"2026-11-22 10:11:12|x":                 "2026-11-22 10:11:12",
		"Nov 22 10:11:12 2026 host":             "",
		"Sun Nov 22 10:11:12 host":              "",
		"nov 22 10:11:12 host":                  "",
		"[2026-11-22 10:11:12] host":            "",
		"2026-11-22T10:11:12.123456789Z host":   "",
		"2030-11-22T10:11:12Z host":             "",
		"":                                      "",
	} {
		got := ""
		for _, tmpl := range templates[2:4] { // of 2026
			if _, end, ok := tmpl.quick(line); ok {
				got = line[:end]
			}
		}
		if got != want {
			t.Errorf("%q: took %q, want %q", line, got, want)
		}
	}
}

// FuzzQuickReaders is the same comparison on lines of any kind.
func FuzzQuickReaders(f *testing.F) {
	templates := quickTemplates(f)
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		f.Add(nearDates(r))
	}
	f.Fuzz(func(t *testing.T, line string) {
		line = strings.ToValidUTF8(line[:min(len(line), 200)], "\uFFFD")
		for _, tmpl := range templates {
			checkQuick(t, tmpl, line)
		}
	})
}
