package date

import (
	"fmt"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// kind says how the text that a template found becomes a time.
type kind uint8

const (
	kindFields kind = iota // by the named groups of its directives
	kindEpoch
	kindLongEpoch
	kindTAI64N
)

// The prefixes with which a pattern says where it must stand.
const (
	lineBeginMark = "{^LN-BEG}"
	unboundMark   = "{UNB}"
	noBoundMark   = "**"
)

// anchoredWeight makes the line-begin variants of the default templates rise before all others.
const anchoredWeight = 100

// template is one form of date: a regex whose group 1 is the text that is cut from the line.
type template struct {
	name     string
	pattern  string // with directives; "" for those that have none (EPOCH, TAI64N)
	regex    *pyre.Regexp
	kind     kind
	weight   float64
	anchored bool // at the start or the end of the line
	atStart  bool // at the start
	number   int  // the group with the number of an epoch template
	needs    traits
	quick    quick // nil: the regex alone

	fields []field // the named groups, in order, that a time is made of
}

type field struct {
	group int
	name  string
}

// bounds is how a regex is fenced in.
type bounds uint8

const (
	boundWord bounds = iota // by a word boundary on either side
	boundLine               // to the start of the line, two characters of no word in front allowed
	boundNone
	boundRight // nothing on the left
)

// builder makes templates that share the years of one moment, and regexes if there is a compiler.
type builder struct {
	year     string // the regex of %ExY
	lastYear int
	compiler *Compiler
}

// fromPattern makes the template of a pattern with directives, in any of fail2ban's notations.
func (b builder) fromPattern(pattern string) (*template, error) {
	if regex, long, ok := expandEpoch(pattern); ok {
		return b.embeddedEpoch(pattern, regex, long)
	}
	t := &template{pattern: pattern, kind: kindFields, weight: 1}
	how, rest := boundWord, pattern
	if after, cut := strings.CutPrefix(rest, unboundMark); cut {
		how, rest = boundNone, after
	} else if after, cut := strings.CutPrefix(rest, lineBeginMark); cut {
		how, rest = boundLine, after
	}
	regex, name, err := expand(rest, b.year)
	if err != nil {
		return nil, fmt.Errorf("date pattern %q: %w", pattern, err)
	}
	t.name = name
	if how == boundLine {
		t.name = lineBeginMark + name
	}
	if ignoresCase(pattern) {
		regex = "(?iu)" + regex
	}
	if err := b.compile(t, regex, how); err != nil {
		return nil, fmt.Errorf("date pattern %q: %w", pattern, err)
	}
	names := t.regex.Names()
	for i, n := range names {
		if n != "" {
			t.fields = append(t.fields, field{i, n})
		}
	}
	return t, nil
}

// embeddedEpoch makes the template of a pattern with {EPOCH} in it. What is cut is the pattern's own
// group, or all of it.
func (b builder) embeddedEpoch(pattern, regex string, long bool) (*template, error) {
	t := &template{name: pattern, kind: kindEpoch, weight: 1}
	if long {
		t.kind = kindLongEpoch
	}
	if err := b.compile(t, regex, boundWord); err != nil {
		return nil, fmt.Errorf("date pattern %q: %w", pattern, err)
	}
	t.number = t.regex.Index(epochGroup)
	return t, nil
}

// epoch makes EPOCH or LEPOCH by itself.
func (b builder) epoch(long, lineBegin bool) (*template, error) {
	t := &template{name: "Epoch", kind: kindEpoch, weight: 1}
	if long {
		t.name, t.kind = "LongEpoch", kindLongEpoch
	}
	how := boundRight
	if lineBegin {
		how, t.name = boundLine, lineBeginMark+t.name
	}
	if err := b.compile(t, epochRegex(long, lineBegin), how); err != nil {
		return nil, err
	}
	t.number = t.regex.Index(epochGroup)
	return t, nil
}

// tai64n makes TAI64N.
func (b builder) tai64n(lineBegin bool) (*template, error) {
	t := &template{name: "TAI64N", kind: kindTAI64N, weight: 1, number: 1}
	how := boundRight
	if lineBegin {
		how, t.name = boundLine, lineBeginMark+t.name
	}
	return t, b.compile(t, tai64nRegex, how)
}

// compile fences the regex in, gives it a group to cut if it has none, and compiles it.
func (b builder) compile(t *template, regex string, how bounds) error {
	regex = strings.TrimSpace(regex)
	flags, regex := cutFlags(regex)
	left := (how == boundWord || how == boundLine) && !refusesLeft(regex)
	right := how != boundNone && !refusesRight(regex)
	if !hasGroup(regex) {
		regex = wrap(regex)
	}
	switch {
	case left && how == boundLine:
		regex, t.atStart = `^(?:\W{0,2})?`+regex, true
	case left:
		regex = `(?=^|\b|\W)` + regex
	}
	if right {
		regex += `(?=\b|\W|$)`
	}
	t.atStart = t.atStart || beginsLine(regex)
	t.anchored = t.atStart || endsLine(regex)
	compiled, err := b.compiler.compile(flags + dropMarks(regex))
	t.regex = compiled
	return err
}

// cutFlags takes the global flags, as (?i), out of a regex.
func cutFlags(regex string) (flags, rest string) {
	for i := 0; i+3 < len(regex); i++ {
		if !strings.HasPrefix(regex[i:], "(?") || escaped(regex, i) {
			continue
		}
		end := i + 2
		for end < len(regex) && regex[end] >= 'a' && regex[end] <= 'z' {
			end++
		}
		if end > i+2 && end < len(regex) && regex[end] == ')' {
			return regex[i : end+1], regex[:i] + regex[end+1:]
		}
	}
	return "", regex
}

// leading cuts the opening parentheses in front of a regex.
func leading(s string) string { return strings.TrimLeft(s, "(") }

// refusesLeft reports whether the regex says by itself where it begins: with ^, with ** or with a
// group that begins so.
func refusesLeft(s string) bool {
	for _, open := range []string{s, leading(s)} {
		if strings.HasPrefix(open, "^") || strings.HasPrefix(leading(open), noBoundMark) {
			return true
		}
	}
	// One group, of either kind, that begins with ^, however many parentheses stand before it.
	rest := leading(s)
	return len(rest) < len(s) && strings.HasPrefix(rest, "?:^")
}

// refusesRight reports whether the regex says by itself where it ends: with $, \b, \s or **.
func refusesRight(s string) bool {
	if i := strings.LastIndex(s, noBoundMark); i >= 0 && strings.Trim(s[i+2:], ")") == "" && !escaped(s, i) {
		return true
	}
	for _, end := range []string{"$", "$)", `\b`, `\s`} {
		if strings.HasSuffix(s, end) && !escaped(s, len(s)-len(end)) {
			return true
		}
	}
	return false
}

// escaped reports whether a backslash stands before i.
func escaped(s string, i int) bool { return i > 0 && s[i-1] == '\\' }

// hasGroup reports whether the regex has a plain group of its own, "(" neither escaped nor "(?", which
// then is what is cut.
func hasGroup(s string) bool {
	for i := range len(s) {
		if s[i] != '(' || escaped(s, i) || i+1 < len(s) && s[i+1] == '?' {
			continue
		}
		if i >= 2 && s[i-2:i] == "(?" { // the condition of (?(name)…)
			continue
		}
		return true
	}
	return false
}

// wrap makes a group of the regex, leaving ^ and $ outside.
func wrap(s string) string {
	head, tail := "", ""
	if strings.HasPrefix(s, "^") {
		head, s = "^", s[1:]
	}
	if strings.HasSuffix(s, "$") {
		tail, s = "$", s[:len(s)-1]
	}
	return head + "(" + s + ")" + tail
}

func beginsLine(s string) bool {
	if strings.HasPrefix(s, "^") {
		return true
	}
	rest, grouped := strings.CutPrefix(s, "(?:^")
	if !grouped {
		rest, grouped = strings.CutPrefix(s, "(^")
	}
	return grouped && !strings.HasPrefix(rest, "|")
}

func endsLine(s string) bool {
	s = strings.TrimSuffix(s, ")")
	if !strings.HasSuffix(s, "$") {
		return false
	}
	before := s[:len(s)-1]
	return !strings.HasSuffix(before, `\`) && !strings.HasSuffix(before, "|")
}

// dropMarks takes the ** at either end out.
func dropMarks(s string) string {
	if rest := leading(s); strings.HasPrefix(rest, noBoundMark) {
		s = s[:len(s)-len(rest)] + rest[len(noBoundMark):]
	}
	trimmed := strings.TrimRight(s, ")")
	if strings.HasSuffix(trimmed, noBoundMark) && !escaped(trimmed, len(trimmed)-len(noBoundMark)) {
		s = strings.TrimSuffix(trimmed, noBoundMark) + s[len(trimmed):]
	}
	return s
}

// unbound takes the marks that say where a pattern stands away, for a pattern that is put into another.
func unbound(pattern string) string {
	return strings.TrimPrefix(strings.TrimPrefix(pattern, unboundMark), lineBeginMark)
}

// time reads what the template found. The match must be the one that it made on the subject.
func (t *template) time(s *pyre.Subject, m *pyre.Match, o *Options, now time.Time) (at time.Time, hasZone bool, err error) {
	switch t.kind {
	case kindEpoch, kindLongEpoch:
		text, _ := m.GroupText(s, t.number)
		at, err = epochTime(plainDigits(text), t.kind == kindLongEpoch, o.Local)
		return at, true, err
	case kindTAI64N:
		text, _ := m.GroupText(s, t.number)
		at, err = tai64nTime(text, o.Local)
		return at, true, err
	case kindFields:
	}
	var f fields
	if err := f.read(t.fields, s, m); err != nil {
		return time.Time{}, false, err
	}
	return f.time(o, now)
}
