package date_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// forms has a date of every default template, in their order, and what it means.
var forms = []struct {
	name, text, want string
	onlyFirst        bool // the template has no variant for the middle of a line
}{
	{"ISO 8601", "2026-11-20T10:11:12,250+01:00", "2026-11-20 09:11:12", false},
	{"syslog", "Fri Nov 20 10:11:12.25 2025", "2025-11-20 10:11:12", false},
	{"year before the time", "Fri Nov 20 2025 10:11:12.25", "2025-11-20 10:11:12", false},
	{"day first", "20/11/2025 10:11:12", "2025-11-20 10:11:12", false},
	{"web server", "20/Nov/2025:10:11:12 -0130", "2025-11-20 11:41:12", false},
	{"month first with a colon", "11/20/2025:10:11:12", "2025-11-20 10:11:12", false},
	{"month first with dashes", "11-20-2025 10:11:12.5", "2025-11-20 10:11:12", false},
	{"seconds since 1970", "1763633472.123", "2025-11-20 10:11:12.123", true},
	{"time alone", "10:11:12", "2026-11-22 10:11:12", true},
	{"in angle brackets", "<11/20/25@10:11:12>", "2025-11-20 10:11:12", true},
	{"six digits", "251120  9:11:12", "2025-11-20 09:11:12", false},
	{"with a comma", "Nov 20, 2025 10:11:12 PM", "2025-11-20 22:11:12", false},
	{"month name with dashes", "Nov-20-25 10:11:12", "2025-11-20 10:11:12", true},
	{"compact ISO", "20251120T101112Z", "2025-11-20 10:11:12", false},
	{"zone name first", "CET Fri Nov 20 10:11:12", "2026-11-20 09:11:12", false},
	{"offset first", "-0130 Fri Nov 20 10:11:12.5 2025", "2025-11-20 11:41:12", false},
	{"TAI64N", "@400000006922eb8a0f1d2c3c", "2025-11-23 11:10:02", false},
}

func TestDefaultTemplatesAtTheStartOfTheLine(t *testing.T) {
	for _, tt := range forms {
		t.Run(tt.name, func(t *testing.T) {
			for _, pattern := range []string{"", "{DEFAULT}", "{default}", "{^LN-BEG}", "{^ln-beg}"} {
				if got := find(t, date.Options{Pattern: pattern}, tt.text+" host said", testNow); got != at(tt.text, tt.want) {
					t.Errorf("%q: got  %s\nwant %s", pattern, got, at(tt.text, tt.want))
				}
			}
		})
	}
}

// TestCompactDates has the forms that fail2ban reads since 1.1.
func TestCompactDates(t *testing.T) {
	for text, want := range map[string]string{
		"20261120-10:11:12":        at("20261120-10:11:12", "2026-11-20 10:11:12"),
		"20261120T10:11:12.5+01":   at("20261120T10:11:12.5+01", "2026-11-20 09:11:12"),
		"20261120 101112":          at("20261120 101112", "2026-11-20 10:11:12"),
		"20261120  10:1112,25 UTC": at("20261120  10:1112,25 UTC", "2026-11-20 10:11:12"),
		"20261120101112":           "none",
		"20261120-91112":           "none",
	} {
		if got := find(t, date.Options{}, text, testNow); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

func TestDefaultTemplatesInTheMiddleOfTheLine(t *testing.T) {
	for _, tt := range forms {
		t.Run(tt.name, func(t *testing.T) {
			line := "the host: " + tt.text + " said"
			want := at(tt.text, tt.want)
			if tt.onlyFirst {
				want = "none"
			}
			if got := find(t, date.Options{}, line, testNow); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if got := find(t, date.Options{Pattern: "{^LN-BEG}"}, line, testNow); got != "none" {
				t.Errorf("a template of the start of the line took %s", got)
			}
		})
	}
}

func TestDefaultTemplatesComeInFail2bansOrder(t *testing.T) {
	names := mustCompile(t, date.Options{}, testNow).Names()
	if len(names) != 31 {
		t.Fatalf("%d templates, want 31", len(names))
	}
	begin := mustCompile(t, date.Options{Pattern: "{^LN-BEG}"}, testNow).Names()
	if len(begin) != 17 {
		t.Fatalf("%d templates at the start of the line, want 17", len(begin))
	}
	const mark = "{^LN-BEG}"
	for i, name := range names {
		if first := i < 14; first != strings.HasPrefix(name, mark) && i != 22 {
			t.Errorf("template %d is %s", i, name)
		}
	}
	// What has a variant for the start of the line comes in the same order again; three have no other.
	var second []string
	for _, name := range names[14:] {
		if slices.Contains(names[:14], mark+name) {
			second = append(second, mark+name)
		}
	}
	if !slices.Equal(second, names[:14]) {
		t.Errorf("the second half's order differs:\n%v\n%v", second, names[:14])
	}
	want := append(slices.Clone(names[:14]), names[22], names[23], names[26])
	if !slices.Equal(begin, want) {
		t.Errorf("at the start of the line:\n%v\nwant\n%v", begin, want)
	}
	for i, want := range map[int]string{
		7: mark + "Epoch", 13: mark + "TAI64N", 21: "Epoch", 22: mark + "24hour:Minute:Second",
		23: "^<Month/Day/ExYear2@24hour:Minute:Second>", 26: "^MON-Day-ExYear2 %k:Minute:Second", 30: "TAI64N",
		15: `(?:DAY )?MON Day %k:Minute:Second(?:\.Microseconds)?(?: ExYear)?`,
	} {
		if names[i] != want {
			t.Errorf("template %d is %s, want %s", i, names[i], want)
		}
	}
}

func TestOwnPatternsMayPrecedeTheDefaults(t *testing.T) {
	own := `\[%H:%M:%S]`
	templates := mustCompile(t, date.Options{Pattern: "  " + own + "\n\n{^LN-BEG}\n{DEFAULT}\n{^LN-BEG}"}, testNow)
	names := templates.Names()
	if len(names) != 32 || names[0] != `\[24hour:Minute:Second]` {
		t.Errorf("got %d templates: %v", len(names), names)
	}
	// The default that is there already is left out.
	names = mustCompile(t, date.Options{Pattern: "EPOCH\n{DEFAULT}"}, testNow).Names()
	if len(names) != 31 || names[0] != "Epoch" {
		t.Errorf("got %d templates: %v", len(names), names)
	}
}

// standing is what a pattern cuts from lines, "none" for nothing.
type standing struct {
	pattern string
	lines   map[string]string
}

func standings() []standing {
	const clock, day = "10:00:00", "2026-11-22 10:00:00"
	return []standing{
		{"%H:%M:%S", map[string]string{clock: clock, "x " + clock + "z y": "none", "x" + clock: "none", "[" + clock + "]": clock, "é" + clock: "none", "a-" + clock + "-b": clock}},
		{"**%H:%M:%S**", map[string]string{"x" + clock + "y": clock, "z1" + clock: clock}},
		{"**%H:%M:%S", map[string]string{"x" + clock: clock, "x" + clock + "y": "none"}},
		{"%H:%M:%S**", map[string]string{clock + "y": clock, "x" + clock: "none"}},
		{"{UNB}%H:%M:%S", map[string]string{"x" + clock + "y": clock}},
		{"^%H:%M:%S", map[string]string{clock: clock, " " + clock: "none", clock + "y": "none"}},
		{"^%H:%M:%S**", map[string]string{clock + "y": clock}},
		{"%H:%M:%S$", map[string]string{"x " + clock: clock, clock + " ": "none"}},
		{"^%H:%M:%S$", map[string]string{clock: clock, clock + " x": "none"}},
		{`%H:%M:%S\s`, map[string]string{clock + " x": clock + " ", clock + "]": "none"}},
		{`%H:%M:%S\b`, map[string]string{clock + "]": clock, clock + "y": "none"}},
		{"{^LN-BEG}%H:%M:%S", map[string]string{clock: clock, "[" + clock + "] x": clock, " [" + clock: clock, " ([" + clock: "none", "x" + clock: "none"}},
		{`\[(%H:%M:%S)\]`, map[string]string{"a [" + clock + "] b": clock, clock: "none"}},
		{`\[%H:%M:%S\]`, map[string]string{"a [" + clock + "] b": "[" + clock + "]"}},
		{`(?:^|\s)%H:%M:%S`, map[string]string{"a " + clock: " " + clock, clock: clock}},
		{"(?:^%H:%M:%S)", map[string]string{clock: clock, "- " + clock: "none"}},
		{"(^%H:%M:%S|^x)", map[string]string{clock: clock, "y " + clock: "none"}},
		{"((%H:%M:%S))", map[string]string{"x " + clock: clock}},
		{`(?P<left>\w+) (%H:%M:%S)`, map[string]string{"ab " + clock: "ab"}}, // a name makes no difference to the number
		{`(\w+) %H:%M:%S`, map[string]string{"ab " + clock: "ab"}},
		{`(?:(x)|%H:%M:%S)`, map[string]string{"x": "x", clock: ""}},
		{`^[^\[]*\[({DATE})`, map[string]string{"a b [" + day + "] c": day, day: "none"}},
		{`^[^\[]*(\[{date}\s*\])`, map[string]string{"a b [" + day + " ] c": "[" + day + " ]"}},
		{`\{DATE} %H:%M:%S`, map[string]string{"{DATE} " + clock: "{DATE} " + clock, day: "none"}},
		{`x{date}`, map[string]string{"x" + day: "x" + day}},
		{`%H {date}`, map[string]string{"10 " + day: "none", "10 {date}": "10 {date}"}}, // small letters beside a directive
		{`time={DATE}**`, map[string]string{"time=" + day + "x": "time=" + day}},
	}
}

func TestMarksSayWhereADateMayStand(t *testing.T) {
	for _, tt := range standings() {
		templates := mustCompile(t, date.Options{Pattern: tt.pattern}, testNow)
		for line, want := range tt.lines {
			r := templates.NewDetector().Find(pyre.NewSubject(line), testNow)
			got := "none"
			if r.Found {
				got = line[r.Start:r.End]
			}
			if got != want {
				t.Errorf("%s of %q cuts %q, want %q", tt.pattern, line, got, want)
			}
		}
	}
}

func TestDateTagStandsForEveryTemplateWithDirectives(t *testing.T) {
	o := date.Options{Pattern: `when=<({DATE})>`}
	if n := len(mustCompile(t, o, testNow).Names()); n != 17 {
		t.Errorf("%d templates, want 17", n)
	}
	for i, tt := range forms {
		line := "host when=<" + tt.text + ">"
		want := at(tt.text, tt.want)
		switch i {
		case 7, 9, 12, 16: // no directives, or bound to the start of the line
			want = "none"
		}
		if got := find(t, o, line, testNow); got != want {
			t.Errorf("%s: got %s, want %s", tt.name, got, want)
		}
	}
}

func TestOptionalDates(t *testing.T) { checkReadings(t, readOptional()) }

func readOptional() []reading {
	return []reading{
		{"{NONE}", "2026-11-22 10:00:00 x", "empty"},
		{"{none}", "", "empty"},
		{`^I\(()**`, "I(2026-11-22) x", "empty"},
		{`^I\(()**`, "no", "none"},
		{`^()(?:%H:%M:%S)?`, "10:00:00 x", "empty"},                         // what is cut is empty
		{`^(?:%H:%M:%S)?()`, "10:00:00 x", at("10", "2026-11-22 10:00:00")}, // a directive's group counts
		{`(%H:%M:%S)?-`, "a-", "empty"},                                     // the group took no part
		{"%H:%M:%S\n{NONE}", "10:00:00", at("10:00:00", "2026-11-22 10:00:00")},
		{"%H:%M:%S\n{NONE}", "x 10:00:00", "empty"},
		{"%H:%M:%S\n{NONE}", "x", "empty"},
	}
}

func TestEpochForms(t *testing.T) {
	checkReadings(t, readEpochs())
	// Where on earth does not matter, but the time is shown in the machine's zone.
	const s = "1763633472"
	got := find(t, date.Options{Local: mustLoad(t, "Europe/Berlin"), LogTimezone: "UTC+0500"}, s+" x", testNow)
	if want := s + " => 2025-11-20 11:11:12 +01:00"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func readEpochs() []reading {
	const s, ms, us = "1763633472", "1763633472123", "1763633472123456"
	return []reading{
		{"EPOCH", s + " x", at(s, "2025-11-20 10:11:12")},
		{"EPOCH", s + ".123456 x", at(s+".123456", "2025-11-20 10:11:12.123456")},
		{"EPOCH", s + ".12 x", at(s, "2025-11-20 10:11:12")},
		{"EPOCH", "[" + s + "] x", at(s, "2025-11-20 10:11:12")},
		{"EPOCH", "[" + s + " x", at(s, "2025-11-20 10:11:12")}, // the bracket may stay open,
		{"EPOCH", " " + s, "none"},
		{"epoch", "msg=audit(" + s + ".123:45): x", at(s+".123", "2025-11-20 10:11:12.123")},
		{"EPOCH", "msg=audit(" + s + ".123): x", at(s+".123", "2025-11-20 10:11:12.123")},
		{"EPOCH", "99999999999", at("99999999999", "5138-11-16 09:46:39")},
		{"EPOCH", ms, "none"},
		{"EPOCH", "123456789", "none"},
		{"^EPOCH", s + " x", at(s, "2025-11-20 10:11:12")},
		{"^EPOCH", " ([" + s, "none"},
		{"^EPOCH", "  " + s, at(s, "2025-11-20 10:11:12")},
		{"{^LN-BEG}EPOCH", "[" + s + "]", at(s, "2025-11-20 10:11:12")},
		{"LEPOCH", ms + " x", at(ms, "2025-11-20 10:11:12.123")},
		{"LEPOCH", ms + ".25 x", at(ms+".25", "2025-11-20 10:11:12.12325")},
		{"LEPOCH", us + " x", at(us, "2025-11-20 10:11:12.123456")},
		{"LEPOCH", s + " x", at(s, "2025-11-20 10:11:12")},
		{"{^LN-BEG}lepoch", "- " + ms, at(ms, "2025-11-20 10:11:12.123")},
		{"t={EPOCH};", "a t=" + s + "; b", at("t="+s+";", "2025-11-20 10:11:12")},
		{"t=({epoch});", "a t=" + s + "; b", at(s, "2025-11-20 10:11:12")},
		{"t={LEPOCH};", "a t=" + us + "; b", at("t="+us+";", "2025-11-20 10:11:12.123456")},
		{"{EPOCH}-{epoch}", "1700000000-" + s, at("1700000000-"+s, "2023-11-14 22:13:20")},
		{"{EPOCH}-{LEPOCH}", s + "-" + ms, at(s+"-"+ms, "2025-11-20 10:11:12")},
		{`\{EPOCH}`, "{EPOCH}", "{EPOCH} => 2026-11-22 00:00:00 +00:00"},
		{"TAI64N", "@400000006922eb8a0f1d2c3c x", at("@400000006922eb8a0f1d2c3c", "2025-11-23 11:10:02")},
		{"TAI64N", "a @400000006922eb8a0f1d2c3c x", at("@400000006922eb8a0f1d2c3c", "2025-11-23 11:10:02")},
		{"{^LN-BEG}TAI64N", "a @400000006922eb8a0f1d2c3c x", "none"},
		{"TAI64N", "@400000006922EB8A0F1D2C3C", "none"},
	}
}

func TestPatternsThatAreRefused(t *testing.T) {
	tests := []struct{ name, pattern, zone, want string }{
		{"an unknown directive", "%F", "", "unknown directive %F"},
		{"an unknown extended directive", "%ExQ", "", "unknown directive %ExQ"},
		{"half of an extended directive", "%Ex", "", "unknown directive %E"},
		{"a directive of the shell", "%s", "", "unknown directive %s"},
		{"a percent sign at the end", "%H:%M %", "", "a % at the end"},
		{"the same pattern twice", "%H:%M\n%S\n%H:%M", "", "twice"},
		{"the same word twice", "EPOCH\nepoch", "", "twice"},
		{"a regex that is none", "(%H", "", "missing )"},
		{"a group name twice", "%H %H", "", "redefinition of group name"},
		{"an epoch in a regex that is none", "({EPOCH}", "", "missing )"},
		{"a directive that begins with a blank, first", "%k:%M", "", "bad character in group name"},
		{"a regex that is none around a date", "({DATE}", "", "missing )"},
		{"two dates", "{DATE} {DATE}", "", "redefinition of group name"},
		{"a percent sign beside a date", "%Q{DATE}", "", "unknown directive %Q"},
		{"too many patterns", manyPatterns(65), "", "more than 64"},
		{"a zone with a name", "", "Europe/Berlin", "time zone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := date.Compile(date.Options{Pattern: tt.pattern, LogTimezone: tt.zone}, testNow)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
	if _, err := date.Compile(date.Options{Pattern: manyPatterns(64)}, testNow); err != nil {
		t.Errorf("64 patterns: %v", err)
	}
}

// manyPatterns writes so many patterns of which no two are the same.
func manyPatterns(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString(strings.Repeat("x", i) + "%H\n")
	}
	return b.String()
}
