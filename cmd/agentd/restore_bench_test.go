package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// BenchmarkRestore100k starts the daemon on a database of 100,000 bans, each time in a network namespace
// of its own, where the set must be filled. It
// reports the time from the start of the process until the set is restored and the logs are read, the
// memory that the process holds then, and the most that it held.
func BenchmarkRestore100k(b *testing.B) {
	const bans = 100_000
	dir := b.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "etc/filter.d"), 0o755); err != nil {
		b.Fatal(err)
	}
	for name, text := range map[string]string{
		"etc/filter.d/app.conf": soundFilter, "app.log": "", "etc/fail2ban.conf": "[Definition]\n",
		"etc/jail.local": "[app]\nenabled = true\nfilter = app\nbantime = 10h\nlogpath = " + dir + "/app.log\naction = nftables[port=ssh]\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			b.Fatal(err)
		}
	}
	database := filepath.Join(dir, "db")
	db, err := store.Open(database, store.Options{})
	if err != nil {
		b.Fatal(err)
	}
	var batch store.Batch
	now := time.Now().UTC()
	for i := range bans {
		batch.Bans = append(batch.Bans, jail.Ban{
			Key:   jail.Key{Jail: "app", ID: ident.Parse(fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255))},
			Start: now, Duration: 10 * time.Hour, Count: 1, Failures: 5, BannedAt: now,
			Lines: []string{"2026-11-22T12:00:00Z app: failure from 10.0.0.1"},
		})
	}
	if err := db.Commit(batch); err != nil {
		b.Fatal(err)
	}
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	bin, err := binaries()
	if err != nil {
		b.Fatal(err)
	}
	flags := uintptr(syscall.CLONE_NEWNET)
	if os.Getuid() != 0 {
		flags |= syscall.CLONE_NEWUSER
	}
	var ready time.Duration
	var rss, peak, n int
	for b.Loop() {
		cmd := exec.Command(filepath.Join(bin, "agentd"), "-c", filepath.Join(dir, "etc"), "-s", filepath.Join(dir, "s"), "--fail2ban-socket", "none", "--db", database, "--log-level", "ERROR")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: flags}
		if os.Getuid() != 0 {
			cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
			cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
		}
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := cmd.Start(); err != nil {
			b.Skipf("no network namespace: %v", err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || !strings.Contains(line, "ready") {
			b.Fatalf("%q, %v", line, err)
		}
		ready += time.Since(begin)
		n++
		time.Sleep(500 * time.Millisecond) // it gives back what the start has taken
		rss = max(rss, memory(b, cmd.Process.Pid, "VmRSS:"))
		peak = max(peak, memory(b, cmd.Process.Pid, "VmHWM:"))
		if err := cmd.Process.Kill(); err != nil {
			b.Fatal(err)
		}
		_ = cmd.Wait()
	}
	b.ReportMetric(float64(ready.Milliseconds())/float64(n), "ms-to-ready")
	b.ReportMetric(float64(rss)/1024, "rss-MB")
	b.ReportMetric(float64(peak)/1024, "peak-MB")
	b.ReportMetric(0, "ns/op")
}

// memory reads a figure of a process's memory, in kB.
func memory(b *testing.B, pid int, name string) int {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			n, err := strconv.Atoi(strings.Fields(rest)[0])
			if err != nil {
				b.Fatal(err)
			}
			return n
		}
	}
	b.Fatal("no " + name)
	return 0
}
