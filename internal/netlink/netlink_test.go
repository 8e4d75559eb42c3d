package netlink_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

// seen takes everything apart that can be, and counts what there was.
func seen(data []byte) (messages, values int, err error) {
	err = netlink.Messages(data, func(m netlink.Message) error {
		messages++
		_ = m.Errno()
		netlink.Attributes(m.Body(), func(_ uint16, value []byte) {
			values++
			_, _ = netlink.Text(value), netlink.Number(value)
			netlink.Attributes(value, func(uint16, []byte) { values++ })
		})
		return nil
	})
	return messages, values, err
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	var e netlink.Encoder
	first := e.BeginNetfilter(7, unix.NLM_F_ACK, 42, unix.AF_INET, 3)
	e.Text(1, "a name")
	e.Bytes(2, 1, 2, 3)
	outer := e.Nest(3)
	e.U32(4, 5)
	e.U64(5, 1<<40)
	e.EndNest(outer)
	e.End(first)
	second := e.Begin(9, 0, 43)
	e.End(second)

	var got []netlink.Message
	if err := netlink.Messages(e.Buf, func(m netlink.Message) error { got = append(got, m); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Type != 7 || got[0].Seq != 42 || got[0].Flags != unix.NLM_F_ACK|unix.NLM_F_REQUEST || got[1].Type != 9 || got[1].Seq != 43 {
		t.Fatalf("%+v", got)
	}
	if !bytes.Equal(got[0].Payload[:4], []byte{unix.AF_INET, unix.NFNETLINK_V0, 0, 3}) {
		t.Errorf("header %v", got[0].Payload[:4])
	}
	body := got[0].Body()
	if s := netlink.Text(netlink.Attribute(body, 1)); s != "a name" {
		t.Errorf("text %q", s)
	}
	if b := netlink.Attribute(body, 2); !bytes.Equal(b, []byte{1, 2, 3}) {
		t.Errorf("bytes %v", b)
	}
	if n, m := netlink.Number(netlink.Attribute(body, 3, 4)), netlink.Number(netlink.Attribute(body, 3, 5)); n != 5 || m != 1<<40 {
		t.Errorf("numbers %d, %d", n, m)
	}
	if netlink.Attribute(body, 6) != nil || netlink.Attribute(body, 1, 6) != nil {
		t.Error("an attribute that is not there was found")
	}
}

func TestWhatIsMalformedEndsIt(t *testing.T) {
	var e netlink.Encoder
	o := e.BeginNetfilter(7, 0, 1, 0, 0)
	e.Text(1, "x")
	e.Text(2, "y")
	e.End(o)
	whole := e.Buf
	if m, v, err := seen(whole); m != 1 || v != 2 || err != nil {
		t.Fatal(m, v, err)
	}
	long := bytes.Clone(whole)
	long[0]++ // the message says that it is longer than the datagram
	if m, _, err := seen(long); m != 0 || err == nil {
		t.Errorf("%d messages, %v", m, err)
	}
	short := bytes.Clone(whole)
	short[0] = 3 // shorter than its own header
	if m, _, err := seen(short); m != 0 || err == nil {
		t.Errorf("%d messages, %v", m, err)
	}
	attribute := bytes.Clone(whole)
	attribute[20] = 3
	if m, v, err := seen(attribute); m != 1 || v != 0 || err != nil {
		t.Errorf("%d messages with %d attributes, %v", m, v, err)
	}
	stop := errors.New("enough")
	if err := netlink.Messages(whole, func(netlink.Message) error { return stop }); !errors.Is(err, stop) {
		t.Error(err)
	}
}

func TestAnErrorOfTheKernelHasItsNumber(t *testing.T) {
	for _, c := range []struct {
		payload []byte
		want    unix.Errno
	}{{[]byte{0, 0, 0, 0}, 0}, {[]byte{0xff, 0xff, 0xff, 0xff}, unix.EPERM}, {[]byte{1}, unix.EBADMSG}, {nil, unix.EBADMSG}} {
		if got := (netlink.Message{Payload: c.payload}).Errno(); got != c.want {
			t.Errorf("%v: %d, want %d", c.payload, got, c.want)
		}
	}
}

// TestTheKernelAnswers asks for the loopback device, which everybody may.
func TestTheKernelAnswers(t *testing.T) {
	s, err := netlink.Open(unix.NETLINK_ROUTE, netlink.Options{SendBuffer: 1 << 16, ReceiveBuffer: 1 << 16, Patience: 10 * time.Second})
	if err != nil {
		t.Skip(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	in := make([]byte, 64<<10)
	if _, err := s.Receive(in, unix.MSG_DONTWAIT); !errors.Is(err, unix.EAGAIN) {
		t.Errorf("before anything was asked: %v", err)
	}
	if err := s.SetSendBuffer(8 << 10); err != nil {
		t.Error(err)
	}
	var e netlink.Encoder
	o := e.Begin(unix.RTM_GETLINK, unix.NLM_F_DUMP, 5)
	e.Buf = append(e.Buf, make([]byte, unix.SizeofIfInfomsg)...)
	e.End(o)
	if err := s.Send(e.Buf); err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for done := false; !done; {
		n, err := s.Receive(in, 0)
		if err != nil {
			t.Fatal(err)
		}
		err = netlink.Messages(in[:n], func(m netlink.Message) error {
			done = done || m.Type == unix.NLMSG_DONE
			if m.Type == unix.RTM_NEWLINK && m.Seq == 5 {
				names[netlink.Text(netlink.Attribute(m.Payload[unix.SizeofIfInfomsg:], unix.IFLA_IFNAME))] = true
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if !names["lo"] {
		t.Errorf("devices %v", names)
	}
}

func FuzzMessages(f *testing.F) {
	var e netlink.Encoder
	o := e.BeginNetfilter(7, 0, 1, 0, 0)
	e.Text(1, "x")
	e.EndNest(e.Nest(2))
	e.End(o)
	f.Add(e.Buf)
	f.Fuzz(func(t *testing.T, data []byte) {
		messages, values, _ := seen(data)
		if messages*unix.SizeofNlMsghdr > len(data) || values*unix.SizeofNlAttr > 2*len(data) {
			t.Errorf("%d messages and %d attributes in %d bytes", messages, values, len(data))
		}
	})
}
