package pyre

import (
	"slices"
	"unicode/utf8"
)

// Subject is a text prepared for searching. What engines need of it is made at the first search
// that needs it, and shared by all regexes that search it. A Subject belongs to one goroutine.
type Subject struct {
	text  string
	ready bool
	ascii bool
	runes []rune
	// offsets has the byte offset of each rune and the length of the text; unused if ascii.
	offsets []int32
}

// NewSubject prepares a text, which should be valid UTF-8: a byte that is not counts as one
// character U+FFFD.
func NewSubject(text string) *Subject {
	return &Subject{text: text}
}

// Reset takes a new text and keeps the buffers.
func (s *Subject) Reset(text string) {
	s.text, s.ready = text, false
}

// Text gives the text back.
func (s *Subject) Text() string { return s.text }

// prepare makes the runes.
func (s *Subject) prepare() {
	if s.ready {
		return
	}
	s.ready = true
	s.ascii = true
	s.runes = slices.Grow(s.runes[:0], len(s.text))[:len(s.text)]
	for i := range len(s.text) {
		b := s.text[i]
		if b >= utf8.RuneSelf {
			s.ascii = false
			break
		}
		s.runes[i] = rune(b)
	}
	if s.ascii {
		return
	}
	s.runes = s.runes[:0]
	s.offsets = s.offsets[:0]
	for i, r := range s.text {
		s.runes = append(s.runes, r)
		s.offsets = append(s.offsets, int32(i))
	}
	s.offsets = append(s.offsets, int32(len(s.text)))
}

// byteOf is the byte offset of a rune.
func (s *Subject) byteOf(i int) int {
	if s.ascii {
		return i
	}
	return int(s.offsets[i])
}

// runeOf is the first rune that begins at a byte offset or after it.
func (s *Subject) runeOf(offset int) int {
	if s.ascii {
		return offset
	}
	i, _ := slices.BinarySearch(s.offsets, int32(offset))
	return i
}
