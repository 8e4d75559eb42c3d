package firewall_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

func manyHosts(n int) cidr.Ranges {
	var b cidr.Builder
	for i := range n {
		b.Add(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 15), byte(i >> 7), byte(2 * i)}), 32))
	}
	return b.Ranges()
}

func TestSplitLargeFeedsLiveElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		small, large := firewall.NewMemory(), firewall.NewMemory()
		k, _ := start(t, firewall.Split(small, large), firewall.KeeperOptions{LargeAt: 1000})
		k.SetScopes([]firewall.Scope{ssh, drop})
		k.Submit([]firewall.Wish{ban("192.0.2.1", time.Hour)})
		for _, step := range []struct {
			elements int
			large    bool
		}{{10, false}, {999, false}, {1000, true}, {700, true}, {2000, true}, {499, false}, {0, false}} {
			k.Replace("feed:drop", manyHosts(step.elements))
			if err := k.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			name := "feed.drop.v4"
			if step.large {
				name = "feed.drop.large.v4"
			}
			s, _ := firewall.ParseSet(name)
			in, other := small, large
			if step.large {
				in, other = large, small
			}
			a, err := in.Inspect(0)
			if err != nil {
				t.Fatal(err)
			}
			b, err := other.Inspect(-1)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range b.Elements {
				if strings.HasPrefix(e.Set, "feed.") {
					t.Errorf("%d elements: %s is where it does not belong", step.elements, e.Set)
					break
				}
			}
			want := "memory"
			if step.large {
				want = "memory, and memory for large feeds"
			}
			if name := k.Status().Backend; name != want {
				t.Errorf("%d elements: it calls itself %q", step.elements, name)
			}
			if a.Counts[s] != step.elements {
				t.Errorf("%d elements: %v", step.elements, a.Counts)
			}
			if _, stopped := small.Verdict(netip.MustParseAddr("192.0.2.1"), 6, 22); !stopped {
				t.Error("a ban is gone with a feed")
			}
		}
		if v, err := k.Verify(t.Context(), nil); err != nil || !v.Right() || v.Wanted != 1 {
			t.Error(fmt.Sprintf("%+v", v), err)
		}
	})
}
