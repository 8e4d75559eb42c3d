package packets_test

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// tool runs a program, or skips where it is missing.
func tool(t *testing.T, stdin, name string, args ...string) string {
	t.Helper()
	out, err := runTool(t, stdin, name, args...)
	if err != nil {
		t.Fatalf("%s %s: %v\n%s\n%s", name, strings.Join(args, " "), err, stdin, out)
	}
	return out
}

// runTool is like tool, for what may fail.
func runTool(t *testing.T, stdin, name string, args ...string) (string, error) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s: run make deps as root", name)
	}
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// publishers publish the container's port 80 as the host's port 8080, as Docker does: by translation of
// the destination, with rules that accept what is forwarded to it (and the network's markers). Each gives
// what takes it back.
func publishers() map[string]func(*testing.T) func() {
	return map[string]func(*testing.T) func(){
		"nft":             publishByNft,
		"iptables-nft":    func(t *testing.T) func() { t.Helper(); return publishByIptables(t, "-nft") },
		"iptables-legacy": func(t *testing.T) func() { t.Helper(); return publishByIptables(t, "-legacy") },
	}
}

func publishByNft(t *testing.T) (withdraw func()) {
	t.Helper()
	tool(t, fmt.Sprintf(`
table ip docker {
	chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local tcp dport 8080 counter dnat to %s:80; }
	chain forward { type filter hook forward priority filter; policy drop; ct state established,related accept; meta l4proto { tcp, udp } th dport 9 accept; ip daddr %[1]s tcp dport 80 accept; }
}
table ip6 docker {
	chain prerouting { type nat hook prerouting priority dstnat; fib daddr type local tcp dport 8080 counter dnat to [%s]:80; }
}
`, packets.Inner4, packets.Inner6), "nft", "-f", "-")
	return func() { tool(t, "", "nft", "delete table ip docker; delete table ip6 docker") }
}

func publishByIptables(t *testing.T, flavour string) (withdraw func()) {
	t.Helper()
	v4, v6 := "iptables"+flavour, "ip6tables"+flavour
	for program, inner := range map[string]string{v4: packets.Inner4, v6: "[" + packets.Inner6 + "]"} {
		tool(t, "", program, "-w", "-t", "nat", "-N", "DOCKER")
		tool(t, "", program, "-w", "-t", "nat", "-A", "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "DOCKER")
		tool(t, "", program, "-w", "-t", "nat", "-A", "DOCKER", "-p", "tcp", "--dport", "8080", "-j", "DNAT", "--to-destination", inner+":80")
		tool(t, "", program, "-w", "-N", "DOCKER-USER")
		tool(t, "", program, "-w", "-A", "DOCKER-USER", "-j", "RETURN")
		tool(t, "", program, "-w", "-A", "FORWARD", "-j", "DOCKER-USER")
		tool(t, "", program, "-w", "-A", "FORWARD", "-p", "tcp", "-d", strings.Trim(inner, "[]"), "--dport", "80", "-j", "ACCEPT")
	}
	return func() {
		for _, program := range []string{v4, v6} {
			for _, table := range []string{"nat", "filter"} {
				tool(t, "", program, "-w", "-t", table, "-F")
				tool(t, "", program, "-w", "-t", table, "-X")
			}
		}
	}
}

func TestPacketAPublishedPortIsClosedToWhoIsBanned(t *testing.T) {
	eachKind(t, func(x trial) {
		t, n, b := x.t, x.network, x.backend
		k, _ := keep(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{
			{Owner: "jail:app", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(8080)},
			{Owner: "jail:inside", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(80)}, // the port in the container
			{Owner: "jail:all", AllPorts: true},
			{Owner: "feed:f", Feed: true},
		})
		for name, publish := range publishers() {
			t.Run(name, func(t *testing.T) {
				withdraw := publish(t)
				defer withdraw()
				sources := []string{"1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4", "1.1.1.5", "2a00::1", "2a00::2", "2a00::3", "2a00::4", "2a00::5"}
				published := func(want packets.Place) (cases []wantPlace) {
					for _, s := range sources {
						cases = append(cases, wantPlace{from(s, 8080), want})
					}
					return cases
				}
				wantPlaces(t, n, published(packets.Inner)...) // nobody is banned, and the translation works

				k.Submit(append(append(bans("jail:app", "1.1.1.1/32", "2a00::1/128"), bans("jail:all", "1.1.1.2/32", "2a00::2/128")...), bans("jail:inside", "1.1.1.3/32", "2a00::3/128")...))
				k.Replace("feed:f", ranges("1.1.1.4/32", "2a00::4/128"))
				synced(t, k)
				cases := []wantPlace{}
				for i, want := range []struct{ at8080, at22 packets.Place }{
					{packets.Nowhere, packets.Host},    // closed is the port as it was dialled
					{packets.Nowhere, packets.Nowhere}, // every port
					{packets.Inner, packets.Host},      // the container's own port number says nothing here
					{packets.Nowhere, packets.Nowhere}, // feed
					{packets.Inner, packets.Host},      // nobody's
				} {
					for _, s := range []string{sources[i], sources[i+5]} {
						cases = append(cases, wantPlace{from(s, 8080), want.at8080}, wantPlace{from(s, 22), want.at22})
					}
				}
				wantPlaces(t, n, cases...)
				var release []firewall.Wish
				for owner, prefixes := range map[string][]string{"jail:app": {"1.1.1.1/32", "2a00::1/128"}, "jail:all": {"1.1.1.2/32", "2a00::2/128"}, "jail:inside": {"1.1.1.3/32", "2a00::3/128"}} {
					for _, w := range bans(owner, prefixes...) {
						w.Release = true
						release = append(release, w)
					}
				}
				k.Submit(release)
				k.Replace("feed:f", ranges())
				synced(t, k)
				wantPlaces(t, n, published(packets.Inner)...)
			})
		}
	})
}
