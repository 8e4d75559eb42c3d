package filter

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// Line is one line of a log.
type Line struct {
	// Text is the line without its end (no CR, no LF), in valid UTF-8. Process keeps it.
	Text string
	// Time is the line's time where the source knows it (the journal does); then no date is looked
	// for in Text. Zero: find it.
	Time time.Time
	// Stamp is put in front of the line in Match.Lines if Time is set.
	Stamp string
}

// maxGiveUps is how many regexes may give up on one line before it is dropped. Each give-up has cost
// a whole search limit, so this bounds what a hostile line costs.
const maxGiveUps = 3

// Session is the memory of a Filter for one stream of lines. It has one owner: no method may run
// beside another.
type Session struct {
	f     *Filter
	dates *date.Detector
	// written is when the lines had all been written, of a stream that is read later; else zero.
	written time.Time

	lastDate  time.Time // of the last line that had one, zero before
	lastStamp string    // its text
	lastZone  bool      // that names its zone
	skipped   skipped   // lines that were not looked at since
	buffer    []textLine
	open      connections

	// The rest serves one call.
	found   pyre.Subject // of the date
	text    pyre.Subject // of the buffer
	match   pyre.Match
	ignored pyre.Subject
	probe   pyre.Match
	result  Result
	giveUps int
}

// NewSession starts a stream of lines.
func (f *Filter) NewSession() *Session {
	return &Session{f: f, dates: f.dates.NewDetector()}
}

// NewReplay starts a stream of lines that were written long ago, up to a time, for filters with NoTimeCheck.
// Dates that lack a year are guessed by that time. The now that is passed with a line is the time of the lines
// before it; where the line's own date is later, that is the now for what is remembered of connections.
func (f *Filter) NewReplay(written time.Time) *Session {
	s := f.NewSession()
	s.written = written
	return s
}

// Filter gives the filter of the session.
func (s *Session) Filter() *Filter { return s.f }

// Dates gives the session's date detector, whose counters tools show.
func (s *Session) Dates() *date.Detector { return s.dates }

// Process says what a line means. now is the time; inOperation is false while the lines are older
// than the program's start (catching up), and true for those written since. The result's slices are
// valid until the next call.
//
// Lines that cannot match are skipped as by Skip: they are Missed, whatever their date, and give no
// notices.
func (s *Session) Process(l Line, now time.Time, inOperation bool) Result {
	if !s.f.Wants(l.Text) {
		s.Skip(l, now, inOperation)
		return Result{}
	}
	return s.Examine(l, now, inOperation)
}

// Examine is Process for a line that a Group has found wanted: it does not look for literals again.
func (s *Session) Examine(l Line, now time.Time, inOperation bool) Result {
	s.giveUps = 0
	s.result = Result{
		Matches: s.result.Matches[:0], Notices: s.result.Notices[:0], IgnoredBy: s.result.IgnoredBy[:0],
	}
	p := s.place(l, now, inOperation)
	if !s.written.IsZero() && p.time.After(now) {
		now = p.time
	}
	s.result.Time, s.result.HasZone = p.time, p.hasZone
	if s.f.checkTime && !p.time.IsZero() && !s.checkTime(&p, l.Text, now, inOperation) {
		s.result.Verdict = TooOld
		return s.result
	}
	s.search(p, now)
	if s.result.Verdict == Missed && len(s.result.Matches) > 0 {
		s.result.Verdict = Matched
	}
	return s.result
}

// Buffered gives the lines that wait for others to be matched with them, where maxlines is above 1, as they
// stood in the log.
func (s *Session) Buffered() []string { return wholes(s.buffer) }

// TimeOf gives the time in a line, if there is one, without any memory of what came before.
func (s *Session) TimeOf(line string, now time.Time) (time.Time, bool) {
	s.found.Reset(line)
	r := s.f.dates.NewDetector().Find(&s.found, now)
	return r.Time, r.Found && r.Err == nil && r.Start < r.End
}

// search runs the regexes over the buffer that ends with the line p.
func (s *Session) search(p placed, now time.Time) {
	if s.f.maxLines > 1 {
		s.buffer = append(s.buffer, p.line)
		s.buffer = s.buffer[max(0, len(s.buffer)-s.f.maxLines):]
	} else {
		s.buffer = append(s.buffer[:0], p.line)
	}
	lines := s.buffer // what the text was made of, even when a prefregex replaces the text
	s.text.Reset(joined(s.buffer))
	if s.f.ignoreFirst && s.ignores(&s.text) {
		s.result.Verdict = Ignored
		return
	}
	var common fields
	if s.f.pref != nil {
		s.result.Pref = PrefMissed
		if !s.find(s.f.pref, &s.text, &s.match) {
			return
		}
		s.result.Pref = PrefMatched
		if s.f.checkAll {
			s.result.Prefix = s.f.pref.captures(&s.text, &s.match)
		}
		common = s.f.pref.fields(&s.text, &s.match)
		if content := common["content"].Text; content != "" {
			s.buffer = []textLine{{post: content}}
			s.text.Reset(joined(s.buffer))
		}
		delete(common, "content")
	}
	for _, r := range s.f.fail {
		if s.giveUps >= maxGiveUps {
			return
		}
		if s.find(r, &s.text, &s.match) && s.hit(r, lines, common, p, now) {
			return
		}
	}
}

// hit handles the match of a failregex and reports whether the line is done.
func (s *Session) hit(r *rule, lines []textLine, common fields, p placed, now time.Time) (done bool) {
	all := s.f.checkAll
	matched, rest := r.split(&s.text, &s.match, lines)
	found := r.fields(&s.text, &s.match) // before s.text changes
	if len(s.f.ignore) > 0 && s.ignoresMatch(matched) {
		s.result.Verdict = Ignored
		if s.f.maxLines > 1 {
			s.leave(rest)
		}
		return !all
	}
	if p.noDate {
		s.notice(Notice{
			Kind: NoticeNoDate, Text: strings.Join(texts(matched), "\n"), Date: p.line.stamp,
			Role: r.role, Regex: r.index,
		})
		if p.time.IsZero() && s.f.checkTime {
			return false
		}
	}
	if s.f.maxLines > 1 {
		s.leave(rest)
	}
	hit := common.clone()
	if hit == nil {
		hit = fields{}
	}
	maps.Copy(hit, found)
	rec, nofail := s.record(r, hit, slices.Clone(matched), now)
	if nofail && !all {
		s.result.Verdict = Ignored
		return true
	}
	return s.report(r, rec, nofail, p, now)
}

// record makes the record of a hit, joined with its connection where it names one.
func (s *Session) record(by *rule, hit fields, lines []textLine, now time.Time) (r *record, nofail bool) {
	var names []string
	if s.f.detail {
		names = s.f.groups(by)
	}
	if id, ok := hit["mlfid"]; ok {
		return s.open.merge(id.Text, hit, names, lines, now)
	}
	return &record{fields: hit, names: names, lines: lines}, false
}

// report adds the match of a record to the result and says whether the line is done.
func (s *Session) report(r *rule, rec *record, nofail bool, p placed, now time.Time) (done bool) {
	all := s.f.checkAll
	id, host, v := s.f.identify(rec)
	switch v {
	case idKnown, idHost:
	case idMissing:
		s.notice(Notice{Kind: NoticeNoID, Text: p.line.whole(), Role: r.role, Regex: r.index})
		return false
	case idDropped:
		return !all
	case idPending:
		rec.pending = true
		if !all && !s.f.reportPending {
			s.result.Verdict = Ignored
			return true
		}
	}
	if all && rec.fields.set("nofail") {
		// Without a connection the group means nothing but to tools that try filters out.
		nofail = true
	}
	if nofail {
		s.result.Verdict = Ignored
	}
	at := p.time
	if s.f.checkTime && at.After(now) {
		at = now
	}
	m := Match{
		ID: id, Host: host, IP: rec.ip, Time: at, Attempts: 1, Regex: r.index,
		Captures: rec.captures(), Lines: wholes(rec.lines), NoFail: nofail, Pending: v == idPending,
	}
	if s.f.detail {
		m.Groups, m.Stamps = slices.Clone(rec.names), stamps(rec.lines)
	}
	s.result.Matches = append(s.result.Matches, m)
	return !all
}

// leave keeps lines for later matches and makes the text of them. fail2ban goes on with that text
// only where all regexes are tried.
func (s *Session) leave(rest []textLine) {
	s.buffer = rest
	s.text.Reset(joined(rest))
}

// find searches a regex. Giving up is no match; it is noticed.
func (s *Session) find(r *rule, text *pyre.Subject, m *pyre.Match) bool {
	ok, err := r.re.Search(text, m)
	if err != nil {
		s.gaveUp(r, text, err)
		return false
	}
	return ok
}

func (s *Session) gaveUp(r *rule, text *pyre.Subject, err error) {
	if errors.Is(err, pyre.ErrGaveUp) {
		s.giveUps++
	}
	s.notice(Notice{Kind: NoticeGaveUp, Text: text.Text(), Role: r.role, Regex: r.index})
}

// ignores tries the ignoreregexes. One that gives up counts as matching: nobody is banned because a
// search that would have let them off was too slow.
func (s *Session) ignores(text *pyre.Subject) bool {
	hit := false
	for _, r := range s.f.ignore {
		ok, err := r.re.Search(text, &s.probe)
		if err != nil {
			s.gaveUp(r, text, err)
		}
		if !ok && err == nil {
			continue
		}
		hit = true
		s.result.IgnoredBy = append(s.result.IgnoredBy, r.index)
		if !s.f.checkAll {
			break
		}
	}
	return hit
}

// ignoresMatch tries the ignoreregexes on what a failregex matched: with maxlines on the lines of the
// match, else on the text that the failregex saw.
func (s *Session) ignoresMatch(matched []textLine) bool {
	if s.f.maxLines <= 1 {
		return s.ignores(&s.text)
	}
	s.ignored.Reset(joined(matched))
	return s.ignores(&s.ignored)
}

func (s *Session) notice(n Notice) { s.result.Notices = append(s.result.Notices, n) }

func texts(lines []textLine) []string {
	t := make([]string, len(lines))
	for i, l := range lines {
		t[i] = l.text()
	}
	return t
}
