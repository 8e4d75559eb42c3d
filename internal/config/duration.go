package config

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// MaxTime bounds every time of the configuration: 200 years, which can be added to today without
// leaving what nanoseconds since 1970 can count. What is longer is cut to it, in both directions.
const MaxTime = 200 * 8766 * time.Hour

// timeUnits are the words of the time grammar with their seconds; a month is a twelfth of a year of
// 365.25 days.
var timeUnits = map[string]float64{
	"s": 1, "se": 1, "ss": 1, "sec": 1, "second": 1, "seconds": 1,
	"m": 60, "mi": 60, "mm": 60, "min": 60, "minute": 60, "minutes": 60,
	"h": 3600, "hh": 3600, "ho": 3600, "hou": 3600, "hour": 3600, "hours": 3600,
	"d": 86400, "da": 86400, "dd": 86400, "day": 86400, "days": 86400,
	"w": 604800, "we": 604800, "ww": 604800, "wee": 604800, "week": 604800, "weeks": 604800,
	"mo": 2629800, "mon": 2629800, "month": 2629800, "months": 2629800,
	"y": 31557600, "ye": 31557600, "yy": 31557600, "yea": 31557600, "year": 31557600, "years": 31557600,
}

// maxTimeText bounds the text of a time, and with it the depth of its parentheses.
const maxTimeText = 1000

// ParseTime reads a time as fail2ban writes it: "600", "10m", "1d 12h", "1h30" (one hour and thirty
// seconds), "60*5", "-1". Units are seconds, minutes, hours, days, weeks, months and years, shortened
// as far as one letter ("mo" for months); parts beside each other are added; + - * / // % ** and
// parentheses compute. Nothing is evaluated as code. The result is rounded to nanoseconds and lies
// within ±MaxTime.
func ParseTime(s string) (time.Duration, error) {
	if len(s) > maxTimeText {
		return 0, fmt.Errorf("a time of more than %d characters", maxTimeText)
	}
	tokens, err := timeTokens(strings.TrimFunc(s, isSpace))
	if err != nil {
		return 0, err
	}
	p := timeParser{tokens: tokens}
	v, err := p.sum()
	if err != nil {
		return 0, err
	}
	if p.pos < len(tokens) {
		return 0, fmt.Errorf("unexpected %s", tokens[p.pos].text)
	}
	ns := v * float64(time.Second)
	switch {
	case math.IsNaN(ns):
		return 0, errors.New("not a number")
	case ns >= float64(MaxTime):
		return MaxTime, nil
	case ns <= -float64(MaxTime):
		return -MaxTime, nil
	}
	return time.Duration(math.Round(ns)), nil
}

// timeToken is a number, an operator or a bracket. A unit is the operator * and its number.
type timeToken struct {
	text   string
	number float64 // if text begins with a digit or a dot
}

func (t timeToken) isNumber() bool { return t.text[0] == '.' || t.text[0] >= '0' && t.text[0] <= '9' }

func timeTokens(s string) ([]timeToken, error) {
	var tokens []timeToken
	spaced := false // white space before this token
	for s != "" {
		if t := strings.TrimLeftFunc(s, isSpace); len(t) < len(s) {
			s, spaced = t, true
			continue
		}
		var n int
		switch c := s[0]; {
		case c == '.' || c >= '0' && c <= '9':
			n = numberLength(s)
			v, err := parseNumber(s[:n])
			if err != nil {
				return nil, err
			}
			if len(tokens) > 0 && tokens[len(tokens)-1].isNumber() {
				if !spaced && !tokens[len(tokens)-1].isUnit() || c == '.' {
					return nil, fmt.Errorf("unexpected %s", s[:n])
				}
				tokens = append(tokens, timeToken{text: "+"})
			}
			tokens = append(tokens, timeToken{s[:n], v})
		case isLetter(c):
			n = strings.IndexFunc(s, func(r rune) bool { return r > 127 || !isLetter(byte(r)) })
			if n < 0 {
				n = len(s)
			}
			unit, ok := timeUnits[strings.ToLower(s[:n])]
			if !ok || len(tokens) == 0 {
				return nil, fmt.Errorf("unknown unit %s", oneLine(s[:n]))
			}
			tokens = append(tokens, timeToken{text: "*"}, timeToken{text: "1" + s[:n], number: unit})
		case strings.HasPrefix(s, "**"), strings.HasPrefix(s, "//"):
			n = 2
			tokens = append(tokens, timeToken{text: s[:2]})
		case strings.IndexByte("+-*/%()", c) >= 0:
			n = 1
			tokens = append(tokens, timeToken{text: s[:1]})
		default:
			return nil, fmt.Errorf("unexpected %s", oneLine(s))
		}
		s, spaced = s[n:], false
	}
	return tokens, nil
}

// isUnit tells the number that a unit stands for from one that was written.
func (t timeToken) isUnit() bool { return isLetter(t.text[len(t.text)-1]) }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// numberLength is the length of the digits, dots and underscores at the beginning of s.
func numberLength(s string) int {
	n := strings.IndexFunc(s, func(r rune) bool { return r != '.' && r != '_' && (r < '0' || r > '9') })
	if n < 0 {
		return len(s)
	}
	return n
}

// parseNumber reads a decimal number as Python writes it: no leading zeros but in a fraction, single
// underscores between digits.
func parseNumber(s string) (float64, error) {
	plain, ok := withoutUnderscores(s)
	whole, _, fraction := strings.Cut(plain, ".")
	if !ok || !fraction && len(whole) > 1 && whole[0] == '0' && strings.Trim(whole, "0") != "" {
		return 0, fmt.Errorf("%s is no number", oneLine(s))
	}
	v, err := strconv.ParseFloat(plain, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, fmt.Errorf("%s is no number", oneLine(s))
	}
	return v, nil
}

// withoutUnderscores takes the underscores out of a number; each must stand between two digits.
func withoutUnderscores(s string) (string, bool) {
	for i := range len(s) {
		if s[i] == '_' && (i == 0 || i == len(s)-1 || !isDigit(s[i-1]) || !isDigit(s[i+1])) {
			return s, false
		}
	}
	return strings.ReplaceAll(s, "_", ""), true
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// timeParser computes the tokens with Python's precedence.
type timeParser struct {
	tokens []timeToken
	pos    int
}

func (p *timeParser) take(ops ...string) string {
	if p.pos < len(p.tokens) {
		for _, op := range ops {
			if p.tokens[p.pos].text == op {
				p.pos++
				return op
			}
		}
	}
	return ""
}

func (p *timeParser) sum() (float64, error) {
	v, err := p.product()
	for err == nil {
		op := p.take("+", "-")
		if op == "" {
			break
		}
		var w float64
		w, err = p.product()
		if op == "+" {
			v += w
		} else {
			v -= w
		}
	}
	return v, err
}

func (p *timeParser) product() (float64, error) {
	v, err := p.signed()
	for err == nil {
		op := p.take("*", "/", "//", "%")
		if op == "" {
			break
		}
		var w float64
		if w, err = p.signed(); err != nil {
			break
		}
		if op != "*" && w == 0 {
			return 0, errors.New("division by zero")
		}
		switch op {
		case "*":
			v *= w
		case "/":
			v /= w
		case "//":
			v = math.Floor(v / w)
		case "%":
			v -= w * math.Floor(v/w)
		}
	}
	return v, err
}

func (p *timeParser) signed() (float64, error) {
	switch p.take("+", "-") {
	case "+":
		return p.signed()
	case "-":
		v, err := p.signed()
		return -v, err
	}
	return p.power()
}

func (p *timeParser) power() (float64, error) {
	v, err := p.atom()
	if err != nil || p.take("**") == "" {
		return v, err
	}
	w, err := p.signed()
	return math.Pow(v, w), err
}

func (p *timeParser) atom() (float64, error) {
	if p.pos >= len(p.tokens) {
		return 0, errors.New("expected a number")
	}
	if p.take("(") != "" {
		v, err := p.sum()
		if err == nil && p.take(")") == "" {
			err = errors.New("a parenthesis is never closed")
		}
		return v, err
	}
	t := p.tokens[p.pos]
	if !t.isNumber() {
		return 0, fmt.Errorf("unexpected %s", t.text)
	}
	p.pos++
	return t.number, nil
}
