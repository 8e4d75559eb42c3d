package action

import (
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// Param is an option or parameter of an action. A name may end in "?family=inet4" or "?family=inet6": then
// it holds for that family, and beats the name without.
type Param struct{ Name, Value string }

// Definition is one action of one jail, as the configuration says it.
type Definition struct {
	Jail string
	Name string // of the action, unique in its jail
	// Options are the operations (actionban, …) and switches (norestored, …), Params what else a tag may
	// name. Of two with one name the later counts.
	Options, Params []Param
	// Timeout is the time limit of one command. Default: DefaultTimeout.
	Timeout time.Duration
	// BanTime is the jail's: what <bantime> says in operations that are not about a ban. Negative is
	// permanent.
	BanTime time.Duration
	// Python is the file of an action that is written in Python, empty for one of commands. Params are its
	// arguments, and Options are not used.
	Python string
}

// DefaultTimeout is fail2ban's limit for a command.
const DefaultTimeout = 60 * time.Second

// Ticket is what an action is told of a ban.
type Ticket struct {
	ID ident.ID
	// IP is the address behind an ID that is not one itself; zero if the ID is the address.
	IP ident.ID
	// Time is that of the last failure. It is written as seconds since 1970 the way Python writes a float,
	// with at least one decimal, or, with WholeSeconds, without any: so does fail2ban for the times of
	// bans that it restored, and of log lines with a time zone.
	Time         time.Time
	WholeSeconds bool
	// BanTime is counted from Time; negative is permanent.
	BanTime  time.Duration
	BanCount int // 1 for the first ban
	Failures int // 0 for a ban by hand
	// Matches are the log lines, as many as maxmatches lets through.
	Matches []string
	// Restored is set for a ban of an earlier run. Actions with norestored do not see its ban.
	Restored bool
	// Captures are what the filter captured, by fail2ban's names: lower case, "fid" and "fport".
	Captures map[string]string
}

// address is what <ip> names.
func (t *Ticket) address() ident.ID {
	if !t.IP.IsZero() {
		return t.IP
	}
	return t.ID
}

// noFamily is how fail2ban writes the family of an ID that is no address. It has no variants of options.
const noFamily = "None"

// family gives the family of the ticket's address.
func (t *Ticket) family() string {
	if f := t.address().Family(); f != "" {
		return f
	}
	return noFamily
}
