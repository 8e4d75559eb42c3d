package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Bounds of what one value may become.
const (
	maxValue         = 1 << 20 // bytes
	maxReferences    = 10      // how deep %(names)s may refer to each other, as in Python
	maxInterpolation = 10_000  // references replaced in one value
)

// errUnset says that a key is set nowhere.
var errUnset = errors.New("not set")

// evaluator reads values of a file set with %(references)s replaced.
type evaluator struct {
	set *fileSet
	// vars come before the files; their names are lower-case. A jail's options, seen from its
	// filter and actions.
	vars map[string]string
	// doubt is called with the first problem that a value which was used depends on; may be nil.
	doubt func(at Origin, why *Problem)
}

// interpolation replaces the references of one value.
type interpolation struct {
	*evaluator
	section string
	at      entry
	out     strings.Builder
	count   int
}

// raw finds a key as it was written: in the vars, the section, the defaults.
func (ev *evaluator) raw(sec, key string) (entry, bool) {
	key = strings.ToLower(key)
	if v, ok := ev.vars[key]; ok {
		return entry{value: v, at: Origin{Section: sec, Key: key}}, true
	}
	if of, ok := strings.CutPrefix(sec, knownPrefix); ok {
		if e, ok := ev.set.known[of][key]; ok {
			return e, true
		}
	} else if s := ev.set.byName[sec]; s != nil {
		if e, ok := s.byKey[key]; ok {
			return e, true
		}
	}
	e, ok := ev.set.defaults.byKey[key]
	return e, ok
}

// knownPrefix begins the name of the section that holds the replaced values of another.
const knownPrefix = "KNOWN/"

// get is the value of a key with its references replaced; errUnset if it is set nowhere, or if there
// is no such section: only a section has defaults.
func (ev *evaluator) get(sec, key string) (string, error) {
	e, ok := ev.raw(sec, key)
	if !ok || !ev.set.has(sec) {
		return "", errUnset
	}
	return ev.interpolate(sec, e)
}

// origin is where a key was written; zero if nowhere or in a variable.
func (ev *evaluator) origin(sec, key string) Origin {
	e, ok := ev.raw(sec, key)
	if !ok || e.at.File == "" {
		return Origin{}
	}
	return e.origin()
}

func (ev *evaluator) interpolate(sec string, e entry) (string, error) {
	in := interpolation{evaluator: ev, section: sec, at: e}
	ev.touch(e)
	if !strings.Contains(e.value, "%") {
		return e.value, nil
	}
	if err := in.expand(e.value, 1); err != nil {
		return "", err
	}
	return in.out.String(), nil
}

func (ev *evaluator) touch(e entry) {
	if e.taint != nil && ev.doubt != nil {
		ev.doubt(e.origin(), e.taint)
	}
}

func (in *interpolation) fail(hint, format string, args ...any) error {
	return &fault{at: in.at.origin(), msg: fmt.Sprintf(format, args...), hint: hint}
}

func (in *interpolation) expand(text string, depth int) error {
	if depth > maxReferences && strings.Contains(text, "%") {
		return in.fail("look for values that refer to each other", "more than %d references within each other", maxReferences)
	}
	for {
		i := strings.IndexByte(text, '%')
		if i < 0 {
			i = len(text)
		}
		if in.out.Len()+i > maxValue {
			return in.fail("", "the value becomes longer than %d bytes", maxValue)
		}
		in.out.WriteString(text[:i])
		if text = text[i:]; text == "" {
			return nil
		}
		if strings.HasPrefix(text, "%%") {
			in.out.WriteByte('%')
			text = text[2:]
			continue
		}
		name, rest, ok := cutReference(text)
		if !ok {
			return in.fail("write %% for a percent sign", "a single %% that begins no %%(name)s: %s", oneLine(text))
		}
		if in.count++; in.count > maxInterpolation {
			return in.fail("look for values that refer to each other", "more than %d references", maxInterpolation)
		}
		e, ok := in.lookup(name)
		if !ok {
			return in.fail(in.unknownHint(name), "%%(%s)s is not defined", name)
		}
		in.touch(e)
		if err := in.expand(e.value, depth+1); err != nil {
			return err
		}
		text = rest
	}
}

// cutReference takes "%(name)s" off the beginning of text.
func cutReference(text string) (name, rest string, ok bool) {
	body, ok := strings.CutPrefix(text, "%(")
	if !ok {
		return "", "", false
	}
	end := strings.IndexByte(body, ')')
	if end < 1 || !strings.HasPrefix(body[end:], ")s") {
		return "", "", false
	}
	return body[:end], body[end+2:], true
}

// lookup finds what a reference means: the section's own name, a key seen from the section, or
// section/key; known/key and default/key are special.
func (in *interpolation) lookup(name string) (entry, bool) {
	lower := strings.ToLower(name)
	if lower == "__name__" {
		return entry{value: in.section}, true
	}
	if e, ok := in.raw(in.section, lower); ok {
		return e, true
	}
	sec, key, ok := cutSectionKey(name)
	if !ok || name != lower {
		return entry{}, false
	}
	switch sec {
	case "default":
	case "known":
		if e, ok := in.set.known[in.section][key]; ok {
			return e, true
		}
	default:
		s := in.set.byName[sec]
		if s == nil {
			return entry{}, false
		}
		if e, ok := s.byKey[key]; ok {
			return e, true
		}
	}
	e, ok := in.set.defaults.byKey[key]
	return e, ok
}

// cutSectionKey splits "section/key"; the section is of word characters and "-".
func cutSectionKey(name string) (sec, key string, ok bool) {
	sec, key, ok = strings.Cut(name, "/")
	if !ok || sec == "" || key == "" || strings.ContainsFunc(sec, func(r rune) bool { return r != '-' && !isWord(r) }) {
		return "", "", false
	}
	return sec, key, true
}

func (in *interpolation) unknownHint(name string) string {
	sec, key, ok := cutSectionKey(name)
	switch {
	case ok && name != strings.ToLower(name):
		return "fail2ban finds section/key only in lower case"
	case ok && sec == "known":
		return "neither the filter nor an earlier file sets " + key
	case ok:
		return "is there a section [" + sec + "] with this key?"
	}
	var names []string
	if s := in.set.byName[in.section]; s != nil {
		names = append(names, s.keys...)
	}
	if near := nearest(name, append(names, in.set.defaults.keys...)); len(near) > 0 {
		return "did you mean " + strings.Join(near, " or ") + "?"
	}
	return "set it in this section or in [DEFAULT]"
}

// asFault gives an error its place; one without a place gets none.
func asFault(err error) *fault {
	if f, ok := errors.AsType[*fault](err); ok {
		return f
	}
	return &fault{msg: err.Error()}
}

func itoa(n int) string { return strconv.Itoa(n) }
