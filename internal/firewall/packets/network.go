package packets

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Place is a machine of the network.
type Place uint8

// The places.
const (
	Nowhere Place = iota
	Peers         // everybody outside
	Host          // has the firewall; its namespace is that of the process
	Inner         // a container; the way to it leads through the host
	places
)

// String names the place.
func (p Place) String() string { return [...]string{"nowhere", "peers", "host", "inner"}[p] }

// The machines' addresses. Those of the peers here are never to be blocked: packets from and to them tell
// a test that all that was sent before has arrived or never will.
const (
	Host4  = "192.0.2.254"
	Host6  = "2001:db8:1::fe"
	Peers4 = "192.0.2.1"
	Peers6 = "2001:db8:1::1"
	Inner4 = "203.0.113.2"
	Inner6 = "2001:db8:3::2"

	// Outside4 and Outside6 are networks all of whose addresses are the peers', for packets that go out.
	Outside4 = "198.18.0.0/15"
	Outside6 = "2001:db8:8000::/34"
)

// Network is the three machines. Their links pass whatever source a packet has.
type Network struct {
	names  [places]netns.NsHandle
	send   [places][2]int // raw sockets for IPv4 and IPv6
	arrive *arrivals
	tokens uint32
}

// New builds the network, in the process that Inside has made. It ends with the test.
func New(tb testing.TB) *Network {
	tb.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	n := &Network{arrive: newArrivals()}
	var err error
	n.names[Host], err = netns.Get()
	must(tb, err)
	n.names[Peers], err = netns.New()
	must(tb, err)
	n.names[Inner], err = netns.New()
	must(tb, err)
	must(tb, netns.Set(n.names[Host]))
	tb.Cleanup(func() { _ = errors.Join(n.names[Host].Close(), n.names[Peers].Close(), n.names[Inner].Close()) })

	for _, p := range []Place{Peers, Host, Inner} {
		n.In(tb, p, func() { err = loosen(p == Host) })
		if err != nil {
			tb.Skipf("this machine does not let its namespaces forward: %v", err)
		}
	}
	n.connect(tb, Peers, "peers", []string{"192.0.2.254/24", "2001:db8:1::fe/64"}, []string{"192.0.2.1/24", "2001:db8:1::1/64"}, true)
	n.connect(tb, Inner, "inner", []string{"203.0.113.254/24", "2001:db8:3::fe/64"}, []string{"203.0.113.2/24", "2001:db8:3::2/64"}, false)
	peers, err := netlink.NewHandleAt(n.names[Peers])
	must(tb, err)
	defer peers.Close()
	lo, err := peers.LinkByName("lo")
	must(tb, err)
	for _, all := range []string{Outside4, Outside6} {
		must(tb, peers.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: ipNet(netip.MustParsePrefix(all)), Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: netlink.SCOPE_HOST}))
	}
	for _, p := range []Place{Peers, Host, Inner} {
		n.In(tb, p, func() { n.listen(tb, p) })
	}
	return n
}

// loosen lets packets pass whatever source they have, and addresses be usable at once.
func loosen(forward bool) error {
	knobs := map[string]string{
		"ipv4/conf/all/rp_filter": "0", "ipv4/conf/default/rp_filter": "0", "ipv6/conf/default/accept_dad": "0",
	}
	if forward {
		knobs["ipv4/ip_forward"], knobs["ipv6/conf/all/forwarding"] = "1", "1"
	}
	for name, value := range knobs {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o600); err != nil {
			return err
		}
	}
	return nil
}

// connect joins a machine to the host, which is its way to everywhere; with gateway it is the host's too.
// Neighbours are made known, so that no packet waits for them.
func (n *Network) connect(tb testing.TB, far Place, name string, near, addrs []string, gateway bool) {
	tb.Helper()
	must(tb, netlink.LinkAdd(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}, PeerName: name + "-far", PeerNamespace: netlink.NsFd(n.names[far])}))
	type end struct {
		handle *netlink.Handle
		link   netlink.Link
		addrs  []string
		way    bool // the other end is the way to everywhere
	}
	var ends [2]end
	for i, e := range []struct {
		place Place
		link  string
		addrs []string
		way   bool
	}{{Host, name, near, gateway}, {far, name + "-far", addrs, true}} {
		h, err := netlink.NewHandleAt(n.names[e.place])
		must(tb, err)
		defer h.Close()
		lo, err := h.LinkByName("lo")
		must(tb, err)
		must(tb, h.LinkSetUp(lo))
		link, err := h.LinkByName(e.link)
		must(tb, err)
		must(tb, h.LinkSetUp(link))
		for _, a := range e.addrs {
			addr, err := netlink.ParseAddr(a)
			must(tb, err)
			addr.Flags = unix.IFA_F_NODAD
			must(tb, h.AddrAdd(link, addr))
		}
		ends[i] = end{h, link, e.addrs, e.way}
	}
	for i, e := range ends {
		other := ends[1-i]
		for _, a := range other.addrs {
			to := netip.MustParsePrefix(a).Addr()
			must(tb, e.handle.NeighSet(&netlink.Neigh{LinkIndex: e.link.Attrs().Index, IP: to.AsSlice(), HardwareAddr: other.link.Attrs().HardwareAddr, State: netlink.NUD_PERMANENT}))
			if e.way {
				must(tb, e.handle.RouteAdd(&netlink.Route{LinkIndex: e.link.Attrs().Index, Gw: to.AsSlice()}))
			}
		}
	}
}

// In runs f on a thread that is at a place, and waits for it; sockets and processes that f makes stay
// there. f must not end the test.
func (n *Network) In(tb testing.TB, p Place, f func()) {
	tb.Helper()
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := netns.Set(n.names[p])
		if err == nil {
			f()
		}
		done <- err
	}()
	must(tb, <-done)
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
