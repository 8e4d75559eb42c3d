package regextest

import (
	"context"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/ident"
)

// Resolver finds the addresses of a name.
type Resolver func(ctx context.Context, host string) ([]ident.ID, error)

// Settings say how lines are tried.
type Settings struct {
	// Filter is what is tried, without the fields that say how.
	Filter filter.Options
	// Now is the time that years are guessed by. It is the clock's unless somebody chose it.
	Now time.Time
	// CheckTime drops lines older than findtime, as the server does when it starts.
	CheckTime bool
	// Years is the time whose years a date may have: from 2000 to some years later. Zero is Now.
	Years time.Time
	// FirstOnly ends a line at the first regex that matches, as the server does.
	FirstOnly bool
	// Pending reports hits whose offender is not known yet.
	Pending bool
	// Journal takes lines for entries of the journal: they have no date, and were written now.
	Journal bool
	// Resolve is asked for the addresses of names, where usedns wants that. Nil finds none.
	Resolve Resolver
	// Keep is how many lines of each kind are kept, at least; what is counted is not bounded by it.
	Keep int
}

// Hit is what one regex made of one line.
type Hit struct {
	filter.Match
	ID    ident.ID
	First bool // no other regex of the line has matched before
}

// Line is what became of a line.
type Line struct {
	Text    string
	Matched bool // a failure
	Ignored bool // by an ignoreregex, or as no failure in itself
	TooOld  bool // for CheckTime
	Hits    []Hit
	// IgnoredBy are the indices of the ignoreregexes that matched.
	IgnoredBy []int
	Pref      filter.PrefState
	Prefix    []filter.Capture
	Notices   []filter.Notice
	Time      time.Time
	HasZone   bool      // Time is by a zone that the date names
	LastTime  time.Time // of this line or the last before that had one
	Searched  string    // the text that the regexes were tried on, without the date
	// Before and After are the lines that wait to be matched with others, where maxlines is above 1.
	Before, After []string
}

// Tester tries a filter on lines, in their order. It has one owner.
type Tester struct {
	settings Settings
	filter   *filter.Filter
	session  *filter.Session
	hits     []Hit
	last     time.Time
}

// New compiles the filter. The error joins an *filter.OptionError for each option that is wrong.
func New(s Settings) (*Tester, error) {
	o := s.Filter
	o.NoTimeCheck, o.CheckAll, o.ReportPending, o.Detail = !s.CheckTime, !s.FirstOnly, s.Pending, true
	if o.Dates == nil {
		o.Dates = &date.Compiler{}
	}
	if s.Years.IsZero() {
		s.Years = s.Now
	}
	f, err := filter.New(o, s.Years)
	if err != nil {
		return nil, err
	}
	return &Tester{settings: s, filter: f, session: f.NewSession()}, nil
}

// Filter is the filter that is tried.
func (t *Tester) Filter() *filter.Filter { return t.filter }

// Dates lists the templates with their hits, in the order in which they are tried now.
func (t *Tester) Dates() []date.Hits { return t.session.Dates().Hits() }

// Try tries one line. What it gives is valid until the next call.
func (t *Tester) Try(ctx context.Context, text string) Line {
	l := filter.Line{Text: text}
	if t.settings.Journal {
		l.Time, l.Stamp = t.settings.Now, t.settings.Now.Format("2006-01-02T15:04:05 ")
	}
	return t.TryEntry(ctx, l)
}

// TryEntry tries a line whose time is known.
func (t *Tester) TryEntry(ctx context.Context, l filter.Line) Line {
	several := t.settings.Filter.MaxLines > 1
	out := Line{Text: l.Text}
	if several {
		out.Before = t.session.Buffered()
	}
	r := t.session.Examine(l, t.settings.Now, false)
	if several {
		out.After = t.session.Buffered()
	}
	t.hits = t.hits[:0]
	for _, m := range r.Matches {
		ids := []ident.ID{m.ID}
		if m.Host != "" {
			ids = t.resolve(ctx, m.Host)
		}
		for _, id := range ids {
			t.hits = append(t.hits, Hit{Match: m, ID: id, First: !out.Matched})
			out.Matched = out.Matched || !m.NoFail
			out.Ignored = out.Ignored || m.NoFail
		}
	}
	if !r.Time.IsZero() {
		t.last = r.Time
	}
	out.Searched = t.session.Searched()
	out.HasZone, out.LastTime = r.HasZone, t.last
	out.TooOld = r.Verdict == filter.TooOld
	out.Hits, out.IgnoredBy, out.Pref, out.Prefix, out.Notices, out.Time = t.hits, r.IgnoredBy, r.Pref, r.Prefix, r.Notices, r.Time
	out.Ignored = out.Ignored || len(r.IgnoredBy) > 0
	return out
}

func (t *Tester) resolve(ctx context.Context, host string) []ident.ID {
	if t.settings.Resolve == nil {
		return nil
	}
	ids, err := t.settings.Resolve(ctx, host)
	if err != nil {
		return nil
	}
	return slices.Clone(ids)
}
