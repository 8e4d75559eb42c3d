package date

import (
	"strings"
	"unicode/utf8"
)

// traits is what can be seen of a line in one look, without a regex. A template whose needs are not all
// among them cannot match; most lines without a date are done with by that.
type traits uint8

const (
	hasDigit traits = 1 << iota
	hasClock        // a digit, a colon, one or two digits, a colon, a digit
	hasEight        // eight digits in a row
	hasTen          // ten digits in a row
	hasAt           // @
	looked          // no trait: says that a line has been looked at
)

// wideDigits is how many bytes two digits of another script may have.
const wideDigits = 2 * utf8.UTFMax

// needsOf gives what a line must have for a default template to match in it.
func needsOf(pattern string) traits {
	switch {
	case pattern == "TAI64N":
		return hasAt
	case pattern == "EPOCH":
		return hasDigit | hasTen
	case strings.HasPrefix(pattern, "%ExY%Exm%Exd"):
		return hasDigit | hasEight
	default: // hours, minutes and seconds are in all the others
		return hasDigit | hasClock
	}
}

// traitsOf looks at a line. A character beyond ASCII may be a digit of another script; each of its bytes
// is taken for one, so that a trait may be seen where it is not, and never the other way round.
func traitsOf(text string) traits {
	var t traits
	if strings.IndexByte(text, '@') >= 0 {
		t |= hasAt
	}
	run, wide := 0, false // the digits before i, and whether bytes beyond ASCII are among them
	clock := 0            // how many parts of a clock, each with its colon, end at the run
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= '0' && c <= '9', c >= utf8.RuneSelf:
			run++
			wide = wide || c >= utf8.RuneSelf
			if clock == 2 {
				t |= hasClock
			}
			t |= runTraits(run)
			continue
		case c == ':' && run > 0:
			if clock == 1 && (run <= 2 || wide && run <= wideDigits) {
				clock = 2
			} else {
				clock = 1
			}
		default:
			clock = 0
		}
		run, wide = 0, false
	}
	return t
}

func runTraits(digits int) traits {
	switch {
	case digits >= 10:
		return hasDigit | hasEight | hasTen
	case digits >= 8:
		return hasDigit | hasEight
	default:
		return hasDigit
	}
}
