package pyre

import "github.com/dlclark/regexp2/v2"

// Match is where a regex matched: byte offsets into the text. It is filled by a search, valid until
// the next search with it, and meant to be used again. The zero Match is ready; it must not be
// copied after its first use, and belongs to one goroutine.
type Match struct {
	// Steps is what the last search took, where our own engine ran it.
	Steps int

	spans   []int // start and end of each group, -1 if it took no part
	groups  int   // 0 after a search without a match
	subject *Subject
	found   bool
	machine machine
	take    func(regexp2.MatchView) bool // m.record, made once
}

// Group gives the byte offsets of a group, 0 being the whole match; -1, -1 if the group took no part
// or does not exist. A group in a repeat holds its last turn.
func (m *Match) Group(i int) (start, end int) {
	if i < 0 || i >= m.groups {
		return -1, -1
	}
	return m.spans[2*i], m.spans[2*i+1]
}

// GroupText gives the text of a group, and whether it took part; an empty text that took part is
// "", true. The subject must be the one that was searched.
func (m *Match) GroupText(s *Subject, i int) (string, bool) {
	start, end := m.Group(i)
	if start < 0 {
		return "", false
	}
	return s.text[start:end], true
}

// begin readies the match for a search by a regex with so many groups, the whole match included.
func (m *Match) begin(s *Subject, groups int) {
	m.subject, m.found, m.groups = s, false, 0
	if cap(m.spans) < 2*groups {
		m.spans = make([]int, 2*groups)
	}
	m.spans = m.spans[:2*groups]
	if m.take == nil {
		m.take = m.record
	}
}

// record copies what regexp2 found and stops it from looking for more.
func (m *Match) record(v regexp2.MatchView) bool {
	m.found = true
	m.groups = len(m.spans) / 2
	for i := range m.groups {
		start, length, ok := v.GroupRange(i)
		if !ok {
			m.spans[2*i], m.spans[2*i+1] = -1, -1
			continue
		}
		m.spans[2*i], m.spans[2*i+1] = m.subject.byteOf(start), m.subject.byteOf(start+length)
	}
	return false
}
