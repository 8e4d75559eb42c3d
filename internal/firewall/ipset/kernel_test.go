package ipset_test

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// variants are both kinds of iptables.
func variants() []ipset.Options {
	return []ipset.Options{{IPv4: "iptables-legacy", IPv6: "ip6tables-legacy"}, {IPv4: "iptables-nft", IPv6: "ip6tables-nft"}}
}

// need skips where a kind does not work.
func need(t *testing.T, o ipset.Options) {
	t.Helper()
	for _, name := range []string{o.IPv4, o.IPv6} {
		if out, err := exec.CommandContext(t.Context(), name, "-w", "10", "-t", "raw", "-S").CombinedOutput(); err != nil {
			t.Skipf("%s does not work here: %v %s", name, err, out)
		}
	}
}

// open makes a Backend that is ready to be surveyed.
func open(t *testing.T, o ipset.Options) *ipset.Backend {
	t.Helper()
	b, err := ipset.New(o)
	if errors.Is(err, firewall.ErrUnsupported) || errors.Is(err, firewall.ErrPermission) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// tool runs a program as an operator would.
func tool(t *testing.T, input string, words ...string) string {
	t.Helper()
	out, err := try(t, input, words...)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(words, " "), err, out)
	}
	return out
}

func try(t *testing.T, input string, words ...string) (string, error) {
	t.Helper()
	if _, err := exec.LookPath(words[0]); err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(t.Context(), words[0], words[1:]...)
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

var (
	all  = firewall.Group{Name: "all.drop"}
	ssh  = firewall.Group{Name: "tcp.22.drop.hits", Protocols: []uint8{6}, Ports: []firewall.PortRange{{First: 22, Last: 22}}, Counted: true}
	feed = firewall.Group{Name: "feed.drop.both", Lasting: true, Both: true}
	logs = firewall.Group{Name: "feed.log", Lasting: true, Verdict: firewall.Log}
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// layoutOf puts sets of groups together; a set is written as Set.String does it.
func layoutOf(t *testing.T, groups []firewall.Group, names ...string) firewall.Layout {
	t.Helper()
	l := firewall.Layout{Groups: groups}
	for _, name := range names {
		l.Sets = append(l.Sets, set(t, name))
	}
	return l
}

func set(t *testing.T, name string) firewall.Set {
	t.Helper()
	s, ok := firewall.ParseSet(name)
	if !ok {
		t.Fatalf("no set's name: %s", name)
	}
	return s
}

// add makes an addition to a set of a layout.
func add(t *testing.T, name, prefix string, timeout time.Duration) firewall.Change {
	t.Helper()
	return firewall.Change{Set: set(t, name), Prefix: netip.MustParsePrefix(prefix), Timeout: timeout}
}

func remove(t *testing.T, name, prefix string) firewall.Change {
	t.Helper()
	c := add(t, name, prefix, 0)
	c.Remove = true
	return c
}

// lay brings a layout with its contents in force, as the Keeper does.
func lay(t *testing.T, b *ipset.Backend, l firewall.Layout, changes ...firewall.Change) firewall.Standing {
	t.Helper()
	st, err := b.Survey(l)
	must(t, err)
	must(t, b.Prepare(l))
	must(t, b.Apply(changes))
	must(t, b.Commit(l))
	return st
}

// holds compares what the kernel lists with what is wanted: "set prefix" in any order, with a timeout in
// whole minutes behind it where there is one.
func holds(t *testing.T, b *ipset.Backend, want ...string) {
	t.Helper()
	v, err := b.Inspect(-1)
	must(t, err)
	got := []string{}
	for _, e := range v.Elements {
		line := e.Set + " " + e.Prefix.String()
		if e.Timeout > 0 {
			line += " " + (e.Timeout + 59*time.Second).Truncate(time.Minute).String()
		}
		got = append(got, line)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("the kernel holds\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	total := 0
	for _, n := range v.Counts {
		total += n
	}
	if total != len(want) {
		t.Errorf("%d elements are counted, want %d", total, len(want))
	}
}

func TestKernelHoldsElementsOfAllFamiliesAndLengths(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			l := layoutOf(t, []firewall.Group{all, ssh, feed}, "all.drop.v4", "all.drop.v4-1", "all.drop.v4-24", "all.drop.v6",
				"all.drop.v6-64", "all.drop.v6-1", "tcp.22.drop.hits.v4", "feed.drop.both.v4", "feed.drop.both.v4.b", "feed.drop.both.v6-127.b")
			lay(
				t, b, l,
				add(t, "all.drop.v4", "192.0.2.1/32", time.Hour), add(t, "all.drop.v4", "0.0.0.0/32", 0),
				add(t, "all.drop.v4-1", "0.0.0.0/1", time.Hour), add(t, "all.drop.v4-1", "128.0.0.0/1", 0),
				add(t, "all.drop.v4-24", "192.0.2.0/24", time.Hour), add(t, "all.drop.v6", "2001:db8::1/128", 0),
				add(t, "all.drop.v6-64", "2001:db8::/64", time.Hour), add(t, "all.drop.v6-1", "8000::/1", 0),
				add(t, "tcp.22.drop.hits.v4", "192.0.2.1/32", 2*time.Hour), add(t, "feed.drop.both.v4", "198.51.100.1/32", 0),
				add(t, "feed.drop.both.v4.b", "198.51.100.2/32", 0), add(t, "feed.drop.both.v6-127.b", "2001:db8::2/127", 0),
			)
			holds(
				t, b, "all.drop.v4 192.0.2.1/32 1h0m0s", "all.drop.v4 0.0.0.0/32", "all.drop.v4-1 0.0.0.0/1 1h0m0s",
				"all.drop.v4-1 128.0.0.0/1", "all.drop.v4-24 192.0.2.0/24 1h0m0s", "all.drop.v6 2001:db8::1/128",
				"all.drop.v6-64 2001:db8::/64 1h0m0s", "all.drop.v6-1 8000::/1", "tcp.22.drop.hits.v4 192.0.2.1/32 2h0m0s",
				"feed.drop.both.v4 198.51.100.1/32", "feed.drop.both.v4.b 198.51.100.2/32", "feed.drop.both.v6-127.b 2001:db8::2/127",
			)
			// Removing what is not there, and adding what is, is fine.
			must(t, b.Apply([]firewall.Change{
				remove(t, "all.drop.v4-1", "0.0.0.0/1"), remove(t, "all.drop.v4", "192.0.2.77/32"), remove(t, "feed.drop.both.v4", "198.51.100.1/32"),
				remove(t, "all.drop.v6-1", "8000::/1"), add(t, "feed.drop.both.v4.b", "198.51.100.2/32", 0),
			}))
			v, err := b.Inspect(3)
			must(t, err)
			if len(v.Elements) != 3 || v.Memory <= 0 {
				t.Errorf("%d elements and %d bytes with a limit of 3", len(v.Elements), v.Memory)
			}
			for _, wrong := range []firewall.Change{
				add(t, "all.drop.v4", "192.0.2.0/24", 0), add(t, "all.drop.v6", "192.0.2.1/32", 0), add(t, "all.drop.v4-24", "192.0.2.1/24", 0),
				{Set: firewall.Set{Group: "all.drop"}, Prefix: netip.MustParsePrefix("0.0.0.0/0")},
			} {
				if err := b.Apply([]firewall.Change{wrong}); err == nil {
					t.Errorf("%s is taken into %s", wrong.Prefix, wrong.Set)
				}
			}
			must(t, b.Close(false))
			if out := tool(t, "", "ipset", "list", "-name"); out != "" {
				t.Errorf("sets are left: %s", out)
			}
			for _, name := range []string{o.IPv4, o.IPv6} {
				for _, table := range []string{"raw", "mangle"} {
					if out := tool(t, "", name, "-t", table, "-S"); strings.Contains(out, "PALISADE") {
						t.Errorf("rules are left: %s", out)
					}
				}
			}
		})
	}
}

func TestKernelTimeoutsAreWhatTheLastAdditionSays(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			lay(
				t, b, layoutOf(t, []firewall.Group{all, ssh}, "all.drop.v4", "tcp.22.drop.hits.v4"),
				add(t, "all.drop.v4", "192.0.2.1/32", time.Hour), add(t, "all.drop.v4", "192.0.2.2/32", time.Hour),
				add(t, "all.drop.v4", "192.0.2.3/32", 0), add(t, "all.drop.v4", "192.0.2.4/32", time.Hour),
				add(t, "all.drop.v4", "192.0.2.5/32", 1000*24*time.Hour), add(t, "all.drop.v4", "192.0.2.6/32", time.Millisecond),
			)
			must(t, b.Apply([]firewall.Change{
				add(t, "all.drop.v4", "192.0.2.1/32", 3*time.Hour), add(t, "all.drop.v4", "192.0.2.2/32", 0),
				add(t, "all.drop.v4", "192.0.2.3/32", 2*time.Hour), add(t, "all.drop.v4", "192.0.2.4/32", time.Minute),
			}))
			// A ban of a thousand days is longer than the kernel can count: it stays until it is removed.
			want := []string{
				"all.drop.v4 192.0.2.1/32 3h0m0s", "all.drop.v4 192.0.2.2/32", "all.drop.v4 192.0.2.3/32 2h0m0s",
				"all.drop.v4 192.0.2.4/32 1m0s", "all.drop.v4 192.0.2.5/32",
			}
			s := set(t, "all.drop.v4")
			p := []netip.Prefix{netip.MustParsePrefix("192.0.2.6/32")}
			for deadline := time.Now().Add(time.Minute); ; {
				held, err := b.Probe(s, p)
				must(t, err)
				if !held[0].Present {
					break
				}
				if time.Now().After(deadline) {
					t.Fatal("a ban of a millisecond does not end")
				}
			}
			holds(t, b, want...)
			held, err := b.Probe(s, []netip.Prefix{
				netip.MustParsePrefix("192.0.2.9/32"), netip.MustParsePrefix("192.0.2.2/32"), netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32"),
			})
			must(t, err)
			if held[0].Present || !held[1].Present || held[1].Timeout != 0 || held[2].Timeout < 2*time.Hour || held[3] != held[1] {
				t.Errorf("looked up: %+v", held)
			}
			must(t, b.Close(false))
		})
	}
}

// many gives n hosts.
func many(s firewall.Set, n int, remove bool) []firewall.Change {
	changes := make([]firewall.Change, n)
	for i := range changes {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if s.V6 {
			a = netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i)})
		}
		changes[i] = firewall.Change{Set: s, Prefix: netip.PrefixFrom(a, s.Bits), Remove: remove}
		if !remove {
			changes[i].Timeout = time.Hour
		}
	}
	return changes
}

func TestKernelTakesAHundredThousandElementsOfTwoSetsInOneApply(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			v4, v6 := set(t, "all.drop.v4"), set(t, "all.drop.v6-64")
			l := layoutOf(t, []firewall.Group{all}, "all.drop.v4", "all.drop.v6-64")
			l.Sizes = map[firewall.Set]int{v4: 60_000, v6: 40_000}
			// They come in turns.
			var changes []firewall.Change
			first, second := many(v4, 60_000, false), many(v6, 40_000, false)
			for i := range first {
				changes = append(changes, first[i])
				if i < len(second) {
					changes = append(changes, second[i])
				}
			}
			start := time.Now()
			lay(t, b, l, changes...)
			took := time.Since(start)
			v, err := b.Inspect(0)
			must(t, err)
			if want := map[firewall.Set]int{v4: 60_000, v6: 40_000}; !maps.Equal(v.Counts, want) {
				t.Errorf("counted %v, want %v", v.Counts, want)
			}
			start = time.Now()
			must(t, b.Apply(slices.Concat(many(v4, 30_000, true), many(v6, 39_999, true))))
			v, err = b.Inspect(-1)
			must(t, err)
			if v.Counts[v4] != 30_000 || v.Counts[v6] != 1 || len(v.Elements) != 30_001 {
				t.Errorf("counted %v, listed %d", v.Counts, len(v.Elements))
			}
			t.Logf("100,000 elements in %s, %d bytes; 70,000 out in %s", took, v.Memory, time.Since(start))
			must(t, b.Close(false))
		})
	}
}

func TestKernelSaysWhenASetIsFull(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			tool(t, "", "ipset", "create", "pal-all.drop.v4", "hash:ip", "timeout", "0", "maxelem", "2")
			b := open(t, o)
			l := layoutOf(t, []firewall.Group{all}, "all.drop.v4")
			lay(t, b, l)
			err := b.Apply(many(l.Sets[0], 100, false))
			if !errors.Is(err, firewall.ErrFull) || !strings.Contains(fmt.Sprint(err), "all.drop.v4") {
				t.Errorf("a full set: %v", err)
			}
			must(t, b.Close(false))
		})
	}
}
