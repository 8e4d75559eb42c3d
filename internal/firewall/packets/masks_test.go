package packets_test

import (
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// trial is a test of one backend.
type trial struct {
	t       *testing.T
	network *packets.Network
	backend firewall.Backend
}

// eachKind runs a test for every backend that stops packets.
func eachKind(t *testing.T, f func(x trial)) {
	t.Helper()
	t.Parallel()
	for _, x := range kinds() {
		t.Run(x.name, func(t *testing.T) {
			if packets.Inside(t) {
				f(trial{t, packets.New(t), x.open(t)})
			}
		})
	}
}

func bans(owner string, prefixes ...string) (out []firewall.Wish) {
	for _, p := range prefixes {
		out = append(out, firewall.Wish{Owner: owner, Prefix: netip.MustParsePrefix(p), Until: time.Now().Add(time.Hour)})
	}
	return out
}

func ranges(prefixes ...string) cidr.Ranges {
	var b cidr.Builder
	for _, p := range prefixes {
		b.Add(netip.MustParsePrefix(p))
	}
	return b.Ranges()
}

func synced(t *testing.T, k *firewall.Keeper) {
	t.Helper()
	if err := k.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// from is a SYN from outside to a port of the host.
func from(a string, port uint16) packets.Packet {
	p := packets.Packet{At: packets.Peers, Proto: packets.TCP, From: addr(a), To: addr(packets.Host4), Port: port}
	if p.From.Is6() {
		p.To = addr(packets.Host6)
	}
	return p
}

func TestPacketNetworksKeepTheirMasks(t *testing.T) {
	eachKind(t, func(x trial) {
		t, n, b := x.t, x.network, x.backend
		k, _ := keep(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(22)}, {Owner: "feed:f", Feed: true}})
		k.Submit(bans("jail:sshd", "203.0.113.128/25", "198.51.100.77/24", "2a00:1:2:3::/64", "2a00:2::1/128", "128.0.0.0/9"))
		// The host bits of the first are set: it is 1.2.0.0/20.
		k.Replace("feed:f", ranges("1.2.3.0/20", "2a00:9::/33", "5.6.7.8/31"))
		synced(t, k)
		var cases []wantPlace
		for _, c := range []struct{ first, last string }{
			{"203.0.113.128", "203.0.113.255"},
			{"198.51.100.0", "198.51.100.255"},
			{"2a00:1:2:3::", "2a00:1:2:3:ffff:ffff:ffff:ffff"},
			{"2a00:2::1", "2a00:2::1"},
			{"128.0.0.0", "128.127.255.255"},
			{"1.2.0.0", "1.2.15.255"},
			{"2a00:9::", "2a00:9:7fff:ffff:ffff:ffff:ffff:ffff"},
			{"5.6.7.8", "5.6.7.9"},
		} {
			first, last := addr(c.first), addr(c.last)
			for a, want := range map[netip.Addr]packets.Place{first.Prev(): packets.Host, first: packets.Nowhere, last: packets.Nowhere, last.Next(): packets.Host} {
				if a != addr("127.255.255.255") { // loopback does not come over a wire
					cases = append(cases, wantPlace{from(a.String(), 22), want})
				}
			}
		}
		wantPlaces(t, n, cases...)
	})
}
