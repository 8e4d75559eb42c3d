package config

import (
	"fmt"
	"path"
	"strings"
	"unicode/utf16"
)

// actionAssembly is one action on its way.
type actionAssembly struct {
	action   Action
	settings []setting // operations and switches, tags filled in
	def      *definition
	kwargs   string // of a Python action, as JSON
}

// readActions reads the jail's actions.
func (a *assembly) readActions() error {
	text := a.values["action"]
	at := a.ev.origin(a.sec.name, "action")
	at.Value = text
	specs, err := SplitSpecs(text)
	if err != nil {
		return &fault{at: at, msg: "the action cannot be read: " + err.Error(), hint: specHint(err)}
	}
	if len(specs) == 0 {
		if at.IsZero() {
			at = a.at
		}
		a.problems = append(a.problems, at.Problem(Warning, a.sec.name, "the jail has no action: bans are counted and nobody is kept out",
			"set banaction, or action = %(action_)s"))
	}
	names := map[string]bool{}
	for _, s := range specs {
		act, err := a.readAction(s, at)
		if err != nil {
			return err
		}
		if name := act.action.Name; names[name] {
			return faultf(at, "give one of them another name: …[actname=\"…\"]", "two actions are called %s", oneLine(name))
		}
		names[act.action.Name] = true
		a.actions = append(a.actions, act)
	}
	return nil
}

func (a *assembly) readAction(s Spec, at Origin) (*actionAssembly, error) {
	if strings.HasSuffix(s.Name, ".py") {
		return a.readPython(s, at)
	}
	set, found := a.files.load("action.d/" + s.Name)
	if !found {
		return nil, a.missingFault("action", s.Name, at)
	}
	if set.broken != nil {
		return nil, faultf(at, "see "+placeOf(*set.broken), "the action %s has an error: %s", oneLine(s.Name), set.broken.Msg)
	}
	written := s
	s.Params = a.named(s)
	d := &definition{
		pass: actionPass, options: actionOptions, set: set, spec: s, at: at, release: a.opts.Release,
		tags: map[string]string{}, perFamily: map[string]bool{},
	}
	d.ev = &evaluator{set: set, vars: a.actionVars(s), doubt: a.doubt}
	if err := d.evaluate(); err != nil {
		return nil, err
	}
	name, _ := s.Param("actname")
	act := &actionAssembly{def: d, action: Action{
		Name: name, File: s.Name, Files: set.files, Spec: written, Origin: at, origins: map[string]Origin{},
	}}
	act.take(d)
	return act, nil
}

// named adds the parameters that every action has: name, the jail's by default, and actname, by
// which the jail knows it.
func (a *assembly) named(s Spec) []Param {
	params := append([]Param(nil), s.Params...)
	name, given := s.Param("name")
	if !given {
		name = a.sec.name
		params = append(params, Param{"name", name})
	}
	if _, given := s.Param("actname"); !given {
		actname := s.Name
		if rest, begins := strings.CutPrefix(name, a.sec.name); begins {
			actname += rest
		} else {
			actname += "-" + name
		}
		params = append(params, Param{"actname", actname})
	}
	return params
}

// actionVars are what an action's file can refer to: the jail's options, then the parameters.
func (a *assembly) actionVars(s Spec) map[string]string {
	vars := map[string]string{"backend": defaultBackend, "filter": "", "action": ""}
	for _, list := range [][]option{unsentOptions, filterOptions, jailOptions} {
		for _, o := range list {
			v, ok := a.values[o.name]
			if !ok {
				continue
			}
			if shown, ok := pythonText(o.kind, v); ok {
				vars[o.name] = shown
			}
		}
	}
	for _, p := range s.Params {
		vars[strings.ToLower(p.Name)] = p.Value
	}
	return vars
}

// pythonText is how a value of the kind looks as text.
func pythonText(k kind, v string) (string, bool) {
	switch k {
	case boolKind:
		if ParseBool(v) {
			return "True", true
		}
		return "False", true
	case intKind:
		n, err := parseInt(v)
		return itoa(n), err == nil
	default:
		return v, true
	}
}

// take sorts what the definition says into operations and parameters.
func (act *actionAssembly) take(d *definition) {
	for _, list := range [][]setting{d.settings, d.params} {
		for _, s := range list {
			o, known := findOption(actionOptions, s.name)
			if !known {
				act.action.Params = append(act.action.Params, Param{s.name, s.value})
				continue
			}
			act.settings = append(act.settings, s)
			v, _ := pythonText(o.kind, s.value)
			act.action.Options = append(act.action.Options, Param{s.name, v})
			s.at.Value = s.value
			act.action.origins[s.name] = s.at
		}
	}
}

// readPython takes an action that is written in Python: a file and its arguments.
func (a *assembly) readPython(s Spec, at Origin) (*actionAssembly, error) {
	file := a.files.userFile(path.Join("action.d", s.Name))
	if !a.files.exists(file) {
		return nil, a.missingFault("action", s.Name, at)
	}
	act := &actionAssembly{action: Action{
		Name: strings.TrimSuffix(s.Name, ".py"), File: s.Name, Spec: s, Origin: at, Python: true,
		Path: path.Join(a.opts.Dir, "action.d", s.Name), origins: map[string]Origin{},
	}}
	for _, p := range s.Params {
		if p.Name == "actname" {
			act.action.Name = p.Value
			continue
		}
		act.action.Params = append(act.action.Params, p)
	}
	act.kwargs = jsonObject(act.action.Params)
	return act, nil
}

// jsonObject writes parameters as Python's json does: in order, ASCII only, blanks behind commas and
// colons.
func jsonObject(params []Param) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, p := range params {
		if i > 0 {
			b.WriteString(", ")
		}
		writeJSON(&b, p.Name)
		b.WriteString(": ")
		writeJSON(&b, p.Value)
	}
	b.WriteByte('}')
	return b.String()
}

func writeJSON(b *strings.Builder, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '\r': `\r`, '\t': `\t`, '\b': `\b`, '\f': `\f`}
	b.WriteByte('"')
	for _, r := range s {
		switch escape, ok := short[r]; {
		case ok:
			b.WriteString(escape)
		case r < ' ' || r > '~':
			for _, unit := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
}
