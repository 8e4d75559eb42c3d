package pyre

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// found renders a match: the spans of all groups, "-" for one that took no part.
func found(m *Match, groups int) string {
	var b strings.Builder
	for i := range groups + 1 {
		if i > 0 {
			b.WriteByte(' ')
		}
		if start, end := m.Group(i); start < 0 {
			b.WriteByte('-')
		} else {
			fmt.Fprintf(&b, "%d:%d", start, end)
		}
	}
	return b.String()
}

// search compiles and searches, and renders the outcome: "none" without a match.
func search(t *testing.T, pattern string, flags Flags, text string) string {
	t.Helper()
	re, err := Compile(pattern, flags)
	if err != nil {
		t.Fatalf("Compile(%q): %v", pattern, err)
	}
	var m Match
	ok, err := re.Search(NewSubject(text), &m)
	if err != nil {
		t.Fatalf("Search(%q, %q): %v", pattern, text, err)
	}
	if !ok {
		return "none"
	}
	return found(&m, re.NumGroups())
}

type searchCase struct {
	pattern, text, want string
}

func runSearch(t *testing.T, flags Flags, tests []searchCase) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.pattern+" in "+tt.text, func(t *testing.T) {
			if got := search(t, tt.pattern, flags, tt.text); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAnchors(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`a$`, "a", "0:1"},
		{`a$`, "a\n", "0:1"},
		{`a$`, "a\n\n", "none"},
		{`a$`, "a\nb", "none"},
		{`a\Z`, "a", "0:1"},
		{`a\Z`, "a\n", "none"},
		{`^b`, "a\nb", "none"},
		{`\Ab`, "a\nb", "none"},
		{`$`, "a\n", "1:1"},
		{`(?m)^b`, "a\nb", "2:3"},
		{`(?m)a$`, "a\nb", "0:1"},
		{`(?m)\Ab`, "a\nb", "none"},
		{`(?m)a\Z`, "a\nb", "none"},
		{`a^b|b`, "ab", "1:2"},
	})
}

func TestDotLeavesOutOnlyTheNewline(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`a.b`, "a\nb", "none"},
		{`a.b`, "a\rb", "0:3"},
		{`a.b`, "a\u2028b", "0:5"},
		{`(?s)a.b`, "a\nb", "0:3"},
		{`(?s:a.)b.`, "a\nb\n", "none"},
	})
}

func TestClassesAreUnicode(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`\d+`, "x٣٤", "1:5"},
		{`(?a)\d+`, "x٣٤5", "5:6"},
		{`\w+`, "-né_١-", "1:7"},
		{`\w+`, "-²½ⅷ-", "1:8"},
		{`\w`, "\u0301", "none"}, // a combining accent alone
		{`\w`, "‿", "none"},      // a connector that is no underscore
		{`\W+`, "aé‿b", "3:6"},
		{`[\W_]+`, "aé‿_b", "3:7"},
		{`\s+`, "a\x1c\x1f\u0085\u00a0\u3000b", "1:10"},
		{`(?a)\s+`, "a\x1c b", "2:3"},
		{`\s`, "\u200b", "none"},
		{`\S+`, "\x1f\u0085a", "3:4"},
		{`\D+`, "1٣a2", "3:4"},
		{`[^\d\s]+`, "٣ \x1eé", "4:6"},
	})
}

func TestBoundaries(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`\bfoo\b`, "a foo b", "2:5"},
		{`\bfoo\b`, "éfoo", "none"},
		{`(?a)\bfoo\b`, "éfoo", "2:5"},
		{`\bé`, "aé é", "4:6"},
		{`\B`, "", "none"},
		{`\b`, "", "none"},
		{`\B`, "a", "none"},
		{`o\B`, "o fo\u0301oo", "6:7"},
	})
}

func TestIgnoreCase(t *testing.T) {
	runSearch(t, IgnoreCase, []searchCase{
		{`straße`, "STRAẞE", "0:8"},
		{`k`, "\u212a", "0:3"}, // the sign of the kelvin
		{`s`, "ſ", "0:2"},      // the long s
		{`i`, "İ", "0:2"},      // dotted capital i
		{`[a-z]+`, "\u212aſıİZ", "0:10"},
		{`(?a)[a-z]+`, "\u212aſZ", "5:6"},
		{`[^a]+`, "AaBb", "2:4"},
		{`(a)\1`, "aA", "0:2 0:1"},
		{`Σ`, "ς", "0:2"},
		{`(?-i:a)b`, "aBAB", "0:2"},
	})
	runSearch(t, 0, []searchCase{
		{`(?i)a`, "A", "0:1"},
		{`(?i:a)b`, "Ab", "0:2"},
		{`(?i:a)b`, "AB", "none"},
	})
}

func TestFirstAlternativeWins(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`(a|ab)(c|bcd)?`, "abcd", "0:4 0:1 1:4"},
		{`a|ab`, "ab", "0:1"},
		{`(?:|a)b`, "ab", "0:2"},
		{`x*`, "aaa", "0:0"},
	})
}

func TestRepeats(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`\d{,3}$`, "1234", "1:4"},
		{`a{2,}`, "aaa", "0:3"},
		{`a{2}`, "aaa", "0:2"},
		{`a{,}`, "aa", "0:2"},
		{`a{}`, "a{}", "0:3"},
		{`a{x}`, "a{x}", "0:4"},
		{`a{1`, "a{1", "0:3"},
		{`{`, "{", "0:1"},
		{`a{ 1}`, "a{ 1}", "0:5"},
		{`a+?`, "aaa", "0:1"},
		{`a{1,3}?b`, "aaab", "0:4"},
		{`a*+a`, "aaa", "none"},
		{`(?>a|ab)c`, "abc", "none"},
		{`(?:a|ab){2}+`, "aba", "none"},
		{`(a|b)*`, "ab", "0:2 1:2"},
		{`(?:(a)|b)*`, "ab", "0:2 0:1"},
		{`(a*)*`, "b", "0:0 0:0"},
		{`(a*)+`, "aa", "0:2 2:2"},
		{`(?:a?)*?b`, "aab", "0:3"},
		{`x{0}y`, "xy", "1:2"},
		{`(?=a)*a`, "a", "0:1"},
	})
}

func TestGroupsAreNumberedInOrder(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`(?P<x>a)(b)(?P<y>c)`, "abc", "0:3 0:1 1:2 2:3"},
		{`(a)|(b)`, "b", "0:1 - 0:1"},
		{`((a)(b))`, "ab", "0:2 0:2 0:1 1:2"},
	})
	re, err := Compile(`(?P<x>a)(b)(?P<ÿ>c)`, 0)
	if err != nil {
		t.Fatal(err)
	}
	if re.NumGroups() != 3 || re.Index("ÿ") != 3 || re.Index("x") != 1 || re.Index("nope") != -1 || re.Index("") != -1 {
		t.Errorf("groups %d, names %q", re.NumGroups(), re.Names())
	}
}

func TestReferences(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`(?P<q>["'])x(?P=q)`, `'x"x"`, "2:5 2:3"},
		{`(a)\1`, "aa", "0:2 0:1"},
		{`(a)|b\1`, "b", "none"}, // a group that took no part matches nothing
		{`(a)?\1b`, "b", "none"},
		{`(a)\0`, "a\x00", "0:2 0:1"},
		{`\101\x41\u0041\U00000041`, "AAAA", "0:4"},
		{`(a)\0610`, "a10", "0:3 0:1"},
		{`(x)(?:\1)0`, "xx0", "0:3 0:1"},
	})
}

func TestConditionals(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`(<)?a(?(1)>|b)`, "<a>", "0:3 0:1"},
		{`(<)?a(?(1)>|b)`, "ab", "0:2 -"},
		{`(?P<o><)?a(?(o)>)`, "a>", "0:1 -"},
		{`^(?P<o><)?a(?(o)>|)$`, "<a", "none"},
		{`(?(1)a|b)(c)?`, "bc", "0:2 1:2"},
	})
}

func TestLookAround(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`a(?=b)`, "acab", "2:3"},
		{`a(?!b)`, "abac", "2:3"},
		{`(?<=b)a`, "aba", "2:3"},
		{`(?<!b)a`, "baa", "2:3"},
		{`(?<=(?P<x>[ab])c)d`, "acd", "2:3 0:1"},
		{`(?<=(a)(.))d`, "abd", "2:3 0:1 1:2"},
		{`(?=(a+))a`, "aab", "0:1 0:2"},
		{`(?<=^a)b`, "ab", "1:2"},
		{`(?!)`, "a", "none"},
		{`(?<=é)a`, "éa", "2:3"},
		{`(?<=a|b)c`, "bc", "1:2"},
	})
}

func TestVerbose(t *testing.T) {
	runSearch(t, Verbose, []searchCase{
		{"a b # c\n c", "abc", "0:3"},
		{`a\ b`, "a b", "0:3"},
		{`a[ ]b`, "a b", "0:3"},
		{`(?-x:a b)c d`, "a bcd", "0:5"},
	})
	runSearch(t, 0, []searchCase{
		{"(?x) a b", "ab", "0:2"},
		{`a(?#comment)b`, "ab", "0:2"},
		{"(?x:a b)c d", "abc d", "0:5"},
	})
}

func TestSetsTakeBracketsAndHyphensAsPythonDoes(t *testing.T) {
	runSearch(t, 0, []searchCase{
		{`[^[]+`, "[ab[", "1:3"},
		{`[]a]+`, "x]a", "1:3"},
		{`[^]a]+`, "]ab", "2:3"},
		{`[a-]+`, "-a", "0:2"},
		{`[-a]+`, "-a", "0:2"},
		{`[\w-]+`, "a-b", "0:3"},
		{`[a\-z]+`, "-bz", "0:1"},
		{`[[:digit:]]+`, "d]", "0:2"},
		{`[a&&b]+`, "a&b", "0:3"},
		{`[a-z-[b]]`, "b]", "0:2"},
		{`[\s\S]+`, "a\n", "0:2"},
		{`[^\s\S]`, "a", "none"},
		{`[\b]`, "\b", "0:1"},
		{`["<>']+`, `<">'`, "0:4"},
	})
}

func TestSearchAtSeesTheTextBefore(t *testing.T) {
	tests := []struct {
		pattern, text string
		from          int
		want          string
	}{
		{`^b`, "ab", 1, "none"},
		{`(?<=a)b`, "ab", 1, "1:2"},
		{`\bb`, "ab b", 1, "3:4"},
		{`é`, "éaé", 1, "3:5"}, // inside of a character
		{`a`, "éa", 2, "2:3"},
		{`$`, "ab", 9, "2:2"},
		{`a`, "ab", -3, "0:1"},
	}
	for _, tt := range tests {
		re, err := Compile(tt.pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		var m Match
		got := "none"
		if ok, err := re.SearchAt(NewSubject(tt.text), tt.from, &m); err != nil {
			t.Fatal(err)
		} else if ok {
			got = found(&m, re.NumGroups())
		}
		if got != tt.want {
			t.Errorf("%s in %q from %d: got %s, want %s", tt.pattern, tt.text, tt.from, got, tt.want)
		}
	}
}

func TestSubjectAndMatchAreUsedAgain(t *testing.T) {
	one, err := Compile(`(?P<a>x)(?P<b>y)?`, 0)
	if err != nil {
		t.Fatal(err)
	}
	two, err := Compile(`(\d+)`, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, m := NewSubject("é x 12"), &Match{}
	for _, step := range []struct {
		re   *Regexp
		text string
		want string
	}{
		{one, "é x 12", "3:4"},
		{two, "é x 12", "5:7"},
		{two, "short 3", "6:7"},
		{one, "ü", ""},
		{one, "xy", "0:2"},
	} {
		s.Reset(step.text)
		ok, err := step.re.Search(s, m)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if ok {
			start, end := m.Group(0)
			got = fmt.Sprintf("%d:%d", start, end)
		}
		if got != step.want {
			t.Errorf("%s in %q: got %q, want %q", step.re, step.text, got, step.want)
		}
	}
	if text, ok := m.GroupText(s, 2); !ok || text != "y" {
		t.Errorf("group 2: %q %v", text, ok)
	}
	if _, ok := m.GroupText(s, 3); ok {
		t.Error("a group that does not exist took part")
	}
}

func TestTextThatIsNotUTF8DoesNoHarm(t *testing.T) {
	if got := search(t, `(.)b`, 0, "a\xffb"); got != "1:3 1:2" {
		t.Error(got)
	}
}

// TestHostileLinesAreDecided: where a backtracker needs longer than the universe lasts, ours remembers where
// it failed.
func TestHostileLinesAreDecided(t *testing.T) {
	for pattern, text := range map[string]string{
		`^(?:a|a|aa)*$`:                   strings.Repeat("a", 8000) + "b",
		`^(a+)+$`:                         strings.Repeat("a", 8000) + "b",
		`^(?:(?:a+)+)+!`:                  strings.Repeat("a", 8000),
		`^(?:\s*\S+)*\s*x$`:               strings.Repeat("ab ", 2600) + "!",
		`(?:\w+\.)+\w+@example`:           strings.Repeat("a.", 4000),
		`^(.*)(.*)(.*)x$`:                 strings.Repeat("a", 8000),
		`^(?P<a>b)?(?:a|a|aa)*(?(a)c|d)$`: strings.Repeat("a", 8000) + "b",
	} {
		re, err := Compile(pattern, 0)
		if err != nil {
			t.Fatal(err)
		}
		var m Match
		if ok, err := re.Search(NewSubject(text), &m); ok || err != nil {
			t.Errorf("%s: %v, %v after %d steps", pattern, ok, err, m.Steps)
		}
		if re.Tier() != TierMemoised {
			t.Errorf("%s is run %v", pattern, re.Tier())
		}
	}
}

// TestAHostileLineLeavesNoMemoryBehind: there is a machine for each jail, and more.
func TestAHostileLineLeavesNoMemoryBehind(t *testing.T) {
	re, err := Compile(`^(?:a|a|aa)*$`, 0)
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	if _, err := re.Search(NewSubject(strings.Repeat("a", 16000)+"b"), &m); err != nil {
		t.Fatal(err)
	}
	if m.Steps < plainSteps || cap(m.machine.memo) > keptMemo || cap(m.machine.back) > keptBack {
		t.Errorf("after %d steps it keeps %d words and %d frames", m.Steps, cap(m.machine.memo), cap(m.machine.back))
	}
}

// TestStepsAreBounded where remembering would not be sound: the same number of steps on every machine.
func TestStepsAreBounded(t *testing.T) {
	re, err := CompileLimits(`^((?:a|a|aa)*)\1!`, 0, Limits{Steps: 100_000})
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	for range 2 {
		ok, err := re.Search(NewSubject(strings.Repeat("a", 8000)), &m)
		if ok || !errors.Is(err, ErrGaveUp) || m.Steps < 100_000 || m.Steps > 110_000 {
			t.Fatalf("%v, %v after %d steps", ok, err, m.Steps)
		}
		if start, end := m.Group(0); start != -1 || end != -1 {
			t.Errorf("a search that gave up left a match: %d %d", start, end)
		}
		if ok, err := re.Search(NewSubject("aa!"), &m); !ok || err != nil {
			t.Errorf("after a search that gave up: %v, %v", ok, err)
		}
	}
	if re.Tier() != TierBounded {
		t.Errorf("it is run %v", re.Tier())
	}
}

func TestTheReferenceGivesUpOnAHostileLine(t *testing.T) {
	re, err := CompileLimits(`^(?:a|a|aa)*$`, 0, Limits{Reference: true})
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	ok, err := re.Search(NewSubject(strings.Repeat("a", 8000)+"b"), &m)
	if ok || !errors.Is(err, ErrGaveUp) {
		t.Fatalf("got %v, %v", ok, err)
	}
	if start, end := m.Group(0); start != -1 || end != -1 {
		t.Errorf("a search that gave up left a match: %d %d", start, end)
	}
	if ok, err := re.Search(NewSubject("aaa"), &m); !ok || err != nil {
		t.Errorf("after a search that gave up: %v, %v", ok, err)
	}
}

func TestDeepSearchGivesUpOnItsStack(t *testing.T) {
	const pattern = `^(?:(\w)[.:]?|x.)*$`
	text := strings.Repeat("a.b:", 4096)
	small, err := CompileLimits(pattern, 0, Limits{Reference: true, Stack: 1000, Time: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	var m Match
	if ok, err := small.Search(NewSubject(text), &m); ok || !errors.Is(err, ErrGaveUp) {
		t.Errorf("with a stack of 1000: %v, %v", ok, err)
	}
	// The longest line there is, 16 KiB, is well within the default.
	full, err := CompileLimits(pattern, 0, Limits{Reference: true, Time: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := full.Search(NewSubject(text), &m); !ok || err != nil {
		t.Errorf("with the default stack: %v, %v", ok, err)
	}
}

func TestClockThatIsHeldOutlivesBubbles(t *testing.T) {
	HoldClock(time.Hour)
	re, err := Compile(`a+b`, 0)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		synctest.Test(t, func(t *testing.T) {
			for range 3 {
				var m Match
				if ok, err := re.Search(NewSubject("xaab"), &m); !ok || err != nil {
					t.Errorf("got %v, %v", ok, err)
				}
				time.Sleep(24 * time.Hour) // of the bubble
			}
		})
	}
}

func TestRegexpIsSharedByGoroutines(t *testing.T) {
	re, err := Compile(`(\w+)@(\w+)é?`, 0)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			s, m := NewSubject(""), &Match{}
			for n := range 500 {
				name := strings.Repeat("x", 1+(i*7+n)%20)
				s.Reset("- " + name + "@hostßé")
				if ok, err := re.Search(s, m); !ok || err != nil {
					t.Errorf("got %v, %v", ok, err)
				} else if got, _ := m.GroupText(s, 1); got != name {
					t.Errorf("got %q, want %q", got, name)
				}
			}
		})
	}
	wg.Wait()
}

func TestSearchAllocatesNothing(t *testing.T) {
	if raceDetector {
		t.Skip("pools forget at random under the race detector")
	}
	re, err := Compile(sshdLike, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, m := NewSubject(""), &Match{}
	if n := testing.AllocsPerRun(200, func() {
		for _, text := range []string{
			"Refused password for x from 192.0.2.77 port 51234 ssh2",
			"Refused password for xé from host.example ssh2", "something else",
		} {
			s.Reset(text)
			if _, err := re.Search(s, m); err != nil {
				t.Fatal(err)
			}
		}
	}); n >= 1 {
		t.Errorf("%v allocations for three searches", n)
	}
}
