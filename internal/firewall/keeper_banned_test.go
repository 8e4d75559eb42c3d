package firewall_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// TestBannedGivesWhatOwnersWantNow: also what has just been wished, and that on the first page of a query.
func TestBannedGivesWhatOwnersWantNow(t *testing.T) {
	k := firewall.NewKeeper(firewall.NewMemory(), firewall.KeeperOptions{})
	ended := make(chan error, 1)
	go func() { ended <- k.Run(t.Context()) }()
	t.Cleanup(func() { <-ended })
	k.SetScopes([]firewall.Scope{{Owner: "jail:a"}, {Owner: "jail:b", AllPorts: true}, {Owner: "feed:f", Feed: true}})
	wish := func(owner, p string, until time.Time, release bool) {
		k.Submit([]firewall.Wish{{Owner: owner, Prefix: netip.MustParsePrefix(p), Until: until, Release: release}})
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	banned := func(owners ...string) string {
		r, err := k.Banned(t.Context(), owners)
		if err != nil {
			t.Fatal(err)
		}
		var all []string
		for p := range r.Prefixes() {
			all = append(all, p.String())
		}
		return strings.Join(all, " ")
	}
	k.Replace("feed:f", cidr.Of(netip.MustParsePrefix("9.9.9.9/32")))
	wish("jail:a", "1.1.1.1/32", time.Time{}, false)
	wish("jail:b", "2.2.2.0/24", time.Now().Add(time.Hour), false)
	wish("jail:b", "1.1.1.1/32", time.Now().Add(time.Hour), false)
	for owner, want := range map[string]string{"jail:": "1.1.1.1/32 2.2.2.0/24", "jail:a": "1.1.1.1/32", "jail:b": "1.1.1.1/32 2.2.2.0/24", "jail:c": "", "jail": ""} {
		if got := banned(owner); got != want {
			t.Errorf("%s: %q, not %q", owner, got, want)
		}
	}
	for i, want := range []int{3, 4} { // with what the feed lists
		page, err := k.Find(t.Context(), firewall.Query{})
		if err != nil || len(page.Entries) != want {
			t.Errorf("query %d: %d entries, %v", i, len(page.Entries), err)
		}
		wish("jail:a", "3.3.3.3/32", time.Time{}, false)
	}
	wish("jail:a", "1.1.1.1/32", time.Time{}, true)
	if got := banned("jail:a", "jail:c"); got != "3.3.3.3/32" {
		t.Errorf("after an unban: %q", got)
	}
}
