package nft

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	tableName    = "palisade"
	baseChain    = "prerouting"
	outputChain  = "output"
	forwardChain = "forward"
	// secondSuffix is that of chains that stand beside older ones of the same use.
	secondSuffix = ".b"
	// priority is that of iptables' raw table: before connection tracking (-200) and destination
	// translation (-100), after the reassembly of fragments (-400).
	priority = -300
	// vmapWidth is the widest range of ports that is written out into the map; wider ones get a rule.
	vmapWidth = 64

	// Lines in the kernel's log, per second and rule: enough to see who comes, too few to fill a disk.
	logRate, logBurst = 10, 20
	logPrefix         = "palisade feed: "
)

// Data types by which the nft tool knows what keys are.
const (
	typeIPv4    = 7
	typeIPv6    = 8
	typeService = 13
	typeVerdict = 0xffffff00 // NFT_DATA_VERDICT
)

// ruleset is a layout as chains and rules.
type ruleset struct {
	layout firewall.Layout
	chains []chain // those that are jumped to come first; the base chain is last
	maps   []portMap
	mark   string // differs for different rulesets
}

type chain struct {
	name  string
	hook  int // 0: it is jumped to; else see hookOf
	rules []rule
}

// hookOf tells a chain's hook from none at all.
func hookOf(number int) int { return number + 1 }

type rule struct {
	exprs []expr.Any
	note  string // its comment, unique in the ruleset
}

// portMap is a map from ports to chains that a rule of the base chain uses.
type portMap struct {
	name    string
	id      uint32
	entries []portTarget
}

type portTarget struct {
	port  uint16
	chain string
}

// render makes rules of a layout. The order in the base chain:
//
//	from the loopback interface   accept
//	closed for all protocols      ip saddr @all.drop.v4 drop ...
//	closed for whole protocols    meta l4proto tcp jump tcp.drop
//	closed ports                  meta l4proto tcp th dport vmap { 22 : jump tcp.22.drop, ... }
//	                              meta l4proto tcp th dport 6000-7000 jump ...
//	on feeds                      ip saddr @feed.drop.v4 counter drop ...
//	on feeds that are tried out   ip saddr @feed.log.v4 counter limit rate 10/second log
//
// Feeds that also stop what goes to an address have chains at the output and forward hooks.
//
// A packet meets only the groups of its own port, however many there are. Where groups share a port,
// a chain "mix.N" leads to each of them.
func render(l firewall.Layout, reject bool) *ruleset {
	r := &ruleset{layout: l}
	base := chain{name: baseChain, hook: hookOf(unix.NF_INET_PRE_ROUTING)}
	base.rules = append(base.rules, loopback(expr.MetaKeyIIF))
	output := chain{name: outputChain, hook: hookOf(unix.NF_INET_LOCAL_OUT), rules: []rule{loopback(expr.MetaKeyOIF)}}
	forward := chain{name: forwardChain, hook: hookOf(unix.NF_INET_FORWARD)}
	var feeds []rule
	ported := map[uint8][]firewall.Group{}
	for _, g := range l.Groups {
		lookups := lookupRules(l, g, reject, false)
		if g.Lasting {
			feeds = append(feeds, lookups...)
			if g.Both {
				out := lookupRules(l, g, reject, true)
				output.rules, forward.rules = append(output.rules, out...), append(forward.rules, out...)
			}
			continue
		}
		if len(g.Protocols) == 0 {
			base.rules = append(base.rules, lookups...)
			continue
		}
		r.chains = append(r.chains, chain{name: g.Name, rules: lookups})
		for _, p := range g.Protocols {
			if len(g.Ports) > 0 && firewall.HasPorts(p) {
				ported[p] = append(ported[p], g)
				continue
			}
			base.rules = append(base.rules, rule{exprs: append(protocolIs(p), jump(g.Name))})
		}
	}
	mixes := map[string]string{}
	for p := range 256 {
		if groups := ported[uint8(p)]; groups != nil {
			base.rules = append(base.rules, r.portRules(uint8(p), groups, mixes)...)
		}
	}
	base.rules = append(base.rules, feeds...)
	r.chains = append(r.chains, base)
	if len(forward.rules) > 0 {
		r.chains = append(r.chains, output, forward)
	}
	r.sign()
	return r
}

// loopback lets packets of the loopback interface through.
func loopback(k expr.MetaKey) rule {
	return rule{exprs: []expr.Any{
		&expr.Meta{Key: k, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: binary.NativeEndian.AppendUint32(nil, 1)}, // lo is always 1
		&expr.Verdict{Kind: expr.VerdictAccept},
	}}
}

// lookupRules are one rule per set of a group, for a packet's source or destination.
func lookupRules(l firewall.Layout, g firewall.Group, reject, destination bool) []rule {
	var rules []rule
	for _, s := range l.Sets {
		if s.Group != g.Name {
			continue
		}
		proto, offset, size := byte(unix.NFPROTO_IPV4), uint32(12), uint32(4)
		if s.V6 {
			proto, offset, size = unix.NFPROTO_IPV6, 8, 16
		}
		if destination {
			offset += size
		}
		exprs := []expr.Any{
			&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1},
			&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{proto}},
			&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: size},
		}
		if s.Bits < int(size)*8 {
			exprs = append(exprs, &expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: size, Mask: mask(s.Bits, int(size)), Xor: make([]byte, size)})
		}
		exprs = append(exprs, &expr.Lookup{SourceRegister: 1, SetName: s.String()})
		if g.Lasting {
			exprs = append(exprs, &expr.Counter{})
		}
		switch {
		case g.Verdict == firewall.Log:
			exprs = append(exprs,
				&expr.Limit{Type: expr.LimitTypePkts, Rate: logRate, Unit: expr.LimitTimeSecond, Burst: logBurst},
				&expr.Log{Key: 1 << unix.NFTA_LOG_PREFIX, Data: []byte(logPrefix)})
		case g.Verdict == firewall.Reject && reject:
			exprs = append(exprs, &expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH})
		default:
			exprs = append(exprs, &expr.Verdict{Kind: expr.VerdictDrop})
		}
		rules = append(rules, rule{exprs: exprs})
	}
	return rules
}

func mask(bits, size int) []byte {
	m := make([]byte, size)
	for i := range bits {
		m[i/8] |= 0x80 >> (i % 8)
	}
	return m
}

// portRules lead packets of one protocol to the groups of their port.
func (r *ruleset) portRules(p uint8, groups []firewall.Group, mixes map[string]string) []rule {
	m := portMap{name: "__map%d", id: uint32(len(r.maps) + 1)}
	var rules []rule
	dport := append(protocolIs(p), &expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2})
	for _, s := range segments(groups) {
		target := r.target(s.groups, mixes)
		if s.ports.Last-s.ports.First < vmapWidth {
			for port := int(s.ports.First); port <= int(s.ports.Last); port++ {
				m.entries = append(m.entries, portTarget{uint16(port), target})
			}
			continue
		}
		rules = append(rules, rule{exprs: append(slices.Clone(dport),
			&expr.Cmp{Op: expr.CmpOpGte, Register: 1, Data: binary.BigEndian.AppendUint16(nil, s.ports.First)},
			&expr.Cmp{Op: expr.CmpOpLte, Register: 1, Data: binary.BigEndian.AppendUint16(nil, s.ports.Last)},
			jump(target))})
	}
	if len(m.entries) > 0 {
		r.maps = append(r.maps, m)
		vmap := &expr.Lookup{SourceRegister: 1, DestRegister: unix.NFT_REG_VERDICT, IsDestRegSet: true, SetName: m.name, SetID: m.id}
		rules = append([]rule{{exprs: append(slices.Clone(dport), vmap)}}, rules...)
	}
	return rules
}

// segment is a range of ports that the same groups close.
type segment struct {
	ports  firewall.PortRange
	groups []string
}

// segments cuts the ports of groups so that no two overlap.
func segments(groups []firewall.Group) []segment {
	cuts := []int{}
	for _, g := range groups {
		for _, r := range g.Ports {
			cuts = append(cuts, int(r.First), int(r.Last)+1)
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	var out []segment
	for i := range len(cuts) - 1 {
		s := segment{ports: firewall.PortRange{First: uint16(cuts[i]), Last: uint16(cuts[i+1] - 1)}}
		for _, g := range groups {
			if slices.ContainsFunc(g.Ports, func(r firewall.PortRange) bool { return r.First <= s.ports.First && s.ports.Last <= r.Last }) {
				s.groups = append(s.groups, g.Name)
			}
		}
		if len(s.groups) > 0 {
			out = append(out, s)
		}
	}
	return out
}

// target gives the chain that leads to the groups, and makes it if there is none.
func (r *ruleset) target(groups []string, mixes map[string]string) string {
	if len(groups) == 1 {
		return groups[0]
	}
	k := strings.Join(groups, " ")
	if mixes[k] == "" {
		c := chain{name: fmt.Sprintf("mix.%d", len(mixes)+1)}
		for _, g := range groups {
			c.rules = append(c.rules, rule{exprs: []expr.Any{jump(g)}})
		}
		mixes[k] = c.name
		r.chains = append(r.chains, c)
	}
	return mixes[k]
}

func protocolIs(p uint8) []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{p}},
	}
}

func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }

// sign gives every rule a comment by which it is known again: its number, how many there are, and a
// hash of all of them.
func (r *ruleset) sign() {
	h := sha256.New()
	n := 0
	for _, m := range r.maps {
		fmt.Fprintf(h, "map %d %v\n", m.id, m.entries)
	}
	for _, s := range r.layout.Sets {
		fmt.Fprintf(h, "set %s\n", s)
	}
	for _, c := range r.chains {
		for _, rule := range c.rules {
			n++
			fmt.Fprintf(h, "rule %s", c.name)
			for _, e := range rule.exprs {
				fmt.Fprintf(h, " %T%+v", e, e)
			}
			fmt.Fprintln(h)
		}
	}
	r.mark = hex.EncodeToString(h.Sum(nil)[:6])
	i := 0
	for _, c := range r.chains {
		for j := range c.rules {
			i++
			c.rules[j].note = fmt.Sprintf("%s %d/%d", r.mark, i, n)
		}
	}
}

// notes are the comments of all rules, in order, as "chain comment".
func (r *ruleset) notes(suffix string) []string {
	var notes []string
	for _, c := range r.chains {
		for _, rule := range c.rules {
			notes = append(notes, c.name+suffix+" "+rule.note)
		}
	}
	return notes
}

// encode writes chains, maps and rules into a batch, under names with a suffix. The table and the sets
// stand, the chains do not.
func (r *ruleset) encode(b *batch, table, suffix string) error {
	for _, c := range r.chains {
		b.add("make chain "+c.name+suffix, unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func(b *batch) {
			b.Text(unix.NFTA_CHAIN_TABLE, table)
			b.Text(unix.NFTA_CHAIN_NAME, c.name+suffix)
			if c.hook != 0 {
				encodeHook(b, c.hook-1)
			}
		})
	}
	for _, m := range r.maps {
		m.encode(b, table, suffix)
	}
	for _, c := range r.chains {
		for _, rule := range c.rules {
			if err := rule.encode(b, table, c.name, suffix); err != nil {
				return err
			}
		}
	}
	return nil
}

func encodeHook(b *batch, hook int) {
	b.nest(unix.NFTA_CHAIN_HOOK, func(b *batch) {
		p := int32(priority)
		b.U32(unix.NFTA_HOOK_HOOKNUM, uint32(hook))
		b.U32(unix.NFTA_HOOK_PRIORITY, uint32(p))
	})
	b.U32(unix.NFTA_CHAIN_POLICY, 1) // accept
	b.Text(unix.NFTA_CHAIN_TYPE, "filter")
}

func encodeSet(b *batch, table string, s firewall.Set, g firewall.Group, id uint32) {
	b.add("make set "+s.String(), unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, func(b *batch) {
		typ, size := uint32(typeIPv4), uint32(4)
		if s.V6 {
			typ, size = typeIPv6, 16
		}
		b.Text(unix.NFTA_SET_TABLE, table)
		b.Text(unix.NFTA_SET_NAME, s.String())
		b.U32(unix.NFTA_SET_KEY_TYPE, typ)
		b.U32(unix.NFTA_SET_KEY_LEN, size)
		b.U32(unix.NFTA_SET_ID, id)
		if g.Lasting {
			return
		}
		b.U32(unix.NFTA_SET_FLAGS, unix.NFT_SET_TIMEOUT)
		// With the kernel's default of a second a million elements keep 8 % of a core busy for ever.
		// Those that have expired do not match while they wait.
		b.U32(unix.NFTA_SET_GC_INTERVAL, 60_000)
		if g.Counted {
			b.nest(attrSetExpr, func(b *batch) { b.Text(unix.NFTA_EXPR_NAME, "counter") })
		}
	})
}

func (m portMap) encode(b *batch, table, suffix string) {
	b.add("make the map of ports", unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, func(b *batch) {
		b.Text(unix.NFTA_SET_TABLE, table)
		b.Text(unix.NFTA_SET_NAME, m.name)
		b.U32(unix.NFTA_SET_FLAGS, unix.NFT_SET_ANONYMOUS|unix.NFT_SET_CONSTANT|unix.NFT_SET_MAP)
		b.U32(unix.NFTA_SET_KEY_TYPE, typeService)
		b.U32(unix.NFTA_SET_KEY_LEN, 2)
		b.U32(unix.NFTA_SET_DATA_TYPE, typeVerdict)
		b.U32(unix.NFTA_SET_DATA_LEN, 16)
		b.U32(unix.NFTA_SET_ID, m.id)
		b.nest(unix.NFTA_SET_DESC, func(b *batch) { b.U32(unix.NFTA_SET_DESC_SIZE, uint32(len(m.entries))) })
	})
	// An entry takes up to 300 bytes, a message 65,000.
	for entries := range slices.Chunk(m.entries, 200) {
		b.add("fill the map of ports", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, func(b *batch) {
			b.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
			b.Text(unix.NFTA_SET_ELEM_LIST_SET, m.name)
			b.U32(unix.NFTA_SET_ELEM_LIST_SET_ID, m.id)
			b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b *batch) {
				for _, e := range entries {
					e.encode(b, suffix)
				}
			})
		})
	}
}

func (t portTarget) encode(b *batch, suffix string) {
	b.nest(attrElement, func(b *batch) {
		b.nest(unix.NFTA_SET_ELEM_KEY, func(b *batch) {
			b.Bytes(unix.NFTA_DATA_VALUE, byte(t.port>>8), byte(t.port))
		})
		b.nest(unix.NFTA_SET_ELEM_DATA, func(b *batch) {
			b.nest(unix.NFTA_DATA_VERDICT, func(b *batch) {
				code := int32(unix.NFT_JUMP)
				b.U32(unix.NFTA_VERDICT_CODE, uint32(code))
				b.Text(unix.NFTA_VERDICT_CHAIN, t.chain+suffix)
			})
		})
	})
}

func (r rule) encode(b *batch, table, chain, suffix string) error {
	var err error
	b.add("add a rule to chain "+chain, unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, func(b *batch) {
		b.Text(unix.NFTA_RULE_TABLE, table)
		b.Text(unix.NFTA_RULE_CHAIN, chain+suffix)
		b.nest(unix.NFTA_RULE_EXPRESSIONS, func(b *batch) {
			for _, e := range r.exprs {
				if v, ok := e.(*expr.Verdict); ok && v.Kind == expr.VerdictJump {
					e = jump(v.Chain + suffix)
				}
				data, failure := expr.Marshal(family, e)
				if failure != nil {
					err = fmt.Errorf("encode a rule: %w", failure)
				}
				b.Bytes(attrElement|unix.NLA_F_NESTED, data...)
			}
		})
		if r.note != "" {
			// Type 0 is a comment, as the nft tool writes it.
			b.Bytes(unix.NFTA_RULE_USERDATA, append([]byte{0, byte(len(r.note) + 1)}, r.note+"\x00"...)...)
		}
	})
	return err
}

// appendElement encodes one element.
func appendElement(b *batch, p netip.Prefix, timeout uint64, withTimeout bool) {
	b.nest(attrElement, func(b *batch) {
		b.nest(unix.NFTA_SET_ELEM_KEY, func(b *batch) { b.Bytes(unix.NFTA_DATA_VALUE, p.Addr().AsSlice()...) })
		if withTimeout {
			b.U64(unix.NFTA_SET_ELEM_TIMEOUT, timeout)
		}
	})
}
