// Command demo shows the main job: in a private network namespace it starts the real daemon, plays a
// sample attack into a log file, shows every failure and ban as it happens, and then what status, the
// list of bans and the kernel's own set say. Nothing outside the namespace and a temporary folder is
// touched. `make run` calls it.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// inside marks the process that already runs in its own namespace.
const inside = "PALISADE_DEMO_INSIDE"

const (
	startLimit = 20 * time.Second
	banLimit   = 20 * time.Second
	linePause  = 150 * time.Millisecond // so that a person can follow
)

func main() {
	bin := flag.String("bin", "bin", "folder of the agentd and agentctl binaries")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "Usage: demo [-bin DIR]\n\nPlays a sample attack against the real daemon in a private network namespace.\n\nExample: go run ./demo -bin bin")
		flag.PrintDefaults()
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, *bin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, bin string, out io.Writer) error {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return err
	}
	switch os.Getenv(inside) {
	case "":
		return enter(ctx, bin, out)
	case "memory":
		return play(ctx, bin, "memory", out)
	default:
		if err := loopbackUp(); err != nil {
			return fmt.Errorf("bring loopback up: %w", err)
		}
		return play(ctx, bin, "nft", out)
	}
}

// enter starts this program again in a network namespace of its own: as root directly, as anybody
// else in a user namespace too. Where the machine allows neither, the firewall is played in memory.
func enter(ctx context.Context, bin string, out io.Writer) error {
	again := func(backend string, attr *syscall.SysProcAttr) error {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		cmd := exec.CommandContext(ctx, self, "-bin", bin)
		cmd.Env = append(os.Environ(), inside+"="+backend)
		cmd.Stdout, cmd.Stderr = out, os.Stderr
		cmd.SysProcAttr = attr
		cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
		cmd.WaitDelay = 10 * time.Second
		return cmd.Run()
	}
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if os.Getuid() != 0 {
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	err := again("nft", attr)
	var exit *exec.ExitError
	if err == nil || errors.As(err, &exit) || ctx.Err() != nil {
		return err
	}
	fmt.Fprintf(out, "This machine gives us no network namespace (%v): the firewall is played in memory.\n\n", err)
	return again("memory", nil)
}

func loopbackUp() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer func() { _ = unix.Close(fd) }()
	ifr, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr)
}

// stage is the demo's own small machine: a configuration, a log, a daemon.
type stage struct {
	dir, log, socket string
	agentctl         string
	out              io.Writer
}

func play(ctx context.Context, bin, backend string, out io.Writer) error {
	dir, err := os.MkdirTemp("", "palisade-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s := stage{dir: dir, log: filepath.Join(dir, "auth.log"), socket: filepath.Join(dir, "agentd.sock"), agentctl: filepath.Join(bin, "agentctl"), out: out}

	conf := filepath.Join(dir, "fail2ban")
	if err := os.Mkdir(conf, 0o755); err != nil {
		return err
	}
	jail := fmt.Sprintf(`[sshd]
enabled  = true
filter   = sshd
logpath  = %s
maxretry = 3
findtime = 10m
bantime  = 1h
action   = nftables[port="ssh", protocol="tcp"]
`, s.log)
	for path, text := range map[string]string{
		filepath.Join(conf, "fail2ban.conf"): "[Definition]\n", filepath.Join(conf, "jail.local"): jail, s.log: "",
	} {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return err
		}
	}
	s.say("A jail, as an administrator writes it (%s):", filepath.Join(conf, "jail.local"))
	fmt.Fprintln(out, indent(jail))

	var daemonLog bytes.Buffer
	daemon := exec.CommandContext(ctx, filepath.Join(bin, "agentd"), "-c", conf, "-s", s.socket,
		"--fail2ban-socket", "none", "--db", filepath.Join(dir, "agentd.db"), "--firewall", backend)
	daemon.Stderr = &daemonLog
	daemon.Cancel = func() error { return daemon.Process.Signal(os.Interrupt) }
	daemon.WaitDelay = 10 * time.Second
	if err := daemon.Start(); err != nil {
		return fmt.Errorf("start agentd: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- daemon.Wait() }()

	err = s.show(ctx)
	if stopErr := s.ctl(ctx, io.Discard, "stop"); err == nil && stopErr != nil {
		err = fmt.Errorf("stop the daemon: %w", stopErr)
	}
	if stopErr := <-ended; err == nil && stopErr != nil {
		err = fmt.Errorf("agentd: %w", stopErr)
	}
	if err != nil {
		return fmt.Errorf("%w\n--- the daemon's log:\n%s", err, daemonLog.String())
	}
	s.say("The daemon has stopped and taken its table out of the kernel. That was the main job.")
	return nil
}

func (s stage) show(ctx context.Context) error {
	if err := s.until(ctx, startLimit, "the daemon answers", func() bool { return s.ctl(ctx, io.Discard, "ping") == nil }); err != nil {
		return err
	}
	s.say("The daemon runs. Now somebody guesses passwords; lines that begin with > go into the log,\nthe others are what the daemon says, as it happens:")
	eventsCtx, endEvents := context.WithCancel(ctx)
	events := exec.CommandContext(eventsCtx, s.agentctl, "-s", s.socket, "events", "--follow")
	events.Stdout, events.Stderr = s.out, os.Stderr
	events.Cancel = func() error { return events.Process.Signal(os.Interrupt) }
	if err := events.Start(); err != nil {
		endEvents()
		return err
	}
	err := s.attack(ctx)
	endEvents()
	if waitErr := events.Wait(); err == nil && ctx.Err() == nil && waitErr != nil && eventsCtx.Err() == nil {
		err = waitErr
	}
	if err != nil {
		return err
	}
	for _, args := range [][]string{{"status"}, {"status", "sshd"}, {"banned"}, {"firewall"}} {
		s.say("$ agentctl %s", strings.Join(args, " "))
		if err := s.ctl(ctx, s.out, args...); err != nil {
			return err
		}
	}
	return nil
}

// attack writes the sample attack and waits until all three attackers are banned.
func (s stage) attack(ctx context.Context) error {
	attackers := []string{"192.0.2.10", "2001:db8::bad", "198.51.100.7"}
	lines := []string{"sshd[501]: Accepted publickey for alice from 203.0.113.5 port 50022 ssh2: ED25519 SHA256:4Zr"}
	for i := range 3 {
		for j, a := range attackers {
			user := []string{"root", "invalid user admin", "invalid user oracle"}[j]
			lines = append(lines, fmt.Sprintf("sshd[%d]: Failed password for %s from %s port %d ssh2", 600+10*i+j, user, a, 40000+100*i+j))
		}
	}
	lines = append(lines, "sshd[777]: Failed password for alice from 203.0.113.5 port 50023 ssh2")
	f, err := os.OpenFile(s.log, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	for _, l := range lines {
		line := time.Now().Format("Jan _2 15:04:05") + " demo " + l
		fmt.Fprintln(s.out, "  >", line)
		if _, err := fmt.Fprintln(f, line); err != nil {
			return err
		}
		select {
		case <-time.After(linePause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return s.until(ctx, banLimit, "all attackers are banned", func() bool {
		for _, a := range attackers {
			var out bytes.Buffer
			if s.ctl(ctx, &out, "banned", a, "--json") != nil || !strings.Contains(out.String(), `"sshd"`) {
				return false
			}
		}
		return true
	})
}

func (s stage) until(ctx context.Context, limit time.Duration, what string, ok func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for !ok() {
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("waited %v in vain until %s", limit, what)
		}
	}
	return nil
}

func (s stage) ctl(ctx context.Context, out io.Writer, args ...string) error {
	cmd := exec.CommandContext(ctx, s.agentctl, append([]string{"-s", s.socket}, args...)...)
	cmd.Stdout = out
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("agentctl %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return nil
}

func (s stage) say(format string, args ...any) {
	fmt.Fprintf(s.out, "\n"+format+"\n\n", args...)
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
