package ipset

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
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
	fd  int
	seq uint32 // of the next message
	in  []byte
	out []byte // kept for the next message: a fresh one costs more than a ban
}

func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, failed("open a netlink socket", err)
	}
	// Without the privilege for FORCE the smaller buffers must do.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	// Without it most errors echo all of the message.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, failed("bind a netlink socket", err)
	}
	return &socket{fd: fd, seq: 1, in: make([]byte, datagram)}, nil
}

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// writer begins messages that go out next.
func (s *socket) writer() *writer { return &writer{buf: s.out[:0], seq: s.seq} }

// send gives the kernel messages, which it works off before send returns, and reads its answers. The first
// refusal is the error, an unix.Errno; messages behind a refused one are worked off nevertheless.
func (s *socket) send(w *writer) error {
	first := s.seq
	s.seq, s.out = w.seq, w.buf
	if err := s.write(w.buf); err != nil {
		return err
	}
	var refused error
	for {
		n, err := s.read(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			return refused
		}
		if err != nil {
			return err
		}
		err = messages(s.in[:n], func(m message) error {
			if m.typ == unix.NLMSG_ERROR && m.seq-first < w.seq-first && m.errno() != 0 && refused == nil {
				refused = m.errno()
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
func (s *socket) query(w *writer, each func(message) error) error {
	seq := s.seq
	s.seq, s.out = w.seq, w.buf
	if err := s.write(w.buf); err != nil {
		return err
	}
	for {
		n, err := s.read(0)
		if err != nil {
			return err
		}
		done := false
		err = messages(s.in[:n], func(m message) error {
			switch {
			case m.seq != seq || done:
			case m.typ == unix.NLMSG_ERROR:
				done = true
				if e := m.errno(); e != 0 {
					return e
				}
			case m.typ == unix.NLMSG_DONE:
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

func (s *socket) write(data []byte) error {
	for {
		err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *socket) read(flags int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.in, flags)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}
