package main

import (
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// guard is a daemon in a network, whose ends and starts a test decides.
type guard struct {
	t        *testing.T
	dir      string
	firewall string // --firewall
	network  *packets.Network
	cmd      *exec.Cmd
	ended    chan struct{} // closed when cmd has ended
	log      *lockedBuffer
}

const guardConfig = `[DEFAULT]
backend = auto
usedns = no
ignoreself = false
logpath = DIR/app.log
filter = app
enabled = true
maxretry = 1000
bantime = 1h

[app]
port = PORTS
action = nftables[type=multiport, port="%(port)s", protocol=tcp, blocktype=drop]

[all]
action = nftables[type=allports, blocktype=drop]
`

// configure writes the configuration, with the ports that jail app closes.
func (g *guard) configure(ports string) {
	g.t.Helper()
	for name, text := range map[string]string{
		"etc/jail.local":        strings.NewReplacer("DIR", g.dir, "PORTS", ports).Replace(guardConfig),
		"etc/filter.d/app.conf": "[Definition]\nfailregex = ^ app: failure from <HOST>$\n",
		"app.log":               "",
	} {
		path := filepath.Join(g.dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			g.t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			g.t.Fatal(err)
		}
	}
}

// start starts the daemon and waits until it says that it is ready.
func (g *guard) start() {
	g.t.Helper()
	out := g.launch()
	waitFor(g.t, 20*time.Second, "agentd is ready", func() bool { return strings.Contains(out.String(), "Server ready") })
}

// launch starts the daemon.
func (g *guard) launch() (stdout *lockedBuffer) {
	g.t.Helper()
	g.cmd = exec.Command(binary(g.t, "agentd"), "-c", filepath.Join(g.dir, "etc"), "-s", filepath.Join(g.dir, "s"), "--firewall", g.firewall,
		"--fail2ban-socket", "none", "--db", filepath.Join(g.dir, "db"))
	stdout = &lockedBuffer{}
	g.cmd.Stdout, g.cmd.Stderr = stdout, g.log
	if err := g.cmd.Start(); err != nil {
		g.t.Fatal(err)
	}
	cmd, ended := g.cmd, make(chan struct{})
	g.ended = ended
	go func() { _ = cmd.Wait(); close(ended) }()
	g.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-ended
	})
	return stdout
}

// end sends a signal and waits for the daemon's end.
func (g *guard) end(s syscall.Signal) {
	g.t.Helper()
	if err := g.cmd.Process.Signal(s); err != nil {
		g.t.Fatal(err)
	}
	<-g.ended
}

func (g *guard) ctl(args ...string) {
	g.t.Helper()
	if out, err := exec.Command(binary(g.t, "agentctl"), append([]string{"-s", filepath.Join(g.dir, "s")}, args...)...).CombinedOutput(); err != nil {
		g.t.Fatalf("agentctl %v: %v\n%s", args, err, out)
	}
}

// tell gives what agentctl prints, whatever comes of it.
func (g *guard) tell(args ...string) string {
	g.t.Helper()
	out, _ := exec.Command(binary(g.t, "agentctl"), append([]string{"-s", filepath.Join(g.dir, "s")}, args...)...).CombinedOutput()
	return string(out)
}

// The guard's banned addresses; jail app bans the first two and jail all the others.
const (
	bannedApp4, bannedApp6 = "1.1.1.1", "2a00:1::1"
	bannedAll4, bannedAll6 = "1.1.2.2", "2a00:2::2"
	bystander              = "9.9.9.9"
)

// survivors runs a test with a guarded network for every backend.
func survivors(t *testing.T, f func(g *guard)) {
	t.Helper()
	if !inNamespaces(t, root) {
		return
	}
	sh(t, "mount --make-rprivate / && mount -t proc proc /proc")
	n := packets.New(t)
	for _, firewall := range []string{"nft", "ipset"} {
		t.Run(firewall, func(t *testing.T) {
			g := &guard{t: t, dir: t.TempDir(), firewall: firewall, network: n, log: &lockedBuffer{}}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("--- agentd said:\n%.6000s", g.log.String())
				}
				if strings.Contains(g.log.String(), "DATA RACE") {
					t.Error("the daemon has a data race")
				}
			})
			g.configure("22,80")
			g.start()
			g.ctl("ban", "app", bannedApp4, bannedApp6)
			g.ctl("ban", "all", bannedAll4, bannedAll6)
			for _, who := range []string{bannedApp4, bannedApp6, bannedAll4, bannedAll6} {
				waitFor(t, 10*time.Second, who+" is kept out", func() bool { return !g.open(who, 22) })
			}
			f(g)
			g.end(syscall.SIGTERM)
			if !g.open(bannedAll4, 22) {
				t.Error("the bans of a daemon that was stopped stand")
			}
		})
	}
}

func syn(from string, port uint16) packets.Packet {
	p := packets.Packet{At: packets.Peers, Proto: packets.TCP, From: netip.MustParseAddr(from), To: netip.MustParseAddr(packets.Host4), Port: port}
	if p.From.Is6() {
		p.To = netip.MustParseAddr(packets.Host6)
	}
	return p
}

func (g *guard) open(from string, port uint16) bool {
	g.t.Helper()
	return g.network.Arrived(g.t, []packets.Packet{syn(from, port)})[0] == packets.Host
}

// want compares which ports are open to whom.
func (g *guard) want(when, from string, ports map[uint16]bool) {
	g.t.Helper()
	for port, open := range ports {
		if got := g.open(from, port); got != open {
			g.t.Errorf("%s: port %d is open to %s: %v, want %v", when, port, from, got, open)
		}
	}
}

// siege is a flood from whom a guard keeps out; a bystander's packets among it show that it flows.
type siege struct {
	*packets.Flood
	packets []packets.Packet
}

func (g *guard) besiege(banned ...packets.Packet) siege {
	g.t.Helper()
	all := slices.Concat(banned, []packets.Packet{syn(bystander, 22)})
	s := siege{g.network.Flood(all...), all}
	g.flow(s)
	return s
}

// flow waits until some more packets of a siege have come.
func (g *guard) flow(s siege) {
	g.t.Helper()
	last := len(s.packets) - 1
	before, _ := s.Arrived(last)
	waitFor(g.t, 20*time.Second, "the bystander's packets arrive", func() bool { now, _ := s.Arrived(last); return now > before+100 })
}

// none fails the test if a banned packet of the siege has arrived.
func (g *guard) none(s siege, when string) {
	g.t.Helper()
	for i, p := range s.packets[:len(s.packets)-1] {
		if n, _ := s.Arrived(i); n > 0 {
			g.t.Errorf("%s: %d packets from %s to port %d came in", when, n, p.From, p.Port)
		}
	}
}

func everyBanned() []packets.Packet {
	return []packets.Packet{
		syn(bannedApp4, 22), syn(bannedApp4, 80), syn(bannedApp6, 22),
		syn(bannedAll4, 22), syn(bannedAll4, 6500), syn(bannedAll6, 6500),
	}
}

func TestPacketNoneComesInWhileTheDaemonIsStartedAnew(t *testing.T) {
	survivors(t, func(g *guard) {
		s := g.besiege(everyBanned()...)
		for _, way := range []struct {
			name string
			end  func()
		}{
			{"SIGUSR2", func() { g.end(syscall.SIGUSR2) }},
			{"SIGKILL", func() { g.end(syscall.SIGKILL) }},
			{"stop --keep", func() { g.ctl("stop", "--keep"); <-g.ended }},
			{"a second SIGKILL", func() { g.end(syscall.SIGKILL) }},
		} {
			way.end()
			g.flow(s)
			g.none(s, "between an end by "+way.name+" and the start")
			g.start()
			g.flow(s)
			g.none(s, "after an end by "+way.name+" and a start")
		}
		s.Stop(g.t)
		g.t.Logf("%d packets sent, none came in", s.Sent())
		g.want("in the end", bannedApp4, map[uint16]bool{22: false, 80: false, 443: true})
		g.want("in the end", bannedAll6, map[uint16]bool{22: false, 443: false})
	})
}

func TestPacketNoneComesInWhileAReloadChangesPorts(t *testing.T) {
	survivors(t, func(g *guard) {
		s := g.besiege(syn(bannedApp4, 22), syn(bannedApp6, 22), syn(bannedAll4, 443), syn(bannedAll6, 80))
		for i, now := range []struct {
			ports string
			want  map[uint16]bool
		}{
			{"22,443", map[uint16]bool{22: false, 443: false, 80: true}},
			{"20:30", map[uint16]bool{22: false, 443: true, 80: true}},
			{"22,6000:7000", map[uint16]bool{22: false, 6500: false, 443: true}},
			{"22,80", map[uint16]bool{22: false, 80: false, 6500: true}},
		} {
			g.configure(now.ports)
			g.ctl("reload")
			waitFor(g.t, 10*time.Second, "the ports of the reload are closed", func() bool {
				for port, open := range now.want {
					if g.open(bannedApp4, port) != open || g.open(bannedApp6, port) != open {
						return false
					}
				}
				return true
			})
			g.want("after the reload", bannedApp6, now.want)
			g.flow(s)
			g.none(s, "over reload "+string(rune('1'+i)))
		}
		s.Stop(g.t)
		g.t.Logf("%d packets sent, none came in", s.Sent())
	})
}

func TestPacketNoneComesInWhenPortsChangeWhileTheDaemonIsDown(t *testing.T) {
	survivors(t, func(g *guard) {
		old, changed := 0, 1
		for _, end := range []syscall.Signal{syscall.SIGUSR2, syscall.SIGKILL} {
			s := g.besiege(syn(bannedApp4, 22), syn(bannedApp4, 2222), syn(bannedApp6, 80), syn(bannedAll4, 22), syn(bannedAll6, 2222))
			g.end(end)
			g.configure("2222,80")
			g.flow(s)
			if n, _ := s.Arrived(old); n > 0 {
				g.t.Errorf("%d packets came in to the old port before the start", n)
			}
			g.start()
			ready := time.Now()
			g.flow(s)
			if n, last := s.Arrived(changed); n == 0 || last.After(ready) {
				g.t.Errorf("of the new port's %d packets the last came in %s after the daemon was ready, want some before and none after", n, last.Sub(ready))
			}
			if n, _ := s.Arrived(old); n == 0 {
				g.t.Error("the old port is still closed")
			}
			for i := 2; i < 5; i++ {
				if n, _ := s.Arrived(i); n > 0 {
					g.t.Errorf("%d packets from %s to port %d came in", n, s.packets[i].From, s.packets[i].Port)
				}
			}
			s.Stop(g.t)
			g.want("after the start", bannedApp6, map[uint16]bool{22: true, 80: false, 2222: false})
			g.configure("22,80")
			g.ctl("reload")
			waitFor(g.t, 10*time.Second, "all is as it was", func() bool { return !g.open(bannedApp4, 22) && g.open(bannedApp4, 2222) })
		}
	})
}

// TestPacketNoneComesInWhenTheDaemonIsKilledInTheMiddleOfAChange kills it while a reload changes ports, at any
// moment: the rules are the old ones, the new ones or both, and port 22 is closed in all of them.
func TestPacketNoneComesInWhenTheDaemonIsKilledInTheMiddleOfAChange(t *testing.T) {
	survivors(t, func(g *guard) {
		lives := 12
		if testing.Short() {
			lives = 3
		}
		s := g.besiege(syn(bannedApp4, 22), syn(bannedApp6, 22), syn(bannedAll4, 443), syn(bannedAll6, 80))
		for life := range lives {
			g.configure([]string{"22,443", "20:30", "22,6000:7000", "22,80"}[life%4])
			if err := g.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				g.t.Fatal(err)
			}
			time.Sleep(time.Duration(rand.IntN(40)) * time.Millisecond)
			g.end(syscall.SIGKILL)
			g.flow(s)
			g.none(s, "after a kill in life "+strconv.Itoa(life))
			g.start()
			g.flow(s)
			g.none(s, "after the start of life "+strconv.Itoa(life+1))
		}
		s.Stop(g.t)
		g.t.Logf("%d packets sent, none came in", s.Sent())
		g.configure("22,80")
		g.ctl("reload")
		waitFor(g.t, 10*time.Second, "the ports are those of the end", func() bool { return g.open(bannedApp4, 443) && !g.open(bannedApp4, 80) })
	})
}
