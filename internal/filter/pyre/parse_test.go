package pyre

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestRefusalsAreWordedAsPythons(t *testing.T) {
	tests := []struct{ pattern, want string }{
		{`(`, "missing ), unterminated subpattern at position 0"},
		{`a)`, "unbalanced parenthesis at position 1"},
		{`[a`, "unterminated character set at position 0"},
		{`*a`, "nothing to repeat at position 0"},
		{`^*`, "nothing to repeat at position 1"},
		{`a|+`, "nothing to repeat at position 2"},
		{`a**`, "multiple repeat at position 2"},
		{`a{2}{3}`, "multiple repeat at position 4"},
		{`a{3,2}`, "min repeat greater than max repeat at position 2"},
		{`a{4294967295}`, "the repetition number is too large"},
		{`[z-a]`, "bad character range z-a at position 1"},
		{`[\d-z]`, `bad character range \d-z at position 1`},
		{`\q`, `bad escape \q at position 0`},
		{`[\q]`, `bad escape \q at position 1`},
		{`a\`, "bad escape (end of pattern) at position 1"},
		{`\x1`, `incomplete escape \x1 at position 0`},
		{`\400`, `octal escape value \400 outside of range 0-0o377 at position 0`},
		{`\U00110000`, `bad escape \U00110000 at position 0`},
		{`\2`, "invalid group reference 2 at position 1"},
		{`(\1)`, "cannot refer to an open group at position 1"},
		{`(?P<n>a)(?P<n>b)`, "redefinition of group name 'n' as group 2; was group 1 at position 12"},
		{`(?P<a b>x)`, "bad character in group name 'a b' at position 4"},
		{`(?P<>x)`, "missing group name at position 4"},
		{`(?P<a`, "missing >, unterminated name at position 4"},
		{`(?P=n)`, "unknown group name 'n' at position 4"},
		{`(?Px)`, "unknown extension ?Px at position 1"},
		{`(?~x)`, "unknown extension ?~ at position 1"},
		{`(?<x)`, "unknown extension ?<x at position 1"},
		{`(?`, "unexpected end of pattern at position 2"},
		{`(?#x`, "missing ), unterminated comment at position 0"},
		{`(?(1)a|b|c)`, "conditional backref with more than two branches at position 8"},
		{`(?(0)a)`, "bad group number at position 3"},
		{`(?(7)a)`, "invalid group reference 7 at position 3"},
		{`(?(n)a)`, "unknown group name 'n' at position 3"},
		{`(?(!)a)`, "bad character in group name '!' at position 3"},
		{`a(?i)`, "global flags not at the start of the expression at position 1"},
		{`(?:(?i)a)`, "global flags not at the start of the expression at position 3"},
		{`(?iq)`, "unknown flag at position 3"},
		{`(?i`, "missing -, : or ) at position 3"},
		{`(?-i)`, "missing : at position 4"},
		{`(?i-i:a)`, "bad inline flags: flag turned on and off at position 5"},
		{`(?-a:a)`, "bad inline flags: cannot turn off flags 'a', 'u' and 'L' at position 4"},
		{`(?L)`, "bad inline flags: cannot use 'L' flag with a str pattern at position 3"},
		{`(?au:x)`, "bad inline flags: flags 'a', 'u' and 'L' are incompatible at position 4"},
		{`(?a)(?u)`, "ASCII and UNICODE flags are incompatible"},
		{`(?<=a*)b`, "look-behind requires fixed-width pattern"},
		{`(?<=a|bc)d`, "look-behind requires fixed-width pattern"},
		{`(?<=(a)\1)`, "cannot refer to group defined in the same lookbehind subpattern at position 9"},
		{"a\nb)", "unbalanced parenthesis at position 3 (line 2, column 2)"},
		{"é\n\n(", "missing ), unterminated subpattern at position 3 (line 3, column 1)"},
		{`(?t)a*`, "internal: unsupported template operator MAX_REPEAT"},
	}
	for _, tt := range tests {
		_, err := Compile(tt.pattern, 0)
		var syntax *SyntaxError
		if !errors.As(err, &syntax) {
			t.Errorf("%q: %v, want a refusal", tt.pattern, err)
			continue
		}
		if got := err.Error(); got != tt.want {
			t.Errorf("%q:\n got %s\nwant %s", tt.pattern, got, tt.want)
		}
		if syntax.Pattern != tt.pattern {
			t.Errorf("%q: error names the pattern %q", tt.pattern, syntax.Pattern)
		}
	}
}

func TestOversizedPatternsAreRefused(t *testing.T) {
	tests := []struct{ name, pattern, want string }{
		{"length", strings.Repeat("a", maxPattern+1), "is longer than"},
		{"depth", strings.Repeat("(?:", maxDepth+1), "nested deeper"},
		{"groups", strings.Repeat("()", maxGroups+1), "too many groups"},
		{"repeat", "a{70000}", "repeat of more than"},
		{"repeats of repeats", "(?:(?:a{6000}){6000}){6000}", "needs more than"},
		{"character names", `\N{EM DASH}`, "by name are not known"},
	}
	for _, tt := range tests {
		start := time.Now()
		_, err := Compile(tt.pattern, 0)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
		}
		if d := time.Since(start); d > 5*time.Second {
			t.Errorf("%s: refused after %v only", tt.name, d)
		}
	}
}

func TestPatternsAtTheBoundsCompile(t *testing.T) {
	for name, pattern := range map[string]string{
		"length": strings.Repeat("a", maxPattern),
		"depth":  strings.Repeat("(?:", maxDepth) + "a" + strings.Repeat(")", maxDepth),
		"groups": strings.Repeat("(a)", maxGroups),
		"repeat": "(?:ab){65536}|x{,4294967294}",
	} {
		if _, err := Compile(pattern, 0); err != nil {
			t.Errorf("%s: %.200v", name, err)
		}
	}
}

// TestEngineHasTheSameClasses walks over all characters with the classes as the engine runs them.
func TestEngineHasTheSameClasses(t *testing.T) {
	var b strings.Builder
	for r := rune(0); r <= 0x10ffff; r++ {
		if r < 0xd800 || r > 0xdfff {
			b.WriteRune(r)
		}
	}
	s := NewSubject(b.String())
	for _, letter := range "dwsDWS" {
		re, err := CompileLimits(`\`+string(letter)+`+`, 0, Limits{Time: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		set := oneClass(letter, false)
		var m Match
		inside := 0
		for at := 0; at < len(s.Text()); {
			ok, err := re.SearchAt(s, at, &m)
			if err != nil {
				t.Fatal(err)
			}
			start, end := m.Group(0)
			if !ok {
				start, end = len(s.Text()), len(s.Text())
			}
			for _, r := range s.Text()[at:start] {
				if set.contains(r) {
					t.Fatalf(`\%c leaves out %U`, letter, r)
				}
			}
			for _, r := range s.Text()[start:end] {
				inside++
				if !set.contains(r) {
					t.Fatalf(`\%c takes %U`, letter, r)
				}
			}
			at = end
		}
		if inside == 0 {
			t.Errorf(`\%c matched nothing`, letter)
		}
	}
}
