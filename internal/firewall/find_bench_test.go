package firewall_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// BenchmarkFindInAMillion asks for a page of a hundred, somewhere in a feed of a million and 10,000 bans.
func BenchmarkFindInAMillion(b *testing.B) {
	k := firewall.NewKeeper(firewall.NewMemory(), firewall.KeeperOptions{})
	k.SetScopes([]firewall.Scope{ssh, drop})
	var feed cidr.Builder
	for i := range 1_000_000 {
		feed.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 15), byte(i >> 7), byte(2 * i)}), 32))
	}
	k.Replace("feed:drop", feed.Ranges())
	var wishes []firewall.Wish
	for i := range 10_000 {
		wishes = append(wishes, firewall.Wish{
			Owner: "jail:sshd", Until: time.Now().Add(time.Hour),
			Prefix: netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 1}), 32),
		})
	}
	k.Submit(wishes)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	if err := k.Sync(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		after := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i % 30), byte(i), 0}), 32)
		page, err := k.Find(b.Context(), firewall.Query{After: after.String(), Limit: 100})
		if err != nil || len(page.Entries) != 100 {
			b.Fatal(len(page.Entries), err)
		}
	}
}
