package ipset_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// packet writes a packet shortly.
func packet(at packets.Place, proto uint8, from, to string, port uint16) packets.Packet {
	return packets.Packet{At: at, Proto: proto, From: netip.MustParseAddr(from), To: netip.MustParseAddr(to), Port: port}
}

func TestPacketsMeetTheGroupsTheyBelongTo(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			ports := firewall.Group{Name: "tcp.many.drop", Protocols: []uint8{6}, Ports: []firewall.PortRange{{First: 6000, Last: 6010}}}
			for p := uint16(100); p < 130; p += 2 { // more than one rule takes
				ports.Ports = append(ports.Ports, firewall.PortRange{First: p, Last: p})
			}
			udp := firewall.Group{Name: "udp.reject", Protocols: []uint8{17}, Verdict: firewall.Reject}
			l := layoutOf(
				t, []firewall.Group{all, udp, ssh, ports, feed, logs}, "all.drop.v4", "all.drop.v4-1", "all.drop.v6-64", "udp.reject.v4",
				"tcp.22.drop.hits.v4", "tcp.22.drop.hits.v6", "tcp.many.drop.v4-24", "feed.drop.both.v4", "feed.drop.both.v4-24.b", "feed.drop.both.v6-48", "feed.log.v4",
			)
			b := open(t, o)
			lay(
				t, b, l, add(t, "all.drop.v4", "1.0.0.1/32", time.Hour), add(t, "all.drop.v4-1", "128.0.0.0/1", time.Hour),
				add(t, "all.drop.v6-64", "2a00:1::/64", time.Hour), add(t, "udp.reject.v4", "1.0.0.2/32", time.Hour),
				add(t, "tcp.22.drop.hits.v4", "1.0.0.3/32", time.Hour), add(t, "tcp.22.drop.hits.v6", "2a00:2::3/128", time.Hour),
				add(t, "tcp.many.drop.v4-24", "1.0.4.0/24", time.Hour), add(t, "feed.drop.both.v4", "1.0.0.5/32", 0),
				add(t, "feed.drop.both.v4-24.b", "198.18.6.0/24", 0), add(t, "feed.drop.both.v6-48", "2001:db8:8000::/48", 0), add(t, "feed.log.v4", "1.0.0.6/32", 0),
			)
			// The peers are in 128.0.0.0/1, and are needed to see that packets get through.
			cases := []struct {
				packet packets.Packet
				passes packets.Place
			}{
				{packet(packets.Peers, packets.TCP, "1.0.0.1", packets.Host4, 22), packets.Nowhere},
				{packet(packets.Peers, packets.UDP, "1.0.0.1", packets.Inner4, 53), packets.Nowhere},
				{packet(packets.Peers, packets.UDP, "2a00:1::77", packets.Inner6, 53), packets.Nowhere},
				{packet(packets.Peers, packets.UDP, "2a00:1:0:1::77", packets.Inner6, 53), packets.Inner},
				{packet(packets.Peers, packets.UDP, "1.0.0.2", packets.Host4, 53), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "1.0.0.2", packets.Host4, 53), packets.Host},
				{packet(packets.Peers, packets.TCP, "1.0.0.3", packets.Host4, 22), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "1.0.0.3", packets.Inner4, 22), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "1.0.0.3", packets.Host4, 23), packets.Host},
				{packet(packets.Peers, packets.UDP, "1.0.0.3", packets.Host4, 22), packets.Host},
				{packet(packets.Peers, packets.TCP, "2a00:2::3", packets.Host6, 22), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "2a00:2::3", packets.Host6, 80), packets.Host},
				{packet(packets.Peers, packets.TCP, "1.0.4.77", packets.Host4, 100), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "1.0.4.77", packets.Host4, 128), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "1.0.4.77", packets.Host4, 6010), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "1.0.4.77", packets.Host4, 6011), packets.Host},
				{packet(packets.Peers, packets.TCP, "1.0.4.77", packets.Host4, 101), packets.Host},
				{packet(packets.Peers, packets.TCP, "1.0.0.5", packets.Host4, 80), packets.Nowhere},
				{packet(packets.Peers, packets.TCP, "198.18.6.1", packets.Host4, 80), packets.Nowhere},
				{packet(packets.Host, packets.TCP, packets.Host4, "198.18.6.1", 80), packets.Nowhere},
				{packet(packets.Host, packets.TCP, packets.Host4, "198.18.7.1", 80), packets.Peers},
				{packet(packets.Inner, packets.UDP, packets.Inner4, "198.18.6.1", 80), packets.Nowhere},
				{packet(packets.Inner, packets.UDP, packets.Inner4, "198.18.7.1", 80), packets.Peers},
				{packet(packets.Host, packets.TCP, packets.Host6, "2001:db8:8000::5", 80), packets.Nowhere},
				{packet(packets.Inner, packets.TCP, packets.Inner6, "2001:db8:8000::5", 80), packets.Nowhere},
				{packet(packets.Inner, packets.TCP, packets.Inner6, "2001:db8:8001::5", 80), packets.Peers},
				{packet(packets.Peers, packets.TCP, "1.0.0.6", packets.Host4, 80), packets.Host},
				{packet(packets.Peers, packets.TCP, "1.0.0.7", packets.Host4, 80), packets.Host},
			}
			must(t, b.Apply([]firewall.Change{remove(t, "all.drop.v4-1", "128.0.0.0/1"), add(t, "all.drop.v4-1", "0.0.0.0/1", time.Second)}))
			list := make([]packets.Packet, len(cases))
			for i, c := range cases {
				list[i] = c.packet
			}
			s, half := set(t, "all.drop.v4-1"), []netip.Prefix{netip.MustParsePrefix("0.0.0.0/1")}
			for {
				held, err := b.Probe(s, half)
				must(t, err)
				if !held[0].Present {
					break
				}
				if got := n.Arrived(t, []packets.Packet{packet(packets.Peers, packets.TCP, "1.0.0.7", packets.Host4, 80)}); got[0] != packets.Nowhere {
					if held, err = b.Probe(s, half); err == nil && held[0].Timeout > 0 {
						t.Error("a packet from a half of all addresses gets through")
					}
				}
			}
			for i, got := range n.Arrived(t, list) {
				if p := cases[i].packet; got != cases[i].passes {
					t.Errorf("protocol %d from %s (%s) to %s port %d arrived: %s, want %s", p.Proto, p.At, p.From, p.To, p.Port, got, cases[i].passes)
				}
			}
			held, err := b.Probe(set(t, "tcp.22.drop.hits.v4"), []netip.Prefix{netip.MustParsePrefix("1.0.0.3/32")})
			must(t, err)
			if held[0].Packets < 2 || held[0].Bytes < 80 || held[0].Timeout == 0 {
				t.Errorf("the kernel has counted %+v", held[0])
			}
			must(t, b.Close(false))
			for i, got := range n.Arrived(t, list) {
				if got == packets.Nowhere {
					t.Errorf("packet %d is still stopped", i)
				}
			}
		})
	}
}

func TestPacketNoneOfABannedSourceSlipsThroughWhileRulesChange(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			udp := firewall.Group{Name: "udp.9.drop", Protocols: []uint8{17}, Ports: []firewall.PortRange{{First: 4000, Last: 4000}, {First: 5000, Last: 5000}}}
			layouts := []struct {
				layout   firewall.Layout
				contents []firewall.Change
			}{
				{layoutOf(t, []firewall.Group{all}, "all.drop.v4", "all.drop.v6"), []firewall.Change{
					add(t, "all.drop.v4", "1.0.0.1/32", time.Hour), add(t, "all.drop.v6", "2a00:1::1/128", time.Hour),
				}},
				{layoutOf(t, []firewall.Group{all, udp}, "udp.9.drop.v4-24", "udp.9.drop.v6-64", "all.drop.v4-8"), []firewall.Change{
					add(t, "udp.9.drop.v4-24", "1.0.0.0/24", time.Hour), add(t, "udp.9.drop.v6-64", "2a00:1::/64", time.Hour),
				}},
				{layoutOf(t, []firewall.Group{feed}, "feed.drop.both.v4.b", "feed.drop.both.v6-48.b"), []firewall.Change{
					add(t, "feed.drop.both.v4.b", "1.0.0.1/32", 0), add(t, "feed.drop.both.v6-48.b", "2a00:1::/48", 0),
				}},
			}
			lay(t, b, layouts[0].layout, layouts[0].contents...)
			flood := n.Flood(
				packet(packets.Peers, packets.UDP, "1.0.0.1", packets.Host4, 5000), packet(packets.Peers, packets.UDP, "2a00:1::1", packets.Inner6, 5000),
				packet(packets.Peers, packets.UDP, "1.0.0.2", packets.Inner4, 9), packet(packets.Peers, packets.UDP, "2a00:2::1", packets.Host6, 9),
			)
			for i := range 50 {
				next := layouts[(i+1)%len(layouts)]
				if i%10 == 9 { // and a restart
					must(t, b.Close(true))
					b = open(t, o)
				}
				lay(t, b, next.layout, next.contents...)
			}
			flood.Stop(t)
			for i := range flood.Len() {
				count, _ := flood.Arrived(i)
				if banned := i < 2; banned && count > 0 || !banned && count == 0 {
					t.Errorf("%d packets of number %d have arrived, of %d in all", count, i, flood.Sent())
				}
			}
			t.Logf("%d packets sent", flood.Sent())
			must(t, b.Close(false))
		})
	}
}
