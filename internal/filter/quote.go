package filter

import (
	"fmt"
	"strings"
	"unicode"
)

// pythonQuote spells a text as Python's repr does: in single quotes unless it holds only single ones,
// with escapes for the backslash, the quote and what cannot be printed.
func pythonQuote(s string) string {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	var b strings.Builder
	b.WriteRune(quote)
	for _, r := range s {
		switch {
		case r == quote, r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\r':
			b.WriteString(`\r`)
		case r == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(r):
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

// pythonSet spells texts as Python prints a set of them, but in the order given: Python's own order
// changes from run to run.
func pythonSet(texts []string) string {
	quoted := make([]string, len(texts))
	for i, t := range texts {
		quoted[i] = pythonQuote(t)
	}
	return "{" + strings.Join(quoted, ", ") + "}"
}
