package filter

// scanner finds all of a set of literals in one pass over a text. It is an Aho-Corasick automaton,
// with one table row per state and one column per class of bytes.
type scanner struct {
	class   [256]uint8 // column of a byte; 0 for the bytes in no literal
	columns int
	next    []int32 // state*columns + class -> state
	// hits lists for each state the literals that end there, its own and those of its suffixes, in
	// one array: hits[from[state]:from[state+1]].
	hits []int32
	from []int32
}

func newScanner(literals []string) *scanner {
	s := &scanner{columns: 1}
	for _, l := range literals {
		for i := range len(l) {
			if s.class[l[i]] == 0 && s.columns < 256 {
				s.class[l[i]] = uint8(s.columns)
				s.columns++
			}
		}
	}
	ends := s.grow(literals)
	s.link(ends)
	return s
}

// grow makes the trie of the literals and says which literals end in which state. A missing edge is
// -1.
func (s *scanner) grow(literals []string) (ends [][]int32) {
	state := func() int32 {
		for range s.columns {
			s.next = append(s.next, -1)
		}
		ends = append(ends, nil)
		return int32(len(ends) - 1)
	}
	state()
	for id, l := range literals {
		at := int32(0)
		for i := range len(l) {
			edge := int(at)*s.columns + int(s.class[l[i]])
			if s.next[edge] < 0 {
				n := state() // moves s.next
				s.next[edge] = n
			}
			at = s.next[edge]
		}
		ends[at] = append(ends[at], int32(id))
	}
	return ends
}

// link fills the missing edges, breadth first, from the longest suffix that is a state too, and
// gathers what ends there.
func (s *scanner) link(ends [][]int32) {
	fail := make([]int32, len(ends))
	queue := []int32{0}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for c := range s.columns {
			edge := int(at)*s.columns + c
			behind := int32(0)
			if at != 0 {
				behind = s.next[int(fail[at])*s.columns+c]
			}
			to := s.next[edge]
			if to < 0 {
				s.next[edge] = behind
				continue
			}
			fail[to] = behind
			ends[to] = append(ends[to], ends[behind]...)
			queue = append(queue, to)
		}
	}
	s.from = make([]int32, len(ends)+1)
	for i, e := range ends {
		s.hits = append(s.hits, e...)
		s.from[i+1] = int32(len(s.hits))
	}
}

// scan calls hit for every occurrence of a literal, with its number.
func (s *scanner) scan(text string, hit func(literal int32)) {
	at := int32(0)
	for i := range len(text) {
		at = s.next[int(at)*s.columns+int(s.class[text[i]])]
		for _, l := range s.hits[s.from[at]:s.from[at+1]] {
			hit(l)
		}
	}
}
