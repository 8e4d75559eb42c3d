package firewall

import (
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// maxTimeout is the longest timeout that is handed to a backend; what lasts longer is permanent for
// all practical purposes. nf_tables takes far more (2^44 ms were tried).
const maxTimeout = 100 * 365 * 24 * time.Hour

// forever is the end of a permanent claim.
const forever = math.MaxInt64

// Table joins wishes to what the kernel's sets are to hold, and knows what they hold already. It says
// what to do next (Next), and is told what came of it. It is pure and has one owner; the zero value is
// not ready, see NewTable.
type Table struct {
	owners map[string]*owner
	ids    int32            // the last number given to an owner
	byID   map[int32]*owner // those of owners
	groups map[string]Group // in use, by name
	setIDs map[Set]int32    // of all sets in use
	sets   map[int32]Set    // the other way
	counts map[int32]int    // elements in the kernel, by set
	wished map[int32]int    // elements that somebody wants, by set
	wishes int              // their sum
	total  int              // their sum
	setNum int32            // the last number given to a set

	elements map[key]*element
	urgent   queue // of elements that are wanted: bans go before the lifting of bans
	lazy     queue // of elements that nobody wants any more
	waiting  int

	allow     cidr.Ranges        // what nothing may block
	cuts      map[cutKey]*cut    // wishes for networks that hold some of it
	cutIDs    int32              // the last number given to one
	retired   map[Set]bool       // sets whose place others take with the next Commit
	feeds     feedTable          // what feeds want
	phase     phase              // how far the kernel has the Layout
	gate      uint64             // how far urgent has to be before Commit; 0: no matter
	gateReach int                // how many wishes may still push it on
	hold      uint64             // how far urgent has to be before anything is removed
	feedLimit int                // how many changes of feeds Delta gives at most; 0: as many as of bans
	met       bool               // the kernel has been surveyed before
	strays    map[int32]struct{} // sets that may hold what is not known
	buffer    []Change           // of Delta
}

type owner struct {
	id     int32
	name   string
	groups []string // names, sorted
}

type claim struct {
	owner int32
	cut   int32 // the number of the cut whose piece this is; 0 for none
	until int64 // Unix nanoseconds by the wall clock, or forever
}

type presence uint8

const (
	absent  presence = iota // surely not in the kernel
	present                 // in the kernel until element.kernel, or already expired there
	unsure                  // perhaps
)

type element struct {
	claims []claim
	kernel int64 // until when the kernel holds it, if present
	pos    uint64
	seq    uint32 // counts what happened to the element
	state  presence
	queue  *queue // where it waits, or nil
	wished bool   // it counts in Table.wished
}

// NewTable makes an empty Table without scopes, which knows nothing of the kernel.
func NewTable() *Table {
	return &Table{
		owners: map[string]*owner{}, byID: map[int32]*owner{}, groups: map[string]Group{},
		setIDs: map[Set]int32{}, sets: map[int32]Set{}, counts: map[int32]int{}, wished: map[int32]int{}, elements: map[key]*element{},
		cuts: map[cutKey]*cut{}, retired: map[Set]bool{}, strays: map[int32]struct{}{},
		feeds: feedTable{sets: map[Set]*feedSet{}, groups: map[string]Group{}, plan: &FeedPlan{}},
	}
}

// Errors of Table.Wish.
var (
	ErrWholeFamily = errors.New("a whole address family is never banned")
	ErrNoPrefix    = errors.New("not an address or network")
)

// Canonical gives the one form in which a prefix is kept: IPv4 as IPv4, host bits cleared. A prefix of
// length 0 is refused.
func Canonical(p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, ErrNoPrefix
	}
	if p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	if p.Bits() == 0 {
		return p, fmt.Errorf("%w: %s", ErrWholeFamily, p)
	}
	return p.Masked(), nil
}

// Wish takes a wish in. The error says why it cannot be granted; wishes of unknown owners are ignored.
func (t *Table) Wish(w Wish) error {
	p, err := Canonical(w.Prefix)
	if err != nil {
		return err
	}
	o := t.owners[w.Owner]
	if o == nil {
		return nil
	}
	until := int64(forever)
	// Beyond the year 2262 there are no Unix nanoseconds.
	if !w.Until.IsZero() && w.Until.Year() < 2200 {
		until = w.Until.UnixNano()
	}
	t.wish(o, p, until, w.Release)
	return nil
}

func (t *Table) wish(o *owner, p netip.Prefix, until int64, release bool) {
	k := cutKey{o.id, p}
	if c := t.cuts[k]; c != nil {
		if release {
			t.uncut(k, c)
			return
		}
		c.until = until
		t.claimPieces(o, c)
		return
	}
	if !release && t.allow.Overlaps(p) {
		t.cutIDs++
		c := &cut{id: t.cutIDs, pieces: cidr.Cut(p, t.allow), until: until}
		t.cuts[k] = c
		t.claimPieces(o, c)
		return
	}
	for _, group := range o.groups {
		if release {
			if id, known := t.setIDs[t.setFor(group, p)]; known {
				t.release(key{id, p}, o.id, 0)
			}
			continue
		}
		t.claim(key{t.setID(t.setFor(group, p)), p}, claim{owner: o.id, until: until})
	}
}

// setFor names the set of a group that holds p: of several that take each other's place, the one that
// stays.
func (t *Table) setFor(group string, p netip.Prefix) Set {
	twins := setOf(group, p).twins()
	for _, s := range twins {
		if _, stands := t.setIDs[s]; stands {
			return s
		}
	}
	for _, s := range twins {
		if !t.retired[s] {
			return s
		}
	}
	return twins[0]
}

func (t *Table) claim(k key, c claim) {
	e := t.elements[k]
	if e == nil {
		e = &element{}
		if _, strays := t.strays[k.set]; strays {
			e.state = unsure
		}
		t.elements[k] = e
	}
	if i := slices.IndexFunc(e.claims, func(o claim) bool { return o.owner == c.owner && o.cut == c.cut }); i >= 0 {
		e.claims[i] = c
	} else {
		e.claims = append(e.claims, c)
	}
	t.touch(k, e)
}

func (t *Table) release(k key, owner, cut int32) {
	e := t.elements[k]
	if e == nil {
		return
	}
	i := slices.IndexFunc(e.claims, func(c claim) bool { return c.owner == owner && c.cut == cut })
	if i < 0 {
		return
	}
	e.claims = slices.Delete(e.claims, i, i+1)
	t.touch(k, e)
}

// touch makes an element wait in the right queue, or not at all if there is nothing to do.
func (t *Table) touch(k key, e *element) {
	e.seq++
	if e.wished != (len(e.claims) > 0) {
		e.wished = !e.wished
		n := 1
		if !e.wished {
			n = -1
		}
		t.wished[k.set] += n
		t.wishes += n
	}
	if len(e.claims) == 0 && e.state == absent {
		t.settle(k, e)
		return
	}
	q := &t.urgent
	if len(e.claims) == 0 {
		q = &t.lazy
	}
	if e.queue == q {
		return
	}
	if e.queue == nil {
		t.waiting++
	}
	e.queue, e.pos = q, q.push(k, t.urgent.end())
	if q == &t.urgent && t.gate > 0 && t.gateReach > 0 {
		// What goes with the Commit may be what protects in place of this. It does not wait for ever.
		t.gate = q.end()
		t.gateReach--
	}
	q.compact(t.waiting, t.stale(q))
}

// settle ends an element's waiting, and forgets it if nothing is left to know.
func (t *Table) settle(k key, e *element) {
	if e.queue != nil {
		e.queue = nil
		t.waiting--
	}
	if len(e.claims) == 0 && e.state == absent {
		delete(t.elements, k)
	}
}

func (t *Table) setState(k key, e *element, s presence) {
	if (e.state == present) != (s == present) {
		n := 1
		if s != present {
			n = -1
		}
		t.counts[k.set] += n
		t.total += n
	}
	e.state = s
}

// wanted gives until when somebody wants the element, if anybody still does.
func (e *element) wanted(now int64) (until int64, ok bool) {
	for _, c := range e.claims {
		if c.until > now {
			until, ok = max(until, c.until), true
		}
	}
	return until, ok
}

func (t *Table) stale(q *queue) func(entry) bool {
	return func(w entry) bool {
		e := t.elements[w.key]
		return e == nil || e.queue != q || e.pos != w.pos
	}
}

// Delta gives up to limit changes that bring the kernel nearer to what is wished: bans first, oldest
// first, then the lifting of bans, then feeds. They stay staged until Applied or Failed; asked again,
// Delta gives them again. The slice is valid until the next call.
func (t *Table) Delta(now time.Time, limit int) []Change {
	if t.phase < prepared {
		return nil
	}
	changes := t.buffer[:0]
	for _, q := range []*queue{&t.urgent, &t.lazy} {
		stale := t.stale(q)
		for _, w := range q.entries {
			// An element leaves when what was wished before it left is in force: it may have moved.
			if len(changes) >= limit || q == &t.lazy && (t.phase < committed || max(w.after, t.hold) > t.urgent.front()) {
				break
			}
			if stale(w) {
				continue
			}
			k, e := w.key, t.elements[w.key]
			if _, wanted := e.wanted(now.UnixNano()); !wanted && q == &t.urgent {
				// All claims have ended by themselves: it leaves in its turn.
				e.claims = nil
				t.touch(k, e)
				continue
			}
			if c, needed := t.change(k, e, now); needed {
				changes = append(changes, c)
			} else {
				t.settle(k, e)
			}
		}
		q.trim(stale)
	}
	t.feeds.staged = nil
	if len(changes) == 0 {
		if t.feedLimit > 0 {
			limit = min(limit, t.feedLimit)
		}
		changes = t.feeds.next(changes, limit, t.phase == committed)
		if len(changes) == 0 && t.phase == committed && t.feeds.stage == added {
			if t.feeds.retire() {
				t.changed(false)
			}
			changes = t.feeds.next(changes, limit, t.phase == committed)
		}
	}
	t.buffer = changes
	return changes
}

// change says what has to be done about one element.
func (t *Table) change(k key, e *element, now time.Time) (Change, bool) {
	until, wanted := e.wanted(now.UnixNano())
	c := Change{Set: t.sets[k.set], Prefix: k.prefix, Remove: !wanted, Fresh: e.state == absent, until: until, seq: e.seq}
	if !wanted {
		return c, e.state != absent
	}
	c.Timeout = timeout(until, now)
	return c, e.state != present || e.kernel != until
}

func timeout(until int64, now time.Time) time.Duration {
	left := time.Duration(until - now.UnixNano())
	if until == forever || left > maxTimeout {
		return 0
	}
	return max(left, time.Millisecond)
}

// Applied takes note that the kernel has acknowledged changes that Delta gave last.
func (t *Table) Applied(changes []Change) {
	if t.feeds.acknowledged(changes) {
		return
	}
	t.each(changes, func(k key, e *element, c Change) {
		if c.Remove {
			t.setState(k, e, absent)
		} else {
			t.setState(k, e, present)
			e.kernel = c.until
		}
		if e.seq == c.seq {
			t.settle(k, e)
		} else {
			t.touch(k, e)
		}
	})
}

// Failed takes note that it is not known whether the kernel has taken changes that Delta gave. They
// stay staged, behind what else is waiting if later is set.
func (t *Table) Failed(changes []Change, later bool) {
	if t.feeds.failed(changes) {
		return
	}
	t.each(changes, func(k key, e *element, _ Change) {
		t.setState(k, e, unsure)
		switch {
		case e.queue == nil:
			t.touch(k, e)
		case later:
			e.pos = e.queue.push(k, t.urgent.end())
			e.queue.compact(t.waiting, t.stale(e.queue))
		}
	})
}

func (t *Table) each(changes []Change, f func(key, *element, Change)) {
	for _, c := range changes {
		id, known := t.setIDs[c.Set]
		if !known {
			continue // its set has been retired in the meantime
		}
		k := key{id, c.Prefix}
		if t.elements[k] == nil {
			t.elements[k] = &element{} // its last owner has left in the meantime
		}
		f(k, t.elements[k], c)
	}
	t.urgent.trim(t.stale(&t.urgent))
	t.lazy.trim(t.stale(&t.lazy))
}

// Rearm makes Delta give all elements with a timeout once more. It is for when the wall clock has been
// set: the kernel's timeouts follow another clock.
func (t *Table) Rearm() {
	for k, e := range t.elements {
		if e.state == present && e.kernel != forever {
			t.setState(k, e, unsure)
			t.touch(k, e)
		}
	}
}

// Expire lets go of claims that have ended by themselves.
func (t *Table) Expire(now time.Time) {
	for k, c := range t.cuts {
		if c.until <= now.UnixNano() {
			delete(t.cuts, k) // its pieces end below
		}
	}
	for k, e := range t.elements {
		n := len(e.claims)
		e.claims = slices.DeleteFunc(e.claims, func(c claim) bool { return c.until <= now.UnixNano() })
		if len(e.claims) < n {
			t.touch(k, e)
		}
	}
}

// Pending counts the changes that wait for the kernel.
func (t *Table) Pending() int { return t.waiting + t.feeds.pending() }

// Elements counts the elements that the kernel has acknowledged; some may have expired there.
func (t *Table) Elements() int { return t.total + t.feeds.held() }

// Desired counts the elements that are wished; some may have expired within the last minute.
func (t *Table) Desired() int {
	return t.wishes + t.feeds.desired()
}

// Mark is a moment in the life of a Table, see Table.Reached.
type Mark struct{ urgent, lazy, feeds uint64 }

// Mark gives the present moment, with the newest plan of feeds that is on its way.
func (t *Table) Mark(plan uint64) Mark { return Mark{t.urgent.end(), t.lazy.end(), plan} }

// Reached tells whether the kernel has acknowledged all that was wished before the mark.
func (t *Table) Reached(m Mark) bool {
	return t.phase == committed && t.feeds.plan.seq >= m.feeds && t.feeds.stage == done &&
		(t.waiting == 0 || t.urgent.front() >= m.urgent && t.lazy.front() >= m.lazy)
}
