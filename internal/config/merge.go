package config

import (
	"strings"
	"unicode"
)

// includesSection names the files to read before and after a file; it is no jail.
const includesSection = "INCLUDES"

// fileSet is what several files say together: read in order, the later value wins, key by key.
type fileSet struct {
	files    []string // read, in order
	defaults *section
	sections []*section
	byName   map[string]*section
	// known holds, for each section, the values that a later file replaced: only the last one of
	// each key. The defaults keep none.
	known map[string]map[string]entry
	// broken is the first error in any of the files.
	broken *Problem
}

func newFileSet() *fileSet {
	return &fileSet{
		defaults: newSection(defaultSection, Origin{Section: defaultSection}),
		byName:   map[string]*section{}, known: map[string]map[string]entry{},
	}
}

// has reports whether values can be read from a section.
func (s *fileSet) has(name string) bool {
	if of, ok := strings.CutPrefix(name, knownPrefix); ok {
		return s.known[of] != nil
	}
	return name == defaultSection || s.byName[name] != nil
}

func (s *fileSet) merge(f *iniFile) {
	s.files = append(s.files, f.name)
	for i := range f.problems {
		if s.broken == nil && f.problems[i].Severity == Error {
			s.broken = &f.problems[i]
		}
	}
	for _, key := range f.defaults.keys {
		e := f.defaults.byKey[key]
		if old, ok := s.defaults.byKey[key]; ok && e.lost {
			old.taint = e.taint
			e = old
		}
		s.defaults.set(key, e)
	}
	if f.defaults.taint != nil {
		s.defaults.taint = f.defaults.taint
	}
	for _, from := range f.sections {
		s.mergeSection(from)
	}
}

// mergeSection adds one section. [Name?condition] stores each of its keys in [Name] as key?condition.
func (s *fileSet) mergeSection(from *section) {
	name, condition := splitCondition(from.name)
	to := s.byName[name]
	switch {
	case to == nil:
		to = newSection(name, from.at)
		s.byName[name] = to
		s.sections = append(s.sections, to)
	case s.known[name] == nil: // there from the second time on, even if nothing is replaced
		s.known[name] = map[string]entry{}
	}
	if from.taint != nil {
		to.taint = from.taint
	}
	for _, key := range from.keys {
		e := from.byKey[key]
		key += condition
		if old, replaced := to.byKey[key]; replaced {
			s.known[name][key] = old
		}
		to.set(key, e)
	}
}

// splitCondition splits "Name?condition"; the condition keeps its question mark.
func splitCondition(name string) (plain, condition string) {
	i := strings.IndexByte(name, '?')
	if i <= 0 || i == len(name)-1 || strings.ContainsFunc(name[:i], func(r rune) bool { return !isWord(r) }) {
		return name, ""
	}
	return name[:i], name[i:]
}

// isWord is what \w matches in a Python pattern.
func isWord(r rune) bool {
	return r == '_' || unicode.IsLetter(r) || unicode.IsNumber(r)
}
