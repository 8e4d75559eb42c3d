package packets_test

import (
	"net/netip"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// wantPlaces sends one packet per case and compares where it arrived.
type wantPlace struct {
	packet packets.Packet
	want   packets.Place
}

func wantPlaces(t *testing.T, n *packets.Network, cases ...wantPlace) {
	t.Helper()
	all := make([]packets.Packet, len(cases))
	for i, c := range cases {
		all[i] = c.packet
	}
	for i, got := range n.Arrived(t, all) {
		if p := cases[i].packet; got != cases[i].want {
			t.Errorf("protocol %d from %s (%s) to %s port %d arrived at: %s, want %s", p.Proto, p.At, p.From, p.To, p.Port, got, cases[i].want)
		}
	}
}

func TestPacketNetworkPassesEverythingWithoutAFirewall(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	var cases []wantPlace
	for _, proto := range []uint8{packets.UDP, packets.TCP} {
		add := func(at packets.Place, from, to string, want packets.Place) {
			cases = append(cases, wantPlace{packets.Packet{At: at, Proto: proto, From: addr(from), To: addr(to), Port: 22}, want})
		}
		add(packets.Peers, "1.2.3.4", packets.Host4, packets.Host)
		add(packets.Peers, "10.9.8.7", packets.Inner4, packets.Inner)
		add(packets.Peers, "2a00:1:2::3", packets.Host6, packets.Host)
		add(packets.Peers, "fd00::9", packets.Inner6, packets.Inner)
		add(packets.Host, packets.Host4, "198.18.7.7", packets.Peers)
		add(packets.Host, packets.Host6, "2001:db8:8000::7", packets.Peers)
		add(packets.Inner, packets.Inner4, "198.19.7.7", packets.Peers)
		add(packets.Inner, packets.Inner6, "2001:db8:9000::7", packets.Peers)
		add(packets.Peers, "1.2.3.4", "192.0.2.77", packets.Nowhere) // nobody's address
	}
	wantPlaces(t, n, cases...)
}
