package regextest

import (
	"fmt"

	"github.com/palisade-agent/palisade/internal/filter"
)

// Object is a line for programs.
type Object struct {
	Line     int       `json:"line"` // its number in the log, from 1
	Text     string    `json:"text"`
	Matched  bool      `json:"matched"` // a failure
	Ignored  bool      `json:"ignored"` // by an ignoreregex, or as no failure in itself
	Failures []Failure `json:"failures"`
	// Why says of a line that is no failure where it ended, in words for people.
	Why string `json:"why,omitempty"`
}

// Failure is a hit of a regex for programs.
type Failure struct {
	Regex    int            `json:"regex"` // its number among the failregexes, from 1
	ID       string         `json:"id"`
	Time     *float64       `json:"time"` // seconds since 1970; null if the line has none
	NoFail   bool           `json:"nofail"`
	Captures map[string]any `json:"captures"` // texts; users is a list
	Matches  int            `json:"matches"`  // lines that belong to it
}

// ObjectOf makes the object of a line.
func ObjectOf(l Line, number int) Object {
	o := Object{Line: number, Text: l.Text, Matched: l.Matched, Ignored: l.Ignored, Failures: []Failure{}, Why: l.Why()}
	for _, h := range l.Hits {
		f := Failure{Regex: h.Regex + 1, ID: h.ID.String(), NoFail: h.NoFail, Captures: map[string]any{}, Matches: len(h.Lines)}
		if !h.Time.IsZero() {
			at := float64(h.Time.UnixMicro()) / 1e6
			f.Time = &at
		}
		for name, v := range h.Captures {
			if name == "users" && v.Parts != nil {
				f.Captures[name] = v.Parts
				continue
			}
			f.Captures[name] = v.Text
		}
		o.Failures = append(o.Failures, f)
	}
	return o
}

// undated adds that a line has no date: most often this is why the regexes do not fit.
func undated(l Line, why string) string {
	if l.Time.IsZero() {
		return "no date found, and " + why
	}
	return why
}

// Why says of a line that is no failure where it ended.
func (l Line) Why() string {
	if l.Matched {
		return ""
	}
	for _, n := range l.Notices {
		if n.Kind == filter.NoticeGaveUp {
			return "gave up: a regex needs too long for this line"
		}
	}
	switch {
	case len(l.IgnoredBy) > 0:
		return fmt.Sprintf("ignored by ignoreregex %d", l.IgnoredBy[0]+1)
	case l.Ignored:
		return "no failure in itself"
	case l.TooOld:
		return "older than findtime"
	case l.Pref == filter.PrefMissed:
		return undated(l, "prefregex does not match")
	}
	return undated(l, "no failregex matches")
}
