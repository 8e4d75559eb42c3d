package feed

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
)

// Use is what the addresses of a list are for.
type Use int

// What lists are for.
const (
	ForBlocking Use = iota
	ForAllowing
)

// The bounds and times of lists that say no others.
const (
	DefaultEntries  = 4_000_000
	DefaultBytes    = 256 << 20
	DefaultInterval = time.Hour
	DefaultExpires  = 24 * time.Hour
	DefaultTimeout  = 5 * time.Minute
	// LocalInterval is how often files of one's own are looked at.
	LocalInterval = 2 * time.Second
	// resyncEvery is how often a list that comes as changes is asked for as a whole.
	resyncEvery = 24 * time.Hour
	// firstRetry and longestRetry are the waits after an answer that was none.
	firstRetry   = 30 * time.Second
	longestRetry = 6 * time.Hour
)

// Document is one of those that a list consists of.
type Document struct {
	URL string
	Format
}

// Source is a list, where it is and what is made of it.
type Source struct {
	Name string
	Type string // for people
	Use  Use

	Documents []Document
	Path      string // a file or a folder, instead of documents; Format is that of its files
	Format    Format
	Hosts     []string // names whose addresses are the list, instead of documents

	// Key gives the key that the publisher wants; nil is none. It is read anew for each request.
	Key     func() (outbound.Key, error)
	KeyFrom string // where it is, not what it is: another place makes another source
	Accept  string

	Interval time.Duration // above 0
	Least    time.Duration // never more often, also after Refresh
	Expires  time.Duration // without a good answer for so long, the list ends; below 0: never
	Timeout  time.Duration
	MaxBytes int64

	Guards    Guards // Allow, Own and Now are the Runner's
	ShortTime time.Duration
	Pinned    []string // prefixes that count until there was a first good answer
}

// identity is equal for sources whose copies are of the same list.
func (s Source) identity() string {
	var b strings.Builder
	b.WriteString(s.Path)
	for _, d := range s.Documents {
		fmt.Fprintf(&b, "\n%s %+v", d.URL, d.Format)
	}
	if s.Path != "" {
		fmt.Fprintf(&b, "\n%+v", s.Format)
	}
	fmt.Fprintf(&b, "\n%q", s.Hosts)
	return b.String()
}

// Where says where the list is, for people: without queries, in which some put keys.
func (s Source) Where() string {
	if s.Path != "" {
		return s.Path
	}
	if len(s.Hosts) > 0 {
		return "the addresses of " + strings.Join(s.Hosts, ", ")
	}
	var all []string
	for _, d := range s.Documents {
		at, _, _ := strings.Cut(d.URL, "?")
		all = append(all, at)
	}
	return strings.Join(all, " ")
}

// byChanges reports whether documents of a kind hold what is new, and not all there is.
func byChanges(kind string) bool { return kind == "taxii" || kind == "crowdsec" }

// StatusError is an answer that is no list.
type StatusError struct {
	Status int
	Text   string        // what the server says of it, fit to be shown
	After  time.Duration // it wants us to wait so long; 0: it does not say
}

// Error implements error.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status))
	if e.Text != "" {
		text += fmt.Sprintf(" (%s)", e.Text)
	}
	switch e.Status {
	case http.StatusUnauthorized:
		return text + ": the key is missing, wrong, or no longer counts"
	case http.StatusForbidden, http.StatusPaymentRequired:
		return text + ": the key, or its plan, is not for this list"
	case http.StatusNotFound, http.StatusGone:
		return text + ": there is no list at this address any more"
	case http.StatusTooManyRequests:
		return text + ": it was asked too often"
	}
	return text
}

// Unreachable reports whether there was no answer at all, as against one that is no list.
func Unreachable(err error) bool {
	_, ok := errors.AsType[*outbound.Error](err)
	return ok && !errors.Is(err, outbound.ErrTooLarge) && !errors.Is(err, outbound.ErrRedirect)
}

// State is how a list stands.
type State string

// How lists stand.
const (
	Waiting State = "waiting" // nothing of it has come yet
	Good    State = "ok"
	Failing State = "failing" // the last good copy counts
	Over    State = "expired" // so does no copy any more
)

// Status is how a list stands, for people and numbers.
type Status struct {
	Source Source
	State  State

	Entries   int // of the list
	Blocked   int // ranges that the firewall gets
	Counted   int // ranges that are banned at their first failure
	Refused   []Refusal
	Bad       []Bad
	BadCount  int
	Fetched   time.Time // the last good answer; zero: none
	Changed   time.Time
	Tried     time.Time
	Next      time.Time
	Err       error // why the last try was none; nil: all is well
	Since     time.Time
	Failures  int // in a row
	Notes     []string
	Fetches   uint64 // good ones
	Unchanged uint64 // of these, with nothing new
	Errors    uint64
}

// same reports whether two sources are the same but for their keys, which are read anew each time.
func (s Source) same(o Source) bool {
	g, h := s.Guards, o.Guards
	return s.Name == o.Name && s.Type == o.Type && s.Use == o.Use && slices.Equal(s.Documents, o.Documents) && s.Path == o.Path && slices.Equal(s.Hosts, o.Hosts) && s.Format == o.Format &&
		s.KeyFrom == o.KeyFrom && s.Accept == o.Accept && s.Interval == o.Interval && s.Least == o.Least && s.Expires == o.Expires && s.Timeout == o.Timeout &&
		s.MaxBytes == o.MaxBytes && s.ShortTime == o.ShortTime && slices.Equal(s.Pinned, o.Pinned) &&
		g.Private == h.Private && g.Min4 == h.Min4 && g.Min6 == h.Min6 && g.MaxEntries == h.MaxEntries && g.MayEmpty == h.MayEmpty && g.MayShrink == h.MayShrink &&
		g.MinScore == h.MinScore && g.ShortScore == h.ShortScore && g.CountScore == h.CountScore
}
