package main

import (
	"errors"
	"log/slog"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// TestKernelWithoutPrivilegeIsToldAtTheStart starts the daemon as a root that may not touch the firewall.
func TestKernelWithoutPrivilegeIsToldAtTheStart(t *testing.T) {
	setpriv, err := exec.LookPath("setpriv")
	if err != nil {
		t.Skip("no setpriv: it is part of util-linux")
	}
	if !inNamespaces(t, root) {
		return
	}
	g := &guard{t: t, dir: t.TempDir(), log: &lockedBuffer{}}
	g.configure("22")
	for _, firewall := range []string{"nft", "ipset", "auto"} {
		cmd := exec.Command(setpriv, "--inh-caps=-net_admin", "--bounding-set=-net_admin", binary(t, "agentd"),
			"-c", filepath.Join(g.dir, "etc"), "-s", filepath.Join(g.dir, "s"), "--fail2ban-socket", "none", "--db", filepath.Join(g.dir, "db"), "--firewall", firewall)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != 1 {
			t.Errorf("--firewall %s: it ran, or ended with %v", firewall, err)
		}
		var lines []string
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "firewall") {
				lines = append(lines, line)
			}
		}
		if len(lines) != 1 || !strings.Contains(lines[0], "no permission") || !strings.Contains(lines[0], "CAP_NET_ADMIN") {
			t.Errorf("--firewall %s: want one line with the reason and the next step:\n%s", firewall, out)
		}
	}
}

// TestAutoTakesTheFirstFirewallThatTheMachineSupports and tells of all that it does not.
func TestAutoTakesTheFirstFirewallThatTheMachineSupports(t *testing.T) {
	good := firewall.NewMemory()
	gives := func(b firewall.Backend, err error) func() (firewall.Backend, error) {
		return func() (firewall.Backend, error) { return b, err }
	}
	none := &firewall.Error{Op: "ask for nf_tables", Err: firewall.ErrUnsupported}
	never := func() (firewall.Backend, error) { t.Error("one too many is opened"); return good, nil }
	for _, c := range []struct {
		name  string
		kinds []func() (firewall.Backend, error)
		want  error
	}{
		{"the first", []func() (firewall.Backend, error){gives(good, nil), never}, nil},
		{"the second, where there is no first", []func() (firewall.Backend, error){gives(nil, none), gives(good, nil)}, nil},
		{"neither", []func() (firewall.Backend, error){gives(nil, none), gives(nil, none)}, firewall.ErrUnsupported},
		{"none, where the first is forbidden", []func() (firewall.Backend, error){gives(nil, firewall.ErrPermission), never}, firewall.ErrPermission},
	} {
		b, err := firstSupported(c.kinds, slog.New(slog.DiscardHandler))
		if !errors.Is(err, c.want) || (err == nil) != (b == good) {
			t.Errorf("%s: %v, %v", c.name, b, err)
		}
	}
}

// TestPacketASecondDaemonIsToldWhoseTheTableIs starts a daemon beside another, whose table it may not touch.
func TestPacketASecondDaemonIsToldWhoseTheTableIs(t *testing.T) {
	if !inNamespaces(t, root) {
		return
	}
	sh(t, "mount --make-rprivate / && mount -t proc proc /proc")
	n := packets.New(t)
	first := &guard{t: t, dir: t.TempDir(), firewall: "nft", network: n, log: &lockedBuffer{}}
	second := &guard{t: t, dir: t.TempDir(), firewall: "nft", network: n, log: &lockedBuffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- the first said:\n%.3000s\n--- the second said:\n%.6000s", first.log, second.log)
		}
	})
	first.configure("22")
	first.start()
	first.ctl("ban", "all", bannedAll4)
	waitFor(t, 10*time.Second, "the first bans", func() bool { return !first.open(bannedAll4, 22) })
	if strings.Contains(first.tell("firewall"), "can change our table") {
		t.Skip("this kernel's tables have no owners")
	}

	second.configure("80")
	second.launch()
	const hint = "stop the other one"
	waitFor(t, 20*time.Second, "the second is told", func() bool { return strings.Contains(second.tell("status"), hint) })
	if s := second.tell("status"); !strings.Contains(s, "degraded") || !strings.Contains(s, "belongs to another process") {
		t.Errorf("the second's status: %s", s)
	}
	if n := strings.Count(second.log.String(), hint); n != 1 {
		t.Errorf("its log tells %d times:\n%s", n, second.log)
	}
	// What it bans meanwhile waits for the day when the first is gone, and the first's bans stand.
	_ = exec.Command(binary(t, "agentctl"), "-s", filepath.Join(second.dir, "s"), "ban", "all", bannedAll6).Run()
	first.want("beside a second daemon", bannedAll4, map[uint16]bool{22: false, 80: false})
	first.want("beside a second daemon", bannedAll6, map[uint16]bool{22: true})

	first.end(syscall.SIGKILL)
	waitFor(t, 60*time.Second, "the second bans", func() bool { return !second.open(bannedAll6, 22) })
	waitFor(t, 20*time.Second, "all is well again", func() bool { return !strings.Contains(second.tell("status"), "degraded") })
	second.want("in the second's own time", bannedAll4, map[uint16]bool{22: true})
	second.end(syscall.SIGTERM)
}
