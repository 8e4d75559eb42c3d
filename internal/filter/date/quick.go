package date

import "strings"

// quick reads the commonest forms of one template, at the start of a line, without its regex. It must
// be right where it says ok, in the end of the date and in its parts: the regex would match the same
// text from the first byte on. It may always say no, and the regex decides.
type quick func(line string) (f fields, end int, ok bool)

// quickOf gives the quick reader of a default template's variant for the start of the line, nil where
// there is none.
func (b builder) quickOf(pattern string) quick {
	switch pattern {
	case isoPattern:
		return quickISO(b.lastYear)
	case syslogPattern:
		return quickSyslog
	}
	return nil
}

// quickSyslog reads "Nov 22 10:11:12 " without a weekday, a fraction or a year.
func quickSyslog(line string) (f fields, end int, ok bool) {
	const form = "Nov 22 10:11:12 "
	if len(line) <= len(form) || line[3] != ' ' || line[6] != ' ' || line[15] != ' ' {
		return f, 0, false
	}
	if line[len(form)] == '2' { // there may be a year
		return f, 0, false
	}
	month := strings.Index("JanFebMarAprMayJunJulAugSepOctNovDec", line[:3])
	if month < 0 || month%3 != 0 {
		return f, 0, false
	}
	f.month, f.hasMonth, f.hasDay = month/3+1, true, true
	if line[4] == ' ' {
		f.day = int(line[5] - '0')
	} else {
		f.day = twoDigits(line, 4)
	}
	if f.day < 1 || f.day > 31 || line[4] == ' ' && f.day > 9 || !f.quickClock(line, 7, 29) {
		return f, 0, false
	}
	return f, len(form) - 1, true
}

// quickISO makes the reader of "2026-11-22 10:11:12", with a T between, other dashes, a fraction or a
// zone behind, for years up to the last plausible one.
func quickISO(lastYear int) quick {
	return func(line string) (f fields, end int, ok bool) {
		const form = "2026-11-22 10:11:12"
		if len(line) < len(form) || line[4] != line[7] || line[10] != ' ' && line[10] != 'T' {
			return f, 0, false
		}
		if line[4] != '-' && line[4] != '/' && line[4] != '.' {
			return f, 0, false
		}
		century, year := twoDigits(line, 0), twoDigits(line, 2)
		f.year, f.month, f.day = 100*century+year, twoDigits(line, 5), twoDigits(line, 8)
		f.hasYear, f.hasMonth, f.hasDay = true, true, true
		if century != 20 || year < 0 || f.year > lastYear || f.month < 1 || f.month > 12 || f.day < 1 || f.day > 31 {
			return f, 0, false
		}
		if !f.quickClock(line, 11, 23) {
			return f, 0, false
		}
		end, ok = skipFraction(line, len(form))
		if !ok {
			return f, 0, false
		}
		end, ok = f.quickZone(line, end)
		return f, end, ok
	}
}

// quickClock reads hours, minutes and seconds of two digits each.
func (f *fields) quickClock(line string, at, lastHour int) bool {
	f.hour, f.minute, f.second = twoDigits(line, at), twoDigits(line, at+3), twoDigits(line, at+6)
	return line[at+2] == ':' && line[at+5] == ':' && f.hour >= 0 && f.hour <= lastHour &&
		f.minute >= 0 && f.minute <= 59 && f.second >= 0 && f.second <= 59
}

// skipFraction passes up to six digits of a fraction; there may be none.
func skipFraction(line string, at int) (end int, ok bool) {
	if at+1 >= len(line) || line[at] != '.' && line[at] != ',' || !isDigit(line[at+1]) {
		return at, true
	}
	end = at + 1
	for end < len(line) && isDigit(line[end]) {
		end++
	}
	return end, end-at <= 7
}

// quickZone reads Z, +01, +0100 or +01:00 if one of them is next. It says no where it would have to look
// further than one character to know that none is.
func (f *fields) quickZone(line string, at int) (end int, ok bool) {
	if at == len(line) {
		return at, true
	}
	switch c := line[at]; c {
	case ' ': // a zone may stand behind blanks
		return at, at+1 < len(line) && line[at+1] > ' ' && line[at+1] < 0x7f && strings.IndexByte("ZUG+-", line[at+1]) < 0
	case ']', ')', '|', ';', ',', ':':
		return at, true
	case 'Z':
		f.hasZone = true
		return at + 1, endsWord(line, at+1)
	case '+', '-':
		end = at + 3
		hours := -1
		if end <= len(line) {
			hours = twoDigits(line, at+1)
		}
		if hours < 0 || hours > 19 {
			return at, false
		}
		minutes := 0
		if end < len(line) && (line[end] == ':' || isDigit(line[end])) {
			if line[end] == ':' {
				end++
			}
			if end+2 > len(line) {
				return at, false
			}
			minutes = twoDigits(line, end)
			end += 2
		}
		f.hasZone, f.offset = true, 60*hours+minutes
		if c == '-' {
			f.offset = -f.offset
		}
		return end, minutes >= 0 && endsWord(line, end)
	}
	return at, false
}

// endsWord reports whether no word goes on at i. Beyond ASCII only the regex knows what a word is.
func endsWord(line string, i int) bool {
	if i == len(line) {
		return true
	}
	c := line[i]
	return c < 0x80 && c != '_' && !isDigit(c) && !isLetter(c)
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }

// twoDigits reads a number of two digits, -1 for anything else.
func twoDigits(s string, at int) int {
	if !isDigit(s[at]) || !isDigit(s[at+1]) {
		return -1
	}
	return 10*int(s[at]-'0') + int(s[at+1]-'0')
}
