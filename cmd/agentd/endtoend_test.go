package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// The addresses of the end-to-end test's two machines, from the ranges kept for documentation.
const (
	server4, attacker4 = "192.0.2.1", "192.0.2.66"
	server6, attacker6 = "2001:db8:0:1::1", "2001:db8:0:1::66"
)

const insideEnv = "PALISADE_TEST_INSIDE"

// binaries builds the project's commands once for all tests of this package.
var binaries = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "palisade-bin-")
	if err != nil {
		return "", err
	}
	args := []string{"build", "-o", dir + "/"}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "../agentd", "../agentctl")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return dir, nil
})

func binary(t *testing.T, name string) string {
	t.Helper()
	if dir := os.Getenv(insideEnv); dir != "" {
		return filepath.Join(dir, name)
	}
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, name)
}

func TestMain(m *testing.M) {
	code := m.Run()
	if os.Getenv(insideEnv) == "" {
		if dir, err := binaries(); err == nil {
			os.RemoveAll(dir)
		}
	}
	os.Exit(code)
}

// privilege is what a test needs to do its work in namespaces of its own.
type privilege int

const (
	anybody privilege = iota // a user namespace will do
	root
)

// inNamespaces runs the test again in mount, network and PID namespaces of its own, where it may do
// as it likes with /dev, /run, /var/log and the firewall, and where everything that it started dies
// with it. It reports whether the caller is that second run.
func inNamespaces(t *testing.T, as privilege) bool {
	t.Helper()
	if os.Getenv(insideEnv) != "" {
		return true
	}
	if os.Getuid() != 0 && as == root {
		t.Skip("needs root: it makes network namespaces and runs a real sshd")
	}
	dir := filepath.Dir(binary(t, "agentd"))
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=4m", fmt.Sprintf("-test.short=%v", testing.Short()))
	cmd.Env = append(os.Environ(), insideEnv+"="+dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET | syscall.CLONE_NEWPID}
	if os.Getuid() != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		t.Fatal("failed inside the namespaces")
	case err != nil:
		t.Skipf("this machine gives us no namespaces: %v", err)
	case bytes.Contains(out, []byte("--- SKIP")):
		t.Skip("skipped inside the namespaces, see above")
	}
	return false
}

func sh(t *testing.T, script string) {
	t.Helper()
	if out, err := exec.Command("/bin/sh", "-euc", script).CombinedOutput(); err != nil {
		t.Fatalf("%s\n%v: %s", script, err, out)
	}
}

// start runs a program until the test ends; what it printed is shown if the test failed.
func start(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	var out lockedBuffer
	cmd := exec.Command(name, args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		if strings.Contains(out.String(), "DATA RACE") {
			t.Errorf("%s has a data race", filepath.Base(name))
		}
		if t.Failed() {
			t.Logf("--- %s said:\n%s", filepath.Base(name), out.String())
		}
	})
	return cmd
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func waitFor(t *testing.T, limit time.Duration, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain until %s", limit, what)
		}
	}
}

// TestEndToEndARealSSHDIsGuarded is the main job on real parts: Debian's own configuration as it is
// plus three lines, a real OpenSSH server that logs through a real rsyslog, and real failing logins
// from another network namespace.
func TestEndToEndARealSSHDIsGuarded(t *testing.T) {
	for _, tool := range []string{"/usr/sbin/sshd", "/usr/bin/ssh", "/usr/sbin/rsyslogd", "/usr/sbin/ip"} {
		if _, err := os.Stat(tool); err != nil {
			t.Skipf("no %s: run make deps as root", tool)
		}
	}
	debian := oracle.Fail2ban(t)
	if !inNamespaces(t, root) {
		return
	}
	dir := t.TempDir()
	layMachine(t, dir, filepath.Join(debian, "etc/fail2ban"))
	start(t, "/usr/sbin/rsyslogd", "-n", "-f", filepath.Join(dir, "rsyslog.conf"), "-i", filepath.Join(dir, "rsyslog.pid"))
	waitFor(t, 10*time.Second, "rsyslog listens", func() bool { _, err := os.Stat("/dev/log"); return err == nil })
	start(t, "/usr/sbin/sshd", "-D", "-f", filepath.Join(dir, "sshd_config"))
	listen(t, net.JoinHostPort(server4, "8080"))
	listen(t, net.JoinHostPort(server6, "8080"))

	socket := filepath.Join(dir, "agentd.sock")
	start(t, binary(t, "agentd"), "-s", socket, "--fail2ban-socket", "none", "--db", filepath.Join(dir, "agentd.db"))
	waitFor(t, 15*time.Second, "agentd answers", func() bool {
		return exec.Command(binary(t, "agentctl"), "-s", socket, "ping").Run() == nil
	})

	for _, c := range []struct{ family, server, attacker string }{
		{"IPv4", server4, attacker4}, {"IPv6", server6, attacker6},
	} {
		t.Run(c.family, func(t *testing.T) {
			ssh, other := net.JoinHostPort(c.server, "22"), net.JoinHostPort(c.server, "8080")
			waitFor(t, 10*time.Second, "sshd answers", func() bool { return dialFrom(t, ssh) == nil })
			attack(t, dir, c.server)
			written := lastLineWritten(t)
			waitFor(t, 10*time.Second, "the attacker is shut out", func() bool { return dialFrom(t, ssh) != nil })
			took := time.Since(written)
			t.Logf("shut out %v after the last line was written", took.Round(time.Millisecond))
			if took > time.Second {
				t.Errorf("the attacker was shut out only %v after the last line", took)
			}
			if err := dialFrom(t, other); err != nil {
				t.Errorf("another port must still answer: %v", err)
			}
			out, err := exec.Command(binary(t, "agentctl"), "-s", socket, "banned", c.attacker).CombinedOutput()
			if err != nil || !strings.Contains(string(out), c.attacker) {
				t.Errorf("agentctl banned %s: %v\n%s", c.attacker, err, out)
			}
			banned := time.Now()
			waitFor(t, 30*time.Second, "the ban has ended", func() bool { return dialFrom(t, ssh) == nil })
			if held := time.Since(banned); held < 4*time.Second {
				t.Errorf("the ban held only %v of its 8 s", held)
			}
		})
	}
}

// layMachine makes the server's folders, logging and network, and the attacker's namespace.
func layMachine(t *testing.T, dir, config string) {
	t.Helper()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("rsyslog.conf", "module(load=\"imuxsock\")\n$ActionFileDefaultTemplate RSYSLOG_TraditionalFileFormat\nauth,authpriv.* /var/log/auth.log\n")
	write("sshd_config", fmt.Sprintf("Port 22\nHostKey %s/hostkey\nPidFile none\nUsePAM no\nPasswordAuthentication yes\nKbdInteractiveAuthentication no\nMaxStartups 100\nStrictModes no\n", dir))
	write("askpass", "#!/bin/sh\necho wrong\n")
	write("jail.local", "[sshd]\nenabled = true\nbantime = 8\n")
	t.Cleanup(func() { sh(t, "umount -l /etc "+dir+"/etc") })
	sh(t, strings.NewReplacer("DIR", dir, "CONFIG", config, "SERVER4", server4, "SERVER6", server6,
		"ATTACKER4", attacker4, "ATTACKER6", attacker6).Replace(`
mount --make-rprivate /
mount -t proc proc /proc
mkdir DIR/dev
mount -t tmpfs tmpfs DIR/dev
for n in null zero full random urandom tty; do touch DIR/dev/$n; mount --bind /dev/$n DIR/dev/$n; done
mkdir DIR/dev/pts DIR/dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts DIR/dev/pts
ln -s pts/ptmx DIR/dev/ptmx
mount --move DIR/dev /dev
mount -t tmpfs tmpfs /run
mkdir -p /run/sshd /run/netns
mount -t tmpfs tmpfs /var/log
: >/var/log/auth.log
mkdir DIR/etc
mount -t tmpfs tmpfs DIR/etc
mkdir DIR/etc/upper DIR/etc/work
mount -t overlay -o lowerdir=/etc,upperdir=DIR/etc/upper,workdir=DIR/etc/work overlay /etc
rm -rf /etc/fail2ban
cp -r CONFIG /etc/fail2ban
cp DIR/jail.local /etc/fail2ban/jail.local
chmod +x DIR/askpass
ssh-keygen -q -t ed25519 -N '' -f DIR/hostkey
ip link set lo up
ip netns add attacker
ip link add veth0 type veth peer name veth1 netns attacker
ip addr add SERVER4/24 dev veth0
ip -6 addr add SERVER6/64 dev veth0 nodad
ip link set veth0 up
ip -n attacker link set lo up
ip -n attacker addr add ATTACKER4/24 dev veth1
ip -n attacker -6 addr add ATTACKER6/64 dev veth1 nodad
ip -n attacker link set veth1 up
`))
}

// attack tries as many wrong passwords as maxretry allows.
func attack(t *testing.T, dir, server string) {
	t.Helper()
	for range 5 {
		cmd := exec.Command("ip", "netns", "exec", "attacker", "ssh", "-F", "none", "-o", "StrictHostKeyChecking=no",
			"-o", "UserKnownHostsFile=/dev/null", "-o", "PreferredAuthentications=password", "-o", "NumberOfPasswordPrompts=1",
			"-o", "ConnectTimeout=3", "root@"+server)
		cmd.Env = append(os.Environ(), "SSH_ASKPASS="+filepath.Join(dir, "askpass"), "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:0")
		out, err := cmd.CombinedOutput()
		if err == nil {
			t.Fatalf("the attacker got in: %s", out)
		}
		if !bytes.Contains(out, []byte("Permission denied")) {
			t.Fatalf("sshd did not ask for the password: %s", out)
		}
	}
}

// lastLineWritten tells when the log last grew.
func lastLineWritten(t *testing.T) time.Time {
	t.Helper()
	st, err := os.Stat("/var/log/auth.log")
	if err != nil {
		t.Fatal(err)
	}
	return st.ModTime()
}

func listen(t *testing.T, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
}

// dialFrom opens a new TCP connection from the attacker's namespace.
func dialFrom(t *testing.T, addr string) error {
	t.Helper()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread is in the other namespace and ends with us
		ns, err := os.Open("/run/netns/attacker")
		if err != nil {
			result <- err
			return
		}
		defer ns.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			result <- err
			return
		}
		c, err := net.DialTimeout("tcp", addr, 250*time.Millisecond)
		if err == nil {
			c.Close()
		}
		result <- err
	}()
	return <-result
}
