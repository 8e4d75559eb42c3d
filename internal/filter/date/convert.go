package date

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// fields are the parts of a date as the groups of a template gave them.
type fields struct {
	year, month, day     int
	hour, minute, second int
	weekday, week, yday  int
	offset               int // minutes east of UTC

	hasYear, hasMonth, hasDay, hasZone bool
	hasWeekday, hasWeek, hasYday       bool
	weekFromMonday                     bool
}

// read takes the groups that took part.
func (f *fields) read(groups []field, s *pyre.Subject, m *pyre.Match) error {
	half := "" // am or pm
	for _, g := range groups {
		if g.name == "p" {
			text, _ := m.GroupText(s, g.group)
			half = strings.ToLower(text)
		}
	}
	for _, g := range groups {
		text, ok := m.GroupText(s, g.group)
		if !ok {
			continue
		}
		if err := f.set(g.name, plainDigits(text), half); err != nil {
			return fmt.Errorf("%q: %w", text, err)
		}
	}
	return nil
}

func (f *fields) set(name, text, half string) (err error) {
	number := func(to *int) {
		*to, err = strconv.Atoi(strings.TrimSpace(text))
	}
	word := func(list []string) int {
		// Of the same length: Unicode folds letters of other scripts to some of these.
		i := slices.IndexFunc(list, func(w string) bool { return len(w) == len(text) && strings.EqualFold(w, text) })
		if i < 0 {
			err = errors.New("no such name")
		}
		return i
	}
	switch name {
	case "Y":
		number(&f.year)
		f.hasYear = true
	case "y":
		number(&f.year)
		if f.year <= 2000 {
			f.year += 2000
		}
		f.hasYear = true
	case "m":
		number(&f.month)
		f.hasMonth = true
	case "b":
		f.month, f.hasMonth = word(monthsShort)+1, true
	case "B":
		f.month, f.hasMonth = word(monthsLong)+1, true
	case "d":
		number(&f.day)
		f.hasDay = true
	case "H":
		number(&f.hour)
	case "I":
		number(&f.hour)
		switch {
		case half == "pm" && f.hour != 12:
			f.hour += 12
		case half != "pm" && f.hour == 12:
			f.hour = 0
		}
	case "M":
		number(&f.minute)
	case "S":
		number(&f.second)
	case "a":
		f.weekday, f.hasWeekday = word(daysShort), true
	case "A":
		f.weekday, f.hasWeekday = word(daysLong), true
	case "w":
		number(&f.weekday)
		f.weekday, f.hasWeekday = (f.weekday+6)%7, true
	case "j":
		number(&f.yday)
		f.hasYday = true
	case "U", "W":
		number(&f.week)
		f.hasWeek, f.weekFromMonday = true, name == "W"
	case "z", "Z":
		if text == "Z" || text == "UTC" || text == "GMT" {
			f.offset = 0
		} else {
			f.offset, err = zoneOffset(text)
		}
		f.hasZone = true
	}
	return err
}

// time makes a time of the fields, guessing what is missing from now: the year is this one, unless
// that is more than a day ahead, then the last; a time alone is today's, unless that is ahead, then
// yesterday's. As fail2ban does, the guesses compare the clock on the wall: a date with a zone is
// taken to UTC first and now is not.
func (f *fields) time(o *Options, now time.Time) (t time.Time, hasZone bool, err error) {
	local := now.In(o.Local)
	wall := time.Date(local.Year(), local.Month(), local.Day(), local.Hour(), local.Minute(), local.Second(), local.Nanosecond(), time.UTC)
	assumeYear, assumeToday := !f.hasYear, false
	if assumeYear {
		f.year = local.Year()
	}
	if !f.hasMonth || !f.hasDay {
		f.fromWeekOrDay()
	}
	if !f.hasMonth && !f.hasDay {
		f.month, f.day, f.hasMonth, f.hasDay = int(local.Month()), local.Day(), true, true
		assumeToday = true
	}
	if !f.hasMonth || !f.hasDay {
		return time.Time{}, false, errors.New("a month without a day, or a day without a month")
	}
	if !f.hasZone && o.zone != nil {
		_, seconds := now.In(o.zone).Zone()
		f.offset, f.hasZone = seconds/60, true
	}
	naive, err := f.naive()
	if err != nil {
		return time.Time{}, false, err
	}
	if f.hasZone {
		naive = naive.Add(-time.Duration(f.offset) * time.Minute)
	}
	if assumeToday && naive.After(wall) {
		naive = naive.AddDate(0, 0, -1)
	}
	if assumeYear && naive.After(wall.AddDate(0, 0, 1)) {
		y, m, d := f.year-1, time.Month(f.month), f.day
		back := time.Date(y, m, d, naive.Hour(), naive.Minute(), naive.Second(), 0, time.UTC)
		if back.Day() != d {
			return time.Time{}, false, fmt.Errorf("there is no %d of %v in %d", d, m, y)
		}
		naive = back
	}
	if f.hasZone {
		return naive.In(o.Local), true, nil
	}
	return inZone(naive, o.Local), false, nil
}

// naive puts the fields together without a zone, refusing what does not exist: February 29 in most
// years, the hour 24, the second 60.
func (f *fields) naive() (time.Time, error) {
	t := time.Date(f.year, time.Month(f.month), f.day, f.hour, f.minute, f.second, 0, time.UTC)
	if f.year < 1 || t.Year() != f.year || int(t.Month()) != f.month || t.Day() != f.day ||
		t.Hour() != f.hour || t.Minute() != f.minute || t.Second() != f.second {
		return time.Time{}, fmt.Errorf("there is no %04d-%02d-%02d %02d:%02d:%02d", f.year, f.month, f.day, f.hour, f.minute, f.second)
	}
	return t, nil
}

// fromWeekOrDay finds month and day from the day of the year, or from the week and the weekday.
func (f *fields) fromWeekOrDay() {
	if f.year < 1 { // refused later
		return
	}
	if !f.hasYday && f.hasWeek && f.hasWeekday {
		first := (int(time.Date(f.year, 1, 1, 0, 0, 0, 0, time.UTC).Weekday()) + 6) % 7 // Monday is 0
		day := f.weekday
		if !f.weekFromMonday {
			first, day = (first+1)%7, (day+1)%7
		}
		f.yday, f.hasYday = 1+day-first, true
		if f.week > 0 {
			f.yday = 1 + (7-first)%7 + 7*(f.week-1) + day
		}
	}
	if f.hasYday {
		t := time.Date(f.year, 1, f.yday, 0, 0, 0, 0, time.UTC)
		f.year, f.month, f.day = t.Year(), int(t.Month()), t.Day()
		f.hasMonth, f.hasDay = true, true
	}
}

// inZone reads a clock on the wall in a zone. A time that the clock never shows, in spring, is read as
// if it had not been changed yet. One that it shows twice, in autumn, is the second of the two east of
// Greenwich and the first west of it: this walks as the C library's mktime does, from the time in UTC
// towards what the zone's offsets make of it, and stops where that walk first fits.
//
// The C library begins where its last answer was, so that within those hours fail2ban's answer depends
// on the lines before; this is what it says when it has not been asked before.
func inZone(naive time.Time, zone *time.Location) time.Time {
	const steps = 6 // a zone in which the walk is longer does not exist; mktime gives up then
	at, last, beforeLast := naive, naive, naive
	lastDST := false
	for range steps {
		local := at.In(zone)
		_, offset := local.Zone()
		next := naive.Add(-time.Duration(offset) * time.Second)
		dst := local.IsDST()
		// To and fro over the gap of spring: the end with daylight saving is taken.
		turning := at.Equal(beforeLast) && !at.Equal(last) && (dst || !lastDST)
		if next.Equal(at) || turning {
			return local
		}
		beforeLast, last, at, lastDST = last, at, next, dst
	}
	return at.In(zone)
}
