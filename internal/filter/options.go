package filter

import (
	"fmt"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
)

// UseDNS says what becomes of a host name where an address was hoped for.
type UseDNS uint8

// The values of usedns, which fail2ban knows by the names yes, warn, no and raw.
const (
	DNSWarn UseDNS = iota // resolve it, and say so in the log; the default
	DNSYes                // resolve it
	DNSNo                 // <HOST> matches addresses only; names found otherwise are dropped
	DNSRaw                // the name itself is the ID
)

// ParseUseDNS reads a value of usedns; upper and lower case are the same.
func ParseUseDNS(s string) (UseDNS, error) {
	switch strings.ToLower(s) {
	case "warn":
		return DNSWarn, nil
	case "yes":
		return DNSYes, nil
	case "no":
		return DNSNo, nil
	case "raw":
		return DNSRaw, nil
	}
	return DNSNo, fmt.Errorf("%q is not one of yes, warn, no, raw", s)
}

// String gives the name that ParseUseDNS reads.
func (u UseDNS) String() string {
	switch u {
	case DNSYes:
		return "yes"
	case DNSNo:
		return "no"
	case DNSRaw:
		return "raw"
	default:
		return "warn"
	}
}

// Options are a filter's definition, with the names that fail2ban gives them in filter.d. The zero
// value of each is fail2ban's default.
type Options struct {
	PrefRegex   string   // what all failregexes have in common; its group content is what they search in
	FailRegex   []string // tried in order, the first that matches counts
	IgnoreRegex []string // what they match is no failure

	// MaxLines is how many lines the failregexes see at once; 0 is 1. With more than one, ^ and $
	// match at every line.
	MaxLines int

	DatePattern string // one pattern a line; empty: the default patterns
	LogTimezone string // of times that do not name their zone, as UTC+0200; empty: Local

	UseDNS   UseDNS
	FindTime time.Duration // older lines are not worth reading during catch-up; 0 is 10 minutes

	Local *time.Location // zone of the machine; nil is UTC

	// Dates shares the date templates among filters that are made one after the other, by one
	// goroutine; nil shares nothing. The filter does not keep it.
	Dates *date.Compiler

	// The rest serves tools that try filters out.

	// CheckAll tries all regexes on each line and reports every hit, also those that are no failure.
	CheckAll bool
	// ReportPending also reports a failure whose ID is not known yet, with the zero ID.
	ReportPending bool
	// Detail says more of each match: Match.Groups and Match.Stamps.
	Detail bool
	// NoTimeCheck takes times as they are, however old or far in the future.
	NoTimeCheck bool
	// AllYears also takes dates of the last century for dates.
	AllYears bool
}

// defaultFindTime is fail2ban's default of findtime.
const defaultFindTime = 10 * time.Minute

// OptionError says which option of a filter is wrong and why.
type OptionError struct {
	Key   string // name of the option, as failregex
	Index int    // which of several values, from 0
	Value string // the value, as it was given
	Err   error
}

// Error names the option, the value and the reason in one line.
func (e *OptionError) Error() string { return fmt.Sprintf("%s %q: %v", e.Key, e.Value, e.Err) }

// Unwrap gives the reason alone.
func (e *OptionError) Unwrap() error { return e.Err }
