package store_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// TestAFailedCommitMayBeRepeated has a row for every place where a commit can fail: what the file holds
// after it, and that the same batch, and a newer one on top, go through later.
func TestAFailedCommitMayBeRepeated(t *testing.T) {
	broken := errors.New("input/output error")
	for _, c := range []struct {
		point     string
		persisted bool
	}{
		{"begin", false},
		{"end", false},
		{"done", true}, // it is on the disk, and the acknowledgement was lost
	} {
		t.Run(fmt.Sprintf("%s, persisted %v", c.point, c.persisted), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			d := open(t, path)
			before := store.Batch{Changes: jail.Changes{Bans: []jail.Ban{{Key: key("old", "192.0.2.77"), Start: day, Duration: time.Hour, BannedAt: day}}}}
			if err := d.Commit(before); err != nil {
				t.Fatal(err)
			}
			d.Fail(func(at string) error {
				if at == c.point {
					return broken
				}
				return nil
			})
			b := full()
			for range 3 {
				if err := d.Commit(b); !errors.Is(err, broken) || !strings.Contains(err.Error(), path) {
					t.Fatalf("%v", err)
				}
			}
			want := 1
			if c.persisted {
				want = 1 + len(b.Bans)
			}
			if s := load(t, d); len(s.Bans) != want {
				t.Errorf("%d bans in the file, want %d", len(s.Bans), want)
			}
			d.Fail(nil)
			b.Unbanned = append(b.Unbanned, key("old", "192.0.2.77"))
			if err := d.Commit(b); err != nil {
				t.Errorf("the batch must go through later: %v", err)
			}
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			s := load(t, open(t, path))
			if len(s.Bans) != len(b.Bans) || len(s.Positions) != len(b.Positions) || len(s.Tallies) != len(b.Tallies) || len(s.Histories) != len(b.Histories) {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestAFullDisk runs a child whose files may not grow beyond a size: the kernel fails bbolt's own calls,
// wherever in a commit they are.
func TestAFullDisk(t *testing.T) {
	if path := os.Getenv("STORE_TEST_FULL"); path != "" {
		fillUp(t, path)
		return
	}
	path := filepath.Join(t.TempDir(), "db")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAFullDisk$", "-test.v")
	cmd.Env = append(os.Environ(), "STORE_TEST_FULL="+path)
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "commits failed") {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := load(t, open(t, path)); len(s.Bans) == 0 {
		t.Error("nothing is left")
	}
}

func fillUp(t *testing.T, path string) {
	t.Helper()
	signal.Ignore(syscall.SIGXFSZ) // the call fails instead
	d := open(t, path)
	limit := func(size uint64) {
		t.Helper()
		var r syscall.Rlimit
		if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			t.Fatal(err)
		}
		r.Cur = size
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &r); err != nil {
			t.Fatal(err)
		}
	}
	next, failed, held := 0, 0, 0
	for round := range 40 {
		size, err := d.Size()
		if err != nil {
			t.Fatal(err)
		}
		// From too small for the first page of the file to a bit more than it has.
		limit(max(4096, uint64(size)*uint64(round%5)/4))
		b := store.Batch{Positions: []store.Position{{Jail: "j"}}}
		for range 300 {
			next++
			b.Bans = append(b.Bans, jail.Ban{Key: key("j", fmt.Sprintf("10.%d.%d.%d", next>>16, next>>8&255, next&255)), Start: day, Duration: time.Hour, BannedAt: day, Lines: []string{strings.Repeat("x", 200)}})
		}
		err = d.Commit(b)
		if err != nil {
			failed++
			if s := load(t, d); len(s.Bans) != held {
				t.Fatalf("round %d: %d bans after a failed commit (%v), %d before", round, len(s.Bans), err, held)
			}
		}
		limit(1 << 62)
		if err != nil {
			if err := d.Commit(b); err != nil {
				t.Fatalf("round %d: with room again: %v", round, err)
			}
		}
		held += 300
		if s := load(t, d); len(s.Bans) != held {
			t.Fatalf("round %d: %d bans, want %d", round, len(s.Bans), held)
		}
		if round%10 == 9 {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = open(t, path)
		}
	}
	if failed < 10 {
		t.Fatalf("only %d of 40 commits failed: the limit does not bite", failed)
	}
	fmt.Printf("%d of 40 commits failed\n", failed)
}

func TestNoPermissionSaysSo(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root has every permission")
	}
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, nil, 0); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Open(path, store.Options{}); err == nil || !strings.Contains(err.Error(), "run as root") {
		t.Errorf("%v", err)
	}
}
