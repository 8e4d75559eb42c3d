package firewall

import "net/netip"

// key names one element: a set, by its number in the Table, and a prefix.
type key struct {
	set    int32
	prefix netip.Prefix
}

// queue holds keys that wait, oldest first. Positions count from the beginning of time. An entry whose
// element waits elsewhere by now, or no longer waits, is stale; the Table tells.
type queue struct {
	keys []key
	base uint64 // position of keys[0]
}

func (q *queue) push(k key) (pos uint64) {
	q.keys = append(q.keys, k)
	return q.end() - 1
}

// end is the position that the next key gets.
func (q *queue) end() uint64 { return q.base + uint64(len(q.keys)) }

// trim drops entries from the front for as long as they are stale.
func (q *queue) trim(stale func(k key, pos uint64) bool) {
	n := 0
	for n < len(q.keys) && stale(q.keys[n], q.base+uint64(n)) {
		n++
	}
	q.base += uint64(n)
	q.keys = q.keys[n:]
	if len(q.keys) == 0 {
		q.keys = nil // the array may have grown large; it is not needed for long
	}
}
