package firewall_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// model is the naive truth: who wants what until when, what feeds list, and what is allowed.
type model struct {
	scopes map[string][]firewall.Scope
	claims map[[2]string]time.Time // owner, prefix
	feeds  map[string][]netip.Prefix
	allow  []netip.Prefix
}

// want lists the elements of bans, as long as nothing is allowed.
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
	var lines []string
	for name, until := range want {
		lines = append(lines, name+" "+ending(until, now))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(list, func(p netip.Prefix) bool { return p.Contains(a) })
}

func (m *model) listed(a netip.Addr) bool {
	if contains(m.allow, a) {
		return false
	}
	for _, list := range m.feeds {
		if contains(list, a) {
			return true
		}
	}
	return false
}

func (m *model) banned(a netip.Addr, port uint16, now time.Time) bool {
	if contains(m.allow, a) {
		return false
	}
	for k, until := range m.claims {
		if !until.IsZero() && !until.After(now) || !netip.MustParsePrefix(k[1]).Contains(a) {
			continue
		}
		for _, s := range m.scopes[k[0]] {
			inside := func(r firewall.PortRange) bool { return r.First <= port && port <= r.Last }
			if len(s.Ports) == 0 || slices.ContainsFunc(s.Ports, inside) {
				return true
			}
		}
	}
	return false
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
	for _, owner := range []string{"feed:x", "feed:y"} {
		if r.IntN(3) > 0 {
			scopes = append(scopes, firewall.Scope{Owner: owner, Feed: true, Both: r.IntN(3) == 0, Verdict: firewall.Verdict(r.IntN(2))})
		}
	}
	return scopes
}

// packet is one that may be stopped.
type packet struct {
	from netip.Addr
	port uint16
}

func universe() (all []packet) {
	for _, port := range []uint16{22, 80, 99} {
		for i := range byte(16) {
			all = append(all, packet{netip.AddrFrom4([4]byte{192, 0, 2, i}), port})
		}
		for i := range byte(8) {
			all = append(all, packet{netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: i}), port})
		}
	}
	return all
}

func randomPrefixes(r *rand.Rand, n int) (list []netip.Prefix) {
	for range r.IntN(n + 1) {
		if r.IntN(4) == 0 {
			list = append(list, netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(r.IntN(8))}), 125+r.IntN(4)).Masked())
			continue
		}
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(16))}), 28+r.IntN(5)).Masked())
	}
	return list
}

// game is a table, a kernel and the model, in one life.
type game struct {
	t     *testing.T
	r     *rand.Rand
	now   time.Time
	table *firewall.Table
	feeds *firewall.Feeds
	plans uint64
	k     *kernel
	m     *model
	// held are packets that the kernel stops and that were to be stopped at every moment since, by bans
	// (false) or by feeds (true): none of them may slip through, whatever is being changed.
	held map[bool]map[packet]bool
	last []string // what has happened last
}

func (g *game) plan() {
	g.plans++
	g.table.TakePlan(g.feeds.Plan(g.plans))
}

// restrict forgets packets that need not be stopped any more.
func (g *game) restrict() {
	for byFeeds, held := range g.held {
		for p := range held {
			if byFeeds && !g.m.listed(p.from) || !byFeeds && !g.m.banned(p.from, p.port, g.now) {
				delete(held, p)
			}
		}
	}
}

// watch looks for packets that slip through.
func (g *game) watch(what string) {
	g.t.Helper()
	g.note(what)
	g.restrict()
	for byFeeds, held := range g.held {
		for p := range held {
			if !g.k.blocks(p.from, p.port, g.now, byFeeds) {
				g.t.Fatalf("after %s a packet from %s to %d slips through, which was stopped and is to be (by feeds: %t)\n%s", what, p.from, p.port, byFeeds, g.story())
			}
		}
	}
}

// note remembers what has happened last, for who wants to know why something failed.
func (g *game) note(what string) {
	g.last = append(g.last, what)
	if n := len(g.last) - 20; n > 0 {
		g.last = g.last[n:]
	}
}

func (g *game) story() string {
	return strings.Join(g.last, "\n") + fmt.Sprintf("\nclaims %v\nfeeds %v\nallowed %v\nscopes %v\nsets %v\nrules %v", g.m.claims, g.m.feeds, g.m.allow, g.m.scopes, g.k.sets, g.k.rules.Sets)
}

// forget gives up on packets that the kernel does not stop for a reason of its own.
func (g *game) forget() {
	for byFeeds, held := range g.held {
		for p := range held {
			if !g.k.blocks(p.from, p.port, g.now, byFeeds) {
				delete(held, p)
			}
		}
	}
}

// play lets the bytes decide what happens to a table and to the model, watches every step, and compares
// them whenever all is settled.
func play(t *testing.T, ops []byte, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, 1))
	g := &game{
		t: t, r: r, now: epoch, table: firewall.NewTable(), feeds: firewall.NewFeeds(6), k: newKernel(),
		m:    &model{scopes: map[string][]firewall.Scope{}, claims: map[[2]string]time.Time{}, feeds: map[string][]netip.Prefix{}},
		held: map[bool]map[packet]bool{false: {}, true: {}},
	}
	g.plan()
	for _, op := range ops {
		g.do(op)
		g.restrict()
		g.watch(fmt.Sprintf("op %d", op&15))
		if r.IntN(8) > 0 {
			continue
		}
		mark := g.table.Mark(g.plans)
		settleIn(t, g.table, g.k, g.now, 1+r.IntN(4), g.watch)
		if !g.table.Reached(mark) {
			t.Fatal("all is settled, but the mark is not reached")
		}
		g.compare()
	}
}

func (g *game) compare() {
	g.t.Helper()
	if got, want := g.k.lasting(g.now), g.m.want(g.now); len(g.m.allow) == 0 && got != want {
		g.t.Fatalf("the kernel holds\n%s\nwant\n%s", got, want)
	}
	for _, p := range universe() {
		for byFeeds, want := range map[bool]bool{false: g.m.banned(p.from, p.port, g.now), true: g.m.listed(p.from)} {
			if got := g.k.blocks(p.from, p.port, g.now, byFeeds); got != want {
				g.t.Fatalf("packets from %s to %d: stopped %t, want %t (by feeds: %t)", p.from, p.port, got, want, byFeeds)
			}
		}
		if g.m.listed(p.from) {
			g.held[true][p] = true
		}
		if g.m.banned(p.from, p.port, g.now) {
			g.held[false][p] = true
		}
	}
	for s, n := range g.table.Counts() {
		if strings.HasPrefix(s.Group, "feed.") && n != len(g.k.sets[s]) {
			g.t.Fatalf("set %s holds %d, counted %d", s, len(g.k.sets[s]), n)
		}
	}
}

func (g *game) do(op byte) {
	g.t.Helper()
	r := g.r
	owner := string('a' + rune(op>>4&3))
	prefixes := []string{"192.0.2.1/32", "192.0.2.2/32", "192.0.2.0/28", "2001:db8::1/128", "2001:db8::/121", "192.0.2.4/30"}
	p := prefixes[r.IntN(len(prefixes))]
	switch op & 15 {
	case 0, 1, 2, 3:
		w := firewall.Wish{Owner: owner, Prefix: netip.MustParsePrefix(p)}
		if d := r.IntN(4); d > 0 {
			w.Until = g.now.Add(time.Duration(d) * time.Minute)
		}
		if err := g.table.Wish(w); err != nil {
			g.t.Fatal(err)
		}
		if g.m.scopes[owner] != nil {
			g.m.claims[[2]string{owner, p}] = w.Until
		}
	case 4, 5:
		if err := g.table.Wish(firewall.Wish{Owner: owner, Prefix: netip.MustParsePrefix(p), Release: true}); err != nil {
			g.t.Fatal(err)
		}
		delete(g.m.claims, [2]string{owner, p})
	case 6, 7, 8: // part of the way, perhaps failing, perhaps failing after all was done
		g.partly()
	case 9:
		g.now = g.now.Add(time.Duration(r.IntN(90)) * time.Second)
		if r.IntN(4) == 0 {
			g.table.Expire(g.now)
		}
		g.forget() // the kernel ends what it was not told to go on with
	case 10:
		if r.IntN(3) == 0 {
			g.scopes()
		}
	case 11, 12:
		feed := []string{"feed:x", "feed:y"}[r.IntN(2)]
		list := randomPrefixes(r, 5)
		g.feeds.Replace(feed, cidr.Of(list...))
		if g.m.scopes[feed] != nil {
			g.m.feeds[feed] = list
		}
		g.plan()
	case 13:
		if r.IntN(3) == 0 {
			g.m.allow = randomPrefixes(r, 2)
			g.table.SetAllow(cidr.Of(g.m.allow...))
			g.feeds.SetAllow(cidr.Of(g.m.allow...))
			g.plan()
		}
	case 14:
		g.disturb()
	case 15:
		g.table.Rearm()
	}
}

func (g *game) partly() {
	if g.table.Next() != firewall.NeedElements {
		if g.r.IntN(3) > 0 {
			step(g.t, g.table, g.k, g.now, 3)
		}
		return
	}
	changes := g.table.Delta(g.now, 1+g.r.IntN(3))
	if len(changes) == 0 {
		return
	}
	if g.r.IntN(3) > 0 {
		g.k.apply(g.t, changes, g.now)
		if g.r.IntN(3) > 0 {
			g.table.Applied(changes)
			return
		}
	} else if n := g.r.IntN(len(changes) + 1); !slices.ContainsFunc(changes, func(c firewall.Change) bool { return c.Remove }) {
		g.k.apply(g.t, changes[:n], g.now) // parts of it
	}
	later := g.r.IntN(2) == 0
	g.table.Failed(changes, later)
	for _, c := range changes {
		for _, held := range g.held {
			for p := range held {
				if later && c.Prefix.Contains(p.from) {
					delete(held, p) // nothing waits for what the kernel does not take
				}
			}
		}
	}
}

func (g *game) scopes() {
	if g.table.Next() == firewall.NeedSurvey {
		clear(g.held[true]) // see restart
	}
	scopes := randomScopes(g.r)
	g.table.SetScopes(scopes)
	g.feeds.SetScopes(scopes)
	g.plan()
	clear(g.m.scopes)
	for _, s := range scopes {
		g.m.scopes[s.Owner] = append(g.m.scopes[s.Owner], s)
	}
	for k := range g.m.claims {
		if g.m.scopes[k[0]] == nil {
			delete(g.m.claims, k)
		}
	}
	for name := range g.m.feeds {
		if g.m.scopes[name] == nil {
			delete(g.m.feeds, name)
		}
	}
}

// disturb is what others do.
func (g *game) disturb() {
	switch g.r.IntN(5) {
	case 0: // somebody else has taken everything away
		g.k = newKernel()
		g.table.Invalidate()
	case 1: // or a set with its rules
		for s := range g.k.sets {
			delete(g.k.sets, s)
			g.k.rules.Sets = slices.DeleteFunc(slices.Clone(g.k.rules.Sets), func(o firewall.Set) bool { return o == s })
			break
		}
		g.table.Invalidate()
	case 2: // or has put something in that nobody wants, or taken something out
		for s, held := range g.k.sets {
			if g.r.IntN(2) == 0 && !s.V6 {
				held[netip.PrefixFrom(netip.MustParseAddr("192.0.2.9"), s.Bits).Masked()] = time.Time{}
			}
			break
		}
		g.table.Invalidate()
	case 3: // the process is another, which has still to hear of feeds
		g.restart()
	case 4:
		for s := range g.table.Counts() {
			g.table.Renew(s)
			break
		}
	}
	g.forget()
}

// restart makes a new table for what the kernel holds, as the next process does.
func (g *game) restart() {
	scopes := []firewall.Scope{}
	for _, name := range []string{"a", "b", "c", "feed:x", "feed:y"} {
		scopes = append(scopes, g.m.scopes[name]...)
	}
	g.table, g.feeds = firewall.NewTable(), firewall.NewFeeds(6)
	g.table.SetScopes(scopes)
	g.feeds.SetScopes(scopes)
	g.table.TakePlan(g.feeds.Plan(0))
	for _, s := range g.k.rules.Sets {
		if _, stays := g.table.Layout().Group(s); !stays {
			// A feed that is configured otherwise over a restart is loaded anew after the start.
			clear(g.held[true])
		}
	}
	g.table.SetAllow(cidr.Of(g.m.allow...))
	g.feeds.SetAllow(cidr.Of(g.m.allow...))
	for k, until := range g.m.claims {
		if err := g.table.Wish(firewall.Wish{Owner: k[0], Prefix: netip.MustParsePrefix(k[1]), Until: until}); err != nil {
			g.t.Fatal(err)
		}
	}
	g.plans = 0
	g.table.TakePlan(g.feeds.Plan(0))
	for range g.r.IntN(6) {
		step(g.t, g.table, g.k, g.now, 2)
		g.watch("a step of a new process")
	}
	for name := range g.m.scopes {
		if strings.HasPrefix(name, "feed:") {
			g.feeds.Replace(name, cidr.Of(g.m.feeds[name]...))
		}
	}
	g.plan()
}

func TestTableAgainstModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 2))
		ops := make([]byte, 400)
		for i := range ops {
			ops[i] = byte(r.Uint32())
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { play(t, append([]byte{10, 10, 10, 10}, ops...), seed) })
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte{10, 0, 8, 4, 3, 7}, uint64(1))
	f.Add([]byte{10, 10, 10, 0, 32, 64, 4, 4, 5, 3, 7, 0, 4, 11, 12, 13, 14}, uint64(7))
	f.Fuzz(func(t *testing.T, ops []byte, seed uint64) { play(t, ops[:min(len(ops), 2000)], seed) })
}
