package filter

import "strings"

// Group asks several filters at once which of them a line may concern: the filters of one source
// share one scan. It is immutable and safe for concurrent use.
type Group struct {
	filters int
	always  Wanted // the filters that want every line
	wishes  []wish
	scanner *scanner
	// clausesOf lists for each literal the clauses that it fulfils.
	clausesOf [][]int32
	clauses   int
}

// wish is one way in which a line can concern a filter: it fulfils all of the clauses.
type wish struct {
	filter  int
	clauses []int32
}

// Wanted is a set of filters of a Group, by their place in it. The zero Wanted is empty.
type Wanted struct {
	first uint64
	more  []uint64 // from the 64th filter on
}

// Has reports whether the filter at place i wants the line.
func (w Wanted) Has(i int) bool {
	if i < 64 {
		return w.first>>i&1 == 1
	}
	i -= 64
	return i/64 < len(w.more) && w.more[i/64]>>(i%64)&1 == 1
}

// Any reports whether any filter wants the line.
func (w Wanted) Any() bool {
	for _, m := range w.more {
		if m != 0 {
			return true
		}
	}
	return w.first != 0
}

func (w *Wanted) set(i int) {
	if i < 64 {
		w.first |= 1 << i
		return
	}
	i -= 64
	for len(w.more) <= i/64 {
		w.more = append(w.more, 0)
	}
	w.more[i/64] |= 1 << (i % 64)
}

// NewGroup makes the shared scan of filters. A filter is known by its place in the list.
func NewGroup(filters []*Filter) *Group {
	g := &Group{filters: len(filters)}
	b := groupBuilder{g: g, clauses: map[string]int32{}, literals: map[string]int32{}}
	for i, f := range filters {
		if f.needs.always {
			g.always.set(i)
			continue
		}
		for _, together := range f.needs.any {
			w := wish{filter: i}
			for _, c := range together {
				w.clauses = append(w.clauses, b.clause(c))
			}
			g.wishes = append(g.wishes, w)
		}
	}
	g.clauses = len(b.clauses)
	g.scanner = newScanner(b.list)
	return g
}

// groupBuilder numbers the clauses and literals of a group, each once.
type groupBuilder struct {
	g        *Group
	clauses  map[string]int32
	literals map[string]int32
	list     []string // the literals by number
}

func (b *groupBuilder) clause(c clause) int32 {
	key := strings.Join(c, "\n") // no literal holds a newline
	id, known := b.clauses[key]
	if known {
		return id
	}
	id = int32(len(b.clauses))
	b.clauses[key] = id
	for _, text := range c {
		l, known := b.literals[text]
		if !known {
			l = int32(len(b.list))
			b.literals[text] = l
			b.list = append(b.list, text)
			b.g.clausesOf = append(b.g.clausesOf, nil)
		}
		b.g.clausesOf[l] = append(b.g.clausesOf[l], id)
	}
	return id
}

// stackClauses is how many clauses a scan can note without allocating: many more than the stock
// filters of one log have together.
const stackClauses = 1024

// Scan says which filters may have something to do with a line; those that it leaves out certainly
// have not, beyond noting its date (Session.Skip). The text is not kept.
func (g *Group) Scan(text string) Wanted {
	var onStack [stackClauses / 64]uint64
	seen := onStack[:]
	if g.clauses > stackClauses {
		seen = make([]uint64, (g.clauses+63)/64)
	}
	found := false
	g.scanner.scan(text, func(literal int32) {
		found = true
		for _, c := range g.clausesOf[literal] {
			seen[c/64] |= 1 << (c % 64)
		}
	})
	w := g.always
	if !found {
		return w
	}
	if len(w.more) > 0 || g.filters > 64 {
		w.more = append([]uint64(nil), w.more...)
	}
	for _, wish := range g.wishes {
		if !w.Has(wish.filter) && wish.fulfilled(seen) {
			w.set(wish.filter)
		}
	}
	return w
}

func (w wish) fulfilled(seen []uint64) bool {
	for _, c := range w.clauses {
		if seen[c/64]>>(c%64)&1 == 0 {
			return false
		}
	}
	return true
}

// Wants reports whether a line may match, or change what a session remembers beyond the date: false
// is certain, true is not. The text is not kept.
func (f *Filter) Wants(text string) bool { return f.scan.Scan(text).Has(0) }
