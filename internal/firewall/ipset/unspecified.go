package ipset

import (
	"net/netip"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// unspecified tells whether a prefix is 0.0.0.0 or ::, which the kernel's hash:ip does not take, and which
// fails all of its message. Lists of feeds have it at times. No packet that is routed comes from there, so
// such an element is only remembered: it counts, and is told of, as if it were in the set.
func unspecified(p netip.Prefix) bool { return p.Addr().IsUnspecified() && p.IsSingleIP() }

// remember takes note of an unspecified address among the changes.
func (v *set) remember(c firewall.Change, now time.Time) {
	switch {
	case !unspecified(c.Prefix):
	case c.Remove:
		v.unspecified = nil
	case seconds(c.Timeout) > 0:
		v.unspecified = &witness{prefix: c.Prefix, until: now.Add(c.Timeout)}
	default:
		v.unspecified = &witness{prefix: c.Prefix}
	}
}

// remembered gives the unspecified address as if the kernel had told of it.
func (v *set) remembered(now time.Time) (entry, bool) {
	w := v.unspecified
	if w == nil || w.expired(now) {
		return entry{}, false
	}
	e := entry{prefix: w.prefix, held: firewall.Held{Present: true}}
	if !w.until.IsZero() {
		e.held.Timeout = w.until.Sub(now)
	}
	return e, true
}
