package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// The story of the kill test: two jails read the same log. One counts and never bans, so that its
// tallies say exactly how often each line was read; one bans at the third failure.
const (
	killRuns      = 200
	killRunsShort = 20
	counters      = 40 // addresses that are only counted
	killSeed      = 20261123
)

const killConfig = `[DEFAULT]
backend = auto
usedns = no
ignoreself = false
logpath = DIR/app.log
filter = app

[count]
enabled = true
maxretry = 1000000
findtime = 1d

[ban]
enabled = true
filter = app[what=attack]
maxretry = 3
findtime = 1d
bantime = 1h
action = nftables[type=allports]
`

const killFilter = `[Definition]
failregex = ^ app: <what> from <HOST>$

[Init]
what = failure
`

// TestKernelKillAtAnyMoment kills the daemon with SIGKILL, again and again, while the log is written,
// and holds the end against what was written: no ban lost, no line counted twice or missed.
func TestKernelKillAtAnyMoment(t *testing.T) {
	runs := killRuns
	if testing.Short() {
		runs = killRunsShort
	}
	if !inNamespaces(t, anybody) {
		return
	}
	dir := t.TempDir()
	sh(t, "ip link set lo up || true")
	for name, text := range map[string]string{"etc/jail.local": killConfig, "etc/filter.d/app.conf": killFilter, "app.log": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d := &victim{t: t, dir: dir, socket: filepath.Join(dir, "s")}
	w := &logWriter{path: filepath.Join(dir, "app.log"), counted: map[string]int{}, banned: map[string]time.Time{}, rnd: rand.New(rand.NewPCG(killSeed, 1))}
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() { w.write(t, stop) })

	rnd := rand.New(rand.NewPCG(killSeed, 2))
	for run := range runs {
		before := d.start()
		// Every ban of the last life is in the set again, with its remaining time.
		waitFor(t, 10*time.Second, fmt.Sprintf("the bans of life %d are in the set again", run), func() bool { return before.within(d.set(), w) })
		time.Sleep(time.Duration(rnd.IntN(60)) * time.Millisecond)
		d.kill()
	}
	close(stop)
	writing.Wait()
	d.start()
	w.mu.Lock()
	defer w.mu.Unlock()
	t.Logf("%d lives, %d lines, %d bans", runs, w.lines, len(w.banned))

	var last map[string]int
	waitFor(t, 30*time.Second, "the rest of the log has been read", func() bool {
		last = d.tallies("count")
		total := 0
		for _, n := range last {
			total += n
		}
		return total >= w.countedLines
	})
	for addr, want := range w.counted {
		if last[addr] != want {
			t.Errorf("%s was counted %d times, its lines are %d", addr, last[addr], want)
		}
	}
	waitFor(t, 10*time.Second, "every attacker is in the set", func() bool { return len(d.set()) >= len(w.banned) })
	in := d.set()
	for addr, end := range w.banned {
		left, ok := in[addr]
		if !ok {
			t.Errorf("%s is not in the set", addr)
		} else if off := time.Until(end) - left; off < -3*time.Second || off > 3*time.Second {
			t.Errorf("%s has %v left, %v off", addr, left, off)
		}
	}
	if len(in) != len(w.banned) {
		t.Errorf("the set holds %d elements, %d were banned", len(in), len(w.banned))
	}
}

// logWriter writes the log and knows what must come of it.
type logWriter struct {
	path string
	rnd  *rand.Rand // owned by write

	mu           sync.Mutex // guards the fields below
	lines        int
	countedLines int
	counted      map[string]int
	banned       map[string]time.Time // address -> end of its ban
}

func (w *logWriter) write(t *testing.T, stop <-chan struct{}) {
	t.Helper()
	f, err := os.OpenFile(w.path, os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		t.Error(err)
		return
	}
	defer f.Close()
	for attacker := 0; ; attacker++ {
		var b bytes.Buffer
		now := time.Now().UTC().Truncate(time.Second)
		stamp := now.Format(time.RFC3339)
		w.mu.Lock()
		for range 5 {
			addr := fmt.Sprintf("198.51.100.%d", w.rnd.IntN(counters))
			fmt.Fprintf(&b, "%s app: failure from %s\n", stamp, addr)
			w.counted[addr]++
			w.countedLines++
		}
		addr := fmt.Sprintf("10.%d.%d.%d", attacker>>16&255, attacker>>8&255, attacker&255)
		for range 3 {
			fmt.Fprintf(&b, "%s app: attack from %s\n", stamp, addr)
		}
		w.banned[addr] = now.Add(time.Hour)
		w.lines += 8
		w.mu.Unlock()
		// Cut the block anywhere, so that lines are seen half written.
		cut := w.rnd.IntN(b.Len())
		for _, part := range [][]byte{b.Bytes()[:cut], b.Bytes()[cut:]} {
			if _, err := f.Write(part); err != nil {
				t.Error(err)
				return
			}
		}
		select {
		case <-stop:
			return
		case <-time.After(15 * time.Millisecond):
		}
	}
}

// elements maps an address in the kernel's set to the time it has left there.
type elements map[string]time.Duration

// within reports whether all of e are in now, with the end that the log gives them.
func (e elements) within(now elements, w *logWriter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for addr := range e {
		left, ok := now[addr]
		if !ok {
			return false
		}
		if off := time.Until(w.banned[addr]) - left; off < -3*time.Second || off > 3*time.Second {
			return false
		}
	}
	return true
}

// victim is the daemon that gets killed.
type victim struct {
	t           *testing.T
	dir, socket string
	cmd         *exec.Cmd
	log         lockedBuffer
	before      elements
}

// start starts the daemon, waits until it is ready, and returns what the set held when it was killed.
func (d *victim) start() elements {
	d.t.Helper()
	d.cmd = exec.Command(binary(d.t, "agentd"), "-c", filepath.Join(d.dir, "etc"), "-s", d.socket,
		"--fail2ban-socket", "none", "--db", filepath.Join(d.dir, "db"), "--log-level", "WARNING")
	d.cmd.Stderr = &d.log
	var out lockedBuffer
	d.cmd.Stdout = &out
	if err := d.cmd.Start(); err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.cmd.Wait()
		if strings.Contains(d.log.String(), "DATA RACE") {
			d.t.Error("the daemon has a data race")
		}
		if d.t.Failed() {
			d.t.Logf("--- agentd said:\n%.4000s", d.log.String())
		}
	})
	waitFor(d.t, 20*time.Second, "agentd is ready", func() bool { return strings.Contains(out.String(), "Server ready") })
	return d.before
}

func (d *victim) kill() {
	d.t.Helper()
	d.before = d.set()
	if err := d.cmd.Process.Signal(syscall.SIGKILL); err != nil {
		d.t.Fatal(err)
	}
	_ = d.cmd.Wait()
}

func (d *victim) ask(v any, args ...string) {
	d.t.Helper()
	out, err := exec.Command(binary(d.t, "agentctl"), append([]string{"-s", d.socket, "--json"}, args...)...).Output()
	if err != nil {
		d.t.Fatalf("agentctl %v: %v", args, err)
	}
	if err := json.Unmarshal(out, v); err != nil {
		d.t.Fatalf("agentctl %v: %v\n%s", args, err, out)
	}
}

func (d *victim) set() elements {
	d.t.Helper()
	var f control.Firewall
	d.ask(&f, "firewall", "--limit", "0")
	set := elements{}
	for _, e := range f.Contents {
		if e.Expires != nil {
			set[e.Prefix] = time.Duration(*e.Expires) * time.Second
		}
	}
	return set
}

func (d *victim) tallies(jail string) map[string]int {
	d.t.Helper()
	var s control.JailStatus
	d.ask(&s, "status", jail)
	n := map[string]int{}
	for _, x := range s.Tallies {
		n[x.ID] = x.Failures
	}
	return n
}
