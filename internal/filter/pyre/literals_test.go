package pyre

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestLiterals(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{`abc`, "[[abc]]"},
		{`abc\d+def`, "[[abc] [def]]"},
		{`^\s*Failed (?:password|publickey) for`, "[[Failed password for Failed publickey for]]"},
		{`a(?:b|c)?d`, "[[ad abd acd]]"},
		{`(?:foo|bar\d+) x`, "[[bar foo] [ x]]"},
		{`foo|\d`, "[]"},
		{`foo|fo`, "[[fo]]"},
		{`[ab]x`, "[[ax bx]]"},
		{`[^a]xyz`, "[[xyz]]"},
		{`(?i)abc`, "[]"},
		{`(?i:abc)def`, "[[def]]"},
		{`(?i)\d+-abc`, "[[-]]"},
		{`(?:abc){2}`, "[[abcabc]]"},
		{`(?:abc)+`, "[[abc]]"},
		{`(?:abc)*d`, "[[d]]"},
		{`(?:abc){0}d`, "[[d]]"},
		{`(?=abc)d`, "[[d]]"},
		{`(?!abc)d(?<!x)`, "[[d]]"},
		{`a\bb$`, "[[ab]]"},
		{`(?P<q>["'])x(?P=q)y`, `[["x 'x] [y]]`},
		{`(x)?(?(1)abc|abd)`, "[[abc abd]]"},
		{`(?>ab|cd)e*+`, "[[ab cd]]"},
		{`\ud800a`, "[[a]]"},
		{`é\.`, "[[é.]]"},
		{``, "[]"},
		{`.*`, "[]"},
	}
	for _, tt := range tests {
		re, err := Compile(tt.pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(re.Literals()); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.pattern, got, tt.want)
		}
	}
}

// TestLiteralsStaySmall builds what would multiply without bounds.
func TestLiteralsStaySmall(t *testing.T) {
	for _, pattern := range []string{
		strings.Repeat("(?:a|b|c)", 50), strings.Repeat("[abcd]", 200), strings.Repeat("(?:a|", 100) + strings.Repeat(")", 100),
		"(?:" + strings.Repeat("(?:ab|c)", 5) + "){60000}", strings.Repeat("a?", 300), strings.Repeat("abc|", 5000) + "d",
		strings.Repeat("abcdef ", 9000),
	} {
		re, err := Compile(pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		lists := re.Literals()
		if len(lists) > maxClauses {
			t.Errorf("%.40s: %d lists", pattern, len(lists))
		}
		for _, list := range lists {
			if len(list) == 0 || len(list) > maxClause {
				t.Errorf("%.40s: a list of %d", pattern, len(list))
			}
			for _, literal := range list {
				if literal == "" || len(literal) > maxLiteral {
					t.Errorf("%.40s: literal %q", pattern, literal)
				}
			}
		}
	}
}

func TestMatchesHoldTheirLiterals(t *testing.T) {
	g := &generator{r: rand.New(rand.NewPCG(3, 3))}
	matches, said := 0, 0
	for range 3000 {
		pattern := g.pattern()
		re, err := Compile(pattern, 0)
		if err != nil {
			continue
		}
		var m Match
		for range 4 {
			text := g.sample(re.root)
			if ok, err := re.Search(NewSubject(text), &m); err == nil && ok {
				matches++
				said += len(re.Literals())
				checkLiterals(t, re, text, &m)
			}
		}
	}
	if matches < 1000 || said < 1000 {
		t.Errorf("too little was seen: %d matches, %d lists", matches, said)
	}
}

func TestScreenDoesNotHideMatches(t *testing.T) {
	tests := []struct {
		pattern, text string
		from          int
		want          bool
	}{
		{`foo|bar`, "a bar", 0, true},
		{`foo|bar`, "a baz", 0, false},
		{`(?<=foo)bar`, "foobar", 3, true},
		{`foobar`, "foobar", 3, false},
		{"\ufffdabc", "\xffabc", 0, true},
		{`(?i)foo`, "FOO", 0, true},
		{`éfoo`, "ééfoo", 1, true},
	}
	for _, tt := range tests {
		re, err := Compile(tt.pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		var m Match
		if ok, err := re.SearchAt(NewSubject(tt.text), tt.from, &m); ok != tt.want || err != nil {
			t.Errorf("%s in %q from %d: %v, %v", tt.pattern, tt.text, tt.from, ok, err)
		}
	}
}
