package eventlog

import (
	"strconv"
	"time"
	"unicode/utf8"
)

// Schema is the number in every line that says what its fields mean. New fields do not change it.
const Schema = 1

// timeFormat is RFC 3339 in UTC, with milliseconds.
const timeFormat = "2006-01-02T15:04:05.000Z"

// longestText is how many bytes of a text are written: text of a log may be long.
const longestText = 2048

// Kind says what has happened.
type Kind string

// The kinds of events.
const (
	Start         Kind = "start"         // the daemon has begun
	Stop          Kind = "stop"          // the daemon has ended; Error says why if nobody asked for it
	Ban           Kind = "ban"           // a ban has begun
	Unban         Kind = "unban"         // a ban has ended; Reason says why
	Prolong       Kind = "prolong"       // a ban ends later than it was to
	Restore       Kind = "restore"       // a ban that was remembered is in force again
	Configuration Kind = "configuration" // another configuration is in force, or was refused: Error
	Trouble       Kind = "error"         // a part does not work; Part and Error say which, and why
	Repair        Kind = "repair"        // that part works again
	Lost          Kind = "lost"          // Count events are missing here
)

// Record is one event. What is zero is left out of its line.
type Record struct {
	Time time.Time
	Kind Kind

	// Of bans.
	Jail     string
	ID       string        // an address, a network, or what else is banned
	Family   string        // inet4 or inet6; empty for what is no address
	Since    time.Time     // when the ban began: the time of the last failure
	Until    time.Time     // when it ends; zero for a permanent one
	Duration time.Duration // from Since, told in whole seconds; negative is permanent, told as -1
	Failures int           // that led to it
	Count    int           // which ban of this ID it is; of kind Lost, how many events
	Origin   string        // of the ban: local, manual or imported
	Log      string        // where the last failure was found: a file, or the journal
	Regex    int           // the number of the failregex that found it, from 1
	Reason   string        // of its end, or "reload" and "command" of a configuration

	// Of troubles.
	Part      string // firewall, store or action
	Action    string
	Operation string // of the action, as actionban
	Error     string

	// Of the daemon.
	Version  string
	PID      int
	Config   string   // where the configuration is
	Jails    []string // that run
	Problems int      // of the configuration
}

// appendLine appends the line of a record.
func appendLine(b []byte, r *Record, host string) []byte {
	b = append(b, `{"schema":`...)
	b = strconv.AppendInt(b, Schema, 10)
	b = appendTime(b, "time", r.Time)
	b = appendText(b, "host", host)
	b = appendText(b, "kind", string(r.Kind))
	b = appendText(b, "jail", r.Jail)
	b = appendText(b, "id", r.ID)
	b = appendText(b, "family", r.Family)
	b = appendTime(b, "since", r.Since)
	b = appendTime(b, "until", r.Until)
	switch {
	case r.Duration < 0:
		b = appendNumber(b, "duration", -1)
	default:
		b = appendNumber(b, "duration", int64(r.Duration/time.Second))
	}
	b = appendNumber(b, "failures", int64(r.Failures))
	b = appendNumber(b, "count", int64(r.Count))
	b = appendText(b, "origin", r.Origin)
	b = appendText(b, "log", r.Log)
	b = appendNumber(b, "regex", int64(r.Regex))
	b = appendText(b, "reason", r.Reason)
	b = appendText(b, "part", r.Part)
	b = appendText(b, "action", r.Action)
	b = appendText(b, "operation", r.Operation)
	b = appendText(b, "error", r.Error)
	b = appendText(b, "version", r.Version)
	b = appendNumber(b, "pid", int64(r.PID))
	b = appendText(b, "config", r.Config)
	b = appendList(b, "jails", r.Jails)
	b = appendNumber(b, "problems", int64(r.Problems))
	return append(b, "}\n"...)
}

func appendName(b []byte, name string) []byte {
	b = append(b, ',', '"')
	b = append(b, name...)
	return append(b, '"', ':')
}

func appendNumber(b []byte, name string, n int64) []byte {
	if n == 0 {
		return b
	}
	return strconv.AppendInt(appendName(b, name), n, 10)
}

func appendTime(b []byte, name string, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	b = append(appendName(b, name), '"')
	return append(t.UTC().AppendFormat(b, timeFormat), '"')
}

func appendText(b []byte, name, text string) []byte {
	if text == "" {
		return b
	}
	return appendQuoted(appendName(b, name), text)
}

func appendList(b []byte, name string, list []string) []byte {
	if len(list) == 0 {
		return b
	}
	b = append(appendName(b, name), '[')
	for i, text := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendQuoted(b, text)
	}
	return append(b, ']')
}

// appendQuoted appends a text as JSON. Whatever is not printable ASCII is escaped if a terminal or a
// reader of lines could take it for more than text; what is no UTF-8 becomes the replacement character.
func appendQuoted(b []byte, text string) []byte {
	cut := ""
	if len(text) > longestText {
		end := longestText
		for end > longestText-utf8.UTFMax && !utf8.RuneStart(text[end]) {
			end--
		}
		text, cut = text[:end], "…"
	}
	b = append(b, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029':
			const digits = "0123456789abcdef"
			b = append(b, '\\', 'u', digits[r>>12&0xf], digits[r>>8&0xf], digits[r>>4&0xf], digits[r&0xf])
		default:
			b = utf8.AppendRune(b, r)
		}
	}
	b = append(b, cut...)
	return append(b, '"')
}
