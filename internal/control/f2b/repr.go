package f2b

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/pytext"
)

// Repr writes a value as Python's repr does, which is how fail2ban's client shows most answers. It takes
// what pickle.Marshal takes, and plain slices and maps as lists and dicts, a map by its keys' order.
func Repr(v any) string {
	var b strings.Builder
	repr(&b, v)
	return b.String()
}

// Str writes a value as Python's str does: a text as it is, all else as Repr.
func Str(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case pickle.Exception:
		return strArgs(v.Args)
	}
	return Repr(v)
}

// strArgs is what an exception says of itself.
func strArgs(args []any) string {
	switch len(args) {
	case 0:
		return ""
	case 1:
		return Str(args[0])
	}
	return Repr(pickle.Tuple(args))
}

func repr(b *strings.Builder, v any) {
	switch v := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{true: "True", false: "False"}[v])
	case float64:
		b.WriteString(reprFloat(v))
	case string:
		b.WriteString(pytext.Quote(v))
	case []byte:
		reprBytes(b, v)
	case pickle.List:
		reprItems(b, "[", v, "]")
	case []any:
		reprItems(b, "[", v, "]")
	case pickle.Tuple:
		after := ")"
		if len(v) == 1 {
			after = ",)"
		}
		reprItems(b, "(", v, after)
	case pickle.Set:
		if len(v) == 0 {
			b.WriteString("set()")
			return
		}
		reprItems(b, "{", v, "}")
	case pickle.Dict:
		reprDict(b, v)
	case map[string]any:
		var d pickle.Dict
		for _, k := range slices.Sorted(maps.Keys(v)) {
			d = append(d, pickle.Item{Key: k, Value: v[k]})
		}
		reprDict(b, d)
	case pickle.Exception:
		b.WriteString(v.Class)
		after := ")"
		reprItems(b, "(", v.Args, after)
	default:
		fmt.Fprint(b, v)
	}
}

func reprItems(b *strings.Builder, before string, items []any, after string) {
	b.WriteString(before)
	for i, v := range items {
		if i > 0 {
			b.WriteString(", ")
		}
		repr(b, v)
	}
	b.WriteString(after)
}

func reprDict(b *strings.Builder, d pickle.Dict) {
	b.WriteByte('{')
	for i, item := range d {
		if i > 0 {
			b.WriteString(", ")
		}
		repr(b, item.Key)
		b.WriteString(": ")
		repr(b, item.Value)
	}
	b.WriteByte('}')
}

// reprFloat is the shortest form that reads back the same, with an exponent where Python has one.
func reprFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

func reprBytes(b *strings.Builder, v []byte) {
	quote := pytext.Mark(string(v))
	b.WriteByte('b')
	b.WriteByte(quote)
	for _, c := range v {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c >= 0x7f:
			fmt.Fprintf(b, `\x%02x`, c)
		default:
			b.WriteString(pytext.Rune(rune(c)))
		}
	}
	b.WriteByte(quote)
}
