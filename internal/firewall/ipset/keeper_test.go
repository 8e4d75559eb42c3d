package ipset_test

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// keep runs a Keeper with a backend of its own until stop is called, which leaves all in force if it should.
func keep(t *testing.T, o ipset.Options, scopes ...firewall.Scope) (k *firewall.Keeper, stop func(keep bool)) {
	t.Helper()
	k = firewall.NewKeeper(open(t, o), firewall.KeeperOptions{})
	k.SetScopes(scopes)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	return k, func(keep bool) {
		t.Helper()
		cancel()
		must(t, <-ended)
		must(t, k.Close(keep))
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// network gives a host or network of a number.
func network(i, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{byte(20 + i>>20), byte(i >> 12), byte(i >> 4), byte(i<<4) & 0xf0}), bits)
}

// right waits until the kernel holds exactly what is wished, so many bans and some feed.
func right(t *testing.T, k *firewall.Keeper, when string, bans int) {
	t.Helper()
	var v firewall.Verification
	eventually(t, when+": exactly what is wished is held", func() bool {
		var err error
		v, err = k.Verify(t.Context(), nil)
		must(t, err)
		return v.Right() && v.Held == v.Wanted
	})
	for _, s := range k.Status().Sets {
		if strings.HasPrefix(s.Name, "tcp.22.") && !strings.Contains(s.Name, ".v6") && s.Count != bans {
			t.Errorf("%s: %d bans are held, want %d", when, s.Count, bans)
		}
	}
	if v.Wanted < bans+20_000 {
		t.Errorf("%s: only %d elements are wished", when, v.Wanted)
	}
}

func TestKeeperHoldsBansAndFeedsThroughRestartsAndDamage(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			scopes := []firewall.Scope{
				{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 22, Last: 22}}, Counted: true},
				{Owner: "feed:bad", Feed: true, Both: true},
			}
			wishes := make([]firewall.Wish, 500)
			for i := range wishes {
				wishes[i] = firewall.Wish{Owner: "jail:sshd", Prefix: network(i, 32), Until: time.Now().Add(time.Hour)}
			}
			list := cidr.Builder{}
			for i := range 30_000 {
				list.Add(network(i, 32))
			}
			for i := range 1000 {
				list.Add(network(1<<20+i<<4, 24))
			}
			list.Add(netip.MustParsePrefix("0.0.0.0/32")) // as some lists have it
			list.Add(netip.MustParsePrefix("2001:db8::/32"))
			feed := list.Ranges()

			k, stop := keep(t, o, scopes...)
			k.Submit(wishes)
			k.Replace("feed:bad", feed)
			must(t, k.Sync(t.Context()))
			right(t, k, "at first", 500)
			stop(true)

			// All of it is taken over by the next process, and a feed that has changed meanwhile replaces the old one.
			k, stop = keep(t, o, scopes...)
			defer stop(false)
			k.Submit(wishes[:400])
			smaller := feed.Without(cidr.Of(network(7, 32), network(1<<20, 24)))
			k.Replace("feed:bad", smaller)
			must(t, k.Sync(t.Context()))
			right(t, k, "after a restart with fewer bans and another feed", 400)

			for _, damage := range []string{
				o.IPv4 + " -t raw -F", o.IPv6 + " -t raw -D PREROUTING -j PALISADE", o.IPv4 + " -t mangle -F", "ipset flush",
			} {
				before := k.Status().Rebuilds
				tool(t, "", strings.Fields(damage)...)
				eventually(t, damage+" is repaired", func() bool {
					s := k.Status()
					return s.Rebuilds > before && s.Pending == 0 && s.Err == nil
				})
				right(t, k, "after "+damage, 400)
			}
			held, err := k.Find(t.Context(), firewall.Query{Within: netip.MustParsePrefix(network(8, 32).String()), Hits: true})
			must(t, err)
			if len(held.Entries) == 0 || held.Entries[0].Hits == nil || !held.Entries[0].Hits.Present {
				t.Errorf("found %s", fmt.Sprintf("%+v", held))
			}
		})
	}
}
