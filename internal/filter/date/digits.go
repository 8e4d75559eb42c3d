package date

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// plainDigits writes the decimal digits of any script as those of ASCII. The regexes take them for
// digits, as Python's do, and so does its int.
func plainDigits(s string) string {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return strings.Map(plainDigit, s)
		}
	}
	return s
}

func plainDigit(r rune) rune {
	if r < utf8.RuneSelf || !unicode.IsDigit(r) {
		return r
	}
	// The digits of a script follow one another, zero first; the ranges hold whole scripts.
	for _, x := range unicode.Digit.R16 {
		if r >= rune(x.Lo) && r <= rune(x.Hi) {
			return '0' + (r-rune(x.Lo))%10
		}
	}
	for _, x := range unicode.Digit.R32 {
		if r >= rune(x.Lo) && r <= rune(x.Hi) {
			return '0' + (r-rune(x.Lo))%10
		}
	}
	return r
}
