package hooks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

// Numbers of nf_tables that golang.org/x/sys/unix does not have.
const (
	attrHookDevices      = 4 // NFTA_HOOK_DEVS
	attrFlowtableTable   = 1 // NFTA_FLOWTABLE_TABLE
	attrFlowtableName    = 2 // NFTA_FLOWTABLE_NAME
	attrFlowtableHook    = 3 // NFTA_FLOWTABLE_HOOK
	attrFlowtableUse     = 4 // NFTA_FLOWTABLE_USE
	attrFlowtableDevices = 3 // NFTA_FLOWTABLE_HOOK_DEVS
)

// table names one of nf_tables.
type table struct {
	family uint8
	name   string
}

// nftables is what nf_tables has, but for the elements of sets.
type nftables struct {
	dormant map[table]bool
	names   map[table][]string // of all chains
	bases   []baseChain
	flows   []flowtable
	rules   map[table]ruleset
}

type baseChain struct {
	in table
	chain
}

// readNftables asks for tables, chains and flowtables, and for the rules of the few tables in which they matter.
func readNftables() (*nftables, error) {
	n := &nftables{dormant: map[table]bool{}, names: map[table][]string{}, rules: map[table]ruleset{}}
	s, err := openSocket(unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, err
	}
	defer func() { _ = s.close() }()
	for _, q := range []struct {
		what string
		typ  uint16
		each func([]byte)
	}{
		{"tables", unix.NFT_MSG_GETTABLE, n.table},
		{"chains", unix.NFT_MSG_GETCHAIN, n.chain},
		{"flowtables", unix.NFT_MSG_GETFLOWTABLE, n.flowtable},
	} {
		if err := s.dump(unix.NFNL_SUBSYS_NFTABLES<<8|q.typ, header(unix.NFPROTO_UNSPEC), q.each); err != nil {
			return nil, fmt.Errorf("list the %s of nftables: %w", q.what, err)
		}
	}
	for t, names := range n.names {
		if !n.matters(t, names) {
			continue
		}
		rules := ruleset{}
		request := appendText(header(t.family), unix.NFTA_RULE_TABLE, t.name)
		err := s.dump(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETRULE, request, func(payload []byte) { rules.add(t, payload) })
		if err != nil {
			return nil, fmt.Errorf("list the rules of table %s %s: %w", familyName(t.family), t.name, err)
		}
		n.rules[t] = rules
	}
	return n, nil
}

// matters tells whether a table's rules can let packets pass by us: those at a device, and those of
// iptables beside our own.
func (n *nftables) matters(t table, chains []string) bool {
	if t.family == unix.NFPROTO_IPV4 || t.family == unix.NFPROTO_IPV6 {
		return slices.ContainsFunc(chains, func(c string) bool { return strings.HasPrefix(c, ourChain) })
	}
	return slices.ContainsFunc(n.bases, func(b baseChain) bool { return b.in == t && b.where == "ingress" })
}

// header is the one of an nf_tables message.
func header(family uint8) []byte { return []byte{family, unix.NFNETLINK_V0, 0, 0} }

// split takes a message of nf_tables apart.
func split(payload []byte) (family uint8, body []byte) {
	if len(payload) < 4 {
		return 0, nil
	}
	return payload[0], payload[4:]
}

func (n *nftables) table(payload []byte) {
	family, body := split(payload)
	if big(netlink.Attribute(body, unix.NFTA_TABLE_FLAGS))&unix.NFT_TABLE_F_DORMANT != 0 {
		n.dormant[table{family, netlink.Text(netlink.Attribute(body, unix.NFTA_TABLE_NAME))}] = true
	}
}

func (n *nftables) chain(payload []byte) {
	family, body := split(payload)
	t := table{family, netlink.Text(netlink.Attribute(body, unix.NFTA_CHAIN_TABLE))}
	name := netlink.Text(netlink.Attribute(body, unix.NFTA_CHAIN_NAME))
	n.names[t] = append(n.names[t], name)
	hook := netlink.Attribute(body, unix.NFTA_CHAIN_HOOK)
	where := whereOf(family, big(netlink.Attribute(hook, unix.NFTA_HOOK_HOOKNUM)))
	if hook == nil || where == "" || n.dormant[t] {
		return
	}
	b := baseChain{in: t, chain: chain{
		family: familyName(family), table: t.name, name: name, where: where,
		priority: int(int32(big(netlink.Attribute(hook, unix.NFTA_HOOK_PRIORITY)))),
	}}
	if device := netlink.Attribute(hook, unix.NFTA_HOOK_DEV); device != nil {
		b.devices = []string{netlink.Text(device)}
	}
	if devices := names(netlink.Attribute(hook, attrHookDevices)); devices != nil {
		b.devices = devices
	}
	n.bases = append(n.bases, b)
}

func (n *nftables) flowtable(payload []byte) {
	family, body := split(payload)
	n.flows = append(n.flows, flowtable{
		family: familyName(family), table: netlink.Text(netlink.Attribute(body, attrFlowtableTable)), name: netlink.Text(netlink.Attribute(body, attrFlowtableName)),
		devices: names(netlink.Attribute(body, attrFlowtableHook, attrFlowtableDevices)), used: big(netlink.Attribute(body, attrFlowtableUse)) > 0,
	})
}

// names reads a list of devices.
func names(list []byte) (out []string) {
	netlink.Attributes(list, func(_ uint16, value []byte) { out = append(out, netlink.Text(value)) })
	return out
}

// add reads a rule.
func (r ruleset) add(t table, payload []byte) {
	family, body := split(payload)
	// Kernels that do not filter send the rules of all tables.
	if family != t.family || netlink.Text(netlink.Attribute(body, unix.NFTA_RULE_TABLE)) != t.name {
		return
	}
	var x rule
	device := false // the expression before has loaded the device's name
	netlink.Attributes(netlink.Attribute(body, unix.NFTA_RULE_EXPRESSIONS), func(_ uint16, e []byte) {
		data := netlink.Attribute(e, unix.NFTA_EXPR_DATA)
		loaded := false
		switch netlink.Text(netlink.Attribute(e, unix.NFTA_EXPR_NAME)) {
		case "meta":
			loaded = big(netlink.Attribute(data, unix.NFTA_META_KEY)) == unix.NFT_META_IIFNAME
		case "cmp":
			if device && big(netlink.Attribute(data, unix.NFTA_CMP_OP)) == unix.NFT_CMP_EQ {
				x.loopback = x.loopback || strings.HasPrefix(string(netlink.Attribute(data, unix.NFTA_CMP_DATA, unix.NFTA_DATA_VALUE)), "lo\x00")
			}
		case "fwd":
			x.sends = true
		case "immediate":
			x.verdict(netlink.Attribute(data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT))
		}
		device = loaded
	})
	chain := netlink.Text(netlink.Attribute(body, unix.NFTA_RULE_CHAIN))
	r[chain] = append(r[chain], x)
}

func (x *rule) verdict(data []byte) {
	code := netlink.Attribute(data, unix.NFTA_VERDICT_CODE)
	if len(code) != 4 {
		return
	}
	switch int32(binary.BigEndian.Uint32(code)) {
	case 1: // NF_ACCEPT
		x.target = "ACCEPT"
	case unix.NFT_RETURN:
		x.target = "RETURN"
	case unix.NFT_JUMP:
		x.target, x.jump = netlink.Text(netlink.Attribute(data, unix.NFTA_VERDICT_CHAIN)), true
	case unix.NFT_GOTO:
		x.target, x.goes = netlink.Text(netlink.Attribute(data, unix.NFTA_VERDICT_CHAIN)), true
	}
}

// facts adds what was read to what is known.
func (n *nftables) facts(f *facts) {
	for _, b := range n.bases {
		c := b.chain
		c.by = madeBy(c.table, n.names[b.in])
		c.sends = c.where == "ingress" && n.rules[b.in].sends(c.name)
		f.chains = append(f.chains, c)
	}
	f.flowtables = n.flows
	for t, rules := range n.rules {
		if t.family == unix.NFPROTO_IPV4 || t.family == unix.NFPROTO_IPV6 {
			f.lists = append(f.lists, rules.lists("iptables-nft", familyName(t.family), t.name)...)
		}
	}
	slices.SortFunc(f.lists, func(a, b list) int {
		return strings.Compare(a.family+" "+a.table+" "+a.chain, b.family+" "+b.table+" "+b.chain)
	})
}

func familyName(family uint8) string {
	switch family {
	case unix.NFPROTO_INET:
		return "inet"
	case unix.NFPROTO_IPV4:
		return "ip"
	case unix.NFPROTO_IPV6:
		return "ip6"
	case unix.NFPROTO_NETDEV:
		return "netdev"
	case unix.NFPROTO_BRIDGE:
		return "bridge"
	case unix.NFPROTO_ARP:
		return "arp"
	}
	return fmt.Sprintf("family %d", family)
}

// whereOf names a hook; it is empty for those that see no IP packets.
func whereOf(family uint8, hook uint32) string {
	inet := []string{"prerouting", "input", "forward", "output", "postrouting", "ingress"}
	switch family {
	case unix.NFPROTO_NETDEV:
		inet = []string{"ingress", "egress"}
	case unix.NFPROTO_ARP:
		return ""
	case unix.NFPROTO_BRIDGE:
		inet = inet[:5]
		for i := range inet {
			inet[i] = "bridge " + inet[i]
		}
	}
	if int64(hook) >= int64(len(inet)) {
		return ""
	}
	return inet[hook]
}

// absent tells whether a part of the kernel is missing, so that there is nothing to see.
func absent(err error) bool {
	return slices.ContainsFunc([]error{
		unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT, unix.EOPNOTSUPP, unix.EINVAL, unix.ENOENT, unix.ENODEV,
	}, func(e error) bool { return errors.Is(err, e) })
}
