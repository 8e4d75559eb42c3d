package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Query asks for what is blocked, a page at a time.
type Query struct {
	// Owner names whose: "jail:sshd", "feed:drop"; every jail or feed with "jail:" or "feed:"; empty for
	// all.
	Owner string
	// Within leaves out what is not inside a network; zero is everything.
	Within netip.Prefix
	// Holds leaves out what an address or network is not inside of; zero is everything.
	Holds netip.Prefix
	// After is Page.Next of the page before; empty for the first.
	After string
	// Limit is how many entries are wanted, 1 to 10,000; 0 is 100.
	Limit int
	// Hits asks the kernel how often each was met.
	Hits bool
}

// Page is an answer to a Query: entries in the order of their addresses, IPv4 first.
type Page struct {
	Entries []Entry
	Next    string // for the page after this one; empty if there is none
	Total   int    // entries in all without regard to After and Limit; -1 if counting would take long
}

// Entry is one address or network that is blocked.
type Entry struct {
	Prefix netip.Prefix
	Owners []OwnerClaim
	Sets   []string // of the kernel
	Hits   *Held    // what the kernel holds; nil if it was not asked
}

// OwnerClaim says who wants an entry.
type OwnerClaim struct {
	Owner string
	Until time.Time // zero for ever
}

// ErrQuery says that a Query makes no sense.
var ErrQuery = errors.New("not a query")

const (
	pageSize = 100
	pageMax  = 10_000
	// orderAge is how long the order of bans is good for paging through: what comes later may be missing
	// on pages that follow.
	orderAge = 5 * time.Second
)

// banOrder is what bans there were at one time, in order.
type banOrder struct {
	at       time.Time
	prefixes []netip.Prefix
}

// comparePrefixes orders as people read: IPv4 first, by address, networks before what is inside them.
func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// Find gives a page of what is blocked. The time it takes depends on the page, besides some milliseconds
// for 100,000 bans once in some seconds.
func (k *Keeper) Find(ctx context.Context, q Query) (Page, error) {
	var after netip.Prefix
	if q.After != "" {
		p, err := netip.ParsePrefix(q.After)
		if err != nil {
			return Page{}, fmt.Errorf("%w: after %q: use the text of the page before", ErrQuery, q.After)
		}
		after = p
	}
	if q.Limit < 0 || q.Limit > pageMax {
		return Page{}, fmt.Errorf("%w: limit %d: use 1 to %d", ErrQuery, q.Limit, pageMax)
	}
	if q.Limit == 0 {
		q.Limit = pageSize
	}
	within, holds := q.Within, q.Holds
	for _, p := range []*netip.Prefix{&within, &holds} {
		if p.IsValid() {
			c, err := Canonical(*p)
			if err != nil && !errors.Is(err, ErrWholeFamily) {
				return Page{}, fmt.Errorf("%w: %w", ErrQuery, err)
			}
			*p = c
		}
	}
	var f finder
	if err := k.run(ctx, func() { f = k.finder(time.Now(), q.After == "") }); err != nil {
		return Page{}, err
	}
	if f.order == nil {
		slices.SortFunc(f.unsorted, comparePrefixes)
		f.order = &banOrder{time.Now(), f.unsorted}
		if err := k.run(ctx, func() { k.order = f.order }); err != nil {
			return Page{}, err
		}
	}
	page := Page{Total: -1}
	// Entries that turn out to be somebody else's, or gone, make it look further.
	for len(page.Entries) <= q.Limit {
		candidates := f.after(after, within, holds, max(2*(q.Limit+1-len(page.Entries)), 64))
		if len(candidates) == 0 {
			break
		}
		after = candidates[len(candidates)-1]
		if err := ctx.Err(); err != nil {
			return Page{}, err
		}
		err := k.run(ctx, func() {
			for _, p := range candidates {
				if e, ok := k.table.entry(p, f.plan, q.Owner, k.now()); ok {
					page.Entries = append(page.Entries, e)
				}
			}
		})
		if err != nil {
			return Page{}, err
		}
	}
	if len(page.Entries) > q.Limit {
		page.Entries = page.Entries[:q.Limit]
		page.Next = page.Entries[q.Limit-1].Prefix.String()
	} else if q.After == "" {
		page.Total = len(page.Entries)
	}
	if page.Total < 0 && !within.IsValid() && !holds.IsValid() && q.Owner == "" {
		page.Total = len(f.order.prefixes) + f.elements
	}
	if q.Hits {
		return page, k.hits(ctx, &page)
	}
	return page, nil
}

// run has f executed by Run and waits for it.
func (k *Keeper) run(ctx context.Context, f func()) error {
	done := make(chan struct{})
	if err := k.ask(ctx, func() { f(); close(done) }); err != nil {
		return k.because(err)
	}
	<-done
	return nil
}

// hits asks the kernel for what it has counted.
func (k *Keeper) hits(ctx context.Context, page *Page) error {
	type at struct{ entry int }
	bySet := map[string][]at{}
	for i := range page.Entries {
		for _, s := range page.Entries[i].Sets {
			bySet[s] = append(bySet[s], at{i})
		}
	}
	for _, name := range sortedNames(bySet) {
		s, ok := ParseSet(name)
		if !ok {
			continue
		}
		for part := range slices.Chunk(bySet[name], 500) {
			prefixes := make([]netip.Prefix, len(part))
			for i, a := range part {
				prefixes[i] = page.Entries[a.entry].Prefix
			}
			var held []Held
			var failure error
			if err := k.run(ctx, func() { held, failure = k.backend.Probe(s, prefixes) }); err != nil {
				return err
			}
			if failure != nil {
				return failure
			}
			for i, a := range part {
				e := &page.Entries[a.entry]
				if e.Hits == nil {
					e.Hits = &Held{}
				}
				e.Hits.Present = e.Hits.Present || held[i].Present
				e.Hits.Timeout = max(e.Hits.Timeout, held[i].Timeout)
				e.Hits.Packets += held[i].Packets
				e.Hits.Bytes += held[i].Bytes
			}
		}
	}
	return nil
}

// finder is what is blocked at one time, ready to be looked through without the Keeper.
type finder struct {
	order    *banOrder      // nil: unsorted has to be sorted
	unsorted []netip.Prefix // bans
	feeds    []feedList
	elements int // of feeds
	plan     *FeedPlan
}

// feedList is one set's desired contents; they are never written to.
type feedList struct {
	set Set
	c4  *column[uint32]
	c6  *column[cidr.Addr6]
}

func (k *Keeper) finder(now time.Time, first bool) finder {
	f := finder{plan: k.table.feeds.plan}
	if !first && k.order != nil && now.Sub(k.order.at) < orderAge {
		f.order = k.order
	} else {
		seen := make(map[netip.Prefix]struct{}, len(k.table.elements))
		for key, e := range k.table.elements {
			if len(e.claims) > 0 {
				seen[key.prefix] = struct{}{}
			}
		}
		f.unsorted = make([]netip.Prefix, 0, len(seen))
		for p := range seen {
			f.unsorted = append(f.unsorted, p)
		}
	}
	for s, fs := range k.table.feeds.sets {
		if !fs.known {
			continue
		}
		l := feedList{set: s}
		if s.V6 {
			l.c6 = &column[cidr.Addr6]{compare: compare6, prefix: cidr.Prefix6, desired: fs.c6.desired}
		} else {
			l.c4 = column4()
			l.c4.desired = fs.c4.desired
		}
		f.feeds = append(f.feeds, l)
		f.elements += fs.keys.counts().desired
	}
	return f
}

// after gives prefixes behind one in order, without duplicates, at most limit.
func (f finder) after(after, within, holds netip.Prefix, limit int) []netip.Prefix {
	if holds.IsValid() {
		return f.covering(after, holds)
	}
	begin := after
	inclusive := !after.IsValid()
	if within.IsValid() && (inclusive || comparePrefixes(after, within) < 0) {
		begin, inclusive = within, true
	}
	var out []netip.Prefix
	out = append(out, behind(f.order.prefixes, begin, inclusive, limit)...)
	for _, l := range f.feeds {
		out = append(out, l.behind(begin, inclusive, limit)...)
	}
	slices.SortFunc(out, comparePrefixes)
	out = slices.Compact(out)
	out = out[:min(len(out), limit)]
	if within.IsValid() {
		end := slices.IndexFunc(out, func(p netip.Prefix) bool { return !within.Contains(p.Addr()) })
		if end >= 0 {
			out = out[:end]
		}
		out = slices.DeleteFunc(out, func(p netip.Prefix) bool { return p.Bits() < within.Bits() })
	}
	return out
}

// covering gives the prefixes that hold all of p, behind one in order.
func (f finder) covering(after, p netip.Prefix) (out []netip.Prefix) {
	for bits := 1; bits <= p.Bits(); bits++ {
		q := netip.PrefixFrom(p.Addr(), bits).Masked()
		if after.IsValid() && comparePrefixes(q, after) <= 0 {
			continue
		}
		out = append(out, q)
	}
	slices.SortFunc(out, comparePrefixes)
	return out
}

func behind(sorted []netip.Prefix, p netip.Prefix, inclusive bool, limit int) []netip.Prefix {
	if !p.IsValid() {
		return sorted[:min(limit, len(sorted))]
	}
	i, found := slices.BinarySearchFunc(sorted, p, comparePrefixes)
	if found && !inclusive {
		i++
	}
	return sorted[i:min(i+limit, len(sorted))]
}

func (l feedList) behind(p netip.Prefix, inclusive bool, limit int) []netip.Prefix {
	bits := l.set.Bits
	switch {
	case !p.IsValid():
		if l.c6 != nil {
			return l.c6.from(cidr.Addr6{}, true, limit, bits)
		}
		return l.c4.from(0, true, limit, bits)
	case p.Addr().Is4() && l.c6 != nil:
		return l.c6.from(cidr.Addr6{}, true, limit, bits)
	case p.Addr().Is6() && l.c6 == nil:
		return nil
	}
	// An element at the same address comes behind p if it is longer.
	inclusive = inclusive && bits >= p.Bits() || bits > p.Bits()
	if l.c6 != nil {
		return l.c6.from(cidr.Key6(p), inclusive, limit, bits)
	}
	return l.c4.from(cidr.Key4(p), inclusive, limit, bits)
}

// entry gives who wants a prefix, if anybody does whom the owner's name fits.
func (t *Table) entry(p netip.Prefix, plan *FeedPlan, owner string, now time.Time) (Entry, bool) {
	e := Entry{Prefix: p}
	fits := owner == ""
	note := func(c OwnerClaim) {
		fits = fits || c.Owner == owner || strings.HasSuffix(owner, ":") && strings.HasPrefix(c.Owner, owner)
		i := slices.IndexFunc(e.Owners, func(o OwnerClaim) bool { return o.Owner == c.Owner })
		switch {
		case i < 0:
			e.Owners = append(e.Owners, c)
		case c.Until.IsZero() || !e.Owners[i].Until.IsZero() && c.Until.After(e.Owners[i].Until):
			e.Owners[i].Until = c.Until
		}
	}
	for group := range t.groups {
		s := t.setFor(group, p)
		id, ok := t.setIDs[s]
		if !ok {
			continue
		}
		x := t.elements[key{id, p}]
		if x == nil {
			continue
		}
		found := false
		for _, c := range x.claims {
			o := t.byID[c.owner]
			if o == nil || c.until <= now.UnixNano() {
				continue
			}
			claim := OwnerClaim{Owner: o.name}
			if c.until != forever {
				claim.Until = time.Unix(0, c.until)
			}
			note(claim)
			found = true
		}
		if found {
			e.Sets = append(e.Sets, s.String())
		}
	}
	for s, f := range t.feeds.sets {
		if !f.known || s.V6 != p.Addr().Is6() || s.Bits != p.Bits() || !f.wanted(p) {
			continue
		}
		e.Sets = append(e.Sets, s.String())
		for _, o := range plan.owners {
			if o.group == s.Group && o.contents.Overlaps(p) {
				note(OwnerClaim{Owner: o.name})
			}
		}
	}
	slices.Sort(e.Sets)
	slices.SortFunc(e.Owners, func(a, b OwnerClaim) int { return strings.Compare(a.Owner, b.Owner) })
	return e, fits && len(e.Owners) > 0
}

// wanted tells whether a prefix of the set's family and length is to be in it.
func (f *feedSet) wanted(p netip.Prefix) bool {
	if f.c6 != nil {
		_, ok := slices.BinarySearchFunc(f.c6.desired, cidr.Key6(p), compare6)
		return ok
	}
	_, ok := slices.BinarySearch(f.c4.desired, cidr.Key4(p))
	return ok
}
