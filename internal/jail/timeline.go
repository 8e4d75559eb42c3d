package jail

import "github.com/palisade-agent/palisade/internal/ident"

// links is what a tally, a ban and a history have in common: their name, and where the structures that
// hold them keep them.
type links struct {
	jail *state
	id   ident.ID
	// slot is the index in a timeline, mark the index in a changeLog plus one; 0 is not in it.
	slot, mark int32
	// stored tells that the store may know the entry, so that its end must be told, too.
	stored bool
}

func (l *links) link() *links { return l }

func (l *links) key() Key { return Key{Jail: l.jail.name, ID: l.id} }

type linked interface {
	comparable
	link() *links
}

// timeline is a priority queue: the entry with the earliest time is first, equal times in the order of
// the names, so that the order does not depend on how it came about. It is a heap with four children a
// node, which touches fewer cache lines than one with two; times sit beside the entries for the same
// reason.
type timeline[T linked] struct {
	nodes []node[T]
}

type node[T linked] struct {
	at    int64
	entry T
}

func (n node[T]) before(m node[T]) bool {
	if n.at != m.at {
		return n.at < m.at
	}
	a, b := n.entry.link(), m.entry.link()
	if x, y := a.id.String(), b.id.String(); x != y {
		return x < y
	}
	return a.jail.name < b.jail.name
}

func (t *timeline[T]) len() int { return len(t.nodes) }

// first gives the earliest entry, or ok false of none.
func (t *timeline[T]) first() (entry T, at int64, ok bool) {
	if len(t.nodes) == 0 {
		return entry, 0, false
	}
	return t.nodes[0].entry, t.nodes[0].at, true
}

func (t *timeline[T]) add(entry T, at int64) {
	t.nodes = append(t.nodes, node[T]{at, entry})
	t.up(len(t.nodes) - 1)
}

// move gives an entry that is in the timeline another time.
func (t *timeline[T]) move(entry T, at int64) {
	i := int(entry.link().slot)
	t.nodes[i].at = at
	t.settle(i)
}

func (t *timeline[T]) remove(entry T) {
	i, last := int(entry.link().slot), len(t.nodes)-1
	moved := t.nodes[last]
	t.nodes[last] = node[T]{}
	t.nodes = t.nodes[:last]
	if i == last {
		return
	}
	t.nodes[i] = moved
	t.settle(i)
}

func (t *timeline[T]) settle(i int) {
	if i > 0 && t.nodes[i].before(t.nodes[(i-1)/4]) {
		t.up(i)
		return
	}
	t.down(i)
}

func (t *timeline[T]) up(i int) {
	n := t.nodes[i]
	for i > 0 {
		parent := (i - 1) / 4
		if !n.before(t.nodes[parent]) {
			break
		}
		t.put(i, t.nodes[parent])
		i = parent
	}
	t.put(i, n)
}

func (t *timeline[T]) down(i int) {
	n := t.nodes[i]
	for {
		least, first := -1, 4*i+1
		for c := first; c < first+4 && c < len(t.nodes); c++ {
			if least < 0 || t.nodes[c].before(t.nodes[least]) {
				least = c
			}
		}
		if least < 0 || !t.nodes[least].before(n) {
			break
		}
		t.put(i, t.nodes[least])
		i = least
	}
	t.put(i, n)
}

func (t *timeline[T]) put(i int, n node[T]) {
	t.nodes[i] = n
	n.entry.link().slot = int32(i)
}
