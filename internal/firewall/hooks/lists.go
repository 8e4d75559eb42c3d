package hooks

import (
	"slices"
	"strings"
)

// rule is what matters of one, in iptables or nftables.
type rule struct {
	target   string // "ACCEPT", "RETURN", or the chain that it leads to; empty if it goes on behind it
	jump     bool   // the target is a chain, which may come back
	goes     bool   // the target is a chain, which does not come back
	loopback bool   // only for what this machine sends to itself
	sends    bool   // it sends packets out of another device
}

// ruleset is the rules of a table's chains.
type ruleset map[string][]rule

// maxDepth is how deep jumps are followed; the kernel allows 16.
const maxDepth = 16

// before finds the jump to us in a base chain, and what before it can accept packets.
func (r ruleset) before(base string) (accepting []string, found bool) {
	for _, x := range r[base] {
		if (x.jump || x.goes) && strings.HasPrefix(x.target, ourChain) {
			return accepting, true
		}
		switch {
		case x.loopback:
		case x.target == "ACCEPT" || x.target == "RETURN", x.goes, x.jump && r.accepts(x.target, maxDepth):
			if !slices.Contains(accepting, x.target) {
				accepting = append(accepting, x.target)
			}
		}
	}
	return nil, false
}

// accepts tells whether a chain that is jumped to can accept.
func (r ruleset) accepts(chain string, depth int) bool {
	return r.anywhere(chain, depth, map[string]bool{}, func(x rule) bool { return x.target == "ACCEPT" && !x.loopback })
}

// sends tells whether a chain sends packets away.
func (r ruleset) sends(chain string) bool {
	return r.anywhere(chain, maxDepth, map[string]bool{}, func(x rule) bool { return x.sends })
}

// anywhere looks for a rule in a chain and in those that it leads to.
func (r ruleset) anywhere(chain string, depth int, seen map[string]bool, is func(rule) bool) bool {
	if depth == 0 || seen[chain] {
		return false
	}
	seen[chain] = true
	return slices.ContainsFunc(r[chain], func(x rule) bool {
		return is(x) || (x.jump || x.goes) && r.anywhere(x.target, depth-1, seen, is)
	})
}

// lists finds where a table leads to us.
func (r ruleset) lists(tool, family, table string) (out []list) {
	for _, base := range []string{"PREROUTING", "FORWARD", "OUTPUT"} {
		if accepting, found := r.before(base); found {
			out = append(out, list{tool: tool, family: family, table: table, chain: base, before: accepting})
		}
	}
	return out
}

// makers are programs that make tables and chains, and names by which they are known.
var makers = [...]struct{ who, table, chain string }{ // prefixes; empty: any
	{"firewalld", "firewalld", ""},
	{"fail2ban", "f2b-", ""},
	{"libvirt", "libvirt_", ""},
	{"docker", "docker-", ""},
	{"crowdsec", "crowdsec", ""},
	{"ufw", "", "ufw-"},
	{"ufw", "", "ufw6-"},
	{"docker", "", "DOCKER"},
	{"firewalld", "", "IN_public"},
	{"fail2ban", "", "f2b-"},
	{"kubernetes", "", "KUBE-"},
	{"libvirt", "", "LIBVIRT_"},
	{"podman", "", "NETAVARK"},
	{"tailscale", "", "ts-"},
}

// madeBy tells who made a table with such chains; several may have a part in it.
func madeBy(table string, chains []string) string {
	var who []string
	for _, m := range makers {
		if slices.Contains(who, m.who) || !strings.HasPrefix(table, m.table) {
			continue
		}
		if m.chain == "" || slices.ContainsFunc(chains, func(c string) bool { return strings.HasPrefix(c, m.chain) }) {
			who = append(who, m.who)
		}
	}
	return strings.Join(who, ", ")
}
