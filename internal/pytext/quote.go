package pytext

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Quote spells a text as Python's repr does: in single quotes unless it holds only such, with escapes for the
// backslash, the quote and what cannot be printed. A byte that is no UTF-8 is half a character to Python.
func Quote(s string) string {
	var b strings.Builder
	mark := Mark(s)
	b.WriteByte(mark)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\udc%02x`, s[i])
		case r == rune(mark) || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteString(Rune(r))
		}
		i += size
	}
	b.WriteByte(mark)
	return b.String()
}

// Mark is the quotation mark that Python takes for a text: the single one, unless the text has it and not the other.
func Mark(s string) byte {
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return '"'
	}
	return '\''
}

// Rune is a character within quotes, quotes and backslashes apart.
func Rune(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\r':
		return `\r`
	case r == '\t':
		return `\t`
	case unicode.IsPrint(r):
		return string(r)
	case r < 0x100:
		return fmt.Sprintf(`\x%02x`, r)
	case r < 0x10000:
		return fmt.Sprintf(`\u%04x`, r)
	}
	return fmt.Sprintf(`\U%08x`, r)
}
