package nft_test

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

func open(tb testing.TB, o nft.Options) *nft.Backend {
	tb.Helper()
	b, err := nft.New(o)
	if errors.Is(err, firewall.ErrUnsupported) || errors.Is(err, firewall.ErrPermission) {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func prefix(text string) netip.Prefix {
	if strings.Contains(text, "/") {
		return netip.MustParsePrefix(text)
	}
	a := netip.MustParseAddr(text)
	return netip.PrefixFrom(a, a.BitLen())
}

func ports(list ...uint16) (ranges []firewall.PortRange) {
	for _, p := range list {
		ranges = append(ranges, firewall.PortRange{First: p, Last: p})
	}
	return ranges
}

// wished makes a table of scopes and bans, "owner prefix" each. A timeout of 0 is for ever.
func wished(tb testing.TB, scopes []firewall.Scope, timeout time.Duration, bans ...string) *firewall.Table {
	tb.Helper()
	t := firewall.NewTable()
	t.SetScopes(scopes)
	for _, ban := range bans {
		owner, p, _ := strings.Cut(ban, " ")
		w := firewall.Wish{Owner: owner, Prefix: prefix(p)}
		if timeout > 0 {
			w.Until = time.Now().Add(timeout)
		}
		if err := t.Wish(w); err != nil {
			tb.Fatal(err)
		}
	}
	return t
}

// lay brings all of a table to a backend.
func lay(tb testing.TB, b firewall.Backend, t *firewall.Table) {
	tb.Helper()
	if err := bring(b, t); err != nil {
		tb.Fatal(err)
	}
}

// bring brings all of a table to a backend, of which it knows nothing.
func bring(b firewall.Backend, t *firewall.Table) error {
	t.Invalidate()
	return settle(b, t, 2000)
}

func settle(b firewall.Backend, t *firewall.Table, batch int) error {
	for {
		switch t.Next() {
		case firewall.NeedSurvey:
			st, err := b.Survey(t.Layout())
			if err != nil {
				return err
			}
			t.Surveyed(st)
		case firewall.NeedPrepare:
			if err := b.Prepare(t.Layout()); err != nil {
				return err
			}
			t.Prepared()
		case firewall.NeedCommit:
			if err := b.Commit(t.Layout()); err != nil {
				return err
			}
			t.Committed()
		case firewall.NeedElements:
			changes := t.Delta(time.Now(), batch)
			if len(changes) == 0 {
				adopted := t.Adopted()
				if t.Next() == firewall.NeedElements && len(adopted) == 0 {
					return nil
				}
				v, err := b.Inspect(0)
				for _, s := range adopted {
					if err != nil || v.Counts[s] <= t.Lasting(time.Now())[s] || !t.Renew(s) {
						t.Trust(s)
					}
				}
				continue
			}
			if err := b.Apply(changes); err != nil {
				return err
			}
			t.Applied(changes)
		}
	}
}

// taken tells whether a backend finds a layout standing as it should be.
func taken(b firewall.Backend, l firewall.Layout) (bool, error) {
	st, err := b.Survey(l)
	return st.Rules && len(st.Sets) == len(l.Sets), err
}

// held lists what the kernel holds as "set prefix minutes", rounded up.
func held(tb testing.TB, b firewall.Backend) string {
	tb.Helper()
	v, err := b.Inspect(-1)
	if err != nil {
		tb.Fatal(err)
	}
	firewall.SortElements(v.Elements)
	var lines []string
	for _, e := range v.Elements {
		lines = append(lines, fmt.Sprintf("%s %s %d", e.Set, e.Prefix, (e.Timeout+time.Minute-1)/time.Minute))
	}
	return strings.Join(lines, "\n")
}

func wantHeld(tb testing.TB, b firewall.Backend, want ...string) {
	tb.Helper()
	if got := held(tb, b); got != strings.Join(want, "\n") {
		tb.Errorf("the kernel holds\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

// nftTool runs the nft tool, which stands for everybody else who changes the firewall.
func nftTool(tb testing.TB, args ...string) (string, error) {
	tb.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		path = "/usr/sbin/nft"
		if _, err := os.Stat(path); err != nil {
			tb.Skip("the nft tool is not installed")
		}
	}
	out, err := exec.CommandContext(tb.Context(), path, args...).CombinedOutput()
	return string(out), err
}

func scopes() []firewall.Scope {
	return []firewall.Scope{
		{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(22)},
		{Owner: "jail:web", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(80, 443), Verdict: firewall.Reject},
		{Owner: "jail:dns", Protocols: []firewall.Protocol{"udp", "tcp"}, Ports: ports(53)},
		{Owner: "jail:wide", Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 20, Last: 30}, {First: 6000, Last: 7000}}},
		{Owner: "jail:recidive", AllPorts: true},
		{Owner: "jail:alltcp", AllPorts: true, Protocols: []firewall.Protocol{"tcp"}, Verdict: firewall.Reject},
		{Owner: "jail:ping", Protocols: []firewall.Protocol{"icmp"}},
	}
}

func TestKernelRulesetAsTheNftToolShowsIt(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{})
	table := wished(t, scopes(), 0, "jail:sshd 192.0.2.1", "jail:sshd 192.0.2.77/24", "jail:web 2001:db8::1", "jail:recidive 2001:db8:5::/64")
	for range 2 { // the second time it replaces itself
		lay(t, b, table)
	}
	out, err := nftTool(t, "list", "table", "inet", "palisade")
	if err != nil {
		t.Fatal(err, out)
	}
	for _, line := range []string{
		"type filter hook prerouting priority raw; policy accept;",
		`iif "lo" accept comment`,
		"ip saddr @all.drop.v4 drop comment",
		"ip6 saddr & ffff:ffff:ffff:ffff:: == @all.drop.v6-64 drop comment",
		"meta l4proto icmp jump icmp_icmpv6.drop comment",
		"meta l4proto ipv6-icmp jump icmp_icmpv6.drop comment",
		"meta l4proto tcp jump tcp.reject comment",
		"21 : jump tcp.20-30_6000-7000.drop, 22 : jump mix.1, 23 : jump",
		"53 : jump tcp_udp.53.drop, 80 : jump tcp.80_443.reject, 443 : jump tcp.80_443.reject }",
		"tcp dport 6000-7000 jump tcp.20-30_6000-7000.drop comment",
		"udp dport vmap { 53 : jump tcp_udp.53.drop } comment",
		"jump tcp.22.drop comment",
		"ip saddr & 255.255.255.0 == @tcp.22.drop.v4-24 drop comment",
		"ip6 saddr @tcp.80_443.reject.v6 reject comment",
		"gc-interval 1m",
		"elements = { 192.0.2.0 }",
		"elements = { 2001:db8:5:: }",
	} {
		if strings.Count(out, line) == 0 {
			t.Errorf("nft does not show %q", line)
		}
	}
	if n := strings.Count(out, "chain prerouting"); n != 1 || t.Failed() {
		t.Errorf("%d base chains in\n%s", n, out)
	}
	// The probe has left nothing behind.
	if out, err := nftTool(t, "list", "tables"); err != nil || strings.TrimSpace(out) != "table inet palisade" {
		t.Errorf("tables: %s, %v", out, err)
	}
	if err := b.Close(false); err != nil {
		t.Fatal(err)
	}
	if out, err := nftTool(t, "list", "ruleset"); err != nil || out != "" {
		t.Errorf("Close(false) leaves %s, %v", out, err)
	}
}

// older are kernels that lack this or that.
var older = map[string]nft.Features{
	"as it is": {}, "no update": {Update: true}, "no destroy": {Destroy: true}, "neither": {Update: true, Destroy: true},
}

func TestKernelApply(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	v4, v6 := firewall.Set{Group: "tcp.22.drop", Bits: 32}, firewall.Set{Group: "tcp.22.drop", V6: true, Bits: 128}
	put := func(p string, d time.Duration) firewall.Change {
		return firewall.Change{Set: v4, Prefix: prefix(p), Timeout: d}
	}
	remove := func(p string) firewall.Change { return firewall.Change{Set: v4, Prefix: prefix(p), Remove: true} }
	for name, lacks := range older {
		b := open(t, nft.Options{})
		b.Without(lacks)
		lay(t, b, wished(t, scopes()[:1], 0))
		steps := []struct {
			changes []firewall.Change
			want    []string
		}{
			{[]firewall.Change{put("192.0.2.1", time.Hour), put("192.0.2.2", 0)}, []string{"tcp.22.drop.v4 192.0.2.1/32 60", "tcp.22.drop.v4 192.0.2.2/32 0"}},
			// Longer, shorter, finite.
			{[]firewall.Change{put("192.0.2.1", 3*time.Hour), put("192.0.2.2", time.Hour)}, []string{"tcp.22.drop.v4 192.0.2.1/32 180", "tcp.22.drop.v4 192.0.2.2/32 60"}},
			{[]firewall.Change{put("192.0.2.1", 0), put("192.0.2.2", time.Minute)}, []string{"tcp.22.drop.v4 192.0.2.1/32 0", "tcp.22.drop.v4 192.0.2.2/32 1"}},
			// What is gone already, or never was, may be removed.
			{[]firewall.Change{remove("192.0.2.1"), remove("192.0.2.3")}, []string{"tcp.22.drop.v4 192.0.2.2/32 1"}},
			{[]firewall.Change{remove("192.0.2.1"), put("192.0.2.4", 40*365*24*time.Hour)}, []string{"tcp.22.drop.v4 192.0.2.2/32 1", "tcp.22.drop.v4 192.0.2.4/32 21024000"}},
			{[]firewall.Change{{Set: v6, Prefix: prefix("2001:db8::1"), Fresh: true}, remove("192.0.2.2"), remove("192.0.2.4")}, []string{"tcp.22.drop.v6 2001:db8::1/128 0"}},
		}
		for i, s := range steps {
			for range 2 { // twice is as good as once
				for j := range s.changes {
					if err := b.Apply(s.changes); err != nil {
						t.Fatalf("%s, step %d: %v", name, i, err)
					}
					s.changes[j].Fresh = false
				}
			}
			wantHeld(t, b, s.want...)
		}
		if err := b.Close(false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelRefusesWhatDoesNotBelong(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{})
	set := firewall.Set{Group: "tcp.22.drop", Bits: 32}
	if err := b.Apply([]firewall.Change{{Set: set, Prefix: prefix("192.0.2.1")}}); !errors.Is(err, firewall.ErrLost) {
		t.Errorf("before there is a layout: %v", err)
	}
	lay(t, b, wished(t, scopes()[:1], 0))
	for name, c := range map[string]firewall.Change{
		"family":    {Set: set, Prefix: prefix("2001:db8::1")},
		"length":    {Set: set, Prefix: prefix("192.0.2.0/24")},
		"host bits": {Set: firewall.Set{Group: "tcp.22.drop", Bits: 24}, Prefix: prefix("192.0.2.1/24")},
		"no set":    {Set: firewall.Set{Group: "tcp.23.drop", Bits: 32}, Prefix: prefix("192.0.2.1")},
		"nothing":   {Set: set},
	} {
		if err := b.Apply([]firewall.Change{{Set: set, Prefix: prefix("192.0.2.9")}, c}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	wantHeld(t, b, "")
}

// both are two backends that are told the same.
type both struct {
	firewall.Backend
	second firewall.Backend
}

func (b both) Survey(l firewall.Layout) (firewall.Standing, error) {
	if _, err := b.second.Survey(l); err != nil {
		return firewall.Standing{}, err
	}
	return b.Backend.Survey(l)
}

func (b both) Prepare(l firewall.Layout) error {
	return errors.Join(b.Backend.Prepare(l), b.second.Prepare(l))
}

func (b both) Commit(l firewall.Layout) error {
	return errors.Join(b.Backend.Commit(l), b.second.Commit(l))
}

func (b both) Apply(c []firewall.Change) error {
	return errors.Join(b.Backend.Apply(c), b.second.Apply(c))
}

func TestKernelHoldsWhatMemoryHolds(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for name, lacks := range older {
		kernel := open(t, nft.Options{})
		kernel.Without(lacks)
		backends := []firewall.Backend{kernel, firewall.NewMemory()}
		r := rand.New(rand.NewPCG(1, 2))
		table := wished(t, scopes(), 0)
		now := time.Now()
		for round := range 30 {
			for range r.IntN(200) {
				all := scopes()
				w := firewall.Wish{Owner: all[r.IntN(len(all))].Owner, Release: r.IntN(3) == 0}
				if r.IntN(2) > 0 {
					w.Until = now.Add(time.Duration(1+r.IntN(9)) * time.Hour)
				}
				if r.IntN(2) > 0 {
					w.Prefix = netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(r.IntN(64))}), []int{32, 32, 32, 24, 17}[r.IntN(5)])
				} else {
					w.Prefix = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, byte(r.IntN(3)), 15: byte(r.IntN(9))}), []int{128, 128, 64, 47}[r.IntN(4)])
				}
				if err := table.Wish(w); err != nil {
					t.Fatal(err)
				}
			}
			if round%10 == 9 {
				all := scopes()
				r.Shuffle(len(all), func(i, j int) { all[i].Ports, all[j].Ports = all[j].Ports, all[i].Ports })
				table.SetScopes(all)
			}
			for range 2 {
				if err := settle(both{kernel, backends[1]}, table, 50); err != nil {
					t.Fatal(err)
				}
			}
			if k, m := held(t, backends[0]), held(t, backends[1]); k != m {
				t.Fatalf("%s, round %d: the kernel holds\n%s\nmemory\n%s", name, round, k, m)
			}
			v, err := backends[0].Inspect(7)
			if err != nil || len(v.Elements) > 7 {
				t.Fatalf("%d elements instead of 7, %v", len(v.Elements), err)
			}
		}
		if err := kernel.Close(false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelTableOutlivesItsOwner(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, plain := range []bool{false, true} {
		first := open(t, nft.Options{Plain: plain})
		table := wished(t, scopes(), time.Hour, "jail:sshd 192.0.2.1", "jail:recidive 2001:db8::1")
		lay(t, first, table)

		second := open(t, nft.Options{Plain: plain, Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
		if first.Owned() {
			if _, err := second.Survey(table.Layout()); !errors.Is(err, firewall.ErrOwned) {
				t.Errorf("while the owner lives: %v", err)
			}
		}
		if err := first.Vanish(); err != nil {
			t.Fatal(err)
		}
		kept, err := taken(second, table.Layout())
		if err != nil || !kept {
			t.Fatalf("claimed %v, %v", kept, err)
		}
		wantHeld(t, second, "all.drop.v6 2001:db8::1/128 60", "tcp.22.drop.v4 192.0.2.1/32 60")
		v, err := second.Inspect(0)
		if err != nil || v.Counts != nil && v.Counts[firewall.Set{Group: "tcp.22.drop", Bits: 32}] != 1 {
			t.Errorf("counts %v, %v", v.Counts, err)
		}
		if err := second.Apply([]firewall.Change{{Set: firewall.Set{Group: "tcp.22.drop", Bits: 32}, Prefix: prefix("192.0.2.1"), Remove: true}}); err != nil {
			t.Fatal(err)
		}
		if err := second.Close(true); err != nil {
			t.Fatal(err)
		}
		// Other scopes than the table's: not to be kept.
		third := open(t, nft.Options{Plain: plain})
		other := wished(t, scopes()[1:], time.Hour, "jail:web 192.0.2.5")
		if kept, err := taken(third, other.Layout()); err != nil || kept {
			t.Fatalf("claimed %v, %v", kept, err)
		}
		lay(t, third, other)
		wantHeld(t, third, "tcp.80_443.reject.v4 192.0.2.5/32 60")
		if err := third.Close(false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestKernelEditedTableIsNotKept(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for name, edit := range map[string]string{
		"a rule is gone":     "flush chain inet palisade tcp.22.drop",
		"a rule more":        "insert rule inet palisade prerouting accept",
		"a set is gone":      "flush chain inet palisade tcp.22.drop; delete set inet palisade tcp.22.drop.v6",
		"all is gone":        "flush ruleset",
		"the flag is gone":   "delete table inet palisade; add table inet palisade",
		"the table sleeps":   "add table inet palisade { flags dormant ; }",
		"unhooked":           "delete chain inet palisade prerouting",
		"a chain in its way": "flush ruleset; add table inet palisade; add chain inet palisade prerouting",
	} {
		b := open(t, nft.Options{Plain: true})
		table := wished(t, scopes()[:1], 0, "jail:sshd 192.0.2.1")
		lay(t, b, table)
		if out, err := nftTool(t, edit); err != nil {
			// This nft cannot be brought to do such a thing.
			t.Logf("%s: %v\n%s", name, err, out)
			continue
		}
		if _, err := b.Inspect(0); !errors.Is(err, firewall.ErrLost) {
			t.Errorf("%s: noticed as %v", name, err)
		}
		if err := b.Close(true); err != nil {
			t.Fatal(err)
		}
		// Neither is it kept by the next process, nor is it in its way.
		for _, plain := range []bool{true, false} {
			next := open(t, nft.Options{Plain: plain})
			if kept, err := taken(next, table.Layout()); err != nil || kept {
				t.Errorf("%s: claimed %v, %v", name, kept, err)
			}
			if !plain {
				lay(t, next, table)
				wantHeld(t, next, "tcp.22.drop.v4 192.0.2.1/32 0")
				if err := next.Close(false); err != nil {
					t.Fatal(err)
				}
				continue
			}
			if err := next.Close(true); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestKernelOthersCannotTouchAnOwnedTable(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{})
	if !b.Owned() {
		t.Skip("this kernel has no tables with owners")
	}
	lay(t, b, wished(t, scopes()[:1], time.Hour, "jail:sshd 192.0.2.1"))
	for _, attack := range []string{
		"flush ruleset", "delete table inet palisade", "flush chain inet palisade prerouting",
		"delete element inet palisade tcp.22.drop.v4 { 192.0.2.1 }", "flush set inet palisade tcp.22.drop.v4",
		"insert rule inet palisade prerouting accept",
	} {
		out, err := nftTool(t, attack)
		if err == nil && attack != "flush ruleset" {
			t.Errorf("nft %s: done\n%s", attack, out)
		}
		wantHeld(t, b, "tcp.22.drop.v4 192.0.2.1/32 60")
	}
	if err := b.Close(false); err != nil {
		t.Fatal(err)
	}
}

func TestKernelForeignChangesElsewhereAreNoReasonToRebuild(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{Plain: true})
	lay(t, b, wished(t, scopes(), 0, "jail:sshd 192.0.2.1"))
	for range 3 {
		if out, err := nftTool(t, "add table inet other; delete table inet other"); err != nil {
			t.Fatal(err, out)
		}
		if err := b.Apply([]firewall.Change{{Set: firewall.Set{Group: "tcp.22.drop", Bits: 32}, Prefix: prefix("192.0.2.2")}}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Inspect(0); err != nil {
			t.Error(err)
		}
	}
}

func TestKernelWithoutPrivilegeSaysWhatToDo(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{})
	lay(t, b, wished(t, scopes(), 0))
	runtime.LockOSThread() // never unlocked: the thread is of no use any more
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	none := make([]unix.CapUserData, 2)
	if err := unix.Capset(&header, &none[0]); err != nil {
		t.Fatal(err)
	}
	var hint *firewall.Error
	_, err := nft.New(nft.Options{})
	if !errors.Is(err, firewall.ErrPermission) || !errors.As(err, &hint) || !strings.Contains(hint.Hint, "CAP_NET_ADMIN") {
		t.Errorf("New: %v", err)
	}
	if err := b.Apply([]firewall.Change{{Set: firewall.Set{Group: "tcp.22.drop", Bits: 32}, Prefix: prefix("192.0.2.1")}}); err == nil {
		t.Error("elements are added without privilege")
	}
}

// many gives n bans that all differ.
func many(n int) iter.Seq[firewall.Wish] {
	return func(yield func(firewall.Wish) bool) {
		until := time.Now().Add(time.Hour)
		for i := range n {
			p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
			if i%10 == 0 {
				p = netip.PrefixFrom(netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 12: byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}), 128)
			}
			if !yield(firewall.Wish{Owner: "jail:sshd", Prefix: p, Until: until}) {
				return
			}
		}
	}
}

func wishedMany(tb testing.TB, n int) *firewall.Table {
	tb.Helper()
	t := wished(tb, scopes(), 0)
	for w := range many(n) {
		if err := t.Wish(w); err != nil {
			tb.Fatal(err)
		}
	}
	return t
}

func TestKernelNoneOfManyIsLost(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	const n = 20_000
	for _, small := range []bool{false, true} {
		b := open(t, nft.Options{})
		if small {
			if err := b.SmallBuffer(); err != nil {
				t.Fatal(err)
			}
		}
		table := wishedMany(t, n)
		for range 2 {
			lay(t, b, table)
		}
		v, err := b.Inspect(-1)
		if err != nil || len(v.Elements) != n {
			t.Errorf("%d elements of %d, %v", len(v.Elements), n, err)
		}
		if err := b.Close(false); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkRestore100k(b *testing.B) {
	if !packets.Inside(b) {
		return
	}
	b.ReportAllocs()
	for b.Loop() {
		backend := open(b, nft.Options{})
		table := wishedMany(b, 100_000)
		lay(b, backend, table)
		if err := backend.Close(false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(maxRSS(b))/(1<<20), "MB-RSS")
	runtime.KeepAlive(b)
}

// maxRSS is the most memory that this process has had, in bytes.
func maxRSS(tb testing.TB) int64 {
	tb.Helper()
	data, err := os.ReadFile("/proc/self/status")
	if err != nil {
		tb.Fatal(err)
	}
	var kb int64
	_, rest, _ := strings.Cut(string(data), "VmHWM:")
	if _, err := fmt.Sscan(rest, &kb); err != nil {
		tb.Fatal(err)
	}
	return kb << 10
}

// BenchmarkBan is one ban and its end, as the kernel takes them.
func BenchmarkBan(b *testing.B) {
	if !packets.Inside(b) {
		return
	}
	backend := open(b, nft.Options{})
	lay(b, backend, wishedMany(b, 10_000))
	set := firewall.Set{Group: "tcp.22.drop", Bits: 32}
	ban := []firewall.Change{{Set: set, Prefix: prefix("192.0.2.1"), Timeout: time.Hour, Fresh: true}}
	unban := []firewall.Change{{Set: set, Prefix: prefix("192.0.2.1"), Remove: true}}
	b.ReportAllocs()
	for b.Loop() {
		if err := errors.Join(backend.Apply(ban), backend.Apply(unban)); err != nil {
			b.Fatal(err)
		}
	}
}

func TestKernelAChangeThatWasCutShortLeavesNothing(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	table := wished(t, scopes(), time.Hour, "jail:sshd 192.0.2.1", "jail:recidive 2001:db8::1")
	for _, o := range []nft.Options{{}, {Plain: true}} {
		for changes := range 3 {
			first := open(t, o)
			lay(t, first, table)
			for range changes {
				if err := first.Commit(table.Layout()); err != nil {
					t.Fatal(err)
				}
			}
			if err := first.LeaveHalf(table.Layout()); err != nil {
				t.Fatal(err)
			}
			second := open(t, o)
			lay(t, second, table)
			out, err := nftTool(t, "list", "table", "inet", "palisade")
			if err != nil || strings.Count(out, "hook prerouting") != 1 || strings.Count(out, "chain tcp.22.drop") != 1 {
				t.Errorf("%+v after %d changes: %v\n%s", o, changes, err, out)
			}
			wantHeld(t, second, "all.drop.v6 2001:db8::1/128 60", "tcp.22.drop.v4 192.0.2.1/32 60")
			if err := second.Close(false); err != nil {
				t.Fatal(err)
			}
			if out, err := nftTool(t, "list", "tables"); err != nil || strings.TrimSpace(out) != "" {
				t.Errorf("Close leaves %s, %v", out, err)
			}
		}
	}
}

func feeds() []firewall.Scope {
	return []firewall.Scope{
		{Owner: "feed:in", Feed: true}, {Owner: "feed:both", Feed: true, Both: true}, {Owner: "feed:try", Feed: true, Verdict: firewall.Log},
	}
}

func TestKernelFeedsAsTheNftToolShowsThem(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{})
	table := wished(t, append(scopes()[:1:1], feeds()...), 0, "jail:sshd 192.0.2.1")
	plan := firewall.NewFeeds(0)
	plan.SetScopes(feeds())
	plan.Replace("feed:in", cidr.Of(prefix("198.51.100.7"), prefix("1.2.3.0/20"), prefix("2001:db8:7::/48")))
	plan.Replace("feed:both", cidr.Of(prefix("203.0.113.0/24")))
	plan.Replace("feed:try", cidr.Of(prefix("2001:db8::99")))
	table.TakePlan(plan.Plan(1))
	lay(t, b, table)
	out, err := nftTool(t, "list", "table", "inet", "palisade")
	if err != nil {
		t.Fatal(err, out)
	}
	for _, line := range []string{
		"ip saddr @feed.drop.v4 counter packets 0 bytes 0 drop comment",
		"ip saddr & 255.255.240.0 == @feed.drop.v4-20 counter packets 0 bytes 0 drop comment",
		"elements = { 1.2.0.0 }",
		"ip saddr & 255.255.255.0 == @feed.drop.both.v4-24 counter",
		"ip daddr & 255.255.255.0 == @feed.drop.both.v4-24 counter",
		"type filter hook output priority raw; policy accept;", "type filter hook forward priority raw; policy accept;",
		`ip6 saddr @feed.log.v6 counter packets 0 bytes 0 limit rate 10/second burst 20 packets log prefix "palisade feed: " comment`,
	} {
		if !strings.Contains(out, line) {
			t.Errorf("nft does not show %q", line)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
	wantHeld(t, b, "feed.drop.both.v4-24 203.0.113.0/24 0", "feed.drop.v4 198.51.100.7/32 0", "feed.drop.v4-20 1.2.0.0/20 0",
		"feed.drop.v6-48 2001:db8:7::/48 0", "feed.log.v6 2001:db8::99/128 0", "tcp.22.drop.v4 192.0.2.1/32 0")
	if _, err := b.Inspect(0); err != nil {
		t.Error(err)
	}
}

func TestKernelProbesSingleElements(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	b := open(t, nft.Options{})
	counted := scopes()[:1]
	counted[0].Counted = true
	var bans []string
	var asked []netip.Prefix
	for i := range 700 {
		p := fmt.Sprintf("10.0.%d.%d", i/256, i%256)
		asked = append(asked, prefix(p))
		if i%3 > 0 {
			bans = append(bans, "jail:sshd "+p)
		}
	}
	lay(t, b, wished(t, counted, time.Hour, bans...))
	got, err := b.Probe(firewall.Set{Group: "tcp.22.drop.hits", Bits: 32}, asked)
	if err != nil || len(got) != len(asked) {
		t.Fatal(len(got), err)
	}
	for i, h := range got {
		if h.Present != (i%3 > 0) || h.Present && (h.Timeout <= 0 || h.Timeout > time.Hour) {
			t.Errorf("%s: %+v", asked[i], h)
		}
	}
	if _, err := b.Probe(firewall.Set{Group: "none", Bits: 32}, asked); !errors.Is(err, firewall.ErrLost) {
		t.Errorf("of a set that does not stand: %v", err)
	}
	if err := b.Close(false); err != nil {
		t.Fatal(err)
	}
}
