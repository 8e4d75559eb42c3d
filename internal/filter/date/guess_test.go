package date_test

import (
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

func TestMissingYearsAndDaysAreGuessed(t *testing.T) {
	tests := []struct {
		name, now, line, want string
	}{
		{"this year", "2026-11-22T12:00:00Z", "Nov 22 11:00:00", "2026-11-22 11:00:00"},
		{"this year, long ago", "2026-11-22T12:00:00Z", "Jan  1 00:00:00", "2026-01-01 00:00:00"},
		{"this year, a day ahead", "2026-11-22T12:00:00Z", "Nov 23 12:00:00", "2026-11-23 12:00:00"},
		{"last year, more than a day ahead", "2026-11-22T12:00:00Z", "Nov 23 12:00:01", "2025-11-23 12:00:01"},
		{"the night of the new year, a line of the old one", "2026-01-01T00:00:10Z", "Dec 31 23:59:59", "2025-12-31 23:59:59"},
		{"the last night of the year, a clock ahead", "2025-12-31T23:59:50Z", "Jan  1 00:00:02", "2025-01-01 00:00:02"},
		{"a leap day", "2024-03-01T00:00:00Z", "Feb 29 10:00:00", "2024-02-29 10:00:00"},
		{"a leap day in another year", "2026-03-01T00:00:00Z", "Feb 29 10:00:00", "no time"},
		{"a leap day ahead, of a year that has none", "2024-01-15T00:00:00Z", "Feb 29 10:00:00", "no time"},
		{"a day that no month has", "2026-11-22T12:00:00Z", "Feb 30 10:00:00", "no time"},
		{"a year that is there is not doubted", "2026-11-22T12:00:00Z", "Dec 24 10:00:00 2026", "2026-12-24 10:00:00"},
		{"today", "2026-11-22T12:00:00Z", "12:00:00", "2026-11-22 12:00:00"},
		{"yesterday", "2026-11-22T12:00:00Z", "12:00:01", "2026-11-21 12:00:01"},
		{"the last day of the last month", "2026-03-01T00:00:05Z", "23:59:59", "2026-02-28 23:59:59"},
		{"the last day of the last year", "2026-01-01T00:00:05Z", "23:59:59", "2025-12-31 23:59:59"},
		{"half a second counts", "2026-11-22T12:00:00.5Z", "12:00:00", "2026-11-22 12:00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			now, err := time.Parse(time.RFC3339, tt.now)
			if err != nil {
				t.Fatal(err)
			}
			want := tt.line + " => no time"
			if tt.want != "no time" {
				want = at(tt.line, tt.want)
			}
			if got := find(t, date.Options{}, tt.line, now); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestGuessesCompareTheClockOnTheWall: now is taken in the machine's zone, wherever it was made.
func TestGuessesCompareTheClockOnTheWall(t *testing.T) {
	tokyo := mustLoad(t, "Asia/Tokyo") // 21:00 there
	newYork := mustLoad(t, "America/New_York")
	tests := []struct {
		name       string
		o          date.Options
		line, want string
	}{
		{"today, by the machine's clock", date.Options{Local: tokyo}, "20:00:00", "20:00:00 => 2026-11-22 20:00:00 +09:00"},
		{"yesterday, by the machine's clock", date.Options{Local: newYork}, "08:00:00", "08:00:00 => 2026-11-21 08:00:00 -05:00"},
		{"a log's own zone is taken to UTC and then compared", date.Options{Local: newYork, LogTimezone: "UTC+0500"}, "11:00:00", "11:00:00 => 2026-11-22 01:00:00 -05:00"},
		{"a log's own zone, ahead of the machine's clock", date.Options{Local: newYork, LogTimezone: "UTC"}, "11:00:00", "11:00:00 => 2026-11-21 06:00:00 -05:00"},
		{"a zone in the line comes before the log's", date.Options{LogTimezone: "UTC+0500"}, "2026-11-20 10:00:00 -0100", "2026-11-20 10:00:00 -0100 => 2026-11-20 11:00:00 +00:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := find(t, tt.o, tt.line, testNow); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestHasZoneSaysWhetherLocalMatters tells the kinds of result apart.
func TestHasZoneSaysWhetherLocalMatters(t *testing.T) {
	for line, want := range map[string]bool{
		"Nov 20 10:00:00":                 false,
		"2026-11-20 10:00:00":             false,
		"2026-11-20 10:00:00Z":            true,
		"1763633472":                      true,
		"@400000006922eb8a0f1d2c3c":       true,
		"20/Nov/2026:10:00:00 +0100 rest": true,
	} {
		r := mustCompile(t, date.Options{}, testNow).NewDetector().Find(pyre.NewSubject(line), testNow)
		if !r.Found || r.HasZone != want {
			t.Errorf("%q: found %v, has zone %v, want %v", line, r.Found, r.HasZone, want)
		}
	}
	r := mustCompile(t, date.Options{LogTimezone: "CET"}, testNow).NewDetector().Find(pyre.NewSubject("Nov 20 10:00:00"), testNow)
	if !r.HasZone {
		t.Error("a log with a zone of its own does not depend on the machine's")
	}
}

func TestChangesOfTheClock(t *testing.T) {
	tests := []struct {
		name, zone, line, want string // want is UTC
	}{
		{"spring, before", "Europe/Berlin", "2026-03-29 01:59:59", "00:59:59"},
		{"spring, an hour that is left out counts on by the old clock", "Europe/Berlin", "2026-03-29 02:30:00", "01:30:00"},
		{"spring, after", "Europe/Berlin", "2026-03-29 03:00:00", "01:00:00"},
		{"autumn, before", "Europe/Berlin", "2026-10-25 01:59:59", "23:59:59"},
		{"autumn, the hour that comes twice is the second", "Europe/Berlin", "2026-10-25 02:30:00", "01:30:00"},
		{"autumn, after", "Europe/Berlin", "2026-10-25 03:00:00", "02:00:00"},
		{"spring in the west", "America/New_York", "2026-03-08 02:30:00", "07:30:00"},
		{"autumn in the west, the hour that comes twice is the first", "America/New_York", "2026-11-01 01:30:00", "05:30:00"},
		{"spring by half an hour", "Australia/Lord_Howe", "2026-10-04 02:15:00", "15:45:00"},
		{"autumn by half an hour", "Australia/Lord_Howe", "2026-04-05 01:45:00", "15:15:00"},
		{"no changes", "UTC", "2026-03-29 02:30:00", "02:30:00"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := mustCompile(t, date.Options{Local: mustLoad(t, tt.zone)}, testNow).NewDetector().Find(pyre.NewSubject(tt.line), testNow)
			if got := r.Time.UTC().Format("15:04:05"); !r.Found || r.Err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, r.Err, tt.want)
			}
		})
	}
}

func TestParseZone(t *testing.T) {
	tests := []struct {
		zone    string
		minutes int // -1: refused
	}{
		{"UTC", 0},
		{"GMT", 0},
		{"", 0},
		{"Z", 0},
		{"CET", 60},
		{"CEST", 120},
		{"EST", -300},
		{"IRST", 210},
		{"Y", -720},
		{"NZDT", 780},
		{"UTC+0200", 120},
		{"UTC+02", 120},
		{"UTC+02:30", 150},
		{"UTC-0430", -270},
		{"CET+0100", 120},
		{"CEST-01", 60},
		{"+0100", 60},
		{"-04:30", -270},
		{"+1959", 1199},
		{"Europe/Berlin", -1},
		{"utc", -1},
		{"XYZ", -1},
		{"XYZ+0100", -1},
		{"AB", -1},
		{"ABCDEF", -1},
		{"+2000", -1},
		{"+1", -1},
		{"+010", -1},
		{"+01000", -1},
		{"+01:", -1},
		{"+0x00", -1},
		{"+01:0x", -1},
		{"UTC 0100", -1},
		{" UTC", -1},
		{"CEST-É1", -1},
	}
	for _, tt := range tests {
		zone, err := date.ParseZone(tt.zone)
		if tt.minutes == -1 {
			if err == nil || !strings.Contains(err.Error(), "time zone") {
				t.Errorf("%q: got %v, %v, want an error that names a time zone", tt.zone, zone, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", tt.zone, err)
			continue
		}
		for _, now := range []time.Time{testNow, testNow.AddDate(0, 6, 0)} {
			if _, seconds := now.In(zone).Zone(); seconds != tt.minutes*60 {
				t.Errorf("%q: %d seconds from UTC, want %d minutes", tt.zone, seconds, tt.minutes)
			}
		}
	}
}
