package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// install lays an unpacked package over the file system that this process and its children see, for as long as
// its mount namespace lasts; what is written to /usr and /etc is lost with it.
func install(t *testing.T, unpacked string) {
	t.Helper()
	room := t.TempDir()
	var script strings.Builder
	fmt.Fprintf(&script, "mount -t tmpfs none %s\n", room)
	for _, top := range []string{"usr", "etc"} {
		lower := filepath.Join(unpacked, top)
		if top == "usr" {
			// Packages may still have folders at the top that are links into /usr.
			fmt.Fprintf(&script, "mkdir %[1]s/merged\nfor d in bin sbin lib; do test ! -d %[2]s/$d || cp -r %[2]s/$d %[1]s/merged/; done\n", room, unpacked)
			lower = filepath.Join(room, "merged") + ":" + lower
		}
		fmt.Fprintf(&script, "mkdir %[1]s/%[2]s %[1]s/%[2]s-work\nmount -t overlay none -o lowerdir=%[3]s:/%[2]s,upperdir=%[1]s/%[2]s,workdir=%[1]s/%[2]s-work /%[2]s\n",
			room, top, lower)
	}
	script.WriteString("mount -t tmpfs none /run\nmount -t tmpfs none /var/log\n")
	if out, err := exec.Command("/bin/sh", "-euc", script.String()).CombinedOutput(); err != nil {
		t.Skipf("no file system can be laid over another here: %v\n%s", err, out)
	}
	t.Cleanup(func() { _ = exec.Command("umount", "-l", "/var/log", "/run", "/etc", "/usr", room).Run() })
}

// useIptables makes iptables the one of a kind, "nft" or "legacy", in what install has laid over.
func useIptables(t *testing.T, kind string) {
	t.Helper()
	for _, tool := range []string{"iptables", "ip6tables"} {
		for _, what := range []string{"", "-save", "-restore"} {
			path := "/usr/sbin/" + tool + what
			_ = os.Remove(path)
			if err := os.Symlink("xtables-"+kind+"-multi", path); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestPacketUfwAndWeLeaveEachOtherAlone(t *testing.T) {
	need(t, "iptables-legacy", "iptables-nft", "nft")
	unpacked := oracle.Unpacked(t, "ufw", "ufw")
	beside(t, func(n *neighbours) {
		install(n.t, unpacked)
		sh(n.t, `
			cp /usr/share/ufw/ufw.conf /usr/share/ufw/*.rules /usr/share/ufw/*.init /etc/ufw/
			chmod 640 /etc/ufw/*.rules /etc/ufw/*.init`)
		kinds := []string{"nft", "legacy"}
		if n.firewall == "nft" {
			kinds = kinds[:1] // no iptables is ours
		}
		for _, kind := range kinds {
			// The daemon uses the iptables that it finds at its start.
			n.end(syscall.SIGTERM)
			useIptables(n.t, kind)
			n.start()
			for _, who := range []string{bannedApp4, bannedApp6, bannedAll4, bannedAll6} {
				waitFor(n.t, 10*time.Second, who+" is kept out again", func() bool { return !n.open(who, 22) })
			}
			n.does(kind+": ufw is set up", "ufw default allow incoming && ufw default allow routed && ufw deny 81/tcp && ufw allow from "+bannedAll4)
			n.does(kind+": ufw is enabled", "ufw --force enable")
			n.filters(kind+" enabled", true)
			n.weWork()
			n.filters(kind+" after our work", true)
			n.does(kind+": ufw is loaded again", "ufw reload")
			n.does(kind+": a rule is added", "ufw deny 83/tcp && ufw delete deny 83/tcp")
			n.filters(kind+" loaded again", true)
			n.does(kind+": ufw is disabled", "ufw disable")
			n.filters(kind+" disabled", false)
			n.does(kind+": ufw is reset", "ufw --force reset")
			// It leaves its chains behind, empty.
			n.does(kind+": iptables is emptied", "for i in iptables ip6tables; do $i -F; $i -X; done")
		}
	})
}

// systemBus lets everybody do everything: it has a machine of its own.
const systemBus = `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/> <allow own="*"/> <allow send_type="method_call"/> <allow send_destination="*"/> <allow receive_sender="*"/>
  </policy>
</busconfig>
`

func TestPacketFirewalldAndWeLeaveEachOtherAlone(t *testing.T) {
	need(t, "dbus-daemon", "iptables-nft", "nft")
	if err := exec.Command("/usr/bin/python3", "-c", "import dbus, gi.repository.GLib").Run(); err != nil {
		t.Skipf("no python3 with dbus and gi here: %v", err)
	}
	unpacked := oracle.Unpacked(t, "firewalld", "firewalld", "python3-firewall", "python3-nftables", "python3-cap-ng", "libcap-ng0")
	beside(t, func(n *neighbours) {
		install(n.t, unpacked)
		bus := filepath.Join(n.dir, "bus.conf")
		if err := os.WriteFile(bus, []byte(systemBus), 0o600); err != nil {
			n.t.Fatal(err)
		}
		sh(n.t, "mkdir -p /run/dbus")
		start(n.t, "dbus-daemon", "--nofork", "--config-file="+bus)
		waitFor(n.t, 20*time.Second, "there is a bus", func() bool { _, err := os.Stat("/run/dbus/system_bus_socket"); return err == nil })
		answers := func() bool {
			out, err := exec.Command("firewall-cmd", "--state").Output()
			return err == nil && strings.HasPrefix(string(out), "running")
		}
		for _, kind := range []string{"nftables", "iptables"} {
			sh(n.t, "sed -i 's/^FirewallBackend=.*/FirewallBackend="+kind+"/; s/^DefaultZone=.*/DefaultZone=trusted/' /etc/firewalld/firewalld.conf")
			before := n.came()
			firewalld := start(n.t, "/usr/bin/python3", "/usr/sbin/firewalld", "--nofork", "--nopid")
			waitFor(n.t, 30*time.Second, "firewalld runs", answers)
			n.keptOut(kind+": firewalld is started", before)
			n.does(kind+": rules are added", `
				for f in 4 6; do firewall-cmd --zone=trusted --add-rich-rule="rule family=ipv$f port port=81 protocol=tcp drop"; done
				firewall-cmd --runtime-to-permanent`)
			n.filters(kind+" with rules", true)
			n.weWork()
			n.does(kind+": firewalld is loaded again", "firewall-cmd --reload")
			n.filters(kind+" loaded again", true)
			n.does(kind+": firewalld is loaded again as a whole", "firewall-cmd --complete-reload")
			n.filters(kind+" loaded again as a whole", true)
			before = n.came()
			if err := firewalld.Process.Signal(os.Interrupt); err != nil {
				n.t.Fatal(err)
			}
			waitFor(n.t, 30*time.Second, "firewalld has ended", func() bool { return !answers() })
			n.keptOut(kind+": firewalld is stopped", before)
			n.filters(kind+" stopped", false)
			sh(n.t, "rm -rf /etc/firewalld/zones/*")
		}
	})
}
