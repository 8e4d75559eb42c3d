package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// Features are what the kernel can do, as found out by trying.
type Features struct {
	Owner   bool // tables that only one socket can change and that outlive it
	Update  bool // adding an element that is there sets its timeout
	Destroy bool // removing an element that is not there is no error
	Reject  bool // reject works before routing
}

// Probe finds out what the kernel can do, in a table of its own that is gone afterwards. The error
// tells why nftables cannot be used at all.
func Probe() (f Features, err error) {
	s, err := openSocket()
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	p := prober{s, fmt.Sprintf("%s_probe_%d", tableName, os.Getpid())}

	// In one transaction with its end nothing of it is ever seen.
	f.Owner = s.transact(func(b *batch) { p.table(b, flagOwner|flagPersist); p.drop(b) }) == nil
	flags := uint32(0)
	if f.Owner {
		flags = flagOwner // it vanishes with us, whatever happens
	}
	if err := s.transact(func(b *batch) { p.table(b, flags) }); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.transact(p.drop)) }()

	set := firewall.Set{Group: "probe", Bits: 32}
	if err := s.transact(func(b *batch) { encodeSet(b, p.name, set, firewall.Group{}, 1) }); err != nil {
		return f, err
	}
	f.Update, err = p.update(set)
	if err != nil {
		return f, err
	}
	f.Destroy = s.transact(func(b *batch) {
		p.element(b, msgDestroySetElem, 0, set, "192.0.2.99", 0)
	}) == nil
	never := rule{exprs: []expr.Any{
		&expr.Meta{Key: expr.MetaKeyIIF, Register: 1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: make([]byte, 4)}, // there is no interface 0
		&expr.Reject{Type: unix.NFT_REJECT_ICMPX_UNREACH, Code: unix.NFT_REJECT_ICMPX_PORT_UNREACH},
	}}
	f.Reject = s.transact(func(b *batch) {
		b.add("make a chain", unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, func(b *batch) {
			b.Text(unix.NFTA_CHAIN_TABLE, p.name)
			b.Text(unix.NFTA_CHAIN_NAME, baseChain)
			encodeHook(b, unix.NF_INET_PRE_ROUTING)
		})
		err = never.encode(b, p.name, baseChain, "")
	}) == nil
	return f, err
}

type prober struct {
	socket *socket
	name   string
}

func (p prober) table(b *batch, flags uint32) {
	b.add("make a table", unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func(b *batch) {
		b.Text(unix.NFTA_TABLE_NAME, p.name)
		b.U32(unix.NFTA_TABLE_FLAGS, flags)
	})
}

func (p prober) drop(b *batch) {
	b.add("remove a table", unix.NFT_MSG_DELTABLE, 0, func(b *batch) { b.Text(unix.NFTA_TABLE_NAME, p.name) })
}

func (p prober) element(b *batch, typ, flags uint16, set firewall.Set, addr string, timeout time.Duration) {
	b.add("change elements", typ, flags, func(b *batch) {
		b.Text(unix.NFTA_SET_ELEM_LIST_TABLE, p.name)
		b.Text(unix.NFTA_SET_ELEM_LIST_SET, set.String())
		b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b *batch) {
			appendElement(b, netip.PrefixFrom(netip.MustParseAddr(addr), 32), uint64(timeout/time.Millisecond), typ == unix.NFT_MSG_NEWSETELEM)
		})
	})
}

// update tries whether timeouts can be made longer, permanent and finite by adding again.
func (p prober) update(set firewall.Set) (bool, error) {
	tries := []struct {
		addr        string
		first, then time.Duration
	}{
		{"192.0.2.1", time.Hour, 3 * time.Hour}, {"192.0.2.2", time.Hour, 0}, {"192.0.2.3", 0, 3 * time.Hour},
	}
	want := map[string]time.Duration{}
	for _, t := range tries {
		want[t.addr] = t.then
		for _, timeout := range []time.Duration{t.first, t.then} {
			err := p.socket.transact(func(b *batch) {
				p.element(b, unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, set, t.addr, timeout)
			})
			if err != nil {
				return false, err
			}
		}
	}
	elements, err := readElements(p.socket, p.name, set, map[netip.Prefix]bool{}, nil, -1)
	if err != nil || len(elements) != len(tries) {
		return false, err
	}
	for _, e := range elements {
		if d := want[e.Prefix.Addr().String()] - e.Timeout; d < 0 || d > time.Minute {
			return false, nil
		}
	}
	return true, nil
}
