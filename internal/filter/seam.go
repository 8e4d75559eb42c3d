package filter

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// seam describes where the regexes' text can have been sewn together: between what stood before the
// date and what stood behind it. A literal that a regex needs may lie across the seam, as the [] that
// is left of [31/Oct/2025:09:22:55 +0100] does, and is then not in the line as it stands in the log.
//
// A seam is what one date pattern allows; the pattern is judged by its text, and what is not
// understood allows everything.
type seam struct {
	none      bool // nothing stands before the date
	maxBefore int  // characters before the date at most; 0: any number
	symbols   bool // the characters before the date are not letters, digits or _
	last      byte // the character right before the date; 0: any
	symbol    bool // the character right behind the date is not a letter, digit or _
}

// seams gives what a datepattern option allows.
func seams(pattern string) []seam {
	var all []seam
	for line := range strings.Lines(pattern) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, seamOf(line))
		}
	}
	if all == nil {
		all = []seam{seamOf("{DEFAULT}")}
	}
	return all
}

// seamOf judges one pattern. The default patterns begin and end at the edge of a word and end in a
// letter or digit, so that none can follow; at the begin of a line ({^LN-BEG}) up to two symbols may
// stand before the date. A pattern that begins with ^ and has no group of its own is cut as a whole,
// and one whose first group follows a plain character is cut behind that character.
func seamOf(p string) seam {
	switch strings.ToUpper(p) {
	case "{DEFAULT}":
		return seam{symbol: true}
	case "{^LN-BEG}":
		return seam{maxBefore: 2, symbols: true, symbol: true}
	case "{NONE}":
		return seam{none: true}
	case "^EPOCH", "^LEPOCH", "^TAI64N":
		return seam{maxBefore: 2, symbols: true}
	}
	if strings.Contains(p, "|") || strings.Contains(p, "(?#") {
		return seam{}
	}
	group := plainGroup(p)
	switch {
	case group < 0 && strings.HasPrefix(p, "{^LN-BEG}") && !strings.Contains(p, "**") && !strings.Contains(p, "{UNB}"):
		return seam{maxBefore: 2, symbols: true}
	case group < 0 && strings.HasPrefix(p, "^"):
		return seam{none: true}
	case group < 2 || strings.Contains(p[:group], "(?"):
		return seam{}
	}
	// The character before the group: `\[` or a bare symbol that means itself. With a named group
	// before it, it would not be group 1.
	c := p[group-1]
	escaped := p[group-2] == '\\' && (group < 3 || p[group-3] != '\\')
	if escaped && isSymbol(c) || !escaped && strings.IndexByte(`:;,="'<>/ @!&~`, c) >= 0 {
		return seam{last: c}
	}
	return seam{}
}

func isSymbol(c byte) bool { return c < utf8.RuneSelf && !isWord(rune(c)) }

func isWord(r rune) bool { return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r) }

// plainGroup finds the first parenthesis that opens a group without (?; -1 if there is none.
func plainGroup(p string) int {
	for i := 0; i < len(p); i++ {
		switch {
		case p[i] == '\\':
			i++
		case p[i] == '[':
			i = classEnd(p, i)
		case p[i] == '(' && (i+1 == len(p) || p[i+1] != '?'):
			return i
		}
	}
	return -1
}

// classEnd finds the bracket that closes the class opened at i. A closing bracket right at the begin
// of a class is a member of it.
func classEnd(p string, i int) int {
	i++
	if i < len(p) && p[i] == '^' {
		i++
	}
	for first := i; i < len(p); i++ {
		switch {
		case p[i] == '\\':
			i++
		case p[i] == ']' && i > first:
			return i
		}
	}
	return i
}

// allows reports whether the seam can lie in a literal right before its byte i, 0 < i < len(literal).
func (m seam) allows(literal string, i int) bool {
	if m.none {
		return false
	}
	before, behind := literal[:i], literal[i:]
	if m.maxBefore > 0 && utf8.RuneCountInString(before) > m.maxBefore {
		return false
	}
	if m.symbols && strings.ContainsFunc(before, isWord) {
		return false
	}
	if m.last != 0 && before[i-1] != m.last {
		return false
	}
	if r, _ := utf8.DecodeRuneInString(behind); m.symbol && isWord(r) {
		return false
	}
	return true
}

// unsewn gives texts of which the line holds one if the text without the date holds the literal; nil
// if they would be too short to be of use.
func unsewn(literal string, all []seam) []string {
	// best is the longest piece that no seam can lie in.
	best, from := "", 0
	split := false
	for i := range literal {
		if i == 0 {
			continue
		}
		for _, m := range all {
			if m.allows(literal, i) {
				split = true
				if i-from > len(best) {
					best = literal[from:i]
				}
				from = i
				break
			}
		}
	}
	if !split {
		return []string{literal}
	}
	if len(literal)-from > len(best) {
		best = literal[from:]
	}
	// Wherever the seam lies, one half of the literal is whole.
	half := len(literal) / 2
	for half > 0 && !utf8.RuneStart(literal[half]) {
		half--
	}
	switch {
	case len(best) >= minLiteral && len(best) >= half:
		return []string{best}
	case half >= minLiteral:
		return []string{literal[:half], literal[half:]}
	case len(best) >= minLiteral:
		return []string{best}
	}
	return nil
}
