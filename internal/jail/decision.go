package jail

import (
	"math"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// Permanent is the duration of a ban without end. Any negative duration but UnknownDuration means the
// same where one is read; decisions and changes always carry Permanent.
const Permanent = -1 * time.Second

// UnknownDuration marks, in a Snapshot only, a ban from an old fail2ban database that did not record
// how long it was to last. Restore gives it the ban time of its jail.
const UnknownDuration = -2 * time.Second

// Key names an ID in a jail.
type Key struct {
	Jail string
	ID   ident.ID
}

// Failure is one failure to be counted.
type Failure struct {
	ID ident.ID
	// Time is that of the log entry. Zero and times after now mean now. Failures older than findtime are
	// the caller's to leave out, as fail2ban does: whether they count depends on when it was last swept.
	Time time.Time
	// Attempts is how many failures it counts as; less than one means one, and maxAttempts is the most.
	Attempts int
	// Lines are the log lines that it came from.
	Lines []string
	// Data is what the filter captured. The data of a tally are those of its first failure.
	Data map[string]string
}

// Origin says how a ban came about.
type Origin uint8

const (
	// Local bans follow from failures seen here.
	Local Origin = iota
	// Manual bans were asked for by an operator. Restore does not shorten them.
	Manual
	// Imported bans were taken over from fail2ban's database.
	Imported
)

var originNames = [...]string{Local: "local", Manual: "manual", Imported: "imported"}

// String gives the origin's name in lower case.
func (o Origin) String() string { return nameOf(originNames[:], int(o)) }

// Ban is a ban that stands, stood or is to be restored. All times are in UTC.
type Ban struct {
	Key
	// Start is the time of the failure that led to the ban: the end is counted from it.
	Start time.Time
	// Duration is counted from Start; negative is permanent.
	Duration time.Duration
	// Extended is the part of Duration that a later failure of the banned ID added: the time from Start
	// to that failure. The ban time that the policy gave is Duration - Extended.
	Extended time.Duration
	// Count is the ordinal of this ban of the ID in escalation; without escalation it is 1.
	Count int
	// Failures is the number of failures that led to the ban, not their weight; 0 for a manual ban.
	Failures int
	// Lines are the last lines of these failures, oldest first.
	Lines []string
	// Data are those of the first failure.
	Data map[string]string
	// Origin says how the ban came about.
	Origin Origin
	// Restored tells that the ban was read from the store since the start, or woken with its jail.
	Restored bool
	// BannedAt is when the decision fell.
	BannedAt time.Time
}

// End gives the last moment of the ban, or permanent. The ban is over when now is after it.
func (b Ban) End() (end time.Time, permanent bool) {
	if b.Duration < 0 {
		return time.Time{}, true
	}
	return b.Start.Add(b.Duration), false
}

// Tally is the count of an ID's failures in a jail. All times are in UTC.
type Tally struct {
	Key
	// First is the start of the interval that Weighted was counted in: the first failure or, once the
	// failures reach back further than findtime, findtime before the last one.
	First time.Time
	// Last is the time of the latest failure.
	Last time.Time
	// Weighted is the estimate that is compared with maxretry.
	Weighted int
	// Failures is the number of failures.
	Failures int
	Lines    []string
	Data     map[string]string
}

// History is what is remembered of an ID's bans in a jail after they are over.
type History struct {
	Key
	// Count is the number of bans, as escalation counts them.
	Count int
	// Last is the Start of the last ban.
	Last time.Time
	// Duration is that of the last ban; negative is permanent.
	Duration time.Duration
}

// Kind says what a decision is.
type Kind uint8

const (
	// Found is a failure that was counted. Time is the failure's.
	Found Kind = iota
	// FoundBad follows Found where the failure weighed more because the ID was banned before. Weight
	// is what it counted as, Previous the history, Capped whether maxretry limited the weight, Enough whether
	// it is as much as maxretry.
	FoundBad
	// BanStart is a new ban, to be enforced.
	BanStart
	// Already is an ID that reached maxretry, or was to be banned by hand, while its ban stands. Ban is
	// the ban as it was, Time the time of the last failure.
	Already
	// Prolong follows Already where the new end is later: the ban, as it is now, is to be enforced. Old
	// is the duration it had.
	Prolong
	// Unban is a ban that is over. Reason says why, Time when.
	Unban
	// Expired is an ID that reached maxretry with failures so old that the ban would be over by now.
	// Ban is the ban that it did not get.
	Expired
	// Evicted is a tally that was dropped uncounted because there were too many. Time is its last failure.
	Evicted
	// IncreaseBan follows BanStart where the ID has a history and ban times escalate: Old is the ban
	// time of the jail, Ban.Duration what it became, Previous the history. Err is set where the formula
	// could not be computed, and the jail's ban time stands.
	IncreaseBan
	// Restore is a ban that the store remembered, to be enforced again.
	Restore
	// Attempt is what Found becomes where an operator told the failure, not a log. A Book never says it.
	Attempt
)

var kindNames = [...]string{
	Found: "found", FoundBad: "found-bad", BanStart: "ban", Already: "already", Prolong: "prolong", Unban: "unban",
	Expired: "expired", Evicted: "evicted", IncreaseBan: "increase", Restore: "restore", Attempt: "attempt",
}

// String gives the kind's name in lower case.
func (k Kind) String() string { return nameOf(kindNames[:], int(k)) }

// Reason says why a ban ended.
type Reason uint8

const (
	// NoReason goes with every decision but Unban.
	NoReason Reason = iota
	// TimeOver is the natural end.
	TimeOver
	// ByHand is an operator's unban.
	ByHand
	// JailRemoved is the end of the jail. The ban is remembered, should the jail return.
	JailRemoved
	// NoRoom is the bound on bans: the ban that would have ended first made room.
	NoRoom
)

var reasonNames = [...]string{
	NoReason: "", TimeOver: "time-over", ByHand: "by-hand", JailRemoved: "jail-removed", NoRoom: "no-room",
}

// String gives the reason's name in lower case, empty for NoReason.
func (r Reason) String() string { return nameOf(reasonNames[:], int(r)) }

// Decision is what follows from a call. Fields that the Kind does not name are zero.
type Decision struct {
	Kind Kind
	Key
	Ban      Ban
	Old      time.Duration
	Time     time.Time
	Weight   float64
	Capped   bool
	Enough   bool
	Previous History
	Reason   Reason
	Err      error
	// Source and Regex are for those who are told of a BanStart: the log that the last failure was found in, and the
	// number, from 1, of the failregex that found it. A Book leaves them empty: they are the caller's to fill.
	Source string
	Regex  int
}

func nameOf(names []string, i int) string {
	if i >= len(names) {
		return "unknown"
	}
	return names[i]
}

// Times are kept as nanoseconds since 1970, which reach from 1678 to 2262. What lies beyond is taken
// as the nearest of the two; the last value is kept for what never ends.
const (
	earliest = math.MinInt64
	never    = math.MaxInt64
	latest   = never - 1
)

// nanos converts to our inner time, at the bounds where it must.
func nanos(t time.Time) int64 {
	const second = int64(time.Second)
	switch s := t.Unix(); {
	case s <= earliest/second:
		return earliest
	case s >= latest/second:
		return latest
	}
	return t.UnixNano()
}

func timeAt(ns int64) time.Time { return time.Unix(0, ns).UTC() }

// after adds a duration that is not negative to a time.
func after(ns int64, d time.Duration) int64 {
	if ns > 0 && int64(d) > latest-ns {
		return latest
	}
	return ns + int64(d)
}

// endOf gives the last moment of a ban.
func endOf(start int64, d time.Duration) int64 {
	if d < 0 {
		return never
	}
	return after(start, d)
}
