package action

import (
	"fmt"
	"maps"
	"strings"
	"time"
)

// The operations of an action, by the names that the configuration has for them.
const (
	opStart   = "actionstart"
	opStop    = "actionstop"
	opBan     = "actionban"
	opReban   = "actionreban"
	opUnban   = "actionunban"
	opProlong = "actionprolong"
	opFlush   = "actionflush"
	opReload  = "actionreload"
	opCheck   = "actioncheck"
	opRepair  = "actionrepair"
)

// program is a Definition made ready.
type program struct {
	Definition
	options  properties
	families []string // that a start at the jail's start is for; "" is an action without families
	onDemand bool
	texts    map[string]*texts // by family
}

// compile makes a definition ready. The error names an option that refers to itself.
func compile(d Definition, o *Options) (*program, error) {
	if d.Timeout <= 0 {
		d.Timeout = DefaultTimeout
	}
	p := &program{Definition: d, options: properties{}, texts: map[string]*texts{}}
	if d.Python != "" {
		return p, nil // its parameters are arguments, and are not looked into
	}
	for _, op := range []string{opStart, opBan, opReban, opUnban, opCheck, opRepair, opFlush, opStop, opReload} {
		p.options[op] = ""
	}
	for _, list := range [][]Param{d.Params, d.Options} {
		for _, s := range list {
			if s.Name != "bantime" { // which is only ever a ban's
				p.options[s.Name] = s.Value
			}
		}
	}
	p.options["timeout"] = timeoutText(d.Timeout)
	p.families = []string{""}
	conditional := p.options.conditional()
	switch names := strings.FieldsFunc(p.options["families"], isSeparator); {
	case len(names) > 0:
		p.families = names
	case conditional && o.NoIPv6:
		p.families = []string{"inet4"}
	case conditional:
		p.families = []string{"inet4", "inet6"}
	}
	p.onDemand = conditional
	if v, ok := p.options["actionstart_on_demand"]; ok {
		p.onDemand = isTrue(v)
	}
	fixed := maps.Clone(fixedTags)
	fixed["sh-hostname"], fixed["fq-hostname"] = o.Hostname, o.FQDN
	for _, f := range append([]string{"", "inet4", "inet6"}, p.families...) {
		t, err := p.options.resolve(f, fixed)
		if err != nil {
			return nil, fmt.Errorf("jail %s, action %s: %w", d.Jail, d.Name, err)
		}
		p.texts[f] = t
	}
	for _, op := range []string{opStart, opStop, opBan, opReban, opUnban, opProlong, opFlush, opReload, opCheck, opRepair} {
		for _, t := range p.texts {
			if _, err := t.operation(op); err != nil {
				return nil, fmt.Errorf("jail %s, action %s: %w", d.Jail, d.Name, err)
			}
		}
	}
	return p, nil
}

func isSeparator(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }

func isTrue(s string) bool {
	switch strings.ToLower(s) {
	case "1", "on", "true", "yes":
		return true
	}
	return false
}

// text gives an operation for a family, with the values of a ban still to be filled in.
func (p *program) text(op, family string) string {
	t := p.texts[family]
	if t == nil {
		t = p.texts[""]
	}
	text, err := t.operation(op)
	if err != nil {
		return "" // compile has tried them all
	}
	return text
}

// familyText gives an operation that is about a family, not about a ban: its family is filled in, and
// captures are gone.
func (p *program) familyText(op, family string) Command {
	text := p.text(op, family)
	if family == "" || family == noFamily || !strings.Contains(text, "<") {
		return Command{Script: text}
	}
	c, err := Expand(text, Tags{
		Value:   func(name string) (string, bool) { return family, name == "family" },
		Capture: func(string) string { return "" },
	})
	if err != nil {
		return Command{Script: text} // which is what cannot be executed
	}
	return c
}

// has tells whether the action has an operation at all.
func (p *program) has(op string) bool { return p.options[op] != "" }

// prolongs tells whether the action wants to know of bans that last longer.
func (p *program) prolongs() bool { return strings.TrimSpace(p.options[opProlong]) != "" }

// skips tells whether the action does not want to know of a ban.
func (p *program) skips(t *Ticket) bool { return t.Restored && isTrue(p.options["norestored"]) }

// emptyTicket is the ticket of operations that are not about a ban.
func (p *program) emptyTicket(now time.Time) Ticket {
	return Ticket{Time: now, BanTime: p.BanTime}
}
