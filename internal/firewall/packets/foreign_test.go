package packets_test

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// notebook is a log that a test can read.
type notebook struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (n *notebook) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

// alarms are the lines since the last call that are a warning or worse.
func (n *notebook) alarms() (lines []string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for line := range strings.Lines(n.text.String()) {
		if strings.Contains(line, "level=WARN") || strings.Contains(line, "level=ERROR") {
			lines = append(lines, line)
		}
	}
	n.text.Reset()
	return lines
}

func (n *notebook) logger() *slog.Logger { return slog.New(slog.NewTextHandler(n, nil)) }

// incident is what another program does to our part of the kernel.
type incident struct {
	name string
	do   func(t *testing.T)
}

const (
	// closedWithin is how soon a gate that somebody opened has to be closed again. It is about a second;
	// a busy machine is given time.
	closedWithin = 5 * time.Second
	// quiet is how long no packet has to arrive before it is taken that none will.
	quiet = 300 * time.Millisecond
)

// besieged runs a Keeper with bans and a feed over b, and a flood from four closed sources.
func besieged(t *testing.T, n *packets.Network, b firewall.Backend) (*firewall.Keeper, *packets.Flood, *notebook) {
	t.Helper()
	log := &notebook{}
	k, end := keep(t, b, firewall.KeeperOptions{Log: log.logger()})
	k.SetScopes([]firewall.Scope{
		{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: ports(22)},
		{Owner: "jail:all", AllPorts: true},
		{Owner: "feed:f", Feed: true},
	})
	k.Submit(bans("jail:sshd", "1.1.1.1/32", "2a00:1::/64"))
	k.Submit(bans("jail:all", "1.1.2.0/24"))
	k.Replace("feed:f", ranges("1.1.3.0/24", "1.1.4.4/32"))
	synced(t, k)
	sources := []string{"1.1.1.1", "1.1.2.2", "1.1.3.3", "2a00:1::7"}
	var flood []packets.Packet
	var closed []wantPlace
	for _, s := range sources {
		flood = append(flood, from(s, 22))
		closed = append(closed, wantPlace{from(s, 22), packets.Nowhere})
	}
	wantPlaces(t, n, append(closed, wantPlace{from("9.9.9.9", 22), packets.Host})...)
	f := n.Flood(flood...)
	t.Cleanup(func() { // before the Keeper ends
		f.Stop(t)
		wantPlaces(t, n, append(closed, wantPlace{from("9.9.9.9", 22), packets.Host})...)
		end()
	})
	return k, f, log
}

// leaked counts what has arrived of a flood, and tells when the last packet did.
func leaked(f *packets.Flood) (count int, last time.Time) {
	for i := range f.Len() {
		c, at := f.Arrived(i)
		count += c
		if at.After(last) {
			last = at
		}
	}
	return count, last
}

// suffer lets incidents happen one after the other and waits for the gate to be closed again.
func suffer(t *testing.T, k *firewall.Keeper, f *packets.Flood, log *notebook, incidents []incident) {
	t.Helper()
	for _, i := range incidents {
		if alarms := log.alarms(); len(alarms) > 0 {
			t.Errorf("before %s: %s", i.name, alarms)
		}
		before, _ := leaked(f)
		rebuilds := k.Status().Rebuilds
		begin := time.Now()
		i.do(t)
		waitFor(t, i.name+" is noticed and made good", func() bool {
			st := k.Status()
			return st.Rebuilds > rebuilds && st.Pending == 0 && st.Err == nil
		})
		noticed := time.Since(begin)
		synced(t, k)
		waitFor(t, "the gate is closed after "+i.name, func() bool {
			_, last := leaked(f)
			return time.Since(last) > quiet
		})
		after, last := leaked(f)
		gap := max(last.Sub(begin), 0)
		t.Logf("%s: made good after %s; %d packets in, the last after %s", i.name, noticed.Round(time.Millisecond), after-before, gap.Round(time.Millisecond))
		if gap > closedWithin {
			t.Errorf("%s: open for %s", i.name, gap)
		}
		if alarms := log.alarms(); len(alarms) != 1 {
			t.Errorf("%s was told of %d times: %q", i.name, len(alarms), alarms)
		}
	}
}

// waitFor waits for a condition that is true in the end.
func waitFor(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

// theChain finds the name of our chain at prerouting.
func theChain(t *testing.T) string {
	t.Helper()
	for line := range strings.Lines(tool(t, "", "nft", "-t", "list", "table", "inet", "palisade")) {
		if m := regexp.MustCompile(`chain (prerouting\S*) \{`).FindStringSubmatch(line); m != nil {
			return m[1]
		}
	}
	t.Fatal("no chain at prerouting")
	return ""
}

// deleteRule removes the rule that looks networks up that are closed for everything.
func deleteRule(t *testing.T) {
	t.Helper()
	chain := theChain(t)
	rule := regexp.MustCompile(`@all\.drop\.v4-24 .*# handle (\d+)`).FindStringSubmatch(tool(t, "", "nft", "-a", "list", "chain", "inet", "palisade", chain))
	if rule == nil {
		t.Fatal("no rule for all.drop")
	}
	tool(t, "", "nft", "delete", "rule", "inet", "palisade", chain, "handle", rule[1])
}

func TestPacketsAreStoppedAgainAfterOthersChangedAPlainTable(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	k, f, log := besieged(t, n, openNft(t, nft.Options{Plain: true}))
	nftDo := func(name, commands string) incident {
		return incident{name, func(t *testing.T) {
			t.Helper()
			tool(t, strings.ReplaceAll(commands, "CHAIN", theChain(t)), "nft", "-f", "-")
		}}
	}
	suffer(t, k, f, log, []incident{
		nftDo("flush ruleset", "flush ruleset"),
		nftDo("delete table", "delete table inet palisade"),
		nftDo("flush chain", "flush chain inet palisade CHAIN"),
		nftDo("delete chain", "flush chain inet palisade CHAIN\ndelete chain inet palisade CHAIN"),
		{"delete rule", deleteRule},
		nftDo("insert rule", "insert rule inet palisade CHAIN accept"),
		nftDo("delete set", "flush chain inet palisade CHAIN\ndelete set inet palisade all.drop.v4-24"),
		nftDo("flush set", "flush set inet palisade all.drop.v4-24"),
		nftDo("flush set of a feed", "flush set inet palisade feed.drop.v4-24"),
		nftDo("delete element", "delete element inet palisade tcp.22.drop.v4 { 1.1.1.1 }"),
	})
}

func TestPacketsAreStoppedAgainAfterOthersChangedSetsAndRules(t *testing.T) {
	t.Parallel()
	for _, flavour := range []string{"-nft", "-legacy"} {
		t.Run("iptables"+flavour, func(t *testing.T) {
			if !packets.Inside(t) {
				return
			}
			k, f, log := besieged(t, packets.New(t), openIpset(t, flavour))
			v4, v6 := "iptables"+flavour, "ip6tables"+flavour
			do := func(name string, words ...string) incident {
				return incident{name, func(t *testing.T) { t.Helper(); tool(t, "", words[0], words[1:]...) }}
			}
			suffer(t, k, f, log, []incident{
				do("iptables -F", v4, "-w", "-t", "raw", "-F"),
				do("ip6tables -F", v6, "-w", "-t", "raw", "-F"),
				do("iptables -F PREROUTING", v4, "-w", "-t", "raw", "-F", "PREROUTING"),
				do("iptables -F PALISADE", v4, "-w", "-t", "raw", "-F", "PALISADE"),
				do("iptables -D", v4, "-w", "-t", "raw", "-D", "PREROUTING", "-j", "PALISADE"),
				do("iptables -I", v4, "-w", "-t", "raw", "-I", "PREROUTING", "-j", "ACCEPT"),
				{"iptables-restore of an empty table", func(t *testing.T) {
					t.Helper()
					tool(t, "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n", v4+"-restore")
				}},
				do("ipset flush of one", "ipset", "flush", "pal-all.drop.v4-24"),
				do("ipset flush of a feed", "ipset", "flush", "pal-feed.drop.v4-24"),
				do("ipset flush of all", "ipset", "flush"),
				{"rules and sets removed", func(t *testing.T) {
					t.Helper()
					tool(t, "", v4, "-w", "-t", "raw", "-F")
					waitFor(t, "the set can be destroyed", func() bool {
						_, err := runTool(t, "", "ipset", "destroy", "pal-all.drop.v4-24")
						return err == nil
					})
				}},
			})
		})
	}
}

func TestPacketsMeetAnOwnedTableWhateverOthersDo(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	n := packets.New(t)
	b := openNft(t, nft.Options{})
	if !owned(b) {
		t.Skip("this kernel's tables have no owners")
	}
	k, f, log := besieged(t, n, b)
	for _, command := range []string{
		"flush ruleset", "delete table inet palisade", "flush chain inet palisade " + theChain(t), "flush set inet palisade all.drop.v4-24",
		"delete element inet palisade tcp.22.drop.v4 { 1.1.1.1 }", "insert rule inet palisade " + theChain(t) + " accept",
	} {
		if out, err := runTool(t, command, "nft", "-f", "-"); err == nil && command != "flush ruleset" {
			t.Errorf("%s was done: %s", command, out)
		}
	}
	before := f.Sent()
	waitFor(t, "more packets are sent", func() bool { return f.Sent() > before+2000 })
	if count, _ := leaked(f); count > 0 {
		t.Errorf("%d packets got through", count)
	}
	if alarms := log.alarms(); len(alarms) > 0 || k.Status().Rebuilds > 0 {
		t.Errorf("%d rebuilds, %q", k.Status().Rebuilds, alarms)
	}
}

// owned tells whether the backend keeps others from its table.
func owned(b firewall.Backend) bool {
	for _, note := range b.About().Notes {
		if strings.Contains(note, "can change our table") {
			return false
		}
	}
	return true
}
