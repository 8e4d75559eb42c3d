package hooks

import (
	"net"
	"net/netip"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// from is a packet of somebody outside to one of the machines.
func from(source, to string) packets.Packet {
	return packets.Packet{At: packets.Peers, Proto: packets.UDP, From: netip.MustParseAddr(source), To: netip.MustParseAddr(to), Port: 53}
}

// arrives compares where a banned address's packet and a stranger's arrive.
func arrives(t *testing.T, n *packets.Network, when, to string, banned, stranger packets.Place) {
	t.Helper()
	got := n.Arrived(t, []packets.Packet{from("1.2.3.4", to), from("5.6.7.8", to)})
	if got[0] != banned || got[1] != stranger {
		t.Errorf("%s: a banned packet arrives at %s, another at %s; want %s and %s", when, got[0], got[1], banned, stranger)
	}
}

func TestPacketAcceptedBeforeUsInNftablesIsStillDropped(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	run(t, "nft", "add table inet palisade; add chain inet palisade prerouting { type filter hook prerouting priority -300; }; add rule inet palisade prerouting ip saddr 1.2.3.4 drop")
	run(t, "nft", "add table ip early; add chain ip early c { type filter hook prerouting priority -400; }; add rule ip early c accept")
	run(t, "nft", `add table netdev dev; add chain netdev dev in { type filter hook ingress device "peers" priority 0; }; add rule netdev dev in accept`)
	run(t, "iptables-nft", "-t", "raw", "-I", "PREROUTING", "-j", "ACCEPT")
	run(t, "iptables-legacy", "-t", "raw", "-I", "PREROUTING", "-j", "ACCEPT")
	arrives(t, n, "with accepts in front", packets.Host4, packets.Nowhere, packets.Host)
	want(t, look(t), nil)
}

func TestPacketAcceptedInFrontOfOurChainOfIptablesPassesBy(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	for _, tool := range []string{"iptables-nft", "iptables-legacy"} {
		rule := func(args ...string) { run(t, append([]string{tool, "-t", "raw"}, args...)...) }
		rule("-N", "PALISADE")
		rule("-A", "PALISADE", "-s", "1.2.3.4", "-j", "DROP")
		rule("-A", "PREROUTING", "-j", "PALISADE")
		rule("-A", "PREROUTING", "-j", "ACCEPT")
		arrives(t, n, tool+" with an accept behind", packets.Host4, packets.Nowhere, packets.Host)
		want(t, look(t), nil)
		rule("-I", "PREROUTING", "-p", "udp", "-j", "RETURN")
		arrives(t, n, tool+" with a return in front", packets.Host4, packets.Host, packets.Host)
		want(t, look(t), nil, "in chain PREROUTING of iptables's table raw ("+tool+"), RETURN before our rules")
		rule("-F")
		rule("-X")
	}
}

func TestPacketRedirectedAtItsDevicePassesBy(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	run(t, "nft", "add table inet palisade; add chain inet palisade prerouting { type filter hook prerouting priority -300; }; add rule inet palisade prerouting ip saddr 1.2.3.4 drop")
	arrives(t, n, "routed", packets.Inner4, packets.Nowhere, packets.Inner)
	// What is redirected keeps the hardware address of the host, as which the container then has to answer.
	host, err := net.InterfaceByName("peers")
	if err != nil {
		t.Fatal(err)
	}
	n.In(t, packets.Inner, func() {
		if out, failure := command(t, "ip", "link", "set", "inner-far", "address", host.HardwareAddr.String()); failure != nil {
			t.Errorf("%v: %s", failure, out)
		}
	})
	run(t, "tc", "qdisc", "add", "dev", "peers", "clsact")
	run(t, "tc", "filter", "add", "dev", "peers", "ingress", "protocol", "ip", "u32", "match", "ip", "dst", packets.Inner4, "action", "mirred", "egress", "redirect", "dev", "inner")
	arrives(t, n, "redirected", packets.Inner4, packets.Inner, packets.Inner)
	want(t, look(t), nil, "tc filter u32 on peers sends packets straight out of inner")
}
