package ipset

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Commands and attributes of the kernel's ipset (include/uapi/linux/netfilter/ipset/ip_set.h), which
// golang.org/x/sys/unix does not have.
const (
	// protocol is the oldest that kernels still take, and as good as the newest for what is done here.
	protocol = 6

	cmdProtocol = 1
	cmdCreate   = 2
	cmdDestroy  = 3
	cmdList     = 7
	cmdAdd      = 9
	cmdDel      = 10
	cmdTest     = 11
	cmdHeader   = 12
	cmdType     = 13

	attrProtocol    = 1
	attrSetName     = 2
	attrTypeName    = 3
	attrRevision    = 4
	attrFamily      = 5
	attrFlags       = 6
	attrData        = 7
	attrADT         = 8 // several of attrData
	attrLine        = 9 // needed beside attrADT; says nothing here
	attrProtocolMin = 10
	attrRevisionMin = 10

	// Within attrData.
	attrIP       = 1
	attrCIDR     = 3
	attrTimeout  = 6
	attrDataFlag = 8
	attrHashSize = 18
	attrMaxElem  = 19
	attrElements = 24 // how many there are; of headers
	attrMemory   = 26 // in bytes; of headers
	attrBytes    = 24 // of elements
	attrPackets  = 25

	attrIPv4 = 1
	attrIPv6 = 2

	flagListNames  = 1 << 1
	flagListHeader = 1 << 2
	flagCounters   = 1 << 3 // of attrDataFlag
)

// message is one netlink message, either being encoded or taken apart.
type message struct {
	typ     uint16
	flags   uint16
	seq     uint32
	payload []byte // without the netlink header
}

// writer encodes messages one after the other.
type writer struct {
	buf []byte
	seq uint32 // of the next message
}

// begin starts a message and gives where, for end.
func (w *writer) begin(typ, flags uint16, family uint8) (offset int) {
	o := len(w.buf)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, 0) // length, see end
	w.buf = binary.NativeEndian.AppendUint16(w.buf, typ)
	w.buf = binary.NativeEndian.AppendUint16(w.buf, unix.NLM_F_REQUEST|flags)
	w.buf = binary.NativeEndian.AppendUint32(w.buf, w.seq)
	w.buf = append(w.buf, 0, 0, 0, 0, family, unix.NFNETLINK_V0, 0, 0)
	w.seq++
	return o
}

// command starts a message to ipset.
func (w *writer) command(cmd uint8, flags uint16, family uint8) (offset int) {
	o := w.begin(unix.NFNL_SUBSYS_IPSET<<8|uint16(cmd), flags, family)
	w.bytes(attrProtocol, protocol)
	return o
}

func (w *writer) end(offset int) {
	binary.NativeEndian.PutUint32(w.buf[offset:], uint32(len(w.buf)-offset))
}

// bytes writes an attribute. Its value is at most 65,531 bytes.
func (w *writer) bytes(typ uint16, value ...byte) {
	w.head(typ, len(value))
	w.buf = append(w.buf, value...)
	w.pad()
}

func (w *writer) head(typ uint16, n int) {
	w.buf = binary.NativeEndian.AppendUint16(w.buf, uint16(unix.SizeofNlAttr+n))
	w.buf = binary.NativeEndian.AppendUint16(w.buf, typ)
}

func (w *writer) pad() {
	for len(w.buf)%unix.NLA_ALIGNTO != 0 {
		w.buf = append(w.buf, 0)
	}
}

func (w *writer) text(typ uint16, s string) {
	w.head(typ, len(s)+1)
	w.buf = append(w.buf, s...)
	w.buf = append(w.buf, 0)
	w.pad()
}

// number writes 32 bits in the network's order.
func (w *writer) number(typ uint16, n uint32) {
	w.head(typ|unix.NLA_F_NET_BYTEORDER, 4)
	w.buf = binary.BigEndian.AppendUint32(w.buf, n)
}

// nest starts an attribute that holds others, for endNest. All of it is at most 65,535 bytes long.
func (w *writer) nest(typ uint16) (offset int) {
	o := len(w.buf)
	w.head(typ|unix.NLA_F_NESTED, 0)
	return o
}

func (w *writer) endNest(offset int) {
	binary.NativeEndian.PutUint16(w.buf[offset:], uint16(len(w.buf)-offset))
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

// body gives the attributes of a message, behind nfnetlink's header of 4 bytes.
func (m message) body() []byte { return m.payload[min(4, len(m.payload)):] }

// errno gives the number of an NLMSG_ERROR; 0 is an acknowledgement.
func (m message) errno() unix.Errno {
	if len(m.payload) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.payload)))
}

// word reads a text that ends with a zero.
func word(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

// integer reads a number of 1, 4 or 8 bytes in the network's order; others are 0.
func integer(value []byte) uint64 {
	switch len(value) {
	case 1:
		return uint64(value[0])
	case 4:
		return uint64(binary.BigEndian.Uint32(value))
	case 8:
		return binary.BigEndian.Uint64(value)
	}
	return 0
}
