package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// jailOptions are the options of a jail in the order in which they are sent. Those of the filter,
// the log paths and the actions have places of their own.
var jailOptions = []option{
	{"maxretry", intKind},
	{"maxmatches", intKind},
	{"findtime", textKind},
	{"bantime", textKind},
	{"bantime.increment", boolKind},
	{"bantime.factor", textKind},
	{"bantime.formula", textKind},
	{"bantime.multipliers", textKind},
	{"bantime.maxtime", textKind},
	{"bantime.rndtime", textKind},
	{"bantime.overalljails", boolKind},
	{"ignorecommand", textKind},
	{"ignoreself", boolKind},
	{"ignoreip", textKind},
	{"ignorecache", textKind},
	{"logtimezone", textKind},
	{"logencoding", textKind},
}

// filterFirst is how many of filterOptions a jail sends before its filter's own, and not after them.
const filterFirst = 3

// defaultBackend is what reads the logs where a jail does not say it.
const defaultBackend = "auto"

// unsentOptions are read, and mean something to whoever reads them, but are not sent.
var unsentOptions = []option{
	{"enabled", boolKind},
	{"backend", textKind},
	{"filter", textKind},
	{"logpath", textKind},
	{"skip_if_nologs", boolKind},
	{"systemd_if_nologs", boolKind},
	{"action", textKind},
}

// command is one option on its way to the server.
type command struct {
	name  string
	value string
	kind  kind
	at    Origin
}

// assembly is one jail on its way.
type assembly struct {
	*loader
	sec      *section
	ev       *evaluator
	at       Origin // the section
	values   map[string]string
	backend  string
	spec     Spec
	filter   *definition
	commands []command
	paths    []resolvedPath
	actions  []*actionAssembly
	doubted  *Problem // the first value that cannot be trusted
	problems []Problem
}

// jail assembles one jail, if it is enabled, and adds it to the configuration or reports why not.
func (l *loader) jail(sec *section) {
	a := &assembly{loader: l, sec: sec, at: sec.at, values: map[string]string{}}
	a.ev = &evaluator{set: l.jails, doubt: a.doubt}
	if on := a.enabled(); !on {
		return
	}
	err := a.assemble()
	if errors.Is(err, errSkipped) {
		l.flush(a)
		return
	}
	var jail Jail
	ok, whole := false, err == nil
	if doubt := a.trusted(); doubt != nil {
		err, whole = doubt, false // what else is wrong may only follow from it
	} else {
		jail, ok = a.check()
	}
	if err != nil {
		ok = false
		f := asFault(err)
		if f.at.IsZero() {
			f.at = a.at
		}
		a.problems = append(a.problems, f.at.Problem(Error, sec.name, f.msg, f.hint))
	}
	l.flush(a)
	if !ok && whole {
		l.config.Unsound = append(l.config.Unsound, jail)
	}
	if !ok {
		l.emit("config-error", fmt.Sprintf("Jail '%s' skipped, because of wrong configuration: %s",
			sec.name, firstError(a.problems).Msg))
		return
	}
	a.send()
	l.config.Jails = append(l.config.Jails, jail)
}

// errSkipped says that the configuration wants a jail left out.
var errSkipped = errors.New("skipped")

func (l *loader) flush(a *assembly) {
	for _, p := range a.problems {
		l.report(p)
	}
}

func firstError(problems []Problem) Problem {
	for _, p := range problems {
		if p.Severity == Error {
			return p
		}
	}
	return Problem{}
}

func (a *assembly) doubt(at Origin, why *Problem) {
	if a.doubted == nil {
		p := at.Problem(Error, a.sec.name, "the jail depends on this value, which is not clear: "+why.Msg, "see "+placeOf(*why))
		a.doubted = &p
	}
}

func placeOf(p Problem) string { return Origin{File: p.File, Line: p.Line}.String() }

// trusted is nil if nothing that the jail depends on is doubtful.
func (a *assembly) trusted() error {
	why := a.doubted
	if why == nil {
		for _, taint := range []*Problem{a.sec.taint, a.jails.defaults.taint} {
			if taint != nil {
				p := a.at.Problem(Error, a.sec.name, "what the jail says is not clear: "+taint.Msg, "see "+placeOf(*taint))
				why = &p
				break
			}
		}
	}
	if why == nil {
		return nil
	}
	return &fault{at: Origin{why.File, why.Line, why.Section, why.Key, why.Value}, msg: why.Msg, hint: why.Hint}
}

// enabled decides whether the jail is wanted.
func (a *assembly) enabled() bool {
	if slices.Contains(a.opts.Enabled, a.sec.name) {
		return true
	}
	v, err := a.ev.get(a.sec.name, "enabled")
	switch {
	case errors.Is(err, errUnset):
		return false
	case err != nil:
		f := asFault(err)
		a.report(f.at.Problem(Error, a.sec.name, f.msg, f.hint))
		return false
	case ParseBool(v):
		return true
	case !looksLikeFalse(v):
		at := a.ev.origin(a.sec.name, "enabled")
		at.Value = v
		a.report(at.Problem(Warning, a.sec.name, "this means false: the jail is not enabled", "write true"))
	}
	return false
}

func (a *assembly) assemble() error {
	if err := a.readFilter(); err != nil {
		return err
	}
	if err := a.readOptions(); err != nil {
		return err
	}
	a.collect()
	if err := a.readLogPaths(); err != nil {
		return err
	}
	return a.readActions()
}

// optional is the value of an option, "" if it is not set.
func (a *assembly) optional(key string) (string, error) {
	v, err := a.ev.get(a.sec.name, key)
	if errors.Is(err, errUnset) {
		return "", nil
	}
	return v, err
}

// readFilter reads the jail's filter and puts what it says into the jail's section as known/option.
func (a *assembly) readFilter() error {
	vars := map[string]string{"enabled": "True"}
	backend, err := a.optional("backend")
	if err != nil {
		return err
	}
	if backend == "" {
		backend = defaultBackend
	}
	a.backend, vars["backend"] = backend, backend
	text, err := a.optional("filter")
	if err != nil {
		return err
	}
	vars["filter"] = text
	at := a.ev.origin(a.sec.name, "filter")
	at.Value = text
	if text == "" {
		return nil
	}
	if a.spec, err = ParseSpec(text); err != nil {
		return &fault{at: at, msg: "the filter cannot be read: " + err.Error(), hint: specHint(err)}
	}
	set, found := a.files.load("filter.d/" + a.spec.Name)
	if !found {
		return a.missingFault("filter", a.spec.Name, at)
	}
	if set.broken != nil {
		return faultf(at, "see "+placeOf(*set.broken), "the filter has an error: %s", set.broken.Msg)
	}
	known, err := a.evaluateFilter(knownPass, set, at, vars)
	if err != nil {
		return err
	}
	a.setKnown(known)
	a.filter, err = a.evaluateFilter(filterPass, set, at, vars)
	return err
}

// evaluateFilter reads the filter; vars are what it sees of the jail.
func (a *assembly) evaluateFilter(p pass, set *fileSet, at Origin, vars map[string]string) (*definition, error) {
	d := &definition{
		pass: p, options: filterOptions, set: set, spec: a.spec, at: at, release: a.opts.Release,
		tags: map[string]string{}, perFamily: map[string]bool{}, jailSets: a.jailSets,
	}
	d.ev = &evaluator{set: set, vars: maps.Clone(vars), doubt: a.doubt}
	if logtype, ok := a.presetLogType(set); ok {
		d.ev.vars[logTypeKey], d.tags[logTypeKey] = logtype, logtype
		if _, empty := d.spec.Param(logTypeKey); empty {
			d.spec.Params = setParam(slices.Clone(d.spec.Params), logTypeKey, logtype)
		}
	}
	for _, p := range d.spec.Params {
		d.ev.vars[strings.ToLower(p.Name)] = p.Value
	}
	return d, d.evaluate()
}

// jailSets reports whether the jail or its defaults set an option that filters have too.
func (a *assembly) jailSets(name string) bool {
	_, known := findOption(filterOptions, name)
	_, set := a.ev.raw(a.sec.name, name)
	return known && set
}

// logTypeKey is the option by which a filter chooses what stands before the text of a line.
const logTypeKey = "logtype"

// presetLogType tells the filter which kind of lines it will see, unless the spec or the filter says so;
// an empty parameter says nothing.
func (a *assembly) presetLogType(set *fileSet) (logtype string, ok bool) {
	if given, _ := a.spec.Param(logTypeKey); given != "" {
		return "", false
	}
	if sec := set.byName[definitionSection]; sec != nil {
		if _, own := sec.byKey[logTypeKey]; own {
			return "", false
		}
	}
	if isSystemd(a.backend) {
		return "journal", true
	}
	return "file", true
}

func isSystemd(backend string) bool { return strings.HasPrefix(backend, "systemd") }

// setKnown puts the filter's options into the jail's section as known/option. The section of the
// file set is left alone: another jail may refer to it.
func (a *assembly) setKnown(filter *definition) {
	own := newSection(a.sec.name, a.sec.at)
	own.taint = a.sec.taint
	for _, key := range a.sec.keys {
		own.set(key, a.sec.byKey[key])
	}
	for _, list := range [][]setting{filter.settings, filter.params} {
		for _, s := range list {
			at := s.at
			at.Value = ""
			own.set("known/"+s.name, entry{value: s.value, at: at})
		}
	}
	set := *a.jails
	set.byName = maps.Clone(set.byName)
	set.byName[own.name] = own
	a.sec, a.ev = own, &evaluator{set: &set, doubt: a.doubt}
}

// readOptions evaluates all options of the jail.
func (a *assembly) readOptions() error {
	for _, list := range [][]option{unsentOptions, filterOptions, jailOptions} {
		for _, o := range list {
			v, err := a.ev.get(a.sec.name, o.name)
			if errors.Is(err, errUnset) {
				continue
			}
			if err != nil {
				return err
			}
			a.values[o.name] = v
		}
	}
	return nil
}

// collect puts the options in the order in which fail2ban sends them: some of the jail's, then the
// filter's that the jail does not set itself, then the rest.
func (a *assembly) collect() {
	for _, o := range filterOptions[:filterFirst] {
		a.collectOne(o)
	}
	a.collectFilter()
	for _, o := range filterOptions[filterFirst:] {
		a.collectOne(o)
	}
	for _, o := range jailOptions {
		a.collectOne(o)
	}
}

func (a *assembly) collectOne(o option) {
	if v, ok := a.values[o.name]; ok {
		at := a.ev.origin(a.sec.name, o.name)
		at.Value = v
		a.commands = append(a.commands, command{o.name, v, o.kind, at})
	}
}

func (a *assembly) collectFilter() {
	if a.filter == nil {
		return
	}
	var own []command
	for _, s := range a.filter.settings {
		own = append(own, filterCommand(s))
	}
	for _, s := range a.filter.params {
		own = append(own, filterCommand(s))
	}
	own = slices.DeleteFunc(own, func(c command) bool { return c.name == "" })
	slices.SortStableFunc(own, func(x, y command) int { return filterRank(x.name) - filterRank(y.name) })
	a.commands = append(a.commands, own...)
}

// filterCommand is a filter's setting on its way; without a name if it is none that is sent.
func filterCommand(s setting) command {
	o, known := findOption(filterOptions, s.name)
	if !known {
		return command{}
	}
	s.at.Value = s.value
	return command{s.name, s.value, o.kind, s.at}
}

// filterRank orders a filter's options where they come from several sections: usedns first, then
// what the regexes need to be read, then the rest.
func filterRank(name string) int {
	switch name {
	case "usedns":
		return 0
	case "prefregex", "maxlines":
		return 1
	default:
		return 2
	}
}
