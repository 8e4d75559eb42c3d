package netlink

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"
)

// Message is one that the kernel has sent.
type Message struct {
	Type    uint16
	Flags   uint16
	Seq     uint32
	Payload []byte // without the netlink header; it shares memory with the datagram
}

// Messages takes a datagram apart. What is malformed ends it with an error, as does each.
func Messages(data []byte, each func(Message) error) error {
	for len(data) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(data))
		if n < unix.SizeofNlMsghdr || n > len(data) {
			return fmt.Errorf("the kernel's answer has a message of %d bytes in %d", n, len(data))
		}
		err := each(Message{
			Type: binary.NativeEndian.Uint16(data[4:]), Flags: binary.NativeEndian.Uint16(data[6:]),
			Seq: binary.NativeEndian.Uint32(data[8:]), Payload: data[unix.SizeofNlMsghdr:n],
		})
		if err != nil {
			return err
		}
		data = data[min((n+3)&^3, len(data)):]
	}
	return nil
}

// Body gives the attributes of a message of netfilter, behind its header of 4 bytes.
func (m Message) Body() []byte { return m.Payload[min(4, len(m.Payload)):] }

// Errno gives the number of an NLMSG_ERROR or NLMSG_DONE: 0 is an acknowledgement, EBADMSG one without a
// number.
func (m Message) Errno() unix.Errno {
	if len(m.Payload) < 4 {
		return unix.EBADMSG
	}
	return unix.Errno(-int32(binary.NativeEndian.Uint32(m.Payload)))
}

// Attributes takes a list of attributes apart; what is malformed ends it.
func Attributes(data []byte, each func(typ uint16, value []byte)) {
	for len(data) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(data))
		if n < unix.SizeofNlAttr || n > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofNlAttr:n])
		data = data[min((n+3)&^3, len(data)):]
	}
}

// Attribute finds the first attribute of a type, nil if there is none; further types lead into it.
func Attribute(data []byte, path ...uint16) (found []byte) {
	for _, want := range path {
		found = nil
		Attributes(data, func(typ uint16, value []byte) {
			if typ == want && found == nil {
				found = value
			}
		})
		data = found
	}
	return found
}

// Text reads a text that ends with a zero, or with the value.
func Text(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

// Number reads a number of 1, 4 or 8 bytes in the network's order; others are 0.
func Number(value []byte) uint64 {
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
