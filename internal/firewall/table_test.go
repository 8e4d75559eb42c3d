package firewall_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// kernel is the simplest thing that takes changes: sets of elements with when they end, zero never, and
// the layout whose rules are in force.
type kernel struct {
	sets  map[firewall.Set]map[netip.Prefix]time.Time
	rules firewall.Layout
	fresh bool // rules are known
}

func newKernel() *kernel { return &kernel{sets: map[firewall.Set]map[netip.Prefix]time.Time{}} }

func (k *kernel) apply(t *testing.T, changes []firewall.Change, now time.Time) {
	t.Helper()
	for _, c := range changes {
		held, stands := k.sets[c.Set]
		if !stands {
			t.Fatalf("a change for set %s, which does not stand", c.Set)
		}
		if c.Prefix != c.Prefix.Masked() || c.Prefix.Bits() != c.Set.Bits || c.Prefix.Addr().Is6() != c.Set.V6 {
			t.Errorf("%s does not belong in %s", c.Prefix, c.Set)
		}
		end, there := held[c.Prefix]
		if there && !end.IsZero() && !end.After(now) {
			there = false
		}
		switch {
		case c.Fresh && there:
			t.Errorf("%s in %s is said to be fresh, but the kernel has it", c.Prefix, c.Set)
		case c.Remove && c.Timeout != 0:
			t.Errorf("%s is removed with a timeout", c.Prefix)
		case c.Remove:
			delete(held, c.Prefix)
		case c.Timeout == 0:
			held[c.Prefix] = time.Time{}
		case c.Timeout < time.Millisecond:
			t.Errorf("%s has timeout %s", c.Prefix, c.Timeout)
		default:
			held[c.Prefix] = now.Add(c.Timeout)
		}
	}
}

func (k *kernel) survey(l firewall.Layout, now time.Time) firewall.Standing {
	st := firewall.Standing{Sets: map[firewall.Set]int{}}
	for s, held := range k.sets {
		n := 0
		for _, end := range held {
			if end.IsZero() || end.After(now) {
				n++
			}
		}
		st.Sets[s] = n
	}
	st.Rules = k.fresh && fmt.Sprint(k.rules.Groups, k.rules.Sets) == fmt.Sprint(l.Groups, l.Sets)
	return st
}

func (k *kernel) prepare(l firewall.Layout) {
	for _, s := range l.Sets {
		if k.sets[s] == nil {
			k.sets[s] = map[netip.Prefix]time.Time{}
		}
	}
}

func (k *kernel) commit(t *testing.T, l firewall.Layout) {
	t.Helper()
	for _, s := range l.Sets {
		if k.sets[s] == nil {
			t.Fatalf("rules for set %s, which does not stand", s)
		}
		if _, ok := l.Group(s); !ok {
			t.Fatalf("set %s has no group", s)
		}
	}
	k.rules, k.fresh = l, true
	for s := range k.sets {
		if !slices.Contains(l.Sets, s) {
			delete(k.sets, s)
		}
	}
}

// lasting lists the elements of bans that rules look up. That a set has taken the place of another does
// not matter.
func (k *kernel) lasting(now time.Time) string {
	var lines []string
	for s, held := range k.sets {
		if !slices.Contains(k.rules.Sets, s) || strings.HasPrefix(s.Group, "feed.") {
			continue
		}
		s.Gen = 0
		for p, end := range held {
			if end.IsZero() || end.After(now) {
				lines = append(lines, s.String()+" "+p.String()+" "+ending(end, now))
			}
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// blocks tells whether the rules of bans, or those of feeds, stop a TCP packet from an address to a port.
func (k *kernel) blocks(a netip.Addr, port uint16, now time.Time, byFeeds bool) bool {
	for _, s := range k.rules.Sets {
		if strings.HasPrefix(s.Group, "feed.") != byFeeds {
			continue
		}
		g, _ := k.rules.Group(s)
		inside := func(r firewall.PortRange) bool { return r.First <= port && port <= r.Last }
		if s.V6 != a.Is6() || len(g.Ports) > 0 && !slices.ContainsFunc(g.Ports, inside) {
			continue
		}
		end, ok := k.sets[s][netip.PrefixFrom(a, s.Bits).Masked()]
		if ok && (end.IsZero() || end.After(now)) {
			return true
		}
	}
	return false
}

func ending(end, now time.Time) string {
	if end.IsZero() {
		return "for ever"
	}
	return end.Sub(now).String()
}

// step does what is to be done next, with at most limit elements; it is false if nothing is.
func step(t *testing.T, table *firewall.Table, k *kernel, now time.Time, limit int) bool {
	t.Helper()
	switch table.Next() {
	case firewall.NeedSurvey:
		table.Surveyed(k.survey(table.Layout(), now))
	case firewall.NeedPrepare:
		k.prepare(table.Layout())
		table.Prepared()
	case firewall.NeedCommit:
		k.commit(t, table.Layout())
		table.Committed()
	case firewall.NeedElements:
		changes := table.Delta(now, limit)
		if len(changes) == 0 {
			return table.Next() != firewall.NeedElements
		}
		k.apply(t, changes, now)
		table.Applied(changes)
	}
	return true
}

// settle brings everything to the kernel.
func settle(t *testing.T, table *firewall.Table, k *kernel, now time.Time) {
	t.Helper()
	settleIn(t, table, k, now, 3, func(string) {})
}

// settleIn does so in steps of at most limit elements, and looks after every one.
func settleIn(t *testing.T, table *firewall.Table, k *kernel, now time.Time, limit int, watch func(what string)) {
	t.Helper()
	if table.Standing() && len(k.sets) == 0 { // see newTable
		k.prepare(table.Layout())
		k.commit(t, table.Layout())
	}
	for range 10_000 {
		next := table.Next()
		if step(t, table, k, now, limit) {
			watch(fmt.Sprintf("step %d", next))
			continue
		}
		// What was taken over may hold more than is known.
		if s, sample, ok := table.Unverified(1000); ok {
			if slices.ContainsFunc(sample, func(p netip.Prefix) bool { _, held := k.sets[s][p]; return !held }) {
				table.Renew(s)
			}
			table.Trust(s)
			continue
		}
		adopted := table.Adopted()
		if len(adopted) == 0 {
			break
		}
		for _, s := range adopted {
			if k.survey(table.Layout(), now).Sets[s] <= table.Lasting(now)[s] || !table.Renew(s) {
				table.Trust(s)
			}
			watch("what was taken over was looked at")
		}
	}
	if table.Pending() != 0 || len(table.Delta(now, 10)) != 0 || !table.Standing() {
		t.Fatalf("%d changes are left after all were applied", table.Pending())
	}
}

// newTable makes a table whose layout stands in a kernel that is empty otherwise.
func newTable(scopes ...firewall.Scope) *firewall.Table {
	t := firewall.NewTable()
	t.SetScopes(scopes)
	t.Surveyed(firewall.Standing{})
	t.Prepared()
	t.Committed()
	return t
}

func owned(owner string, verdict firewall.Verdict, ports ...uint16) firewall.Scope {
	s := firewall.Scope{Owner: owner, Protocols: []firewall.Protocol{"tcp"}, Verdict: verdict, AllPorts: len(ports) == 0}
	for _, p := range ports {
		s.Ports = append(s.Ports, firewall.PortRange{First: p, Last: p})
	}
	return s
}

func wish(t *testing.T, table *firewall.Table, owner, p string, d time.Duration) {
	t.Helper()
	w := firewall.Wish{Owner: owner, Prefix: host(p)}
	switch {
	case d < 0:
		w.Release = true
	case d > 0:
		w.Until = epoch.Add(d)
	}
	if err := table.Wish(w); err != nil {
		t.Fatal(err)
	}
}

const release = -1

func TestTableAnElementLeavesWithItsLastOwner(t *testing.T) {
	table, k := newTable(owned("a", firewall.Drop, 22), owned("b", firewall.Drop, 22)), newKernel()
	steps := []struct {
		owner string
		d     time.Duration
		want  string
	}{
		{"a", time.Hour, "tcp.22.drop.v4 192.0.2.1/32 1h0m0s"},
		{"b", time.Minute, "tcp.22.drop.v4 192.0.2.1/32 1h0m0s"},
		{"b", 2 * time.Hour, "tcp.22.drop.v4 192.0.2.1/32 2h0m0s"},
		{"a", 0, "tcp.22.drop.v4 192.0.2.1/32 for ever"},
		{"a", release, "tcp.22.drop.v4 192.0.2.1/32 2h0m0s"},
		{"b", release, ""},
	}
	for i, s := range steps {
		wish(t, table, s.owner, "192.0.2.1", s.d)
		settle(t, table, k, epoch)
		if got := k.lasting(epoch); got != s.want {
			t.Errorf("after step %d the kernel holds %q, want %q", i, got, s.want)
		}
	}
	if table.Elements() != 0 {
		t.Errorf("%d elements", table.Elements())
	}
}

func TestTableWhatTheKernelNeverSawIsNotSaid(t *testing.T) {
	table := newTable(owned("a", firewall.Drop, 22))
	wish(t, table, "a", "192.0.2.1", time.Hour)
	wish(t, table, "a", "192.0.2.1", release)
	if c := table.Delta(epoch, 10); len(c) != 0 || table.Pending() != 0 {
		t.Errorf("changes %v, %d pending", c, table.Pending())
	}
	wish(t, table, "a", "192.0.2.1", time.Hour)
	table.Applied(table.Delta(epoch, 10))
	wish(t, table, "a", "192.0.2.1", 2*time.Hour)
	wish(t, table, "a", "192.0.2.1", time.Hour)
	if c := table.Delta(epoch, 10); len(c) != 0 {
		t.Errorf("changes to the same and back: %v", c)
	}
}

func TestTableStaysStagedUntilAcknowledged(t *testing.T) {
	table := newTable(owned("a", firewall.Drop, 22))
	wish(t, table, "a", "192.0.2.1", time.Hour)
	first := slices.Clone(table.Delta(epoch, 10))
	table.Failed(first, false)
	wish(t, table, "a", "192.0.2.1", release)
	// The kernel may have taken it after all.
	second := table.Delta(epoch, 10)
	if len(first) != 1 || !first[0].Fresh || len(second) != 1 || !second[0].Remove || second[0].Fresh {
		t.Errorf("first %+v, then %+v", first, second)
	}
}

func TestTableAChangeDuringApplyIsNotLost(t *testing.T) {
	table := newTable(owned("a", firewall.Drop, 22))
	wish(t, table, "a", "192.0.2.1", time.Hour)
	changes := table.Delta(epoch, 10)
	wish(t, table, "a", "192.0.2.1", release)
	table.Applied(changes)
	if c := table.Delta(epoch, 10); len(c) != 1 || !c[0].Remove {
		t.Errorf("changes %+v", c)
	}
}

func TestTableBansGoBeforeUnbans(t *testing.T) {
	table, k := newTable(owned("a", firewall.Drop, 22)), newKernel()
	wish(t, table, "a", "192.0.2.1", 0)
	wish(t, table, "a", "192.0.2.2", 0)
	settle(t, table, k, epoch)
	wish(t, table, "a", "192.0.2.1", release)
	wish(t, table, "a", "192.0.2.2", release)
	wish(t, table, "a", "192.0.2.3", 0)
	if c := table.Delta(epoch, 2); len(c) != 2 || c[0].Remove || !c[1].Remove {
		t.Errorf("changes %+v", c)
	}
}

func TestTableWhatMovesIsInItsNewPlaceFirst(t *testing.T) {
	table, k := newTable(owned("a", firewall.Drop, 22), owned("b", firewall.Drop, 80)), newKernel()
	wish(t, table, "a", "192.0.2.1", 0)
	settle(t, table, k, epoch)
	table.SetScopes([]firewall.Scope{owned("a", firewall.Drop, 80), owned("b", firewall.Drop, 22)})
	if c := table.Delta(epoch, 10); len(c) != 1 || c[0].Remove {
		t.Errorf("changes %+v", c)
	}
	settle(t, table, k, epoch)
	if got := k.lasting(epoch); got != "tcp.80.drop.v4 192.0.2.1/32 for ever" {
		t.Errorf("the kernel holds %q", got)
	}
}

func TestTablePrefixes(t *testing.T) {
	for text, want := range map[string]string{
		"192.0.2.1/32":           "all.drop.v4 192.0.2.1/32",
		"192.0.2.77/24":          "all.drop.v4-24 192.0.2.0/24",
		"::ffff:192.0.2.1/128":   "all.drop.v4 192.0.2.1/32",
		"::ffff:192.0.2.77/120":  "all.drop.v4-24 192.0.2.0/24",
		"2001:db8::1/128":        "all.drop.v6 2001:db8::1/128",
		"2001:db8::1:2:3:4:5/64": "all.drop.v6-64 2001:db8:0:1::/64",
		"0.0.0.0/1":              "all.drop.v4-1 0.0.0.0/1",
		"0.0.0.0/0":              "a whole address family is never banned: 0.0.0.0/0",
		"::/0":                   "a whole address family is never banned: ::/0",
		"::ffff:0:0/96":          "a whole address family is never banned: 0.0.0.0/0",
	} {
		table := newTable(firewall.Scope{Owner: "a", AllPorts: true})
		var got []string
		if err := table.Wish(firewall.Wish{Owner: "a", Prefix: netip.MustParsePrefix(text)}); err != nil {
			got = append(got, err.Error())
		}
		k := newKernel()
		settle(t, table, k, epoch)
		if held, ok := strings.CutSuffix(k.lasting(epoch), " for ever"); ok {
			got = append(got, held)
		}
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s gives %q, want %q", text, got, want)
		}
	}
	if err := newTable().Wish(firewall.Wish{}); !errors.Is(err, firewall.ErrNoPrefix) {
		t.Errorf("no prefix: %v", err)
	}
}

func TestTableOverlapsAreIndependent(t *testing.T) {
	table, k := newTable(owned("a", firewall.Drop, 22)), newKernel()
	wish(t, table, "a", "192.0.2.1", 0)
	wish(t, table, "a", "192.0.2.0/24", time.Hour)
	settle(t, table, k, epoch)
	wish(t, table, "a", "192.0.2.0/24", release)
	settle(t, table, k, epoch)
	if got := k.lasting(epoch); got != "tcp.22.drop.v4 192.0.2.1/32 for ever" {
		t.Errorf("the kernel holds %q", got)
	}
}

func TestTableScopes(t *testing.T) {
	p := func(list ...firewall.Protocol) []firewall.Protocol { return list }
	r := func(first, last uint16) firewall.PortRange { return firewall.PortRange{First: first, Last: last} }
	for want, s := range map[string]firewall.Scope{
		"all.drop [] []":                        {AllPorts: true},
		"all.reject [] []":                      {Protocols: p("tcp", "all"), Ports: nil, Verdict: firewall.Reject},
		"tcp.drop [6] []":                       {Protocols: p("tcp"), Ports: []firewall.PortRange{r(0, 65535)}},
		"tcp.22.drop [6] [22]":                  {Protocols: p("TCP", "tcp"), Ports: []firewall.PortRange{r(22, 22), r(22, 22)}},
		"tcp_udp.53.drop [6 17] [53]":           {Protocols: p("udp", "tcp"), Ports: []firewall.PortRange{r(53, 53)}},
		"tcp.1-4.drop [6] [1-4]":                {Protocols: p("tcp"), Ports: []firewall.PortRange{r(3, 4), r(1, 2), r(9, 8)}},
		"icmp_icmpv6.drop [1 58] []":            {Protocols: p("icmp"), Ports: []firewall.PortRange{r(22, 22)}},
		"proto77.drop [77] []":                  {Protocols: p("77", "nonsense"), AllPorts: true},
		"icmp_tcp_icmpv6.22.drop [1 6 58] [22]": {Protocols: p("icmp", "tcp"), Ports: []firewall.PortRange{r(22, 22)}},

		// What has ports, among all protocols.
		"tcp_udp_dccp_sctp_udplite.22.drop [6 17 33 132 136] [22]": {Protocols: p("all"), Ports: []firewall.PortRange{r(22, 22)}},
	} {
		s.Owner = "a"
		g := newTable(s).Layout().Groups[0]
		if got := fmt.Sprintf("%s %v %v", g.Name, g.Protocols, g.Ports); got != want {
			t.Errorf("%+v gives %s, want %s", s, got, want)
		}
	}
}

func TestTableLongListsOfPortsHaveDifferentNames(t *testing.T) {
	var first, second []uint16
	for i := range uint16(200) {
		first, second = append(first, 1000+2*i), append(second, 1000+2*i)
	}
	second[150]++
	l := newTable(owned("a", firewall.Drop, first...), owned("b", firewall.Drop, second...)).Layout()
	if len(l.Groups) != 2 || l.Groups[0].Name == l.Groups[1].Name {
		t.Fatalf("groups %v", l.Groups)
	}
	for _, s := range l.Sets {
		if len(s.String()) > 100 {
			t.Errorf("name of %d bytes: %s", len(s.String()), s)
		}
	}
}

func TestTableAReloadMovesBansWithoutLosingAny(t *testing.T) {
	table, k := newTable(owned("a", firewall.Drop, 22), owned("b", firewall.Drop, 80)), newKernel()
	wish(t, table, "a", "192.0.2.1", time.Hour)
	wish(t, table, "b", "192.0.2.2", 0)
	wish(t, table, "b", "198.51.100.0/24", 0)
	settle(t, table, k, epoch)

	table.SetScopes([]firewall.Scope{owned("b", firewall.Drop, 80), owned("a", firewall.Drop, 22)})
	if !table.Standing() || table.Pending() != 0 {
		t.Error("the same scopes in another order change something")
	}
	table.SetScopes([]firewall.Scope{owned("a", firewall.Reject, 22, 2222), owned("c", firewall.Drop, 80)})
	settle(t, table, k, epoch)
	if got, want := k.lasting(epoch), "tcp.22_2222.reject.v4 192.0.2.1/32 1h0m0s"; got != want {
		t.Errorf("the kernel holds %q, want %q", got, want)
	}
	// b is back, but what it had wished is not.
	table.SetScopes([]firewall.Scope{owned("a", firewall.Drop, 80), owned("b", firewall.Drop, 80)})
	settle(t, table, k, epoch)
	if got, want := k.lasting(epoch), "tcp.80.drop.v4 192.0.2.1/32 1h0m0s"; got != want {
		t.Errorf("the kernel holds %q, want %q", got, want)
	}
}

func TestTableClaimsEndByThemselves(t *testing.T) {
	table, k := newTable(owned("a", firewall.Drop, 22)), newKernel()
	wish(t, table, "a", "192.0.2.1", time.Hour)
	wish(t, table, "a", "192.0.2.2", -time.Hour+1) // it ended before it could be brought in
	settle(t, table, k, epoch)
	if table.Elements() != 1 {
		t.Errorf("%d elements", table.Elements())
	}
	later := epoch.Add(2 * time.Hour)
	table.Expire(later)
	settle(t, table, k, later)
	if table.Elements() != 0 || k.lasting(epoch) != "" {
		t.Errorf("%d elements, the kernel holds %v", table.Elements(), k.lasting(epoch))
	}
}

func TestTableFarFutureIsForEver(t *testing.T) {
	table := newTable(owned("a", firewall.Drop, 22))
	for i, until := range []time.Time{time.Unix(1<<50, 0), epoch.AddDate(150, 0, 0)} {
		if err := table.Wish(firewall.Wish{Owner: "a", Prefix: host(fmt.Sprintf("192.0.2.%d", i)), Until: until}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range table.Delta(epoch, 10) {
		if c.Timeout != 0 {
			t.Errorf("timeout %s", c.Timeout)
		}
	}
}

func BenchmarkTable100k(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		table := newTable(owned("a", firewall.Drop, 22))
		for i := range 100_000 {
			addr := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
			if err := table.Wish(firewall.Wish{Owner: "a", Prefix: netip.PrefixFrom(addr, 32), Until: epoch.Add(time.Hour)}); err != nil {
				b.Fatal(err)
			}
		}
		for table.Pending() > 0 {
			table.Applied(table.Delta(epoch, 2000))
		}
	}
}
