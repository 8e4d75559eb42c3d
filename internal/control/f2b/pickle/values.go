package pickle

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"
)

var errNoScalar = errors.New("no plain value")

// scalar reads a value that holds no others.
func (m *machine) scalar(op byte) (any, error) {
	switch op {
	case 'N':
		return nil, nil
	case 0x88:
		return true, nil
	case 0x89:
		return false, nil
	case 'I', 'L':
		return m.decimal(op)
	case 'K':
		n, err := m.number(1)
		return int64(n), err
	case 'M':
		n, err := m.number(2)
		return int64(n), err
	case 'J':
		n, err := m.number(4)
		return int64(int32(uint32(n))), err
	case 0x8a: // LONG1
		return m.long(1)
	case 0x8b: // LONG4
		return m.long(4)
	case 'F':
		s, err := m.line()
		if err != nil {
			return nil, err
		}
		return strconv.ParseFloat(s, 64)
	case 'G':
		b, err := m.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case 'V':
		s, err := m.line()
		if err != nil {
			return nil, err
		}
		return unescape(s)
	case 'X':
		return m.text(4)
	case 0x8c:
		return m.text(1)
	case 0x8d:
		return m.text(8)
	case 'U', 'C': // SHORT_BINSTRING, SHORT_BINBYTES
		return m.octets(op, 1)
	case 'T', 'B': // BINSTRING, BINBYTES
		return m.octets(op, 4)
	case 0x8e: // BINBYTES8
		return m.octets(op, 8)
	}
	return nil, errNoScalar
}

// decimal reads a number of protocol 0, which writes the truth values as 00 and 01.
func (m *machine) decimal(op byte) (any, error) {
	s, err := m.line()
	if err != nil {
		return nil, err
	}
	switch {
	case op == 'I' && s == "00":
		return false, nil
	case op == 'I' && s == "01":
		return true, nil
	case op == 'L' && len(s) > 0 && s[len(s)-1] == 'L':
		s = s[:len(s)-1]
	}
	return strconv.ParseInt(s, 10, 64)
}

// long reads a number of any width, of which eight bytes are enough for all that is meant here.
func (m *machine) long(width uint64) (any, error) {
	b, err := m.counted(width)
	if err != nil {
		return nil, err
	}
	if len(b) > 8 {
		return nil, fmt.Errorf("a number of %d bytes", len(b))
	}
	var full [8]byte
	copy(full[:], b)
	n := binary.LittleEndian.Uint64(full[:])
	if shift := 64 - 8*len(b); len(b) > 0 {
		return int64(n<<shift) >> shift, nil
	}
	return int64(0), nil
}

func (m *machine) text(width uint64) (any, error) {
	b, err := m.counted(width)
	if err != nil {
		return nil, err
	}
	return toText(b), nil
}

// octets reads what Python 3 calls bytes, and Python 2 str.
func (m *machine) octets(op byte, width uint64) (any, error) {
	b, err := m.counted(width)
	if err != nil {
		return nil, err
	}
	if op == 'U' || op == 'T' {
		return toText(b), nil
	}
	return append([]byte(nil), b...), nil
}

// toText makes text of bytes that should be UTF-8. Python writes half characters, which it makes of bytes
// that are not, in a form that no UTF-8 is: each such byte becomes U+FFFD.
func toText(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}

// unescape reads the text of protocol 0: \uXXXX and \UXXXXXXXX stand for characters, other bytes are
// Latin-1.
func unescape(s string) (string, error) {
	var out []rune
	for i := 0; i < len(s); i++ {
		width := 0
		if s[i] == '\\' && i+1 < len(s) {
			switch s[i+1] {
			case 'u':
				width = 4
			case 'U':
				width = 8
			}
		}
		if width == 0 {
			out = append(out, rune(s[i]))
			continue
		}
		if i+2+width > len(s) {
			return "", errShort
		}
		n, err := strconv.ParseUint(s[i+2:i+2+width], 16, 32)
		if err != nil || n > utf8.MaxRune {
			return "", errors.New("an escape that means no character")
		}
		out = append(out, rune(n))
		i += 1 + width
	}
	return string(out), nil
}

// container makes a value that holds others.
func (m *machine) container(op byte) (any, error) {
	several := func(n int) (any, error) {
		items := make([]any, n)
		for i := n - 1; i >= 0; i-- {
			var err error
			if items[i], err = m.pop(); err != nil {
				return nil, err
			}
		}
		return &tupleRef{items}, nil
	}
	switch op {
	case ']':
		return &listRef{}, nil
	case '}':
		return &dictRef{}, nil
	case 0x8f:
		return &setRef{}, nil
	case ')':
		return several(0)
	case 0x85:
		return several(1)
	case 0x86:
		return several(2)
	case 0x87:
		return several(3)
	case 't', 'l', 'd', 0x91: // TUPLE, LIST, DICT, FROZENSET
		items, err := m.popMark()
		switch {
		case err != nil:
			return nil, err
		case op == 't':
			return &tupleRef{items}, nil
		case op == 'l':
			return &listRef{items}, nil
		case op == 0x91:
			return &setRef{items}, nil
		case len(items)%2 == 1:
			return nil, errors.New("a key without a value")
		}
		return &dictRef{items}, nil
	}
	return nil, fmt.Errorf("the instruction 0x%02x is not known", op)
}

// walk turns what was read into plain values. It ends a value that holds itself, and one that is small
// only because it refers to its parts again and again.
type walk struct{ values, most int }

func (w *walk) plain(v any, depth int) (any, error) {
	if w.values++; w.values > w.most {
		return nil, fmt.Errorf("more than %d values", w.most)
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("values lie more than %d deep in each other", maxDepth)
	}
	switch v := v.(type) {
	case *listRef:
		items, err := w.all(v.items, depth)
		return List(items), err
	case *tupleRef:
		items, err := w.all(v.items, depth)
		return Tuple(items), err
	case *setRef:
		items, err := w.all(v.items, depth)
		return Set(items), err
	case *dictRef:
		items, err := w.all(v.items, depth)
		if err != nil {
			return nil, err
		}
		d := Dict{}
		for i := 0; i+1 < len(items); i += 2 {
			d = append(d, Item{items[i], items[i+1]})
		}
		return d, nil
	case *Exception:
		items, err := w.all(v.Args, depth)
		return Exception{v.Module, v.Class, items}, err
	case nameRef, mark:
		return nil, errors.New("a name stands where a value should")
	}
	return v, nil
}

func (w *walk) all(items []any, depth int) ([]any, error) {
	out := make([]any, 0, min(len(items), w.most))
	for _, v := range items {
		p, err := w.plain(v, depth+1)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}
