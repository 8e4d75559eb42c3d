package cut

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// patience is how long something may take that happens at once on an idle machine.
const patience = 20 * time.Second

// pair is one connection seen from both ends.
type pair struct{ client, server net.Conn }

// world is a host whose flows are tracked, with servers, and peers of any address outside.
type world struct {
	*packets.Network
	listeners map[string]net.Listener
}

func newWorld(t *testing.T, addresses ...string) *world {
	t.Helper()
	w := &world{packets.New(t), map[string]net.Listener{}}
	track := exec.CommandContext(t.Context(), "nft", "add table inet tracked; add chain inet tracked in { type filter hook input priority 0; }; add rule inet tracked in ct state established accept")
	if out, err := track.CombinedOutput(); err != nil {
		t.Skipf("no nft to have flows tracked: %v: %s", err, out)
	}
	w.In(t, packets.Host, func() {
		for _, a := range addresses {
			network := "tcp"
			if host, _, _ := net.SplitHostPort(a); host != "" && netip.MustParseAddr(host).Is4() {
				network = "tcp4"
			}
			var c net.ListenConfig
			c.SetMultipathTCP(false)
			l, err := c.Listen(t.Context(), network, a)
			if err != nil {
				t.Errorf("listen at %s: %v", a, err)
				continue
			}
			t.Cleanup(func() { _ = l.Close() })
			w.listeners[a] = l
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	return w
}

// open connects a peer to a listener; at is the address that it dials.
func (w *world) open(t *testing.T, from, at, listener string) pair {
	t.Helper()
	return w.accepted(t, w.dial(t, packets.Peers, from, at), listener)
}

// dial connects from a place; from is the address to have there, or empty. Routes to new addresses may
// take a moment to stand.
func (w *world) dial(t *testing.T, place packets.Place, from, at string) (c net.Conn) {
	t.Helper()
	d := net.Dialer{Timeout: time.Second, KeepAlive: -1, Control: borrow}
	if from != "" {
		d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
	}
	var err error
	w.In(t, place, func() {
		for end := time.Now().Add(patience); ; {
			c, err = d.DialContext(t.Context(), "tcp", at)
			if err == nil || time.Now().After(end) {
				return
			}
		}
	})
	if err != nil {
		t.Fatalf("%s to %s: %v", from, at, err)
	}
	return c
}

// accepted takes the other end of a connection.
func (w *world) accepted(t *testing.T, client net.Conn, listener string) pair {
	t.Helper()
	p := pair{client: client}
	var err error
	if p.server, err = w.listeners[listener].Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = p.client.Close(), p.server.Close() })
	return p
}

// borrow lets a socket have an address that is routed here and that no device has.
func borrow(_, _ string, c syscall.RawConn) error {
	var failed error
	err := c.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_FREEBIND, 1)
	})
	return errors.Join(err, failed)
}

// ends wants both ends to fail.
func (p pair) ends(t *testing.T) {
	t.Helper()
	for name, c := range map[string]net.Conn{"server": p.server, "client": p.client} {
		_ = c.SetReadDeadline(time.Now().Add(patience))
		_, err := c.Read(make([]byte, 1))
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v: the %s's end lives on: %v", p.client.LocalAddr(), name, err)
		}
	}
}

// lives wants both ends to work.
func (p pair) lives(t *testing.T) {
	t.Helper()
	for _, way := range [][2]net.Conn{{p.client, p.server}, {p.server, p.client}} {
		_ = way[1].SetReadDeadline(time.Now().Add(patience))
		if _, err := way[0].Write([]byte("x")); err != nil {
			t.Errorf("%v: %v", p.client.LocalAddr(), err)
			return
		}
		if _, err := way[1].Read(make([]byte, 1)); err != nil {
			t.Errorf("%v: %v", p.client.LocalAddr(), err)
			return
		}
	}
}

// tracked counts conntrack's flows from a prefix, by another program's eyes.
func tracked(t *testing.T, from string) (n int) {
	t.Helper()
	p := netip.MustParsePrefix(from)
	fam := netlink.InetFamily(unix.AF_INET)
	if p.Addr().Is6() {
		fam = unix.AF_INET6
	}
	flows, err := netlink.ConntrackTableList(netlink.ConntrackTable, fam)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range flows {
		if a, ok := netip.AddrFromSlice(f.Forward.SrcIP); ok && p.Contains(a.Unmap()) {
			n++
		}
	}
	return n
}

func ssh(prefix string) firewall.Ban {
	return firewall.Ban{Prefix: netip.MustParsePrefix(prefix), Protocols: []uint8{6}, Ports: []firewall.PortRange{{First: 22, Last: 22}}}
}

// cut runs a Cutter until it has cut bans.
func cut(t *testing.T, bans ...firewall.Ban) Status {
	t.Helper()
	c := New(Options{})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx) }()
	c.Cut(bans)
	for end := time.Now().Add(patience); c.Status().Passes == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("nothing was cut")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	return c.Status()
}

func TestKernelABanEndsWhatIsOpenOnItsPortsAlone(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	w := newWorld(t, ":22", ":2222", "192.0.2.254:23")
	banned4 := w.open(t, "198.18.0.1", "192.0.2.254:22", ":22") // an IPv4 peer of a socket of both families
	banned6 := w.open(t, "2001:db8:8000::1", "[2001:db8:1::fe]:22", ":22")
	netted := []pair{
		w.open(t, "198.18.7.1", "192.0.2.254:22", ":22"), w.open(t, "198.18.7.250", "192.0.2.254:22", ":22"),
		w.open(t, "2001:db8:8007::9", "[2001:db8:1::fe]:22", ":22"),
	}
	plain := w.open(t, "198.18.0.9", "192.0.2.254:23", "192.0.2.254:23")
	others := []pair{
		w.open(t, "198.18.0.1", "192.0.2.254:2222", ":2222"),
		w.open(t, "2001:db8:8000::1", "[2001:db8:1::fe]:2222", ":2222"),
		w.open(t, "198.18.0.2", "192.0.2.254:22", ":22"),
		w.open(t, "198.18.8.1", "192.0.2.254:22", ":22"),
		w.open(t, "2001:db8:8000::2", "[2001:db8:1::fe]:22", ":22"),
	}
	if n := tracked(t, "198.18.0.1/32"); n != 2 {
		t.Fatalf("%d flows of the banned address are tracked before the ban, not 2", n)
	}

	st := cut(t, ssh("198.18.0.1/32"), ssh("2001:db8:8000::1/128"), ssh("198.18.7.0/24"), ssh("2001:db8:8007::/64"),
		firewall.Ban{Prefix: netip.MustParsePrefix("198.18.0.9/32")})
	if st.Sockets != 6 || st.Flows < 6 || st.Bans != 5 || st.Failures != 0 || st.Err != nil || len(st.Missing) != 0 {
		t.Errorf("the status after 6 connections: %+v", st)
	}
	for _, p := range append(netted, banned4, banned6, plain) {
		p.ends(t)
	}
	for _, p := range others {
		p.lives(t)
	}
	for from, want := range map[string]int{
		"198.18.0.1/32": 1, "198.18.0.9/32": 0, "198.18.7.0/24": 0, "198.18.0.2/32": 1, "198.18.8.1/32": 1,
		"2001:db8:8000::1/128": 1, "2001:db8:8007::/64": 0, "2001:db8:8000::2/128": 1,
	} {
		if n := tracked(t, from); n != want {
			t.Errorf("%d flows from %s are tracked after the ban, not %d", n, from, want)
		}
	}
}

func TestKernelWhatWeOpenedOurselvesLivesUnlessEveryPortIsClosed(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	w := newWorld(t)
	var l net.Listener
	var err error
	w.In(t, packets.Peers, func() { l, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", "198.18.0.1:22") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	w.listeners["outside"] = l
	p := w.accepted(t, w.dial(t, packets.Host, "", "198.18.0.1:22"), "outside")
	if st := cut(t, ssh("198.18.0.1/32")); st.Sockets+st.Flows != 0 {
		t.Errorf("a ban of port 22 ended a connection to somebody else's port 22: %+v", st)
	}
	p.lives(t)
	if st := cut(t, firewall.Ban{Prefix: netip.MustParsePrefix("198.18.0.1/32")}); st.Sockets != 1 {
		t.Errorf("a ban of every port left the socket: %+v", st)
	}
	p.ends(t)
}

func TestKernelLoopbackAndOurOwnAddressesAreNeverCut(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	w := newWorld(t, ":22")
	var all []pair
	for _, at := range []string{"127.0.0.1:22", "[::1]:22", "192.0.2.254:22", "[2001:db8:1::fe]:22"} {
		all = append(all, w.accepted(t, w.dial(t, packets.Host, "", at), ":22"))
	}
	banned := w.open(t, "192.0.2.1", "192.0.2.254:22", ":22") // beside our own address
	st := cut(t, firewall.Ban{Prefix: netip.MustParsePrefix("0.0.0.0/0")}, firewall.Ban{Prefix: netip.MustParsePrefix("::/0")})
	if st.Sockets != 1 {
		t.Errorf("%d sockets were ended, not 1: %+v", st.Sockets, st)
	}
	banned.ends(t)
	for _, p := range all {
		p.lives(t)
	}
}

func TestKernelThousandsOfConnectionsOfABannedNetworkEndInOnePass(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	const n = 2000
	w := newWorld(t, ":22")
	pairs := make([]pair, 0, n)
	for i := range n {
		pairs = append(pairs, w.open(t, fmt.Sprintf("198.18.%d.%d", i/250, 1+i%250), "192.0.2.254:22", ":22"))
	}
	bystander := w.open(t, "198.19.0.1", "192.0.2.254:22", ":22")
	if got := tracked(t, "198.18.0.0/16"); got != n {
		t.Fatalf("%d flows are tracked, not %d", got, n)
	}
	began := time.Now()
	st := cut(t, ssh("198.18.0.0/16"))
	t.Logf("%d connections: %v", n, time.Since(began)-gather)
	if st.Sockets != n || st.Flows < n || st.Passes != 1 || st.Failures != 0 {
		t.Errorf("%+v", st)
	}
	for _, p := range pairs {
		p.ends(t)
	}
	bystander.lives(t)
	if got := tracked(t, "198.18.0.0/16"); got != 0 {
		t.Errorf("%d flows are left", got)
	}
}

func TestKernelMoreThanThereIsRoomToNoteIsEndedInRounds(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	w := newWorld(t, ":22")
	var pairs []pair
	for i := range 50 {
		pairs = append(pairs, w.open(t, fmt.Sprintf("198.18.0.%d", 1+i), "192.0.2.254:22", ":22"))
	}
	bystander := w.open(t, "198.18.1.1", "192.0.2.254:22", ":22")
	c := newCutter(Options{}, netlinkKernel{room: 20}, ownAddresses)
	c.Cut([]firewall.Ban{ssh("198.18.0.0/24")})
	c.pass()
	if st := c.Status(); st.Sockets != 50 || st.Flows < 50 || st.Failures != 0 || st.Err != nil {
		t.Errorf("%+v", st)
	}
	for _, p := range pairs {
		p.ends(t)
	}
	bystander.lives(t)
}

// TestKernelPublishedPortsOfContainersAreMeantAsDialled: the peer dials port 8080 of the host, which is
// port 80 of a container.
func TestKernelPublishedPortsOfContainersAreMeantAsDialled(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	w := newWorld(t)
	nat := exec.CommandContext(t.Context(), "nft", "add table ip published; add chain ip published pre { type nat hook prerouting priority -100; }; add rule ip published pre tcp dport 8080 dnat to 203.0.113.2:80")
	if out, err := nat.CombinedOutput(); err != nil {
		t.Skipf("no address translation here: %v: %s", err, out)
	}
	var l net.Listener
	var err error
	w.In(t, packets.Inner, func() { l, err = new(net.ListenConfig).Listen(t.Context(), "tcp4", ":80") })
	if err != nil {
		t.Fatal(err)
	}
	w.listeners["inner"] = l
	w.open(t, "198.18.0.1", "192.0.2.254:8080", "inner")
	w.open(t, "198.18.0.2", "192.0.2.254:8080", "inner")
	port := func(n uint16) []firewall.Ban {
		return []firewall.Ban{{Prefix: netip.MustParsePrefix("198.18.0.1/32"), Protocols: []uint8{6}, Ports: []firewall.PortRange{{First: n, Last: n}}}}
	}
	if st := cut(t, port(80)...); st.Flows != 0 {
		t.Errorf("a ban of port 80 ended what was dialled at 8080: %+v", st)
	}
	// Nobody drops packets here, so a late acknowledgement of the peer's can begin a flow once more.
	for try := 0; ; try++ {
		st := cut(t, port(8080)...)
		left := tracked(t, "198.18.0.1/32")
		if left > 0 && try < 10 {
			continue
		}
		if try == 0 && st.Flows == 0 || left > 0 || tracked(t, "198.18.0.2/32") != 1 {
			t.Errorf("after a ban of port 8080 %d flows are left: %+v", left, st)
		}
		break
	}
}

func TestKernelWithoutPrivilegeItIsSaidOnceWhatIsMissing(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	w := newWorld(t, ":22")
	p := w.open(t, "198.18.0.1", "192.0.2.254:22", ":22")
	var st Status
	done := make(chan struct{})
	var log strings.Builder
	w.In(t, packets.Host, func() { // on a thread that ends with it
		defer close(done)
		head := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		none := make([]unix.CapUserData, 2)
		if err := unix.Capset(&head, &none[0]); err != nil {
			t.Error(err)
			return
		}
		c := New(Options{Log: textLog(&log)})
		for range 2 {
			c.Cut([]firewall.Ban{ssh("198.18.0.1/32")})
			c.pass()
		}
		st = c.Status()
	})
	<-done
	if len(st.Missing) != 2 || st.Sockets+st.Flows != 0 || st.Err != nil || !strings.Contains(strings.Join(st.Missing, ""), "CAP_NET_ADMIN") {
		t.Errorf("%+v", st)
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("what is missing was told in %d lines, not once each:\n%s", n, log.String())
	}
	p.lives(t)
}
