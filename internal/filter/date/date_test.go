package date_test

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// testNow is a Sunday at noon.
var testNow = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func mustCompile(tb testing.TB, o date.Options, now time.Time) *date.Templates {
	tb.Helper()
	templates, err := date.Compile(o, now)
	if err != nil {
		tb.Fatalf("compile %q: %v", o.Pattern, err)
	}
	return templates
}

func mustLoad(tb testing.TB, zone string) *time.Location {
	tb.Helper()
	loc, err := time.LoadLocation(zone)
	if err != nil {
		tb.Fatal(err)
	}
	return loc
}

// find looks for a date with a detector that has seen nothing, and shows what it found.
func find(tb testing.TB, o date.Options, line string, now time.Time) string {
	tb.Helper()
	return show(line, mustCompile(tb, o, now).NewDetector().Find(pyre.NewSubject(line), now))
}

// show writes a result as the text that is cut, an arrow, and the time it means; "none" if there is no
// date, "empty" if it is optional and missing.
func show(line string, r date.Result) string {
	switch {
	case !r.Found:
		return "none"
	case r.Empty:
		return "empty"
	case r.Err != nil:
		return line[r.Start:r.End] + " => no time"
	}
	return line[r.Start:r.End] + " => " + r.Time.Format("2006-01-02 15:04:05.999999 -07:00")
}

// at is show for a text that is cut whole and means a time in UTC.
func at(text, clock string) string { return text + " => " + clock + " +00:00" }

// reading is what a pattern finds in a line at testNow.
type reading struct{ pattern, line, want string }

func readDirectives() []reading {
	return []reading{
		{"%Y-%m-%d", "2026-11-02", at("2026-11-02", "2026-11-02 00:00:00")},
		{"%Y-%m-%d", "1871-1-2", at("1871-1-2", "1871-01-02 00:00:00")},
		{"%Y-%m-%d", "0000-11-02", "0000-11-02 => no time"},
		{"%Y-%m-%d", "2026-00-02", "none"},
		{"%Y-%m-%d", "2026-13-02", "none"},
		{"%Y-%m-%d", "2026-11-00", "none"},
		{"%Y-%m-%d", "2026-11-32", "none"},
		{"%Y-%m-%d", "2026-11-31", "2026-11-31 => no time"},
		{"%Y-%m-%d", "2026-11- 2", at("2026-11- 2", "2026-11-02 00:00:00")},
		{"%ExY-%Exm-%Exd", "2029-01-02", at("2029-01-02", "2029-01-02 00:00:00")},
		{"%ExY-%Exm-%Exd", "2030-01-02", "none"},
		{"%ExY-%Exm-%Exd", "1999-01-02", "none"},
		{"%ExY-%Exm-%Exd", "2026-1-02", "none"},
		{"%ExY-%Exm-%Exd", "2026-01-2", "none"},
		{"%y-%m-%d", "26-01-02", at("26-01-02", "2026-01-02 00:00:00")},
		{"%y-%m-%d", "99-01-02", at("99-01-02", "2099-01-02 00:00:00")},
		{"%Exy%Exm%Exd", "070809", at("070809", "2007-08-09 00:00:00")},
		{"%H:%M:%S", "1:2:3", at("1:2:3", "2026-11-22 01:02:03")},
		{"%H:%M:%S", "24:00:00", "none"},
		{"%H:%M:%S", "10:60:00", "none"},
		{"%H:%M:%S", "10:59:60", "10:59:60 => no time"},
		{"%H:%M:%S", "10:59:62", "none"},
		{"%ExH:%ExM:%ExS", "01:02:03", at("01:02:03", "2026-11-22 01:02:03")},
		{"%ExH:%ExM:%ExS", "1:02:03", "none"},
		{"%ExH:%ExM:%ExS", "01:2:03", "none"},
		{"%ExH:%ExM:%ExS", "01:02:3", "none"},
		{"at%k:%M", "at 9:30", at("at 9:30", "2026-11-22 09:30:00")},
		{"at%k:%M", "at29:30", "at29:30 => no time"},
		{"at%Exk:%M", "at 9:30", at("at 9:30", "2026-11-22 09:30:00")},
		{"at%Exk:%M", "at29:30", "none"},
		{"%I:%M:%S %p", "11:30:00 AM", at("11:30:00 AM", "2026-11-22 11:30:00")},
		{"%I:%M:%S %p", "12:00:00 pm", at("12:00:00 pm", "2026-11-22 12:00:00")},
		{"%I:%M:%S %p", "12:00:00 am", at("12:00:00 am", "2026-11-22 00:00:00")},
		{"%I:%M:%S %p", "1:00:00 pm", at("1:00:00 pm", "2026-11-21 13:00:00")},
		{"%I:%M:%S %p", "13:00:00 pm", "none"},
		{"%I:%M", "12:30", at("12:30", "2026-11-22 00:30:00")},
		{"at%l:%M %p", "at 7:30 Pm", at("at 7:30 Pm", "2026-11-21 19:30:00")},
		{"at%l:%M", "at19:30", at("at19:30", "2026-11-21 19:30:00")},
		{"at%Exl:%M", "at19:30", "none"},
		{"at%Exl:%M", "at11:30", at("at11:30", "2026-11-22 11:30:00")},
		{`%H:%M:%S\.%f`, "10:11:12.987654", at("10:11:12.987654", "2026-11-22 10:11:12")},
		{`%H:%M:%S\.%f`, "10:11:12.9876543", "none"},
		{"%d %b %Y", "2 nOV 2026", at("2 nOV 2026", "2026-11-02 00:00:00")},
		{"%d %b %Y", "2 November 2026", "none"},
		{"%d %B %Y", "2 November 2026", at("2 November 2026", "2026-11-02 00:00:00")},
		{"%d %b %Y", "2 Okt 2026", "none"},
		{"%a %d %b %Y", "Fri 2 Nov 2026", at("Fri 2 Nov 2026", "2026-11-02 00:00:00")}, // the weekday is not checked
		{"%A %d %b %Y", "monday 2 Nov 2026", at("monday 2 Nov 2026", "2026-11-02 00:00:00")},
		{"%Y %j", "2026 326", at("2026 326", "2026-11-22 00:00:00")},
		{"%Y %j", "2024 366", at("2024 366", "2024-12-31 00:00:00")},
		{"%Y %j", "2026 366", at("2026 366", "2027-01-01 00:00:00")},
		{"%Y %j", "2026 7", at("2026 7", "2026-01-07 00:00:00")},
		{"%Y %j", "2026 367", "none"},
		{"%Y %U %a", "2026 47 Sun", at("2026 47 Sun", "2026-11-22 00:00:00")},
		{"%Y %W %a", "2026 46 Sun", at("2026 46 Sun", "2026-11-22 00:00:00")},
		{"%Y %U %w", "2026 47 0", at("2026 47 0", "2026-11-22 00:00:00")},
		{"%Y %W %A", "2026 00 Thursday", at("2026 00 Thursday", "2026-01-01 00:00:00")},
		{"%Y %U %a", "2026 54 Sun", "none"},
		{"%Y %W", "2026 46", at("2026 46", "2026-11-22 00:00:00")}, // no weekday: as no week
		{"%c", "Sun Nov 22 10:11:12 2026", at("Sun Nov 22 10:11:12 2026", "2026-11-22 10:11:12")},
		{"%x", "11/02/26", at("11/02/26", "2026-11-02 00:00:00")},
		{"%x %X", "1/2/26 1:2:3", at("1/2/26 1:2:3", "2026-01-02 01:02:03")},
		{"%X", "10:11:12", at("10:11:12", "2026-11-22 10:11:12")},
		{"%% %Y-%m-%d", "% 2026-11-02", at("% 2026-11-02", "2026-11-02 00:00:00")},
		{"%G-%V-%u %Y-%m-%d", "2020-01-1 2026-11-02", at("2020-01-1 2026-11-02", "2026-11-02 00:00:00")},
		{"%m/%Y", "11/2026", "11/2026 => no time"},
		{"%d/%Y", "11/2026", "11/2026 => no time"},
	}
}

func checkReadings(t *testing.T, tests []reading) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.pattern+" of "+tt.line, func(t *testing.T) {
			if got := find(t, date.Options{Pattern: tt.pattern}, tt.line, testNow); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestDirectivesReadTheirForms(t *testing.T) { checkReadings(t, readDirectives()) }

func TestZonesInTheTextAreAddedUp(t *testing.T) {
	tests := []struct {
		pattern, zone, want string // want is the time of day in UTC, or what came instead
	}{
		{"%z", "Z", "10:00:00"},
		{"%z", "UTC", "10:00:00"},
		{"%z", "GMT", "10:00:00"},
		{"%z", "+01", "09:00:00"},
		{"%z", "+0130", "08:30:00"},
		{"%z", "-01:30", "11:30:00"},
		{"%z", "+2000", "none"},
		{"%z", "CET", "none"},
		{"%Z", "CET", "09:00:00"},
		{"%Z", "CEST", "08:00:00"},
		{"%Z", "Z", "10:00:00"},
		{"%Z", "YEKST", "04:00:00"},
		{"%Z", "XYZ", "no time"},
		{"%Z", "cet", "none"},
		{"%Z", "A", "none"},
		{"%ExZ", "A", "09:00:00"},
		{"%ExZ", "MIT", "19:30:00"},
		{"%ExZ", "AB", "none"},
		{"%Exz", "CET", "09:00:00"},
		{"%Exz", "CET+0100", "08:00:00"},
		{"%Exz", "CEST-01", "09:00:00"},
		{"%Exz", "A+01:00", "08:00:00"},
		{"%Exz", "+01:00", "09:00:00"},
		{"%Exz", "XYZ+01", "no time"},
		{"%Exz", "+01:0", "09:00:00"}, // half a minute is not part of it,
	}
	for _, tt := range tests {
		t.Run(tt.pattern+" of "+tt.zone, func(t *testing.T) {
			line := "2026-11-20 10:00:00 " + tt.zone
			templates := mustCompile(t, date.Options{Pattern: "%Y-%m-%d %H:%M:%S " + tt.pattern, Local: mustLoad(t, "Asia/Tokyo")}, testNow)
			r := templates.NewDetector().Find(pyre.NewSubject(line), testNow)
			got := "none"
			if r.Found {
				got = "no time"
				if r.Err == nil {
					got = r.Time.UTC().Format("15:04:05")
				}
				if r.Err == nil && !r.HasZone {
					t.Error("the text has a zone, the result says it has not")
				}
			}
			if got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestWordsMakeAPatternIgnoreCase(t *testing.T) { checkReadings(t, readWords()) }

func readWords() []reading {
	return []reading{
		{"AT %H:%M", "at 10:00", "none"},
		{"AT %b %d %H:%M", "at Nov 2 10:00", at("at Nov 2 10:00", "2026-11-02 10:00:00")},
		{"AT %%b %H:%M", "at %B 10:00", "none"},
		{"AT %%b %H:%M", "AT %b 10:00", at("AT %b 10:00", "2026-11-22 10:00:00")},
		{"(?i)AT %H:%M", "at 10:00", at("at 10:00", "2026-11-22 10:00:00")},
		{"%b %d %H:%M %Z", "nov 2 10:00 utc", "nov 2 10:00 utc => no time"},
	}
}

func TestPlausibleYearsGrowWithTheClock(t *testing.T) {
	year := func(y int) time.Time { return time.Date(y, 6, 1, 0, 0, 0, 0, time.UTC) }
	tests := []struct {
		name string
		now  time.Time
		all  bool
		yes  string
		no   string
	}{
		{"this century, to the end of the decade of three years on", year(2026), false, "2000 2026 2029", "1999 2030 2099"},
		{"three years before the decade ends, the next one begins", year(2027), false, "2000 2039", "1999 2040"},
		{"old logs on request", year(2026), true, "1960 1999 2029", "1959 2030"},
		{"a clock that was never set", year(1970), false, "2000 2009", "1970 2010"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for want, years := range map[bool]string{true: tt.yes, false: tt.no} {
				for y := range strings.FieldsSeq(years) {
					got := find(t, date.Options{Pattern: "%ExY-%m-%d", AllYears: tt.all}, y+"-01-02", tt.now)
					if (got != "none") != want {
						t.Errorf("%s: got %s, want found %v", y, got, want)
					}
				}
			}
		})
	}
}

func TestTemplatesAreStaleInTheNextYear(t *testing.T) {
	templates := mustCompile(t, date.Options{}, testNow)
	for _, tt := range []struct {
		now  string
		want bool
	}{
		{"2026-11-22T12:00:00Z", false},
		{"2026-12-31T23:59:59Z", false},
		{"2027-01-01T00:00:00Z", true},
		{"2031-06-01T00:00:00Z", true},
		{"2020-01-01T00:00:00Z", false}, // a clock that was set back
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		if got := templates.Stale(now); got != tt.want {
			t.Errorf("%s: stale %v, want %v", tt.now, got, tt.want)
		}
	}
}
