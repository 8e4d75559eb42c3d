package packets

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// The protocols of a Packet.
const (
	UDP uint8 = unix.IPPROTO_UDP // a datagram
	TCP uint8 = unix.IPPROTO_TCP // the first segment of a connection
)

// Packet is one packet to send.
type Packet struct {
	At       Place // where it is sent
	Proto    uint8 // UDP or TCP
	From, To netip.Addr
	Port     uint16 // at its destination
}

// magic marks our packets; with it a number, the token, says which one a packet is.
const magic = 0x70616c69

const (
	sourcePort = 40000
	udpLen     = 8 + 8  // with magic and token
	tcpLen     = 20     // magic and token are its acknowledgement and sequence numbers
	hops       = 64     // for the field of both families
	syn        = 1 << 1 // TCP's flag
)

// encode makes the bytes of a packet, from the IP header on.
func (p Packet) encode(token uint32) []byte {
	length := udpLen
	if p.Proto == TCP {
		length = tcpLen
	}
	body := make([]byte, length)
	binary.BigEndian.PutUint16(body, sourcePort)
	binary.BigEndian.PutUint16(body[2:], p.Port)
	sum := 6 // where the checksum is
	if p.Proto == TCP {
		sum = 16
		binary.BigEndian.PutUint32(body[4:], token)
		binary.BigEndian.PutUint32(body[8:], magic)
		body[12], body[13] = 5<<4, syn
		binary.BigEndian.PutUint16(body[14:], 1024) // window
	} else {
		binary.BigEndian.PutUint16(body[4:], uint16(length))
		binary.BigEndian.PutUint32(body[8:], magic)
		binary.BigEndian.PutUint32(body[12:], token)
	}
	from, to := p.From.AsSlice(), p.To.AsSlice()
	total := fold(from) + fold(to) + uint32(p.Proto) + uint32(length) + fold(body)
	binary.BigEndian.PutUint16(body[sum:], checksum(total))

	if p.From.Is4() {
		head := make([]byte, 20, 20+length)
		head[0], head[8], head[9] = 0x45, hops, p.Proto
		binary.BigEndian.PutUint16(head[2:], uint16(20+length))
		copy(head[12:], from)
		copy(head[16:], to)
		binary.BigEndian.PutUint16(head[10:], checksum(fold(head)))
		return append(head, body...)
	}
	head := make([]byte, 40, 40+length)
	head[0], head[6], head[7] = 0x60, p.Proto, hops
	binary.BigEndian.PutUint16(head[4:], uint16(length))
	copy(head[8:], from)
	copy(head[24:], to)
	return append(head, body...)
}

// fold sums up 16-bit words; b has an even length.
func fold(b []byte) (sum uint32) {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	return sum
}

func checksum(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	if c := ^uint16(sum); c != 0 {
		return c
	}
	return 0xffff // for UDP, 0 says that there is none
}

// decode finds the token of one of our packets, from its transport header on.
func decode(proto uint8, body []byte) (token uint32, ok bool) {
	at, mark := 12, 8
	if proto == TCP {
		at = 4
	}
	if len(body) < udpLen || binary.BigEndian.Uint32(body[mark:]) != magic {
		return 0, false
	}
	return binary.BigEndian.Uint32(body[at:]), true
}

// transport cuts the IPv4 header off, which raw sockets of that family get and those of IPv6 do not.
func transport(v6 bool, b []byte) []byte {
	if v6 || len(b) == 0 {
		return b
	}
	return b[min(int(b[0]&15)*4, len(b)):]
}
