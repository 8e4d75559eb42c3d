package filter

import (
	"slices"
	"time"
)

// skippedMax is how many skipped lines are kept at most; then the date among them is looked for. A
// long run of skipped lines costs one date search in so many lines.
const skippedMax = 32

// skipped remembers lines that cannot match, until it is known whether their dates matter.
//
// A line that cannot match leaves one trace that a later line can see: the date last seen, which
// serves lines without a date (Session.place). Each skipped line is thus a function of the last date:
// one with a date of its own sets it, whatever it was; one without leaves it, or, where it lies too
// far in the future, moves it to now (Session.checkTime). All of that needs the dates, and finding
// dates is most of the work that skipping saves. So the lines are kept as they came; when somebody
// asks, the newest line with a date is looked for from behind, and the functions of the lines after
// it are applied in order. Most often nobody asks, since the next line that is looked at has a date.
//
// What is not reproduced is what a date detector learns from the lines that it sees: which template
// fits this log. It learns from the lines that are looked at. Where templates do not compete for the
// same line this makes no difference.
type skipped struct {
	lines []skippedLine // reused; len is what is kept
}

type skippedLine struct {
	text        []byte
	now         time.Time
	inOperation bool
}

func (k *skipped) clear() { k.lines = k.lines[:0] }

func (k *skipped) add(text string, now time.Time, inOperation bool) {
	n := len(k.lines)
	if n == cap(k.lines) {
		k.lines = append(k.lines, skippedLine{})
	}
	k.lines = k.lines[:n+1]
	l := &k.lines[n]
	l.text = append(l.text[:0], text...)
	l.now, l.inOperation = now, inOperation
}

// Skip takes notice of a line for which Wants is false. Later lines come out as if it had been
// processed. The text is copied, so it may be a view into a buffer; in most cases nothing is
// allocated.
func (s *Session) Skip(l Line, now time.Time, inOperation bool) {
	if !l.Time.IsZero() {
		s.remember(l.Time, l.Stamp)
		s.moveToNow(now, inOperation)
		return
	}
	if len(s.skipped.lines) == skippedMax {
		s.recall()
	}
	s.skipped.add(l.Text, now, inOperation)
}

// recall brings the last date up to the lines that were skipped.
func (s *Session) recall() {
	lines := s.skipped.lines
	s.skipped.clear()
	next := 0
	for i, l := range slices.Backward(lines) {
		text := string(l.text)
		s.found.Reset(text)
		r := s.dates.Find(&s.found, s.guess(l.now))
		if !r.Found || r.Start == r.End || r.Err != nil {
			continue
		}
		s.lastDate, s.lastStamp, s.lastZone = r.Time, text[r.Start:r.End], r.HasZone && !r.Epoch
		s.moveToNow(l.now, l.inOperation)
		next = i + 1
		break
	}
	for _, l := range lines[next:] {
		if s.lastDate.After(l.now.Add(-dateMemory)) {
			s.moveToNow(l.now, l.inOperation)
		}
	}
}

// moveToNow does to the last date what checkTime does to it.
func (s *Session) moveToNow(now time.Time, inOperation bool) {
	if s.f.checkTime && inOperation && offClock(s.lastDate, now) {
		s.lastDate = now
	}
}
