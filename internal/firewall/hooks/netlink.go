package hooks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
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
	fd  int
	seq uint32
	in  []byte
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
	return &socket{fd: fd, in: make([]byte, datagram)}, nil
}

func (s *socket) close() error { return os.NewSyscallError("close", unix.Close(s.fd)) }

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
	b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(request)))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = binary.NativeEndian.AppendUint16(b, unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	b = binary.NativeEndian.AppendUint32(b, s.seq)
	b = binary.NativeEndian.AppendUint32(b, 0) // port: the kernel knows
	b = append(b, request...)
	if err := retry(func() error { return unix.Sendto(s.fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}) }); err != nil {
		return fmt.Errorf("ask the kernel: %w", err)
	}
	total := 0
	for range maxDatagrams {
		var n int
		err := retry(func() (err error) {
			n, _, err = unix.Recvfrom(s.fd, s.in, 0)
			return err
		})
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

func retry(f func() error) error {
	for {
		if err := f(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// messages takes a datagram apart, and tells whether it ends the answer to seq.
func messages(data []byte, seq uint32, each func(payload []byte)) (done bool, err error) {
	for len(data) >= unix.SizeofNlMsghdr {
		n := int(binary.NativeEndian.Uint32(data))
		if n < unix.SizeofNlMsghdr || n > len(data) {
			return true, fmt.Errorf("the kernel's answer has a message of %d bytes in %d", n, len(data))
		}
		payload := data[unix.SizeofNlMsghdr:n]
		if binary.NativeEndian.Uint32(data[8:]) == seq {
			switch binary.NativeEndian.Uint16(data[4:]) {
			case unix.NLMSG_DONE:
				return true, refusal(payload)
			case unix.NLMSG_ERROR:
				return true, refusal(payload)
			default:
				each(payload)
			}
		}
		data = data[min((n+3)&^3, len(data)):]
	}
	return false, nil
}

// refusal is the error at the end of an answer, nil if there is none.
func refusal(payload []byte) error {
	if len(payload) < 4 {
		return nil
	}
	if errno := -int32(binary.NativeEndian.Uint32(payload)); errno > 0 {
		return fmt.Errorf("the kernel refuses: %w", unix.Errno(errno))
	}
	return nil
}

// attributes takes a list of attributes apart; what is malformed ends it.
func attributes(data []byte, each func(typ uint16, value []byte)) {
	for len(data) >= unix.SizeofNlAttr {
		n := int(binary.NativeEndian.Uint16(data))
		if n < unix.SizeofNlAttr || n > len(data) {
			return
		}
		each(binary.NativeEndian.Uint16(data[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), data[unix.SizeofNlAttr:n])
		data = data[min((n+3)&^3, len(data)):]
	}
}

// attribute finds the first attribute of a type, nil if there is none; further types lead into it.
func attribute(data []byte, path ...uint16) (found []byte) {
	for _, want := range path {
		found = nil
		attributes(data, func(typ uint16, value []byte) {
			if typ == want && found == nil {
				found = value
			}
		})
		data = found
	}
	return found
}

func appendText(b []byte, typ uint16, s string) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(s)+1))
	b = binary.NativeEndian.AppendUint16(b, typ)
	b = append(append(b, s...), 0)
	for len(b)%unix.NLA_ALIGNTO != 0 {
		b = append(b, 0)
	}
	return b
}

func text(value []byte) string {
	for i, c := range value {
		if c == 0 {
			return string(value[:i])
		}
	}
	return string(value)
}

// big reads a number of nf_tables, 0 if it is none.
func big(value []byte) uint32 {
	if len(value) != 4 {
		return 0
	}
	return binary.BigEndian.Uint32(value)
}

// native reads a number of links and tc at an offset, 0 if there is none.
func native(value []byte, offset int) uint32 {
	if len(value) < offset+4 {
		return 0
	}
	return binary.NativeEndian.Uint32(value[offset:])
}
