package config

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The sections of a filter or action.
const (
	definitionSection = "Definition"
	initSection       = "Init"
)

// kind is the type of an option.
type kind uint8

const (
	textKind kind = iota
	boolKind
	intKind
)

// option is one that fail2ban knows by name.
type option struct {
	name string
	kind kind
}

// filterOptions are the options of a filter, in the order in which they are sent. A jail may set
// each of them instead.
var filterOptions = []option{
	{"usedns", textKind},
	{"prefregex", textKind},
	{"maxlines", intKind},
	{"ignoreregex", textKind},
	{"failregex", textKind},
	{"datepattern", textKind},
	{"journalmatch", textKind},
}

// actionOptions are the operations and switches of an action, in the order in which they are sent.
var actionOptions = []option{
	{"actionstart", textKind},
	{"actionstart_on_demand", boolKind},
	{"actionstop", textKind},
	{"actionflush", textKind},
	{"actionreload", textKind},
	{"actioncheck", textKind},
	{"actionrepair", textKind},
	{"actionrepair_on_unban", boolKind},
	{"actionban", textKind},
	{"actionprolong", textKind},
	{"actionreban", textKind},
	{"actionunban", textKind},
	{"norestored", boolKind},
}

// runtimeTags are filled in when an action runs, even where the configuration has a value for them.
var runtimeTags = []string{"matches", "ipmatches", "ipjailmatches", "timeout", "bantime"}

func findOption(options []option, name string) (option, bool) {
	i := slices.IndexFunc(options, func(o option) bool { return o.name == name })
	if i < 0 {
		return option{}, false
	}
	return options[i], true
}

// setting is one value that a filter or action arrives at.
type setting struct {
	name  string
	value string
	at    Origin
}

// definition is a filter or an action, read for one jail.
type definition struct {
	what     string // "filter" or "action"
	options  []option
	set      *fileSet
	ev       *evaluator
	spec     Spec
	at       Origin // of the spec in the jail
	release  Release
	settings []setting // what [Definition] says
	params   []setting // what the spec and [Init] say
	tags     map[string]string
	// perFamily names what has a variant for a family of addresses; it is chosen when an action runs.
	perFamily map[string]bool
}

// evaluate reads all options and fills in their tags. all includes the options of [Definition] that
// fail2ban does not know by name.
func (d *definition) evaluate(all bool) error {
	if err := d.readDefinition(all); err != nil {
		return err
	}
	if err := d.readParams(); err != nil {
		return err
	}
	t := tagger{lookup: d.lookup}
	for _, list := range [][]setting{d.settings, d.params} {
		for i := range list {
			s := &list[i]
			if _, known := findOption(d.options, s.name); !known && !all {
				continue
			}
			v, err := t.expand(s.name, s.value)
			if err != nil {
				return d.tagFault(*s, err)
			}
			s.value = v
		}
	}
	return nil
}

func (d *definition) tagFault(s setting, err error) error {
	var te *tagError
	if errors.As(err, &te) {
		return faultf(s.at, "look for tags that refer to each other", "%v", te)
	}
	return err
}

// readDefinition evaluates the options of [Definition]; what the spec gives is left to readParams.
func (d *definition) readDefinition(all bool) error {
	names := make([]string, 0, len(d.options))
	for _, o := range d.options {
		names = append(names, o.name)
	}
	if sec := d.set.byName[definitionSection]; all && sec != nil {
		for _, key := range sec.keys {
			if !slices.Contains(names, key) {
				names = append(names, key)
			}
		}
	}
	for _, name := range names {
		if _, given := d.spec.Param(name); given {
			continue
		}
		v, err := d.ev.get(definitionSection, name)
		if errors.Is(err, errUnset) {
			continue
		}
		if err != nil {
			return err
		}
		d.settings = append(d.settings, setting{name, v, d.ev.origin(definitionSection, name)})
		d.tags[name] = v
	}
	return nil
}

// readParams puts the parameters of the spec over those of [Init].
func (d *definition) readParams() error {
	for _, p := range d.spec.Params {
		at := d.at
		at.Key, at.Value = d.at.Key, p.Name+"="+p.Value
		d.params = append(d.params, setting{p.Name, p.Value, at})
	}
	plain := &evaluator{set: d.set, doubt: d.ev.doubt}
	if sec := d.set.byName[initSection]; sec != nil {
		for _, key := range sec.keys {
			v, err := plain.get(initSection, key)
			if err != nil {
				return err
			}
			d.tags["known/"+key] = v
			if _, given := d.spec.Param(key); given {
				continue
			}
			if plain, cond, ok := strings.Cut(key, "?"); ok && d.release != Release10 && cond != "" {
				if p, given := d.spec.Param(plain); given {
					v = p
				}
			}
			d.params = append(d.params, setting{key, v, plain.origin(initSection, key)})
		}
	}
	for _, p := range d.params {
		d.tags[p.name] = p.value
	}
	for name := range d.tags {
		if plain, _, ok := strings.Cut(name, "?"); ok {
			d.perFamily[plain] = true
		}
	}
	return nil
}

// lookup gives the text for a tag: one of the settings, else any other key of [Definition], else the
// key of another section.
func (d *definition) lookup(tag string) (string, bool, error) {
	if d.what == "action" && (slices.Contains(runtimeTags, tag) || d.perFamily[tag]) {
		return "", false, nil
	}
	if v, ok := d.tags[tag]; ok {
		return v, true, nil
	}
	v, err := d.lookupKey(tag)
	if errors.Is(err, errUnset) {
		return "", false, nil
	}
	return v, err == nil, err
}

func (d *definition) lookupKey(tag string) (string, error) {
	sec, key, ok := cutSectionKey(tag)
	if !ok {
		return d.ev.get(definitionSection, tag)
	}
	plain := &evaluator{set: d.set, doubt: d.ev.doubt}
	switch strings.ToLower(sec) {
	case "known":
		if e, ok := d.set.known[definitionSection][strings.ToLower(key)]; ok {
			return plain.interpolate(definitionSection, e)
		}
		sec = definitionSection
	case "default":
		sec = defaultSection
	default:
		if d.set.byName[sec] == nil {
			return d.ev.get(definitionSection, tag)
		}
	}
	v, err := plain.get(sec, key)
	if errors.Is(err, errUnset) {
		return d.ev.get(definitionSection, tag)
	}
	return v, err
}

// result is what a setting came to: in the spec, in [Init], in [Definition]. ok is false for one
// that nobody made, or that overridden says is made elsewhere instead of in [Definition].
func (d *definition) result(name string, overridden bool) (setting, bool) {
	for _, s := range d.params {
		if s.name == name {
			return s, true
		}
	}
	if !overridden {
		for _, s := range d.settings {
			if s.name == name {
				return s, true
			}
		}
	}
	return setting{}, false
}

// missingFault is a filter or action that nobody has.
func (l *loader) missingFault(what, name string, at Origin) error {
	hint := fmt.Sprintf("make %s.d/%s.conf", what, name)
	if near := nearest(name, l.files.names(what+".d")); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return faultf(at, hint, "there is no %s %s", what, oneLine(name))
}
