package ipset

import (
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
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

// writer encodes messages one after the other.
type writer struct {
	netlink.Encoder
	seq uint32 // of the next message
}

// begin starts a message and gives where, for End.
func (w *writer) begin(typ, flags uint16, family uint8) (offset int) {
	o := w.BeginNetfilter(typ, flags, w.seq, family, 0)
	w.seq++
	return o
}

// command starts a message to ipset.
func (w *writer) command(cmd uint8, flags uint16, family uint8) (offset int) {
	o := w.begin(unix.NFNL_SUBSYS_IPSET<<8|uint16(cmd), flags, family)
	w.Bytes(attrProtocol, protocol)
	return o
}

// number writes 32 bits, and that they are in the network's order, which ipset wants to be told.
func (w *writer) number(typ uint16, n uint32) { w.U32(typ|unix.NLA_F_NET_BYTEORDER, n) }
