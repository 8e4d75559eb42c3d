package config

import (
	"errors"
	"fmt"
	"maps"
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

// pass says for what a definition is read. A filter is read twice, and the two differ in what its
// options see of each other.
type pass uint8

const (
	// knownPass reads a filter for what its jail calls known/option: options that fail2ban does not
	// know by name see nothing of the jail and the parameters.
	knownPass pass = iota
	// filterPass reads a filter for what it does: all options see the parameters and [Init].
	filterPass
	// actionPass reads an action: options see the parameters, but not [Init].
	actionPass
)

// definition is a filter or an action, read for one jail.
type definition struct {
	pass     pass
	options  []option
	set      *fileSet
	ev       *evaluator
	spec     Spec
	at       Origin // of the spec in the jail
	release  Release
	jailSets func(option string) bool // options that the jail takes into its own hands; nil for none
	settings []setting                // what [Definition] says
	params   []setting                // what the spec and [Init] say
	tags     map[string]string
	// perFamily names what has a variant for a family of addresses; it is chosen when an action runs.
	perFamily map[string]bool
}

// evaluate reads all options and fills in their tags: of a filter also those that fail2ban does not
// know by name.
func (d *definition) evaluate() error {
	inits, err := d.readInit()
	if err != nil {
		return err
	}
	if err := d.readDefinition(inits); err != nil {
		return err
	}
	d.readParams(inits)
	t := tagger{lookup: d.lookup}
	for _, list := range [][]setting{d.settings, d.params} {
		for i := range list {
			s := &list[i]
			if _, known := findOption(d.options, s.name); !known && d.pass == actionPass {
				continue
			}
			if d.atRun(s.name) {
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
	if te, ok := errors.AsType[*tagError](err); ok {
		return faultf(s.at, "look for tags that refer to each other", "%v", te)
	}
	return err
}

// readInit evaluates [Init], which sees nothing but itself and the defaults.
func (d *definition) readInit() ([]setting, error) {
	sec := d.set.byName[initSection]
	if sec == nil {
		return nil, nil
	}
	plain := &evaluator{set: d.set, doubt: d.ev.doubt}
	var inits []setting
	for _, key := range sec.keys {
		v, err := plain.get(initSection, key)
		if err != nil {
			return nil, err
		}
		d.tags["known/"+key] = v
		if _, given := d.spec.Param(key); !given {
			inits = append(inits, setting{key, v, plain.origin(initSection, key)})
		}
	}
	return inits, nil
}

// readDefinition evaluates the options of [Definition], but for those that the spec gives and, in a
// filter, those that [Init] gives.
func (d *definition) readDefinition(inits []setting) error {
	names := make([]string, 0, len(d.options))
	for _, o := range d.options {
		names = append(names, o.name)
	}
	named, others := d.ev, d.ev
	switch d.pass {
	case knownPass:
		others = &evaluator{set: d.set, doubt: d.ev.doubt}
	case filterPass:
		named = &evaluator{set: d.set, vars: maps.Clone(d.ev.vars), doubt: d.ev.doubt}
		for _, s := range inits {
			named.vars[s.name] = s.value
		}
		for name, v := range d.tags {
			if strings.HasPrefix(name, "known/") {
				named.vars[name] = v
			}
		}
		others = named
	case actionPass:
	}
	if sec := d.set.byName[definitionSection]; d.pass != actionPass && sec != nil {
		for _, key := range sec.keys {
			if !slices.Contains(names, key) {
				names = append(names, key)
			}
		}
	}
	for _, name := range names {
		_, given := d.spec.Param(name)
		_, known := findOption(d.options, name)
		if given || d.written(name) == nil {
			continue
		}
		if d.pass == filterPass && (d.jailSets(name) || slices.ContainsFunc(inits, func(s setting) bool { return s.name == name })) {
			continue
		}
		ev := others
		if known {
			ev = named
		}
		v, err := ev.get(definitionSection, name)
		if err != nil && !known && d.pass == filterPass {
			continue // wrong only with [Init] in sight; a tag finds it without
		}
		if err != nil {
			return err
		}
		d.settings = append(d.settings, setting{name, v, ev.origin(definitionSection, name)})
		d.tags[name] = v
	}
	return nil
}

// written is the entry of an option in [Definition] or the defaults, nil if there is none.
func (d *definition) written(name string) *entry {
	e, ok := (&evaluator{set: d.set}).raw(definitionSection, name)
	if !ok || !d.set.has(definitionSection) {
		return nil
	}
	return &e
}

// readParams adds the parameters of the spec, then what [Init] has beside them. An operation of an
// action that [Definition] has too keeps its place there.
func (d *definition) readParams(inits []setting) {
	for _, p := range d.spec.Params {
		at := d.at
		at.Value = p.Name + "=" + p.Value
		d.params = append(d.params, setting{p.Name, p.Value, at})
	}
	for _, s := range inits {
		if plain, condition := splitCondition(s.name); condition != "" && d.release != Release10 {
			if p, given := d.spec.Param(plain); given {
				s.value = p
			}
		}
		if i := slices.IndexFunc(d.settings, func(o setting) bool { return o.name == s.name }); i >= 0 {
			d.settings[i] = s
			d.tags[s.name] = s.value
			continue
		}
		d.params = append(d.params, s)
	}
	for _, p := range d.params {
		d.tags[p.name] = p.value
	}
	lists := [][]setting{d.params}
	if d.pass != filterPass { // which sees variants in [Definition] as options of their own
		lists = append(lists, d.settings)
	}
	for _, s := range slices.Concat(lists...) {
		if plain, condition := splitCondition(s.name); condition != "" {
			d.perFamily[plain] = true
		}
	}
}

// atRun reports whether a value is chosen when an action runs: until then it is left as it is
// written, and so are tags that name it. A filter leaves those with variants for good.
func (d *definition) atRun(name string) bool {
	return d.perFamily[name] || d.pass == actionPass && slices.Contains(runtimeTags, name)
}

// lookup gives the text for a tag: one of the settings, else any other key of [Definition], else the
// key of another section.
func (d *definition) lookup(tag string) (string, bool, error) {
	if d.atRun(tag) {
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
		v, err := plain.get(knownPrefix+definitionSection, key)
		if !errors.Is(err, errUnset) {
			return v, err
		}
		sec = definitionSection
	case "default":
		sec = defaultSection
	default:
		if !d.set.has(sec) {
			return d.ev.get(definitionSection, tag)
		}
	}
	v, err := plain.get(sec, key)
	if errors.Is(err, errUnset) {
		return d.ev.get(definitionSection, tag)
	}
	return v, err
}

// missingFault is a filter or action that nobody has.
func (l *loader) missingFault(what, name string, at Origin) error {
	hint := fmt.Sprintf("make %s.d/%s.conf", what, name)
	if near := nearest(name, l.files.names(what+".d")); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "?"
	}
	return faultf(at, hint, "there is no %s %s", what, oneLine(name))
}
