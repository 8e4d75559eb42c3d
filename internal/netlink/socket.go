package netlink

import (
	"errors"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Options are the settings of a Socket; the zero value leaves the kernel's.
type Options struct {
	// SendBuffer is how many bytes go to the kernel at once at most, ReceiveBuffer how many may wait to be
	// read. They are limits, not memory. Without privilege it is less.
	SendBuffer, ReceiveBuffer int
	// Patience is how long Receive waits for one datagram; 0 is for ever.
	Patience time.Duration
}

// Socket carries messages. It has one user at a time.
type Socket struct{ fd int }

// Open makes a socket for a protocol, as unix.NETLINK_NETFILTER.
func Open(protocol int, o Options) (*Socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	s := &Socket{fd}
	s.limit(unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, o.SendBuffer)
	s.limit(unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, o.ReceiveBuffer)
	// Without these an error echoes all of its message, and says less.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	if o.Patience > 0 {
		t := unix.NsecToTimeval(o.Patience.Nanoseconds())
		err = os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &t))
	}
	if err = errors.Join(err, os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}))); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// limit sets the size of a buffer, by force where we may.
func (s *Socket) limit(force, plain, n int) {
	if n > 0 && unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, force, n) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, plain, n)
	}
}

// Close gives the socket up.
func (s *Socket) Close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

// Send gives messages to the kernel, which has worked them off when it returns.
func (s *Socket) Send(data []byte) error {
	for {
		err := unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// Receive reads a datagram into a buffer. The error is EAGAIN if there is none in time, or at once with
// unix.MSG_DONTWAIT.
func (s *Socket) Receive(into []byte, flags int) (int, error) {
	for {
		n, _, err := unix.Recvfrom(s.fd, into, flags)
		if !errors.Is(err, unix.EINTR) {
			return n, err
		}
	}
}

// SetSendBuffer makes the send buffer as small as somebody without privilege has it, or smaller.
func (s *Socket) SetSendBuffer(n int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n))
}
