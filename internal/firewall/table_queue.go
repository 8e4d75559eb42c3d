package firewall

import (
	"net/netip"
	"slices"
)

// key names one element: a set, by its number in the Table, and a prefix.
type key struct {
	set    int32
	prefix netip.Prefix
}

// queue holds keys that wait, oldest first. Positions count from the beginning of time. An entry whose
// element waits elsewhere by now, or no longer waits, is stale; the Table tells.
type queue struct {
	entries []entry
	next    uint64 // position of the next entry
}

type entry struct {
	key
	pos   uint64
	after uint64 // the end of another queue when it came
}

func (q *queue) push(k key, after uint64) (pos uint64) {
	q.entries = append(q.entries, entry{k, q.next, after})
	q.next++
	return q.next - 1
}

// end is the position that the next key gets.
func (q *queue) end() uint64 { return q.next }

// front is the position of the oldest key, or end if there is none.
func (q *queue) front() uint64 {
	if len(q.entries) == 0 {
		return q.next
	}
	return q.entries[0].pos
}

// trim drops entries from the front for as long as they are stale.
func (q *queue) trim(stale func(entry) bool) {
	n := 0
	for n < len(q.entries) && stale(q.entries[n]) {
		n++
	}
	q.entries = q.entries[n:]
	if len(q.entries) == 0 {
		q.entries = nil // the array may have grown large; it is not needed for long
	}
}

// compact drops all stale entries once they may be the greater part, so that what is wished and taken
// back again and again behind an entry that cannot move does not pile up.
func (q *queue) compact(waiting int, stale func(entry) bool) {
	if len(q.entries) > 2*waiting+64 {
		q.entries = slices.DeleteFunc(q.entries, stale)
	}
}
