package date_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// TestStoriesOfChoice runs logs through one detector each and says which date of a line was taken.
func TestStoriesOfChoice(t *testing.T) {
	type step struct{ line, cut string } // "none" for no date
	const syslog, iso = "Nov 22 10:00:00", "2026-11-22 10:00:01"
	repeat := func(n int, s step) (all []step) {
		for range n {
			all = append(all, s)
		}
		return all
	}
	tests := []struct {
		name, pattern string
		steps         []step
	}{
		{"the start of the line beats all", "", []step{
			{syslog + " says " + iso, syslog},
			{iso + " says " + syslog, iso},
			{"[" + iso + "] says " + syslog, iso},
		}},
		{"else what stands furthest left", "", []step{
			{"host1 " + syslog + " says " + iso, syslog},
			{"host1 " + iso + " says " + syslog, iso},
		}},
		{"a date in a message does not take the place of one that is missing its usual form", "", append(
			repeat(5, step{"host1 " + syslog + " says " + iso, syslog}),
			step{"host1 x " + iso + " says " + syslog, iso},
		)},
		{"the place that is known is looked at first", "", append(
			repeat(3, step{"the host " + iso + " says", iso}),
			step{"04:05 on " + iso + " says " + syslog, iso},
			step{syslog + " or " + iso, syslog},
		)},
		{"letters before a month are a zone, as fail2ban has it", "", []step{
			{"host " + syslog, "host " + syslog},
			{"hosts1 " + syslog, syslog},
		}},
		{"a line without a date changes nothing", "", []step{
			{"host " + iso, iso},
			{"nothing", "none"},
			{"4711", "none"},
			{"host " + iso, iso},
		}},
		{"one pattern is found wherever it stands", "%H:%M:%S", []step{
			{"at 10:00:00", "10:00:00"},
			{"then at 10:00:01 and 10:00:02", "10:00:01"},
			{"10:00:03", "10:00:03"},
			{"a 10:00:04 b", "10:00:04"},
		}},
		{"two patterns: the leftmost wins, then the known one at its place", "%H:%M:%S\n%Y-%m-%d", []step{
			{"a 2026-11-20 b 10:00:00", "2026-11-20"},
			{"a 10:00:00 b 2026-11-20", "10:00:00"},
			{"a 10:00:00 b", "10:00:00"},
			{"a 2026-11-20 b", "2026-11-20"},
		}},
		{"what surrounds the place may be a letter more than one byte long", "%H:%M:%S\n%Y-%m-%d", []step{
			{"é 10:00:00 é", "10:00:00"},
			{"é 10:00:00 é", "10:00:00"},
			{"éé10:00:00 2026-11-20", "2026-11-20"},
			{"ü", "none"},
			{"x 10:00:00 é", "10:00:00"},
		}},
		{"lines that are shorter than the place", "%H:%M:%S\n%Y-%m-%d", []step{
			{"a long way to 10:00:00 here", "10:00:00"},
			{"short", "none"},
			{"10:00:01", "10:00:01"},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, s := mustCompile(t, date.Options{Pattern: tt.pattern}, testNow).NewDetector(), pyre.NewSubject("")
			for i, step := range tt.steps {
				s.Reset(step.line)
				got := "none"
				if r := d.Find(s, testNow); r.Found {
					got = step.line[r.Start:r.End]
				}
				if got != step.cut {
					t.Errorf("line %d %q: cut %q, want %q", i, step.line, got, step.cut)
				}
			}
		})
	}
}

// TestATemplateThatWinsRises: of two that could read the same text the one that has proven itself is
// taken, and one that has not been of use for minutes makes way.
func TestATemplateThatWinsRises(t *testing.T) {
	const dayFirst, monthFirst = `%d/%m/%Y`, `%m/%d/%Y`
	const plain, unclear = "11/22/2026", "11/10/2026" // only the second pattern can read the first
	now := testNow
	d, s := mustCompile(t, date.Options{Pattern: dayFirst + "\n" + monthFirst}, now).NewDetector(), pyre.NewSubject("")
	steps := []struct {
		name  string
		after time.Duration
		line  string
		want  string
	}{
		{"the first that fits, at first", 0, unclear, "Day/Month/Year"},
		{"the other where only it fits", time.Second, plain, "Month/Day/Year"},
		{"which matched last, and stands there again", time.Second, unclear, "Month/Day/Year"},
	}
	for _, step := range steps {
		now = now.Add(step.after)
		s.Reset(step.line)
		if r := d.Find(s, now); r.Template != step.want {
			t.Errorf("%s: %s, want %s", step.name, r.Template, step.want)
		}
	}
}

func TestDetectorsOfTheSameTemplatesDoNotShareMemory(t *testing.T) {
	templates := mustCompile(t, date.Options{Pattern: "%d/%m/%Y\n%m/%d/%Y"}, testNow)
	first, second := templates.NewDetector(), templates.NewDetector()
	for range 5 {
		first.Find(pyre.NewSubject("11/22/2026"), testNow)
	}
	if r := second.Find(pyre.NewSubject("11/10/2026"), testNow); r.Template != "Day/Month/Year" {
		t.Errorf("the second detector took %s", r.Template)
	}
	if r := first.Find(pyre.NewSubject("11/10/2026"), testNow); r.Template != "Month/Day/Year" {
		t.Errorf("the first detector took %s", r.Template)
	}
}

func TestHitsCountWhatWon(t *testing.T) {
	d := mustCompile(t, date.Options{Pattern: "%d/%m/%Y\n%m/%d/%Y\n%H:%M"}, testNow).NewDetector()
	for _, line := range []string{"11/22/2026", "none", "11/22/2026 10:00", "22/11/2026", "10:00 11/22/2026"} {
		d.Find(pyre.NewSubject(line), testNow)
	}
	want := []string{"Month/Day/Year 2", "Day/Month/Year 1", "24hour:Minute 1"}
	var got []string
	for _, h := range d.Hits() {
		got = append(got, fmt.Sprintf("%s %d", h.Template, h.Count))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
