package config

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Severity says what a Problem does.
type Severity uint8

const (
	// Error switches off the jail that the problem names; without a jail, it concerns a file or a
	// shared section, and every jail that depends on it has a problem of its own.
	Error Severity = iota
	// Warning changes nothing.
	Warning
)

// String is "error" or "warning".
func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Origin says where a value was written.
type Origin struct {
	File    string // as it was opened; files of the stock begin with "stock:"
	Line    int    // from 1; 0 if the whole file is meant
	Section string
	Key     string
	Value   string // as it was written, or as it came out where that says more
}

// IsZero reports whether nothing is known about the origin.
func (o Origin) IsZero() bool { return o == Origin{} }

// String is "file:line [section] key", as far as it is known.
func (o Origin) String() string {
	var b strings.Builder
	b.WriteString(o.File)
	if o.Line > 0 {
		b.WriteByte(':')
		b.WriteString(strconv.Itoa(o.Line))
	}
	if o.Section != "" {
		fmt.Fprintf(&b, " [%s]", o.Section)
	}
	if o.Key != "" {
		b.WriteByte(' ')
		b.WriteString(o.Key)
	}
	return strings.TrimSpace(b.String())
}

// Problem makes a problem of this place: what is wrong, and what to do about it (hint may be empty).
func (o Origin) Problem(severity Severity, jail, msg, hint string) Problem {
	return Problem{
		Severity: severity, Jail: jail,
		File: o.File, Line: o.Line, Section: o.Section, Key: o.Key, Value: o.Value,
		Msg: msg, Hint: hint,
	}
}

// Problem is one thing that is wrong with the configuration.
type Problem struct {
	Severity Severity
	Jail     string // the jail that is switched off (Error) or concerned (Warning); "" if none
	File     string
	Line     int // from 1; 0 if the whole file is meant
	Section  string
	Key      string
	Value    string
	Msg      string
	Hint     string // the next step; may be empty
}

// Error is the problem on one line: file:line [section] key = value: message (hint).
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(Origin{File: p.File, Line: p.Line, Section: p.Section, Key: p.Key}.String())
	if p.Key != "" {
		b.WriteString(" = ")
		b.WriteString(oneLine(p.Value))
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	b.WriteString(p.Msg)
	if p.Hint != "" {
		fmt.Fprintf(&b, " (%s)", p.Hint)
	}
	return b.String()
}

// maxShown is how many characters of a value are shown in a message.
const maxShown = 120

// oneLine makes a value fit into a message: on one line, printable, not too long.
func oneLine(s string) string {
	cut := s
	if utf8.RuneCountInString(s) > maxShown {
		n := 0
		for i := range s {
			if n == maxShown {
				cut = s[:i] + "…"
				break
			}
			n++
		}
	}
	if strings.ContainsFunc(cut, func(r rune) bool { return !unicode.IsPrint(r) }) || !utf8.ValidString(cut) {
		return strconv.Quote(cut)
	}
	return cut
}

// fault is an error with the place where it arose; the loader makes a Problem of it.
type fault struct {
	at   Origin
	msg  string
	hint string
}

func (f *fault) Error() string { return f.at.Problem(Error, "", f.msg, f.hint).Error() }

func faultf(at Origin, hint, format string, args ...any) *fault {
	return &fault{at: at, msg: fmt.Sprintf(format, args...), hint: hint}
}
