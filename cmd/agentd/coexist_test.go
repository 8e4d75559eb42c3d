package main

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// need skips the test where a program is missing.
func need(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("no %s here", p)
		}
	}
}

// neighbours is a guard with other tools beside it, under siege.
type neighbours struct {
	*guard
	siege     siege
	strangers byte // how many there have been
}

// stranger is an address that nothing came from so far: connection tracking knows nothing of it.
func (n *neighbours) stranger() string {
	n.strangers++
	return netip.AddrFrom4([4]byte{9, 9, 8, n.strangers}).String()
}

// beside runs a test in which others change the firewall beside us, while addresses that are banned go on trying.
func beside(t *testing.T, f func(n *neighbours)) {
	t.Helper()
	survivors(t, func(g *guard) {
		n := &neighbours{guard: g, siege: g.besiege(everyBanned()...)}
		f(n)
		n.siege.Stop(g.t)
		g.t.Logf("%d packets sent", n.siege.Sent())
	})
}

// came tells how many of each banned packet came in so far.
func (n *neighbours) came() (counts []int) {
	for i := range len(n.siege.packets) - 1 {
		c, _ := n.siege.Arrived(i)
		counts = append(counts, c)
	}
	return counts
}

// does runs others' commands. A command that fails, fails the test, as does what keptOut forbids.
func (n *neighbours) does(what, script string) {
	n.t.Helper()
	before := n.came()
	sh(n.t, script)
	n.keptOut(what, before)
}

// keptOut fails the test if somebody who is banned came in. In a table that is our own nobody may, not for a moment;
// where we share a chain of iptables it has to be closed again soon.
func (n *neighbours) keptOut(what string, before []int) {
	n.t.Helper()
	n.flow(n.siege)
	if n.firewall == "nft" {
		if now := n.came(); !slices.Equal(now, before) {
			n.t.Errorf("%s: banned packets came in: %v, before it %v", what, now, before)
		}
		return
	}
	began := time.Now()
	waitFor(n.t, 20*time.Second, "all are kept out again after: "+what, func() bool {
		open := n.came()
		n.flow(n.siege)
		return slices.Equal(n.came(), open)
	})
	if !slices.Equal(n.came(), before) {
		n.t.Logf("%s: closed again after %v at most", what, time.Since(began).Round(time.Millisecond))
	}
}

// filters tells whether the neighbours' own rules do what they are for: keep everybody from port 81.
func (n *neighbours) filters(when string, on bool) {
	n.t.Helper()
	if n.open(n.stranger(), 81) == on {
		n.t.Errorf("%s: port 81 is open: %v", when, on)
	}
	if !n.open(n.stranger(), 22) {
		n.t.Errorf("%s: port 22 is closed to a stranger", when)
	}
}

var (
	countersOf = regexp.MustCompile(`\[\d+:\d+\]|packets \d+ bytes \d+`)
	tableOf    = regexp.MustCompile(`(?m)^table (\S+ \S+)`)
)

// others is the rules of everybody but us.
func (n *neighbours) others() string {
	n.t.Helper()
	var all strings.Builder
	add := func(args ...string) {
		if _, err := exec.LookPath(args[0]); err != nil {
			return
		}
		out, err := exec.Command(args[0], args[1:]...).Output()
		if err != nil {
			n.t.Fatalf("%v: %v", args, err)
		}
		for line := range strings.Lines(countersOf.ReplaceAllString(string(out), "")) {
			if !strings.HasPrefix(line, "#") && !strings.Contains(line, "PALISADE") {
				all.WriteString(line)
			}
		}
	}
	add("iptables-legacy-save")
	add("ip6tables-legacy-save")
	tables, err := exec.Command("nft", "-t", "list", "ruleset").Output()
	if err != nil {
		n.t.Fatal(err)
	}
	for _, m := range tableOf.FindAllStringSubmatch(string(tables), -1) {
		if !strings.HasPrefix(m[1], "inet palisade") {
			add(append([]string{"nft", "-t", "list", "table"}, strings.Fields(m[1])...)...)
		}
	}
	return all.String()
}

// weWork bans, unbans, reloads and starts anew, and fails the test if that changes the neighbours' rules.
func (n *neighbours) weWork() {
	n.t.Helper()
	before := n.others()
	if !strings.Contains(before, "81") {
		n.t.Errorf("the neighbours' rules are not seen:\n%s", before)
	}
	n.ctl("ban", "all", "1.1.3.3")
	waitFor(n.t, 10*time.Second, "the new ban stands", func() bool { return !n.open("1.1.3.3", 22) })
	n.ctl("unban", "1.1.3.3")
	waitFor(n.t, 10*time.Second, "the new ban is lifted", func() bool { return n.open("1.1.3.3", 22) })
	n.ctl("reload")
	n.end(syscall.SIGUSR2)
	n.start()
	if after := n.others(); after != before {
		n.t.Errorf("our work has changed others' rules:\n%s\nbefore:\n%s", after, before)
	}
}

func TestPacketIptablesAndWeLeaveEachOtherAlone(t *testing.T) {
	need(t, "nft", "iptables-legacy", "iptables-nft")
	beside(t, func(n *neighbours) {
		saved := filepath.Join(n.dir, "saved")
		for _, variant := range []string{"legacy", "nft"} {
			four, six := "iptables-"+variant, "ip6tables-"+variant
			both := func(args string) string { return four + " -w " + args + "\n" + six + " -w " + args + "\n" }
			n.filters("at first", false)
			n.does(variant+": rules are added", both("-A INPUT -p tcp --dport 81 -j DROP")+both("-N theirs")+both("-A FORWARD -j theirs")+
				both("-t raw -I PREROUTING -p tcp --dport 82 -j DROP")+both("-t mangle -I PREROUTING -p tcp --dport 83 -j ACCEPT"))
			n.filters(variant+" with rules", true)
			n.weWork()
			n.does(variant+": rules are saved", four+"-save > "+saved+"4\n"+six+"-save > "+saved+"6")
			n.does(variant+": filter is emptied", both("-F"))
			n.filters(variant+" emptied", false)
			n.does(variant+": chains are removed", both("-X"))
			n.does(variant+": raw and mangle are emptied", both("-t raw -F")+both("-t mangle -F"))
			n.does(variant+": their chains are removed, unless they are in use", strings.ReplaceAll(both("-t raw -X")+both("-t mangle -X"), "\n", " || true\n"))
			n.does(variant+": everything is accepted first", both("-t raw -I PREROUTING -j ACCEPT"))
			n.does(variant+": the saved rules are put back", four+"-restore < "+saved+"4\n"+six+"-restore < "+saved+"6")
			n.filters(variant+" put back", true)
			n.does(variant+": the saved rules are put back again", four+"-restore < "+saved+"4\n"+six+"-restore < "+saved+"6")
			empty := `printf '*filter\nCOMMIT\n*raw\nCOMMIT\n*mangle\nCOMMIT\n'`
			n.does(variant+": everything is replaced by nothing", empty+" | "+four+"-restore\n"+empty+" | "+six+"-restore")
			n.filters(variant+" without rules", false)
		}
	})
}

// theirRuleset is a file as administrators have it at /etc/nftables.conf.
const theirRuleset = `flush ruleset
table inet filter {
	set known { type ipv4_addr; elements = { 192.0.2.40, 192.0.2.41 } }
	chain input {
		type filter hook input priority 0; policy accept;
		ct state established,related accept
		ip saddr @known accept
		tcp dport 81 drop
	}
	chain early {
		type filter hook prerouting priority -400; policy accept;
		accept
	}
}
`

func TestPacketScriptsOfNftAndWeLeaveEachOtherAlone(t *testing.T) {
	need(t, "nft")
	beside(t, func(n *neighbours) {
		file := filepath.Join(n.dir, "nftables.conf")
		if err := os.WriteFile(file, []byte(theirRuleset), 0o600); err != nil {
			n.t.Fatal(err)
		}
		load := "nft -f " + file
		n.does("a ruleset is loaded", load)
		n.filters("with a ruleset", true)
		n.weWork()
		for range 3 {
			n.does("a ruleset is loaded again", load)
		}
		n.filters("with the ruleset loaded again", true)
		n.does("everything is flushed", "nft flush ruleset")
		n.filters("flushed", false)
		n.does("everything is flushed and loaded", "nft flush ruleset; "+load)
		n.does("everything is flushed in one family", "nft flush ruleset inet")
		n.does("our table is emptied, if that is allowed", "nft flush table inet palisade || true")
		n.does("our table is deleted, if that is allowed", "nft delete table inet palisade || true")
		n.does("a ruleset is loaded again", load)
		n.weWork()
		n.filters("in the end", true)
	})
}

func TestPacketChainsOfDockerAndWeLeaveEachOtherAlone(t *testing.T) {
	need(t, "nft", "iptables-nft")
	beside(t, func(n *neighbours) {
		// A published port: as it is dialled it is another than that of the container.
		rules := `
*nat
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -p tcp --dport 8080 -j DNAT --to-destination ` + packets.Inner4 + `:80
COMMIT
*filter
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
:DOCKER-FORWARD - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -j DOCKER-FORWARD
-A DOCKER-FORWARD -o inner -j DOCKER
-A DOCKER -d ` + packets.Inner4 + ` -p tcp --dport 80 -j ACCEPT
-A DOCKER-USER -p tcp --dport 81 -j DROP
-A DOCKER-USER -j RETURN
COMMIT
`
		file := filepath.Join(n.dir, "docker")
		if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
			n.t.Fatal(err)
		}
		published := func(when string) {
			t.Helper()
			got := n.network.Arrived(t, []packets.Packet{syn(n.stranger(), 8080), syn(bannedAll4, 8080), syn(bannedAll4, 22)})
			if want := []packets.Place{packets.Inner, packets.Nowhere, packets.Nowhere}; !slices.Equal(got, want) {
				t.Errorf("%s: packets to a published port arrived at %v, want %v", when, got, want)
			}
		}
		n.does("chains are made", "iptables-nft-restore -n "+file)
		published("at first")
		n.weWork()
		published("after our work")
		for range 3 {
			n.does("chains are emptied and made again", `
				iptables-nft -t nat -F; iptables-nft -t nat -X DOCKER
				iptables-nft -F; iptables-nft -X
				iptables-nft-restore -n `+file)
			published("made again")
		}
		n.does("a user's rule accepts", "iptables-nft -I DOCKER-USER -j ACCEPT")
		published("with a rule that accepts")
		n.does("chains are removed", "iptables-nft -t nat -F; iptables-nft -t nat -X DOCKER; iptables-nft -F; iptables-nft -X")
	})
}

func TestPacketOthersWorkBesideManyBans(t *testing.T) {
	need(t, "nft", "iptables-legacy", "iptables-nft")
	beside(t, func(n *neighbours) {
		const many = 20_000
		args := []string{"ban", "all"}
		for i := range many {
			args = append(args, netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}).String())
		}
		n.ctl(args...)
		last := args[len(args)-1]
		waitFor(n.t, 20*time.Second, "the last of many is kept out", func() bool { return !n.open(last, 22) })
		lists := func(args ...string) string {
			out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
			if err != nil {
				n.t.Errorf("%v: %v\n%.300s", args, err, out)
			}
			return string(out)
		}
		// What says nothing of elements needs not read them, and stays fast with any number of them.
		if terse := lists("nft", "-t", "list", "ruleset"); strings.Contains(terse, last) || n.firewall == "nft" && !strings.Contains(terse, "table inet palisade") {
			n.t.Errorf("the terse ruleset has elements, or not our table:\n%.2000s", terse)
		}
		if full := lists("nft", "list", "ruleset"); n.firewall == "nft" && !strings.Contains(full, last) {
			n.t.Errorf("the whole ruleset lacks %s", last)
		}
		lists("nft", "list", "tables")
		n.does("rules are added by nft", "nft add table inet theirs; nft 'add chain inet theirs c { type filter hook input priority 0; }'; nft add rule inet theirs c tcp dport 81 drop")
		n.filters("with a rule of nft", true)
		n.does("rules are removed by nft", "nft delete table inet theirs")
		for _, variant := range []string{"legacy", "nft"} {
			for _, tool := range []string{"iptables-", "ip6tables-"} {
				lists(tool+variant, "-L", "-n")
				lists(tool + variant + "-save")
			}
			n.does("a rule is added by iptables-"+variant, "iptables-"+variant+" -A INPUT -p tcp --dport 81 -j DROP")
			n.filters("with a rule of iptables-"+variant, true)
			n.does("it is removed again", "iptables-"+variant+" -D INPUT -p tcp --dport 81 -j DROP")
		}
		n.filters("in the end", false)
	})
}
