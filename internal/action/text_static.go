package action

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// The bounds of replacing options by options. fail2ban allows 25 replacements of one tag in one value and
// has no bound on what comes of them.
const (
	maxReplacements = 25
	maxText         = 1 << 20
)

// errSelf is for an option whose value comes to hold itself.
var errSelf = errors.New("it refers to itself")

// escapedOptions name values of a ban. Where an action sets an option of that name, it is not replaced within
// other options, and with backslashes in front of what a shell knows.
var escapedOptions = map[string]bool{"matches": true, "ipmatches": true, "ipjailmatches": true}

// properties are the options of an action, whose tags are still in them.
type properties map[string]string

// conditional tells whether some option has a variant for a family.
func (p properties) conditional() bool {
	for name := range p {
		if word, value, ok := strings.Cut(name, "?family="); ok && word != "" && !notWord.MatchString(word) && !strings.Contains(value, "\n") {
			return true
		}
	}
	return false
}

// texts are the options of an action for one family, free of tags that name other options.
type texts struct {
	values map[string]string
	suffix string // of the variants for the family
	fixed  map[string]string
}

// resolve replaces the tags within all options. The fixed tags mean something in operations only.
func (p properties) resolve(family string, fixed map[string]string) (*texts, error) {
	t := &texts{values: make(map[string]string, len(p)), fixed: fixed}
	if family != "" && family != noFamily {
		t.suffix = "?family=" + family
	}
	r := resolver{from: p, to: t, busy: map[string]bool{}}
	for _, name := range slices.Sorted(maps.Keys(p)) {
		if _, err := r.value(name); err != nil {
			return nil, fmt.Errorf("option %s: %w", name, err)
		}
	}
	return t, nil
}

// resolver is the work of resolve.
type resolver struct {
	from properties
	to   *texts
	busy map[string]bool // being replaced: to meet one again is a circle
}

// value gives an option without tags that name others.
func (r *resolver) value(name string) (string, error) {
	if v, done := r.to.values[name]; done {
		return v, nil
	}
	text := r.from[name]
	if escapedOptions[name] {
		r.to.values[name] = text
		return text, nil
	}
	if r.busy[name] {
		return "", errSelf
	}
	r.busy[name] = true
	defer delete(r.busy, name)
	counts := map[string]int{}
	for at := 0; ; {
		m := tagPattern.FindStringSubmatchIndex(text[at:])
		if m == nil {
			break
		}
		tag := text[at+m[2] : at+m[3]]
		source, known := r.option(tag)
		if !known || escapedOptions[tag] {
			at += m[1]
			continue
		}
		if tag == name {
			return "", errSelf
		}
		v, err := r.value(source)
		if err != nil {
			return "", err
		}
		if counts[tag]++; counts[tag] > maxReplacements {
			return "", errSelf
		}
		if text = strings.ReplaceAll(text, "<"+tag+">", v); len(text) > maxText {
			return "", fmt.Errorf("it grows beyond %d bytes", maxText)
		}
		at = 0 // the value may have completed a tag around it
	}
	r.to.values[name] = text
	return text, nil
}

// option names the option that a tag means: the family's own, or the one for all.
func (r *resolver) option(tag string) (name string, known bool) {
	if r.to.suffix != "" {
		if _, ok := r.from[tag+r.to.suffix]; ok {
			return tag + r.to.suffix, true
		}
	}
	_, ok := r.from[tag]
	return tag, ok
}

// operation gives the text of an operation, tags of options replaced. An option that is not there leaves its
// tag.
func (t *texts) operation(name string) (string, error) {
	text := "<" + name + ">"
	for range maxReplacements + 1 {
		next := tagPattern.ReplaceAllStringFunc(text, func(tag string) string {
			if v, ok := t.lookup(tag[1 : len(tag)-1]); ok {
				return v
			}
			return tag
		})
		if next == text {
			return text, nil
		}
		if len(next) > maxText {
			return "", fmt.Errorf("%s grows beyond %d bytes", name, maxText)
		}
		text = next
	}
	return "", fmt.Errorf("%s: %w", name, errSelf)
}

func (t *texts) lookup(tag string) (string, bool) {
	v, ok := t.values[tag+t.suffix]
	if !ok {
		if v, ok = t.values[tag]; !ok {
			v, ok = t.fixed[tag]
			return v, ok
		}
	}
	if escapedOptions[tag] {
		v = backslashes.Replace(v)
	}
	return v, true
}

// backslashes stands a backslash in front of what a shell knows, and writes ends of lines with letters.
var backslashes = func() *strings.Replacer {
	var pairs []string
	for _, c := range shellSpecial {
		pairs = append(pairs, string(c), `\`+cmp.Or(map[rune]string{'\n': "n", '\r': "r"}[c], string(c)))
	}
	return strings.NewReplacer(pairs...)
}()
