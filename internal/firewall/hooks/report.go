package hooks

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Report says what handles packets on this machine.
type Report struct {
	Hooks    []Hook   `json:"hooks"`            // in the order in which a packet meets them
	Warnings []string `json:"warnings"`         // what can pass by us, each as "what → next step"
	Unread   []string `json:"unread,omitempty"` // what could not be looked at, and why
}

// Hook is a place at which somebody handles packets.
type Hook struct {
	Where    string `json:"where"`            // "xdp", "tc ingress", "ingress", "bridge prerouting", "prerouting", "input", ...
	Family   string `json:"family"`           // "inet", "ip", "ip6", "netdev", "bridge"; empty at a device
	Priority int    `json:"priority"`         // lower ones come first; 0 at a device
	Device   string `json:"device,omitempty"` // of which it sees the packets, if not of all
	By       string `json:"by"`               // whose it is, as "table ip raw chain PREROUTING (iptables-nft)"
	Effect   string `json:"effect"`           // what it means for us
	Ours     bool   `json:"ours,omitempty"`
}

// What we are called in nftables and in iptables.
const (
	ourTable = "palisade"
	ourChain = "PALISADE"
	// ourPriority is where our chain hangs at prerouting, that of iptables' table raw.
	ourPriority = -300
)

const (
	// maxHooks and maxWarnings bound a report.
	maxHooks    = 2000
	maxWarnings = 50
)

// places are where packets are handled, in the order of a packet's way.
var places = [...]string{
	"xdp", "tc ingress", "ingress", "bridge prerouting", "prerouting", "bridge input", "input", "bridge forward", "forward",
	"bridge output", "output", "bridge postrouting", "postrouting", "egress",
}

// facts are what was found on a machine.
type facts struct {
	chains     []chain
	flowtables []flowtable
	lists      []list
	links      []link
	filters    []filter
	unread     []string
}

// chain is one that sees packets.
type chain struct {
	family, table, name string
	where               string // as Hook.Where
	priority            int
	devices             []string
	by                  string // who, if that can be told from the names of the table's chains
	legacy              bool   // of iptables-legacy
	sends               bool   // a rule of it, or one that it jumps to, sends packets out of another device
}

// flowtable is a shortcut for connections that are forwarded.
type flowtable struct {
	family, table, name string
	devices             []string
	used                bool // a rule puts connections into it
}

// list is a chain of iptables in which a jump leads to us.
type list struct {
	tool         string // "iptables-nft", "iptables-legacy"
	family       string // "ip", "ip6"
	table, chain string
	before       []string // what stands before the jump and can accept, as the targets of the rules
}

// link is a network device.
type link struct {
	index  int
	name   string
	kind   string // "bridge", "veth", "vlan", ...; empty for hardware
	master int    // index of the bridge or bond that it belongs to; 0 if to none
	xdp    uint32 // number of the XDP program; 0 if there is none
	// bridged tells of a bridge whether prerouting sees what it passes on, for IPv4 and IPv6.
	bridged [2]bool
}

// filter is a tc filter that sees what a device receives.
type filter struct {
	device int
	kind   string // "u32", "flower", "bpf", ..., or kindTCX
	name   string // of a bpf program
	sends  int    // index of the device out of which it sends packets; 0 if it does not
	judges bool   // a bpf program decides by itself
}

// kindTCX is the kind of bpf programs that stand beside tc's filters.
const kindTCX = "tcx"

// evaluate makes a report of what was found.
func evaluate(f facts) Report {
	r := Report{Hooks: []Hook{}, Warnings: []string{}, Unread: f.unread}
	names := map[int]link{}
	for _, l := range f.links {
		names[l.index] = l
	}
	r.devices(f, names)
	r.chains(f)
	r.flowtables(f)
	r.lists(f)
	r.bridges(f)
	slices.SortStableFunc(r.Hooks, func(a, b Hook) int {
		return cmp.Or(
			cmp.Compare(slices.Index(places[:], a.Where), slices.Index(places[:], b.Where)),
			cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Device, b.Device),
		)
	})
	if more := len(r.Hooks) - maxHooks; more > 0 {
		r.Hooks = r.Hooks[:maxHooks]
		r.Unread = append(r.Unread, fmt.Sprintf("%d hooks more", more))
	}
	if more := len(r.Warnings) - maxWarnings; more > 0 {
		r.Warnings = append(r.Warnings[:maxWarnings], fmt.Sprintf("%d more of this kind → put right those above, and look again", more))
	}
	return r
}

func (r *Report) hook(h Hook) { r.Hooks = append(r.Hooks, h) }

func (r *Report) warn(what, next string) { r.Warnings = append(r.Warnings, what+" → "+next) }

// devices are what handles packets before netfilter does.
func (r *Report) devices(f facts, names map[int]link) {
	var seen []sighting
	note := func(device string, s sighting) {
		i := slices.IndexFunc(seen, func(other sighting) bool { return other.by == s.by && other.what == s.what })
		if i < 0 {
			i, seen = len(seen), append(seen, s)
		}
		seen[i].devices = append(seen[i].devices, device)
	}
	for _, l := range f.links {
		if l.xdp == 0 {
			continue
		}
		by := fmt.Sprintf("XDP program %d", l.xdp)
		r.hook(Hook{Where: "xdp", Device: l.name, By: by, Effect: "passes by our rules: what it redirects or answers itself"})
		note(l.name, sighting{
			by: by, what: "sees packets before any firewall, and what it redirects or answers itself does not meet our rules",
			next: fmt.Sprintf("find out what it does: bpftool prog show id %d; if it forwards packets, block in it, too, or take it off: ip link set dev %s xdp off", l.xdp, l.name),
		})
	}
	for _, c := range f.filters {
		device, to := names[c.device].name, names[c.sends]
		by, show := "tc filter "+c.kind, "look at it: tc filter show dev "+device+" ingress; "
		if c.kind == kindTCX {
			by, show = "bpf program (tcx)", "look at it: bpftool net show dev "+device+"; "
		}
		if c.name != "" {
			by += " " + c.name
		}
		h := Hook{Where: "tc ingress", Device: device, By: by, Effect: "before our rules: can drop packets first, not accept them for us"}
		switch {
		case c.sends != 0 && to.kind == "ifb":
			h.Effect = "before our rules: packets come back from " + to.name + " and meet them" // how incoming traffic is shaped
		case c.sends != 0:
			if to.name == "" {
				to.name = fmt.Sprintf("device %d", c.sends)
			}
			h.Effect = "passes by our rules: it sends packets out of " + to.name
			note(device, sighting{
				by: by, what: "sends packets straight out of " + to.name + ", past every firewall",
				next: show + "block behind " + to.name + ", too, or route instead",
			})
		case c.judges:
			h.Effect = "passes by our rules: what it redirects itself"
			note(device, sighting{
				by: by, what: "sees packets before any firewall, and what it redirects does not meet our rules",
				next: show + "if it forwards packets, block in it, too",
			})
		}
		r.hook(h)
	}
	for _, s := range seen {
		r.warn(s.by+" on "+shortened(s.devices)+" "+s.what, s.next)
	}
}

// sighting is something to be warned of, once for all the devices that have it.
type sighting struct {
	by, what string
	devices  []string
	next     string // with the first of the devices
}

// chains are those of nftables and iptables.
func (r *Report) chains(f facts) {
	for _, c := range f.chains {
		h := Hook{Where: c.where, Family: c.family, Priority: c.priority, Device: strings.Join(c.devices, " "), By: c.label(), Ours: c.ours()}
		switch {
		case h.Ours:
			h.Effect = "our rules"
		case c.sends:
			h.Effect = "passes by our rules: it sends packets out of another device"
			r.warn(c.label()+" sends packets straight out of another device, past our rules",
				fmt.Sprintf("look for fwd in it: nft -t list table %s %s; block there, too, or route instead", c.family, c.table))
		case strings.HasPrefix(c.where, "bridge"):
			h.Effect = "beside our rules: sees what a bridge passes on"
		case c.where == "ingress", c.where == "prerouting" && c.priority < ourPriority:
			h.Effect = "before our rules: can drop packets first, not accept them for us"
		case c.where == "prerouting" && c.priority == ourPriority:
			h.Effect = "beside our rules: can drop packets first, not accept them for us"
		case c.where == "output" || c.where == "postrouting" || c.where == "egress":
			h.Effect = "sees what leaves this machine"
		default:
			h.Effect = "behind our rules: does not see what they drop"
		}
		r.hook(h)
	}
}

// ours tells whether a chain is one of ours in nftables.
func (c chain) ours() bool { return !c.legacy && c.family == "inet" && c.table == ourTable }

// label names a chain, and who made it.
func (c chain) label() string {
	s := fmt.Sprintf("table %s %s chain %s", c.family, c.table, c.name)
	tool := ""
	switch {
	case c.legacy:
		tool = "iptables-legacy"
	case compatible(c):
		tool = "iptables-nft"
	}
	switch {
	case tool != "" && c.by != "":
		return fmt.Sprintf("%s (%s, %s)", s, c.by, tool)
	case tool != "" || c.by != "":
		return fmt.Sprintf("%s (%s)", s, c.by+tool)
	}
	return s
}

// compatible tells whether a chain of nftables has the names of iptables', which then made it.
func compatible(c chain) bool {
	if c.family != "ip" && c.family != "ip6" || c.name != strings.ToUpper(c.where) {
		return false
	}
	return slices.Contains([]string{"raw", "mangle", "nat", "filter", "security"}, c.table)
}

// flowtables take connections out of everybody's sight once they are established.
func (r *Report) flowtables(f facts) {
	for _, t := range f.flowtables {
		by := fmt.Sprintf("flowtable %s of table %s %s", t.name, t.family, t.table)
		h := Hook{Where: "ingress", Family: t.family, Device: strings.Join(t.devices, " "), By: by, Effect: "before our rules: no rule puts connections into it"}
		if t.used && len(t.devices) > 0 {
			h.Effect = "passes by our rules: connections that it has taken over"
			r.warn(by+" forwards the packets of connections that it has taken over past every rule: a ban stops new ones at once, those that are open only when the kernel has forgotten their flow",
				"agentd makes it forget the flows of whom it bans, if there is nf_conntrack_netlink; for whom a feed blocks: conntrack -D -s ADDRESS, or do without the flowtable")
		}
		r.hook(h)
	}
}

// lists are the chains of iptables that lead to us: there an ACCEPT in front is the end.
func (r *Report) lists(f facts) {
	for _, l := range f.lists {
		tool := "iptables"
		if l.family == "ip6" {
			tool = "ip6tables"
		}
		by := fmt.Sprintf("table %s %s chain %s (%s)", l.family, l.table, ourChain, l.tool)
		for _, h := range r.Hooks {
			if strings.HasPrefix(h.By, fmt.Sprintf("table %s %s chain %s (", l.family, l.table, l.chain)) && strings.Contains(h.By, l.tool) {
				h.By, h.Ours, h.Effect = by, true, "our rules"
				if len(l.before) > 0 {
					h.Effect = "our rules, behind what accepts packets first"
				}
				r.hook(h)
				break
			}
		}
		if len(l.before) == 0 {
			continue
		}
		r.warn(fmt.Sprintf("in chain %s of %s's table %s (%s), %s before our rules accepts packets, which then never meet them",
			l.chain, tool, l.table, l.tool, strings.Join(l.before, ", ")),
			fmt.Sprintf("show it: %s -t %s -S %s; agentd puts its own jump first again within seconds; if the warning stays, agentd does not run, or somebody keeps changing the chain", tool, l.table, l.chain))
	}
}

// bridges pass packets on between their ports without anybody's rules, unless br_netfilter shows them.
func (r *Report) bridges(f facts) {
	for _, b := range f.links {
		if b.kind != "bridge" || b.bridged[0] && b.bridged[1] {
			continue
		}
		var outside, ports []string
		for _, l := range f.links {
			if l.master != b.index {
				continue
			}
			ports = append(ports, l.name)
			// What leads to guests of this machine is not the way by which an attacker comes in.
			if l.kind != "veth" && l.kind != "tun" {
				outside = append(outside, l.name)
			}
		}
		if len(outside) == 0 || len(ports) < 2 {
			continue
		}
		which := "packets"
		switch {
		case b.bridged[0]:
			which = "IPv6 packets"
		case b.bridged[1]:
			which = "IPv4 packets"
		}
		r.warn(fmt.Sprintf("bridge %s passes %s on between %s without our rules (what is for this machine itself does meet them)", b.name, which, shortened(ports)),
			"let them be seen with modprobe br_netfilter and sysctl -w net.bridge.bridge-nf-call-iptables=1 net.bridge.bridge-nf-call-ip6tables=1, or block in the guests")
	}
}

// shortened joins names, the first of them if they are many.
func shortened(names []string) string {
	const most = 5
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
