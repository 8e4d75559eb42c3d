package packets_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// kind is a backend that stops packets.
type kind struct{ name, flavour string }

func kinds() []kind {
	return []kind{{"nftables", ""}, {"ipset over iptables-nft", "-nft"}, {"ipset over iptables-legacy", "-legacy"}}
}

func (x kind) open(t *testing.T) firewall.Backend {
	t.Helper()
	if x.flavour == "" {
		return openNft(t, nft.Options{})
	}
	return openIpset(t, x.flavour)
}

// openIpset opens the backend over a flavour of iptables.
func openIpset(t *testing.T, flavour string) *ipset.Backend {
	t.Helper()
	for _, program := range []string{"iptables" + flavour, "ip6tables" + flavour, "ipset"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("no %s: run make deps as root", program)
		}
	}
	b, err := ipset.New(ipset.Options{IPv4: "iptables" + flavour, IPv6: "ip6tables" + flavour})
	if errors.Is(err, firewall.ErrPermission) || errors.Is(err, firewall.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openNft(t *testing.T, o nft.Options) *nft.Backend {
	t.Helper()
	b, err := nft.New(o)
	if errors.Is(err, firewall.ErrPermission) || errors.Is(err, firewall.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keep makes and runs a Keeper. It is ended, and all it made removed, by end, which the end of the test
// calls if nobody did.
func keep(t *testing.T, b firewall.Backend, o firewall.KeeperOptions) (k *firewall.Keeper, end func()) {
	t.Helper()
	k = firewall.NewKeeper(b, o)
	return k, run(t, k)
}

func run(t *testing.T, k *firewall.Keeper) (end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	done := false
	end = func() {
		if done {
			return
		}
		done = true
		cancel()
		if err := errors.Join(<-ended, k.Close(false)); err != nil {
			t.Error(err)
		}
	}
	t.Cleanup(end)
	return end
}

func ports(of ...uint16) (out []firewall.PortRange) {
	for _, p := range of {
		out = append(out, firewall.PortRange{First: p, Last: p})
	}
	return out
}

func owners() []firewall.Scope {
	return []firewall.Scope{
		{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(22)},
		{Owner: "jail:sshd-2", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(22)}, // shares sets with sshd
		{Owner: "jail:web", Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 80, Last: 90}}, Verdict: firewall.Reject},
		{Owner: "jail:dns", Protocols: []firewall.Protocol{"tcp", "udp"}, Ports: ports(22, 53)},
		{Owner: "jail:recidive", AllPorts: true},
		{Owner: "feed:small", Feed: true},
		{Owner: "feed:both", Feed: true, Both: true},
		{Owner: "feed:log", Feed: true, Verdict: firewall.Log},
	}
}

// story makes random steps: everything comes, everything changes, owners let go one after the other.
func (d dice) story() []step {
	jails := []string{"jail:sshd", "jail:sshd-2", "jail:web", "jail:dns", "jail:recidive"}
	feeds := func(n int) map[string][]netip.Prefix {
		f := map[string][]netip.Prefix{}
		for _, name := range []string{"feed:small", "feed:both", "feed:log"} {
			f[name] = d.prefixes(n)
		}
		return f
	}
	fill := step{name: "everything comes", scopes: owners(), feeds: feeds(150), allow: d.prefixes(60)}
	for range 600 {
		w := wish{owner: jails[d.IntN(len(jails))], prefix: d.prefix()}
		if d.IntN(2) == 0 {
			w.length = time.Hour
		}
		fill.wishes = append(fill.wishes, w)
	}
	for range 40 { // a ban inside a network of a feed, a network around a ban, one of two owners
		f := fill.feeds["feed:small"][d.IntN(150)]
		inside := d.within(f.Masked())
		fill.wishes = append(fill.wishes, wish{owner: "jail:sshd", prefix: netip.PrefixFrom(inside, inside.BitLen())},
			wish{owner: "jail:sshd-2", prefix: f, length: time.Hour})
	}
	change := step{name: "everything changes", feeds: feeds(120), allow: d.prefixes(50), ends: true}
	for _, w := range fill.wishes {
		switch d.IntN(6) {
		case 0:
			w.release = true
		case 1:
			w.length = 1500 * time.Millisecond
		case 2:
			w.owner, w.length = jails[d.IntN(len(jails))], time.Hour
		default:
			continue
		}
		change.wishes = append(change.wishes, w)
	}
	steps := []step{fill, change}
	left := owners()
	var names []string
	for len(left) > 3 {
		i := d.IntN(len(left))
		gone := left[i].Owner
		left = append(append([]firewall.Scope{}, left[:i]...), left[i+1:]...)
		if names = append(names, gone); len(left)%2 == 1 {
			steps = append(steps, step{name: strings.Join(names, " and ") + " let go", scopes: left})
			names = nil
		}
	}
	return append(steps, step{name: "nothing is allowed any more", allow: []netip.Prefix{}}, step{name: "all go", scopes: []firewall.Scope{}})
}

func TestPacketsMeetInEveryBackendWhatTheModelSays(t *testing.T) {
	eachKind(t, func(x trial) {
		t, seed := x.t, rand.Uint64()
		t.Logf("seed %d", seed)
		d := dice{rand.New(rand.NewPCG(seed, 1))}
		memory := firewall.NewMemory()
		shadow, _ := keep(t, memory, firewall.KeeperOptions{})
		k, _ := keep(t, x.backend, firewall.KeeperOptions{})
		w := &world{}
		for _, s := range d.story() {
			w.take(t, s, k, shadow)
			compare(t, x.network, d, w, memory, s.name)
		}
	})
}

func remembered(m *firewall.Memory, p packets.Packet) bool {
	_, blocked := m.Verdict(p.From, p.Proto, p.Port)
	return blocked
}

// compare asks packets, the model and a memory backend about addresses.
func compare(t *testing.T, n *packets.Network, d dice, w *world, memory *firewall.Memory, when string) {
	t.Helper()
	all := d.ask(w, 10_000)
	before := time.Now()
	arrived := n.Arrived(t, all)
	after := time.Now()
	blocked, wrong := 0, 0
	for i, p := range all {
		if !w.sure(p.From, before, after) {
			continue
		}
		want := w.closed(p.From, p.Proto, p.Port, before)
		got, inMemory := arrived[i] == packets.Nowhere, remembered(memory, p)
		if want {
			blocked++
		}
		if got != want || inMemory != want {
			if wrong++; wrong <= 10 {
				t.Errorf("%s: protocol %d port %d from %s: blocked %v by packets, %v in memory, want %v", when, p.Proto, p.Port, p.From, got, inMemory, want)
			}
		}
	}
	t.Logf("%s: %d addresses asked in %s, %d blocked, %d wrong", when, len(all), after.Sub(before).Round(time.Millisecond), blocked, wrong)
	if len(w.scopes) > 0 && (blocked < len(all)/20 || blocked > len(all)*99/100) {
		t.Errorf("%s: %d of %d blocked: this proves little", when, blocked, len(all))
	}
}

// ask makes packets to the host from addresses that w is about.
func (d dice) ask(w *world, n int) []packets.Packet {
	all := make([]packets.Packet, n)
	for i, a := range d.questions(w, n) {
		p := packets.Packet{At: packets.Peers, Proto: packets.TCP, From: a, To: addr(packets.Host4), Port: []uint16{22, 80, 6500}[d.IntN(3)]}
		if d.IntN(3) == 0 {
			p.Proto, p.Port = packets.UDP, 53
		}
		if a.Is6() {
			p.To = addr(packets.Host6)
		}
		all[i] = p
	}
	return all
}
