package filter

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestLiteralsAcrossTheSeam(t *testing.T) {
	tests := []struct {
		name, pattern, literal string
		want                   []string
	}{
		{"default: words are whole", "", "Failed password", []string{" password"}},
		{"default: one word", "", "Failed", []string{"Failed"}},
		{"default: a blank in front may stand", "", " Failed", []string{" Failed"}},
		{"line begin: what begins with a letter is whole", "{^LN-BEG}", "Failed password", []string{"Failed password"}},
		{"line begin: one symbol in front", "{^LN-BEG}", " from", []string{" from"}},
		{"line begin: two symbols in front", "{^LN-BEG}", ": [from", []string{"[from"}},
		{"line begin with a pattern of its own", "{^LN-BEG}%Y", "[] error", []string{" error"}},
		{"no date", "{NONE}", "[] error", []string{"[] error"}},
		{"cut at the begin", "^%Y-%m-%d", "a b c d", []string{"a b c d"}},
		{"cut behind a bracket", `^[^\[]*\[({DATE})`, "x[] error", []string{"] error"}},
		{"not cut elsewhere", `^[^\[]*\[({DATE})`, "Failed password", []string{"Failed password"}},
		{"anywhere", `foo({DATE})`, "Failed password", []string{"Failed ", "password"}},
		{"anywhere, and too short", `foo({DATE})`, "[] e", nil},
		{"two patterns", "^[^\\[]*\\[({DATE})\n{^LN-BEG}", "x[] error", []string{"] error"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := unsewn(tt.literal, seams(tt.pattern)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestWhatAPatternAllows(t *testing.T) {
	tests := []struct {
		pattern string
		want    seam
	}{
		{"{default}", seam{symbol: true}},
		{"{^ln-beg}", seam{maxBefore: 2, symbols: true, symbol: true}},
		{`^<\d+>\d+\s+{DATE}`, seam{none: true}},
		{`^I\(()**`, seam{last: '('}},
		{`^WARNING:()**`, seam{last: ':'}},
		{`^a\\(b)`, seam{last: '\\'}}, // an escaped backslash
		{`^a\\\\(b)`, seam{}},         // two of them
		{`^[:(]*x(b)`, seam{}},        // a parenthesis in a class
		{`^[](]:(b)`, seam{last: ':'}},
		{`^[^](]:(b)`, seam{last: ':'}},
		{`^[\](]:(b)`, seam{last: ':'}},
		{`^[(`, seam{none: true}}, // a class without an end, which no detector takes
		{`^EPOCH`, seam{maxBefore: 2, symbols: true}},
		{`{^LN-BEG}**%Y`, seam{}},
		{`^\d(b)`, seam{}},                 // a class
		{`^a*(b)`, seam{}},                 // anything
		{`^(?P<x>a):(b)`, seam{}},          // the named group is group 1
		{`^%Y|(b)`, seam{}},                // alternatives
		{`%d/%b[^/]*/%Y:%H:%M:%S`, seam{}}, // not at the begin
		{`(b)`, seam{}},                    // nothing before
		{`^[^\[]*(\[{DATE}\s*\])`, seam{}}, // anything before
		{`{^LN-BEG}a(b)`, seam{}},          // a letter before
		{`^a\((b)`, seam{last: '('}},       // an escaped parenthesis
		{`{^LN-BEG}TAI64N`, seam{maxBefore: 2, symbols: true}},
	}
	for _, tt := range tests {
		if got := seamOf(tt.pattern); got != tt.want {
			t.Errorf("%s allows %+v, want %+v", tt.pattern, got, tt.want)
		}
	}
}

// TestUnsewnPiecesAreInTheLine cuts dates out of random lines where the seam allows it: whenever the
// literal is in the text, one of its pieces is in the line.
func TestUnsewnPiecesAreInTheLine(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	const letters = "ab[]: é"
	word := func(n int) string {
		var b strings.Builder
		for range random.IntN(n + 1) {
			r := []rune(letters)
			b.WriteRune(r[random.IntN(len(r))])
		}
		return b.String()
	}
	all := []seam{
		{},
		{none: true},
		{symbol: true},
		{maxBefore: 2, symbols: true, symbol: true},
		{maxBefore: 2, symbols: true},
		{last: '['},
		{last: ':'},
	}
	across, inside := 0, 0
	for range 200_000 {
		m := all[random.IntN(len(all))]
		before, behind := word(5), word(8)
		if before != "" && behind != "" && !m.allows(before+behind, len(before)) {
			continue
		}
		text := before + behind
		if len(text) < 2 {
			continue
		}
		from := random.IntN(len(text) - 1)
		literal := text[from : from+1+random.IntN(len(text)-from)]
		if strings.ToValidUTF8(literal, "") != literal {
			continue
		}
		line := before + "2025-11-22" + behind
		pieces := unsewn(literal, []seam{m})
		if pieces == nil {
			continue
		}
		if strings.Contains(line, literal) {
			inside++
		} else {
			across++
		}
		if !slices.ContainsFunc(pieces, func(p string) bool { return strings.Contains(line, p) }) {
			t.Fatalf("%+v: %q is in %q, and none of %q in %q", m, literal, text, pieces, line)
		}
	}
	if across < 100 || inside < 100 {
		t.Errorf("only %d literals across the seam and %d inside: the test tests nothing", across, inside)
	}
}
