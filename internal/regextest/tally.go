package regextest

import (
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
)

// Keep says which lines are kept to be shown.
type Keep struct {
	Lines int // of each kind, one more than these are never shown without being asked for
	// All keeps every line of a kind, None none.
	AllMatched, AllMissed, AllIgnored, NoMissed, NoIgnored bool
	// MaxLines is that of the filter.
	MaxLines int
	// Detail keeps who was found by each regex, and the groups of the prefregex.
	Detail bool
	// Now is shown for hits whose time is not known; Zone is that of the times shown, nil for the machine's.
	Now  time.Time
	Zone *time.Location
}

// Tally sums up what became of lines. What it keeps of them is in memory up to a bound, and from there on in
// a file that nobody else sees: Close frees it.
type Tally struct {
	Lines, Matched, Missed, Ignored int
	Pref                            int   // lines that the prefregex matched
	Fail, Ignore                    []int // hits of each regex
	GaveUp, NoDate                  int   // searches that hit their limit; matches without a date

	keep        Keep
	spool       spool
	matched     texts
	missed      texts
	ignored     texts
	who         []texts // by failregex
	prefGroups  [][]filter.Capture
	morePref    bool // more groups than are kept
	prefMatched bool // the prefregex's last try
}

// NewTally starts a sum for a filter.
func NewTally(f *filter.Filter, keep Keep) *Tally {
	if keep.Zone == nil {
		keep.Zone = time.Local
	}
	t := &Tally{Fail: make([]int, len(f.FailRegex())), Ignore: make([]int, len(f.IgnoreRegex())), keep: keep}
	t.matched.spool, t.missed.spool, t.ignored.spool = &t.spool, &t.spool, &t.spool
	t.who = make([]texts, len(t.Fail))
	for i := range t.who {
		t.who[i].spool = &t.spool
	}
	return t
}

// Close frees what the tally keeps. It may be called again.
func (t *Tally) Close() error { return t.spool.close() }

// Add counts a line. The raw text is how it stands in the log.
func (t *Tally) Add(l Line, raw string) {
	failures := 0
	for _, h := range l.Hits {
		t.Fail[h.Regex]++
		if t.keep.Detail {
			t.who[h.Regex].add(t.whoText(h, failures > 1))
		}
		if !h.NoFail {
			failures++
		}
	}
	for _, i := range l.IgnoredBy {
		t.Ignore[i]++
	}
	for _, n := range l.Notices {
		switch n.Kind {
		case filter.NoticeGaveUp:
			t.GaveUp++
		case filter.NoticeNoDate:
			t.NoDate++
		default: // odd, and no matter of counts
		}
	}
	t.addPref(l)
	t.settle(l)
	switch {
	case l.Ignored:
		t.Ignored++
		t.keepLine(&t.ignored, raw, t.Ignored, t.keep.AllIgnored, t.keep.NoIgnored)
	case l.Matched:
		t.Matched++
		if t.keep.AllMatched {
			t.matched.add(strings.Clone(raw))
		}
	default:
		t.Missed++
		t.keepLine(&t.missed, raw, t.Missed, t.keep.AllMissed, t.keep.NoMissed)
	}
	t.Lines++
}

// whoText is one hit of a regex as it is shown; several says that more regexes have matched the line.
func (t *Tally) whoText(h Hit, several bool) string {
	at := h.Time
	if at.IsZero() {
		at = t.keep.Now
	}
	text := "    " + idText(h) + "  " + at.In(t.keep.Zone).Format("Mon Jan 02 15:04:05 2006")
	if several {
		text += " (multiple regex matched)"
	}
	return text
}

// addPref counts the prefregex. A line that an ignoreregex takes out before is counted as the line before
// it, as fail2ban's tool does.
func (t *Tally) addPref(l Line) {
	if l.Pref != filter.PrefUntried {
		t.prefMatched = l.Pref == filter.PrefMatched
	}
	if !t.prefMatched {
		return
	}
	t.Pref++
	switch {
	case !t.keep.Detail:
	case len(t.prefGroups) < t.keep.Lines:
		t.prefGroups = append(t.prefGroups, slices.Clone(l.Prefix))
	default:
		t.morePref = true
	}
}

// settle counts lines that waited, and were missed so far, as matched once a match has used them up.
func (t *Tally) settle(l Line) {
	before := l.Before
	if t.keep.MaxLines > 1 && len(before) >= t.keep.MaxLines {
		before = before[1:] // pushed out by the line that came
	}
	for _, line := range before {
		if slices.Contains(l.After, line) {
			continue
		}
		t.missed.remove(line)
		if t.keep.AllMatched {
			t.matched.add(line)
		}
		t.Matched++
		t.Missed--
	}
}

func (t *Tally) keepLine(to *texts, raw string, n int, all, none bool) {
	if !none && (all || n <= t.keep.Lines+1) {
		to.add(strings.Clone(raw))
	}
}

// idText is how a hit's offender is shown: "None" while nobody knows.
func idText(h Hit) string {
	if h.ID.IsZero() {
		return "None"
	}
	return h.ID.String()
}
