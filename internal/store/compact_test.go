package store_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// swollen is a file of which nearly all is free room, and what it holds.
func swollen(t *testing.T) (path string, s store.Snapshot) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "db")
	d := open(t, path)
	wave := store.Batch{}
	line := strings.Repeat("a long line ", 800)
	for i := range 2000 {
		k := key("sshd", fmt.Sprintf("10.0.%d.%d", i>>8, i&255))
		wave.Tallies = append(wave.Tallies, jail.Tally{Key: k, First: day, Last: day, Weighted: 1, Failures: 1, Lines: []string{line}})
		wave.Cleared = append(wave.Cleared, k)
	}
	gone := store.Batch{Changes: jail.Changes{Cleared: wave.Cleared}}
	wave.Cleared = nil
	if err := errors.Join(d.Commit(wave), d.Commit(gone), d.Commit(full())); err != nil {
		t.Fatal(err)
	}
	s = load(t, d)
	if size, err := d.Size(); err != nil || size < 16<<20 {
		t.Fatalf("the wave made only %d bytes, %v", size, err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return path, s
}

func TestAWaveOfAttackersLeavesNoLargeFile(t *testing.T) {
	path, want := swollen(t)
	if err := os.WriteFile(path+".compact", []byte("left by a start that was killed"), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if s := load(t, d); !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v\nwant %+v", s, want)
	}
	if size, err := d.Size(); err != nil || size > 1<<20 {
		t.Errorf("%d bytes are left, %v", size, err)
	}
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrLocked) {
		t.Errorf("a second daemon: %v", err)
	}
	if err := errors.Join(d.Commit(full()), d.Close()); err != nil {
		t.Error(err)
	}
	if list, err := filepath.Glob(path + "*"); err != nil || len(list) != 1 {
		t.Errorf("%q, %v", list, err)
	}
}

// TestAFileThatCannotBeMadeSmallerIsUsedAsItIs: a folder in the way stands for a full disk.
func TestAFileThatCannotBeMadeSmallerIsUsedAsItIs(t *testing.T) {
	path, want := swollen(t)
	if err := os.MkdirAll(filepath.Join(path+".compact", "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if s := load(t, d); !reflect.DeepEqual(s, want) {
		t.Errorf("got %+v\nwant %+v", s, want)
	}
	if size, err := d.Size(); err != nil || size < 16<<20 {
		t.Errorf("%d bytes, %v", size, err)
	}
}

// TestAFileThatIsReplacedIsNotTheOneToLock: whoever has waited for the lock of a file whose name another
// has by now would write into nothing.
func TestAFileThatIsReplacedIsNotTheOneToLock(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "db"), filepath.Join(dir, "other")
	if err := errors.Join(os.WriteFile(path, nil, 0o600), os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := store.StillThere(f, path); err != nil {
		t.Errorf("before: %v", err)
	}
	if err := os.Rename(other, path); err != nil {
		t.Fatal(err)
	}
	if err := store.StillThere(f, path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("replaced: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := store.StillThere(f, path); !errors.Is(err, store.ErrLocked) {
		t.Errorf("removed: %v", err)
	}
}

// TestDaemonsThatStartTogether: of many that open the same large file at once, each has it alone.
func TestDaemonsThatStartTogether(t *testing.T) {
	path, want := swollen(t)
	var inside atomic.Int32
	var wg sync.WaitGroup
	opened := make(chan struct{}, 6)
	for range 6 {
		wg.Go(func() {
			d, err := store.Open(path, store.Options{MoveCorrupt: true})
			if errors.Is(err, store.ErrLocked) {
				return
			}
			if err != nil {
				t.Error(err)
				return
			}
			opened <- struct{}{}
			if n := inside.Add(1); n != 1 {
				t.Errorf("%d have it open", n)
			}
			if s, err := d.Load(); err != nil || !reflect.DeepEqual(s, want) {
				t.Errorf("got %+v, %v\nwant %+v", s, err, want)
			}
			if err := d.Commit(full()); err != nil {
				t.Error(err)
			}
			inside.Add(-1)
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(opened) == 0 {
		t.Error("nobody could open it")
	}
	if list, err := filepath.Glob(path + "*"); err != nil || len(list) != 1 {
		t.Errorf("%q, %v", list, err)
	}
}
