package source

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestNamesOfRotatedFiles(t *testing.T) {
	for _, tc := range []struct {
		base, name string
		kind       rotation
		age        int64
	}{
		{"auth.log", "auth.log.1", numbered, 1},
		{"auth.log", "auth.log.12", numbered, 12},
		{"auth.log", "auth.1.log", numbered, 1},
		{"auth.log", "auth.log-20260102", dated, 0},
		{"auth.log", "auth-20260102.log", dated, 0},
		{"auth.log", "auth.log.2026-01-02", dated, 0},
		{"auth.log", "auth.log-2026-01-02T10:00:00", dated, 0},
		{"auth.log", "auth.log-20260102-1767312000", dated, 0},
		{"auth.log", "auth.log", unrelated, 0},
		{"auth.log", "auth.log.", unrelated, 0},
		{"auth.log", "auth.log.1.gz", unrelated, 0},
		{"auth.log", "auth.log-20260102.xz", unrelated, 0},
		{"auth.log", "auth.log.old", unrelated, 0},
		{"auth.log", "auth.log1", unrelated, 0},
		{"auth.log", "auth.log.99999999999999999999", unrelated, 0},
		{"auth.log", "auth-notes.log", unrelated, 0},
		{"auth.log", "other.log.1", unrelated, 0},
		{"auth", "auth-20260102", dated, 0},
		{"auth", "auth.log", unrelated, 0},
	} {
		kind, age, _ := classify(tc.base, tc.name)
		if kind != tc.kind || age != tc.age {
			t.Errorf("classify(%q, %q) = %v, %d; want %v, %d", tc.base, tc.name, kind, age, tc.kind, tc.age)
		}
	}
}

func TestSiblingsComeInTheOrderOfTheirRotation(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.log", "a.log.2", "a.log.10", "a.log.1", "b.log", "a.log.gz"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "a.log.3"), 0o700); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range siblings(filepath.Join(dir, "a.log")) {
		if s.kind != unrelated {
			got = append(got, filepath.Base(s.path))
		}
	}
	if want := "a.log.10 a.log.2 a.log.1"; strings.Join(got, " ") != want {
		t.Errorf("siblings are %q, want %s", got, want)
	}
}

// hourly makes a log with a line a second of some 100 bytes, and returns its size.
func hourly(t *testing.T, path string, lines int) int64 {
	t.Helper()
	var b strings.Builder
	for i := range lines {
		fmt.Fprintf(&b, "%010d %s\n", i, strings.Repeat("x", 80+i%20))
	}
	if err := os.WriteFile(path, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return int64(b.Len())
}

func TestTheSearchIsExactAndReadsLittle(t *testing.T) {
	const lines = 300_000
	path := filepath.Join(t.TempDir(), "log")
	size := hourly(t, path, lines)
	h, err := openHandle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, since := range []int64{-5, 0, 1, 2, 500, lines / 3, lines - 2, lines - 1, lines, lines + 5} {
		asked := 0
		at, err := search(h, time.Unix(since, 0), func(line []byte) (time.Time, bool) {
			asked++
			var n int64
			_, err := fmt.Sscanf(string(line), "%d ", &n)
			return time.Unix(n, 0), err == nil
		}, 1<<14)
		if err != nil {
			t.Fatal(err)
		}
		if since >= lines {
			if at != size {
				t.Errorf("all is older than %d, but reading would begin at %d of %d", since, at, size)
			}
		} else if want := fmt.Sprintf("%010d ", max(0, since)); !strings.HasPrefix(string(content[at:]), want) {
			t.Errorf("since %d: reading would begin with %.20q", since, content[at:])
		}
		if asked > 2*probeLen/90+20 {
			t.Errorf("since %d: %d lines were asked for their time", since, asked)
		}
	}
}

func TestTheSearchErrsToTheEarlierSide(t *testing.T) {
	never := func([]byte) (time.Time, bool) { return time.Time{}, false }
	path := filepath.Join(t.TempDir(), "log")
	for _, tc := range []struct {
		name, content string
		timeOf        func([]byte) (time.Time, bool)
	}{
		{"no times", strings.Repeat("no time here\n", 100_000), never},
		{"no newlines", strings.Repeat("x", 1_000_000), never},
		{"empty", "", never},
	} {
		if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		h, err := openHandle(path)
		if err != nil {
			t.Fatal(err)
		}
		defer h.close()
		if at, err := search(h, time.Unix(1, 0), tc.timeOf, 1<<14); err != nil || at != 0 {
			t.Errorf("%s: search = %d, %v; want 0", tc.name, at, err)
		}
	}
}

func TestALineOf64MiBNeedsNoMemory(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	piece := []byte(strings.Repeat("x", 1<<20))
	h, err := openHandle(path)
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	b := &block{size: defaultBlock, line: defaultMaxLine}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	read := func() (lines []Line) {
		for limit := h.size(); ; {
			p, err := h.next(b, limit)
			if err != nil {
				t.Fatal(err)
			}
			lines = append(lines, p.lines...)
			h.accept(p)
			if !p.more {
				return lines
			}
		}
	}
	for range 64 {
		if _, err := f.Write(piece); err != nil {
			t.Fatal(err)
		}
		if lines := read(); len(lines) != 0 {
			t.Fatalf("%d lines were read before there is a newline", len(lines))
		}
	}
	if _, err := f.WriteString("\n"); err != nil {
		t.Fatal(err)
	}
	lines := read()
	runtime.ReadMemStats(&after)
	if len(lines) != 1 || !lines[0].Truncated || len(lines[0].Text) != defaultMaxLine || lines[0].End != 64<<20+1 {
		t.Errorf("lines are not the one cut to the bound: %d", len(lines))
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes were allocated", used)
	}
}

func BenchmarkRead(b *testing.B) {
	path := filepath.Join(b.TempDir(), "log")
	const lines = 200_000
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "Jan  2 03:04:05 host sshd[%d]: Failed password for root from 192.0.2.%d port %d ssh2\n", i, i%256, i)
	}
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		b.Fatal(err)
	}
	blk := &block{size: defaultBlock, line: defaultMaxLine}
	b.SetBytes(int64(text.Len()))
	b.ReportAllocs()
	for b.Loop() {
		h, err := openHandle(path)
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for limit := h.size(); ; {
			p, err := h.next(blk, limit)
			if err != nil {
				b.Fatal(err)
			}
			n += len(p.lines)
			h.accept(p)
			if !p.more {
				break
			}
		}
		h.close()
		if n != lines {
			b.Fatalf("%d lines", n)
		}
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
