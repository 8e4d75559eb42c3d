package packets_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// era is a time between two starts of a keeper.
type era struct {
	k    *firewall.Keeper
	stop context.CancelFunc
	done chan error
}

// begin starts a keeper that knows from the start what is wished.
func begin(b firewall.Backend, wished func(*firewall.Keeper)) era {
	k := firewall.NewKeeper(b, firewall.KeeperOptions{})
	wished(k)
	ctx, stop := context.WithCancel(context.Background())
	e := era{k, stop, make(chan error, 1)}
	go func() { e.done <- k.Run(ctx) }()
	return e
}

func (e era) end(t *testing.T, keep bool) {
	t.Helper()
	e.stop()
	if err := errors.Join(<-e.done, e.k.Close(keep)); err != nil {
		t.Error(err)
	}
}

// many are n hosts and some networks of several lengths, which do not touch the addresses of this file.
func (d dice) many(n int) (out []netip.Prefix) {
	for i := range n {
		a := netip.AddrFrom4([4]byte{20, byte(d.IntN(16)), byte(d.IntN(256)), byte(d.IntN(256))})
		bits := 32
		if i%10 == 0 {
			bits = 22 + d.IntN(10)
		}
		out = append(out, netip.PrefixFrom(a, bits))
	}
	return out
}

// TestPacketNoneComesInWhileEverythingChanges floods the host from addresses that are closed all the time,
// by turns by a ban, by a feed, by both, as a host or as part of a network, while all else changes: feeds
// grow and shrink by orders of magnitude, owners come and go, groups change their ports, the keeper ends
// and another takes over.
func TestPacketNoneComesInWhileEverythingChanges(t *testing.T) {
	t.Parallel()
	for _, x := range kinds() {
		t.Run(x.name, func(t *testing.T) {
			if !packets.Inside(t) {
				return
			}
			n, seed := packets.New(t), rand.Uint64()
			t.Logf("seed %d", seed)
			d := dice{rand.New(rand.NewPCG(seed, 4))}
			const always4, always6, sometimes, innocent = "1.1.1.1", "2a00:1::1", "1.1.9.9", "9.9.9.9"
			scopes := func(extra ...firewall.Scope) []firewall.Scope {
				return append(extra, firewall.Scope{Owner: "jail:all", AllPorts: true}, firewall.Scope{Owner: "feed:f", Feed: true}, firewall.Scope{Owner: "feed:g", Feed: true, Both: true})
			}
			tell := func(k *firewall.Keeper, s []firewall.Scope, banned bool, f, g []netip.Prefix) {
				k.SetScopes(s)
				hosts := bans("jail:all", always4+"/32", "2a00:1::/64")
				if !banned {
					for i := range hosts {
						hosts[i].Release = true
					}
				}
				k.Replace("feed:f", cidr.Of(f...))
				k.Replace("feed:g", cidr.Of(g...))
				k.Submit(hosts)
			}
			both := []netip.Prefix{netip.MustParsePrefix("1.1.1.0/28"), netip.MustParsePrefix(always6 + "/128")}
			e := begin(x.open(t), func(k *firewall.Keeper) { tell(k, scopes(), true, nil, nil) })
			defer func() { e.end(t, false) }()
			synced(t, e.k)
			f := n.Flood(from(always4, 22), from(always6, 80), from(innocent, 22))
			none := func(when string) {
				t.Helper()
				for i, who := range []string{always4, always6} {
					if c, _ := f.Arrived(i); c > 0 {
						t.Fatalf("%s: %d packets from %s of %d sent came in", when, c, who, f.Sent())
					}
				}
			}
			for round := range 12 {
				extra := []firewall.Scope{{Owner: fmt.Sprintf("jail:%d", round), Protocols: []firewall.Protocol{"tcp"}, Ports: ports(uint16(100 + round))}}
				if round%3 == 0 {
					extra = nil
				}
				size := []int{10, 300, 9000, 0}[d.IntN(4)]
				contents := slices.Concat(both, d.many(size), []netip.Prefix{netip.MustParsePrefix(sometimes + "/32")}[:d.IntN(2)])
				tell(e.k, scopes(extra...), true, contents, d.many(size/10)) // a feed takes them in as well
				if d.IntN(2) == 0 {
					synced(t, e.k)
					tell(e.k, scopes(extra...), false, contents, nil) // and then holds them alone
					synced(t, e.k)
					none("only in a feed")
				}
				if d.IntN(3) == 0 {
					synced(t, e.k)
					e.end(t, true)
					e = begin(x.open(t), func(k *firewall.Keeper) { tell(k, scopes(extra...), true, contents, d.many(size/10)) })
				}
				synced(t, e.k)
				tell(e.k, scopes(extra...), true, contents, nil)
				synced(t, e.k)
				tell(e.k, scopes(extra...), true, d.many(size), nil) // only banned again
				synced(t, e.k)
				none(fmt.Sprintf("round %d", round))
			}
			waitFor(t, "an innocent packet arrives", func() bool { c, _ := f.Arrived(2); return c > 100 })
			f.Stop(t)
			none("in the end")
			t.Logf("%d packets sent", f.Sent())
			wantPlaces(t, n, wantPlace{from(sometimes, 22), packets.Host}, wantPlace{from(innocent, 22), packets.Host}, wantPlace{from(always4, 22), packets.Nowhere})
		})
	}
}

// TestPacketAFeedThatGrowsFindsRoom takes a feed over its first size by orders of magnitude, and back.
func TestPacketAFeedThatGrowsFindsRoom(t *testing.T) {
	eachKind(t, func(x trial) {
		t, n, b := x.t, x.network, x.backend
		log := &notebook{}
		k, _ := keep(t, b, firewall.KeeperOptions{Log: log.logger()})
		k.SetScopes([]firewall.Scope{{Owner: "feed:f", Feed: true}})
		hosts := func(count int) (out []netip.Prefix) {
			for i := range count {
				out = append(out, netip.PrefixFrom(netip.AddrFrom4([4]byte{20, byte(2 * i >> 16), byte(2 * i >> 8), byte(2 * i)}), 32))
			}
			return out
		}
		for _, size := range []int{1, 70_000, 10, 3000, 200_000, 0, 5} {
			contents := hosts(size)
			begin := time.Now()
			k.Replace("feed:f", cidr.Of(contents...))
			synced(t, k)
			t.Logf("%d entries after %s", size, time.Since(begin).Round(time.Millisecond))
			var cases []wantPlace
			for i := range min(size, 300) {
				a := contents[i*(size/min(size, 300))].Addr()
				cases = append(cases, wantPlace{from(a.String(), 22), packets.Nowhere}, wantPlace{from(a.Next().String(), 22), packets.Host})
			}
			cases = append(cases, wantPlace{from("20.200.0.0", 22), packets.Host})
			wantPlaces(t, n, cases...)
		}
		if alarms := log.alarms(); len(alarms) > 0 {
			t.Errorf("%q", alarms)
		}
	})
}
