package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// publisher is a server whose documents a test changes.
type publisher struct {
	*baddays.Server
	mu   sync.Mutex
	docs map[string]string
}

func newPublisher(t *testing.T) *publisher {
	t.Helper()
	p := &publisher{Server: baddays.New(t), docs: map[string]string{}}
	p.Handle("/", func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		text, ok := p.docs[r.URL.Path]
		p.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		fmt.Fprint(w, text)
	})
	return p
}

func (p *publisher) publish(path, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.docs[path] = text
}

// http is the section with which the daemon trusts the publisher.
func (p *publisher) http() string { return "[http]\nca = " + p.CA + "\n" }

// feeds asks the daemon how its lists stand.
func (g *guard) feeds() map[string]control.FeedStatus {
	g.t.Helper()
	var all control.Feeds
	text := g.tell("feed", "--json")
	if i := strings.Index(text, "{"); i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&all) != nil {
		g.t.Fatalf("agentctl feed --json: %s", text)
	}
	out := map[string]control.FeedStatus{}
	for _, f := range all.Feeds {
		out[f.Name] = f
	}
	return out
}

// loaded waits until lists are as they should be, and have arrived in the firewall.
func (g *guard) loaded(names ...string) {
	g.t.Helper()
	for _, name := range names {
		waitFor(g.t, 30*time.Second, "the list "+name+" is there", func() bool { return g.feeds()[name].State == "ok" })
	}
}

// settled waits until the kernel holds all that it is to hold.
func (g *guard) settled() {
	g.t.Helper()
	waitFor(g.t, 30*time.Second, "the kernel holds what it should", func() bool {
		return exec.Command(binary(g.t, "agentctl"), "-s", filepath.Join(g.dir, "s"), "firewall", "verify").Run() == nil
	})
}

func (g *guard) shut(who string) {
	g.t.Helper()
	waitFor(g.t, 30*time.Second, who+" is kept out", func() bool { return !g.open(who, 22) })
}

func (g *guard) comesIn(who string) {
	g.t.Helper()
	waitFor(g.t, 30*time.Second, who+" comes in", func() bool { return g.open(who, 22) })
}

// failures writes failures of addresses into the log that jails app and all read.
func (g *guard) failures(addrs ...string) {
	g.t.Helper()
	f, err := os.OpenFile(filepath.Join(g.dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		g.t.Fatal(err)
	}
	defer f.Close()
	for _, a := range addrs {
		fmt.Fprintf(f, "%s app: failure from %s\n", time.Now().Format("2006-01-02 15:04:05"), a)
	}
}

// TestPacketAListedAddressIsDroppedAtItsFirstPacket follows a feed through its life, with real packets.
func TestPacketAListedAddressIsDroppedAtItsFirstPacket(t *testing.T) {
	survivors(t, func(g *guard) {
		p := newPublisher(g.t)
		p.publish("/list", "44.1.1.1\n44.2.0.0/16\n44.3.3.3\n2a00:44::/32\n10.0.0.0/8\n0.0.0.0/0\n")
		const allow = "[allow office]\naddresses = 44.2.7.7 2a00:44::7\n"
		conf := p.http() + allow + "[feed f]\nurl = " + p.URL + "/list\n"
		g.agentConf(conf)
		g.loaded("f")
		g.shut("44.1.1.1")
		g.settled()
		// Of these no packet was ever seen.
		for _, who := range []string{"44.2.0.1", "44.2.255.254", "44.3.3.3", "2a00:44::1", "2a00:44:ffff::1"} {
			if g.open(who, 22) || g.open(who, 6500) {
				g.t.Errorf("the first packet of %s came in", who)
			}
		}
		for _, who := range []string{"44.2.7.7", "2a00:44::7", bystander, "44.4.4.4", "10.1.2.3"} {
			if !g.open(who, 22) {
				g.t.Errorf("%s is kept out", who)
			}
		}
		if why := g.tell("banned", "44.2.9.9"); !strings.Contains(why, "feed f lists") {
			g.t.Errorf("who blocks it: %s", why)
		}
		if s := g.feeds()["f"]; s.Entries != 6 || s.Refused != 2 {
			g.t.Errorf("%+v", s)
		}

		// A restart, however it comes, lets none of them through.
		s := g.besiege(syn("44.1.1.1", 22), syn("44.2.8.8", 80), syn("2a00:44::9", 22))
		for _, end := range []func(){func() { g.end(syscall.SIGKILL) }, func() { g.ctl("stop", "--keep"); <-g.ended }} {
			end()
			g.flow(s)
			g.start()
			g.flow(s)
		}
		g.loaded("f")
		g.flow(s)
		// A reload that changes another list does not, either.
		p.publish("/other", "44.9.9.9\n")
		g.agentConf(conf + "[feed other]\nurl = " + p.URL + "/other\n")
		g.loaded("other")
		g.shut("44.9.9.9")
		g.flow(s)
		g.none(s, "while the daemon was started anew and reloaded")
		s.Stop(g.t)

		// What the list drops comes in within one refresh; a ban of the same address holds.
		g.ctl("ban", "all", "44.1.1.1")
		p.publish("/list", "44.2.0.0/16\n2a00:44::/32\n")
		g.ctl("feed", "refresh", "f")
		g.comesIn("44.3.3.3")
		if g.open("44.1.1.1", 22) || g.open("44.2.1.1", 22) {
			g.t.Error("a ban, or the rest of the list, was let go with an entry")
		}
		g.ctl("unban", "44.1.1.1")
		g.comesIn("44.1.1.1")

		// The publisher's bad day changes nothing but the health.
		p.publish("/list", "<!DOCTYPE html><html>sorry</html>")
		if out := g.tell("feed", "refresh", "f"); !strings.Contains(out, "page of the web") {
			g.t.Errorf("agentctl feed refresh: %s", out)
		}
		if st := g.tell("status"); !strings.Contains(st, "degraded") || !strings.Contains(st, "feed f: read https://") {
			g.t.Errorf("the health does not tell: %s", st)
		}
		if g.open("44.2.1.1", 22) {
			g.t.Error("the last good list is not in force")
		}

		// mode = log counts what it would drop, and without the section there is no list.
		g.agentConf(conf + "mode = log\n")
		g.comesIn("44.2.1.1")
		g.agentConf(conf)
		g.shut("44.2.1.1")
		g.agentConf(p.http())
		g.comesIn("44.2.1.1")
		g.comesIn("44.9.9.9")
	})
}

// TestPacketDirectionBothStopsWhatGoesOut shows it with packets of this host.
func TestPacketDirectionBothStopsWhatGoesOut(t *testing.T) {
	survivors(t, func(g *guard) {
		path := filepath.Join(g.dir, "c2.txt")
		if err := os.WriteFile(path, []byte("198.18.1.1\n2001:db8:8000::/64\n"), 0o644); err != nil {
			g.t.Fatal(err)
		}
		out := func(to string) bool {
			a := netip.MustParseAddr(to)
			from := packets.Host4
			if a.Is6() {
				from = packets.Host6
			}
			return g.network.Arrived(g.t, []packets.Packet{{At: packets.Host, Proto: packets.TCP, From: netip.MustParseAddr(from), To: a, Port: 443}})[0] == packets.Peers
		}
		if !out("198.18.1.1") || !out("2001:db8:8000::1") {
			g.t.Fatal("packets of this host do not reach the peers")
		}
		g.agentConf("[feed c2]\npath = " + path + "\nprivate = yes\ndirection = both\n")
		g.shut("198.18.1.1")
		g.settled()
		for _, to := range []string{"198.18.1.1", "2001:db8:8000::1"} {
			if out(to) {
				g.t.Errorf("a packet went out to %s", to)
			}
		}
		if !out("198.18.1.2") {
			g.t.Error("others cannot be reached")
		}
		g.agentConf("[feed c2]\npath = " + path + "\nprivate = yes\n")
		waitFor(g.t, 30*time.Second, "packets go out again", func() bool { return out("198.18.1.1") && out("2001:db8:8000::1") })
		if g.open("198.18.1.1", 22) {
			g.t.Error("it is not kept out any more")
		}
	})
}

// TestPacketListsSayWhomJailsBan: suspects at their first failure, and the allowed never.
func TestPacketListsSayWhomJailsBan(t *testing.T) {
	survivors(t, func(g *guard) {
		p := newPublisher(g.t)
		p.publish("/threats", `{"threats":[{"ip_address":"44.1.1.1","threat_score":90},{"ip_address":"44.1.1.2","threat_score":45},{"ip_address":"44.1.1.3","threat_score":5}]}`)
		p.publish("/ranges", "44.5.0.0/16\n")
		g.agentConf(p.http() + "[feed threats]\ntype = wayscloud\napikey = k\nurl = " + p.URL + "/threats\nmin_score = 60\ncount_score = 20\n" +
			"[allow cdn]\nurl = " + p.URL + "/ranges\n")
		g.loaded("threats", "allow.cdn")
		g.shut("44.1.1.1")
		if !g.open("44.1.1.2", 22) || !g.open("44.1.1.3", 22) {
			g.t.Error("who is only suspected is kept out")
		}
		// maxretry is 1000: one failure bans the suspect alone; a thousand do not ban the allowed.
		g.failures("44.1.1.2", "44.1.1.3")
		g.shut("44.1.1.2")
		var many []string
		for range 1001 {
			many = append(many, "44.5.6.7")
		}
		g.failures(many...)
		waitFor(g.t, 30*time.Second, "the log has been read", func() bool { return strings.Contains(g.log.String(), "Ignore 44.5.6.7 by allow cdn") })
		if !g.open("44.5.6.7", 22) || !g.open("44.1.1.3", 22) {
			g.t.Error("somebody is kept out who is not to be")
		}
		if out := g.tell("ban", "app", "44.5.6.7"); !strings.Contains(out, "allow cdn") {
			g.t.Errorf("a ban by hand of an allowed address: %s", out)
		}
	})
}
