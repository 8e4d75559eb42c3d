package agent

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// guarded is a service over a real Keeper that keeps its sets in memory, with bans and a feed.
func guarded(t *testing.T) (service, *firewall.Memory) {
	t.Helper()
	m := firewall.NewMemory()
	k := firewall.NewKeeper(m, firewall.KeeperOptions{})
	k.SetScopes([]firewall.Scope{
		{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 22, Last: 22}}},
		{Owner: "feed:drop", Feed: true},
	})
	p := netip.MustParsePrefix
	k.Submit([]firewall.Wish{
		{Owner: "jail:sshd", Prefix: p("192.0.2.1/32"), Until: time.Now().Add(time.Hour)}, {Owner: "jail:sshd", Prefix: p("2001:db8::/64")},
	})
	k.Replace("feed:drop", cidr.Of(p("192.0.2.0/28"), p("198.51.100.7/32")))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, k.Close(false)); err != nil {
			t.Error(err)
		}
	})
	if err := k.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	hooks := func(context.Context) ([]control.Hook, []string, error) {
		return []control.Hook{{Where: "prerouting", By: "somebody"}}, []string{"look there"}, nil
	}
	return service{&Agent{parts: Parts{Firewall: k, Hooks: hooks}}}, m
}

func TestTheFirewallIsShownAgainstWhatIsWished(t *testing.T) {
	s, _ := guarded(t)
	f, err := s.Firewall(t.Context(), 1)
	if err != nil || f.Elements != 4 || f.Desired != 4 || f.LastBatch == nil || len(f.Hooks) != 1 || len(f.Warnings) != 1 {
		t.Errorf("%+v, %v", f, err)
	}
	if len(f.Contents) != 1 || !f.Truncated {
		t.Errorf("%d elements are listed instead of one", len(f.Contents))
	}
	for _, set := range f.Sets {
		if set.Count != set.Desired {
			t.Errorf("%+v", set)
		}
	}
	s.a.parts.Hooks = func(context.Context) ([]control.Hook, []string, error) { return nil, nil, errors.New("not now") }
	if f, err := s.Firewall(t.Context(), 1); err != nil || len(f.Warnings) != 1 || !strings.Contains(f.Warnings[0], "not now") {
		t.Errorf("%v, %v", f.Warnings, err)
	}
}

func TestBlockedIsPagedAndFiltered(t *testing.T) {
	s, _ := guarded(t)
	for _, c := range []struct {
		q    control.BlockedQuery
		want string
	}{
		{control.BlockedQuery{}, "192.0.2.0/28 192.0.2.1 198.51.100.7 2001:db8::/64"},
		{control.BlockedQuery{Limit: 2}, "192.0.2.0/28 192.0.2.1"},
		{control.BlockedQuery{After: "192.0.2.1/32"}, "198.51.100.7 2001:db8::/64"},
		{control.BlockedQuery{Owner: "feed:"}, "192.0.2.0/28 198.51.100.7"},
		{control.BlockedQuery{Holds: "192.0.2.1"}, "192.0.2.0/28 192.0.2.1"},
		{control.BlockedQuery{Within: "2001:db8::/32"}, "2001:db8::/64"},
	} {
		b, err := s.Blocked(t.Context(), c.q)
		var got []string
		for _, e := range b.Entries {
			got = append(got, e.Prefix)
		}
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%+v: %v, %v; want %s", c.q, got, err, c.want)
		}
	}
	for _, q := range []control.BlockedQuery{{Within: "somewhere"}, {Holds: "x"}, {After: "there"}, {Limit: 1 << 20}} {
		if _, err := s.Blocked(t.Context(), q); !errors.Is(err, control.ErrInvalid) {
			t.Errorf("%+v: %v", q, err)
		}
	}
	b, err := s.Blocked(t.Context(), control.BlockedQuery{Holds: "192.0.2.1", Hits: true})
	if err != nil || len(b.Entries) != 2 || b.Entries[1].Hits == nil || !b.Entries[1].Hits.Present || b.Entries[1].Owners[0].Until == nil {
		t.Errorf("%+v, %v", b, err)
	}
}

func TestVerifyTellsWhatTheKernelLacks(t *testing.T) {
	s, m := guarded(t)
	told := 0
	v, err := s.Verify(t.Context(), func(done, total int) { told = max(told, done*100/total) })
	if err != nil || !v.Right || v.Wanted != 4 || told != 100 {
		t.Errorf("%+v, %v, %d %%", v, err, told)
	}
	gone := firewall.Change{Set: firewall.Set{Group: "feed.drop", Bits: 32}, Prefix: netip.MustParsePrefix("198.51.100.7/32"), Remove: true}
	if err := m.Apply([]firewall.Change{gone}); err != nil {
		t.Fatal(err)
	}
	if v, err = s.Verify(t.Context(), func(int, int) {}); err != nil || v.Right || v.Missing != 1 || !slices.Contains(v.Examples, "feed.drop.v4 198.51.100.7/32") {
		t.Errorf("%+v, %v", v, err)
	}
}
