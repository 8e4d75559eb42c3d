package filter

import "time"

// The limits of fail2ban's sanity checks on time.
const (
	// dateMemory is how long a date serves the lines behind it that have none.
	dateMemory = 60 * time.Second
	// clockTolerance is how far a line's time may lie from now, in whole seconds, while the lines
	// are new.
	clockTolerance = 60
)

// placed is a line with its time.
type placed struct {
	line textLine
	time time.Time // zero: unknown
	// hasZone: the date in the line says where on earth, and is no count of seconds.
	hasZone bool
	// noDate: the time was not found in the line, although one was expected there.
	noDate bool
}

// place finds a line's date, cuts it out, and says when the line happened. A line without a date
// happened when the last one with a date did, if that is not long ago; else now, if lines are new.
// Where the date's own text matched empty (the filter allows lines without), now serves always.
func (s *Session) place(l Line, now time.Time, inOperation bool) placed {
	if !l.Time.IsZero() {
		s.remember(l.Time, l.Stamp)
		return placed{line: textLine{stamp: l.Stamp, post: l.Text}, time: l.Time}
	}
	s.found.Reset(l.Text)
	r := s.dates.Find(&s.found, s.guess(now))
	p := placed{line: textLine{post: l.Text}}
	optional := false
	if r.Found {
		p.line = textLine{l.Text[:r.Start], l.Text[r.Start:r.End], l.Text[r.End:]}
		switch {
		case r.Start == r.End:
			optional = true
		case r.Err == nil:
			s.remember(r.Time, p.line.stamp)
			s.lastZone = r.HasZone && !r.Epoch
			p.time, p.hasZone = r.Time, s.lastZone
			return p
		default:
			s.notice(Notice{Kind: NoticeBadDate, Text: l.Text, Date: p.line.stamp})
		}
	}
	p.noDate = !optional
	s.recall()
	switch {
	case s.lastDate.After(now.Add(-dateMemory)):
		p.line = textLine{stamp: s.lastStamp, post: l.Text}
		p.time, p.hasZone = s.lastDate, s.lastZone
	case optional, s.f.checkTime && inOperation:
		p.time = now
	}
	return p
}

// guess is the time that dates without a year are guessed by.
func (s *Session) guess(now time.Time) time.Time {
	if s.written.IsZero() {
		return now
	}
	return s.written
}

// remember notes the date of a line. What was skipped before does not matter any more.
func (s *Session) remember(at time.Time, stamp string) {
	s.lastDate, s.lastStamp = at, stamp
	s.skipped.clear()
}

// checkTime holds a line's time against the clock and reports whether the line counts. New lines
// happen about now: where the time says otherwise, the clock or the zone of the log is wrong, and now
// is taken. Lines from before the start count if they are younger than findtime.
func (s *Session) checkTime(p *placed, text string, now time.Time, inOperation bool) bool {
	if !inOperation {
		if p.time.Before(now.Add(-s.f.findTime)) {
			s.notice(Notice{Kind: NoticeOld, Text: text, Date: p.line.stamp, Delta: p.time.Sub(now)})
			return false
		}
		return true
	}
	if !offClock(p.time, now) {
		return true
	}
	kind := NoticeClockAhead
	if p.time.Before(now) {
		kind = NoticeClockBehind
	}
	s.notice(Notice{Kind: kind, Text: text, Date: p.line.stamp, Delta: p.time.Sub(now)})
	p.time = now
	s.lastDate = now
	s.result.Time = now
	return true
}

// offClock reports whether a time is more than the tolerance away from now, in whole seconds.
func offClock(at, now time.Time) bool {
	seconds := at.Sub(now) / time.Second
	return seconds > clockTolerance || seconds < -clockTolerance
}
