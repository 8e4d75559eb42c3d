package pyre

import (
	"errors"
	"testing"
	"unicode/utf8"
)

var seeds = []string{
	`^\s*(?P<host>\S+) x$`, `(?i)(a|b)*?\1(?(1)c|d)`, `(?<=a|b)(?<!(c))(?=d)(?!e)`, `[^]a-z\d\W-]{2,}+`, `(?x) a # b`,
	`(?>a*)++`, `\bé\B\Z\A`, `a{,3}b{2}c{1,}`, `(?P<a>x)(?P=a)`, `\x41\u0041\U00000041\101\0`, `(?:(?:a?){9}){9}`,
	`(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-f]{1,4}::?|:){1,7}`, `(?-i:a)(?s:.)`, "(?#x)\\", `(?:.*\n)*?`,
}

// FuzzCompile wants an answer for any pattern: a regex, or an error with a position inside.
func FuzzCompile(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, pattern string, flags uint8) {
		re, err := Compile(pattern, Flags(flags))
		var syntax *SyntaxError
		switch {
		case err == nil:
			if len(re.Names()) != re.NumGroups()+1 {
				t.Errorf("%d groups, names %q", re.NumGroups(), re.Names())
			}
		case !errors.As(err, &syntax):
			t.Errorf("refused by a %T: %v", err, err)
		case syntax.Offset < -1 || syntax.Offset > utf8.RuneCountInString(pattern):
			t.Errorf("refused at %d of %d", syntax.Offset, utf8.RuneCountInString(pattern))
		case err.Error() == "":
			t.Error("refused without a word")
		}
	})
}

// FuzzSearch wants groups inside of the text and of whole characters, and what Literals promises.
func FuzzSearch(f *testing.F) {
	for _, s := range seeds {
		f.Add(s, "xé a 192.0.2.1\n", 3)
	}
	f.Fuzz(func(t *testing.T, pattern, text string, from int) {
		if len(pattern) > 200 || len(text) > 2000 {
			return // longer ones take longer and show nothing else
		}
		re, err := Compile(pattern, 0)
		if err != nil {
			return
		}
		s := NewSubject(text)
		var m Match
		ok, err := re.SearchAt(s, from, &m)
		if err != nil && !errors.Is(err, ErrGaveUp) || ok && err != nil {
			t.Fatal(ok, err)
		}
		for i := range re.NumGroups() + 1 {
			start, end := m.Group(i)
			if !ok || start < 0 {
				if start != -1 || end != -1 || ok && i == 0 {
					t.Errorf("group %d: %d:%d, matched %v", i, start, end, ok)
				}
				continue
			}
			if start > end || end > len(text) || i == 0 && start < min(from, len(text)) {
				t.Errorf("group %d: %d:%d of %d from %d", i, start, end, len(text), from)
			}
			if utf8.ValidString(text) && !utf8.ValidString(text[start:end]) {
				t.Errorf("group %d cuts a character: %q", i, text[start:end])
			}
		}
		if ok {
			checkLiterals(t, re, text, &m)
		}
	})
}
