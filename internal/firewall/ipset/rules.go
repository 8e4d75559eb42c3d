package ipset

import (
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// chainName is of the chain to which the first rule of PREROUTING leads; the others begin with it.
	chainName    = "PALISADE"
	outputChain  = chainName + "-OUTPUT"
	forwardChain = chainName + "-FORWARD"

	// multiport takes so many ports; a range counts as two.
	portsMax = 15

	// Lines in the kernel's log, per second and rule: enough to see who comes, too few to fill a disk.
	logLimit  = "-m limit --limit 10/sec --limit-burst 20 -j LOG --log-prefix "
	logPrefix = `"palisade feed: "`
)

// chain is a chain of ours with its rules as "iptables -S" prints them, without "-A" and the chain's name.
type chain struct {
	name  string
	hook  string // the built-in chain whose first rule leads here
	rules []string
}

// table is what we have in one table of iptables for one family.
type table struct {
	v6     bool
	name   string
	chains []chain
}

// render makes rules of a layout for one family: the tables raw and mangle, which may have nothing of ours.
// names are those of the sets in the kernel. The order in the chain at PREROUTING is that of the groups:
//
//	from the loopback interface   -i lo -j RETURN
//	closed for all protocols      -m set --match-set pal-all.drop.v4 src -j DROP
//	closed for whole protocols    -p icmp -m set --match-set pal-icmp.drop.v4 src -j DROP
//	closed ports                  -p tcp -m multiport --dports 22,6000:6010 -m set --match-set ...
//	feeds                         -m set --match-set pal-feed.drop.v4-24 src -j DROP
//
// What passes returns to the rules of others, rather than be accepted over their heads.
func render(l firewall.Layout, v6 bool, names map[firewall.Set]string) [2]table {
	pre := chain{name: chainName, hook: "PREROUTING", rules: []string{"-i lo -j RETURN"}}
	output := chain{name: outputChain, hook: "OUTPUT", rules: []string{"-o lo -j RETURN"}}
	forward := chain{name: forwardChain, hook: "FORWARD"}
	both := false
	for _, g := range l.Groups {
		for _, s := range l.Sets {
			if s.Group != g.Name || s.V6 != v6 {
				continue
			}
			for _, m := range matches(g) {
				pre.rules = append(pre.rules, m+lookup(names[s], "src", g.Verdict))
			}
			if g.Both {
				both = true
				output.rules = append(output.rules, lookup(names[s], "dst", g.Verdict))
				forward.rules = append(forward.rules, lookup(names[s], "dst", g.Verdict))
			}
		}
	}
	raw, mangle := table{v6: v6, name: "raw"}, table{v6: v6, name: "mangle"}
	if len(pre.rules) > 1 { // where nothing is looked up there is nothing of ours
		raw.chains = []chain{pre}
	}
	if both {
		raw.chains = append(raw.chains, output)
		mangle.chains = []chain{forward}
	}
	return [2]table{raw, mangle}
}

// lookup is the part of a rule that looks a packet up in a set and decides about it. There is no reject
// before routing: it drops.
func lookup(set, which string, v firewall.Verdict) string {
	rule := "-m set --match-set " + set + " " + which + " "
	if v == firewall.Log {
		return rule + logLimit + logPrefix
	}
	return rule + "-j DROP"
}

// matches gives the parts of rules that choose the packets that a group is about, one for each rule. What
// is about ports and has none (a protocol without them) is closed as a whole.
func matches(g firewall.Group) []string {
	if len(g.Protocols) == 0 {
		return []string{""}
	}
	var out []string
	for _, p := range g.Protocols {
		proto := "-p " + protocolName(p) + " "
		if len(g.Ports) == 0 || !firewall.HasPorts(p) {
			out = append(out, proto)
			continue
		}
		for _, list := range portLists(g.Ports) {
			out = append(out, proto+"-m multiport --dports "+list+" ")
		}
	}
	return out
}

// portLists writes ports as multiport takes them, in as many lists as it needs.
func portLists(ports []firewall.PortRange) []string {
	var lists []string
	var words []string
	room := portsMax
	for _, r := range ports {
		word, width := strconv.Itoa(int(r.First)), 1
		if r.First != r.Last {
			word, width = word+":"+strconv.Itoa(int(r.Last)), 2
		}
		if width > room {
			lists = append(lists, strings.Join(words, ","))
			words, room = nil, portsMax
		}
		words = append(words, word)
		room -= width
	}
	return append(lists, strings.Join(words, ","))
}

// protocolName writes a protocol as iptables prints it, so that rules that stand are known again. An other
// name costs no more than writing the same rules anew at a start.
func protocolName(p uint8) string {
	switch p {
	case 1:
		return "icmp"
	case 6:
		return "tcp"
	case 17:
		return "udp"
	case 33:
		return "dccp"
	case 47:
		return "gre"
	case 50:
		return "esp"
	case 51:
		return "ah"
	case 58:
		return "ipv6-icmp"
	case 132:
		return "sctp"
	case 136:
		return "udplite"
	}
	return strconv.Itoa(int(p))
}

// standing is what one table of the kernel holds, as far as it is about us.
type standing struct {
	chains map[string][]string // ours, with their rules
	jumps  map[string]int      // how many rules of a built-in chain lead to the chain of ours that belongs there
	buried map[string]string   // the first rule before that one that may let a packet pass by it
	strays []string            // "-A" lines of others that lead into chains of ours
}

// hookOf gives the built-in chain that leads to one of ours.
func hookOf(name string) (string, bool) {
	switch name {
	case chainName:
		return "PREROUTING", true
	case outputChain:
		return "OUTPUT", true
	case forwardChain:
		return "FORWARD", true
	}
	return "", false
}

// parseListing reads what "iptables -S" prints of a table.
func parseListing(text string) standing {
	st := standing{chains: map[string][]string{}, jumps: map[string]int{}, buried: map[string]string{}}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n ")
		what, rest, _ := strings.Cut(line, " ")
		name, rule, _ := strings.Cut(rest, " ")
		_, ours := hookOf(name)
		switch {
		case what == "-N" && ours:
			if _, seen := st.chains[name]; !seen {
				st.chains[name] = nil
			}
		case what == "-A" && ours:
			st.chains[name] = append(st.chains[name], rule)
		case what == "-A":
			st.foreign(name, rule)
		}
	}
	return st
}

// foreign takes note of a rule in a chain of others.
func (st *standing) foreign(name, rule string) {
	target := targetOf(rule)
	hook, ours := hookOf(target)
	switch {
	case ours && hook == name && rule == "-j "+target:
		st.jumps[name]++
	case ours:
		st.strays = append(st.strays, "-A "+name+" "+rule)
	case st.jumps[name] == 0 && st.buried[name] == "" && mayPass(target):
		st.buried[name] = rule
	}
}

// targetOf gives the target of a rule, or "".
func targetOf(rule string) string {
	if target := wordAfter(rule, "-j"); target != "" {
		return target
	}
	return wordAfter(rule, "-g")
}

func wordAfter(rule, option string) string {
	words := strings.Fields(rule)
	if i := slices.Index(words, option); i >= 0 && i+1 < len(words) {
		return words[i+1]
	}
	return ""
}

// mayPass tells whether a rule with a target before ours could have a packet not come to ours.
func mayPass(target string) bool {
	return target != "" && !slices.Contains([]string{"DROP", "LOG", "NFLOG", "TRACE", "CT", "NOTRACK", "MARK", "CONNMARK"}, target)
}

// is tells whether exactly a table's rules stand, and first.
func (st standing) is(t table) bool {
	if len(st.chains) != len(t.chains) || len(st.strays) > 0 {
		return false
	}
	for _, c := range t.chains {
		rules, stands := st.chains[c.name]
		if !stands || !slices.Equal(rules, c.rules) || !st.hooked(c.hook) {
			return false
		}
	}
	return true
}

// differs says in words what is not as it should be, or "". Unlike is, it takes it that a rule is the one
// that we wrote if it has its set and its target, in whatever words iptables prints the rest.
func (st standing) differs(t table) string {
	for _, c := range t.chains {
		rules, stands := st.chains[c.name]
		switch {
		case !stands:
			return "the chain " + c.name + " is gone"
		case st.jumps[c.hook] == 0:
			return "the rule of " + c.hook + " that leads to " + c.name + " is gone"
		case st.jumps[c.hook] > 1:
			return c.hook + " leads to " + c.name + " more than once"
		case st.buried[c.hook] != "":
			return "in " + c.hook + " the rule \"" + st.buried[c.hook] + "\" comes before ours"
		case !slices.EqualFunc(rules, c.rules, alike):
			return "the rules of the chain " + c.name + " were changed"
		}
	}
	for _, name := range sortedNames(st.chains) {
		if !slices.ContainsFunc(t.chains, func(c chain) bool { return c.name == name }) {
			return "there is a chain " + name
		}
	}
	if len(st.strays) > 0 {
		return "there is a rule \"" + st.strays[0] + "\""
	}
	return ""
}

// alike tells whether two rules have the same set and target.
func alike(a, b string) bool {
	return targetOf(a) == targetOf(b) && wordAfter(a, "--match-set") == wordAfter(b, "--match-set")
}

// changed says which chain has other words than before, or "".
func (st standing) changed(before standing) string {
	for _, name := range sortedNames(before.chains) {
		if !slices.Equal(st.chains[name], before.chains[name]) {
			return "the rules of the chain " + name + " were changed"
		}
	}
	return ""
}

// hooked tells whether a built-in chain leads to ours once, before anything that may let packets pass.
func (st standing) hooked(hook string) bool { return st.jumps[hook] == 1 && st.buried[hook] == "" }

// script gives the input of iptables-restore --noflush that makes exactly t of what stands: one step for
// all packets. It is empty if there is nothing to do.
func (st standing) script(t table) string {
	if st.is(t) {
		return ""
	}
	var b strings.Builder
	line := func(words ...string) { b.WriteString(strings.Join(words, " ") + "\n") }
	line("*" + t.name)
	for _, c := range t.chains {
		line(":" + c.name + " - [0:0]") // made, or emptied
	}
	keep := map[string]bool{}
	for _, c := range t.chains {
		keep[c.name] = true
		if st.hooked(c.hook) {
			continue
		}
		st.unhook(line, c.name, c.hook)
		line("-I", c.hook, "1", "-j", c.name)
	}
	for _, stray := range st.strays {
		line("-D" + strings.TrimPrefix(stray, "-A"))
	}
	for _, name := range sortedNames(st.chains) {
		if hook, _ := hookOf(name); !keep[name] {
			st.unhook(line, name, hook)
			line("-F", name)
			line("-X", name)
		}
	}
	for _, c := range t.chains {
		for _, rule := range c.rules {
			line("-A", c.name, rule)
		}
	}
	line("COMMIT")
	return b.String()
}

func (st standing) unhook(line func(...string), name, hook string) {
	for range st.jumps[hook] {
		line("-D", hook, "-j", name)
	}
}

func sortedNames(m map[string][]string) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
