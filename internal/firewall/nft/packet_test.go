package nft_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// network is three machines: peers (attackers and innocents) - host (with the firewall) - inner (a
// container, reached through the host). Everything runs in this process; the host is its namespace.
type network struct {
	host, peers, inner netns.NsHandle
}

const (
	hostIPv4, hostIPv6   = "192.0.2.254", "2001:db8:1::fe"
	innerIPv4, innerIPv6 = "203.0.113.2", "2001:db8:3::2"
)

// newNetwork builds the network. Every machine listens on TCP ports 22, 80 and 6500, and on UDP 53,
// and answers with a greeting.
func newNetwork(t *testing.T) *network {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n := &network{}
	var err error
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	n.host, err = netns.Get()
	must(err)
	n.peers, err = netns.New()
	must(err)
	n.inner, err = netns.New()
	must(err)
	must(netns.Set(n.host))
	t.Cleanup(func() { _ = errors.Join(n.host.Close(), n.peers.Close(), n.inner.Close()) })

	for _, ns := range []netns.NsHandle{n.host, n.peers, n.inner} {
		// Nobody else has our addresses: they need not be tentative for a second.
		var failure error
		must(n.in(ns, func() {
			failure = os.WriteFile("/proc/sys/net/ipv6/conf/default/accept_dad", []byte("0"), 0o600)
		}))
		must(failure)
	}
	connect := func(name string, far netns.NsHandle, near, addrs []string, via4, via6 string) {
		t.Helper()
		must(netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far", PeerNamespace: netlink.NsFd(far)}))
		here, err := netlink.NewHandleAt(n.host)
		must(err)
		defer here.Close()
		there, err := netlink.NewHandleAt(far)
		must(err)
		defer there.Close()
		for h, what := range map[*netlink.Handle]struct {
			link  string
			addrs []string
		}{here: {name, near}, there: {name + "-far", addrs}} {
			lo, err := h.LinkByName("lo")
			must(err)
			must(h.LinkSetUp(lo))
			link, err := h.LinkByName(what.link)
			must(err)
			must(h.LinkSetUp(link))
			for _, a := range what.addrs {
				addr, err := netlink.ParseAddr(a)
				must(err)
				addr.Flags = unix.IFA_F_NODAD
				must(h.AddrAdd(link, addr))
			}
		}
		link, err := there.LinkByName(name + "-far")
		must(err)
		for _, gw := range []string{via4, via6} {
			must(there.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP(gw)}))
		}
	}
	connect("peers", n.peers,
		[]string{hostIPv4 + "/24", "198.51.100.254/24", hostIPv6 + "/64", "2001:db8:2::fe/64"},
		[]string{"192.0.2.1/24", "192.0.2.2/24", "198.51.100.7/24", "2001:db8:1::1/64", "2001:db8:1::2/64", "2001:db8:2::7/64"},
		hostIPv4, hostIPv6)
	connect("inner", n.inner, []string{"203.0.113.254/24", "2001:db8:3::fe/64"}, []string{innerIPv4 + "/24", innerIPv6 + "/64"}, "203.0.113.254", "2001:db8:3::fe")
	for _, knob := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if err := os.WriteFile(knob, []byte("1"), 0o600); err != nil {
			t.Skipf("this machine does not let its namespaces forward: %v", err)
		}
	}
	for _, ns := range []netns.NsHandle{n.host, n.inner} {
		must(n.in(ns, func() {
			for _, port := range []string{"22", "80", "6500"} {
				serve(t, port)
			}
			serveUDP(t)
		}))
	}
	// Links and neighbours take up to a second to find each other.
	for from, to := range map[string][]string{
		"192.0.2.1": {hostIPv4, innerIPv4}, "192.0.2.2": {hostIPv4, innerIPv4}, "198.51.100.7": {hostIPv4, innerIPv4},
		"2001:db8:1::1": {hostIPv6, innerIPv6}, "2001:db8:1::2": {hostIPv6, innerIPv6}, "2001:db8:2::7": {hostIPv6, innerIPv6},
	} {
		for _, to := range to {
			eventually(t, "the way from "+from+" to "+to, func() bool { return n.try(t, "tcp", from, to, "22", patience) == "open" })
		}
	}
	return n
}

// in runs f on a thread that is in a namespace; sockets that f makes stay there.
func (n *network) in(ns netns.NsHandle, f func()) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := netns.Set(ns)
		if err == nil {
			f()
		}
		done <- err
	}()
	return <-done
}

func serve(t *testing.T, port string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", ":"+port)
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = c.Close() }()
				if _, err := io.WriteString(c, "!"); err == nil {
					_, _ = io.Copy(c, c)
				}
			}()
		}
	}()
}

func serveUDP(t *testing.T) {
	t.Helper()
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp", ":53")
	if err != nil {
		t.Error(err)
		return
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			_, _ = c.WriteTo([]byte("!"), from)
		}
	}()
}

const (
	// patience is how long an answer that will not come is waited for. Within one kernel an answer
	// that does come takes a fraction of a millisecond.
	patience = 300 * time.Millisecond
	// refusalPatience is for refusals: within one kernel the ICMPv6 message for the first SYN comes
	// while connect still holds the socket, which then takes no notice of it until the second, after a
	// second.
	refusalPatience = 4 * time.Second
)

// dial connects from one of the peers' addresses.
func (n *network) dial(t *testing.T, network, from, to, port string, patience time.Duration) (c net.Conn, err error) {
	t.Helper()
	failure := n.in(n.peers, func() {
		d := net.Dialer{Timeout: patience}
		if a := net.ParseIP(from); network == "tcp" {
			d.LocalAddr = &net.TCPAddr{IP: a}
		} else {
			d.LocalAddr = &net.UDPAddr{IP: a}
		}
		c, err = d.DialContext(t.Context(), network, net.JoinHostPort(to, port))
	})
	return c, errors.Join(err, failure)
}

// try tells what a peer meets: open, dropped or rejected.
func (n *network) try(t *testing.T, network, from, to, port string, patience time.Duration) string {
	t.Helper()
	c, err := n.dial(t, network, from, to, port, patience)
	if err == nil {
		defer func() { _ = c.Close() }()
		if network == "udp" {
			_, err = c.Write([]byte("?"))
		}
		if err == nil {
			err = c.SetDeadline(time.Now().Add(patience))
		}
		if err == nil {
			_, err = c.Read(make([]byte, 1))
		}
	}
	var timeout net.Error
	switch {
	case err == nil:
		return "open"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "rejected"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "dropped"
	}
	return err.Error()
}

type attempt struct{ network, from, to, port, want string }

func (n *network) wantAll(t *testing.T, attempts []attempt) {
	t.Helper()
	var all sync.WaitGroup
	defer all.Wait()
	for _, a := range attempts {
		all.Go(func() { n.wantOne(t, a) })
	}
}

func (n *network) wantOne(t *testing.T, a attempt) {
	t.Helper()
	wait := patience
	if a.want == "rejected" {
		wait = refusalPatience
	}
	if got := n.try(t, a.network, a.from, a.to, a.port, wait); got != a.want {
		t.Errorf("%s from %s to %s port %s: %s, want %s", a.network, a.from, a.to, a.port, got, a.want)
	}
}

func TestPacketBansAndNobodyElse(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := newNetwork(t)
	b := open(t, nft.Options{})
	everything := []attempt{
		{"tcp", "192.0.2.1", hostIPv4, "22", "open"},
		{"tcp", "192.0.2.1", innerIPv4, "22", "open"},
		{"udp", "192.0.2.1", hostIPv4, "53", "open"},
		{"tcp", "2001:db8:1::1", hostIPv6, "22", "open"},
		{"tcp", "2001:db8:2::7", innerIPv6, "22", "open"},
		{"tcp", "198.51.100.7", hostIPv4, "6500", "open"},
	}
	n.wantAll(t, everything) // without any firewall, or the test would prove nothing
	lay(t, b, wished(t, scopes(), 0))
	n.wantAll(t, everything) // with one, and nobody banned

	lay(t, b, wished(t, scopes(), 0, "jail:sshd 192.0.2.1", "jail:sshd 2001:db8:1::1", "jail:sshd 198.51.100.0/24", "jail:sshd 2001:db8:2::/64"))
	n.wantAll(t, []attempt{
		{"tcp", "192.0.2.1", hostIPv4, "22", "dropped"},
		{"tcp", "192.0.2.1", innerIPv4, "22", "dropped"}, // forwarded
		{"tcp", "192.0.2.1", hostIPv4, "80", "open"},     // another port
		{"udp", "192.0.2.1", hostIPv4, "53", "open"},     // another protocol
		{"tcp", "192.0.2.2", hostIPv4, "22", "open"},     // another host
		{"tcp", "2001:db8:1::1", hostIPv6, "22", "dropped"},
		{"tcp", "2001:db8:1::1", innerIPv6, "22", "dropped"},
		{"tcp", "2001:db8:1::1", hostIPv6, "80", "open"},
		{"tcp", "2001:db8:1::2", hostIPv6, "22", "open"},
		{"tcp", "198.51.100.7", hostIPv4, "22", "dropped"}, // in a network
		{"tcp", "198.51.100.7", hostIPv4, "80", "open"},
		{"tcp", "2001:db8:2::7", hostIPv6, "22", "dropped"},
		{"tcp", "2001:db8:2::7", hostIPv6, "80", "open"},
	})

	// Reject, ranges, ports that several jails share, other protocols, all ports.
	lay(t, b, wished(t, scopes(), 0, "jail:web 192.0.2.1", "jail:web 2001:db8:1::1", "jail:wide 192.0.2.2", "jail:dns 198.51.100.7", "jail:recidive 2001:db8:2::7"))
	n.wantAll(t, []attempt{
		{"tcp", "192.0.2.1", hostIPv4, "80", "rejected"},
		{"tcp", "192.0.2.1", innerIPv4, "80", "rejected"},
		{"tcp", "192.0.2.1", hostIPv4, "22", "open"},
		{"tcp", "2001:db8:1::1", hostIPv6, "80", "rejected"},
		{"tcp", "2001:db8:1::1", innerIPv6, "80", "rejected"},
		{"tcp", "192.0.2.2", hostIPv4, "22", "dropped"},   // in the range 20-30, through the shared chain
		{"tcp", "192.0.2.2", hostIPv4, "6500", "dropped"}, // in a range that is a rule
		{"tcp", "192.0.2.2", hostIPv4, "80", "open"},
		{"udp", "198.51.100.7", hostIPv4, "53", "dropped"},
		{"udp", "198.51.100.7", innerIPv4, "53", "dropped"},
		{"tcp", "198.51.100.7", hostIPv4, "22", "open"},
		{"tcp", "2001:db8:2::7", hostIPv6, "22", "dropped"},
		{"udp", "2001:db8:2::7", hostIPv6, "53", "dropped"},
		{"udp", "2001:db8:1::2", hostIPv6, "53", "open"},
	})

	lay(t, b, wished(t, scopes(), 0, "jail:alltcp 192.0.2.1"))
	n.wantAll(t, []attempt{
		{"tcp", "192.0.2.1", hostIPv4, "6500", "rejected"},
		{"udp", "192.0.2.1", hostIPv4, "53", "open"},
	})
	udp := []firewall.Scope{{Owner: "jail:u", Protocols: []firewall.Protocol{"udp"}, Ports: ports(53), Verdict: firewall.Reject}}
	lay(t, b, wished(t, udp, 0, "jail:u 192.0.2.1", "jail:u 2001:db8:1::1"))
	n.wantAll(t, []attempt{
		{"udp", "192.0.2.1", hostIPv4, "53", "rejected"},
		{"udp", "2001:db8:1::1", hostIPv6, "53", "rejected"},
		{"udp", "192.0.2.2", hostIPv4, "53", "open"},
	})
	if err := b.Close(false); err != nil {
		t.Fatal(err)
	}
	n.wantAll(t, everything)
}

func TestPacketLoopbackIsNeverClosed(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := newNetwork(t)
	n.peers = n.host // the host talks to itself
	b := open(t, nft.Options{})
	lay(t, b, wished(t, scopes(), 0, "jail:recidive 127.0.0.0/8", "jail:recidive "+hostIPv4, "jail:recidive "+hostIPv6, "jail:recidive ::1"))
	n.wantAll(t, []attempt{
		{"tcp", "127.0.0.1", "127.0.0.1", "22", "open"},
		{"tcp", "::1", "::1", "22", "open"},
		{"tcp", hostIPv4, hostIPv4, "22", "open"},
		{"tcp", hostIPv6, hostIPv6, "22", "open"},
	})
}

// keep runs a Keeper over b until the test ends.
func keep(t *testing.T, b firewall.Backend) *firewall.Keeper {
	t.Helper()
	k := firewall.NewKeeper(b, firewall.KeeperOptions{})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, k.Close(false)); err != nil {
			t.Error(err)
		}
	})
	k.SetScopes(scopes())
	return k
}

func submit(t *testing.T, k *firewall.Keeper, wishes ...firewall.Wish) {
	t.Helper()
	k.Submit(wishes)
	if err := k.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func sshd(p string, d time.Duration) firewall.Wish {
	w := firewall.Wish{Owner: "jail:sshd", Prefix: prefix(p)}
	if d > 0 {
		w.Until = time.Now().Add(d)
	}
	return w
}

// eventually waits for a condition that is true in the end.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(end) {
			t.Fatalf("not within 20 seconds: %s", what)
		}
		runtime.Gosched()
	}
}

func TestPacketTheKernelEndsABanByItself(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := newNetwork(t)
	k := keep(t, open(t, nft.Options{}))
	begin := time.Now()
	submit(t, k, sshd("192.0.2.1", 1500*time.Millisecond), sshd("2001:db8:2::/64", 1500*time.Millisecond), sshd("192.0.2.2", 0))
	n.wantAll(t, []attempt{{"tcp", "192.0.2.1", hostIPv4, "22", "dropped"}, {"tcp", "2001:db8:2::7", hostIPv6, "22", "dropped"}})
	eventually(t, "the ban is over", func() bool {
		return n.try(t, "tcp", "192.0.2.1", hostIPv4, "22", patience) == "open" && n.try(t, "tcp", "2001:db8:2::7", hostIPv6, "22", patience) == "open"
	})
	if took := time.Since(begin); took < 1400*time.Millisecond {
		t.Errorf("the ban ended after %s", took)
	}
	n.wantAll(t, []attempt{{"tcp", "192.0.2.2", hostIPv4, "22", "dropped"}})
	submit(t, k, firewall.Wish{Owner: "jail:sshd", Prefix: prefix("192.0.2.2"), Release: true})
	n.wantAll(t, []attempt{{"tcp", "192.0.2.2", hostIPv4, "22", "open"}})
}

func TestPacketABanCutsWhatIsEstablished(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := newNetwork(t)
	k := keep(t, open(t, nft.Options{}))
	submit(t, k)
	c, err := n.dial(t, "tcp", "192.0.2.1", hostIPv4, "22", patience)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	buf := make([]byte, 10)
	echo := func() error {
		if _, err := c.Write([]byte("hello")); err != nil {
			return err
		}
		if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		_, err := io.ReadFull(c, buf[:5])
		return err
	}
	if _, err := io.ReadFull(c, buf[:1]); err != nil {
		t.Fatal(err)
	}
	if err := echo(); err != nil {
		t.Fatal(err)
	}
	submit(t, k, sshd("192.0.2.1", 0))
	if err := echo(); err == nil {
		t.Error("the connection goes on")
	}
}

func TestPacketFlushByOthersDoesNotOpenTheGate(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := newNetwork(t)
	banned := []attempt{{"tcp", "192.0.2.1", hostIPv4, "22", "dropped"}}
	for _, plain := range []bool{false, true} {
		b := open(t, nft.Options{Plain: plain})
		k := firewall.NewKeeper(b, firewall.KeeperOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- k.Run(ctx) }()
		k.SetScopes(scopes())
		submit(t, k, sshd("192.0.2.1", 0))
		n.wantAll(t, banned)
		if out, err := nftTool(t, "flush", "ruleset"); err != nil {
			t.Log(err, out) // newer ones complain about what they cannot flush
		}
		if !b.Owned() {
			eventually(t, "what was flushed is made anew", func() bool { return k.Status().Rebuilds == 1 && k.Status().Pending == 0 })
		}
		n.wantAll(t, banned)
		if got := k.Status().Rebuilds; b.Owned() && got != 0 {
			t.Errorf("%d rebuilds of a table that nobody can touch", got)
		}
		// A ban after the flush finds its set.
		submit(t, k, sshd("192.0.2.2", 0))
		n.wantAll(t, []attempt{{"tcp", "192.0.2.2", hostIPv4, "22", "dropped"}})
		cancel()
		if err := errors.Join(<-ended, k.Close(false)); err != nil {
			t.Fatal(err)
		}
	}
}

// flood sends datagrams from one address without a pause until stop is called.
func (n *network) flood(t *testing.T, from string, port int) (sent *atomic.Int64, stop func()) {
	t.Helper()
	c, err := n.dial(t, "udp", from, hostIPv4, strconv.Itoa(port), patience)
	if err != nil {
		t.Fatal(err)
	}
	sent = &atomic.Int64{}
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := c.Write([]byte("x")); err == nil {
				sent.Add(1)
			}
		}
	}()
	return sent, func() { close(done); <-ended; _ = c.Close() }
}

func TestPacketNoneSlipsThroughWhileRulesAndOwnersChange(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := newNetwork(t)
	c, err := (&net.ListenConfig{}).ListenPacket(t.Context(), "udp4", ":5000")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	var innocent, leaked atomic.Int64
	go func() {
		buf := make([]byte, 100)
		for {
			_, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if from.(*net.UDPAddr).IP.String() == "192.0.2.1" {
				leaked.Add(1)
			} else {
				innocent.Add(1)
			}
		}
	}()
	scope := func(ports ...firewall.PortRange) []firewall.Scope {
		return []firewall.Scope{{Owner: "jail:u", Protocols: []firewall.Protocol{"udp"}, Ports: ports}}
	}
	// Every table knows nothing of those before, as in another process.
	layout := func(i int) (l *firewall.Table) {
		switch i % 3 {
		case 0:
			l = wished(t, scope(firewall.PortRange{First: 5000, Last: 5000}), time.Hour, "jail:u 192.0.2.1")
		case 1:
			l = wished(t, scope(firewall.PortRange{First: 4000, Last: 6000}), 0, "jail:u 192.0.2.0/31", "jail:u 192.0.2.1")
		case 2:
			l = wished(t, []firewall.Scope{{Owner: "jail:u", AllPorts: true}}, 0, "jail:u 192.0.2.1")
		}
		for w := range many(3000) {
			w.Owner = "jail:u"
			if err := l.Wish(w); err != nil {
				t.Fatal(err)
			}
		}
		return l
	}
	b := open(t, nft.Options{})
	lay(t, b, layout(0))
	sent, stop := n.flood(t, "192.0.2.1", 5000)
	_, stopInnocent := n.flood(t, "198.51.100.7", 5000)
	for i := range 30 {
		l := layout(i)
		lay(t, b, l)
		if i%5 == 4 { // and a restart
			if err := b.Vanish(); err != nil {
				t.Fatal(err)
			}
			b = open(t, nft.Options{})
			if kept, err := taken(b, l.Layout()); err != nil || !kept {
				t.Fatalf("claimed %v, %v", kept, err)
			}
		}
	}
	eventually(t, "an innocent packet arrives", func() bool { return innocent.Load() > 100 && sent.Load() > 100 })
	stop()
	stopInnocent()
	if leaked.Load() != 0 {
		t.Errorf("%d packets of %d slipped through", leaked.Load(), sent.Load())
	}
	t.Logf("%d packets of a banned host sent, %d of an innocent one received", sent.Load(), innocent.Load())
	if err := b.Close(false); err != nil {
		t.Fatal(err)
	}
}
