// Package packaging_test builds the packages and lives a life with them in a folder of its own.
package packaging_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("no %s", p)
		}
	}
}

// files lists what is in a folder, without what dpkg keeps for itself.
func files(t *testing.T, root string) (list []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if !strings.HasPrefix(rel, "var/lib/dpkg") && !strings.HasPrefix(rel, "var/log/dpkg") {
			list = append(list, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// debian is a machine in a folder, as far as dpkg can tell.
type debian struct {
	t    *testing.T
	root string
}

func newDebian(t *testing.T) *debian {
	t.Helper()
	d := &debian{t, t.TempDir()}
	for _, dir := range []string{"var/lib/dpkg/info", "var/lib/dpkg/updates", "var/lib/dpkg/triggers", "var/log", "etc/fail2ban/filter.d"} {
		if err := os.MkdirAll(filepath.Join(d.root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"var/lib/dpkg/status": "", "var/log/app.log": "",
		"etc/fail2ban/fail2ban.conf":     "[Definition]\nlogtarget = STDERR\nsocket = " + d.root + "/f2b.sock\n",
		"etc/fail2ban/filter.d/app.conf": "[Definition]\nfailregex = ^ app: failure from <HOST>$\n",
		"etc/fail2ban/jail.conf":         "[app]\nenabled = true\nbackend = polling\nfilter = app\nlogpath = " + d.root + "/var/log/app.log\naction = nftables[type=allports]\n",
	} {
		if err := os.WriteFile(filepath.Join(d.root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func (d *debian) dpkg(args ...string) string {
	d.t.Helper()
	return run(d.t, "dpkg", append([]string{"--root=" + d.root, "--force-not-root", "--force-script-chrootless", "--force-depends"}, args...)...)
}

func (d *debian) path(name string) string { return filepath.Join(d.root, name) }

// start runs the installed daemon, and waits until it is ready.
func (d *debian) start() *exec.Cmd {
	d.t.Helper()
	var out bytes.Buffer
	ready, w, err := os.Pipe()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(d.path("usr/sbin/agentd"), "-c", d.path("etc/fail2ban"), "-s", d.path("a.sock"), "--db", d.path("var/lib/agentd/agentd.db"), "--firewall", "memory")
	cmd.Stdout, cmd.Stderr = w, &out
	if err := cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	_ = w.Close()
	d.t.Cleanup(func() { _ = cmd.Process.Kill() })
	if err := ready.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		d.t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := ready.Read(b); err != nil || !strings.HasPrefix(string(b[:n]), "Server ready") {
		d.t.Fatalf("%v, %q, %s", err, b[:n], out.String())
	}
	return cmd
}

func (d *debian) agentctl(args ...string) string {
	d.t.Helper()
	return run(d.t, d.path("usr/bin/agentctl"), append([]string{"-s", d.path("a.sock")}, args...)...)
}

// TestThePackageLives: it is installed, runs, is upgraded with its bans in force, removed without a trace but the
// database, and purged with that.
func TestThePackageLives(t *testing.T) {
	needs(t, "dpkg", "dpkg-deb", "gzip", "git")
	if os.Geteuid() != 0 {
		t.Skip("dpkg wants root")
	}
	out := t.TempDir()
	for _, version := range []string{"1.0.0", "1.1.0"} {
		run(t, "./build.sh", version, out)
	}
	deb := func(version string) string {
		found, err := filepath.Glob(filepath.Join(out, "palisade_"+version+"_*.deb"))
		if err != nil || len(found) != 1 {
			t.Fatalf("%v, %v", found, err)
		}
		return found[0]
	}
	d := newDebian(t)
	before := files(t, d.root)
	d.dpkg("-i", deb("1.0.0"))
	for name, mode := range map[string]fs.FileMode{
		"usr/sbin/agentd": 0o755, "usr/bin/agentctl": 0o755, "usr/lib/systemd/system/agentd.service": 0o644, "usr/share/palisade/strict.conf": 0o644,
		"usr/share/man/man1/agentctl.1.gz": 0o644, "usr/share/man/man8/agentd.8.gz": 0o644, "usr/share/bash-completion/completions/agentctl": 0o644,
		"usr/share/doc/palisade/copyright": 0o644,
	} {
		if st, err := os.Stat(d.path(name)); err != nil || st.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v", name, st, err)
		}
	}
	if to, err := os.Readlink(d.path("usr/lib/palisade/bin/fail2ban-client")); err != nil || to != "/usr/bin/agentctl" {
		t.Errorf("fail2ban-client is a link to %s, %v", to, err)
	}
	if err := os.WriteFile(d.path("etc/fail2ban/jail.local"), []byte("[app]\nmaxretry = 4\n"), 0o644); err != nil { // by the administrator
		t.Fatal(err)
	}
	if got := run(t, d.path("usr/sbin/agentd"), "--check", "-c", d.path("etc/fail2ban")); !strings.Contains(got, "1 of 1 enabled jails can run") {
		t.Error(got)
	}

	daemon := d.start()
	d.agentctl("ban", "app", "192.0.2.1", "--time", "1h")
	d.dpkg("-i", deb("1.1.0"))
	if err := daemon.Process.Signal(syscall.SIGUSR2); err != nil { // what systemd sends for a restart
		t.Fatal(err)
	}
	if err := daemon.Wait(); err != nil {
		t.Error(err)
	}
	daemon = d.start()
	if got := d.agentctl("banned"); !strings.Contains(got, "192.0.2.1") {
		t.Errorf("after the upgrade: %s", got)
	}
	if text, err := os.ReadFile(d.path("etc/fail2ban/jail.local")); err != nil || !strings.Contains(string(text), "maxretry = 4") {
		t.Errorf("what the administrator wrote: %s, %v", text, err)
	}
	if got := run(t, "dpkg-query", "--admindir="+d.path("var/lib/dpkg"), "-W", "-f", "${Version}", "palisade"); got != "1.1.0" {
		t.Errorf("version %s", got)
	}

	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()
	d.agentctl("stop")
	if err := <-ended; err != nil {
		t.Error(err)
	}
	d.dpkg("-r", "palisade")
	left := files(t, d.root)
	want := append(append([]string{}, before...), "etc/fail2ban/jail.local", "var/lib/agentd/agentd.db")
	if strings.Join(sorted(left), "\n") != strings.Join(sorted(want), "\n") {
		t.Errorf("a removal leaves\n%s\nwant\n%s", strings.Join(sorted(left), "\n"), strings.Join(sorted(want), "\n"))
	}
	d.dpkg("-P", "palisade")
	if _, err := os.Stat(d.path("var/lib/agentd")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a purge leaves the database: %v", err)
	}

	found, err := filepath.Glob(filepath.Join(out, "palisade-1.1.0-*.rpm"))
	if err != nil || len(found) != 1 {
		t.Errorf("%v, %v", found, err)
	} else if b, err := os.ReadFile(found[0]); err != nil || !bytes.HasPrefix(b, []byte{0xed, 0xab, 0xee, 0xdb}) {
		t.Errorf("%s is no rpm: %v", found[0], err)
	}
}

func sorted(list []string) []string {
	list = slices.Clone(list)
	slices.Sort(list)
	return list
}

// TestTheUnitIsSoundAndTight: systemd understands every line, and finds little that the daemon could do beyond its
// work, still less with the strict settings.
func TestTheUnitIsSoundAndTight(t *testing.T) {
	needs(t, "systemd-analyze")
	dir := t.TempDir()
	unit, err := os.ReadFile("agentd.service")
	if err != nil {
		t.Fatal(err)
	}
	// Of this machine's programs and pages nothing is asked.
	text := strings.ReplaceAll(string(unit), "/usr/sbin/agentd", "/bin/true")
	text = strings.ReplaceAll(text, "man:agentd(8) man:agentctl(1) ", "")
	path := filepath.Join(dir, "agentd.service")
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("systemd-analyze", "verify", "--recursive-errors=no", path).CombinedOutput(); err != nil || strings.Contains(string(out), "agentd.service") {
		t.Errorf("%v, %s", err, out)
	}
	exposure := func() float64 {
		t.Helper()
		out, err := exec.Command("systemd-analyze", "security", "--offline=true", path).CombinedOutput()
		_, rest, ok := strings.Cut(string(out), "exposure level for agentd.service: ")
		word, _, _ := strings.Cut(rest, " ")
		n, parseErr := strconv.ParseFloat(word, 64)
		if !ok || parseErr != nil {
			t.Skipf("systemd-analyze cannot tell: %v, %.300s", err, out)
		}
		return n
	}
	if n := exposure(); n > 6 {
		t.Errorf("the unit's exposure is %.1f", n)
	}
	strict, err := os.ReadFile("strict.conf")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(path+".d", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".d/strict.conf", strict, 0o644); err != nil {
		t.Fatal(err)
	}
	if n := exposure(); n > 2.5 {
		t.Errorf("with the strict settings it is %.1f", n)
	}
}

// TestTheManualPagesAreSound: troff finds nothing to warn of.
func TestTheManualPagesAreSound(t *testing.T) {
	needs(t, "groff")
	dir := t.TempDir()
	run(t, "go", "run", "../cmd/agentctl", "man", dir)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 3 {
		t.Fatalf("%v, %v", pages, err)
	}
	for _, page := range append(pages, "agentd.8") {
		out, err := exec.Command("groff", "-man", "-ww", "-z", "-Tutf8", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%.600s", filepath.Base(page), err, out)
		}
	}
}
