package netlink

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Encoder writes messages one after the other behind what is in Buf.
type Encoder struct{ Buf []byte }

// Begin starts a message and gives where, for End.
func (e *Encoder) Begin(typ, flags uint16, seq uint32) (offset int) {
	o := len(e.Buf)
	e.Buf = binary.NativeEndian.AppendUint32(e.Buf, 0) // length, see End
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, typ)
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, unix.NLM_F_REQUEST|flags)
	e.Buf = binary.NativeEndian.AppendUint32(e.Buf, seq)
	e.Buf = binary.NativeEndian.AppendUint32(e.Buf, 0) // port: the kernel knows
	return o
}

// BeginNetfilter starts a message with the header of netfilter's.
func (e *Encoder) BeginNetfilter(typ, flags uint16, seq uint32, family uint8, resource uint16) (offset int) {
	o := e.Begin(typ, flags, seq)
	e.Buf = append(e.Buf, family, unix.NFNETLINK_V0)
	e.Buf = binary.BigEndian.AppendUint16(e.Buf, resource)
	return o
}

// End writes the length of a message.
func (e *Encoder) End(offset int) {
	binary.NativeEndian.PutUint32(e.Buf[offset:], uint32(len(e.Buf)-offset))
}

// Bytes writes an attribute. Its value is at most 65,531 bytes.
func (e *Encoder) Bytes(typ uint16, value ...byte) {
	e.head(typ, len(value))
	e.Buf = append(e.Buf, value...)
	e.pad()
}

// Text writes a text that ends with a zero.
func (e *Encoder) Text(typ uint16, s string) {
	e.head(typ, len(s)+1)
	e.Buf = append(e.Buf, s...)
	e.Buf = append(e.Buf, 0)
	e.pad()
}

// U32 writes 32 bits in the network's order.
func (e *Encoder) U32(typ uint16, n uint32) {
	e.head(typ, 4)
	e.Buf = binary.BigEndian.AppendUint32(e.Buf, n)
}

// U64 writes 64 bits in the network's order.
func (e *Encoder) U64(typ uint16, n uint64) {
	e.head(typ, 8)
	e.Buf = binary.BigEndian.AppendUint64(e.Buf, n)
}

// Nest starts an attribute that holds others, for EndNest. All of it is at most 65,535 bytes long.
func (e *Encoder) Nest(typ uint16) (offset int) {
	o := len(e.Buf)
	e.head(typ|unix.NLA_F_NESTED, 0)
	return o
}

// EndNest writes the length of such an attribute.
func (e *Encoder) EndNest(offset int) {
	binary.NativeEndian.PutUint16(e.Buf[offset:], uint16(len(e.Buf)-offset))
}

func (e *Encoder) head(typ uint16, n int) {
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, uint16(unix.SizeofNlAttr+n))
	e.Buf = binary.NativeEndian.AppendUint16(e.Buf, typ)
}

func (e *Encoder) pad() {
	for len(e.Buf)%unix.NLA_ALIGNTO != 0 {
		e.Buf = append(e.Buf, 0)
	}
}
