package bench

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const megabyte = 1 << 20

// fields reads a file of lines "Name: number kB" and gives the sum of some of them, in bytes.
func fields(tb testing.TB, path string, names ...string) (sum float64) {
	tb.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		name, value, _ := strings.Cut(lines.Text(), ":")
		for _, n := range names {
			if n != name {
				continue
			}
			kb, err := strconv.ParseFloat(strings.Fields(value)[0], 64)
			if err != nil {
				tb.Fatalf("%s: %q: %v", path, lines.Text(), err)
			}
			sum += kb * 1024
		}
	}
	return sum
}

// kernelMemory is what the kernel uses for itself, as far as sets are part of it. Others use it too; what
// they have just given up takes seconds to be free, which is waited for.
func kernelMemory(tb testing.TB) float64 {
	tb.Helper()
	const calm, still = 300 * time.Millisecond, 2 * megabyte
	used := func() float64 { return fields(tb, "/proc/meminfo", "Slab", "VmallocUsed", "Percpu") }
	last := used()
	for range 40 {
		time.Sleep(calm)
		now := used()
		if now > last-still {
			return now
		}
		last = now
	}
	return last
}

// peakMemory is the most that this process has used since forgetPeak.
func peakMemory(tb testing.TB) float64 {
	tb.Helper()
	return fields(tb, "/proc/self/status", "VmHWM")
}

// usedMemory is what this process needs when it has nothing to do.
func usedMemory(tb testing.TB) float64 {
	tb.Helper()
	debug.FreeOSMemory()
	return fields(tb, "/proc/self/status", "VmRSS")
}

func forgetPeak() {
	debug.FreeOSMemory()
	_ = os.WriteFile("/proc/self/clear_refs", []byte("5"), 0) // without it the peak is one since the start
}

// idleCPU is how much of one core this process takes, on average, and the kernel's own threads that may
// look after sets, in percent: those of work queues and soft interrupts, whoever's work they do. Of these
// it is the lower quartile of short times, since others use them in bursts; work that comes less often
// than that is not seen.
func idleCPU(tb testing.TB, during time.Duration) float64 {
	tb.Helper()
	const windows = 24
	begin, before := time.Now(), cpuTimes(tb)
	last := before
	var kernel []float64
	for range windows {
		start := time.Now()
		time.Sleep(during / windows) // the thing measured is that nothing happens
		now := cpuTimes(tb)
		var sum time.Duration
		for who, used := range now {
			if who != self {
				sum += used - last[who] // a thread that is new begins at 0
			}
		}
		kernel = append(kernel, sum.Seconds()/seconds(start))
		last = now
	}
	return 100 * (quantile(kernel, 0.25) + (last[self]-before[self]).Seconds()/seconds(begin))
}

const self = "this process"

// cpuTimes tells how long who has run so far.
func cpuTimes(tb testing.TB) map[string]time.Duration {
	tb.Helper()
	times := map[string]time.Duration{self: ownTime(tb)}
	threads, err := filepath.Glob("/proc/[0-9]*/comm")
	if err != nil {
		tb.Fatal(err)
	}
	for _, path := range threads {
		comm, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(comm, []byte("kworker/")) && !bytes.HasPrefix(comm, []byte("ksoftirqd/")) {
			continue // it may have ended
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(path), "schedstat"))
		if err != nil {
			continue
		}
		ns, err := strconv.ParseInt(strings.Fields(string(stat))[0], 10, 64)
		if err != nil {
			tb.Fatalf("%s: %q", path, stat)
		}
		times[path] = time.Duration(ns)
	}
	return times
}

// ownTime is how long this process has run so far.
func ownTime(tb testing.TB) time.Duration {
	tb.Helper()
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
