package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/text/encoding"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/source"
)

const (
	// filterTime is how long one jail's filter may run on the ends of its logs.
	filterTime = 3 * time.Second
	// slowLine is what a line may cost on average: a thousand lines a second, on one core.
	slowLine = time.Millisecond
	// slowLeast is the least number of lines that an average is taken of.
	slowLeast = 100
	// journalLines is how many entries of the journal are read for a jail, of the last day.
	journalLines = 5000
	journalSpan  = 24 * time.Hour
	journalTime  = 15 * time.Second
)

// trial is how a jail's filter does on lines.
type trial struct {
	jail            replay.Jail
	client          func(filter.Match) // told every match
	lines, matched  int
	gaveUp          map[rule]int // lines, by the regex that was given up
	took            time.Duration
	stopped         bool // time ran out
	now             func() time.Time
	latest, stopsAt time.Time
}

// rule names a regex of a filter.
type rule struct {
	role  filter.Role
	index int
}

func (x *exam) trial(j replay.Jail) *trial {
	if x.client.failures == nil {
		x.client = clientOf{addr: x.m.sessionClient(), failures: map[string]int{}}
	}
	now := x.m.Now()
	return &trial{
		jail: j, gaveUp: map[rule]int{}, now: x.m.Now, stopsAt: now.Add(filterTime),
		client: func(m filter.Match) {
			if c := x.client.addr; c.IsValid() && m.ID.IsAddr() && m.ID.Prefix().Contains(c) {
				x.client.failures[j.Policy.Jail]++
			}
		},
	}
}

// line tries a line. It reports false when time has run out.
func (t *trial) line(s *filter.Session, l filter.Line) bool {
	began := t.now()
	if began.After(t.stopsAt) {
		t.stopped = true
		return false
	}
	r := s.Process(l, t.latest, false)
	t.took += t.now().Sub(began)
	t.lines++
	if r.Time.After(t.latest) {
		t.latest = r.Time
	}
	if len(r.Matches) > 0 {
		t.matched++
	}
	for _, m := range r.Matches {
		t.client(m)
	}
	for _, n := range r.Notices {
		if n.Kind == filter.NoticeGaveUp {
			t.gaveUp[rule{n.Role, n.Regex}]++
		}
	}
	return true
}

// filters tries the filters on the ends of the logs.
func (x *exam) filters(ctx context.Context) {
	for _, j := range x.past {
		t := x.trial(j)
		var read []string
		for _, path := range slices.Sorted(maps.Keys(x.tails)) {
			log := x.tails[path]
			if !j.Watches(path) || len(log.lines) == 0 {
				continue
			}
			read = append(read, path)
			s, d := j.Filter.NewReplay(log.written), decoder(j)
			for _, b := range log.lines {
				if ctx.Err() != nil {
					x.report.Incomplete = true
					return
				}
				if !t.line(s, filter.Line{Text: text(b, d)}) {
					break
				}
			}
		}
		if len(read) > 0 {
			x.tried(t, read[0])
		}
	}
}

// tried tells how a filter did. The log is one of those that it was tried on, for the next step.
func (x *exam) tried(t *trial, log string) {
	f := Finding{Check: "filters", Jails: []string{t.jail.Policy.Jail}}
	for _, r := range slices.SortedFunc(maps.Keys(t.gaveUp), func(a, b rule) int { return t.gaveUp[b] - t.gaveUp[a] }) {
		f.Found = fmt.Sprintf("%v %d needs too many steps on %d of %d lines and is given up: it bans nobody then", r.role, r.index+1, t.gaveUp[r], t.lines)
		f.Next = "make the regex simpler: agentctl filters shows it, agentctl regex tries it on " + log
		x.bad(f)
	}
	switch {
	case t.stopped, t.lines >= slowLeast && t.took/time.Duration(t.lines) > slowLine:
		f.Found = fmt.Sprintf("it needs %v for %d lines: a busy log would outrun it", t.took.Round(time.Millisecond), t.lines)
		f.Next = "make its regexes simpler: begin them with ^ and a fixed text"
		x.warn(f)
	}
	if t.matched > 0 {
		f.Found, f.Next = fmt.Sprintf("it matches %d of the last %d lines", t.matched, t.lines), ""
		x.ok(f)
	} else {
		f.Found = fmt.Sprintf("it matches none of the last %d lines", t.lines)
		f.Next = "nothing, if nobody has tried; else agentctl regex --explain " + log + " with the filter's name says why a line does not match"
		x.warn(f)
	}
}

// errEnough ends the reading of a journal.
var errEnough = errors.New("enough")

// journals tries the jails that read the journal.
func (x *exam) journals(ctx context.Context) {
	for _, watched := range x.jails {
		if watched.Journal == nil {
			continue
		}
		i := slices.IndexFunc(x.past, func(p replay.Jail) bool { return p.Policy.Jail == watched.Name() })
		if i < 0 {
			continue
		}
		f := Finding{Check: "journal", About: strings.Join(slices.Concat(watched.Journal.Matches...), " "), Jails: []string{watched.Name()}}
		o := *watched.Journal
		o.Start, o.Since, o.MaxLine = source.Position{}, x.m.Now().Add(-journalSpan), maxLine
		path, found := x.m.find("journalctl")
		if !found {
			f.Found, f.Next = "journalctl is not found: the journal cannot be read", "install systemd, or name a log file with logpath"
			x.bad(f)
			continue
		}
		o.Program = path
		t, s := x.trial(x.past[i]), x.past[i].Filter.NewReplay(x.m.Now())
		asked, cancel := context.WithTimeout(ctx, journalTime)
		err := source.NewJournal(o).ReadAll(asked, func(e source.Entry, n int) error {
			line := filter.Line{Text: e.Text, Time: e.Time, Stamp: e.Time.Local().Format("2006-01-02T15:04:05 ")}
			if n > journalLines || !t.line(s, line) {
				return errEnough
			}
			return nil
		})
		cancel()
		switch {
		case err != nil && !errors.Is(err, errEnough):
			f.Found, f.Next = err.Error(), "look with journalctl "+f.About
			x.forbidden(f)
		case t.lines == 0:
			f.Found, f.Next = "it has no entry of the last day for the jail", "check journalmatch: journalctl -n 5 "+f.About
			x.warn(f)
		default:
			f.Found = "readable"
			x.ok(f)
			x.tried(t, source.JournalPath)
		}
	}
}

// decoder reads the character set of a jail's logs; nil is UTF-8.
func decoder(j replay.Jail) *encoding.Decoder {
	if j.Encoding == nil {
		return nil
	}
	return j.Encoding.NewDecoder()
}

// text makes text of a line, as the daemon does.
func text(b []byte, d *encoding.Decoder) string {
	if d != nil {
		if s, err := d.Bytes(b); err == nil {
			b = s
		}
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
