package main

import (
	"bytes"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// agentConf writes agent.conf and has the daemon read it.
func (g *guard) agentConf(text string) {
	g.t.Helper()
	if err := os.WriteFile(filepath.Join(g.dir, "etc", "agent.conf"), []byte(text), 0o644); err != nil {
		g.t.Fatal(err)
	}
	g.ctl("reload")
}

func TestPacketWhatAgentConfSaysOfTheFirewallCountsFromTheNextReload(t *testing.T) {
	if !inNamespaces(t, root) {
		return
	}
	sh(t, "mount --make-rprivate / && mount -t proc proc /proc")
	g := &guard{t: t, dir: t.TempDir(), firewall: "nft", network: packets.New(t), log: &lockedBuffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- agentd said:\n%.6000s", g.log.String())
		}
	})
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", ":22")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	g.configure("22")
	g.start()
	shut := func(who string) {
		t.Helper()
		waitFor(t, 20*time.Second, who+" is kept out", func() bool { return !g.open(who, 22) })
	}
	left, ended := connect(t, g.network, l, "198.18.0.1"), connect(t, g.network, l, "198.18.0.2")
	g.ctl("ban", "app", "198.18.7.0/24", "198.18.9.8")
	shut("198.18.7.9")
	shut("198.18.9.8")

	g.agentConf("[firewall]\nallow = 198.18.7.9 198.18.9.8 198.18.9.9\ncut = no\nhits = yes\n")
	waitFor(t, 20*time.Second, "the allowed addresses come in", func() bool { return g.open("198.18.7.9", 22) && g.open("198.18.9.8", 22) })
	shut("198.18.7.8")
	if s := g.tell("firewall"); !strings.Contains(s, ".hits.v4") {
		t.Errorf("elements do not count: %s", s)
	}
	if s := g.tell("ban", "app", "198.18.9.9"); !strings.Contains(s, "ignored") && !g.open("198.18.9.9", 22) {
		t.Errorf("an allowed address was banned by hand: %s", s)
	}
	g.ctl("ban", "app", "198.18.0.1")
	shut("198.18.0.1")

	g.agentConf("[firewall]\nhits = yes\n")
	shut("198.18.7.9")
	g.ctl("ban", "app", "198.18.0.2")
	waitFor(t, 20*time.Second, "a connection is ended", func() bool { return !silent(ended) })
	if !silent(left) {
		t.Error("with cut = no a connection was ended, too")
	}
	g.end(syscall.SIGTERM)
}

func TestTheFlagSaysMoreThanAgentConfWhoKeepsTheBannedOut(t *testing.T) {
	dir := tree(t, map[string]string{
		"app.log": "", "filter.d/app.conf": soundFilter,
		"jail.local": "[app]\nenabled = true\nfilter = app\nlogpath = DIR/app.log\naction = nftables[port=nonsense]\n",
		"agent.conf": "[firewall]\nbackend = script\n",
	})
	check := func(args ...string) string {
		var stdout, stderr bytes.Buffer
		run(t.Context(), append([]string{"--check", "-c", dir}, args...), &stdout, &stderr)
		return stdout.String() + stderr.String()
	}
	if s := check(); strings.Contains(s, "unknown port") { // the script's matter
		t.Errorf("agent.conf leaves it to the scripts, and yet: %s", s)
	}
	if s := check("--firewall", "auto"); !strings.Contains(s, "unknown port") {
		t.Errorf("the flag takes it over, and yet: %s", s)
	}
}
