package nft

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
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
	buf   []byte
	first uint32   // sequence number of the first message
	ops   []string // what each message is about, for errors
}

// newBatch begins a transaction whose messages have sequence numbers from first on. It writes into buf
// if that is large enough.
func newBatch(buf []byte, first uint32) *batch {
	b := &batch{buf: buf[:0], first: first}
	b.end(b.begin("begin", unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES))
	return b
}

// finish ends the transaction and returns its bytes.
func (b *batch) finish() []byte {
	b.end(b.begin("commit", unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES))
	return b.buf
}

// add encodes one message of nf_tables; body writes its attributes.
func (b *batch) add(op string, typ, flags uint16, body func(*batch)) {
	o := b.begin(op, unix.NFNL_SUBSYS_NFTABLES<<8|typ, flags, family, 0)
	body(b)
	b.end(o)
}

func (b *batch) begin(op string, typ, flags uint16, family uint8, resource uint16) (offset int) {
	o := len(b.buf)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, 0) // length, see end
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
	b.buf = binary.NativeEndian.AppendUint16(b.buf, unix.NLM_F_REQUEST|flags)
	b.buf = binary.NativeEndian.AppendUint32(b.buf, b.first+uint32(len(b.ops)))
	b.buf = binary.NativeEndian.AppendUint32(b.buf, 0) // port: the kernel knows
	b.buf = append(b.buf, family, unix.NFNETLINK_V0)
	b.buf = binary.BigEndian.AppendUint16(b.buf, resource)
	b.ops = append(b.ops, op)
	return o
}

func (b *batch) end(offset int) {
	binary.NativeEndian.PutUint32(b.buf[offset:], uint32(len(b.buf)-offset))
}

// attr writes an attribute. Its value is at most 65,531 bytes.
func (b *batch) attr(typ uint16, value ...byte) {
	b.head(typ, len(value))
	b.buf = append(b.buf, value...)
	b.pad()
}

func (b *batch) head(typ uint16, n int) {
	b.buf = binary.NativeEndian.AppendUint16(b.buf, uint16(unix.SizeofNlAttr+n))
	b.buf = binary.NativeEndian.AppendUint16(b.buf, typ)
}

func (b *batch) pad() {
	for len(b.buf)%unix.NLA_ALIGNTO != 0 {
		b.buf = append(b.buf, 0)
	}
}

func (b *batch) str(typ uint16, s string) {
	b.head(typ, len(s)+1)
	b.buf = append(b.buf, s...)
	b.buf = append(b.buf, 0)
	b.pad()
}

func (b *batch) u32(typ uint16, n uint32) {
	b.head(typ, 4)
	b.buf = binary.BigEndian.AppendUint32(b.buf, n)
}

func (b *batch) u64(typ uint16, n uint64) {
	b.head(typ, 8)
	b.buf = binary.BigEndian.AppendUint64(b.buf, n)
}

// nest writes an attribute that holds others.
func (b *batch) nest(typ uint16, body func(*batch)) {
	o := len(b.buf)
	b.head(typ|unix.NLA_F_NESTED, 0)
	body(b)
	binary.NativeEndian.PutUint16(b.buf[o:], uint16(len(b.buf)-o))
}

// message is one that the kernel has sent.
type message struct {
	typ     uint16
	flags   uint16
	seq     uint32
	payload []byte // without the netlink header
}

// messages takes a datagram apart. What is malformed ends it with an error.
func messages(data []byte, each func(message) error) error {
	for len(data) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(data))
		if n < unix.SizeofNlMsghdr || n > len(data) {
			return fmt.Errorf("netlink message of %d bytes in %d", n, len(data))
		}
		err := each(message{
			typ: binary.NativeEndian.Uint16(data[4:]), flags: binary.NativeEndian.Uint16(data[6:]),
			seq: binary.NativeEndian.Uint32(data[8:]), payload: data[unix.SizeofNlMsghdr:n],
		})
		if err != nil {
			return err
		}
		data = data[min((n+3)&^3, len(data)):]
	}
	return nil
}

// attributes takes a list of attributes apart; what is malformed ends it.
func attributes(data []byte, each func(typ uint16, value []byte)) {
	for len(data) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(data))
		if n < unix.SizeofNlAttr || n > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofNlAttr:n])
		data = data[min((n+3)&^3, len(data)):]
	}
}

// body gives the attributes of an nf_tables message, behind its header of 4 bytes.
func (m message) body() []byte { return m.payload[min(4, len(m.payload)):] }

func text(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

func number(value []byte) uint64 {
	switch len(value) {
	case 4:
		return uint64(binary.BigEndian.Uint32(value))
	case 8:
		return binary.BigEndian.Uint64(value)
	}
	return 0
}

// refusal is the kernel's answer to a message that it does not accept.
type refusal struct {
	errno unix.Errno
	seq   uint32
	text  string // more than the number says, from the kernel; often empty
}

// parseRefusal reads an NLMSG_ERROR; it is nil for an acknowledgement.
func parseRefusal(m message) *refusal {
	if len(m.payload) < 4+unix.SizeofNlMsghdr {
		return &refusal{errno: unix.EBADMSG, seq: m.seq}
	}
	errno := -int32(binary.NativeEndian.Uint32(m.payload))
	if errno == 0 {
		return nil
	}
	r := &refusal{errno: unix.Errno(errno), seq: m.seq}
	rest := m.payload[4:]
	// Behind the number stands the message that was refused: its header only, if capped.
	n := unix.SizeofNlMsghdr
	if m.flags&unix.NLM_F_CAPPED == 0 {
		n = max(n, int(binary.NativeEndian.Uint32(rest)))
	}
	if m.flags&unix.NLM_F_ACK_TLVS != 0 && n <= len(rest) {
		attributes(rest[n:], func(typ uint16, value []byte) {
			if typ == unix.NLMSGERR_ATTR_MSG {
				r.text = text(value)
			}
		})
	}
	return r
}
