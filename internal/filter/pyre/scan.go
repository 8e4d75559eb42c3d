package pyre

import (
	"strings"
	"unicode/utf8"
)

// none is the token after the end of the pattern.
const none = ""

// scanner cuts a pattern into tokens: one character, or a backslash and the character after it. It
// looks one token ahead, which decides what error of several is told first.
type scanner struct {
	pattern string
	runes   []rune
	index   int // of the character after next
	next    string
}

func newScanner(pattern string) *scanner {
	s := &scanner{pattern: pattern, runes: []rune(pattern)}
	s.advance()
	return s
}

func (s *scanner) advance() {
	if s.index >= len(s.runes) {
		s.next = none
		return
	}
	end := s.index + 1
	if s.runes[s.index] == '\\' {
		if end == len(s.runes) {
			s.failAt(len(s.runes)-1, "bad escape (end of pattern)")
		}
		end++
	}
	s.next = string(s.runes[s.index:end])
	s.index = end
}

// get takes the next token.
func (s *scanner) get() string {
	token := s.next
	s.advance()
	return token
}

// match takes the next token if it is this one.
func (s *scanner) match(token string) bool {
	if s.next != token {
		return false
	}
	s.advance()
	return true
}

// while takes up to n tokens of the alphabet.
func (s *scanner) while(n int, alphabet string) string {
	var b strings.Builder
	for range n {
		if !s.nextIn(alphabet) {
			break
		}
		b.WriteString(s.get())
	}
	return b.String()
}

// until takes the tokens before the terminator, and the terminator.
func (s *scanner) until(terminator, what string) string {
	var b strings.Builder
	for {
		token := s.next
		s.advance()
		switch {
		case token == none && b.Len() == 0:
			s.fail(0, "missing "+what)
		case token == none:
			s.fail(length(b.String()), "missing "+terminator+", unterminated name")
		case token == terminator && b.Len() == 0:
			s.fail(1, "missing "+what)
		case token == terminator:
			return b.String()
		}
		b.WriteString(token)
	}
}

// nextIn reports whether the next token is a character of the alphabet.
func (s *scanner) nextIn(alphabet string) bool {
	return s.next != none && strings.Contains(alphabet, s.next)
}

// tell is the position of the next token.
func (s *scanner) tell() int {
	return s.index - length(s.next)
}

func (s *scanner) seek(index int) {
	s.index = index
	s.advance()
}

// fail ends the parse with an error so many characters before the next token.
func (s *scanner) fail(back int, msg string) {
	s.failAt(s.tell()-back, msg)
}

// failAt ends the parse with an error at a position; parse catches it.
func (s *scanner) failAt(offset int, msg string) {
	panic(&SyntaxError{Pattern: s.pattern, Offset: offset, Msg: msg})
}

// length counts characters.
func length(s string) int { return utf8.RuneCountInString(s) }
