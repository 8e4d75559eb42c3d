package filter

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func kinds(r Result) string {
	var k []string
	for _, n := range r.Notices {
		k = append(k, n.Kind.String())
	}
	return strings.Join(k, ", ")
}

// at writes a time as seconds from testNow.
func at(tm time.Time) string {
	if tm.IsZero() {
		return "unknown"
	}
	return fmt.Sprintf("%+d", tm.Sub(testNow)/time.Second)
}

func TestTimeOfALineAgainstTheClock(t *testing.T) {
	const behind, ahead, old, noDate, badDate = "line dated before now", "line dated after now", "line older than findtime", "match without a date", "date that does not exist"
	tests := []struct {
		name        string
		date        string
		inOperation bool
		noCheck     bool
		want        string // time of the match, empty: none
		notices     string
	}{
		{"new and recent", stamp(60), true, false, "-60", ""},
		{"new and too long ago", stamp(61), true, false, "+0", behind},
		{"new and from another zone", stamp(-3600), true, false, "+0", ahead},
		{"new and a little ahead is capped", stamp(-60), true, false, "+0", ""},
		{"catching up, within findtime", stamp(600), false, false, "-600", ""},
		{"catching up, too old", stamp(601), false, false, "", old},
		{"catching up, ahead is capped", stamp(-3600), false, false, "+0", ""},
		{"new without a date", "", true, false, "+0", noDate},
		{"catching up without a date", "", false, false, "", noDate},
		{"a date that is none, new", "2025-02-29 10:00:00", true, false, "+0", badDate + ", " + noDate},
		{"a date that is none, catching up", "2025-02-29 10:00:00", false, false, "", badDate + ", " + noDate},
		{"unchecked: old", stamp(7200), true, true, "-7200", ""},
		{"unchecked: ahead", stamp(-7200), true, true, "+7200", ""},
		{"unchecked: without a date", "", true, true, "unknown", noDate},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustNew(t, Options{FailRegex: []string{`fail <HOST>`}, NoTimeCheck: tt.noCheck}).NewSession()
			r := s.Process(Line{Text: tt.date + " fail 192.0.2.1"}, testNow, tt.inOperation)
			got := ""
			if len(r.Matches) > 0 {
				got = at(r.Matches[0].Time)
			}
			if got != tt.want {
				t.Errorf("time %q, want %q", got, tt.want)
			}
			if k := kinds(r); k != tt.notices {
				t.Errorf("notices %q, want %q", k, tt.notices)
			}
			if (r.Verdict == TooOld) != (tt.notices == old) {
				t.Errorf("verdict %v", r.Verdict)
			}
		})
	}
}

func TestALineWithoutADateTakesTheLastOne(t *testing.T) {
	type step struct {
		text string // "" is a line without a date, "." one that is skipped
		now  int    // seconds after testNow
		want string
	}
	tests := []struct {
		name        string
		inOperation bool
		pattern     string
		steps       []step
	}{
		{"within a minute", true, "", []step{{stamp(5), 0, "-5"}, {"", 30, "-5"}, {"", 54, "-5"}, {"", 55, "+55"}}},
		{"within a minute while catching up, and then not at all", false, "", []step{{stamp(5), 0, "-5"}, {"", 54, "-5"}, {"", 55, ""}}},
		{"a skipped line's date serves too", true, "", []step{{". " + stamp(5), 0, "skipped"}, {"", 0, "-5"}}},
		{"a corrected date is now", true, "", []step{{stamp(3600), 0, "+0"}, {"", 30, "+0"}}},
		{"an optional date is never missed", false, "{NONE}", []step{{"", 0, "+0"}, {"", 30, "+30"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := mustNew(t, Options{FailRegex: []string{`fail <HOST>`}, DatePattern: tt.pattern}).NewSession()
			for i, st := range tt.steps {
				date, skip := strings.CutPrefix(st.text, ". ")
				line := date + " fail 192.0.2.1"
				if skip {
					line = date + " nothing"
				}
				r := s.Process(Line{Text: line}, testNow.Add(time.Duration(st.now)*time.Second), tt.inOperation)
				got := ""
				if skip {
					got = "skipped"
				}
				if len(r.Matches) > 0 {
					got = at(r.Matches[0].Time)
				}
				if got != st.want {
					t.Errorf("step %d: time %q, want %q", i, got, st.want)
				}
			}
		})
	}
}

func TestALineWithoutADateShowsTheLastOne(t *testing.T) {
	s := mustNew(t, Options{FailRegex: []string{`fail <HOST>`}}).NewSession()
	s.Process(Line{Text: stamp(5) + " nothing"}, testNow, true)
	r := s.Process(Line{Text: " fail 192.0.2.1"}, testNow, true)
	if want := []string{stamp(5) + " fail 192.0.2.1"}; len(r.Matches) != 1 || !slices.Equal(r.Matches[0].Lines, want) {
		t.Errorf("got %+v, want lines %q", r.Matches, want)
	}
	if n := r.Notices[0]; n.Kind != NoticeNoDate || n.Date != stamp(5) || n.Text != " fail 192.0.2.1" {
		t.Errorf("notice %+v", n)
	}
}

func TestATimeThatTheSourceKnows(t *testing.T) {
	s := mustNew(t, Options{FailRegex: []string{`^host fail 2025-11-22 11:11:11 <HOST>$`}}).NewSession()
	given := testNow.Add(-7 * time.Second)
	r := s.Process(Line{Text: "host fail 2025-11-22 11:11:11 192.0.2.1", Time: given, Stamp: "then "}, testNow, true)
	if len(r.Matches) != 1 || !r.Matches[0].Time.Equal(given) || r.Matches[0].Lines[0] != "then host fail 2025-11-22 11:11:11 192.0.2.1" {
		t.Errorf("got %+v", r.Matches)
	}
	s.Skip(Line{Text: "x", Time: testNow.Add(-8 * time.Second), Stamp: "skipped "}, testNow, true)
	r = s.Process(Line{Text: "host fail 2025-11-22 11:11:11 192.0.2.1", Time: testNow.Add(time.Hour), Stamp: "soon "}, testNow, true)
	if len(r.Matches) != 1 || !r.Matches[0].Time.Equal(testNow) || !r.Time.Equal(testNow) {
		t.Errorf("a time ahead is now: got %+v at %v", r.Matches, r.Time)
	}
}

func TestTimeOfFindsADateWithoutMemory(t *testing.T) {
	s := mustNew(t, Options{FailRegex: []string{`fail <HOST>`}}).NewSession()
	if got, ok := s.TimeOf(stamp(4000)+" anything", testNow); !ok || !got.Equal(testNow.Add(-4000*time.Second)) {
		t.Errorf("got %v, %v", got, ok)
	}
	for _, line := range []string{"", "no date", "2025-02-29 10:00:00 no such day"} {
		if got, ok := s.TimeOf(line, testNow); ok {
			t.Errorf("%q has the time %v", line, got)
		}
	}
	if !s.lastDate.IsZero() {
		t.Error("TimeOf is remembered")
	}
}

func TestNamesOfVerdictsAndNotices(t *testing.T) {
	seen := map[string]bool{}
	for v := Missed; v <= TooOld; v++ {
		seen[v.String()] = true
	}
	for k := NoticeKind(0); k <= NoticeNoID; k++ {
		seen[k.String()] = true
	}
	for r := RoleFail; r <= RoleIgnore; r++ {
		seen[r.String()] = true
	}
	if len(seen) != 4+8+3 {
		t.Errorf("%d different names: %v", len(seen), seen)
	}
}

// TestLinesOfThePastAreTheirOwnClock: a stream that is read long after it was written.
func TestLinesOfThePastAreTheirOwnClock(t *testing.T) {
	f := mustNew(t, Options{
		FailRegex:   []string{`^ <F-MLFID>\w+</F-MLFID> <F-NOFAIL>from</F-NOFAIL> <HOST>$`, `^ <F-MLFID>\w+</F-MLFID> failed$`, `^ failure by <HOST>$`},
		NoTimeCheck: true, AllYears: true, FindTime: time.Minute,
	})
	written := time.Date(2019, 1, 2, 12, 0, 0, 0, time.UTC)
	s, clock := f.NewReplay(written), time.Time{}
	for _, step := range []struct{ line, want string }{
		{"Dec 30 23:59:00 failure by 192.0.2.1", "192.0.2.1 2018-12-30 23:59:00"}, // of the year before it was written
		{"Dec 31 10:00:00 one from 192.0.2.7", ""},
		{"Dec 31 10:04:59 one failed", "192.0.2.7 2018-12-31 10:04:59"},
		{"Jan  1 10:00:00 one from 192.0.2.8", ""},
		{"Jan  1 10:05:00 one failed", ""}, // five minutes later, nobody knows whose connection it was
		{"Jan  1 10:06:00 nothing", ""},
		{" failure by 192.0.2.2", "192.0.2.2 2019-01-01 10:06:00"}, // when the last line with a date was
	} {
		r := s.Process(Line{Text: step.line}, clock, false)
		if r.Time.After(clock) {
			clock = r.Time
		}
		var all []string
		for _, m := range r.Matches {
			all = append(all, m.ID.String()+m.Time.UTC().Format(" 2006-01-02 15:04:05"))
		}
		got := strings.Join(all, ", ")
		if got != step.want {
			t.Errorf("%q: %q, want %q", step.line, got, step.want)
		}
	}
}
