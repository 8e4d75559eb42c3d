package date

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// zoneName is what a zone abbreviation looks like: one letter, or three to five.
const zoneName = `[A-Z](?:[A-Z]{2,4})?`

// The names, in C's locale whatever the machine's is: logs are written in it.
var (
	monthsShort = []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}
	monthsLong  = []string{
		"january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
		"november", "december",
	}
	daysShort = []string{"mon", "tue", "wed", "thu", "fri", "sat", "sun"}
	daysLong  = []string{"monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"}
)

// directive is what a % and a letter stand for: a regex with a named group that the time is made of,
// and the word that a template's name shows instead.
type directive struct{ regex, name string }

// directives lists all but the years, which depend on when they are compiled. The regexes are those
// that fail2ban and Python's strptime document by what they accept; a blank in front of a number is
// part of the directive where single digits are padded with one.
var directives = map[string]directive{
	"a":   {group("a", daysShort), "DAY"},
	"A":   {group("A", daysLong), "DAYNAME"},
	"b":   {group("b", monthsShort), "MON"},
	"B":   {group("B", monthsLong), "MONTH"},
	"d":   {`(?P<d>[1-2]\d|[0 ]?[1-9]|3[0-1])`, "Day"},
	"Exd": {`(?P<d>[1-2]\d|0[1-9]|3[0-1])`, "ExDay"},
	"m":   {`(?P<m>0?[1-9]|1[0-2])`, "Month"},
	"Exm": {`(?P<m>0[1-9]|1[0-2])`, "ExMonth"},
	"Y":   {`(?P<Y>\d{4})`, "Year"},
	"y":   {`(?P<y>\d\d)`, "Year2"},
	"Exy": {`(?P<y>\d{2})`, "ExYear2"},
	"H":   {`(?P<H>[0-1]?\d|2[0-3])`, "24hour"},
	"ExH": {`(?P<H>[0-1]\d|2[0-3])`, "Ex24hour"},
	"k":   {` ?(?P<H>[0-2]?\d)`, "%k"},
	"Exk": {` ?(?P<H>[0-1]?\d|2[0-3])`, "%Exk"},
	"I":   {`(?P<I>1[0-2]|0[1-9]|[1-9])`, "12hour"},
	"l":   {` ?(?P<I>1?\d)`, "%l"},
	"Exl": {` ?(?P<I>1[0-2]|\d)`, "%Exl"},
	"M":   {`(?P<M>[0-5]?\d)`, "Minute"},
	"ExM": {`(?P<M>[0-5]\d)`, "ExMinute"},
	"S":   {`(?P<S>[0-5]?\d|6[0-1])`, "Second"},
	"ExS": {`(?P<S>[0-5]\d|6[0-1])`, "ExSecond"},
	"f":   {`(?P<f>[0-9]{1,6})`, "Microseconds"},
	"p":   {`(?P<p>am|pm)`, "AMPM"},
	"j":   {`(?P<j>36[0-6]|3[0-5]\d|[1-2]\d\d|0[1-9]\d|00[1-9]|[1-9]\d|0[1-9]|[1-9])`, "Yearday"},
	"U":   {`(?P<U>5[0-3]|[0-4]\d|\d)`, "Yearweek"},
	"W":   {`(?P<W>5[0-3]|[0-4]\d|\d)`, "Yearweek"},
	"w":   {`(?P<w>[0-6])`, "Weekday"},
	"z":   {`(?P<z>Z|UTC|GMT|[+-][01]\d(?::?\d{2})?)`, "Zone offset"},
	"Exz": {`(?P<z>(?:` + zoneName + `)?[+-][01]\d(?::?\d{2})?|` + zoneName + `)`, "ExZone offset"},
	"Z":   {`(?P<Z>Z|[A-Z]{3,5})`, "Zone name"},
	"ExZ": {`(?P<Z>` + zoneName + `)`, "ExZone name"},
	// Accepted, and of no use without what they belong to.
	"G": {`(?P<G>\d\d\d\d)`, "%G"},
	"V": {`(?P<V>5[0-3]|0[1-9]|[1-4]\d|\d)`, "%V"},
	"u": {`(?P<u>[1-7])`, "%u"},
	// The locale's own forms, in C's locale.
	"c": {group("a", daysShort) + `\s+` + group("b", monthsShort) + `\s+(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])\s+` + clock + `\s+(?P<Y>\d\d\d\d)`, "%c"},
	"x": {`(?P<m>1[0-2]|0[1-9]|[1-9])/(?P<d>3[0-1]|[1-2]\d|0[1-9]|[1-9]| [1-9])/(?P<y>\d\d)`, "%x"},
	"X": {clock, "%X"},
	"%": {"%", "%"},
}

const clock = `(?P<H>2[0-3]|[0-1]\d|\d):(?P<M>[0-5]\d|\d):(?P<S>6[0-1]|[0-5]\d|\d)`

func group(name string, words []string) string {
	return "(?P<" + name + ">" + strings.Join(words, "|") + ")"
}

// firstDecade is where the plausible years begin: fail2ban takes a log to be of this century. The
// tools that test a filter on old logs begin earlier.
const (
	firstDecade    = 200
	firstDecadeAll = 196
	yearsAhead     = 3 // a daemon that runs for years keeps recognising dates
)

// plausibleYears is %ExY at a time, and the last year that it takes: the decades from the first plausible
// one to that of three years on. A clock before its time has one.
func plausibleYears(now time.Time, all bool) (regex string, last int) {
	first := firstDecade
	if all {
		first = firstDecadeAll
	}
	end := max(first, (now.Year()+yearsAhead)/10)
	var decades []string
	for d := first; d <= end; d++ {
		decades = append(decades, strconv.Itoa(d))
	}
	return "(?P<Y>(?:" + strings.Join(decades, "|") + `)\d)`, 10*end + 9
}

// expand replaces the directives of a pattern: by their regexes, and by their names for showing.
func expand(pattern, year string) (regex, name string, err error) {
	var re, nm strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			re.WriteByte(pattern[i])
			nm.WriteByte(pattern[i])
			continue
		}
		key := ""
		if rest := pattern[i+1:]; strings.HasPrefix(rest, "Ex") && len(rest) > 2 {
			key = rest[:3]
		} else if rest != "" {
			key = rest[:1]
		}
		d, ok := directives[key]
		if key == "ExY" {
			d, ok = directive{year, "ExYear"}, true
		}
		switch {
		case key == "":
			return "", "", errors.New("a % at the end stands for nothing (a literal one is %%)")
		case !ok:
			return "", "", fmt.Errorf("unknown directive %%%s (a literal %% is %%%%)", key)
		}
		re.WriteString(d.regex)
		nm.WriteString(d.name)
		i += len(key)
	}
	return re.String(), nm.String(), nil
}

// ignoresCase reports whether a pattern has a directive that is a word; such a pattern is compiled
// without regard to case, all of it.
func ignoresCase(pattern string) bool {
	for i := 0; i+1 < len(pattern); i++ {
		if pattern[i] == '%' && strings.IndexByte("aAbBpc", pattern[i+1]) >= 0 && (i == 0 || pattern[i-1] != '%') {
			return true
		}
	}
	return false
}
