package executor

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
)

// operations are the properties that every action has.
var operations = []string{
	"actionban", "actioncheck", "actionflush", "actionreban", "actionreload", "actionrepair", "actionstart", "actionstop", "actionunban",
}

// methods are what fail2ban's client lists of an action. They cannot be called.
var methods = []string{"ban", "flush", "prolong", "reban", "reload", "start", "stop", "unban"}

// findAction gives the action of a name.
func findAction(c *config.Jail, name string) (*config.Action, error) {
	at := slices.IndexFunc(c.Actions, func(a config.Action) bool { return a.Name == name })
	if at < 0 {
		return nil, &f2b.ExceptionError{Module: "builtins", Class: "KeyError", Args: []any{"Invalid Action name: " + name}}
	}
	return &c.Actions[at], nil
}

// getAction answers what is asked of an action.
func getAction(c config.Jail, option string, rest []string) (any, error) {
	if len(rest) == 0 || option == "action" && len(rest) < 2 {
		return nil, fewWords()
	}
	a, err := findAction(&c, rest[0])
	if err != nil {
		return nil, err
	}
	switch option {
	case "actionmethods":
		return texts(methods), nil
	case "actionproperties":
		return texts(propertiesOf(a)), nil
	}
	return property(a, rest[1])
}

func texts(list []string) pickle.List {
	all := pickle.List{}
	for _, s := range list {
		all = append(all, s)
	}
	return all
}

// propertiesOf lists what an action has, sorted.
func propertiesOf(a *config.Action) []string {
	names := append([]string{"timeout"}, operations...)
	if a.Python {
		names = nil
	}
	for _, list := range [][]config.Param{a.Options, a.Params} {
		for _, p := range list {
			names = append(names, p.Name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// switches are the options of an action that are on or off.
func isSwitch(name string) bool {
	return name == "norestored" || name == "actionstart_on_demand" || name == "actionrepair_on_unban"
}

// property gives one of them.
func property(a *config.Action, name string) (any, error) {
	value, ok := a.Option(name)
	if !ok {
		value, ok = a.Param(name)
	}
	switch {
	case ok && isSwitch(name):
		return config.ParseBool(value), nil
	case ok && name == "timeout":
		if d, err := config.ParseTime(value); err == nil {
			return seconds(d), nil
		}
		return value, nil
	case ok:
		return value, nil
	case a.Python:
	case name == "timeout":
		return 60, nil // fail2ban's
	case slices.Contains(operations, name):
		return "", nil
	}
	return nil, exception("AttributeError", "'CommandAction' object has no attribute %s", f2b.Repr(name))
}

// setAction adds, changes or takes away an action.
func (h Handler) setAction(ctx context.Context, name, option string, rest []string, _ []any) (any, error) {
	if len(rest) == 0 {
		return nil, fewWords()
	}
	action := rest[0]
	switch option {
	case "addaction":
		a, err := newAction(rest)
		if err != nil {
			return nil, err
		}
		return action, h.Jails.Edit(ctx, name, option, nil, func(c *config.Jail) error {
			if _, err := findAction(c, action); err == nil {
				return exception("ValueError", "Action %s already exists", action)
			}
			c.Actions = append(c.Actions, a)
			return nil
		})
	case "delaction":
		return nil, h.Jails.Edit(ctx, name, option, nil, func(c *config.Jail) error {
			if _, err := findAction(c, action); err != nil {
				return err
			}
			c.Actions = slices.DeleteFunc(c.Actions, func(a config.Action) bool { return a.Name == action })
			return nil
		})
	}
	c, _, err := h.Jails.Config(name)
	if err != nil {
		return nil, err
	}
	if _, err := findAction(&c, action); err != nil {
		return nil, err
	}
	switch {
	case len(rest) < 2:
		return nil, fewWords()
	case slices.Contains(methods, rest[1]):
		return nil, refused("methods of actions are not called from outside: use set %s banip, unbanip, or reload", name)
	case len(rest) < 3:
		return nil, fewWords()
	}
	key, value := rest[1], rest[2]
	if err := h.Jails.Edit(ctx, name, "action", nil, func(c *config.Jail) error {
		a, err := findAction(c, action)
		if err == nil {
			setProperty(a, key, value)
		}
		return err
	}); err != nil {
		return nil, err
	}
	if c, _, err = h.Jails.Config(name); err != nil {
		return nil, err
	}
	a, err := findAction(&c, action)
	if err != nil {
		return nil, err
	}
	return property(a, key)
}

// setProperty changes a property, or adds it.
func setProperty(a *config.Action, key, value string) {
	list := &a.Params
	if word, _, _ := strings.Cut(key, "?"); slices.Contains(operations, word) || isSwitch(word) || word == "actionprolong" {
		list = &a.Options
	}
	if at := slices.IndexFunc(*list, func(p config.Param) bool { return p.Name == key }); at >= 0 {
		(*list)[at].Value = value
		return
	}
	*list = append(*list, config.Param{Name: key, Value: value})
}

// newAction makes an action of what addaction says: its name alone, or that of a file in Python and its
// arguments.
func newAction(rest []string) (config.Action, error) {
	a := config.Action{Name: rest[0], File: rest[0]}
	if len(rest) == 1 {
		return a, nil
	}
	if len(rest) < 3 {
		return a, fewWords()
	}
	a.Python, a.Path, a.File = true, rest[1], rest[1]
	params := map[string]string{}
	if err := json.Unmarshal([]byte(rest[2]), &params); err != nil {
		return a, exception("ValueError", "the arguments of the action are no object with texts: %v", err)
	}
	for key, value := range params {
		a.Params = append(a.Params, config.Param{Name: key, Value: value})
	}
	slices.SortFunc(a.Params, func(x, y config.Param) int { return strings.Compare(x.Name, y.Name) })
	return a, nil
}
