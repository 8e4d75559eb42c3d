package firewall_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// kernel is the simplest thing that takes changes: element -> when it ends, zero never.
type kernel map[string]time.Time

func elementKey(c firewall.Change) string { return c.Set.String() + " " + c.Prefix.String() }

func (k kernel) apply(t *testing.T, changes []firewall.Change, now time.Time) {
	t.Helper()
	for _, c := range changes {
		key := elementKey(c)
		end, held := k[key]
		if held && !end.IsZero() && !end.After(now) {
			held = false
		}
		switch {
		case c.Fresh && held:
			t.Errorf("%s is said to be fresh, but the kernel has it", key)
		case c.Remove && c.Timeout != 0:
			t.Errorf("%s is removed with a timeout", key)
		case c.Remove:
			delete(k, key)
		case c.Timeout == 0:
			k[key] = time.Time{}
		case c.Timeout < time.Millisecond:
			t.Errorf("%s has timeout %s", key, c.Timeout)
		default:
			k[key] = now.Add(c.Timeout)
		}
	}
}

func (k kernel) lasting(now time.Time) string {
	var lines []string
	for key, end := range k {
		if end.IsZero() || end.After(now) {
			lines = append(lines, key+" "+ending(end, now))
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func ending(end, now time.Time) string {
	if end.IsZero() {
		return "for ever"
	}
	return end.Sub(now).String()
}

// settle brings everything to the kernel.
func settle(t *testing.T, table *firewall.Table, k kernel, now time.Time) {
	t.Helper()
	if !table.LayoutStands() {
		clear(k)
		k.apply(t, slices.Collect(table.All(now)), now)
		table.Replaced(now)
	}
	for range 10_000 {
		changes := table.Delta(now, 3)
		if len(changes) == 0 {
			break
		}
		k.apply(t, changes, now)
		table.Applied(changes)
	}
	if table.Pending() != 0 || len(table.Delta(now, 10)) != 0 {
		t.Fatalf("%d changes are left after all were applied", table.Pending())
	}
}

func newTable(scopes ...firewall.Scope) *firewall.Table {
	t := firewall.NewTable()
	t.SetScopes(scopes)
	t.Replaced(epoch)
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
	table, k := newTable(owned("a", firewall.Drop, 22), owned("b", firewall.Drop, 22)), kernel{}
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
	first := table.Delta(epoch, 10)
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
	table, k := newTable(owned("a", firewall.Drop, 22)), kernel{}
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
		for c := range table.All(epoch) {
			got = append(got, elementKey(c))
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
	table, k := newTable(owned("a", firewall.Drop, 22)), kernel{}
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
	table, k := newTable(owned("a", firewall.Drop, 22), owned("b", firewall.Drop, 80)), kernel{}
	wish(t, table, "a", "192.0.2.1", time.Hour)
	wish(t, table, "b", "192.0.2.2", 0)
	wish(t, table, "b", "198.51.100.0/24", 0)
	settle(t, table, k, epoch)

	table.SetScopes([]firewall.Scope{owned("b", firewall.Drop, 80), owned("a", firewall.Drop, 22)})
	if !table.LayoutStands() || table.Pending() != 0 {
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
	table, k := newTable(owned("a", firewall.Drop, 22)), kernel{}
	wish(t, table, "a", "192.0.2.1", time.Hour)
	wish(t, table, "a", "192.0.2.2", -time.Hour+1) // it ended before it could be brought in
	settle(t, table, k, epoch)
	if table.Elements() != 1 {
		t.Errorf("%d elements", table.Elements())
	}
	later := epoch.Add(2 * time.Hour)
	table.Expire(later)
	settle(t, table, k, later)
	if table.Elements() != 0 || len(k) != 0 {
		t.Errorf("%d elements, the kernel holds %v", table.Elements(), k)
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

// model is the naive truth: who wants what until when.
type model struct {
	scopes map[string][]firewall.Scope
	claims map[[2]string]time.Time // owner, prefix
}

func (m *model) want(now time.Time) string {
	want := map[string]time.Time{}
	for k, until := range m.claims {
		if !until.IsZero() && !until.After(now) {
			continue
		}
		for _, s := range m.scopes[k[0]] {
			name := firewallSetName(s, netip.MustParsePrefix(k[1])) + " " + k[1]
			old, there := want[name]
			if !there || !old.IsZero() && (until.IsZero() || until.After(old)) {
				want[name] = until
			}
		}
	}
	return kernel(want).lasting(now)
}

// firewallSetName is the set's name for the few scopes that the random test uses.
func firewallSetName(s firewall.Scope, p netip.Prefix) string {
	name := "tcp." + s.Verdict.String()
	if len(s.Ports) > 0 {
		name = "tcp." + strings.ReplaceAll(join(s.Ports), ",", "_") + "." + s.Verdict.String()
	}
	name += map[bool]string{true: ".v4", false: ".v6"}[p.Addr().Is4()]
	if !p.IsSingleIP() {
		name += fmt.Sprintf("-%d", p.Bits())
	}
	return name
}

func randomScopes(r *rand.Rand) []firewall.Scope {
	var scopes []firewall.Scope
	for _, owner := range []string{"a", "b", "c"} {
		for range r.IntN(3) {
			ports := [][]uint16{nil, {22}, {80, 443}}[r.IntN(3)]
			scopes = append(scopes, owned(owner, firewall.Verdict(r.IntN(2)), ports...))
		}
	}
	return scopes
}

// play lets the bytes decide what happens to a table and to the model, and compares them whenever all
// is settled.
func play(t *testing.T, ops []byte, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	now := epoch
	table, k := firewall.NewTable(), kernel{}
	m := &model{scopes: map[string][]firewall.Scope{}, claims: map[[2]string]time.Time{}}
	prefixes := []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/24", "2001:db8::1/128", "2001:db8::/64"}
	for _, op := range ops {
		owner, p := string('a'+rune(op>>3&3)), prefixes[int(op>>5)%len(prefixes)]
		switch op & 7 {
		case 0, 1, 2:
			w := firewall.Wish{Owner: owner, Prefix: netip.MustParsePrefix(p)}
			if d := r.IntN(4); d > 0 {
				w.Until = now.Add(time.Duration(d) * time.Minute)
			}
			if err := table.Wish(w); err != nil {
				t.Fatal(err)
			}
			if m.scopes[owner] != nil {
				m.claims[[2]string{owner, p}] = w.Until
			}
		case 3:
			if err := table.Wish(firewall.Wish{Owner: owner, Prefix: netip.MustParsePrefix(p), Release: true}); err != nil {
				t.Fatal(err)
			}
			delete(m.claims, [2]string{owner, p})
		case 4: // part of the way, perhaps failing, perhaps failing after all was done
			if changes := table.Delta(now, 1+r.IntN(3)); r.IntN(3) > 0 {
				k.apply(t, changes, now)
				if r.IntN(3) > 0 {
					table.Applied(changes)
				} else {
					table.Failed(changes, r.IntN(2) == 0)
				}
			} else {
				table.Failed(changes, r.IntN(2) == 0)
			}
		case 5:
			now = now.Add(time.Duration(r.IntN(90)) * time.Second)
			if r.IntN(4) == 0 {
				table.Expire(now)
			}
		case 6:
			if r.IntN(4) > 0 {
				continue
			}
			scopes := randomScopes(r)
			table.SetScopes(scopes)
			clear(m.scopes)
			for _, s := range scopes {
				m.scopes[s.Owner] = append(m.scopes[s.Owner], s)
			}
			for k := range m.claims {
				if m.scopes[k[0]] == nil {
					delete(m.claims, k)
				}
			}
		case 7:
			switch r.IntN(4) {
			case 0: // somebody else has taken everything away
				clear(k)
				table.Invalidate()
			case 1: // another process has left the same layout, with something of its own
				if len(table.Layout().Sets) > 0 && !table.LayoutStands() {
					clear(k)
					k[table.Layout().Sets[0].String()+" 192.0.2.99/32"] = time.Time{}
					table.Adopted()
					table.Found(table.Layout().Sets[0].String(), host("192.0.2.99"))
				}
			case 2:
				table.Rearm()
			}
		}
		if r.IntN(8) > 0 {
			continue
		}
		mark := table.Mark()
		settle(t, table, k, now)
		if !table.Reached(mark) {
			t.Fatal("all is settled, but the mark is not reached")
		}
		if got, want := k.lasting(now), m.want(now); got != want {
			t.Fatalf("the kernel holds\n%s\nwant\n%s", got, want)
		}
	}
}

func TestTableAgainstModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		ops := make([]byte, 400)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		play(t, append([]byte{6, 6, 6, 6}, ops...), seed)
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{6, 0, 8, 4, 3, 7}, uint64(1))
	f.Add([]byte{6, 6, 6, 0, 32, 64, 4, 4, 5, 3, 7, 0, 4}, uint64(7))
	f.Fuzz(func(t *testing.T, ops []byte, seed uint64) { play(t, ops[:min(len(ops), 2000)], seed) })
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
