package packets

import (
	"iter"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// burst is how many packets are sent before it is waited for what became of them: fewer than a
	// kernel's queue between two links holds (1,000).
	burst = 400
	// tries is how often what has not arrived is sent in all, so that a packet lost on the way is no
	// answer.
	tries = 3
	// markerTries and markerWait bound the wait for a marker, which nobody blocks.
	markerTries = 400
	markerWait  = 50 * time.Millisecond

	markerPort = 9
)

// Arrived sends packets, of which any number may be under way at once, and tells where each arrived:
// Nowhere if it was lost three times while everybody else's got through.
func (n *Network) Arrived(tb testing.TB, packets []Packet) []Place {
	tb.Helper()
	first := n.tokens
	n.tokens += uint32(len(packets))
	missing := make([]int, len(packets))
	for i := range packets {
		n.arrive.expect(first+uint32(i), nil)
		missing[i] = i
	}
	arrived := func(i int) bool { return n.arrive.of(first+uint32(i)).count > 0 }
	for range tries {
		for part := range slices.Chunk(missing, burst) {
			// Where a marker is lost, a packet may have been lost with it.
			sound := false
			for again := 0; !sound && again < markerTries; again++ {
				sent := make([]Packet, 0, len(part))
				for _, i := range part {
					if !arrived(i) {
						n.emit(packets[i], packets[i].encode(first+uint32(i)))
						sent = append(sent, packets[i])
					}
				}
				sound = n.settleAll(tb, slices.Values(sent))
			}
		}
		missing = slices.DeleteFunc(missing, arrived)
	}
	out := make([]Place, len(packets))
	for i := range packets {
		out[i] = n.arrive.of(first + uint32(i)).where
		n.arrive.forget(first + uint32(i))
	}
	return out
}

// emit sends one packet. An error is a packet that does not arrive: a firewall may refuse what goes out.
func (n *Network) emit(p Packet, b []byte) {
	if p.From.Is4() {
		_ = unix.Sendto(n.send[p.At][0], b, 0, &unix.SockaddrInet4{Addr: p.To.As4()})
		return
	}
	_ = unix.Sendto(n.send[p.At][1], b, 0, &unix.SockaddrInet6{Addr: p.To.As16()})
}

// markers are packets that go the same ways as p, as far as its end may be, and that nobody blocks. They
// come in by the same sockets.
func markers(p Packet) []Packet {
	choose := func(v4, v6 string) netip.Addr {
		if p.From.Is4() {
			return netip.MustParseAddr(v4)
		}
		return netip.MustParseAddr(v6)
	}
	peers, host, inner := choose(Peers4, Peers6), choose(Host4, Host6), choose(Inner4, Inner6)
	m := Packet{At: p.At, Proto: p.Proto, Port: markerPort}
	ways := [][2]netip.Addr{{peers, host}, {peers, inner}} // the host may pass on what was sent to itself
	switch p.At {
	case Host:
		ways = [][2]netip.Addr{{host, peers}}
	case Inner:
		ways = [][2]netip.Addr{{inner, peers}}
	default:
	}
	var out []Packet
	for _, way := range ways {
		m.From, m.To = way[0], way[1]
		out = append(out, m)
	}
	return out
}

// settleAll waits until what was sent before has arrived or never will. It is true if no marker was lost.
func (n *Network) settleAll(tb testing.TB, packets iter.Seq[Packet]) bool {
	tb.Helper()
	ways := map[Packet]bool{}
	for p := range packets {
		for _, m := range markers(p) {
			ways[m] = true
		}
	}
	sound := true
	for way := range ways {
		sound = n.settle(tb, way) && sound
	}
	return sound
}

// settle waits until a marker has arrived. It is true if the first one did.
func (n *Network) settle(tb testing.TB, m Packet) bool {
	tb.Helper()
	token := n.tokens
	n.tokens++
	news := make(chan struct{})
	n.arrive.expect(token, news)
	defer n.arrive.forget(token)
	b := m.encode(token)
	for i := range markerTries {
		n.emit(m, b)
		select {
		case <-news:
			return i == 0
		case <-time.After(markerWait):
		}
	}
	tb.Fatalf("nothing goes from %s (%s) to %s any more", m.At, m.From, m.To)
	return false
}

// Flood is packets that are sent again and again.
type Flood struct {
	n       *Network
	packets []Packet
	first   uint32 // token
	sent    atomic.Int64
	stop    chan struct{}
	ended   chan struct{}
}

// Flood begins to send packets one after the other, again and again, until Stop: some ten thousand a
// second. It notes none that arrived before.
func (n *Network) Flood(packets ...Packet) *Flood {
	f := &Flood{n: n, packets: packets, first: n.tokens, stop: make(chan struct{}), ended: make(chan struct{})}
	n.tokens += uint32(len(packets))
	frames := make([][]byte, len(packets))
	for i, p := range packets {
		frames[i] = p.encode(f.first + uint32(i))
		n.arrive.expect(f.first+uint32(i), nil)
	}
	go func() {
		defer close(f.ended)
		pause := time.NewTicker(time.Millisecond)
		defer pause.Stop()
		for i := 0; ; {
			for range 32 {
				n.emit(packets[i], frames[i])
				i = (i + 1) % len(packets)
			}
			f.sent.Add(32)
			select {
			case <-pause.C:
			case <-f.stop:
				return
			}
		}
	}()
	return f
}

// Sent tells how many packets were sent so far.
func (f *Flood) Sent() int { return int(f.sent.Load()) }

// Len is how many different packets there are.
func (f *Flood) Len() int { return len(f.packets) }

// Arrived tells how many of the packets with number i arrived so far, and when the last one did.
func (f *Flood) Arrived(i int) (count int, last time.Time) {
	a := f.n.arrive.of(f.first + uint32(i))
	return a.count, a.last
}

// Stop ends the flood and waits for what is under way. It is called once.
func (f *Flood) Stop(tb testing.TB) {
	tb.Helper()
	close(f.stop)
	<-f.ended
	f.n.settleAll(tb, slices.Values(f.packets))
}
