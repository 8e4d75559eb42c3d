package action

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/pytext"
)

// known is what a ticket's tags can say: the ticket, and what only others know, asked for when a tag needs
// it.
type known struct {
	ticket Ticket
	family string
	empty  bool // the ticket of an operation that is not about a ban

	host    func() string
	history func(allJails bool) (matches []string, failures int, ok bool)
	counts  func() Counts
	jail    string
}

// Counts are the figures of a jail that tags may ask for.
type Counts struct {
	Banned, BannedTotal int
	Found, FoundTotal   int
}

// tags gives the values of the ticket. A value is worked out once.
func (k *known) tags() Tags {
	memo := map[string]string{}
	return Tags{
		Value: func(name string) (string, bool) {
			if v, ok := memo[name]; ok {
				return v, true
			}
			v, ok := k.value(name)
			if ok {
				memo[name] = v
			}
			return v, ok
		},
		Capture: k.capture,
	}
}

func (k *known) value(name string) (string, bool) {
	t := &k.ticket
	switch name {
	case "ip":
		return t.address().String(), true
	case "fid":
		return t.ID.String(), true
	case "family":
		return k.family, true
	case "ip-rev":
		return reversed(t), true
	case "ip-host":
		return k.host(), true
	case "failures":
		return strconv.Itoa(t.Failures), true
	case "time":
		return seconds(t.Time, t.WholeSeconds), true
	case "bantime":
		return banTime(t.BanTime), true
	case "bancount":
		return strconv.Itoa(t.BanCount), true
	case "matches":
		return strings.Join(t.Matches, "\n"), true
	case "restored":
		if t.Restored {
			return "1", true
		}
		return "0", true
	case "raw-ticket":
		return k.raw(), true
	}
	if v, ok := k.ofHistory(name); ok {
		return v, true
	}
	return k.ofJail(name)
}

func (k *known) ofHistory(name string) (string, bool) {
	var all bool
	switch name {
	case "ipmatches", "ipfailures":
		all = true
	case "ipjailmatches", "ipjailfailures":
	default:
		return "", false
	}
	matches, failures := k.ticket.Matches, k.ticket.Failures
	if m, n, ok := k.history(all); ok {
		matches, failures = m, n
	}
	if strings.HasSuffix(name, "failures") {
		return strconv.Itoa(failures), true
	}
	return strings.Join(matches, "\n"), true
}

func (k *known) ofJail(name string) (string, bool) {
	switch name {
	case "jail.name":
		return k.jail, true
	case "jail.banned":
		return strconv.Itoa(k.counts().Banned), true
	case "jail.banned_total":
		return strconv.Itoa(k.counts().BannedTotal), true
	case "jail.found":
		return strconv.Itoa(k.counts().Found), true
	case "jail.found_total":
		return strconv.Itoa(k.counts().FoundTotal), true
	}
	return "", false
}

// capture gives what the filter captured, and what fail2ban keeps beside it.
func (k *known) capture(name string) string {
	if v, ok := k.ticket.Captures[name]; ok {
		return v
	}
	switch name {
	case "failures":
		return strconv.Itoa(k.ticket.Failures)
	case "matches":
		return quoteAll(k.ticket.Matches)
	case "ip":
		return k.ticket.IP.String()
	}
	return ""
}

// raw shows the whole ticket, as fail2ban does for debugging.
func (k *known) raw() string {
	t := &k.ticket
	span := banTime(t.BanTime)
	if k.empty {
		span = noFamily
	}
	return fmt.Sprintf("BanTicket: ip=%s time=%s bantime=%s bancount=%d #attempts=%d matches=%s",
		t.ID, seconds(t.Time, t.WholeSeconds), span, t.BanCount, t.Failures, quoteAll(t.Matches))
}

// seconds writes a time as Python writes a float, or a whole number.
func seconds(t time.Time, whole bool) string {
	if whole {
		return strconv.FormatInt(t.Unix(), 10)
	}
	// Of two floats that stand for the microsecond, Python's clock gives the one nearest to the quotient.
	return pythonFloat(float64(t.UnixMicro()) / 1e6)
}

// pythonFloat writes a number as Python's str does, for what is less than 1e16 and a whole number or more
// than 1e-4.
func pythonFloat(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// banTime writes a duration in whole seconds, -1 for ever.
func banTime(d time.Duration) string {
	if d < 0 {
		return "-1"
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// timeoutText writes a time limit as fail2ban's number.
func timeoutText(d time.Duration) string {
	if s := d.Seconds(); s != math.Trunc(s) {
		return pythonFloat(s)
	}
	return strconv.FormatInt(int64(d/time.Second), 10)
}

// reversed gives an address backwards, as names of DNS lists begin.
func reversed(t *Ticket) string {
	id := t.address()
	switch {
	case !id.IsAddr():
		return ""
	case id.Prefix().Addr().Is4():
		parts := strings.Split(id.String(), ".")
		slices.Reverse(parts)
		return strings.Join(parts, ".") + "."
	}
	var b strings.Builder
	a := id.Prefix().Addr().As16()
	for i := len(a) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "%x.%x.", a[i]&0xf, a[i]>>4)
	}
	return b.String()
}

// quoteAll writes texts as Python writes a list of them.
func quoteAll(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = pytext.Quote(t)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}
