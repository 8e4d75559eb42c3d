package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// managed starts the daemon as a service manager does, and gives what it is told.
func managed(t *testing.T, env ...string) (cmd *exec.Cmd, dir string, next func(want string) string) {
	t.Helper()
	dir = tree(t, map[string]string{
		"app.log": "", "filter.d/app.conf": soundFilter,
		"action.d/env.conf": "[Definition]\nactionban = env > DIR/env\n",
		"fail2ban.conf":     "[Definition]\nlogtarget = DIR/f2b.log\nsocket = DIR/f2b.sock\n",
		"jail.conf":         "[app]\nenabled = true\nbackend = polling\nlogpath = DIR/app.log\nfilter = app\nignoreself = false\naction = env\n",
	})
	socket := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	cmd = exec.Command(binary(t, "agentd"), "-c", dir, "--firewall", "memory", "-s", filepath.Join(dir, "a.sock"), "--db", filepath.Join(dir, "db"))
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+socket)
	cmd.Env = append(cmd.Env, env...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	next = func(want string) string {
		t.Helper()
		b := make([]byte, 4096)
		for {
			if err := c.SetReadDeadline(time.Now().Add(15 * time.Second)); err != nil {
				t.Fatal(err)
			}
			n, err := c.Read(b)
			if err != nil {
				t.Fatalf("waited in vain for %s: %v", want, err)
			}
			if text := string(b[:n]); strings.HasPrefix(text, want) {
				return text
			}
		}
	}
	return cmd, dir, next
}

func TestTheServiceManagerIsTold(t *testing.T) {
	cmd, dir, next := managed(t, "WATCHDOG_USEC=400000")
	next("READY=1")
	if text := next("WATCHDOG=1"); !strings.Contains(text, "STATUS=ok: 1 jails, 0 banned") {
		t.Errorf("%q", text)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if text := next("RELOADING=1"); !regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=[1-9]\d+$`).MatchString(text) {
		t.Errorf("%q", text)
	}
	next("READY=1")
	if _, err := control.NewClient(filepath.Join(dir, "a.sock")).Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"192.0.2.1"}}); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 15*time.Second, "the action has run", func() bool {
		b, _ := os.ReadFile(filepath.Join(dir, "env"))
		return strings.Contains(string(b), "PATH=")
	})
	if b, err := os.ReadFile(filepath.Join(dir, "env")); err != nil || strings.Contains(string(b), "NOTIFY_SOCKET") || strings.Contains(string(b), "WATCHDOG") {
		t.Errorf("what an action runs could speak for the daemon: %s, %v", b, err)
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	next("STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}

// stuck is a daemon whose engine takes no questions any more.
type stuck struct {
	control.Service
	asked chan struct{}
}

func (s stuck) Status(ctx context.Context) (control.Status, error) {
	s.asked <- struct{}{}
	<-ctx.Done()
	return control.Status{}, ctx.Err()
}

// TestADaemonThatHangsGivesNoSignOfLife, so that the service manager starts it anew.
func TestADaemonThatHangsGivesNoSignOfLife(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancel(t.Context())
	s, ended := stuck{asked: make(chan struct{})}, make(chan struct{})
	go func() { defer close(ended); notifier{socket, 10 * time.Millisecond}.watch(ctx, s) }()
	for range 5 {
		<-s.asked
	}
	cancel()
	go func() {
		for range s.asked { // one more question may be on its way
		}
	}()
	<-ended
	close(s.asked)
	if err := c.SetReadDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 100)
	if n, err := c.Read(b); err == nil {
		t.Errorf("%q", b[:n])
	}
}

// TestARestartKeepsTheBansInForce: the signal that a service manager sends for a restart leaves them in the kernel,
// that for a stop does not; and the log is opened anew as fail2ban does it.
func TestARestartKeepsTheBansInForce(t *testing.T) {
	for signal, repealed := range map[syscall.Signal]bool{syscall.SIGTERM: true, syscall.SIGUSR2: false} {
		cmd, dir, next := managed(t)
		next("READY=1")
		if _, err := control.NewClient(filepath.Join(dir, "a.sock")).Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"192.0.2.1"}}); err != nil {
			t.Fatal(err)
		}
		log := filepath.Join(dir, "f2b.log")
		if err := os.Rename(log, log+".1"); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(syscall.SIGUSR1); err != nil {
			t.Fatal(err)
		}
		waitFor(t, 15*time.Second, "there is a new log", func() bool { _, err := os.Stat(log); return err == nil })
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		next("STOPPING=1")
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
		text, err := os.ReadFile(log)
		if err != nil || strings.Contains(string(text), "Repeal Ban 192.0.2.1") != repealed {
			t.Errorf("%v: %v, %s", signal, err, text)
		}
	}
}
