package ipset

import (
	"errors"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/netlink"
)

const (
	typeHosts    = "hash:ip"
	typeNetworks = "hash:net"

	// hashMin is the kernel's own choice of buckets for a set that nothing is known of.
	hashMin = 1024
	// hashMax bounds the buckets that a set is made with: enough for 32 million elements.
	hashMax = 1 << 24
	// maxElements is the limit that a set gets; the kernel's own is 65,536, and what is beyond is refused.
	maxElements = 1 << 25
	// timeoutMax is the longest timeout of the kernel's, 24.8 days: what is longer would be cut silently.
	timeoutMax = 2147483 * time.Second
)

// revisions are those of the types that sets are made in: not newer than needed (counters), since a tool
// that is older than the kernel cannot list a set of a revision that it does not know.
type revisions struct{ hosts, networks uint8 }

// chooseRevisions asks the kernel which it has.
func chooseRevisions(s *socket) (r revisions, err error) {
	for _, t := range []struct {
		name string
		want uint8
		into *uint8
	}{{typeHosts, 1, &r.hosts}, {typeNetworks, 3, &r.networks}} {
		w := s.writer()
		o := w.command(cmdType, unix.NLM_F_ACK, unix.NFPROTO_IPV4)
		w.Text(attrTypeName, t.name)
		w.Bytes(attrFamily, unix.NFPROTO_IPV4)
		w.End(o)
		var lowest, highest uint8
		err := s.query(w, func(m netlink.Message) error {
			netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
				switch typ {
				case attrRevision:
					highest = uint8(netlink.Number(value))
				case attrRevisionMin:
					lowest = uint8(netlink.Number(value))
				}
			})
			return nil
		})
		if err != nil {
			return r, failed("ask the kernel for sets of the type "+t.name, err)
		}
		if highest < t.want {
			return r, failed("ask the kernel for sets of the type "+t.name+" with counters", errFindType)
		}
		*t.into = max(lowest, t.want)
	}
	return r, nil
}

// checkProtocol finds out whether there is an ipset that we can talk to.
func checkProtocol(s *socket) error {
	const op = "ask the kernel for ipset"
	w := s.writer()
	w.End(w.command(cmdProtocol, unix.NLM_F_ACK, unix.AF_UNSPEC))
	var newest, oldest uint64
	err := s.query(w, func(m netlink.Message) error {
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			switch typ {
			case attrProtocol:
				newest = netlink.Number(value)
			case attrProtocolMin:
				oldest = netlink.Number(value)
			}
		})
		return nil
	})
	if errors.Is(err, unix.EINVAL) { // netfilter knows no such part of itself
		err = unix.EOPNOTSUPP
	}
	if err != nil {
		return failed(op, err)
	}
	if newest < protocol || oldest > protocol {
		return &firewall.Error{
			Op:  op,
			Err: fmt.Errorf("%w: it speaks versions %d to %d, not %d", firewall.ErrUnsupported, oldest, newest, protocol),
		}
	}
	return nil
}

// kind is what distinguishes sets besides their names.
type kind struct {
	typ      string
	v6       bool
	timeouts bool
	counters bool
}

func kindOf(s firewall.Set, g firewall.Group) kind {
	k := kind{typ: typeNetworks, v6: s.V6, timeouts: !g.Lasting, counters: g.Counted}
	if isHosts(s) {
		k.typ = typeHosts
	}
	return k
}

func isHosts(s firewall.Set) bool { return s.V6 && s.Bits == 128 || !s.V6 && s.Bits == 32 }

func familyOf(v6 bool) uint8 {
	if v6 {
		return unix.NFPROTO_IPV6
	}
	return unix.NFPROTO_IPV4
}

// header is what the kernel tells of a set as a whole.
type header struct {
	kind
	name   string
	count  int // elements
	memory int64
}

// readNames lists the names of our sets.
func readNames(s *socket) ([]string, error) {
	w := s.writer()
	o := w.command(cmdList, unix.NLM_F_DUMP, unix.AF_UNSPEC)
	w.number(attrFlags, flagListNames)
	w.End(o)
	var names []string
	err := s.query(w, func(m netlink.Message) error {
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			if name := netlink.Text(value); typ == attrSetName && strings.HasPrefix(name, prefix) {
				names = append(names, name)
			}
		})
		return nil
	})
	if err != nil {
		return nil, failed("list the sets", err)
	}
	return names, nil
}

// readHeader counts the elements of a set, which takes the kernel 2.3 ms per 100,000 of them. The error
// is a bare unix.Errno: ENOENT for a set that does not exist.
func readHeader(s *socket, name string) (header, error) {
	w := s.writer()
	o := w.command(cmdList, unix.NLM_F_DUMP, unix.AF_UNSPEC)
	w.Text(attrSetName, name)
	w.number(attrFlags, flagListHeader)
	w.End(o)
	h := header{name: name}
	err := s.query(w, func(m netlink.Message) error { h.parse(m.Body()); return nil })
	if err == nil && h.typ == "" {
		err = unix.ENOENT
	}
	return h, err
}

func (h *header) parse(body []byte) {
	netlink.Attributes(body, func(typ uint16, value []byte) {
		switch typ {
		case attrTypeName:
			h.typ = netlink.Text(value)
		case attrFamily:
			h.v6 = netlink.Number(value) == unix.NFPROTO_IPV6
		case attrData:
			netlink.Attributes(value, func(typ uint16, value []byte) {
				switch typ {
				case attrTimeout:
					h.timeouts = true
				case attrDataFlag:
					h.counters = netlink.Number(value)&flagCounters != 0
				case attrElements:
					h.count = int(netlink.Number(value))
				case attrMemory:
					h.memory = int64(netlink.Number(value))
				}
			})
		}
	})
}

// exists tells in some microseconds whether there is a set of a name.
func exists(s *socket, name string) (bool, error) {
	w := s.writer()
	o := w.command(cmdHeader, unix.NLM_F_ACK, unix.AF_UNSPEC)
	w.Text(attrSetName, name)
	w.End(o)
	err := s.query(w, func(netlink.Message) error { return nil })
	if errors.Is(err, unix.ENOENT) {
		return false, nil
	}
	return err == nil, err
}

// buckets chooses how many buckets a set is made with that is about to get n elements: growing later has
// the kernel wait, time and again. Half a bucket per element is where it would end.
func buckets(n int) uint32 {
	if n <= 0 {
		return hashMin
	}
	return uint32(min(max(1<<bits.Len(uint(n-1))/2, hashMin), hashMax))
}

// create makes an empty set; one of the same kind that is there already is fine.
func (r revisions) create(s *socket, name string, k kind, size int) error {
	revision := r.networks
	if k.typ == typeHosts {
		revision = r.hosts
	}
	w := s.writer()
	o := w.command(cmdCreate, unix.NLM_F_CREATE|unix.NLM_F_ACK, familyOf(k.v6))
	w.Text(attrSetName, name)
	w.Text(attrTypeName, k.typ)
	w.Bytes(attrRevision, revision)
	w.Bytes(attrFamily, familyOf(k.v6))
	data := w.Nest(attrData)
	w.number(attrHashSize, buckets(size))
	w.number(attrMaxElem, uint32(max(maxElements, min(2*size, 1<<31))))
	if k.timeouts {
		w.number(attrTimeout, 0) // of elements that bring none
	}
	if k.counters {
		w.number(attrDataFlag, flagCounters)
	}
	w.EndNest(data)
	w.End(o)
	return s.send(w)
}

// destroy removes a set; errBusy says that rules use it.
func destroy(s *socket, name string) error {
	w := s.writer()
	o := w.command(cmdDestroy, unix.NLM_F_ACK, unix.AF_UNSPEC)
	w.Text(attrSetName, name)
	w.End(o)
	if err := s.send(w); !errors.Is(err, unix.ENOENT) {
		return err
	}
	return nil
}

// test tells whether an element is in a set, as a packet from there would find out.
func test(s *socket, name string, p netip.Prefix) (bool, error) {
	w := s.writer()
	o := w.command(cmdTest, unix.NLM_F_ACK, familyOf(p.Addr().Is6()))
	w.Text(attrSetName, name)
	data := w.Nest(attrData)
	w.element(p)
	w.EndNest(data)
	w.End(o)
	err := s.send(w)
	if errors.Is(err, errExist) {
		return false, nil
	}
	return err == nil, err
}

// element writes the attributes that say which element is meant.
func (w *writer) element(p netip.Prefix) {
	ip := w.Nest(attrIP)
	if a := p.Addr(); a.Is6() {
		b := a.As16()
		w.Bytes(attrIPv6|unix.NLA_F_NET_BYTEORDER, b[:]...)
	} else {
		b := a.As4()
		w.Bytes(attrIPv4|unix.NLA_F_NET_BYTEORDER, b[:]...)
	}
	w.EndNest(ip)
	if !p.IsSingleIP() {
		w.Bytes(attrCIDR, uint8(p.Bits()))
	}
}

// entry is one element as the kernel lists it.
type entry struct {
	prefix netip.Prefix
	held   firewall.Held
}

// readEntries lists a set; each ends it with errStop, after which the socket must not be used any more.
func readEntries(s *socket, name string, each func(entry) error) error {
	w := s.writer()
	o := w.command(cmdList, unix.NLM_F_DUMP, unix.AF_UNSPEC)
	w.Text(attrSetName, name)
	w.End(o)
	return s.query(w, func(m netlink.Message) (err error) {
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			if typ != attrADT {
				return
			}
			netlink.Attributes(value, func(_ uint16, value []byte) {
				if e, ok := parseEntry(value); ok && err == nil {
					err = each(e)
				}
			})
		})
		return err
	})
}

// parseEntry reads the attributes of one element; it is false for what is none.
func parseEntry(data []byte) (e entry, ok bool) {
	length := -1
	var addr netip.Addr
	netlink.Attributes(data, func(typ uint16, value []byte) {
		switch typ {
		case attrIP:
			netlink.Attributes(value, func(_ uint16, value []byte) { addr, _ = netip.AddrFromSlice(value) })
		case attrCIDR:
			length = int(netlink.Number(value))
		case attrTimeout:
			e.held.Timeout = time.Duration(netlink.Number(value)) * time.Second
		case attrPackets:
			e.held.Packets = netlink.Number(value)
		case attrBytes:
			e.held.Bytes = netlink.Number(value)
		}
	})
	if length < 0 {
		length = addr.BitLen()
	}
	e.prefix = netip.PrefixFrom(addr, length)
	e.held.Present = e.prefix.IsValid()
	return e, e.held.Present
}

// sortedSets gives the sets of a map in the order of their names.
func sortedSets[V any](m map[firewall.Set]V) []firewall.Set {
	sets := make([]firewall.Set, 0, len(m))
	for s := range m {
		sets = append(sets, s)
	}
	slices.SortFunc(sets, func(a, b firewall.Set) int { return strings.Compare(a.String(), b.String()) })
	return sets
}
