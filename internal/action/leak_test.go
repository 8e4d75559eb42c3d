package action

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// openFiles counts this process's.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Skip(err)
	}
	return len(entries)
}

// TestNothingIsLeftBehind, no goroutine and no open file: by commands that end, fail, cannot be started,
// hang, leave a daemon that holds their outputs and prints on, or are ended with the daemon; by actions in
// Python too.
func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	const rounds = 2
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	limit := func(d Definition, timeout time.Duration) Definition {
		d.Timeout = timeout
		return d
	}
	for round := range rounds {
		for _, d := range []Definition{
			ops(opBan, "true", opUnban, "true"),
			ops(opBan, "exit 3", opCheck, "false", opRepair, "kill -9 $$"),
			limit(ops(opBan, "sleep 3600"), 20*time.Millisecond),
			ops(opBan, "setsid sh -c 'echo $$ >> "+pids+"; while :; do echo more; done' & exit 0"),
		} {
			b := newBench(t, d, Options{})
			b.Start()
			b.Ban(of("192.0.2.1"))
			b.until("there was a command", func() bool { return b.Status().Executed > 0 })
			b.Unban(of("192.0.2.1"))
			b.stop()
		}
		none := newBench(t, ops(opBan, "true"), Options{Shell: "/nonexistent/sh"})
		none.Ban(of("192.0.2.1"))
		none.stop()
		hangs := newBench(t, ops(opBan, "sleep 3600"), Options{})
		hangs.Ban(of("192.0.2.1"))
		hangs.until("it hangs", func() bool { return hangs.Status().Running == opBan })
		hangs.cancel()
		<-hangs.ended
		hangs.until("the daemons have written who they are", func() bool {
			text, err := os.ReadFile(pids)
			return err == nil && strings.Count(string(text), "\n") > round
		})
	}
	if _, err := exec.LookPath("python3"); err == nil {
		for _, mode := range []string{"", "die", "hang", "refuse"} {
			d, _ := pythonAction(t, mode)
			b := newBench(t, limit(d, 20*time.Second), Options{})
			b.Start()
			b.Ban(of("192.0.2.1"))
			if mode == "hang" {
				b.until("it hangs", func() bool { return b.Status().Running == opBan })
				b.cancel()
				<-b.ended
				continue
			}
			b.stop()
		}
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for pid := range strings.FieldsSeq(string(text)) {
		n, err := strconv.Atoi(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(n, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			t.Error(err) // a closed pipe has ended most of them
		}
	}
	for deadline := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > goroutines || openFiles(t) > files; runtime.Gosched() {
		if time.Now().After(deadline) {
			stacks := make([]byte, 1<<16)
			t.Fatalf("%d goroutines were %d, %d files were %d:\n%s", runtime.NumGoroutine(), goroutines, openFiles(t), files, stacks[:runtime.Stack(stacks, true)])
		}
	}
}
