package filter

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
)

func TestWantsOnlyWhatCanMatch(t *testing.T) {
	syslog := "{^LN-BEG}"
	apache := `^[^\[]*\[({DATE})`
	tests := []struct {
		name string
		o    Options
		line string
		want bool
	}{
		{"a literal that is there", Options{FailRegex: []string{`Failed for <HOST>`}, DatePattern: syslog}, "d Failed for x", true},
		{"a literal that is not", Options{FailRegex: []string{`Failed for <HOST>`}, DatePattern: syslog}, "d Failed to x", false},
		{"prefregex counts too", Options{PrefRegex: `sshd: (?P<content>.+)`, FailRegex: []string{`Failed for <HOST>`}, DatePattern: syslog}, "ftpd: Failed for x", false},
		{"one of several regexes", Options{FailRegex: []string{`Failed for <HOST>`, `Denied <HOST>`}, DatePattern: syslog}, "Denied 1", true},
		{"literals of different regexes do not add up", Options{FailRegex: []string{`Failed \w+ badly <HOST>`, `Denied \w+ again <HOST>`}, DatePattern: syslog}, "Failed x again", false},
		{"a regex without a literal", Options{FailRegex: []string{`\d+ <HOST>`}, DatePattern: syslog}, "", true},
		{"several lines", Options{FailRegex: []string{`Failed for <HOST>`}, MaxLines: 2}, "", true},
		{"all is checked", Options{FailRegex: []string{`Failed for <HOST>`}, CheckAll: true}, "", true},
		{"nothing can match", Options{}, "x", false},
		{"what is left of the brackets", Options{FailRegex: []string{`^\[\] <HOST> fail`}, DatePattern: apache}, "[2025] 1 fail", true},
		{"a date in the middle of a text", Options{FailRegex: []string{`client denied <HOST>`}, DatePattern: `()foo`}, "client 2025 denied", true},
		{"a default date leaves words whole", Options{FailRegex: []string{`client denied <HOST>`}}, "denied client", false},
		{"the newline that is added", Options{FailRegex: []string{`<HOST> failed\n`}, DatePattern: syslog}, "192.0.2.1 failed", true},
		{"a newline amid", Options{FailRegex: []string{`<HOST> failed\nmore`}, DatePattern: syslog}, "192.0.2.1", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mustNew(t, tt.o).Wants(tt.line); got != tt.want {
				t.Errorf("wants %q: %v, want %v", tt.line, got, tt.want)
			}
		})
	}
}

func TestAGroupAnswersAsItsFilters(t *testing.T) {
	words := []string{"alpha", "beta", "gamma", "delta", "epsilon", "alphabet", "betabeta"}
	random := rand.New(rand.NewPCG(1, 2))
	var filters []*Filter
	for i := range 150 {
		o := Options{DatePattern: "{^LN-BEG}"}
		for range random.IntN(4) {
			o.FailRegex = append(o.FailRegex, fmt.Sprintf("%s%d %s <HOST>", words[random.IntN(len(words))], i%7, words[random.IntN(len(words))]))
		}
		if i == 3 || i == 140 {
			o.FailRegex = append(o.FailRegex, "<HOST>")
		}
		filters = append(filters, mustNew(t, o))
	}
	g := NewGroup(filters)
	for range 500 {
		var line []string
		for range random.IntN(6) {
			line = append(line, words[random.IntN(len(words))]+strconv.Itoa(random.IntN(8)), words[random.IntN(len(words))])
		}
		text := strings.Join(line, " ")
		w := g.Scan(text)
		some := false
		for i, f := range filters {
			if got, want := w.Has(i), f.Wants(text); got != want {
				t.Fatalf("filter %d, %q: the group says %v, the filter %v", i, text, got, want)
			}
			some = some || w.Has(i)
		}
		if w.Any() != some || w.Has(len(filters)) {
			t.Fatalf("%q: Any is %v, want %v", text, w.Any(), some)
		}
	}
	if (Wanted{}).Any() || !(Wanted{more: []uint64{0, 1}}).Any() {
		t.Error("Any of an empty set, or not of one behind the 64th")
	}
}

func TestScanFindsEveryLiteral(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	word := func(n int) string {
		b := make([]byte, 1+random.IntN(n))
		for i := range b {
			b[i] = "abc\xc3"[random.IntN(4)]
		}
		return string(b)
	}
	for range 300 {
		var literals []string
		for range 1 + random.IntN(12) {
			if w := word(5); !slices.Contains(literals, w) {
				literals = append(literals, w)
			}
		}
		text := word(60)
		found := make([]int, len(literals))
		newScanner(literals).scan(text, func(l int32) { found[l]++ })
		for i, l := range literals {
			want := 0
			for at := range len(text) {
				if strings.HasPrefix(text[at:], l) {
					want++
				}
			}
			if found[i] != want {
				t.Fatalf("%q in %q: found %d times, want %d (of %q)", l, text, found[i], want, literals)
			}
		}
	}
}

func TestScanKnowsAllBytes(t *testing.T) {
	var all []byte
	for b := range 256 {
		all = append(all, byte(b))
	}
	found := 0
	newScanner([]string{string(all)}).scan("x"+string(all)+"x", func(int32) { found++ })
	if found != 1 {
		t.Errorf("found %d times, want 1", found)
	}
}

func TestAScanOfAMissAllocatesNothing(t *testing.T) {
	g := NewGroup([]*Filter{mustNew(t, gate), mustNew(t, Options{FailRegex: []string{`Failed for <HOST>`}})})
	s := mustNew(t, gate).NewSession()
	line := stamp(3) + " host CRON[123]: session opened for user root"
	for range 2 * skippedMax {
		s.Process(Line{Text: line}, testNow, true)
	}
	if n := testing.AllocsPerRun(100, func() {
		if g.Scan(line).Any() {
			t.Error("the line is wanted")
		}
	}); n > 0 {
		t.Errorf("a scan allocates %v times", n)
	}
}
