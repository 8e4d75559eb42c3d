package date

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// What a time in seconds since 1970 looks like; the long form may be in milli- or microseconds.
const (
	epochNumber     = `\d{10,11}\b(?:\.\d{3,6})?`
	longEpochNumber = `\d{10,11}(?:\d{3}(?:\.\d{1,6}|\d{3})?)?`
	epochGroup      = "palisade_epoch"
	tai64nRegex     = `@[0-9a-f]{24}`
)

// epochRegex is EPOCH by itself: at the start of the line, there in square brackets, or in the
// audit(…) of a line of the kernel's audit log. The group that is cut has no name; the number in it is
// found again by its own.
func epochRegex(long, lineBegin bool) string {
	number := "(?P<" + epochGroup + ">" + numberOf(long) + ")"
	if lineBegin {
		return `((?P<square>(?<=^\[))?` + number + `)(?(square)(?=\]))`
	}
	return `((?:^|(?P<square>(?<=^\[))|(?P<selinux>(?<=\baudit\()))` + number + `)(?:(?(selinux)(?=:\d+\)))|(?(square)(?=\])))`
}

func numberOf(long bool) string {
	if long {
		return longEpochNumber
	}
	return epochNumber
}

var epochTag = regexp.MustCompile(`(?i)\{L?EPOCH\}`)

// expandEpoch puts the number in the place of each {EPOCH} or {LEPOCH} of a pattern, in any case and not
// escaped; if one of them is long, all are. The time is the first one's.
func expandEpoch(pattern string) (regex string, long, ok bool) {
	var tags [][]int
	for _, tag := range epochTag.FindAllStringIndex(pattern, -1) {
		if !escaped(pattern, tag[0]) {
			tags = append(tags, tag)
			long = long || tag[1]-tag[0] == len("{LEPOCH}")
		}
	}
	var b strings.Builder
	end := 0
	for i, tag := range tags {
		open := "(?:"
		if i == 0 {
			open = "(?P<" + epochGroup + ">"
		}
		b.WriteString(pattern[end:tag[0]] + open + numberOf(long) + ")")
		end = tag[1]
	}
	return b.String() + pattern[end:], long, len(tags) > 0
}

// epochTime reads the number that an epoch template found. The fraction is kept to the microsecond.
func epochTime(text string, long bool, local *time.Location) (time.Time, error) {
	unit := time.Second
	if long && len(text) >= 13 {
		unit = time.Millisecond
		if len(text) >= 16 && !strings.Contains(text, ".") {
			unit = time.Microsecond
		}
	}
	whole, fraction, _ := strings.Cut(text, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	var t time.Time
	switch unit {
	case time.Millisecond:
		t = time.UnixMilli(n)
	case time.Microsecond:
		t = time.UnixMicro(n)
	default:
		t = time.Unix(n, 0)
	}
	if fraction != "" {
		f, err := strconv.ParseFloat("0."+fraction, 64)
		if err != nil {
			return time.Time{}, err
		}
		t = t.Add(time.Duration(f * float64(unit)).Round(time.Microsecond))
	}
	return t.In(local), nil
}

// tai64nTime reads an @ and 24 hexadecimal digits: the seconds are the digits 2 to 16, which leaves the
// leap seconds of the atomic time scale in, as fail2ban does.
func tai64nTime(text string, local *time.Location) (time.Time, error) {
	n, err := strconv.ParseInt(text[2:17], 16, 64)
	if err != nil {
		return time.Time{}, err
	}
	return time.Unix(n, 0).In(local), nil
}
