package packets

import (
	"errors"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// arrivals notes which packets have arrived where.
type arrivals struct {
	mu   sync.Mutex // guards seen, and what is in it
	seen map[uint32]*arrival
}

// arrival is what is known of one token.
type arrival struct {
	where Place // last
	count int
	last  time.Time
	news  chan struct{} // closed by the first; nil if nobody waits
}

func newArrivals() *arrivals { return &arrivals{seen: map[uint32]*arrival{}} }

// expect begins to note a token.
func (a *arrivals) expect(token uint32, news chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[token] = &arrival{news: news}
}

func (a *arrivals) note(token uint32, where Place) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.seen[token]
	if s == nil {
		return // of a question that was answered long ago
	}
	if s.count == 0 && s.news != nil {
		close(s.news)
	}
	s.where, s.last = where, time.Now()
	s.count++
}

// of tells what is known of a token.
func (a *arrivals) of(token uint32) arrival {
	a.mu.Lock()
	defer a.mu.Unlock()
	return *a.seen[token]
}

func (a *arrivals) forget(token uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.seen, token)
}

// listen opens the sockets of a place, on a thread that is there: raw ones, which see what has passed the
// firewall on its way to this machine, whether anybody listens on its port or not.
func (n *Network) listen(tb testing.TB, p Place) {
	tb.Helper()
	for i, family := range []int{unix.AF_INET, unix.AF_INET6} {
		out, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			tb.Error(err)
			return
		}
		tb.Cleanup(func() { _ = unix.Close(out) })
		n.send[p][i] = out
		for _, proto := range []uint8{UDP, TCP} {
			in, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(proto))
			if err == nil {
				// As much as one may have; without privilege this is refused, and less will do.
				_ = unix.SetsockoptInt(in, unix.SOL_SOCKET, unix.SO_RCVBUF, 8<<20)
				_ = unix.SetsockoptInt(in, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
				f := os.NewFile(uintptr(in), "raw socket")
				tb.Cleanup(func() { _ = f.Close() })
				go n.receive(f, p, proto, family == unix.AF_INET6)
			}
			if err != nil {
				tb.Error(err)
				return
			}
		}
	}
}

// receive ends when the socket is closed.
func (n *Network) receive(f *os.File, p Place, proto uint8, v6 bool) {
	buf := make([]byte, 2048)
	for {
		l, err := f.Read(buf)
		if err != nil && errors.Is(err, os.ErrClosed) {
			return
		}
		if token, ok := decode(proto, transport(v6, buf[:max(l, 0)])); ok {
			n.arrive.note(token, p)
		}
	}
}
