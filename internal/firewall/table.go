package firewall

import (
	"errors"
	"fmt"
	"iter"
	"math"
	"net/netip"
	"slices"
	"time"
)

// maxTimeout is the longest timeout that is handed to a backend; what lasts longer is permanent for
// all practical purposes. nf_tables takes far more (2^44 ms were tried).
const maxTimeout = 100 * 365 * 24 * time.Hour

// forever is the end of a permanent claim.
const forever = math.MaxInt64

// Table joins wishes to what the kernel's sets are to hold, and knows what they hold already. It is
// pure and has one owner; the zero value is not ready, see NewTable.
type Table struct {
	owners map[string]*owner
	ids    int32            // the last number given to an owner
	byID   map[int32]*owner // those of owners
	groups map[string]Group // in use, by name
	setIDs map[Set]int32    // of all sets in use
	sets   map[int32]Set    // the other way
	counts map[int32]int    // elements in the kernel, by set
	total  int              // their sum
	setNum int32            // the last number given to a set

	elements map[key]*element
	urgent   queue // of elements that are wanted: bans go before the lifting of bans
	lazy     queue // of elements that nobody wants any more
	waiting  int

	current bool // the kernel has the Layout, and what it holds is known
}

type owner struct {
	id     int32
	groups []string // names, sorted
}

type claim struct {
	owner int32
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
}

// NewTable makes an empty Table without scopes, of which nothing stands in the kernel.
func NewTable() *Table {
	return &Table{
		owners: map[string]*owner{}, byID: map[int32]*owner{}, groups: map[string]Group{},
		setIDs: map[Set]int32{}, sets: map[int32]Set{}, counts: map[int32]int{}, elements: map[key]*element{},
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
	for _, group := range o.groups {
		if w.Release {
			if id, known := t.setIDs[setOf(group, p)]; known {
				t.release(key{id, p}, o.id)
			}
			continue
		}
		t.claim(key{t.setID(setOf(group, p)), p}, claim{o.id, until})
	}
	return nil
}

func (t *Table) claim(k key, c claim) {
	e := t.elements[k]
	if e == nil {
		e = &element{}
		t.elements[k] = e
	}
	if i := slices.IndexFunc(e.claims, func(o claim) bool { return o.owner == c.owner }); i >= 0 {
		e.claims[i] = c
	} else {
		e.claims = append(e.claims, c)
	}
	t.touch(k, e)
}

func (t *Table) release(k key, owner int32) {
	e := t.elements[k]
	if e == nil {
		return
	}
	i := slices.IndexFunc(e.claims, func(c claim) bool { return c.owner == owner })
	if i < 0 {
		return
	}
	e.claims = slices.Delete(e.claims, i, i+1)
	t.touch(k, e)
}

// touch makes an element wait in the right queue, or not at all if there is nothing to do.
func (t *Table) touch(k key, e *element) {
	e.seq++
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
	e.queue, e.pos = q, q.push(k)
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

// Delta gives up to limit changes that bring the kernel nearer to what is wished: elements that are
// wanted first, oldest first. They stay staged until Applied; asked again, Delta gives them again.
// While the layout does not stand (see LayoutStands) there are none.
func (t *Table) Delta(now time.Time, limit int) []Change {
	if !t.current {
		return nil
	}
	var changes []Change
	for _, q := range []*queue{&t.urgent, &t.lazy} {
		stale := t.stale(q)
		for _, w := range q.entries {
			if len(changes) >= limit {
				break
			}
			if stale(w) {
				continue
			}
			k, e := w.key, t.elements[w.key]
			if c, needed := t.change(k, e, now); needed {
				changes = append(changes, c)
			} else {
				t.settle(k, e)
			}
		}
		q.trim(stale)
	}
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

// Applied takes note that the kernel has acknowledged changes that Delta gave.
func (t *Table) Applied(changes []Change) {
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
	t.each(changes, func(k key, e *element, _ Change) {
		t.setState(k, e, unsure)
		switch {
		case e.queue == nil:
			t.touch(k, e)
		case later:
			e.pos = e.queue.push(k)
			e.queue.compact(t.waiting, t.stale(e.queue))
		}
	})
}

func (t *Table) each(changes []Change, f func(key, *element, Change)) {
	for _, c := range changes {
		id, known := t.setIDs[c.Set]
		if !known {
			continue // a layout without the set is on its way
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

// All gives every element that is wished, as fresh changes for a kernel that holds nothing.
func (t *Table) All(now time.Time) iter.Seq[Change] {
	return func(yield func(Change) bool) {
		for k, e := range t.elements {
			until, wanted := e.wanted(now.UnixNano())
			if !wanted {
				continue
			}
			c := Change{Set: t.sets[k.set], Prefix: k.prefix, Timeout: timeout(until, now), Fresh: true, until: until}
			if !yield(c) {
				return
			}
		}
	}
}

// Replaced takes note that the kernel now holds the Layout and what All gave for the same time, and
// nothing else. The Table must not have changed in between.
func (t *Table) Replaced(now time.Time) {
	for k, e := range t.elements {
		until, wanted := e.wanted(now.UnixNano())
		if wanted {
			t.setState(k, e, present)
			e.kernel = until
		} else {
			t.setState(k, e, absent)
		}
		t.settle(k, e)
	}
	t.urgent.trim(t.stale(&t.urgent))
	t.lazy.trim(t.stale(&t.lazy))
	t.current = true
}

// Adopted takes note that the kernel holds the Layout with elements that are not known. Everything
// that is wished will be in Delta.
func (t *Table) Adopted() {
	t.current = true
	for k, e := range t.elements {
		t.setState(k, e, unsure)
		t.touch(k, e)
	}
}

// Found takes note of an element that the kernel holds. If nobody wants it, Delta removes it. It is
// false if there is no such set.
func (t *Table) Found(set string, p netip.Prefix) bool {
	for id, s := range t.sets {
		if s.String() != set {
			continue
		}
		k := key{id, p}
		if t.elements[k] == nil {
			t.elements[k] = &element{state: unsure}
			t.touch(k, t.elements[k])
		}
		return true
	}
	return false
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
	for k, e := range t.elements {
		n := len(e.claims)
		e.claims = slices.DeleteFunc(e.claims, func(c claim) bool { return c.until <= now.UnixNano() })
		if len(e.claims) < n {
			t.touch(k, e)
		}
	}
}

// Pending counts the elements that wait for the kernel.
func (t *Table) Pending() int { return t.waiting }

// Elements counts the elements that the kernel has acknowledged; some may have expired there.
func (t *Table) Elements() int { return t.total }

// Mark is a moment in the life of a Table, see Table.Reached.
type Mark struct{ urgent, lazy uint64 }

// Mark gives the present moment.
func (t *Table) Mark() Mark { return Mark{t.urgent.end(), t.lazy.end()} }

// Reached tells whether the kernel has acknowledged all that was wished before the mark.
func (t *Table) Reached(m Mark) bool {
	return t.current && (t.waiting == 0 || t.urgent.front() >= m.urgent && t.lazy.front() >= m.lazy)
}
