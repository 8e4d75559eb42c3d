package hooks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// effects lists what was found as "where by: effect", us marked.
func effects(r Report) (out []string) {
	for _, h := range r.Hooks {
		s := fmt.Sprintf("%s %d %s%s: %s", h.Where, h.Priority, h.Device, h.By, h.Effect)
		if h.Ours {
			s = "* " + s
		}
		out = append(out, s)
	}
	return out
}

func TestHooksStandInTheOrderOfAPacketsWay(t *testing.T) {
	r := evaluate(facts{
		chains: []chain{
			{family: "ip", table: "filter", name: "INPUT", where: "input", by: "ufw"},
			{family: "inet", table: "palisade", name: "prerouting", where: "prerouting", priority: -300},
			{family: "inet", table: "theirs", name: "early", where: "prerouting", priority: -400},
			{family: "ip", table: "nat", name: "PREROUTING", where: "prerouting", priority: -100, legacy: true},
			{family: "netdev", table: "shield", name: "in", where: "ingress", devices: []string{"eth0"}},
			{family: "inet", table: "theirs", name: "out", where: "output"},
		},
	})
	want := []string{
		"ingress 0 eth0table netdev shield chain in: before our rules: can drop packets first, not accept them for us",
		"prerouting -400 table inet theirs chain early: before our rules: can drop packets first, not accept them for us",
		"* prerouting -300 table inet palisade chain prerouting: our rules",
		"prerouting -100 table ip nat chain PREROUTING (iptables-legacy): behind our rules: does not see what they drop",
		"input 0 table ip filter chain INPUT (ufw, iptables-nft): behind our rules: does not see what they drop",
		"output 0 table inet theirs chain out: sees what leaves this machine",
	}
	if got := effects(r); !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if len(r.Warnings) > 0 {
		t.Errorf("nothing here can pass by us, but there are warnings: %q", r.Warnings)
	}
}

func TestOnlyWhatCanPassByUsIsWarnedOf(t *testing.T) {
	eth, lan, ifb, bridge := link{index: 2, name: "eth0"}, link{index: 3, name: "lan0"}, link{index: 4, name: "ifb0", kind: "ifb"}, link{index: 5, name: "br0", kind: "bridge"}
	with := func(l link, change func(*link)) link {
		change(&l)
		return l
	}
	port := func(l link) link { return with(l, func(l *link) { l.master = 5 }) }
	guest := link{index: 6, name: "vnet0", kind: "tun", master: 5}
	raw := []chain{{family: "ip", table: "raw", name: "PREROUTING", where: "prerouting", priority: -300}}
	for _, c := range []struct {
		name string
		f    facts
		want string // what a warning begins with; empty for none
	}{
		{"nothing", facts{}, ""},
		{"an XDP program", facts{links: []link{with(eth, func(l *link) { l.xdp = 7 })}}, "XDP program 7 on eth0 sees packets before"},
		{"tc sends packets out", facts{links: []link{eth, lan}, filters: []filter{{device: 2, kind: "u32", sends: 3}}}, "tc filter u32 on eth0 sends packets straight out of lan0"},
		{"tc sends packets to a device of another namespace", facts{links: []link{eth}, filters: []filter{{device: 2, kind: "u32", sends: 9}}}, "tc filter u32 on eth0 sends packets straight out of device 9"},
		{"tc shapes by way of ifb", facts{links: []link{eth, ifb}, filters: []filter{{device: 2, kind: "matchall", sends: 4}}}, ""},
		{"tc only counts or drops", facts{links: []link{eth}, filters: []filter{{device: 2, kind: "flower"}}}, ""},
		{"a bpf program at tc decides", facts{links: []link{eth}, filters: []filter{{device: 2, kind: "bpf", name: "lb.o", judges: true}}}, "tc filter bpf lb.o on eth0 sees packets before"},
		{"a chain at a device sends packets out", facts{chains: []chain{{family: "netdev", table: "n", name: "in", where: "ingress", sends: true}}}, "table netdev n chain in sends packets straight out"},
		{"a flowtable in use", facts{flowtables: []flowtable{{family: "inet", table: "r", name: "f", devices: []string{"eth0"}, used: true}}}, "flowtable f of table inet r forwards"},
		{"a flowtable that no rule uses", facts{flowtables: []flowtable{{family: "inet", table: "r", name: "f", devices: []string{"eth0"}}}}, ""},
		{"iptables accepts in front of our jump", facts{chains: raw, lists: []list{{tool: "iptables-nft", family: "ip", table: "raw", chain: "PREROUTING", before: []string{"ACCEPT"}}}}, "in chain PREROUTING of iptables's table raw (iptables-nft), ACCEPT before our rules"},
		{"our jump comes first", facts{chains: raw, lists: []list{{tool: "iptables-nft", family: "ip", table: "raw", chain: "PREROUTING"}}}, ""},
		{"a bridge to the outside", facts{links: []link{bridge, port(eth), guest}}, "bridge br0 passes packets on between eth0, vnet0 without our rules"},
		{"a bridge that br_netfilter shows for IPv4", facts{links: []link{with(bridge, func(l *link) { l.bridged[0] = true }), port(eth), guest}}, "bridge br0 passes IPv6 packets on"},
		{"a bridge that br_netfilter shows", facts{links: []link{with(bridge, func(l *link) { l.bridged = [2]bool{true, true} }), port(eth), guest}}, ""},
		{"a bridge of guests alone", facts{links: []link{bridge, guest, {index: 7, name: "veth1", kind: "veth", master: 5}}}, ""},
		{"a bridge with the way out alone", facts{links: []link{bridge, port(eth)}}, ""},
	} {
		r := evaluate(c.f)
		switch {
		case c.want == "" && len(r.Warnings) > 0:
			t.Errorf("%s: warned of %q", c.name, r.Warnings)
		case c.want != "" && (len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], c.want)):
			t.Errorf("%s: warnings %q, want one that begins with %q", c.name, r.Warnings, c.want)
		}
		for _, w := range r.Warnings {
			if _, next, ok := strings.Cut(w, " → "); !ok || next == "" {
				t.Errorf("%s: warning without a next step: %q", c.name, w)
			}
		}
	}
}

func TestTheChainOfIptablesThatIsOursIsMarked(t *testing.T) {
	r := evaluate(facts{
		chains: []chain{
			{family: "ip", table: "raw", name: "PREROUTING", where: "prerouting", priority: -300, legacy: true, by: "firewalld"},
			{family: "ip", table: "raw", name: "PREROUTING", where: "prerouting", priority: -300},
		},
		lists: []list{{tool: "iptables-legacy", family: "ip", table: "raw", chain: "PREROUTING"}},
	})
	var ours []string
	for _, h := range r.Hooks {
		if h.Ours {
			ours = append(ours, h.By)
		}
	}
	if want := []string{"table ip raw chain PALISADE (iptables-legacy)"}; !slices.Equal(ours, want) {
		t.Errorf("ours are %q, want %q", ours, want)
	}
}

func TestAReportIsBounded(t *testing.T) {
	var f facts
	for i := range 3 * maxHooks {
		f.links = append(f.links, link{index: i + 1, name: fmt.Sprintf("v%d", i), xdp: uint32(i + 1)})
	}
	r := evaluate(f)
	if len(r.Hooks) != maxHooks || len(r.Warnings) != maxWarnings+1 || len(r.Unread) != 1 {
		t.Errorf("%d hooks, %d warnings, unread %q", len(r.Hooks), len(r.Warnings), r.Unread)
	}
}

func TestAProgramOfManyDevicesIsWarnedOfOnce(t *testing.T) {
	var f facts
	for i := range 200 {
		f.links = append(f.links, link{index: i + 1, name: fmt.Sprintf("v%d", i)})
		f.filters = append(f.filters, filter{device: i + 1, kind: "bpf", name: "pods", judges: true})
	}
	r := evaluate(f)
	if len(r.Hooks) != 200 || len(r.Warnings) != 1 || !strings.HasPrefix(r.Warnings[0], "tc filter bpf pods on v0, v1, v2, v3, v4 and 195 more sees packets") {
		t.Errorf("%d hooks, warnings %q", len(r.Hooks), r.Warnings)
	}
}

func TestAnAcceptBeforeOurJumpIsFoundThroughChains(t *testing.T) {
	for _, c := range []struct {
		name, saved string
		want        string // what accepts; "-" if our jump is not there
	}{
		{"first", "-A PREROUTING -j PALISADE\n-A PREROUTING -j ACCEPT", ""},
		{"behind an accept", "-A PREROUTING -s 192.0.2.1/32 -j ACCEPT\n-A PREROUTING -j PALISADE", "ACCEPT"},
		{"behind the end of the chain", "-A PREROUTING -j RETURN\n-A PREROUTING -j PALISADE", "RETURN"},
		{"behind a target that lets go on", "-A PREROUTING -j CT --notrack\n-A PREROUTING -j DROP\n-A PREROUTING -j PALISADE", ""},
		{"behind loopback", "-A PREROUTING -i lo -j ACCEPT\n-A PREROUTING -j PALISADE", ""},
		{"behind all but loopback", "-A PREROUTING ! -i lo -j ACCEPT\n-A PREROUTING -j PALISADE", "ACCEPT"},
		{"behind a chain that accepts", "-A PREROUTING -j one\n-A PREROUTING -j PALISADE\n-A one -j two\n-A two -p tcp -j ACCEPT", "one"},
		{"behind a chain that comes back", "-A PREROUTING -j one\n-A PREROUTING -j PALISADE\n-A one -j two\n-A two -j RETURN", ""},
		{"behind a chain that does not come back", "-A PREROUTING -g one\n-A PREROUTING -j PALISADE", "one"},
		{"behind chains in a circle", "-A PREROUTING -j one\n-A PREROUTING -j PALISADE\n-A one -j two\n-A two -j one", ""},
		{"not there", "-A PREROUTING -j ACCEPT", "-"},
	} {
		saved := "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:PALISADE - [0:0]\n:one - [0:0]\n:two - [0:0]\n" + c.saved + "\nCOMMIT\n"
		tables, err := parseSave(strings.NewReader(saved))
		if err != nil {
			t.Fatal(err)
		}
		got := "-"
		if l := tables["raw"].lists("iptables-legacy", "ip", "raw"); len(l) == 1 {
			got = strings.Join(l[0].before, " ")
		}
		if got != c.want {
			t.Errorf("%s: %q accepts before us, want %q", c.name, got, c.want)
		}
	}
}

func TestTablesAreKnownByTheNamesOfTheirChains(t *testing.T) {
	for _, c := range []struct {
		table  string
		chains []string
		want   string
	}{
		{"filter", []string{"INPUT", "ufw-user-input"}, "ufw"},
		{"filter", []string{"DOCKER-USER", "ufw-user-input"}, "ufw, docker"},
		{"firewalld", []string{"filter_INPUT"}, "firewalld"},
		{"f2b-table", []string{"f2b-chain"}, "fail2ban"},
		{"filter", []string{"INPUT", "my-docker"}, ""},
	} {
		if got := madeBy(c.table, c.chains); got != c.want {
			t.Errorf("table %s with %v is made by %q, want %q", c.table, c.chains, got, c.want)
		}
	}
}
