package config

// send writes the jail's commands as fail2ban's client does.
func (a *assembly) send() {
	name := a.sec.name
	a.emit("add", name, a.backend)
	for _, c := range a.commands {
		a.sendOption(name, c)
	}
	for _, p := range a.paths {
		for _, file := range p.found {
			a.emit("set", name, "addlogpath", file, p.mode())
		}
	}
	for _, act := range a.actions {
		act.send(a.loader, name)
	}
	a.starts = append(a.starts, []any{"start", name})
}

func (a *assembly) sendOption(jail string, c command) {
	switch c.name {
	case "failregex", "ignoreregex":
		switch list := lines(c.value); len(list) {
		case 0:
		case 1:
			a.emit("set", jail, "add"+c.name, list[0])
		default:
			a.emit("multi-set", jail, "add"+c.name, anyList(list))
		}
	case "journalmatch":
		for _, line := range lines(c.value) {
			match, err := shellWords(line)
			if err != nil {
				continue // check has refused it
			}
			a.emit(append([]any{"set", jail, "addjournalmatch"}, anyList(match)...)...)
		}
	case "ignoreip":
		a.emit(append([]any{"set", jail, "addignoreip"}, anyList(sentWords(c.value))...)...)
	default:
		a.emit("set", jail, c.name, typed(c.kind, c.value))
	}
}

// typed is a value as its kind is sent.
func typed(k kind, v string) any {
	switch k {
	case boolKind:
		return ParseBool(v)
	case intKind:
		n, err := parseInt(v)
		if err != nil {
			return nil
		}
		return n
	default:
		return v
	}
}

func anyList(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

func (act *actionAssembly) send(l *loader, jail string) {
	if act.action.Python {
		l.emit("set", jail, "addaction", act.action.Name, act.action.Path, act.kwargs)
		return
	}
	l.emit("set", jail, "addaction", act.action.Name)
	properties := []any{}
	if act.def.set.byName[definitionSection] == nil {
		for _, o := range actionOptions {
			properties = append(properties, []any{o.name, nil})
		}
	}
	for _, s := range act.settings {
		o, _ := findOption(actionOptions, s.name)
		properties = append(properties, []any{s.name, typed(o.kind, s.value)})
	}
	for _, p := range act.action.Params {
		properties = append(properties, []any{p.Name, p.Value})
	}
	if len(properties) > 0 {
		l.emit("multi-set", jail, "action", act.action.Name, properties)
	}
}
