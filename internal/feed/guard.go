package feed

import (
	"cmp"
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Why a new version of a list is not taken; its last good copy counts.
var (
	ErrEmpty  = errors.New("the list is empty")
	ErrShrunk = errors.New("the list has shrunk too much")
	// ErrUnscored is that of a list that does not say the scores by which it is to be judged.
	ErrUnscored = errors.New("no entry of the list has a score")
)

// shrinkFrom is from how many entries on a list that shrinks is suspicious; small ones come and go.
const shrinkFrom = 100

// examples are how many entries a refusal names.
const examples = 3

// Guard decides entry by entry what of a list may be blocked. It is not safe for concurrent use.
type Guard struct {
	g         Guards
	special   []cidr.SpecialRange
	entries   int
	unscored  int
	block     cidr.Builder
	short     cidr.Builder
	count     cidr.Builder
	refused   map[string]*Refusal
	nextEnd   int64 // of the first entry that ends, in Unix seconds; 0: none does
	forbidden cidr.Ranges
}

// NewGuard makes a Guard for one version of a list.
func NewGuard(g Guards) *Guard {
	guard := &Guard{g: g, refused: map[string]*Refusal{}}
	var b cidr.Builder
	for _, s := range cidr.Special() {
		if s.Never || !g.Private {
			guard.special = append(guard.special, s)
			b.Add(s.Prefix)
		}
	}
	guard.forbidden = cidr.Union(b.Ranges(), g.Allow, g.Own)
	return guard
}

// Take takes an entry into account.
func (g *Guard) Take(e Entry) {
	if e.Revoked || !e.Until.IsZero() && !e.Until.After(g.g.Now) {
		return
	}
	g.entries++
	if g.g.MaxEntries > 0 && g.entries > g.g.MaxEntries {
		g.refuse(fmt.Sprintf("beyond the %d entries that the list may have", g.g.MaxEntries), e)
		return
	}
	if why := g.forbids(e); why != "" {
		g.refuse(why, e)
		return
	}
	into := &g.block
	switch {
	case e.Score == Unscored && g.g.MinScore > 0:
		g.unscored++
		g.refuse("no score, where the list should have one", e)
		return
	case e.Score == Unscored, e.Score == NoScore || e.Score >= g.g.MinScore:
	case g.g.ShortScore >= 0 && e.Score >= g.g.ShortScore:
		into = &g.short
	case g.g.CountScore >= 0 && e.Score >= g.g.CountScore:
		into = &g.count
	default:
		g.refuse(fmt.Sprintf("a score below %d", g.lowest()), e)
		return
	}
	into.AddRange(e.First, e.Last)
	if u := e.Until.Unix(); !e.Until.IsZero() && (g.nextEnd == 0 || u < g.nextEnd) {
		g.nextEnd = u
	}
}

// lowest is the score below which an entry means nothing.
func (g *Guard) lowest() int {
	low := g.g.MinScore
	if g.g.ShortScore >= 0 {
		low = min(low, g.g.ShortScore)
	}
	if g.g.CountScore >= 0 {
		low = min(low, g.g.CountScore)
	}
	return low
}

// forbids says why an entry may not be blocked as a whole; empty if nothing is against all of it.
func (g *Guard) forbids(e Entry) string {
	is4 := e.First.Is4()
	least := g.g.Min6
	if is4 {
		least = g.g.Min4
	}
	if wider(e.First, e.Last, least) {
		return fmt.Sprintf("more addresses than a /%d", least)
	}
	if e.First == e.Last && !g.forbidden.Contains(e.First) {
		return ""
	}
	for _, s := range g.special {
		if s.Prefix.Contains(e.First) && s.Prefix.Contains(e.Last) {
			return s.What
		}
	}
	if e.First == e.Last {
		switch {
		case g.g.Allow.Contains(e.First):
			return "allowed"
		case g.g.Own.Contains(e.First):
			return "this machine's own, its gateway or its resolver"
		}
	}
	return ""
}

// wider reports whether a range has more addresses than a prefix of so many bits.
func wider(first, last netip.Addr, prefix int) bool {
	a, b := first.As16(), last.As16()
	var difference [16]byte // last - first, which is one less than there are addresses
	borrow := 0
	for i := 15; i >= 0; i-- {
		d := int(b[i]) - int(a[i]) - borrow
		borrow = 0
		if d < 0 {
			d, borrow = d+256, 1
		}
		difference[i] = byte(d)
	}
	leading := 0
	for _, d := range difference {
		if d != 0 {
			leading += bits.LeadingZeros8(d)
			break
		}
		leading += 8
	}
	return leading < 128-first.BitLen()+prefix
}

func (g *Guard) refuse(why string, e Entry) {
	r := g.refused[why]
	if r == nil {
		r = &Refusal{Why: why}
		g.refused[why] = r
	}
	r.Entries++
	if len(r.Examples) < examples {
		text := e.First.String()
		if e.Last != e.First {
			text += "-" + e.Last.String()
		}
		r.Examples = append(r.Examples, text)
	}
}

// Verdict is what is left of the list. Previous is how many entries its last good version had, 0 if there is
// none. An error wraps ErrEmpty, ErrShrunk or ErrUnscored: then the last good version is better than this one.
func (g *Guard) Verdict(previous int) (Verdict, error) {
	v := Verdict{Entries: g.entries}
	if g.entries == 0 && !g.g.MayEmpty {
		return v, ErrEmpty
	}
	if previous >= shrinkFrom && g.g.MayShrink < 1 && float64(g.entries) < float64(previous)*(1-g.g.MayShrink) {
		return v, fmt.Errorf("%w: from %d entries to %d; if that is right, raise max_shrink, or remove the feed and add it again", ErrShrunk, previous, g.entries)
	}
	if g.unscored > 0 && g.unscored == g.entries {
		return v, fmt.Errorf("%w: it is not written as it was, or as score says; min_score = 0 takes all of it", ErrUnscored)
	}
	v.Block = g.block.Ranges().Without(g.forbidden)
	v.Short = g.short.Ranges().Without(g.forbidden)
	v.Count = g.count.Ranges().Without(g.forbidden)
	for _, r := range g.refused {
		v.Refused = append(v.Refused, *r)
	}
	slices.SortFunc(v.Refused, func(a, b Refusal) int {
		return cmp.Or(cmp.Compare(b.Entries, a.Entries), cmp.Compare(a.Why, b.Why))
	})
	if g.nextEnd != 0 {
		v.NextEnd = unixTime(g.nextEnd)
	}
	return v, nil
}
