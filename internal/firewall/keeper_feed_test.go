package firewall_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// blocked is a Keeper with bans and two feeds.
func blocked(t *testing.T) (*firewall.Keeper, *fake) {
	t.Helper()
	b := &fake{Memory: firewall.NewMemory()}
	k, _ := start(t, b, firewall.KeeperOptions{})
	other := firewall.Scope{Owner: "jail:web", AllPorts: true}
	k.SetScopes([]firewall.Scope{ssh, other, drop, {Owner: "feed:tor", Feed: true}})
	var wishes []firewall.Wish
	for i := range 300 {
		wishes = append(wishes, ban(fmt.Sprintf("10.0.%d.%d", i/256, i%256), time.Hour))
	}
	web := ban("10.0.0.7", 0)
	web.Owner = "jail:web"
	k.Submit(append(wishes, web, ban("2001:db8::1", time.Minute)))
	k.Replace("feed:drop", cidr.Of(host("10.0.0.0/24"), host("192.0.2.0/25")))
	k.Replace("feed:tor", cidr.Of(host("192.0.2.1"), host("10.0.1.5"), host("2001:db8:7::/48")))
	if err := k.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return k, b
}

func describe(e firewall.Entry) string {
	var owners []string
	for _, o := range e.Owners {
		owners = append(owners, o.Owner)
	}
	return e.Prefix.String() + " " + strings.Join(owners, ",") + " " + strings.Join(e.Sets, ",")
}

func TestFindPagesThroughEverythingOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := blocked(t)
		for _, limit := range []int{1, 7, 100, 10_000} {
			seen := map[netip.Prefix]bool{}
			var last netip.Prefix
			q := firewall.Query{Limit: limit}
			for {
				page, err := k.Find(t.Context(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, e := range page.Entries {
					if seen[e.Prefix] || last.IsValid() && last.Addr().Compare(e.Prefix.Addr()) > 0 {
						t.Fatalf("%s comes twice or in the wrong order", e.Prefix)
					}
					seen[e.Prefix], last = true, e.Prefix
				}
				if q.After = page.Next; page.Next == "" {
					break
				}
			}
			if len(seen) != 304 { // 300 + v6 hosts of jails, 10.0.0.0/24, 192.0.2.0/25, 2001:db8:7::/48
				t.Errorf("pages of %d hold %d entries", limit, len(seen))
			}
		}
	})
}

func TestFindNamesOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := blocked(t)
		for q, want := range map[firewall.Query]string{
			{Within: host("10.0.0.7")}: "10.0.0.7/32 jail:sshd,jail:web all.drop.v4,tcp.22.drop.v4",
			{Holds: host("10.0.0.7")}:  "10.0.0.0/24 feed:drop feed.drop.v4-24; 10.0.0.7/32 jail:sshd,jail:web all.drop.v4,tcp.22.drop.v4",
			{Owner: "feed:"}: "10.0.0.0/24 feed:drop feed.drop.v4-24; 10.0.1.5/32 feed:tor,jail:sshd feed.drop.v4,tcp.22.drop.v4; " +
				"192.0.2.0/25 feed:drop,feed:tor feed.drop.v4-25; 2001:db8:7::/48 feed:tor feed.drop.v6-48",
			{Owner: "jail:web"}:               "10.0.0.7/32 jail:sshd,jail:web all.drop.v4,tcp.22.drop.v4",
			{Within: host("2001:db8::/32")}:   "2001:db8::1/128 jail:sshd tcp.22.drop.v6; 2001:db8:7::/48 feed:tor feed.drop.v6-48",
			{Owner: "jail:none"}:              "",
			{Within: host("198.51.100.0/24")}: "",
		} {
			page, err := k.Find(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range page.Entries {
				got = append(got, describe(e))
			}
			if strings.Join(got, "; ") != want {
				t.Errorf("%+v: %s\nwant %s", q, strings.Join(got, "; "), want)
			}
		}
		for _, q := range []firewall.Query{{After: "nonsense"}, {Limit: 10_001}, {Limit: -1}} {
			if _, err := k.Find(t.Context(), q); !errors.Is(err, firewall.ErrQuery) {
				t.Errorf("%+v: %v", q, err)
			}
		}
	})
}

func TestVerifyFindsWhatIsMissingAndWhatIsTooMuch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, b := blocked(t)
		v, err := k.Verify(t.Context(), nil)
		if err != nil || !v.Right() || v.Wanted != v.Held || v.Wanted == 0 {
			t.Fatalf("%+v, %v", v, err)
		}
		gone := firewall.Change{Set: firewall.Set{Group: "tcp.22.drop", Bits: 32}, Prefix: host("10.0.0.7"), Remove: true}
		more := firewall.Change{Set: firewall.Set{Group: "feed.drop", Bits: 32}, Prefix: host("203.0.113.7")}
		if err := b.Memory.Apply([]firewall.Change{gone, more}); err != nil {
			t.Fatal(err)
		}
		total := 0
		v, err = k.Verify(t.Context(), func(done, _ int) { total = max(total, done) })
		if err != nil || v.Right() || v.Missing != 1 || v.Strays != 1 || !slices.Contains(v.Examples, "tcp.22.drop.v4 10.0.0.7/32") || total != v.Wanted {
			t.Errorf("%+v, %v, progress to %d", v, err, total)
		}
		b.Wipe()
		if v, err = k.Verify(t.Context(), nil); err != nil || v.Right() || v.Rules == "" {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

func TestKeeperTellsOfNewBansOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []firewall.Ban
		b := &fake{Memory: firewall.NewMemory()}
		k := firewall.NewKeeper(b, firewall.KeeperOptions{Banned: func(bans []firewall.Ban) { told = append(told, bans...) }})
		k.SetScopes([]firewall.Scope{ssh, drop})
		k.Submit([]firewall.Wish{ban("192.0.2.1", time.Hour)})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = k.Run(ctx) }()
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		k.Replace("feed:drop", cidr.Of(host("198.51.100.1")))
		k.Submit([]firewall.Wish{ban("192.0.2.2", time.Hour), ban("192.0.2.1", 2*time.Hour), ban("192.0.2.0/24", 0)})
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(told) != 2 || told[0].Prefix != host("192.0.2.2") || told[1].Prefix != host("192.0.2.0/24") || len(told[0].Protocols) != 1 || told[0].Protocols[0] != 6 || told[0].Ports[0].String() != "22" {
			t.Errorf("told %v", told)
		}
		cancel()
		synctest.Wait()
	})
}
