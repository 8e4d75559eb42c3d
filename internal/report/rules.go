package report

import (
	"fmt"
	"net/netip"
	"path"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Rules say what a destination is told, and when.
type Rules struct {
	Name  string
	Jails []string // names, with * and ? for any letters; none: no jail
	// Hold is how long a report waits, in case the ban was a mistake; 0 sends at once.
	Hold time.Duration
	// Dedupe is for how long an address is not reported again; 0 reports each ban.
	Dedupe      time.Duration
	MinFailures int
	Budget      int      // reports a day, by UTC; 0: as many as there are
	Flood       int      // addresses within FloodTime that stop all reports; 0: none
	Category    Category // of all reports; empty: by the jail's filter
	Lines       bool     // send the log lines, too
}

// FloodTime is the time in which Rules.Flood addresses are a flood: of a broken regex, or of senders that are
// not who they say. It is over when there was none for as long.
const FloodTime = 10 * time.Minute

// Ban is one as reports see it.
type Ban struct {
	Jail, Filter string
	Prefix       netip.Prefix // what is banned
	Local        bool         // it follows from failures that were seen here
	Restored     bool         // it was read from the store, or woken
	Banned       time.Time
	First, Last  time.Time // failures
	Failures     int
	Lines        []string
	Data         map[string]string // what the filter captured
	Port         uint16            // that the jail closes, if it is one; else 0
	Protocol     string            // that the jail closes: "tcp", "udp" or empty
}

// Facts are what rules need to know of the world.
type Facts struct {
	Allow, Own cidr.Ranges
	Names      []string // of this machine, to be left out of texts
}

// Forbids says why a ban may not be reported; empty if it may. That it was reported already is not asked here.
func (r Rules) Forbids(b Ban, f Facts) string {
	a := b.Prefix.Addr()
	switch {
	case !r.forJail(b.Jail):
		return fmt.Sprintf("jails = %s does not name the jail %s", strings.Join(r.Jails, " "), b.Jail)
	case !b.Local:
		return "it does not follow from failures that were seen here"
	case b.Restored:
		return "it was restored, and has been reported if it was to be"
	case !b.Prefix.IsValid() || !b.Prefix.IsSingleIP():
		return "it is no single address"
	case cidr.SpecialPurpose(a) != "":
		return "it is of " + cidr.SpecialPurpose(a)
	case f.Own.Contains(a):
		return "it is this machine's own, its gateway or its resolver"
	case f.Allow.Contains(a):
		return "it is allowed"
	case b.Protocol == "udp":
		return "the senders of UDP are not always who they say"
	case b.Failures < r.MinFailures:
		return fmt.Sprintf("%d failures are fewer than min_failures = %d", b.Failures, r.MinFailures)
	}
	return ""
}

func (r Rules) forJail(name string) bool {
	for _, pattern := range r.Jails {
		if ok, err := path.Match(pattern, name); err == nil && ok {
			return true
		}
	}
	return false
}

// Make makes the report of a ban.
func (r Rules) Make(b Ban, f Facts) Report {
	category := r.Category
	if category == "" {
		category = categoryOf(b.Filter, b.Jail)
	}
	out := Report{
		Addr: b.Prefix.Addr().Unmap(), Jail: b.Jail, Service: category.service(), Category: category, Banned: b.Banned.UTC().Truncate(time.Second),
		First: b.First.UTC().Truncate(time.Second), Last: b.Last.UTC().Truncate(time.Second), Failures: b.Failures, Port: b.Port, Protocol: b.Protocol,
		SourcePort: sourcePort(b.Data),
	}
	if out.First.IsZero() || out.First.After(out.Last) {
		out.First = out.Last
	}
	out.Comment = comment(out)
	if r.Lines {
		out.Lines = scrub(b, f)
	}
	return out
}

// comment says what somebody did, and nothing of those to whom.
func comment(r Report) string {
	attempts := fmt.Sprintf("%d failed attempts", r.Failures)
	if r.Failures == 1 {
		attempts = "1 failed attempt"
	}
	const layout = "2006-01-02 15:04:05"
	switch {
	case r.Last.IsZero():
		return fmt.Sprintf("%s: %s.", r.Category.text(), attempts)
	case r.First.Equal(r.Last) && r.Failures > 1:
		return fmt.Sprintf("%s: %s, the last at %s UTC.", r.Category.text(), attempts, r.Last.Format(layout))
	case r.First.Equal(r.Last):
		return fmt.Sprintf("%s: %s at %s UTC.", r.Category.text(), attempts, r.Last.Format(layout))
	}
	return fmt.Sprintf("%s: %s from %s to %s UTC.", r.Category.text(), attempts, r.First.Format(layout), r.Last.Format(layout))
}

// sourcePort is the port that the attacker came from, where a filter captures it.
func sourcePort(data map[string]string) uint16 {
	var port uint16
	for _, name := range []string{"sport", "source_port", "srcport"} {
		if n, err := fmt.Sscanf(data[name], "%d", &port); n == 1 && err == nil {
			return port
		}
	}
	return 0
}
