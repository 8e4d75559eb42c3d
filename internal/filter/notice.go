package filter

import (
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// Verdict is what became of a line.
type Verdict uint8

// The verdicts.
const (
	Missed  Verdict = iota // no failregex matched, or what matched is not worth a failure
	Matched                // at least one match is reported
	Ignored                // an ignoreregex matched, or a failregex that only remembers something
	TooOld                 // older than findtime while catching up: not looked at
)

// String names the verdict.
func (v Verdict) String() string {
	switch v {
	case Matched:
		return "matched"
	case Ignored:
		return "ignored"
	case TooOld:
		return "too old"
	default:
		return "missed"
	}
}

// Result is what one line said. Its slices are valid until the session's next call; the matches in
// them may be kept.
type Result struct {
	Verdict Verdict
	Matches []Match
	// Time is the line's time as the matches have it, before it is capped to now; zero if unknown.
	Time time.Time
	// HasZone says that the line's date names its zone, or has one by logtimezone; a count of seconds
	// does not.
	HasZone bool
	Notices []Notice
	// Pref says how the prefregex went, where there is one.
	Pref PrefState
	// Prefix holds the named groups of the prefregex, by number; only with CheckAll.
	Prefix []Capture
	// IgnoredBy are the indices of the ignoreregexes that matched; more than one only with CheckAll.
	IgnoredBy []int
}

// PrefState says how the prefregex went on a line.
type PrefState uint8

// The states of a prefregex. An ignoreregex that comes first may leave it untried.
const (
	PrefUntried PrefState = iota
	PrefMissed
	PrefMatched
)

// Capture is a named group of a match. OK is false if the group took no part.
type Capture struct {
	Name, Text string
	OK         bool
}

// Value is what a group captured. Text is what an action is given for it. Parts is not nil where the
// value has several: the members of a tuple_ group in order (a part that did not take part in the
// match is empty here and None in Text), or the users of a connection in the order of their coming.
type Value struct {
	Text  string
	Parts []string
}

func (v Value) empty() bool { return v.Text == "" && v.Parts == nil }

// Match is one failure, or, with CheckAll, any hit of a failregex.
type Match struct {
	// ID is what to hold responsible. It is zero where Host is set, and where the failure is pending.
	ID ident.ID
	// Host is a name that must be resolved; each of its addresses is an ID of this failure. Without
	// an address there is no failure.
	Host string
	// IP is the address that goes with an ID which is not the address itself; else zero.
	IP ident.ID
	// Time is when it happened, capped to now unless NoTimeCheck is set; zero if unknown, which
	// happens only with NoTimeCheck.
	Time time.Time
	// Attempts is how many failures this counts for: 1.
	Attempts int
	// Regex is the index in FailRegex.
	Regex int
	// Captures holds the groups that took part in the match, by name, joined over the lines of a
	// connection; and users, all users that the connection named.
	Captures map[string]Value
	// Lines are the lines that make up the failure, oldest first, as they stood in the log. A line
	// without a date of its own has the last one put in front, as fail2ban does.
	Lines []string
	// NoFail and Pending are set only by CheckAll and ReportPending: a hit that is no failure by
	// itself, and one whose ID is not known yet.
	NoFail, Pending bool
	// Groups and Stamps are set only by Detail: the names of the groups as they stand in prefregex and
	// failregex, also of those that took no part; where lines were joined, those of the first of them,
	// then what the others added. And where the date stands in each of Lines.
	Groups []string
	Stamps []Span
}

// Span is a part of a text, in bytes.
type Span struct{ Start, End int }

// NoticeKind says what a notice is about.
type NoticeKind uint8

// The kinds of notices. fail2ban warns of the first four once a day and jail.
const (
	// NoticeClockBehind: the line's time lies more than 60 seconds before now while reading new
	// lines; it is taken as now. Delta is how far (negative). More than 55 minutes look like a wrong
	// time zone, less like a delay.
	NoticeClockBehind NoticeKind = iota + 1
	// NoticeClockAhead is the same for times after now, which look like a wrong time zone.
	NoticeClockAhead
	// NoticeOld: the line is older than findtime while catching up and was not looked at.
	NoticeOld
	// NoticeNoDate: a failregex matched, but the line has no usable date.
	NoticeNoDate
	// NoticeBadDate: Date looks like a date and is none, as February 29 in most years.
	NoticeBadDate
	// NoticeGaveUp: the regex needed too many steps on this line and was given up. It counts as not
	// matching (an ignoreregex as matching), so that giving up never bans.
	NoticeGaveUp
	// NoticeNoID: a failregex matched, but none of the groups that name an ID did.
	NoticeNoID
)

// String names the kind as a log line may.
func (k NoticeKind) String() string {
	switch k {
	case NoticeClockBehind:
		return "line dated before now"
	case NoticeClockAhead:
		return "line dated after now"
	case NoticeOld:
		return "line older than findtime"
	case NoticeNoDate:
		return "match without a date"
	case NoticeBadDate:
		return "date that does not exist"
	case NoticeGaveUp:
		return "regex given up"
	case NoticeNoID:
		return "match without an ID"
	default:
		return "unknown"
	}
}

// Role says which option a regex comes from.
type Role uint8

// The roles of a regex.
const (
	RoleFail Role = iota
	RolePref
	RoleIgnore
)

// String gives the option's name.
func (r Role) String() string {
	switch r {
	case RolePref:
		return "prefregex"
	case RoleIgnore:
		return "ignoreregex"
	default:
		return "failregex"
	}
}

// Notice is something odd that a person may want to know of. How often to tell is the caller's.
type Notice struct {
	Kind  NoticeKind
	Text  string        // the line concerned
	Date  string        // text of the date, where there is one
	Delta time.Duration // time of the line minus now, for the clock's notices
	Role  Role          // for NoticeGaveUp, NoticeNoDate and NoticeNoID: which regex
	Regex int           // its index in its option
}
