package setup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
)

// random feeds bantime.rndtime and the formulas that ask for it: it only spreads the ends of bans.
func random() float64 { return rand.Float64() } //nolint:gosec // not for secrets

// actions decides who does each action of a jail. The stock firewall actions become scopes of our own
// firewall, with the same effect on the same ports; all others, or all if that is wished, run as scripts.
func (b *builder) actions(j *agent.Jail) {
	for i := range b.c.Actions {
		a := &b.c.Actions[i]
		at := a.Origin
		at.Value = a.Name // of all that action says, the part that is meant
		var scope firewall.Scope
		var ok bool
		var err error
		if !b.scripts {
			scope, ok, err = scopeOf(b.c.Name, a)
		}
		switch {
		case err != nil:
			for _, one := range parts(err) {
				b.problems = append(b.problems, at.Problem(config.Error, b.c.Name, one.Error(), "write ports as ssh, 22 or 8000:8010, and protocol as tcp, udp or all"))
			}
		case !ok:
			d := b.definition(a)
			if err := agent.CheckScript(d); err != nil {
				b.problems = append(b.problems, at.Problem(config.Error, b.c.Name, err.Error(), "an option may hold the tags of others, not its own"))
				continue
			}
			j.Scripts = append(j.Scripts, d)
			j.Actions = append(j.Actions, control.Action{Name: a.Name, Note: b.describeScript(a)})
		default:
			scope.Counted = b.firewall.Hits
			j.Scopes = append(j.Scopes, scope)
			j.Actions = append(j.Actions, control.Action{Name: a.Name, Native: true, Note: describe(scope)})
		}
	}
}

// definition is an action as a script.
func (b *builder) definition(a *config.Action) action.Definition {
	d := action.Definition{Jail: b.c.Name, Name: a.Name, BanTime: b.c.BanTime}
	for _, p := range a.Options {
		d.Options = append(d.Options, action.Param{Name: p.Name, Value: p.Value})
	}
	for _, p := range a.Params {
		d.Params = append(d.Params, action.Param{Name: p.Name, Value: p.Value})
	}
	if a.Python {
		d.Python = a.Path
	}
	if text, ok := a.Param("timeout"); ok {
		limit, err := config.ParseTime(text)
		if err != nil || limit <= 0 {
			at := a.Origin
			at.Value = text
			b.warn(at, fmt.Sprintf("the timeout of action %s is no time: it is %v", a.Name, action.DefaultTimeout), "write it in seconds, as timeout = 30")
		} else {
			d.Timeout = limit
		}
	}
	return d
}

// describeScript tells people how an action is run that is not ours.
func (b *builder) describeScript(a *config.Action) string {
	block, _ := a.Param("blocktype")
	_, isFirewall := firewallFamily(a.File)
	switch {
	case a.Python:
		return "Python, " + a.File
	case isFirewall && !b.scripts:
		return fmt.Sprintf("script, since blocktype %s keeps nobody out", block)
	}
	return "script"
}

// parts takes errors apart that were joined.
func parts(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, parts(e)...)
	}
	return all
}

// describe tells people what a scope closes.
func describe(s firewall.Scope) string {
	var protocols, ports []string
	for _, p := range s.Protocols {
		protocols = append(protocols, string(p))
	}
	for _, p := range s.Ports {
		ports = append(ports, p.String())
	}
	if s.AllPorts {
		ports = []string{"all ports"}
	}
	return fmt.Sprintf("%v, %s %s", s.Verdict, strings.Join(protocols, "+"), strings.Join(ports, ","))
}

// scopeOf turns a stock firewall action into what it closes. It reports false for an action that is
// none, or that does not keep anybody out.
func scopeOf(jailName string, a *config.Action) (s firewall.Scope, ok bool, err error) {
	family, isFirewall := firewallFamily(a.File)
	if a.Python || !isFirewall {
		return s, false, nil
	}
	get := func(name, otherwise string) string {
		if v, ok := a.Param(name); ok {
			return v
		}
		return otherwise
	}
	block := strings.ToLower(get("blocktype", "reject"))
	s.Owner = agent.Owner(jailName)
	switch {
	case strings.HasPrefix(block, "drop"):
		s.Verdict = firewall.Drop
	case strings.HasPrefix(block, "reject"):
		s.Verdict = firewall.Reject
	default:
		// RETURN and the like open the door instead of closing it: somebody's own construction.
		return s, false, nil
	}
	s.Protocols, err = firewall.ParseProtocols(get("protocol", "tcp"))
	kind := get("type", "")
	if kind == "" {
		kind = kindByName(family, a.File)
	}
	if kind == "allports" {
		s.AllPorts = true
		return s, true, err
	}
	var wrong error
	s.Ports, wrong = firewall.ParsePorts(get("port", "ssh"), func(name, protocol string) (uint16, bool) {
		port, err := net.DefaultResolver.LookupPort(context.Background(), protocol, name) // a file, not the network
		return uint16(port), err == nil
	})
	return s, true, errors.Join(err, wrong)
}

// firewallFamily names the tool that a stock firewall action is written for.
func firewallFamily(file string) (tool string, ok bool) {
	for _, tool := range []string{"nftables", "iptables", "ipset"} {
		if file == tool || strings.HasPrefix(file, tool+"-") {
			return tool, true
		}
	}
	return "", false
}

// kindByName tells by an action's file what its bans close, where no parameter type does: fail2ban's
// iptables action closes one port, nftables several.
func kindByName(tool, file string) string {
	switch {
	case strings.HasSuffix(file, "-allports"), strings.Contains(file, "xt_recent"):
		return "allports"
	case file == "ipset":
		return "allports"
	case tool == "iptables" && file == "iptables":
		return "oneport"
	}
	return "multiport"
}
