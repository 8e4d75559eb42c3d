package date

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"github.com/palisade-agent/palisade/internal/oracle"
)

func TestDigitsOfAnyScript(t *testing.T) {
	for text, want := range map[string]string{
		"":         "",
		"2026":     "2026",
		"٢٠٢٦":     "2026",
		"2०26":     "2026",
		"𝟎𝟗𝟘𝟡":     "0909",
		"½²é":      "½²é", // numbers, but not decimal digits
		"Nov é 1६": "Nov é 16",
	} {
		if got := plainDigits(text); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

// TestDigitsEqualPythons asks Python's int for the value of every digit that there is; where one of the
// two knows a later edition of Unicode, there is nothing to compare.
func TestDigitsEqualPythons(t *testing.T) {
	var all strings.Builder
	for r := rune(0x80); r <= unicode.MaxRune; r++ {
		if unicode.IsDigit(r) {
			all.WriteRune(r)
		}
	}
	in, err := json.Marshal(all.String())
	if err != nil {
		t.Fatal(err)
	}
	var want []int
	oracle.JSON(t, "import sys, json, unicodedata\njson.dump([unicodedata.decimal(c, -1) for c in json.load(sys.stdin)], sys.stdout)", in, &want)
	known := 0
	for i, r := range []rune(all.String()) {
		if want[i] < 0 {
			continue
		}
		known++
		if got := plainDigit(r); got != '0'+rune(want[i]) {
			t.Errorf("%U: got %c, want %d", r, got, want[i])
		}
	}
	if known < 500 {
		t.Errorf("Python knows only %d digits", known)
	}
}
