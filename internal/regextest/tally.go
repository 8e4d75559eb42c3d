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
}

// Tally sums up what became of lines.
type Tally struct {
	Lines, Matched, Missed, Ignored      int
	MatchedText, MissedText, IgnoredText []string

	Pref       int // lines that the prefregex matched
	PrefGroups [][]filter.Capture
	MorePref   bool // more groups than are kept
	Fail       []Count
	Ignore     []Count

	GaveUp, NoDate int // searches that hit their limit; matches without a date

	keep        Keep
	prefMatched bool // the prefregex's last try
}

// Count is how often a regex hit, and whom.
type Count struct {
	Hits int
	Who  []Who
}

// Who is one hit of a regex.
type Who struct {
	ID      string
	Time    time.Time // zero: unknown
	Several bool      // more than one regex has matched the line
}

// NewTally starts a sum for a filter.
func NewTally(f *filter.Filter, keep Keep) *Tally {
	return &Tally{Fail: make([]Count, len(f.FailRegex())), Ignore: make([]Count, len(f.IgnoreRegex())), keep: keep}
}

// Add counts a line. The raw text is how it stands in the log.
func (t *Tally) Add(l Line, raw string) {
	failures := 0
	for _, h := range l.Hits {
		c := &t.Fail[h.Regex]
		c.Hits++
		if t.keep.Detail {
			c.Who = append(c.Who, Who{ID: idText(h), Time: h.Time, Several: failures > 1})
		}
		if !h.NoFail {
			failures++
		}
	}
	for _, i := range l.IgnoredBy {
		t.Ignore[i].Hits++
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
		t.IgnoredText = t.kept(t.IgnoredText, raw, t.Ignored, t.keep.AllIgnored, t.keep.NoIgnored)
	case l.Matched:
		t.Matched++
		if t.keep.AllMatched {
			t.MatchedText = append(t.MatchedText, raw)
		}
	default:
		t.Missed++
		t.MissedText = t.kept(t.MissedText, raw, t.Missed, t.keep.AllMissed, t.keep.NoMissed)
	}
	t.Lines++
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
	case len(t.PrefGroups) < t.keep.Lines:
		t.PrefGroups = append(t.PrefGroups, slices.Clone(l.Prefix))
	default:
		t.MorePref = true
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
		if i := slices.Index(t.MissedText, line); i >= 0 {
			t.MissedText = slices.Delete(t.MissedText, i, i+1)
		}
		if t.keep.AllMatched {
			t.MatchedText = append(t.MatchedText, line)
		}
		t.Matched++
		t.Missed--
	}
}

func (t *Tally) kept(lines []string, raw string, n int, all, none bool) []string {
	if none || !all && n > t.keep.Lines+1 {
		return lines
	}
	return append(lines, strings.Clone(raw))
}

// idText is how a hit's offender is shown: "None" while nobody knows.
func idText(h Hit) string {
	if h.ID.IsZero() {
		return "None"
	}
	return h.ID.String()
}
