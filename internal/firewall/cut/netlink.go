package cut

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
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
	fd int
	in []byte
}

func openSocket(protocol int) (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	limit := unix.NsecToTimeval(answerTime.Nanoseconds())
	err = errors.Join(
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit),
		unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}),
	)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("prepare a netlink socket: %w", err), unix.Close(fd))
	}
	// Without it an error echoes all of its request.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return &socket{fd: fd, in: make([]byte, datagram)}, nil
}

// close gives up the socket. That it fails has no consequence; nil is fine.
func (s *socket) close() {
	if s != nil {
		_ = unix.Close(s.fd)
	}
}

func (s *socket) send(data []byte) error {
	err := retry(func() error { return unix.Sendto(s.fd, data, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) })
	if err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	return nil
}

func (s *socket) receive(flags int) (data []byte, err error) {
	err = retry(func() error {
		n, _, err := unix.Recvfrom(s.fd, s.in, flags)
		data = s.in[:max(n, 0)]
		return err
	})
	return data, err
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

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// begin begins a request; finish writes its length.
func begin(typ, flags uint16) []byte {
	b := make([]byte, 4, 160)
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|flags)
	return append(b, 0, 0, 0, 0, 0, 0, 0, 0) // sequence and port: one request at a time needs neither
}

func finish(b []byte) []byte {
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	return b
}

// messages takes a datagram apart.
func messages(data []byte, each func(typ uint16, payload []byte)) error {
	for len(data) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(data))
		if n < unix.SizeofNlMsghdr || n > len(data) {
			return fmt.Errorf("the kernel's answer has a message of %d bytes in %d", n, len(data))
		}
		each(binary.NativeEndian.Uint16(data[4:]), data[unix.SizeofNlMsghdr:n])
		data = data[min((n+3)&^3, len(data)):]
	}
	return nil
}

// refusal is the error of an answer, nil if there is none.
func refusal(payload []byte) error {
	if len(payload) < 4 {
		return nil
	}
	if errno := -int32(binary.NativeEndian.Uint32(payload)); errno > 0 {
		return fmt.Errorf("the kernel refuses: %w", unix.Errno(errno))
	}
	return nil
}

// attributes takes a list of attributes apart; what is malformed ends it. Whole is the attribute with its
// header.
func attributes(data []byte, each func(typ uint16, value, whole []byte)) {
	for len(data) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(data))
		if n < unix.SizeofNlAttr || n > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofNlAttr:n], data[:n])
		data = data[min((n+3)&^3, len(data)):]
	}
}

// attribute finds the first attribute of a type, nil if there is none.
func attribute(data []byte, want uint16) (found []byte) {
	attributes(data, func(typ uint16, value, _ []byte) {
		if typ == want && found == nil {
			found = value
		}
	})
	return found
}

func appendPadded(b, attr []byte) []byte {
	b = append(b, attr...)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}
