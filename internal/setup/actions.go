package setup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
)

// random feeds bantime.rndtime and the formulas that ask for it: it only spreads the ends of bans.
func random() float64 { return rand.Float64() } //nolint:gosec // not for secrets

// actions decides who does each action of a jail. The stock firewall actions become scopes of our own
// firewall, with the same effect on the same ports; what else a jail wants is said to be left undone.
func (b *builder) actions(j *agent.Jail) {
	for i := range b.c.Actions {
		a := &b.c.Actions[i]
		at := a.Origin
		at.Value = a.Name // of all that action says, the part that is meant
		scope, ok, err := scopeOf(b.c.Name, a)
		switch {
		case err != nil:
			for _, one := range parts(err) {
				b.problems = append(b.problems, at.Problem(config.Error, b.c.Name, one.Error(), "write ports as ssh, 22 or 8000:8010, and protocol as tcp, udp or all"))
			}
		case !ok:
			b.notRun(at, a)
			j.Actions = append(j.Actions, control.Action{Name: a.Name, Note: "not run by this version"})
		default:
			j.Scopes = append(j.Scopes, scope)
			j.Actions = append(j.Actions, control.Action{Name: a.Name, Native: true, Note: describe(scope)})
		}
	}
	if len(j.Actions) > 0 && len(j.Scopes) == 0 && !hasErrors(b.problems) {
		b.warn(b.c.Origin("action"), "none of the jail's actions is run: bans are counted and nobody is kept out", "set banaction = nftables and action = %(action_)s")
	}
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

// notRun warns of an action that is left undone, and says why.
func (b *builder) notRun(at config.Origin, a *config.Action) {
	why := "this version runs only nftables, iptables and ipset actions, by its own firewall"
	if _, isFirewall := firewallFamily(a.File); isFirewall && !a.Python {
		block, _ := a.Param("blocktype")
		why = fmt.Sprintf("its blocktype %s does not keep anybody out", block)
	}
	b.warn(at, fmt.Sprintf("action %s is not run: %s", a.Name, why), "leave it out to silence the warning")
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
