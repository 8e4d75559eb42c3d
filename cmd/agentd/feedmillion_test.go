package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// measureEnv makes this test measure, which takes a minute; make bench-feed sets it.
const measureEnv = "PALISADE_MEASURE_FEED"

// TestMeasureAFeedOfAMillion follows a list of 1,000,000 addresses and 20,000 networks from a server on this machine
// into the kernel, and then a version of it with 5 % of other addresses. It prints what docs/PERFORMANCE.md shows.
func TestMeasureAFeedOfAMillion(t *testing.T) {
	if os.Getenv(measureEnv) == "" {
		t.Skipf("measures only with %s=1, as make bench-feed sets", measureEnv)
	}
	if !inNamespaces(t, root) {
		return
	}
	sh(t, "mount --make-rprivate / && mount -t proc proc /proc")
	n := packets.New(t)
	list := func(version int) string {
		var b strings.Builder
		for i := range 1_000_000 {
			v := 0
			if i%20 == 0 {
				v = version // 5 % of them
			}
			// Spread over 40.0.0.0 to 103.255.255.255, no two beside each other.
			x := uint32(i)*1000 + uint32(v)*2
			fmt.Fprintf(&b, "%d.%d.%d.%d\n", 40+x>>24, x>>16&255, x>>8&255, x&255)
		}
		for i := range 20_000 {
			fmt.Fprintf(&b, "%d.%d.%d.0/24\n", 140+i>>15, i>>7&255, i<<1&255)
		}
		return b.String()
	}
	for _, firewall := range []string{"nft", "ipset"} {
		t.Run(firewall, func(t *testing.T) {
			g := &guard{t: t, dir: t.TempDir(), firewall: firewall, network: n, log: &lockedBuffer{}}
			p := newPublisher(t)
			p.publish("/list", list(0))
			g.configure("22")
			extra := ""
			if firewall == "nft" {
				extra = "[firewall]\nfeeds = nft\n"
			}
			g.start()
			before := procKB(t, g.cmd.Process.Pid, "VmRSS:")
			begin := time.Now()
			g.agentConf(extra + p.http() + "[feed big]\nurl = " + p.URL + "/list\n")
			waitFor(t, 2*time.Minute, "the list is read", func() bool { return strings.Contains(g.log.String(), "a list has news feed=big") })
			read := time.Since(begin)
			g.ctl("feed", "refresh", "big") // waits for the kernel, and finds the list as it was
			took := time.Since(begin)
			t.Logf("%s: first load: read and judged %.2f s, in the kernel with another fetch of all of it %.2f s; the process grew from %d to %d MB, %d MB at most", firewall,
				read.Seconds(), took.Seconds(), before/1024, procKB(t, g.cmd.Process.Pid, "VmRSS:")/1024, procKB(t, g.cmd.Process.Pid, "VmHWM:")/1024)
			for v := 1; v <= 3; v++ {
				p.publish("/list", list(v))
				begin = time.Now()
				g.ctl("feed", "refresh", "big")
				t.Logf("%s: 5 %% are others: fetched, judged and in the kernel in %.2f s", firewall, time.Since(begin).Seconds())
			}
			begin = time.Now()
			g.end(syscall.SIGKILL)
			g.start()
			ready := time.Since(begin)
			waitFor(t, 2*time.Minute, "the copy is in force", func() bool { return strings.Contains(g.tell("feed"), " ok ") })
			t.Logf("%s: restart: ready in %.2f s, the copy judged and in force in %.2f s; %d MB, %d MB at most", firewall, ready.Seconds(), time.Since(begin).Seconds(),
				procKB(t, g.cmd.Process.Pid, "VmRSS:")/1024, procKB(t, g.cmd.Process.Pid, "VmHWM:")/1024)
			if g.open("40.0.3.232", 22) || g.open("140.0.0.1", 22) {
				t.Error("it is not in force")
			}
			st, err := os.Stat(filepath.Join(g.dir, "lists", "big.list"))
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: the copy has %d MB", firewall, st.Size()>>20)
			g.end(syscall.SIGTERM)
		})
	}
}

// procKB reads a figure of a process's memory, in kB.
func procKB(t *testing.T, pid int, name string) (kb int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			if _, err := fmt.Sscanf(rest, "%d", &kb); err != nil {
				t.Fatal(err)
			}
		}
	}
	return kb
}
