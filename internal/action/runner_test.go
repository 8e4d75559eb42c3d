package action

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// bench is a runner at work, and what it has told.
type bench struct {
	*Runner
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error

	mu     sync.Mutex // guards events
	events []Event
}

func newBench(t *testing.T, d Definition, o Options) *bench {
	t.Helper()
	b := &bench{t: t, ended: make(chan error, 1)}
	o.Record = func(e Event) {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.events = append(b.events, e)
	}
	d.Jail, d.Name = "j", "a"
	r, err := New(d, o)
	if err != nil {
		t.Fatal(err)
	}
	b.Runner = r
	ctx, cancel := context.WithCancel(context.Background())
	b.cancel = cancel
	go func() { b.ended <- r.Run(ctx) }()
	t.Cleanup(func() { cancel() })
	return b
}

// stop waits until all that was wished is done.
func (b *bench) stop() {
	b.t.Helper()
	b.Stop()
	select {
	case err := <-b.ended:
		if err != nil {
			b.t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		b.t.Fatal("the action does not end")
	}
}

func (b *bench) kinds(k Kind) (list []Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.events {
		if e.Kind == k {
			list = append(list, e)
		}
	}
	return list
}

func (b *bench) until(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			b.t.Fatalf("waited in vain until %s: %+v", what, b.Status())
		}
	}
}

func ops(pairs ...string) (d Definition) {
	for i := 0; i < len(pairs); i += 2 {
		d.Options = append(d.Options, Param{pairs[i], pairs[i+1]})
	}
	return d
}

func of(ip string) Ticket {
	return Ticket{ID: ident.Parse(ip), Time: time.Unix(1795353917, 0), BanTime: time.Minute, BanCount: 1, Failures: 1}
}

// TestValuesNeverBecomeCommands: whatever stands in a log, a shell gets it as a value; also from an action that
// puts no quotes around it.
func TestValuesNeverBecomeCommands(t *testing.T) {
	dir := t.TempDir()
	trap := filepath.Join(dir, "trap")
	breakout := []string{
		"$(touch " + trap + ")", "`touch " + trap + "`", "; touch " + trap + " ;", "'; touch " + trap + "; '", `"; touch ` + trap + `; "`,
		"\ntouch " + trap + "\n", "&& touch " + trap, "| touch " + trap, "$IFS", "\\$(touch " + trap + ")", "${x:=$(touch " + trap + ")}", "a\x00b",
	}
	out := filepath.Join(dir, "out")
	b := newBench(t, ops("actionban", "echo <matches> '<matches>' \"<matches>\" <F-USER> '<F-USER>' \"<F-USER>\" <fid>; cat <<END\n<matches>\nEND\nprintf '%s\\0' \"<matches>\" >> "+out), Options{})
	for i, text := range breakout {
		tk := of(fmt.Sprintf("192.0.2.%d", i+1))
		tk.Matches, tk.Captures = []string{text}, map[string]string{"user": text}
		b.Ban(tk)
	}
	b.Ban(Ticket{ID: ident.Parse("$(touch " + trap + ")"), Matches: []string{"x"}})
	b.stop()
	if _, err := os.Stat(trap); !errors.Is(err, os.ErrNotExist) {
		t.Error("a value was executed")
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.ReplaceAll(strings.Join(breakout, "\x01"), "\x00", "")
	if have := strings.ReplaceAll(strings.TrimSuffix(string(got), "\x00x\x00"), "\x00", "\x01"); have != want {
		t.Errorf("the values came as %q, want %q", have, want)
	}
}

// TestATimeLimitEndsAllOfACommand: also what it has put into the background, and what does not want to end.
func TestATimeLimitEndsAllOfACommand(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	d := ops("actionban", "trap '' TERM; sleep 3600 & echo $! $$ > "+pids+"; while :; do sleep 3600; done")
	d.Timeout = 300 * time.Millisecond
	b := newBench(t, d, Options{})
	b.Ban(of("192.0.2.1"))
	b.stop()
	st := b.Status()
	if st.TimedOut != 2 || st.Failed != 2 || st.Err == nil || !st.FailedLast || len(b.kinds(Failed)) != 1 { // it is tried twice
		t.Errorf("%+v", st)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	for word := range strings.FieldsSeq(string(text)) {
		var pid int
		if _, err := fmt.Sscan(word, &pid); err != nil {
			t.Fatal(err)
		}
		b.until("process "+word+" has ended", func() bool { return gone(pid) })
	}
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	if errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) {
		return true
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(rest, "Z")
}

// TestOutputIsKeptInPart: its beginning, and the number of bytes of the rest, in little memory.
func TestOutputIsKeptInPart(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	b := newBench(t, ops("actionban", "echo begin; head -c 100000000 /dev/zero; echo so >&2; exit 3"), Options{})
	b.Ban(of("192.0.2.1"))
	b.stop()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 4<<20 {
		t.Errorf("%d bytes were allocated for 100 MB", n)
	}
	e := b.kinds(Executed)
	if len(e) != 2 {
		t.Fatalf("%+v", e)
	}
	r := e[0].Result
	if len(r.Stdout.Text) != MaxOutput || r.Stdout.More != 100000006-MaxOutput || !strings.HasPrefix(string(r.Stdout.Text), "begin\n") || r.Exit != 3 || len(r.Stderr.Lines()) != 1 || r.Stderr.Lines()[0] != "so" {
		t.Errorf("%d bytes and %d more, exit %d, %q", len(r.Stdout.Text), r.Stdout.More, r.Exit, r.Stderr.Lines())
	}
}

// TestADaemonThatACommandLeavesIsNotWaitedFor, though it holds the outputs.
func TestADaemonThatACommandLeavesIsNotWaitedFor(t *testing.T) {
	pid := filepath.Join(t.TempDir(), "pid")
	b := newBench(t, ops("actionban", "setsid sleep 3600 & echo $! > "+pid), Options{})
	b.Ban(of("192.0.2.1"))
	b.stop()
	if st := b.Status(); st.Executed != 1 || st.Failed != 0 {
		t.Errorf("%+v", st)
	}
	text, err := os.ReadFile(pid)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(string(text), &n); err != nil || gone(n) {
		t.Errorf("the daemon %d was ended with its command: %v", n, err)
	}
	_ = syscall.Kill(n, syscall.SIGKILL)
}

// held is an action whose first ban waits until the file is there.
func held(dir string) (d Definition, release func()) {
	gate := filepath.Join(dir, "gate")
	d = ops("actionban", "echo ban <ip> >> "+dir+"/out; while [ ! -e "+gate+" ]; do sleep 0.01; done", "actionunban", "echo unban <ip> >> "+dir+"/out", "actionprolong", "echo prolong <ip> <bantime> >> "+dir+"/out")
	return d, func() { _ = os.WriteFile(gate, nil, 0o644) }
}

func written(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "out"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Split(strings.TrimSpace(string(text)), "\n"), ", ")
}

// TestWishesForOneIDMeet: what is over before its turn is never done, and the newest wish counts.
func TestWishesForOneIDMeet(t *testing.T) {
	dir := t.TempDir()
	d, release := held(dir)
	b := newBench(t, d, Options{})
	b.Ban(of("192.0.2.1"))
	b.until("the first ban is under way", func() bool { return b.Status().Running == opBan })
	b.Ban(of("192.0.2.2"))
	b.Unban(of("192.0.2.2")) // never done
	b.Ban(of("192.0.2.3"))
	longer := of("192.0.2.3")
	longer.BanTime = time.Hour
	b.Prolong(longer) // done at once
	b.Unban(of("192.0.2.1"))
	b.Ban(of("192.0.2.1")) // both: the ban that is under way has old values
	if st := b.Status(); st.Waiting != 2 || st.Canceled != 1 || st.Since.IsZero() {
		t.Errorf("%+v", st)
	}
	release()
	b.stop()
	if got := written(t, dir); got != "ban 192.0.2.1, ban 192.0.2.3, unban 192.0.2.1, ban 192.0.2.1" {
		t.Error(got)
	}
}

// TestTooManyWishesDropTheOldest, and say so.
func TestTooManyWishesDropTheOldest(t *testing.T) {
	dir := t.TempDir()
	d, release := held(dir)
	b := newBench(t, d, Options{MaxWaiting: 2})
	b.Ban(of("192.0.2.1"))
	b.until("the first ban is under way", func() bool { return b.Status().Running == opBan })
	for i := 2; i <= 5; i++ {
		b.Ban(of(fmt.Sprintf("192.0.2.%d", i)))
	}
	dropped := b.kinds(Dropped)
	if st := b.Status(); st.Waiting != 2 || st.Dropped != 2 || len(dropped) != 2 || dropped[0].Ticket.ID.String() != "192.0.2.2" || dropped[0].Operation != opBan || dropped[0].Jail != "j" {
		t.Errorf("%+v, %+v", st, dropped)
	}
	release()
	b.stop()
	if got := written(t, dir); got != "ban 192.0.2.1, ban 192.0.2.4, ban 192.0.2.5" {
		t.Error(got)
	}
}

// TestTheEndOfTheContextEndsTheCommand.
func TestTheEndOfTheContextEndsTheCommand(t *testing.T) {
	dir := t.TempDir()
	d, _ := held(dir)
	b := newBench(t, d, Options{})
	b.Ban(of("192.0.2.1"))
	b.until("the ban is under way", func() bool { return b.Status().Running == opBan })
	b.cancel()
	if err := <-b.ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if e := b.kinds(Executed); len(e) != 1 || !e[0].Result.Stopped || e[0].Result.OK() {
		t.Errorf("%+v", e)
	}
}

// TestReloadChangesWhatComesAfter, and a definition that cannot be changes nothing.
func TestReloadChangesWhatComesAfter(t *testing.T) {
	dir := t.TempDir()
	say := func(text string) Definition {
		d := ops("actionban", "echo "+text+" <ip> >> "+dir+"/out", "actionreload", "echo reload "+text+" >> "+dir+"/out")
		d.Jail, d.Name = "j", "a"
		return d
	}
	b := newBench(t, say("old"), Options{})
	b.Ban(of("192.0.2.1"))
	if err := b.Reload(say("new")); err != nil {
		t.Fatal(err)
	}
	b.Ban(of("192.0.2.2"))
	wrong := ops("actionban", "<x>", "x", "<y>", "y", "<x>")
	if err := b.Reload(wrong); err == nil || !strings.Contains(err.Error(), "itself") {
		t.Errorf("%v", err)
	}
	other := say("other")
	other.Python = "other.py"
	if err := b.Reload(other); !errors.Is(err, ErrOtherKind) {
		t.Errorf("%v", err)
	}
	b.Ban(of("192.0.2.3"))
	b.stop()
	if got := written(t, dir); got != "old 192.0.2.1, reload new, new 192.0.2.2, new 192.0.2.3" {
		t.Error(got)
	}
}

// TestAFailedFlushIsFollowedByACheck, and what cannot be executed at all is told.
func TestAFailedFlushIsFollowedByACheck(t *testing.T) {
	b := newBench(t, ops("actionban", "true", "actionflush", "false", "actioncheck", "false"), Options{})
	b.Ban(of("192.0.2.1"))
	b.until("the ban is in force", func() bool { return b.Status().Executed == 1 })
	b.Flush([]Ticket{of("192.0.2.1")})
	b.stop()
	if len(b.kinds(Flushing)) != 1 || len(b.kinds(FlushFailed)) != 1 || len(b.kinds(CheckFailed)) == 0 || len(b.kinds(Failed)) == 0 {
		t.Errorf("%+v", b.events)
	}
	long := newBench(t, ops("actionban", "echo "+strings.Repeat("x", 140<<10)), Options{})
	long.Ban(of("192.0.2.1"))
	long.stop()
	if f := long.kinds(Failed); len(f) != 1 || !errors.Is(f[0].Err, ErrTooLong) {
		t.Errorf("%+v", f)
	}
	none := newBench(t, ops("actionban", "true"), Options{Shell: "/nonexistent/sh"})
	none.Ban(of("192.0.2.1"))
	none.stop()
	if e := none.kinds(Executed); len(e) != 2 || e[0].Result.Err == nil || none.Status().Err == nil {
		t.Errorf("%+v", e)
	}
}

// TestACommandHasNothingToRead: one that asks is not left waiting.
func TestACommandHasNothingToRead(t *testing.T) {
	b := newBench(t, ops("actionban", "read answer && exit 1; [ \"$(readlink /proc/self/fd/0)\" = /dev/null ]"), Options{})
	b.Ban(of("192.0.2.1"))
	b.stop()
	if e := b.kinds(Executed); len(e) != 1 || !e[0].Result.OK() {
		t.Errorf("%+v", b.Status())
	}
}

// TestLongValuesAreCutToWhatTheKernelTakes.
func TestLongValuesAreCutToWhatTheKernelTakes(t *testing.T) {
	b := newBench(t, ops("actionban", `[ "$(printf %s "<matches>" | wc -c)" -gt 60000 ]`), Options{})
	tk := of("192.0.2.1")
	tk.Matches = []string{strings.Repeat("(é)", 1<<20)}
	b.Ban(tk)
	b.stop()
	if e := b.kinds(Executed); len(e) != 1 || !e[0].Result.OK() || !e[0].Result.Command.Cut {
		t.Errorf("%d commands, %+v", len(e), b.Status())
	}
}

// FuzzExpand: a value never changes the script but for the name of its variable, and the kernel takes what
// comes of it.
func FuzzExpand(f *testing.F) {
	f.Add("echo <ip> '<matches>' <F-USER>", "192.0.2.1", "$(id)")
	f.Add("<matches><F-MATCHES><F-A-B>", "a\nb", "<ip>")
	f.Fuzz(func(t *testing.T, text, harmless, value string) {
		with := func(value string) (Command, error) {
			return Expand(text, Tags{
				Value: func(name string) (string, bool) {
					switch name {
					case "ip":
						return harmless, true
					case "matches":
						return value, true
					}
					return "", false
				},
				Capture: func(string) string { return value },
			})
		}
		c, err := with(value)
		if err != nil {
			if !errors.Is(err, ErrTooLong) {
				t.Fatal(err)
			}
			return
		}
		if !c.fits() || strings.ContainsRune(c.Script, 0) {
			t.Fatalf("%+v", c)
		}
		if !strings.ContainsAny(value, shellSpecial) || strings.ContainsAny(harmless, shellSpecial) || c.Cut {
			return
		}
		if other, err := with("$"); err != nil || other.Script != c.Script {
			t.Fatalf("the script depends on the value: %q, %q, %v", c.Script, other.Script, err)
		}
	})
}
