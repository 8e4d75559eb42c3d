package cut

import (
	"encoding/binary"
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

// Numbers of the kernel's that golang.org/x/sys/unix does not have.
const (
	sockDiagByFamily = 20
	sockDestroy      = 21

	diagRequest = 56 // bytes of struct inet_diag_req_v2
	diagAnswer  = 72 // bytes of struct inet_diag_msg
	diagID      = 48 // bytes of struct inet_diag_sockid

	ctGet    = unix.NFNL_SUBSYS_CTNETLINK<<8 | 1 // IPCTNL_MSG_CT_GET
	ctDelete = unix.NFNL_SUBSYS_CTNETLINK<<8 | 2 // IPCTNL_MSG_CT_DELETE

	nfgenmsg = 4 // bytes of struct nfgenmsg

	attrTupleOrig = 1  // CTA_TUPLE_ORIG
	attrID        = 12 // CTA_ID
	attrZone      = 18 // CTA_ZONE
	attrTupleIP   = 1  // CTA_TUPLE_IP
	attrTuplePort = 2  // CTA_TUPLE_PROTO
	attrSource4   = 1  // CTA_IP_V4_SRC
	attrSource6   = 3  // CTA_IP_V6_SRC
	attrProtoNum  = 1  // CTA_PROTO_NUM
	attrDestPort  = 3  // CTA_PROTO_DST_PORT
)

// openStates are the states of TCP in which there is somebody at the other end: all but CLOSE, LISTEN and
// TIME_WAIT, as a set of bits.
const openStates = 1<<1 | 1<<2 | 1<<3 | 1<<4 | 1<<5 | 1<<8 | 1<<9 | 1<<11 | 1<<12

const (
	// roundMax is how many sockets or flows a pass notes before it ends them: what a look is still at is
	// not changed under it, and memory stays bounded, at about 150 bytes each.
	roundMax = 32_768
	// rounds bounds the looks of one pass, and with them what it ends.
	rounds = 32
)

// netlinkKernel is the kernel's side of the network namespace of the calling thread.
type netlinkKernel struct {
	room int // sockets or flows that are noted before they are ended
}

func (k netlinkKernel) sockets(m *matcher) (ended, failed int, err error) {
	for _, v6 := range []bool{false, true} {
		// An IPv4 peer of a socket of both families is listed with IPv6.
		if v6 && !m.concerns(true) && !m.concerns(false) || !v6 && !m.concerns(false) {
			continue
		}
		e, f, err := k.endAll(unix.NETLINK_SOCK_DIAG, "end TCP sockets", dumpSockets(v6), func(payload []byte) []byte {
			return socketEnd(m, payload)
		})
		ended, failed = ended+e, failed+f
		if err != nil {
			return ended, failed, err
		}
	}
	return ended, failed, nil
}

func (k netlinkKernel) flows(m *matcher) (ended, failed int, err error) {
	for _, v6 := range []bool{false, true} {
		if !m.concerns(v6) {
			continue
		}
		e, f, err := k.endAll(unix.NETLINK_NETFILTER, "end flows of conntrack", dumpFlows(v6), func(payload []byte) []byte {
			return flowEnd(m, payload)
		})
		ended, failed = ended+e, failed+f
		if err != nil {
			return ended, failed, err
		}
	}
	return ended, failed, nil
}

// endAll looks at a list of the kernel's and ends what end gives a request for.
func (k netlinkKernel) endAll(protocol int, op string, dump []byte, end func(payload []byte) []byte) (ended, failed int, err error) {
	for range rounds {
		s, err := openSocket(protocol)
		if err != nil {
			return ended, failed, failedTo(op, err)
		}
		var requests [][]byte
		err = s.ask(dump, func(payload []byte) bool {
			if r := end(payload); r != nil {
				requests = append(requests, r)
			}
			return len(requests) < k.room
		})
		if errors.Is(err, errEnough) { // the rest of the answer is not read: the socket is of no more use
			s.close()
			s, err = openSocket(protocol)
		}
		if err != nil {
			s.close()
			return ended, failed, failedTo(op, err)
		}
		e, f, err := s.tell(requests)
		s.close()
		ended, failed = ended+e, failed+f
		if err != nil {
			return ended, failed, failedTo(op, err)
		}
		if len(requests) < k.room || e == 0 {
			return ended, failed, nil
		}
	}
	return ended, failed, nil
}

func dumpSockets(v6 bool) []byte {
	b := begin(sockDiagByFamily, unix.NLM_F_DUMP)
	b.Buf = append(b.Buf, addressFamily(v6), unix.IPPROTO_TCP, 0, 0)
	b.Buf = binary.NativeEndian.AppendUint32(b.Buf, openStates)
	b.Buf = append(b.Buf, make([]byte, diagID)...)
	return finish(b)
}

// socketEnd gives the request that destroys a listed socket, or nil if that is not to be. The cookie in
// its ID keeps another socket of the same addresses alive.
func socketEnd(m *matcher, payload []byte) []byte {
	if len(payload) < diagAnswer {
		return nil
	}
	id := payload[4 : 4+diagID]
	local, peer := binary.BigEndian.Uint16(id), id[20:36]
	var addr netip.Addr
	switch payload[0] {
	case unix.AF_INET:
		addr = netip.AddrFrom4([4]byte(peer[:4]))
	case unix.AF_INET6:
		addr = netip.AddrFrom16([16]byte(peer))
	default:
		return nil
	}
	if !m.match(addr, tcp, local) {
		return nil
	}
	b := begin(sockDestroy, 0)
	b.Buf = append(b.Buf, payload[0], unix.IPPROTO_TCP, 0, 0)
	b.Buf = binary.NativeEndian.AppendUint32(b.Buf, openStates)
	b.Buf = append(b.Buf, id...)
	return finish(b)
}

func dumpFlows(v6 bool) []byte {
	b := begin(ctGet, unix.NLM_F_DUMP)
	b.Buf = append(b.Buf, addressFamily(v6), unix.NFNETLINK_V0, 0, 0)
	return finish(b)
}

// flowEnd gives the request that deletes a listed flow, or nil if that is not to be. Who began it and
// which port was dialled is what its original direction says. Its ID keeps a newer flow of the same
// addresses alive.
func flowEnd(m *matcher, payload []byte) []byte {
	if len(payload) < nfgenmsg {
		return nil
	}
	tuple := netlink.Attribute(payload[nfgenmsg:], attrTupleOrig)
	addresses, ports := netlink.Attribute(tuple, attrTupleIP), netlink.Attribute(tuple, attrTuplePort)
	source := netlink.Attribute(addresses, attrSource4)
	if source == nil {
		source = netlink.Attribute(addresses, attrSource6)
	}
	peer, ok := netip.AddrFromSlice(source)
	number := netlink.Attribute(ports, attrProtoNum)
	if !ok || len(number) != 1 {
		return nil
	}
	var port uint16
	if p := netlink.Attribute(ports, attrDestPort); len(p) == 2 {
		port = binary.BigEndian.Uint16(p)
	}
	if !m.match(peer, number[0], port) {
		return nil
	}
	b := begin(ctDelete, 0)
	b.Buf = append(b.Buf, payload[0], unix.NFNETLINK_V0, 0, 0)
	netlink.Attributes(payload[nfgenmsg:], func(typ uint16, value []byte) {
		switch typ {
		case attrTupleOrig:
			b.Bytes(typ|unix.NLA_F_NESTED, value...)
		case attrID, attrZone:
			b.Bytes(typ, value...)
		}
	})
	return finish(b)
}

func addressFamily(v6 bool) uint8 {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}
