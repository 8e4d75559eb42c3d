package ipset

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

const (
	// sendBuffer is how much goes to the kernel at once at most; it is a limit, not memory.
	sendBuffer = 4 << 20
	// receiveBuffer takes errors and listings. An error about elements echoes all of the message.
	receiveBuffer = 8 << 20
	// datagram is more than the kernel sends at once: such an echo, with 64 KiB of elements.
	datagram = 128 << 10
)

// socket talks to the kernel's netfilter. It has one user at a time.
type socket struct {
	conn *netlink.Socket
	seq  uint32 // of the next message
	in   []byte
	out  []byte // kept for the next message: a fresh one costs more than a ban
}

func openSocket() (*socket, error) {
	conn, err := netlink.Open(unix.NETLINK_NETFILTER, netlink.Options{SendBuffer: sendBuffer, ReceiveBuffer: receiveBuffer})
	if err != nil {
		return nil, failed("open a netlink socket", err)
	}
	return &socket{conn: conn, seq: 1, in: make([]byte, datagram)}, nil
}

func (s *socket) close() error { return s.conn.Close() }

// writer begins messages that go out next.
func (s *socket) writer() *writer { return &writer{netlink.Encoder{Buf: s.out[:0]}, s.seq} }

// send gives the kernel messages, which it works off before send returns, and reads its answers. The first
// refusal is the error, an unix.Errno; messages behind a refused one are worked off nevertheless.
func (s *socket) send(w *writer) error {
	first := s.seq
	s.seq, s.out = w.seq, w.Buf
	if err := s.conn.Send(w.Buf); err != nil {
		return err
	}
	var refused error
	for {
		n, err := s.conn.Receive(s.in, unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return refused
		}
		if err != nil {
			return err
		}
		err = netlink.Messages(s.in[:n], func(m netlink.Message) error {
			if m.Type == unix.NLMSG_ERROR && m.Seq-first < w.seq-first && m.Errno() != 0 && refused == nil {
				refused = m.Errno()
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// errStop ends a query early. The socket must not be used any more then.
var errStop = errors.New("enough")

// query sends one message and hands over every message of the answer.
func (s *socket) query(w *writer, each func(netlink.Message) error) error {
	seq := s.seq
	s.seq, s.out = w.seq, w.Buf
	if err := s.conn.Send(w.Buf); err != nil {
		return err
	}
	for {
		n, err := s.conn.Receive(s.in, 0)
		if err != nil {
			return err
		}
		done := false
		err = netlink.Messages(s.in[:n], func(m netlink.Message) error {
			switch {
			case m.Seq != seq || done:
			case m.Type == unix.NLMSG_ERROR:
				done = true
				if e := m.Errno(); e != 0 {
					return e
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
