package config

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/feed/catalog"
	"github.com/palisade-agent/palisade/internal/feed/jsonpath"
)

// AllowConf is a section [allow NAME]: addresses that nothing blocks, whatever a jail or a list says.
type AllowConf struct {
	Name    string
	Enabled bool
	Broken  bool // it cannot work as it is written; why is among the problems

	Type      string         // a name of the catalog, or "list", what the other keys say
	Addresses []netip.Prefix // written here
	Hosts     []string       // names whose addresses are followed
	URLs      []string
	Path      string   // a file or a folder
	Services  []string // of AWS
	Format    string
	Entries   string // the path of entries in JSON
	Interval  time.Duration
}

// theAllow finds an allowlist by its name.
func (a *AgentConf) theAllow(name string) *AllowConf {
	i := slices.IndexFunc(a.Allows, func(f AllowConf) bool { return f.Name == name })
	return &a.Allows[i]
}

func allowSection() agentSection {
	of := func(a *AgentConf, name string) *AllowConf { return a.theAllow(name) }
	types := append([]string{"list"}, catalog.Names(catalog.Allows())...)
	return agentSection{
		kind: "allow", named: true,
		begin: func(a *AgentConf, name string) {
			a.Allows = append(a.Allows, AllowConf{Name: name, Enabled: true, Type: "list"})
		},
		check: checkAllow,
		keys: []agentKey{
			{"enabled", yesOrNo(func(a *AgentConf, n string) *bool { return &of(a, n).Enabled })},
			{"type", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Type }, types...)},
			{"addresses", prefixes(func(a *AgentConf, n string) *[]netip.Prefix { return &of(a, n).Addresses })},
			{"hosts", wordList(func(a *AgentConf, n string) *[]string { return &of(a, n).Hosts }, hostName)},
			{"url", webAddresses(func(a *AgentConf, n string) *[]string { return &of(a, n).URLs })},
			{"path", wholePath(func(a *AgentConf, n string) *string { return &of(a, n).Path })},
			{"services", wordList(func(a *AgentConf, n string) *[]string { return &of(a, n).Services }, listName)},
			{"format", oneOf(func(a *AgentConf, n string) *string { return &of(a, n).Format }, anyFormat()...)},
			{"entries", plainText(func(a *AgentConf, n string) *string { return &of(a, n).Entries }, nil)},
			{"interval", duration(func(a *AgentConf, n string) *time.Duration { return &of(a, n).Interval }, time.Second, 30*24*time.Hour, false)},
		},
	}
}

func checkAllow(a *AgentConf, name string) []complaint {
	f := a.theAllow(name)
	_, known := catalog.Find(catalog.Allows(), f.Type)
	if f.Enabled && !known && f.Path == "" && len(f.URLs)+len(f.Addresses)+len(f.Hosts) == 0 {
		f.Broken = true
		return []complaint{{key: "type", msg: "it is not said whom it allows: nobody is", hint: "write type = one of " + strings.Join(catalog.Names(catalog.Allows()), ", ") + "; or addresses, hosts, url or path"}}
	}
	if _, err := jsonpath.Parse(f.Entries); err != nil && f.Entries != "" && f.Enabled {
		f.Broken = true
		return []complaint{{key: "entries", msg: "this is no path: " + err.Error() + ": nobody is allowed by this section", hint: "write it as list[].ip"}}
	}
	return nil
}

func hostName(s string) (msg, hint string) {
	if len(s) > 253 || !strings.Contains(s, ".") || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.") != "" || strings.Trim(s, "0123456789.") == "" {
		return "this is no name of a host; it does not count", "write names here, addresses at addresses"
	}
	return "", ""
}
