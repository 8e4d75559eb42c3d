package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Unmarshal reads one pickle of any protocol, 0 to 5. The error wraps ErrRefused; what follows the
// pickle's end is an error, too.
func Unmarshal(data []byte) (any, error) {
	return UnmarshalLimits(data, Limits{Bytes: MaxBytes, Values: MaxValues})
}

// UnmarshalLimits is Unmarshal with other bounds.
func UnmarshalLimits(data []byte, limits Limits) (any, error) {
	if len(data) > limits.Bytes {
		return nil, fmt.Errorf("%w: %d bytes are more than %d", ErrRefused, len(data), limits.Bytes)
	}
	m := machine{in: data, memo: map[uint64]any{}, most: limits.Values}
	v, err := m.run()
	if err != nil {
		return nil, fmt.Errorf("%w: at byte %d: %w", ErrRefused, m.at, err)
	}
	w := walk{most: limits.Values}
	v, err = w.plain(v, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return v, nil
}

// While a pickle is read, containers are pointers: a pickle may refer to a list and fill it later.
type (
	listRef  struct{ items []any }
	dictRef  struct{ items []any } // keys and values in turn
	setRef   struct{ items []any }
	tupleRef struct{ items []any }
	nameRef  struct{ module, name string }
	mark     struct{}
)

// machine is the stack machine.
type machine struct {
	in     []byte
	at     int
	stack  []any
	memo   map[uint64]any
	values int
	most   int // values
}

func (m *machine) take(n uint64) ([]byte, error) {
	if n > uint64(len(m.in)-m.at) {
		return nil, errShort
	}
	b := m.in[m.at : m.at+int(n)]
	m.at += int(n)
	return b, nil
}

var errShort = errors.New("it ends too early")

// number reads a little-endian number of so many bytes.
func (m *machine) number(width uint64) (uint64, error) {
	b, err := m.take(width)
	if err != nil {
		return 0, err
	}
	var full [8]byte
	copy(full[:], b)
	return binary.LittleEndian.Uint64(full[:]), nil
}

// counted reads a length of so many bytes, and as many bytes as it says.
func (m *machine) counted(width uint64) ([]byte, error) {
	n, err := m.number(width)
	if err != nil {
		return nil, err
	}
	return m.take(n)
}

// line reads up to a line's end.
func (m *machine) line() (string, error) {
	i := bytes.IndexByte(m.in[m.at:], '\n')
	if i < 0 {
		return "", errShort
	}
	s := string(m.in[m.at : m.at+i])
	m.at += i + 1
	return s, nil
}

func (m *machine) push(v any) error {
	if m.values++; m.values > m.most {
		return fmt.Errorf("more than %d values", m.most)
	}
	m.stack = append(m.stack, v)
	return nil
}

func (m *machine) pop() (any, error) {
	if len(m.stack) == 0 {
		return nil, errEmpty
	}
	v := m.stack[len(m.stack)-1]
	m.stack = m.stack[:len(m.stack)-1]
	if _, ok := v.(mark); ok {
		return nil, errEmpty
	}
	return v, nil
}

var errEmpty = errors.New("it takes from an empty stack")

// popMark takes what lies above the last mark, and the mark.
func (m *machine) popMark() ([]any, error) {
	for i, v := range slices.Backward(m.stack) {
		if _, ok := v.(mark); ok {
			items := append([]any(nil), m.stack[i+1:]...)
			m.stack = m.stack[:i]
			return items, nil
		}
	}
	return nil, errEmpty
}

func (m *machine) top() (any, error) {
	v, err := m.pop()
	if err == nil {
		m.stack = append(m.stack, v)
	}
	return v, err
}

// run executes the pickle up to its end.
func (m *machine) run() (any, error) {
	for {
		op, err := m.take(1)
		if err != nil {
			return nil, err
		}
		if op[0] == '.' {
			break
		}
		if err := m.step(op[0]); err != nil {
			return nil, err
		}
	}
	v, err := m.pop()
	switch {
	case err != nil:
		return nil, err
	case len(m.stack) > 0:
		return nil, fmt.Errorf("%d values are left over", len(m.stack))
	case m.at < len(m.in):
		return nil, fmt.Errorf("%d bytes follow its end", len(m.in)-m.at)
	}
	return v, nil
}

// step executes one instruction. The letters are those of Python's pickletools.
func (m *machine) step(op byte) error {
	switch op {
	case 0x80: // PROTO
		n, err := m.number(1)
		if err == nil && n > 5 {
			err = fmt.Errorf("protocol %d is not known", n)
		}
		return err
	case 0x95: // FRAME: how much may be read at once; the whole is here already
		_, err := m.take(8)
		return err
	case '(':
		return m.push(mark{})
	case '0': // POP, which takes a mark as well
		if len(m.stack) == 0 {
			return errEmpty
		}
		m.stack = m.stack[:len(m.stack)-1]
		return nil
	case '1':
		_, err := m.popMark()
		return err
	case '2':
		v, err := m.top()
		if err != nil {
			return err
		}
		return m.push(v)
	case 'p', 'q', 'r', 0x94, 'g', 'h', 'j':
		return m.remember(op)
	case 'a', 'e', 's', 'u', 0x90:
		return m.fill(op)
	case 'c', 0x93, 'R':
		return m.refer(op)
	}
	v, err := m.scalar(op)
	if errors.Is(err, errNoScalar) {
		v, err = m.container(op)
	}
	if err != nil {
		return err
	}
	return m.push(v)
}

// remember handles the memo.
func (m *machine) remember(op byte) error {
	var index uint64
	var err error
	switch op {
	case 'p', 'g':
		var s string
		if s, err = m.line(); err == nil {
			index, err = strconv.ParseUint(s, 10, 32)
		}
	case 'q', 'h':
		index, err = m.number(1)
	case 'r', 'j':
		index, err = m.number(4)
	case 0x94:
		index = uint64(len(m.memo))
	}
	if err != nil {
		return err
	}
	if op == 'g' || op == 'h' || op == 'j' {
		v, ok := m.memo[index]
		if !ok {
			return fmt.Errorf("it refers to a value %d that is not there", index)
		}
		return m.push(v)
	}
	v, err := m.top()
	if err != nil {
		return err
	}
	if m.memo[index] = v; len(m.memo) > m.most {
		return fmt.Errorf("more than %d values", m.most)
	}
	return nil
}

// fill puts values into a container that is there.
func (m *machine) fill(op byte) error {
	var items []any
	var err error
	switch op {
	case 'a': // APPEND
		items = make([]any, 1)
		items[0], err = m.pop()
	case 's': // SETITEM
		items = make([]any, 2)
		if items[1], err = m.pop(); err == nil {
			items[0], err = m.pop()
		}
	default: // APPENDS, SETITEMS, ADDITEMS
		items, err = m.popMark()
	}
	if err != nil {
		return err
	}
	into, err := m.top()
	if err != nil {
		return err
	}
	switch into := into.(type) {
	case *listRef:
		if op == 'a' || op == 'e' {
			into.items = append(into.items, items...)
			return nil
		}
	case *dictRef:
		if (op == 's' || op == 'u') && len(items)%2 == 0 {
			into.items = append(into.items, items...)
			return nil
		}
	case *setRef:
		if op == 0x90 {
			into.items = append(into.items, items...)
			return nil
		}
	}
	return errors.New("it fills what cannot be filled")
}

// refer handles names and what is made with them. Only values come of it.
func (m *machine) refer(op byte) error {
	switch op {
	case 'c': // GLOBAL
		module, err := m.line()
		if err != nil {
			return err
		}
		name, err := m.line()
		if err != nil {
			return err
		}
		return m.push(nameRef{module, name})
	case 0x93: // STACK_GLOBAL
		name, err := m.pop()
		if err != nil {
			return err
		}
		module, err := m.pop()
		if err != nil {
			return err
		}
		n, ok1 := name.(string)
		s, ok2 := module.(string)
		if !ok1 || !ok2 {
			return errors.New("a name that is no text")
		}
		return m.push(nameRef{s, n})
	}
	args, err := m.pop() // REDUCE
	if err != nil {
		return err
	}
	callee, err := m.pop()
	if err != nil {
		return err
	}
	name, ok1 := callee.(nameRef)
	with, ok2 := args.(*tupleRef)
	if !ok1 || !ok2 {
		return errors.New("it calls what cannot be called")
	}
	v, err := reduce(name, with.items)
	if err != nil {
		return err
	}
	return m.push(v)
}

// reduce makes the values that have no instruction of their own: texts of a subclass, sets before
// protocol 4, and exceptions.
func reduce(name nameRef, args []any) (any, error) {
	isBuiltin := name.module == "builtins" || name.module == "__builtin__"
	switch {
	case isBuiltin && name.name == "str" && len(args) == 1:
		if s, ok := args[0].(string); ok {
			return s, nil
		}
	case isBuiltin && (name.name == "set" || name.name == "frozenset") && len(args) == 1:
		switch items := args[0].(type) {
		case *listRef:
			return &setRef{items.items}, nil
		case *tupleRef:
			return &setRef{items.items}, nil
		}
	case classKnown(name.module, name.name):
		return &Exception{name.module, name.name, args}, nil
	}
	return nil, fmt.Errorf("%q of %q with %d arguments is not known", cut(name.name), cut(name.module), len(args))
}

// cut shortens a text of the peer for a message.
func cut(s string) string {
	const most = 40
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
