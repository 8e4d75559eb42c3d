package nft

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
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
	fd  int
	seq uint32
	in  []byte
	out []byte // kept for the next batch: a fresh megabyte costs more than a ban
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
	// Without these an error echoes all of the message, and says less.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		_ = unix.Close(fd)
		return nil, failed("bind a netlink socket", err)
	}
	return &socket{fd: fd, seq: 1, in: make([]byte, datagram)}, nil
}

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

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
	if err := s.send(data); err != nil {
		return failed(fmt.Sprintf("send %d bytes to the kernel", len(data)), err)
	}
	// The kernel works while it is sent to: all it has to say is there by now.
	var first *refusal
	for {
		n, err := s.receive(unix.MSG_DONTWAIT)
		if errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil {
			return failed("read the kernel's answer", err)
		}
		err = messages(s.in[:n], func(m message) error {
			if m.typ == unix.NLMSG_ERROR && m.seq-b.first < uint32(len(b.ops)) && first == nil {
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

func (s *socket) send(data []byte) error {
	for {
		err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *socket) receive(flags int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, s.in, flags)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// errStop ends a query early. The socket must not be used any more then.
var errStop = errors.New("enough")

// query asks and hands over every message of the answer.
func (s *socket) query(op string, typ, flags uint16, fill func(*batch), each func(message) error) error {
	b := &batch{buf: s.out[:0], first: s.seq}
	b.add(op, typ, flags|unix.NLM_F_ACK, fill)
	s.out = b.buf
	s.seq++
	if err := s.send(b.buf); err != nil {
		return failed(op, err)
	}
	for {
		n, err := s.receive(0)
		if err != nil {
			return failed(op, err)
		}
		done := false
		err = messages(s.in[:n], func(m message) error {
			switch {
			case m.seq != b.first || done:
			case m.typ == unix.NLMSG_ERROR:
				done = true
				if r := parseRefusal(m); r != nil {
					return refused(op, r)
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
