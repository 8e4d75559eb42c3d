package cut

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

func textLog(w io.Writer) *slog.Logger { return slog.New(slog.NewTextHandler(w, nil)) }

// fakeKernel notes when it was asked, and answers with its errors.
type fakeKernel struct {
	began      time.Time
	at         []time.Duration
	bans       []int
	takes      time.Duration // a pass
	sock, flow error
}

func (k *fakeKernel) sockets(m *matcher) (ended, failed int, err error) {
	k.at, k.bans = append(k.at, time.Since(k.began)), append(k.bans, len(m.bans))
	time.Sleep(k.takes)
	return 2, 0, k.sock
}

func (k *fakeKernel) flows(*matcher) (ended, failed int, err error) { return 3, 1, k.flow }

func none() ([]netip.Addr, error) { return nil, nil }

func host(n int) firewall.Ban {
	return firewall.Ban{Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{203, 0, byte(n >> 8), byte(n)}), 32)}
}

func TestBansOfAMomentAreCutTogetherAndAFloodAtMostOnceASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{began: time.Now()}
		c := newCutter(Options{}, k, none)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		synctest.Wait()
		for n := range 350 { // 3.5 seconds
			c.Cut([]firewall.Ban{host(n)})
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Hour)
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []time.Duration{50 * time.Millisecond, 1050 * time.Millisecond, 2050 * time.Millisecond, 3050 * time.Millisecond, 4050 * time.Millisecond}
		if len(k.at) != len(want) {
			t.Fatalf("passes at %v with %v bans", k.at, k.bans)
		}
		total := 0
		for i := range want {
			total += k.bans[i]
			if k.at[i] != want[i] {
				t.Errorf("pass %d came at %v, not %v", i, k.at[i], want[i])
			}
		}
		if st := c.Status(); total != 350 || st.Bans != 350 || st.Sockets != 10 || st.Flows != 15 || st.Failures != 5 || st.Waiting != 0 {
			t.Errorf("%d bans in passes: %+v", total, st)
		}
	})
}

func TestLongPassesLeaveTimeBetweenThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &fakeKernel{began: time.Now(), takes: 2 * time.Second}
		c := newCutter(Options{}, k, none)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.Run(ctx) }()
		for n := range 200 { // 20 seconds
			c.Cut([]firewall.Ban{host(n)})
			time.Sleep(100 * time.Millisecond)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		want := []time.Duration{50 * time.Millisecond, 8050 * time.Millisecond, 16050 * time.Millisecond}
		if !slices.Equal(k.at, want) {
			t.Errorf("passes of two seconds began at %v, not %v", k.at, want)
		}
	})
}

func TestTheQueueIsBoundedAndTheOldestBansGo(t *testing.T) {
	k := &fakeKernel{began: time.Now()}
	c := newCutter(Options{}, k, none)
	first := make([]firewall.Ban, queueMax-1)
	for i := range first {
		first[i] = host(i)
	}
	c.Cut(first)
	c.Cut([]firewall.Ban{ssh("192.0.2.1/32"), ssh("192.0.2.2/32"), ssh("192.0.2.3/32")})
	if st := c.Status(); st.Dropped != 2 || st.Waiting != queueMax {
		t.Errorf("%+v", st)
	}
	if c.queue[0].Prefix != host(2).Prefix || c.queue[queueMax-1].Prefix.String() != "192.0.2.3/32" {
		t.Errorf("from %v to %v", c.queue[0], c.queue[queueMax-1])
	}
	c.Cut(make([]firewall.Ban, queueMax+5))
	if st := c.Status(); st.Dropped != 2+queueMax+5 || st.Waiting != queueMax {
		t.Errorf("%+v", st)
	}
}

func TestSwitchedOffNothingIsCut(t *testing.T) {
	k := &fakeKernel{began: time.Now()}
	c := newCutter(Options{}, k, none)
	c.Cut([]firewall.Ban{host(1)})
	c.Enable(false)
	c.Cut([]firewall.Ban{host(2)})
	c.pass()
	if len(k.at) != 0 || c.Status().Waiting != 0 {
		t.Errorf("%v, %+v", k.at, c.Status())
	}
	c.Enable(true)
	c.Cut([]firewall.Ban{host(3)})
	c.pass()
	if len(k.at) != 1 || k.bans[0] != 1 {
		t.Errorf("%v, %v", k.at, k.bans)
	}
}

func TestFailuresAreToldAndWhatIsMissingIsNoFailure(t *testing.T) {
	var log strings.Builder
	k := &fakeKernel{began: time.Now(), sock: failedTo("end sockets", syscall.EOPNOTSUPP), flow: failedTo("end flows", syscall.ENOBUFS)}
	c := newCutter(Options{Log: textLog(&log)}, k, none)
	for range 3 {
		c.Cut([]firewall.Ban{host(1)})
		c.pass()
	}
	st := c.Status()
	if !errors.Is(st.Err, syscall.ENOBUFS) || errors.Is(st.Err, syscall.EOPNOTSUPP) || len(st.Missing) != 1 || st.Failures != 6 {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d lines:\n%s", n, log.String())
	}
	k.sock, k.flow = nil, nil
	c.Cut([]firewall.Ban{host(1)})
	c.pass()
	if st := c.Status(); st.Err != nil || len(st.Missing) != 0 {
		t.Errorf("when all is well again: %+v", st)
	}
}

func TestWhoIsMeantByABan(t *testing.T) {
	ports := []firewall.PortRange{{First: 22, Last: 22}, {First: 6000, Last: 6010}}
	m := newMatcher([]firewall.Ban{
		ssh("192.0.2.1/32"),
		{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Protocols: []uint8{17}, Ports: []firewall.PortRange{{First: 53, Last: 53}}},
		{Prefix: netip.MustParsePrefix("198.51.100.7/24"), Ports: ports},
		{Prefix: netip.MustParsePrefix("203.0.113.0/24"), Protocols: []uint8{1, 6}, Ports: ports},
		{Prefix: netip.MustParsePrefix("2001:db8::/64")},
		{Prefix: netip.Prefix{}},
	}, []netip.Addr{netip.MustParseAddr("198.51.100.99")})
	for _, c := range []struct {
		peer     string
		protocol uint8
		port     uint16
		want     bool
	}{
		{"192.0.2.1", 6, 22, true},
		{"::ffff:192.0.2.1", 6, 22, true},
		{"192.0.2.1", 6, 23, false},
		{"192.0.2.1", 17, 22, false},
		{"192.0.2.1", 17, 53, true},
		{"192.0.2.2", 6, 22, false},
		{"198.51.100.200", 6, 6005, true},
		{"198.51.100.200", 17, 6010, true},
		{"198.51.100.200", 6, 6011, false},
		{"198.51.100.200", 1, 0, false}, // without protocols, ports mean those that have ports
		{"198.51.100.99", 6, 22, false}, // our own
		{"203.0.113.5", 1, 0, true},
		{"203.0.113.5", 47, 0, false},
		{"2001:db8::5", 6, 1, true},
		{"2001:db8::5", 47, 0, true},
		{"2001:db8:0:1::5", 6, 1, false},
		{"fe80::1%eth0", 6, 22, false},
	} {
		if got := m.match(netip.MustParseAddr(c.peer), c.protocol, c.port); got != c.want {
			t.Errorf("%s, protocol %d, port %d: %v", c.peer, c.protocol, c.port, got)
		}
	}
}

// FuzzAnswer: whatever the kernel says, nothing breaks, and a request names only what was listed.
func FuzzAnswer(f *testing.F) {
	f.Add(make([]byte, 88))
	m := newMatcher([]firewall.Ban{{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, {Prefix: netip.MustParsePrefix("::/0")}}, nil)
	sock := make([]byte, diagAnswer)
	sock[0], sock[24] = syscall.AF_INET, 192
	flow := []byte{2, 0, 0, 0, 36, 0, 1, 0x80, 12, 0, 1, 0x80, 8, 0, 1, 0, 192, 0, 2, 1, 20, 0, 2, 0x80, 5, 0, 1, 0, 6, 0, 0, 0, 6, 0, 3, 0, 0, 22, 0, 0}
	if socketEnd(m, sock) == nil || flowEnd(m, flow) == nil {
		f.Fatal("the seeds are not understood")
	}
	for typ, payload := range map[uint16][]byte{sockDiagByFamily: sock, ctGet: flow} {
		b := begin(typ, 0)
		b.Buf = append(b.Buf, payload...)
		f.Add(finish(b))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = messages(data, func(_ uint16, payload []byte) {
			_ = refusal(payload)
			if r := socketEnd(m, payload); r != nil && len(r) != 16+diagRequest {
				t.Errorf("a request of %d bytes", len(r))
			}
			if r := flowEnd(m, payload); r != nil && (len(r)%4 != 0 || len(r) > len(payload)+24) {
				t.Errorf("a request of %d bytes for a flow of %d", len(r), len(payload))
			}
		})
	})
}
