package nft_test

import (
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
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

// wished makes a table of scopes and bans, "owner prefix" each, with the timeout 1 h or none.
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

func nothing() iter.Seq[firewall.Change] { return func(func(firewall.Change) bool) {} }

// held lists what the kernel holds as "set prefix" with the timeouts in whole minutes, rounded up.
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

func nftTool(tb testing.TB, args ...string) (string, error) {
	tb.Helper()
	path, err := exec.LookPath("nft")
	if err != nil {
		if _, missing := os.Stat("/usr/sbin/nft"); missing != nil {
			tb.Skip("no nft tool here")
		}
		path = "/usr/sbin/nft"
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

func TestKernelRuleset(t *testing.T) {
	if !namespace(t) {
		return
	}
	b := open(t, nft.Options{})
	table := wished(t, scopes(), 0, "jail:sshd 192.0.2.1", "jail:sshd 192.0.2.77/24", "jail:web 2001:db8::1", "jail:recidive 2001:db8:5::/64")
	for range 2 { // the second time it replaces itself
		if err := b.Replace(table.Layout(), table.All(time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	out, err := nftTool(t, "list", "table", "inet", "palisade")
	if err != nil {
		t.Fatal(err, out)
	}
	t.Log(out)
}

func TestKernelHoldsWhatMemoryHolds(t *testing.T) {
	if !namespace(t) {
		return
	}
	backends := []firewall.Backend{open(t, nft.Options{}), firewall.NewMemory()}
	table := wished(t, scopes(), time.Hour, "jail:sshd 192.0.2.1", "jail:sshd 192.0.2.77/24", "jail:web 2001:db8::1", "jail:recidive 2001:db8:5::/64", "jail:recidive 192.0.2.1")
	for _, b := range backends {
		if err := b.Replace(table.Layout(), table.All(time.Now())); err != nil {
			t.Fatal(err)
		}
	}
	if k, m := held(t, backends[0]), held(t, backends[1]); k != m || k == "" {
		t.Errorf("kernel:\n%s\nmemory:\n%s", k, m)
	}
	_ = slices.Contains[[]int]
	_ = nothing
}
