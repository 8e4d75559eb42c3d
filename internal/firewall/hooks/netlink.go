package hooks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

const (
	// datagram is the most that the kernel sends at once for a dump.
	datagram = 64 << 10
	// maxAnswer is how much of one answer is read, in bytes; a rule takes some 300.
	maxAnswer = 32 << 20
	// answerTime is how long the kernel may take for one datagram.
	answerTime = 5 * time.Second
	// maxDatagrams bounds an answer whose datagrams are small.
	maxDatagrams = 100_000
)

// errTooMuch says that an answer is longer than we read.
var errTooMuch = errors.New("there is too much of it")

// socket asks the kernel for lists. It has one user at a time, and is not used again after an error: the
// rest of the answer may still be on its way.
type socket struct {
	conn *netlink.Socket
	seq  uint32
	in   []byte
}

func openSocket(protocol int) (*socket, error) {
	conn, err := netlink.Open(protocol, netlink.Options{Patience: answerTime})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &socket{conn: conn, in: make([]byte, datagram)}, nil
}

func (s *socket) close() error { return s.conn.Close() }

// ask opens a socket for one list, hands over its messages without their headers, and closes it.
func ask(protocol int, typ uint16, request []byte, each func(payload []byte)) error {
	s, err := openSocket(protocol)
	if err != nil {
		return err
	}
	return errors.Join(s.dump(typ, request, each), s.close())
}

// dump asks for a list.
func (s *socket) dump(typ uint16, request []byte, each func(payload []byte)) error {
	s.seq++
	var e netlink.Encoder
	o := e.Begin(typ, unix.NLM_F_DUMP, s.seq)
	e.Buf = append(e.Buf, request...)
	e.End(o)
	if err := s.conn.Send(e.Buf); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	total := 0
	for range maxDatagrams {
		n, err := s.conn.Receive(s.in, 0)
		if err != nil {
			return fmt.Errorf("read the kernel's answer: %w", err)
		}
		if total += n; total > maxAnswer {
			return errTooMuch
		}
		done, err := messages(s.in[:n], s.seq, each)
		if err != nil || done {
			return err
		}
	}
	return errTooMuch
}

// messages takes a datagram apart, and tells whether it ends the answer to seq.
func messages(data []byte, seq uint32, each func(payload []byte)) (done bool, err error) {
	err = netlink.Messages(data, func(m netlink.Message) error {
		switch {
		case done || m.Seq != seq:
		case m.Type == unix.NLMSG_DONE || m.Type == unix.NLMSG_ERROR:
			done = true
			if errno := m.Errno(); errno != 0 && len(m.Payload) >= 4 {
				return fmt.Errorf("the kernel refuses: %w", errno)
			}
		default:
			each(m.Payload)
		}
		return nil
	})
	return done || err != nil, err
}

func appendText(b []byte, typ uint16, s string) []byte {
	e := netlink.Encoder{Buf: b}
	e.Text(typ, s)
	return e.Buf
}

// big reads a number of nf_tables, 0 if it is none.
func big(value []byte) uint32 { return uint32(netlink.Number(value)) }

// native reads a number of links and tc at an offset, 0 if there is none.
func native(value []byte, offset int) uint32 {
	if len(value) < offset+4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value[offset:])
}
