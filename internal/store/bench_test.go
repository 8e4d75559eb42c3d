package store_test

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

func manyBans(n int) store.Batch {
	var batch store.Batch
	for i := range n {
		batch.Bans = append(batch.Bans, jail.Ban{
			Key: key("sshd", fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), Start: day, Duration: time.Hour, Count: 1, Failures: 5, BannedAt: day,
			Lines: []string{"Nov 22 12:00:00 host sshd[123]: Failed password for root from 10.0.0.1 port 4242 ssh2"},
		})
	}
	return batch
}

// heap is what is in use after a collection, in bytes.
func heap() uint64 {
	for range 3 { // pools keep what they have over one
		runtime.GC()
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkLoad100k(b *testing.B) {
	d := open(b, filepath.Join(b.TempDir(), "db"))
	if err := d.Commit(manyBans(100_000)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	before := heap()
	s := load(b, d)
	held := int64(heap()) - int64(before)
	runtime.KeepAlive(s)
	for b.Loop() {
		if s := load(b, d); len(s.Bans) != 100_000 {
			b.Fatal(len(s.Bans))
		}
	}
	b.ReportMetric(float64(held)/(1<<20), "MB-held")
}

func BenchmarkOpen100k(b *testing.B) {
	path := filepath.Join(b.TempDir(), "db")
	d := open(b, path)
	if err := d.Commit(manyBans(100_000)); err != nil {
		b.Fatal(err)
	}
	if err := d.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		d, err := store.Open(path, store.Options{})
		if err != nil {
			b.Fatal(err)
		}
		if err := d.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			d := open(b, filepath.Join(b.TempDir(), "db"))
			i := 0
			for b.Loop() {
				var batch store.Batch
				for range n {
					i++
					batch.Bans = append(batch.Bans, jail.Ban{Key: key("sshd", fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)), Start: day, Duration: time.Hour, BannedAt: day})
				}
				if err := d.Commit(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
