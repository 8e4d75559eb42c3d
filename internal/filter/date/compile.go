package date

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

// maxPatterns bounds a datepattern; an honest one has a handful.
const maxPatterns = 64

// Options says which dates are looked for and how they are read.
type Options struct {
	// Pattern is the value of datepattern, one pattern per line; empty means all default templates.
	Pattern string
	// LogTimezone is the zone of dates that name none, as ParseZone reads it; empty means Local.
	LogTimezone string
	// Local is the machine's zone; nil is UTC.
	Local *time.Location
	// AllYears takes dates of the last century as well, for testing filters on old logs.
	AllYears bool
	// Compiler shares regexes with other calls of Compile; nil shares none.
	Compiler *Compiler

	zone *time.Location // of LogTimezone
}

// Templates are the forms of date that a log is searched for. They are immutable and may be shared.
type Templates struct {
	list    []*template
	options Options
	until   time.Time // the plausible years hold until then
}

// The commonest two are read without their regex where that is possible.
const (
	isoPattern    = `%ExY(?P<_sep>[-/.])%m(?P=_sep)%d(?:T|  ?)%H:%M:%S(?:[.,]%f)?(?:\s*%z)?`
	syslogPattern = `(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`
)

// defaults lists fail2ban's default templates, in its order.
var defaults = []string{
	isoPattern,
	syslogPattern,
	`(?:%a )?%b %d %ExY %k:%M:%S(?:\.%f)?`,
	`%d(?P<_sep>[-/])%m(?P=_sep)(?:%ExY|%Exy) %k:%M:%S`,
	`%d(?P<_sep>[-/])%b(?P=_sep)%ExY[ :]?%H:%M:%S(?:\.%f)?(?: %z)?`,
	`%m/%d/%ExY:%H:%M:%S`,
	`%m-%d-%ExY %k:%M:%S(?:\.%f)?`,
	`EPOCH`,
	`{^LN-BEG}%H:%M:%S`,
	`^<%m/%d/%Exy@%H:%M:%S>`,
	`%Exy%Exm%Exd  ?%H:%M:%S`,
	`%b %d, %ExY %I:%M:%S %p`,
	`^%b-%d-%Exy %k:%M:%S`,
	`%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS(?:[.,]%f)?(?:\s*%z)?`,
	`(?:%Z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`,
	`(?:%z )?(?:%a )?%b %d %k:%M:%S(?:\.%f)?(?: %ExY)?`,
	`TAI64N`,
}

// Compile reads a datepattern. The plausible years of the directives that have them are those of now;
// see Stale. An error names the line of the pattern that is wrong.
func Compile(o Options, now time.Time) (*Templates, error) {
	if o.Local == nil {
		o.Local = time.UTC
	}
	if o.LogTimezone != "" {
		zone, err := ParseZone(o.LogTimezone)
		if err != nil {
			return nil, err
		}
		o.zone = zone
	}
	b := builder{compiler: o.Compiler}
	b.year, b.lastYear = plausibleYears(now, o.AllYears)
	o.Compiler = nil // the templates do not keep it
	t := &Templates{
		options: o,
		until:   time.Date(now.Year()+1, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	known := map[string]bool{}
	add := func(tmpl *template, ignoreKnown bool) error {
		if known[tmpl.name] {
			if ignoreKnown {
				// fail2ban has one template for both, which counts for as much as the default one.
				for _, old := range t.list {
					if old.name == tmpl.name {
						old.weight = max(old.weight, tmpl.weight)
					}
				}
				return nil
			}
			return fmt.Errorf("the date pattern %s is there twice", tmpl.name)
		}
		known[tmpl.name] = true
		t.list = append(t.list, tmpl)
		return nil
	}
	patterns := 0
	for line := range strings.Lines(o.Pattern) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if patterns++; patterns > maxPatterns {
			return nil, fmt.Errorf("more than %d date patterns", maxPatterns)
		}
		list, own, err := b.fromLine(line)
		if err != nil {
			return nil, err
		}
		for _, tmpl := range list {
			if err := add(tmpl, !own && len(t.list) > 0); err != nil {
				return nil, err
			}
		}
	}
	if patterns == 0 {
		list, err := b.defaults(false)
		if err != nil {
			return nil, err
		}
		t.list = list
	}
	return t, nil
}

var dateTag = regexp.MustCompile(`(?i)\{DATE\}`)

// fromLine makes the templates of one line of a datepattern. Own says that the user wrote a pattern,
// rather than naming the default templates.
func (b builder) fromLine(line string) (list []*template, own bool, err error) {
	key := line
	if !strings.Contains(line, "%") {
		key = strings.ToUpper(line)
	}
	one := func(t *template, err error) ([]*template, bool, error) { return []*template{t}, true, err }
	switch key {
	case "{DEFAULT}":
		list, err = b.defaults(false)
		return list, false, err
	case lineBeginMark:
		list, err = b.defaults(true)
		return list, false, err
	case "{NONE}":
		return one(b.fromPattern(unboundMark + "^"))
	}
	if t, err := b.named(key); t != nil || err != nil {
		return one(t, err)
	}
	if tags := dateTags(line, key); tags != nil {
		list, err = b.around(line, tags)
		return list, true, err
	}
	return one(b.fromPattern(line))
}

// named makes the templates that are asked for by a word; nil for any other text.
func (b builder) named(key string) (*template, error) {
	word, lineBegin := strings.CutPrefix(key, lineBeginMark)
	if !lineBegin {
		word, lineBegin = strings.CutPrefix(key, "^")
	}
	switch word {
	case "EPOCH", "LEPOCH":
		return b.epoch(word == "LEPOCH", lineBegin)
	case "TAI64N":
		return b.tai64n(lineBegin)
	}
	return nil, nil //nolint:nilnil // no template and no error: the text is a pattern
}

// dateTags finds the {DATE}s of a pattern, which may be written in small letters if it has no directive.
// One that is escaped is none.
func dateTags(pattern, key string) (tags [][]int) {
	if !strings.Contains(key, "{DATE}") {
		return nil
	}
	for _, loc := range dateTag.FindAllStringIndex(pattern, -1) {
		if !escaped(pattern, loc[0]) {
			tags = append(tags, loc)
		}
	}
	return tags
}

// around makes the default templates as they stand in place of the {DATE}s of a pattern.
func (b builder) around(pattern string, tags [][]int) ([]*template, error) {
	var list []*template
	for _, d := range defaults {
		inner := unbound(d)
		if !strings.Contains(d, "%") {
			// The templates without directives have no pattern to put in; fail2ban puts their name,
			// which no log holds, unless the name is all that there is.
			t, err := b.named(d)
			if err != nil {
				return nil, err
			}
			inner = regexp.QuoteMeta(t.name)
		}
		var filled strings.Builder
		from := 0
		for _, tag := range tags {
			filled.WriteString(pattern[from:tag[0]] + inner)
			from = tag[1]
		}
		filled.WriteString(pattern[from:])
		t, err := b.named(strings.ToUpper(filled.String()))
		if t == nil && err == nil {
			t, err = b.fromPattern(filled.String())
		}
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// defaults makes the default templates: of each the variant that stands at the start of the line,
// these first, then those that may stand anywhere. With onlyStart the latter are left out, but for those
// that say by themselves that they stand at the start.
func (b builder) defaults(onlyStart bool) ([]*template, error) {
	var first, second []*template
	for _, d := range defaults {
		atStart := strings.HasPrefix(d, "^") || strings.HasPrefix(d, lineBeginMark)
		if atStart || !onlyStart {
			t, err := b.byDefault(d)
			if err != nil {
				return nil, err
			}
			t.needs = needsOf(d)
			second = append(second, t)
		}
		if atStart {
			continue
		}
		anchored, err := b.byDefault(lineBeginMark + d)
		if err != nil {
			return nil, err
		}
		anchored.weight, anchored.needs, anchored.quick = anchoredWeight, needsOf(d), b.quickOf(d)
		first = append(first, anchored)
	}
	return append(first, second...), nil
}

// byDefault makes the template of a default pattern, which may be a word.
func (b builder) byDefault(pattern string) (*template, error) {
	if t, err := b.named(pattern); t != nil || err != nil {
		return t, err
	}
	return b.fromPattern(pattern)
}

// Names lists the templates as they are shown to people, in the order in which they are first tried.
func (t *Templates) Names() []string {
	names := make([]string, len(t.list))
	for i, tmpl := range t.list {
		names[i] = tmpl.name
	}
	return names
}

// Stale reports whether the years that the templates take for plausible should be made anew: a new
// year has begun since Compile. There is no hurry, they reach three years ahead.
func (t *Templates) Stale(now time.Time) bool { return !now.Before(t.until) }
