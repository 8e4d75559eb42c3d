package packets_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// TestPacketAFullSetIsToldOfAndWhatWaitsComesInLater has a keeper take over a set of an earlier process in
// which there is room for two.
func TestPacketAFullSetIsToldOfAndWhatWaitsComesInLater(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	b := openIpset(t, "-legacy")
	tool(t, "", "ipset", "create", "pal-all.drop.v4", "hash:ip", "timeout", "0", "maxelem", "2")
	log := &notebook{}
	k := firewall.NewKeeper(b, firewall.KeeperOptions{Log: log.logger()})
	k.SetScopes([]firewall.Scope{{Owner: "jail:all", AllPorts: true}})
	var hosts []string
	for i := range 6 {
		hosts = append(hosts, fmt.Sprintf("1.1.1.%d", i+1))
		k.Submit(bans("jail:all", hosts[i]+"/32"))
	}
	run(t, k)
	closed := func() (count int, open []string) {
		for _, h := range hosts {
			if n.Arrived(t, []packets.Packet{from(h, 22)})[0] == packets.Nowhere {
				count++
			} else {
				open = append(open, h)
			}
		}
		return count, open
	}
	waitFor(t, "the kernel has said that it is full", func() bool { return k.Status().Err != nil })
	waitFor(t, "two are kept out", func() bool { count, _ := closed(); return count == 2 })
	st := k.Status()
	if !strings.Contains(st.Err.Error(), firewall.ErrFull.Error()) || st.Pending != 4 {
		t.Errorf("%d wait, %v; want 4 because the set is full", st.Pending, st.Err)
	}
	alarms := log.alarms()
	if len(alarms) != 1 || !strings.Contains(alarms[0], "no room") {
		t.Errorf("want one line that says so: %q", alarms)
	}
	// A set with room takes the place of what others take away.
	_, open := closed()
	tool(t, "", "iptables-legacy", "-w", "-t", "raw", "-F")
	tool(t, "", "iptables-legacy", "-w", "-t", "raw", "-X")
	tool(t, "", "ipset", "destroy", "pal-all.drop.v4")
	waitFor(t, strings.Join(open, " and ")+" are kept out, too", func() bool { count, _ := closed(); return count == len(hosts) })
	waitFor(t, "all is well", func() bool { st := k.Status(); return st.Err == nil && st.Pending == 0 })
}
