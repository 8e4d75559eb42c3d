package pyre

import (
	"strings"
	"unicode"
)

// Flags change the meaning of a pattern, as the flags of Python's re.compile.
type Flags uint8

// The flags. A pattern may set them itself, for all of it at its start as in (?i), or for a part as
// in (?i:...).
const (
	IgnoreCase Flags = 1 << iota // letters match whatever their case
	Multiline                    // ^ and $ hold at every line of the text
	DotAll                       // the dot matches a newline too
	Verbose                      // blanks and #-comments in the pattern mean nothing
	ASCII                        // \d \w \s \b and ignore-case know ASCII only

	unicodeFlag // the default for texts, only seen as an inline flag
	templateFlag
	localeFlag
)

const typeFlags = ASCII | unicodeFlag | localeFlag

var inline = map[string]Flags{
	"i": IgnoreCase, "m": Multiline, "s": DotAll, "x": Verbose, "a": ASCII,
	"u": unicodeFlag, "t": templateFlag, "L": localeFlag,
}

func isFlag(token string) bool {
	_, ok := inline[token]
	return ok
}

// over adds flags to those outside: a flag for the kind of text replaces the one outside.
func (f Flags) over(outer Flags) Flags {
	if f&typeFlags != 0 {
		outer &^= typeFlags
	}
	return (outer | f) &^ unicodeFlag
}

// inlineFlags reads the letters after a question mark, the first of which is taken, up to the colon
// or, for flags of the whole pattern, the closing bracket.
func (p *parser) inlineFlags(char string) (on, off Flags, global bool) {
	if char != "-" {
		for {
			flag := inline[char]
			if flag == localeFlag {
				p.src.fail(0, "bad inline flags: cannot use 'L' flag with a str pattern")
			}
			on |= flag
			if flag&typeFlags != 0 && on&typeFlags != flag {
				p.src.fail(0, "bad inline flags: flags 'a', 'u' and 'L' are incompatible")
			}
			char = p.flagToken("missing -, : or )", ")-:")
			if !isFlag(char) {
				break
			}
		}
	}
	if char == ")" {
		p.flags |= on &^ (unicodeFlag | templateFlag)
		p.words = p.words || on&unicodeFlag != 0
		p.tmpl = p.tmpl || on&templateFlag != 0
		return 0, 0, true
	}
	if on&templateFlag != 0 {
		p.src.fail(1, "bad inline flags: cannot turn on global flag")
	}
	if char == "-" {
		char = p.flagToken("missing flag", "")
		for isFlag(char) {
			if inline[char]&typeFlags != 0 {
				p.src.fail(0, "bad inline flags: cannot turn off flags 'a', 'u' and 'L'")
			}
			off |= inline[char]
			char = p.flagToken("missing :", ":")
		}
	}
	if off&templateFlag != 0 {
		p.src.fail(1, "bad inline flags: cannot turn off global flag")
	}
	if on&off != 0 {
		p.src.fail(1, "bad inline flags: flag turned on and off")
	}
	return on, off, false
}

// flagToken takes the next flag or one of the ends allowed here.
func (p *parser) flagToken(missing, ends string) string {
	char := p.src.get()
	switch {
	case char == none:
		p.src.fail(0, missing)
	case isFlag(char) || strings.Contains(ends, char):
	case isAlpha(char):
		p.src.fail(length(char), "unknown flag")
	default:
		p.src.fail(length(char), missing)
	}
	return char
}

func isAlpha(token string) bool {
	for _, r := range token {
		if !unicode.IsLetter(r) {
			return false
		}
	}
	return token != ""
}
