package cut

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

const (
	// datagram is the most that the kernel sends at once for a dump.
	datagram = 64 << 10
	// answerTime is how long the kernel may take for one datagram.
	answerTime = 5 * time.Second
	// maxDatagrams bounds an answer: some millions of sockets or flows.
	maxDatagrams = 1_000_000
	// atOnce is how many requests are sent together. Each that fails leaves an answer in the receive
	// buffer, which by default overflows above some 250.
	atOnce = 128
)

var (
	// errEnough says that the rest of an answer was not read.
	errEnough  = errors.New("enough is known")
	errTooMuch = errors.New("the kernel's answer does not end")
)

// lackError says what this kernel, or this process, cannot do.
type lackError struct {
	op   string
	err  error
	hint string
}

func (e *lackError) Error() string { return fmt.Sprintf("%s: %v (%s)", e.op, e.err, e.hint) }

func (e *lackError) Unwrap() error { return e.err }

// failedTo names what failed, and tells what is missing from what went wrong.
func failedTo(op string, err error) error {
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return &lackError{op, err, "run as root, or with the capability CAP_NET_ADMIN"}
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EPROTONOSUPPORT), errors.Is(err, unix.EINVAL), errors.Is(err, unix.ENOENT):
		return &lackError{op, err, "the kernel has no module for it; bans hold all the same"}
	}
	return fmt.Errorf("%s: %w", op, err)
}

// socket talks to the kernel. It has one user at a time, and is not used again after an error of ask: the
// rest of the answer may still be on its way.
type socket struct {
	conn *netlink.Socket
	in   []byte
}

func openSocket(protocol int) (*socket, error) {
	conn, err := netlink.Open(protocol, netlink.Options{Patience: answerTime})
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	return &socket{conn: conn, in: make([]byte, datagram)}, nil
}

// close gives up the socket. That it fails has no consequence; nil is fine.
func (s *socket) close() {
	if s != nil {
		_ = s.conn.Close()
	}
}

func (s *socket) send(data []byte) error {
	if err := s.conn.Send(data); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	return nil
}

func (s *socket) receive(flags int) (data []byte, err error) {
	n, err := s.conn.Receive(s.in, flags)
	return s.in[:max(n, 0)], err
}

// ask asks for a list and hands over its messages without their headers, until each is false: then the
// error is errEnough.
func (s *socket) ask(request []byte, each func(payload []byte) bool) error {
	if err := s.send(request); err != nil {
		return err
	}
	for range maxDatagrams {
		data, err := s.receive(0)
		if err != nil {
			return fmt.Errorf("read the kernel's answer: %w", err)
		}
		var result error
		done := false
		err = messages(data, func(typ uint16, payload []byte) {
			switch {
			case done:
			case typ == unix.NLMSG_DONE || typ == unix.NLMSG_ERROR:
				done, result = true, refusal(payload)
			case !each(payload):
				done, result = true, errEnough
			}
		})
		if err != nil || done {
			return errors.Join(err, result)
		}
	}
	return errTooMuch
}

// tell sends requests that are answered by errors alone: what is gone already is no error.
func (s *socket) tell(requests [][]byte) (done, failed int, err error) {
	for len(requests) > 0 {
		n := min(len(requests), atOnce)
		var batch []byte
		for _, r := range requests[:n] {
			batch = append(batch, r...)
		}
		requests = requests[n:]
		if err := s.send(batch); err != nil {
			return done, failed, err
		}
		done += n
		// The kernel works while it is sent to: all it has to say is there by now.
		for {
			data, err := s.receive(unix.MSG_DONTWAIT)
			if errors.Is(err, unix.EAGAIN) {
				break
			}
			if err != nil {
				return done, failed, fmt.Errorf("read the kernel's answer: %w", err)
			}
			var lack error
			err = messages(data, func(typ uint16, payload []byte) {
				err := refusal(payload)
				if typ != unix.NLMSG_ERROR || err == nil {
					return
				}
				done--
				switch {
				case errors.Is(err, unix.ENOENT): // gone by itself
				case errors.Is(err, unix.EPERM), errors.Is(err, unix.EOPNOTSUPP):
					lack = err
				default:
					failed++
				}
			})
			if err = errors.Join(err, lack); err != nil {
				return done, failed, err
			}
		}
	}
	return done, failed, nil
}

// begin begins a request; finish writes its length. One request at a time needs no sequence.
func begin(typ, flags uint16) *netlink.Encoder {
	e := &netlink.Encoder{Buf: make([]byte, 0, 160)}
	e.Begin(typ, flags, 0)
	return e
}

func finish(e *netlink.Encoder) []byte {
	e.End(0)
	return e.Buf
}

// messages takes a datagram apart.
func messages(data []byte, each func(typ uint16, payload []byte)) error {
	return netlink.Messages(data, func(m netlink.Message) error {
		each(m.Type, m.Payload)
		return nil
	})
}

// refusal is the error of an answer, nil if there is none.
func refusal(payload []byte) error {
	m := netlink.Message{Payload: payload}
	if errno := m.Errno(); errno != 0 && len(payload) >= 4 {
		return fmt.Errorf("the kernel refuses: %w", errno)
	}
	return nil
}
