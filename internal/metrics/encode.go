package metrics

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"unicode/utf8"
)

// longestLabel is how many bytes the value of a label has, but for the mark of one that was changed.
const longestLabel = 256

// The types of metrics.
const (
	counter = "counter"
	gauge   = "gauge"
)

// encoder writes Prometheus' text format, version 0.0.4. Its zero value is ready to use.
type encoder struct {
	b    []byte
	name string
}

// family begins a metric: all values that follow are its own. Name and help are ours, and need no escapes.
func (e *encoder) family(name, kind, help string) {
	e.name = name
	e.b = append(e.b, "# HELP "+name+" "+help+"\n# TYPE "+name+" "+kind+"\n"...)
}

// value writes a value. Labels are names, each with its value behind it; a label without a value is left out, which
// means the same.
func (e *encoder) value(v float64, labels ...string) {
	e.b = append(e.b, e.name...)
	separator := byte('{')
	for i := 0; i < len(labels); i += 2 {
		if labels[i+1] == "" {
			continue
		}
		e.b = append(e.b, separator)
		e.b = append(e.b, labels[i]...)
		e.b = append(e.b, `="`...)
		e.b = appendLabel(e.b, labels[i+1])
		e.b = append(e.b, '"')
		separator = ','
	}
	if separator == ',' {
		e.b = append(e.b, '}')
	}
	e.b = append(e.b, ' ')
	e.b = strconv.AppendFloat(e.b, v, 'g', -1, 64)
	e.b = append(e.b, '\n')
}

// single writes a metric of one value.
func (e *encoder) single(name, kind, help string, v float64, labels ...string) {
	e.family(name, kind, help)
	e.value(v, labels...)
}

// appendLabel appends the value of a label with its escapes. One that is too long, or that a terminal could take for
// more than text, is changed and marked with a sum of what it was: two values that differ must not become one, since
// Prometheus refuses an answer that holds the same thing twice.
func appendLabel(b []byte, text string) []byte {
	clean := strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return utf8.RuneError
		}
		return r
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
	if len(clean) > longestLabel {
		end := longestLabel
		for !utf8.RuneStart(clean[end]) {
			end--
		}
		clean = clean[:end] + "…"
	}
	if clean != text {
		sum := fnv.New64a()
		_, _ = sum.Write([]byte(text)) // to memory
		clean += fmt.Sprintf("~%016x", sum.Sum64())
	}
	for i := range len(clean) {
		if c := clean[i]; c == '"' || c == '\\' {
			b = append(b, '\\', c)
		} else {
			b = append(b, c)
		}
	}
	return b
}

func flag(on bool) float64 {
	if on {
		return 1
	}
	return 0
}
