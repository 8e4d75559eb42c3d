package pyre

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// ErrGaveUp says that a search hit its limit before it knew the answer. It is neither a match nor
// a miss, and nothing may be banned or passed over as harmless because of it.
var ErrGaveUp = errors.New("search gave up")

// SyntaxError says why a pattern is refused. Msg has Python's wording where Python refuses the
// pattern too.
type SyntaxError struct {
	// Pattern is the refused pattern as it was given.
	Pattern string
	// Offset is the position in characters, not bytes, as Python counts it; -1 where Python
	// names no position.
	Offset int
	// Msg is the reason without the position.
	Msg string
}

// Error gives the text of Python's re.error: the reason and the position, for patterns of several
// lines with line and column.
func (e *SyntaxError) Error() string {
	if e.Offset < 0 {
		return e.Msg
	}
	msg := e.Msg + " at position " + strconv.Itoa(e.Offset)
	if !strings.Contains(e.Pattern, "\n") {
		return msg
	}
	line, column, pos := 1, e.Offset+1, 0
	for _, r := range e.Pattern {
		if pos == e.Offset {
			break
		}
		pos++
		if r == '\n' {
			line++
			column = e.Offset - pos + 1
		}
	}
	return fmt.Sprintf("%s (line %d, column %d)", msg, line, column)
}

// Quote spells a text as Python's repr does: in single quotes unless it holds only such, with escapes
// for the backslash, the quote and what cannot be printed.
func Quote(s string) string {
	quote := '\''
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r):
			b.WriteRune(r)
		case r <= 0xff:
			fmt.Fprintf(&b, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04x`, r)
		default:
			fmt.Fprintf(&b, `\U%08x`, r)
		}
	}
	b.WriteRune(quote)
	return b.String()
}
