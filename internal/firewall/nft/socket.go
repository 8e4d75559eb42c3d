package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

const (
	// sendBuffer is how large one transaction may be; it is a limit, not memory. A million elements
	// need some 40 MB.
	sendBuffer = 256 << 20
	// receiveBuffer takes errors and dumps. With the default, 250 errors in a row overflow it.
	receiveBuffer = 8 << 20
	// datagram is the most that the kernel sends at once for a dump.
	datagram = 64 << 10
)

// socket talks to nf_tables. It has one user at a time.
type socket struct {
	conn *netlink.Socket
	seq  uint32
	in   []byte
	out  []byte // kept for the next batch: a fresh megabyte costs more than a ban
}

func openSocket() (*socket, error) {
	conn, err := netlink.Open(unix.NETLINK_NETFILTER, netlink.Options{SendBuffer: sendBuffer, ReceiveBuffer: receiveBuffer})
	if err != nil {
		return nil, failed("open a netlink socket", err)
	}
	return &socket{conn: conn, seq: 1, in: make([]byte, datagram)}, nil
}

func (s *socket) close() error { return s.conn.Close() }

// transact sends what fill encodes as one transaction. When it returns nil the kernel has committed it;
// after an error nothing of it is in force, unless the error is ENOBUFS.
func (s *socket) transact(fill func(*batch)) error {
	b := newBatch(s.out, s.seq)
	fill(b)
	data := b.finish()
	s.seq += uint32(len(b.ops))
	if cap(data) <= 1<<20 {
		s.out = data
	}
	if err := s.conn.Send(data); err != nil {
		return failed(fmt.Sprintf("send %d bytes to the kernel", len(data)), err)
	}
	// The kernel works while it is sent to: all it has to say is there by now.
	var first *refusal
	for {
		n, err := s.conn.Receive(s.in, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return failed("read the kernel's answer", err)
		}
		err = netlink.Messages(s.in[:n], func(m netlink.Message) error {
			if m.Type == unix.NLMSG_ERROR && m.Seq-b.first < uint32(len(b.ops)) && first == nil {
				first = parseRefusal(m)
			}
			return nil
		})
		if err != nil {
			return failed("read the kernel's answer", err)
		}
	}
	if first != nil {
		return refused(b.ops[first.seq-b.first], first)
	}
	return nil
}

// errStop ends a query early. The socket must not be used any more then.
var errStop = errors.New("enough")

// query asks and hands over every message of the answer.
func (s *socket) query(op string, typ, flags uint16, fill func(*batch), each func(netlink.Message) error) error {
	b := &batch{Encoder: netlink.Encoder{Buf: s.out[:0]}, first: s.seq}
	b.add(op, typ, flags|unix.NLM_F_ACK, fill)
	s.out = b.Buf
	s.seq++
	if err := s.conn.Send(b.Buf); err != nil {
		return failed(op, err)
	}
	for {
		n, err := s.conn.Receive(s.in, 0)
		if err != nil {
			return failed(op, err)
		}
		done := false
		err = netlink.Messages(s.in[:n], func(m netlink.Message) error {
			switch {
			case m.Seq != b.first || done:
			case m.Type == unix.NLMSG_ERROR:
				done = true
				if r := parseRefusal(m); r != nil {
					return refused(op, r)
				}
			case m.Type == unix.NLMSG_DONE:
				done = true
			default:
				return each(m)
			}
			return nil
		})
		if err != nil || done {
			return err
		}
	}
}
