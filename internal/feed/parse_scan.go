package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxDepth bounds how deep a document of JSON is nested; lists have four or five levels.
	maxDepth = 64
	// maxNumber bounds a number, in bytes.
	maxNumber = 64
)

// scanner reads JSON as it comes, and keeps nothing of it but the last text. The bytes that its methods give
// are valid until the next call.
type scanner struct {
	in    *bufio.Reader
	line  int // where it is, from 1
	depth int
	most  int // bytes of a text that are kept
	buf   []byte
}

func (p *parser) scanner() *scanner { return &scanner{in: p.in, line: 1, most: p.limits.LineBytes} }

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("%w: in line %d %s", ErrNotAList, s.line, fmt.Sprintf(format, args...))
}

// ended makes of the end of a document within a value what it is.
func (s *scanner) ended(err error) error {
	if errors.Is(err, io.EOF) {
		return s.fail("it ends in the middle: it was cut off")
	}
	return err
}

// kind gives the first byte of the next value, which it does not consume; io.EOF if there is none.
func (s *scanner) kind() (byte, error) {
	for {
		b, err := s.in.ReadByte()
		if err != nil {
			return 0, err
		}
		switch b {
		case '\n':
			s.line++
		case ' ', '\t', '\r':
		default:
			return b, s.in.UnreadByte()
		}
	}
}

// token consumes the next byte that is no blank.
func (s *scanner) token() (byte, error) {
	b, err := s.kind()
	if err != nil {
		return 0, s.ended(err)
	}
	_, err = s.in.ReadByte()
	return b, err
}

// object calls member for each member of an object, which has to consume its value. The name is valid until it
// does.
func (s *scanner) object(member func(name []byte) error) error {
	if err := s.open('{'); err != nil {
		return err
	}
	for first := true; ; first = false {
		b, err := s.token()
		switch {
		case err != nil:
			return err
		case b == '}' && first:
			s.depth--
			return nil
		case b != '"':
			return s.fail("there is %q where the name of a member should be", rune(b))
		}
		name, _, err := s.rest(s.most)
		if err != nil {
			return err
		}
		if b, err = s.token(); err != nil {
			return err
		} else if b != ':' {
			return s.fail("there is %q where a colon should be", rune(b))
		}
		if err := member(name); err != nil {
			return err
		}
		if done, err := s.close('}'); done || err != nil {
			return err
		}
	}
}

// array calls element for each element of an array, which has to consume it.
func (s *scanner) array(element func() error) error {
	if err := s.open('['); err != nil {
		return err
	}
	if b, err := s.kind(); err != nil {
		return s.ended(err)
	} else if b == ']' {
		s.depth--
		_, err = s.in.ReadByte()
		return err
	}
	for {
		if err := element(); err != nil {
			return err
		}
		if done, err := s.close(']'); done || err != nil {
			return err
		}
	}
}

func (s *scanner) open(want byte) error {
	b, err := s.token()
	switch {
	case err != nil:
		return err
	case b != want:
		return s.fail("there is %q where %q should be", rune(b), rune(want))
	case s.depth >= maxDepth:
		return s.fail("it is nested deeper than %d levels", maxDepth)
	}
	s.depth++
	return nil
}

// close reads what follows an element: a comma, or the end.
func (s *scanner) close(end byte) (done bool, err error) {
	b, err := s.token()
	switch {
	case err != nil:
		return false, err
	case b == end:
		s.depth--
		return true, nil
	case b != ',':
		return false, s.fail("there is %q where a comma or %q should be", rune(b), rune(end))
	}
	return false, nil
}

// skip consumes a value, whatever it is.
func (s *scanner) skip() error {
	b, err := s.kind()
	if err != nil {
		return s.ended(err)
	}
	switch b {
	case '{':
		return s.object(func([]byte) error { return s.skip() })
	case '[':
		return s.array(s.skip)
	}
	_, _, err = s.scalar(0)
	return err
}

// scalar consumes a text, a number, or one of true, false and null, and gives the first of its bytes, without
// the quotes of a text. Cut is whether a text has more than most bytes, of which the rest is left out.
func (s *scanner) scalar(most int) (b []byte, cut bool, err error) {
	first, err := s.token()
	if err != nil {
		return nil, false, err
	}
	switch first {
	case '"':
		return s.rest(most)
	case '{', '[':
		return nil, false, s.fail("there is a list or an object where a text or number should be")
	}
	s.buf = append(s.buf[:0], first)
	for {
		b, err := s.in.ReadByte()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, false, err
		}
		if bytes.IndexByte([]byte(",]} \t\r\n\":{["), b) >= 0 {
			if err := s.in.UnreadByte(); err != nil {
				return nil, false, err
			}
			break
		}
		if len(s.buf) == maxNumber {
			return nil, false, s.fail("there is no value: %q", s.buf[:16])
		}
		s.buf = append(s.buf, b)
	}
	switch string(s.buf) {
	case "true", "false", "null":
		return s.buf, false, nil
	}
	if !isNumber(s.buf) {
		return nil, false, s.fail("there is no value: %q", s.buf[:min(len(s.buf), 16)])
	}
	return s.buf, false, nil
}

// isNumber reports whether a word is a number as JSON has them.
func isNumber(b []byte) bool {
	digits := func() bool {
		rest := bytes.TrimLeft(b, "0123456789")
		some := len(rest) < len(b)
		b = rest
		return some
	}
	b = bytes.TrimPrefix(b, []byte("-"))
	if rest, zero := bytes.CutPrefix(b, []byte("0")); zero {
		b = rest
	} else if !digits() {
		return false
	}
	if rest, fraction := bytes.CutPrefix(b, []byte(".")); fraction {
		if b = rest; !digits() {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		if b = b[1:]; len(b) > 0 && (b[0] == '+' || b[0] == '-') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

// rest reads a text whose first quote has been consumed.
func (s *scanner) rest(most int) (b []byte, cut bool, err error) {
	s.buf = s.buf[:0]
	for {
		// As much at once as is there and needs no care.
		have, _ := s.in.Peek(max(s.in.Buffered(), 1))
		n := 0
		for n < len(have) && have[n] != '"' && have[n] != '\\' && have[n] >= ' ' {
			n++
		}
		keep := min(n, most-len(s.buf))
		s.buf, cut = append(s.buf, have[:keep]...), cut || keep < n
		_, _ = s.in.Discard(n)
		c, err := s.in.ReadByte()
		switch {
		case err != nil:
			return nil, false, s.ended(err)
		case c == '"':
			return s.buf, cut, nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return nil, false, err
			}
			if len(s.buf) > most {
				s.buf, cut = s.buf[:most], true
			}
		case c < ' ':
			return nil, false, s.fail("there is a control character in a text, or its quote is missing")
		default: // more of the same
			if err := s.in.UnreadByte(); err != nil {
				return nil, false, err
			}
		}
	}
}

// escape reads what follows a backslash.
func (s *scanner) escape() error {
	c, err := s.in.ReadByte()
	if err != nil {
		return s.ended(err)
	}
	switch c {
	case '"', '\\', '/':
		s.buf = append(s.buf, c)
	case 'b', 'f', 'n', 'r', 't':
		s.buf = append(s.buf, "\b\f\n\r\t"[bytes.IndexByte([]byte("bfnrt"), c)])
	case 'u':
		r, err := s.hex()
		if err != nil {
			return err
		}
		if utf16.IsSurrogate(r) {
			r, err = s.second(r)
			if err != nil {
				return err
			}
		}
		s.buf = utf8.AppendRune(s.buf, r)
	default:
		return s.fail("there is a backslash before %q in a text", rune(c))
	}
	return nil
}

// second reads the other half of a character beyond the first 65536; one without it is no character.
func (s *scanner) second(first rune) (rune, error) {
	next, err := s.in.Peek(2)
	if err != nil || string(next) != `\u` {
		return utf8.RuneError, nil //nolint:nilerr // whoever reads on meets the error
	}
	_, _ = s.in.Discard(2)
	r, err := s.hex()
	return utf16.DecodeRune(first, r), err
}

func (s *scanner) hex() (rune, error) {
	digits, err := s.in.Peek(4)
	if err != nil {
		return 0, s.ended(err)
	}
	n, err := strconv.ParseUint(string(digits), 16, 16)
	if err != nil {
		return 0, s.fail("there is no character after \\u in a text")
	}
	_, _ = s.in.Discard(4)
	return rune(n), nil
}

// end demands that nothing follows.
func (s *scanner) end() error {
	switch b, err := s.kind(); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		return err
	default:
		return s.fail("there is %q behind its end", rune(b))
	}
}
