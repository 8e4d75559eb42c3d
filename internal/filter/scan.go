package filter

// scanner finds all of a set of literals in one pass over a text. It is an Aho-Corasick automaton,
// with one table row per state and one column per class of bytes. States where a literal ends are the
// last ones, so that one comparison per byte tells whether there is something to report.
type scanner struct {
	class   [256]uint8 // column of a byte; 0 for the bytes in no literal
	columns int
	start   int32   // row of the first state
	next    []int32 // row + class -> row; a row is state*columns
	ending  int32   // first row of a state where a literal ends
	// ends lists the literals that end in a state, its own and those of its suffixes; the first
	// entry is for the row ending.
	ends [][]int32
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
	s.order(ends)
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
}

// order renumbers the states, those where a literal ends last, and makes rows of their numbers.
func (s *scanner) order(ends [][]int32) {
	row := make([]int32, len(ends))
	quiet := int32(0)
	for _, e := range ends {
		if len(e) == 0 {
			quiet++
		}
	}
	calm, loud := int32(0), quiet
	for i, e := range ends {
		at := &calm
		if len(e) > 0 {
			at = &loud
			s.ends = append(s.ends, e)
		}
		row[i] = *at * int32(s.columns)
		*at++
	}
	old := s.next
	s.next = make([]int32, len(old))
	for i := range ends {
		for c := range s.columns {
			s.next[int(row[i])+c] = row[old[i*s.columns+c]]
		}
	}
	s.start, s.ending = row[0], quiet*int32(s.columns)
}

// scan calls hit for every occurrence of a literal, with its number.
func (s *scanner) scan(text string, hit func(literal int32)) {
	at := s.start
	for i := range len(text) {
		at = s.next[at+int32(s.class[text[i]])]
		if at < s.ending {
			continue
		}
		for _, l := range s.ends[int(at-s.ending)/s.columns] {
			hit(l)
		}
	}
}
