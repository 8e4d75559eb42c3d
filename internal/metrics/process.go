package metrics

import (
	"bytes"
	"os"
	runtimemetrics "runtime/metrics"
	"strconv"
	"syscall"
)

// writeProcess writes what the process takes, by the names that Prometheus' own clients use. What the machine does not
// tell is left out.
func writeProcess(e *encoder) {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			page := float64(os.Getpagesize())
			if n, err := strconv.ParseUint(string(f[0]), 10, 64); err == nil {
				e.single("process_virtual_memory_bytes", gauge, "Virtual memory.", float64(n)*page)
			}
			if n, err := strconv.ParseUint(string(f[1]), 10, 64); err == nil {
				e.single("process_resident_memory_bytes", gauge, "Resident memory.", float64(n)*page)
			}
		}
	}
	var used syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &used) == nil {
		seconds := func(t syscall.Timeval) float64 { return float64(t.Nano()) / 1e9 }
		e.single("process_cpu_seconds_total", counter, "Processor time.", seconds(used.Utime)+seconds(used.Stime))
	}
	if list, err := os.ReadDir("/proc/self/fd"); err == nil {
		e.single("process_open_fds", gauge, "Open files.", float64(len(list)))
	}
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		e.single("process_max_fds", gauge, "Files that may be open.", float64(limit.Cur))
	}
	samples := []runtimemetrics.Sample{{Name: "/sched/goroutines:goroutines"}, {Name: "/memory/classes/heap/objects:bytes"}}
	runtimemetrics.Read(samples) // does not stop the process, unlike runtime.ReadMemStats
	for i, m := range []struct{ name, help string }{
		{"go_goroutines", "Goroutines."},
		{"go_memstats_heap_alloc_bytes", "Memory of objects, those that are garbage by now among them."},
	} {
		if v := samples[i].Value; v.Kind() == runtimemetrics.KindUint64 {
			e.single(m.name, gauge, m.help, float64(v.Uint64()))
		}
	}
}
