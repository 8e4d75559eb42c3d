package nft

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

// Numbers of nf_tables that golang.org/x/sys/unix does not have.
const (
	flagOwner   = 0x2 // NFT_TABLE_F_OWNER
	flagPersist = 0x4 // NFT_TABLE_F_PERSIST

	msgDestroySetElem = 30 // NFT_MSG_DESTROYSETELEM

	attrSetExpr        = 17 // NFTA_SET_EXPR
	attrSetExpressions = 18 // NFTA_SET_EXPRESSIONS
	attrSetCount       = 20 // NFTA_SET_COUNT
)

const (
	family      = unix.NFPROTO_INET
	attrElement = 1 // NFTA_LIST_ELEM
)

// batch is one transaction being encoded.
type batch struct {
	netlink.Encoder
	first uint32   // sequence number of the first message
	ops   []string // what each message is about, for errors
}

// newBatch begins a transaction whose messages have sequence numbers from first on. It writes into buf
// if that is large enough.
func newBatch(buf []byte, first uint32) *batch {
	b := &batch{Encoder: netlink.Encoder{Buf: buf[:0]}, first: first}
	b.End(b.begin("begin", unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES))
	return b
}

// finish ends the transaction and returns its bytes.
func (b *batch) finish() []byte {
	b.End(b.begin("commit", unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES))
	return b.Buf
}

// add encodes one message of nf_tables; body writes its attributes.
func (b *batch) add(op string, typ, flags uint16, body func(*batch)) {
	o := b.begin(op, unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, family, 0)
	body(b)
	b.End(o)
}

func (b *batch) begin(op string, typ, flags uint16, family uint8, resource uint16) (offset int) {
	o := b.BeginNetfilter(typ, flags, b.first+uint32(len(b.ops)), family, resource)
	b.ops = append(b.ops, op)
	return o
}

// nest writes an attribute that holds others.
func (b *batch) nest(typ uint16, body func(*batch)) {
	o := b.Nest(typ)
	body(b)
	b.EndNest(o)
}

// refusal is the kernel's answer to a message that it does not accept.
type refusal struct {
	errno unix.Errno
	seq   uint32
	text  string // more than the number says, from the kernel; often empty
}

// parseRefusal reads an NLMSG_ERROR; it is nil for an acknowledgement.
func parseRefusal(m netlink.Message) *refusal {
	if len(m.Payload) < 4+unix.SizeofNlMsghdr {
		return &refusal{errno: unix.EBADMSG, seq: m.Seq}
	}
	errno := -int32(binary.NativeEndian.Uint32(m.Payload))
	if errno == 0 {
		return nil
	}
	r := &refusal{errno: unix.Errno(errno), seq: m.Seq}
	rest := m.Payload[4:]
	// Behind the number stands the message that was refused: its header only, if capped.
	n := unix.SizeofNlMsghdr
	if m.Flags&unix.NLM_F_CAPPED == 0 {
		n = max(n, int(binary.NativeEndian.Uint32(rest)))
	}
	if m.Flags&unix.NLM_F_ACK_TLVS != 0 && n <= len(rest) {
		netlink.Attributes(rest[n:], func(typ uint16, value []byte) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				r.text = netlink.Text(value)
			}
		})
	}
	return r
}
