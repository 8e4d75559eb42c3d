package config

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ParseBool reads a switch: 1, on, true and yes, in any case, are true; everything else is false.
func ParseBool(s string) bool {
	switch strings.ToLower(s) {
	case "1", "on", "true", "yes":
		return true
	}
	return false
}

// looksLikeFalse reports whether a value that is false was probably meant to be so.
func looksLikeFalse(s string) bool {
	switch strings.ToLower(s) {
	case "", "0", "off", "false", "no", "n", "none":
		return true
	}
	return false
}

// errNoInt is a whole number that is none.
var errNoInt = errors.New("not a whole number")

// parseInt reads a whole number as Python does: white space around it and single underscores within
// it are allowed, and its digits may be of any script.
func parseInt(s string) (int, error) {
	s, ok := withoutUnderscores(strings.Map(asciiDigit, strings.TrimSpace(s)))
	if !ok {
		return 0, errNoInt
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0, errNoInt
	}
	return n, nil
}

// asciiDigit turns a decimal digit of any script into one of 0 to 9; other characters stay. In
// Unicode such digits lie together by tens, from zero up.
func asciiDigit(r rune) rune {
	if r < utf8.RuneSelf || !unicode.Is(unicode.Nd, r) {
		return r
	}
	zero := r
	for unicode.Is(unicode.Nd, zero-1) {
		zero--
	}
	return '0' + (r-zero)%10
}

// words splits at white space and commas.
func words(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == ',' || isSpace(r) })
}

// sentWords splits as fail2ban does before it sends: at blanks, commas and line ends alone. What else is
// white space separates nothing there, and is only taken off the ends.
func sentWords(s string) []string {
	var all []string
	for _, w := range strings.FieldsFunc(s, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' }) {
		if w = strings.TrimFunc(w, isSpace); w != "" {
			all = append(all, w)
		}
	}
	return all
}

// lines splits a value into its lines and leaves out the empty ones.
func lines(s string) []string {
	var all []string
	for l := range strings.SplitSeq(s, "\n") {
		if l != "" {
			all = append(all, l)
		}
	}
	return all
}

// ShellWords splits a line as a POSIX shell does: quotes and backslashes, no expansion, no comments. The
// error is for a quote that is never closed, or a backslash at the end.
func ShellWords(line string) ([]string, error) { return shellWords(line) }

// shellWords splits a line as a POSIX shell does: quotes and backslashes, no expansion, no comments.
func shellWords(s string) ([]string, error) {
	var all []string
	var word []byte
	inWord := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\r', '\n':
			if inWord {
				all, word, inWord = append(all, string(word)), nil, false
			}
		case '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a quote is never closed")
			}
			word, inWord = append(word, s[i+1:i+1+end]...), true
			i += end + 1
		case '"':
			inWord = true
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\') {
					i++
				}
				word = append(word, s[i])
			}
			if i >= len(s) {
				return nil, errors.New("a quote is never closed")
			}
		case '\\':
			if i+1 >= len(s) {
				return nil, errors.New("nothing follows the last backslash")
			}
			i++
			word, inWord = append(word, s[i]), true
		default:
			word, inWord = append(word, c), true
		}
	}
	if inWord {
		all = append(all, string(word))
	}
	return all, nil
}
