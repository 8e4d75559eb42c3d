package f2b

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// prettyWidth is the width that fail2ban's client gives Python's pprint.
const prettyWidth = 1000

// Pretty writes a value as fail2ban's client dumps it for people: lists that are too wide for one line have
// an item on each, and texts that are too wide are broken behind blanks and line ends.
func Pretty(v any) string {
	var b strings.Builder
	pretty(&b, v, 0, 0)
	return b.String()
}

// pretty writes v behind indent columns; so many more follow behind it.
func pretty(b *strings.Builder, v any, indent, after int) {
	text := Repr(v)
	if fits(text, indent, after) {
		b.WriteString(text)
		return
	}
	switch v := v.(type) {
	case []any:
		b.WriteString("[ ")
		for i, item := range v {
			behind := 1
			if i > 0 {
				b.WriteString(",\n" + strings.Repeat(" ", indent+2))
			}
			if i == len(v)-1 {
				behind = after + 1
			}
			pretty(b, item, indent+2, behind)
		}
		b.WriteByte(']')
	case string:
		b.WriteString(strings.Join(pieces(v, indent, after), "\n"+strings.Repeat(" ", indent)))
	default:
		b.WriteString(text)
	}
}

func fits(text string, indent, after int) bool {
	return utf8.RuneCountInString(text) <= prettyWidth-indent-after
}

// pieces breaks a text into texts that Python puts together again: at its line ends, and in lines that are
// too wide behind the last blank that fits.
func pieces(s string, indent, after int) []string {
	var out []string
	lines := splitLines(s)
	for i, line := range lines {
		last := i == len(lines)-1
		room := 0 // columns that must stay free
		if last {
			room = after
		}
		if text := Repr(line); fits(text, indent, room) {
			out = append(out, text)
			continue
		}
		current := ""
		words := splitWords(line)
		for k, word := range words {
			room = 0
			if last && k == len(words)-1 {
				room = after
			}
			if !fits(Repr(current+word), indent, room) {
				if current != "" {
					out = append(out, Repr(current))
				}
				current = word
				continue
			}
			current += word
		}
		if current != "" {
			out = append(out, Repr(current))
		}
	}
	return out
}

// splitLines cuts a text behind each of Python's line ends.
func splitLines(s string) []string {
	var lines []string
	start := 0
	for i, r := range s {
		switch r {
		case '\r':
			if strings.HasPrefix(s[i+1:], "\n") {
				continue
			}
		case '\n', '\v', '\f', 0x1c, 0x1d, 0x1e, 0x85, 0x2028, 0x2029:
		default:
			continue
		}
		end := i + utf8.RuneLen(r)
		lines = append(lines, s[start:end])
		start = end
	}
	if start < len(s) {
		lines = append(lines, s[start:])
	}
	return lines
}

// isSpace is \s of Python's patterns.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// splitWords cuts a text behind each run of blanks.
func splitWords(s string) []string {
	var words []string
	start, blank := 0, false
	for i, r := range s {
		if space := isSpace(r); blank && !space {
			words = append(words, s[start:i])
			start, blank = i, false
		} else {
			blank = space
		}
	}
	return append(words, s[start:])
}
