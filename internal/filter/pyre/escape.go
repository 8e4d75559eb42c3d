package pyre

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/palisade-agent/palisade/internal/pytext"
)

const (
	decimal     = "0123456789"
	octal       = "01234567"
	hexadecimal = "0123456789abcdefABCDEF"
	letters     = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// controls are the escapes of single characters; in a class \b is the backspace besides.
var controls = map[string]rune{
	`\a`: '\a', `\f`: '\f', `\n`: '\n', `\r`: '\r', `\t`: '\t', `\v`: '\v', `\\`: '\\',
}

// escape reads one escape outside of classes; its first two characters are taken.
func (p *parser) escape(token string, flags Flags) *node {
	ascii := flags&ASCII != 0
	switch token {
	case `\A`:
		return &node{op: opAssert, at: atTextStart}
	case `\Z`:
		return &node{op: opAssert, at: atTextEnd}
	case `\b`:
		return &node{op: opAssert, at: atBoundary, ascii: ascii}
	case `\B`:
		return &node{op: opAssert, at: atNoBoundary, ascii: ascii}
	case `\d`, `\D`, `\w`, `\W`, `\s`, `\S`:
		return &node{op: opSet, set: oneClass(rune(token[1]), ascii)}
	}
	c := token[1:]
	if len(c) == 1 && c[0] >= '1' && c[0] <= '9' {
		return p.numbered(token, flags)
	}
	if c == "0" {
		token += p.src.while(2, octal)
		code, _ := strconv.ParseInt(token[1:], 8, 32)
		return character(rune(code), flags)
	}
	return character(p.charEscape(token), flags)
}

// numbered reads \1 to \99, which may be an octal character all the same.
func (p *parser) numbered(token string, flags Flags) *node {
	if p.src.nextIn(decimal) {
		token += p.src.get()
		if strings.IndexByte(octal, token[1]) >= 0 && strings.IndexByte(octal, token[2]) >= 0 && p.src.nextIn(octal) {
			token += p.src.get()
			return character(p.octal(token), flags)
		}
	}
	group, _ := strconv.Atoi(token[1:])
	if group >= len(p.groups) {
		p.src.fail(len(token)-1, "invalid group reference "+token[1:])
	}
	return p.reference(group, len(token), flags)
}

// reference makes a reference to a closed group; back is where an error is told.
func (p *parser) reference(group, back int, flags Flags) *node {
	if !p.closed[group] {
		p.src.fail(back, "cannot refer to an open group")
	}
	p.checkLookBehind(group)
	return &node{op: opRef, index: group, ascii: flags&ASCII != 0, fold: flags&IgnoreCase != 0}
}

func (p *parser) octal(token string) rune {
	code, _ := strconv.ParseInt(token[1:], 8, 32)
	if code > 0o377 {
		p.src.fail(len(token), "octal escape value "+token+" outside of range 0-0o377")
	}
	return rune(code)
}

// charEscape reads the escapes of one character that are the same inside and outside of classes.
func (p *parser) charEscape(token string) rune {
	if r, ok := controls[token]; ok {
		return r
	}
	switch token[1] {
	case 'x':
		return p.hex(token, 2)
	case 'u':
		return p.hex(token, 4)
	case 'U':
		return p.hex(token, 8)
	case 'N':
		if !p.src.match("{") {
			p.src.fail(0, "missing {")
		}
		name := p.src.until("}", "character name")
		p.src.fail(length(name)+len(`\N{}`), "characters by name are not known here: "+pytext.Quote(name))
	}
	if strings.Contains(letters, token[1:]) {
		p.src.fail(len(token), "bad escape "+token)
	}
	return []rune(token)[1]
}

func (p *parser) hex(token string, n int) rune {
	token += p.src.while(n, hexadecimal)
	if len(token) != n+2 {
		p.src.fail(len(token), "incomplete escape "+token)
	}
	code, _ := strconv.ParseUint(token[2:], 16, 64)
	if code > unicode.MaxRune {
		p.src.fail(len(token), "bad escape "+token)
	}
	return rune(code)
}

// classEscape reads one escape inside of a class: a character, or the letter of a class.
func (p *parser) classEscape(token string) (r rune, class bool) {
	switch token {
	case `\b`:
		return '\b', false
	case `\d`, `\D`, `\w`, `\W`, `\s`, `\S`:
		return rune(token[1]), true
	}
	c := token[1:]
	if strings.Contains(octal, c) {
		return p.octal(token + p.src.while(2, octal)), false
	}
	if strings.Contains(decimal, c) {
		p.src.fail(len(token), "bad escape "+token)
	}
	return p.charEscape(token), false
}

// character is one character of the pattern, or the set of those that match it under ignore-case.
func character(r rune, flags Flags) *node {
	if flags&IgnoreCase == 0 {
		return &node{op: opLiteral, lit: r}
	}
	same := cases.folded(r, flags&ASCII != 0)
	if len(same) == 1 {
		return &node{op: opLiteral, lit: same[0]}
	}
	set := &charset{}
	for _, f := range same {
		set.add(runeRange{f, f})
	}
	set.ranges = merge(set.ranges)
	return &node{op: opSet, set: set, fold: true}
}
