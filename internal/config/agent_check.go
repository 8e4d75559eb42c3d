package config

import (
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/secret"
)

// CheckConf is a section [check NAME]: a service that agentctl check asks about an address. Those that [feed] and
// [report] have a key for are asked without such a section.
type CheckConf struct {
	Name    string
	Enabled bool
	Broken  bool // it cannot work as it is written; why is among the problems

	Type        string // a name of checkTypes
	URL         string // instead of the service's own; without a slash at its end
	Key, Secret secret.Ref
}

// checkTypes are the words of package lookup, which this package does not know; a test compares them.
func checkTypes() []string {
	return []string{"wayscloud", "wayscloud-portal", "abuseipdb", "ismalicious", "crowdsec"}
}

// CheckWords are the types that a section [check NAME] may name.
func CheckWords() []string { return checkTypes() }

// theCheck finds a section by its name.
func (a *AgentConf) theCheck(name string) *CheckConf {
	i := slices.IndexFunc(a.Checks, func(c CheckConf) bool { return c.Name == name })
	return &a.Checks[i]
}

func checkSection() agentSection {
	of := func(a *AgentConf, name string) *CheckConf { return a.theCheck(name) }
	return agentSection{
		kind: "check", named: true,
		begin: func(a *AgentConf, name string) { a.Checks = append(a.Checks, CheckConf{Name: name, Enabled: true}) },
		check: checkCheck,
		keys: []agentKey{
			{"enabled", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Enabled })},
			{"type", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Type }, checkTypes()...)},
			{"url", webAddress(func(a *AgentConf, n string) *string { return &of(a, n).URL })},
			{"apikey", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Key })},
			{"apisecret", aSecret(func(a *AgentConf, n string) *secret.Ref { return &of(a, n).Secret })},
		},
	}
}

func checkCheck(a *AgentConf, name string) []complaint {
	c := a.theCheck(name)
	c.URL = strings.TrimRight(c.URL, "/")
	broken := func(key, msg, hint string) []complaint {
		c.Broken = true
		return []complaint{{key: key, msg: msg + ": it is not asked", hint: hint}}
	}
	switch {
	case !c.Enabled:
	case c.Type == "":
		return broken("type", "it is not said who is asked", "write type = one of "+strings.Join(checkTypes(), ", "))
	case c.Type != "wayscloud-portal" && !c.Key.Given():
		return broken("type", "there is no key", "write apikey = file:/etc/agentd/"+name+".key")
	case c.Type == "ismalicious" && !c.Secret.Given():
		return broken("apikey", "this service wants a key and a secret", "write apisecret = file:/etc/agentd/"+name+".secret")
	}
	return nil
}
