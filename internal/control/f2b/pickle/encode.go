package pickle

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Marshal writes a value as a pickle of protocol 4, which every Python 3 reads. The error is for a type
// that is not in the set.
func Marshal(v any) ([]byte, error) {
	out, err := put([]byte{0x80, 4}, v, 0)
	if err != nil {
		return nil, err
	}
	return append(out, '.'), nil
}

func put(b []byte, v any, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("pickle: values lie more than %d deep in each other", maxDepth)
	}
	switch v := v.(type) {
	case nil:
		return append(b, 'N'), nil
	case bool:
		if v {
			return append(b, 0x88), nil
		}
		return append(b, 0x89), nil
	case int:
		return putInt(b, int64(v)), nil
	case int64:
		return putInt(b, v), nil
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'G'), math.Float64bits(v)), nil
	case string:
		return putString(b, v), nil
	case []byte:
		return append(binary.LittleEndian.AppendUint32(append(b, 'B'), uint32(len(v))), v...), nil
	case List:
		return putFilled(append(b, ']'), v, 'e', depth)
	case Set:
		return putFilled(append(b, 0x8f), v, 0x90, depth)
	case Dict:
		items := make([]any, 0, 2*len(v))
		for _, i := range v {
			items = append(items, i.Key, i.Value)
		}
		return putFilled(append(b, '}'), items, 'u', depth)
	case Tuple:
		return putTuple(b, v, depth)
	case Exception:
		b = append(putString(putString(b, v.Module), v.Class), 0x93)
		b, err := putTuple(b, v.Args, depth)
		return append(b, 'R'), err
	}
	return nil, fmt.Errorf("pickle: a value of type %T is not known", v)
}

func putInt(b []byte, n int64) []byte {
	switch {
	case n >= 0 && n <= math.MaxUint8:
		return append(b, 'K', byte(n))
	case n >= 0 && n <= math.MaxUint16:
		return binary.LittleEndian.AppendUint16(append(b, 'M'), uint16(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		return binary.LittleEndian.AppendUint32(append(b, 'J'), uint32(int32(n)))
	}
	return binary.LittleEndian.AppendUint64(append(b, 0x8a, 8), uint64(n))
}

func putString(b []byte, s string) []byte {
	s = toText([]byte(s)) // a reader refuses what is no UTF-8
	if len(s) <= math.MaxUint8 {
		b = append(b, 0x8c, byte(len(s)))
	} else {
		b = binary.LittleEndian.AppendUint32(append(b, 'X'), uint32(len(s)))
	}
	return append(b, s...)
}

// putFilled writes what goes into an empty container that was written before.
func putFilled(b []byte, items []any, op byte, depth int) ([]byte, error) {
	if len(items) == 0 {
		return b, nil
	}
	b, err := putAll(append(b, '('), items, depth)
	return append(b, op), err
}

func putTuple(b []byte, items []any, depth int) ([]byte, error) {
	if len(items) == 0 {
		return append(b, ')'), nil
	}
	b, err := putAll(append(b, '('), items, depth)
	return append(b, 't'), err
}

func putAll(b []byte, items []any, depth int) ([]byte, error) {
	for _, v := range items {
		var err error
		if b, err = put(b, v, depth+1); err != nil {
			return nil, err
		}
	}
	return b, nil
}
