package config

import (
	"errors"
	"fmt"
	"strings"
)

// Param is one option of a filter or action, in the order in which it was given.
type Param struct {
	Name  string
	Value string
}

// Spec is a filter or action with its parameters: name[option=value, …].
type Spec struct {
	Name   string
	Params []Param // each name once, at its first place, with its last value
}

// Param is the value of a parameter.
func (s Spec) Param(name string) (value string, ok bool) { return param(s.Params, name) }

func param(params []Param, name string) (value string, ok bool) {
	for _, p := range params {
		if p.Name == name {
			return p.Value, true
		}
	}
	return "", false
}

func setParam(params []Param, name, value string) []Param {
	for i := range params {
		if params[i].Name == name {
			params[i].Value = value
			return params
		}
	}
	return append(params, Param{name, value})
}

// SpecError is a spec that cannot be read.
type SpecError struct {
	Spec   string // from the beginning of the name
	Offset int    // in bytes, where reading stopped
	Msg    string
}

func (e *SpecError) Error() string {
	return fmt.Sprintf("%s at position %d of %s", e.Msg, e.Offset+1, oneLine(e.Spec))
}

// ParseSpec reads one name with any number of [option=value, …] groups behind it. Options of a later
// group replace those of an earlier one. A value stands in quotes of either kind, or goes up to the
// next comma or bracket. An option may carry one condition: name?key=value. The error is a
// *SpecError.
func ParseSpec(text string) (Spec, error) {
	s, rest, err := cutSpec(text, false)
	if err != nil {
		return Spec{}, err
	}
	if rest != "" {
		return Spec{}, &SpecError{text, len(text) - len(rest), "nothing may follow the last bracket"}
	}
	return s, nil
}

// SplitSpecs reads specs that are separated by white space outside of their brackets. It stops at
// the first that cannot be read; the error is a *SpecError.
func SplitSpecs(text string) ([]Spec, error) {
	var specs []Spec
	for {
		text = strings.TrimLeftFunc(text, isSpace)
		if text == "" {
			return specs, nil
		}
		s, rest, err := cutSpec(text, true)
		if err != nil {
			return specs, err
		}
		if rest != "" && !startsWithSpace(rest) {
			return specs, &SpecError{text, len(text) - len(rest), "nothing may follow the last bracket"}
		}
		specs = append(specs, s)
		text = rest
	}
}

func startsWithSpace(s string) bool {
	return strings.IndexFunc(s, isSpace) == 0
}

// cutSpec takes one spec off text. In a list the name ends at white space, unless a bracket follows.
func cutSpec(text string, inList bool) (s Spec, rest string, err error) {
	end := strings.IndexByte(text, '[')
	if end < 0 {
		end = len(text)
	}
	if inList {
		if space := strings.IndexFunc(text[:end], isSpace); space >= 0 {
			if strings.TrimFunc(text[space:end], isSpace) != "" || end == len(text) {
				end = space
			}
		}
	}
	s.Name, rest = text[:end], text[end:]
	empty := false // the group before this one
	for strings.HasPrefix(rest, "[") {
		p := specParser{text: text, pos: len(text) - len(rest) + 1}
		if s.Name == "" || empty {
			return Spec{}, "", p.fail("expected a name before the bracket")
		}
		if empty, err = p.group(&s); err != nil {
			return Spec{}, "", err
		}
		rest = text[p.pos:]
		if next := strings.TrimLeftFunc(rest, isSpace); next == "" || next[0] == '[' {
			rest = next
		}
	}
	return s, rest, nil
}

// specParser reads one group; pos is behind its opening bracket at first, behind the closing one at
// the end.
type specParser struct {
	text string
	pos  int
}

func (p *specParser) fail(msg string) error { return &SpecError{p.text, p.pos, msg} }

// group reads the options of one pair of brackets. There may be none; one comma too many at the end
// is forgiven, as fail2ban does.
func (p *specParser) group(s *Spec) (empty bool, err error) {
	p.skipSpace()
	if p.end() {
		return true, nil
	}
	for {
		name, err := p.name()
		if err != nil {
			return false, err
		}
		value, err := p.value()
		if err != nil {
			return false, err
		}
		s.Params = setParam(s.Params, name, value)
		if p.take(']') {
			return false, nil
		}
		if !p.take(',') {
			return false, p.fail("expected a comma or ]")
		}
		p.skipSpace()
		if p.end() {
			return false, nil
		}
	}
}

// end takes the closing bracket, or a comma and the closing bracket.
func (p *specParser) end() bool {
	rest := strings.TrimPrefix(p.text[p.pos:], ",")
	rest = strings.TrimLeftFunc(rest, isSpace)
	if !strings.HasPrefix(rest, "]") {
		return false
	}
	p.pos = len(p.text) - len(rest) + 1
	return true
}

// name reads "option=" or "option?key=value=", up to behind the last sign.
func (p *specParser) name() (string, error) {
	start := p.pos
	if p.word() == 0 {
		return "", p.fail("expected an option name")
	}
	if p.take('?') {
		if p.word() == 0 || !p.take('=') || p.word() == 0 {
			return "", p.fail("expected a condition: option?key=value=…")
		}
	}
	name := p.text[start:p.pos]
	if !p.take('=') {
		return "", p.fail("expected = behind the option name")
	}
	return name, nil
}

// word skips the characters of a name and counts them.
func (p *specParser) word() int {
	rest := p.text[p.pos:]
	n := strings.IndexFunc(rest, func(r rune) bool {
		return r != '.' && r != '-' && !isWord(r)
	})
	if n < 0 {
		n = len(rest)
	}
	p.pos += n
	return n
}

// value reads a value in quotes, or up to the next comma or bracket. A quote that is never closed is
// part of the value.
func (p *specParser) value() (string, error) {
	rest := p.text[p.pos:]
	if rest != "" && (rest[0] == '"' || rest[0] == '\'') {
		if end := strings.IndexByte(rest[1:], rest[0]); end >= 0 {
			p.pos += end + 2
			return strings.TrimFunc(rest[1:end+1], isSpace), nil
		}
	}
	end := strings.IndexAny(rest, ",]")
	if end < 0 {
		return "", p.fail("the bracket is never closed")
	}
	p.pos += end
	return strings.TrimFunc(rest[:end], isSpace), nil
}

func (p *specParser) skipSpace() {
	rest := strings.TrimLeftFunc(p.text[p.pos:], isSpace)
	p.pos = len(p.text) - len(rest)
}

func (p *specParser) take(c byte) bool {
	if p.pos < len(p.text) && p.text[p.pos] == c {
		p.pos++
		return true
	}
	return false
}

// specHint says what to change in a spec.
func specHint(err error) string {
	if _, ok := errors.AsType[*SpecError](err); ok {
		return `write name[option="value", option2=value2]`
	}
	return ""
}
