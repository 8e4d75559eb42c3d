package firewall

import (
	"net/netip"
	"testing"
	"time"
)

func TestQueuesStayBoundedWhileTheKernelIsStuck(t *testing.T) {
	now := time.Unix(1e9, 0)
	stuck, toggled := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
	for _, tt := range []struct {
		name string
		held bool // the kernel holds what is wished and taken back
	}{{"a ban that is new", false}, {"a ban that the kernel holds", true}} {
		t.Run(tt.name, func(t *testing.T) {
			table := NewTable()
			table.SetScopes([]Scope{{Owner: "a", AllPorts: true}})
			wish := func(p netip.Prefix, release bool) {
				if err := table.Wish(Wish{Owner: "a", Prefix: p, Release: release}); err != nil {
					t.Fatal(err)
				}
			}
			if tt.held {
				wish(toggled, false)
			}
			table.Surveyed(Standing{})
			table.Prepared()
			table.Committed()
			if tt.held {
				table.Applied(table.Delta(now, 1))
			}
			wish(stuck, false)
			for i := range 10_000 {
				wish(toggled, (i%2 == 1) != tt.held)
				table.Failed(table.Delta(now, 1), false)
			}
			if n := len(table.urgent.entries) + len(table.lazy.entries); n > 200 {
				t.Errorf("%d entries for %d elements that wait", n, table.Pending())
			}
			mark := table.Mark(0)
			for table.Pending() > 0 {
				table.Applied(table.Delta(now, 1))
			}
			if !table.Reached(mark) {
				t.Error("all is applied, but the mark is not reached")
			}
		})
	}
}
