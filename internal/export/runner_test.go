package export

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// world is a Source that tests change.
type world struct {
	mu      sync.Mutex
	version uint64
	set     cidr.Ranges
	err     error
	asked   int
}

func (w *world) Version() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}

func (w *world) Blocked(context.Context, Selection) (cidr.Ranges, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	return w.set, w.err
}

func (w *world) change(set cidr.Ranges, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version++
	w.set, w.err = set, err
}

func start(t *testing.T, w *world, exports ...Export) *Runner {
	t.Helper()
	r := NewRunner(w, nil)
	r.Set(exports)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r
}

func list(path string) Export {
	return Export{Name: "e", Selection: Selection{Bans: true, Feeds: true}, Format: EDL, Options: Options{IPv4: true, IPv6: true}, Path: path, Every: time.Millisecond}
}

func content(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(string(b)), " ")
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after half a minute: %s", what)
		}
	}
}

func TestAFileFollowsWhatIsBlocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	w := &world{set: set("8.8.8.8/32")}
	r := start(t, w, list(path))
	eventually(t, "the file is there", func() bool { return content(t, path) == "8.8.8.8" })
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	w.change(set("8.8.8.8/32", "9.9.9.0/24"), nil)
	eventually(t, "the file has both", func() bool { return content(t, path) == "8.8.8.8 9.9.9.0/24" })
	after, err := os.Stat(path)
	if err != nil || after.Mode() != before.Mode() || os.SameFile(before, after) {
		t.Errorf("the file was not replaced with its mode: %v, %v", after.Mode(), err)
	}
	if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
		t.Errorf("left beside it: %v, %v", files, err)
	}
	w.change(set("8.8.8.8/32", "9.9.9.0/24"), nil) // as it was
	eventually(t, "it was looked at", func() bool { w.mu.Lock(); defer w.mu.Unlock(); return w.asked >= 3 })
	again, err := os.Stat(path)
	if err != nil || !os.SameFile(after, again) {
		t.Error("a file that is right was written again")
	}
	eventually(t, "its state is told", func() bool { s := r.Status()[0]; return s.Entries == 2 && s.Writes == 2 && s.Err == nil })
}

func TestAListThatBecomesEmptyIsHeldBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	if err := os.WriteFile(path, []byte("7.7.7.7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := &world{}
	e := list(path)
	r := start(t, w, e) // nothing is blocked yet: the file of the last run stays
	eventually(t, "it is held back", func() bool { return r.Status()[0].Held })
	if content(t, path) != "7.7.7.7" {
		t.Errorf("the file is %q", content(t, path))
	}
	w.change(set("8.8.8.8/32"), nil)
	eventually(t, "it has entries", func() bool { return content(t, path) == "8.8.8.8" && !r.Status()[0].Held })
	w.change(cidr.Ranges{}, nil)
	eventually(t, "it is held back again", func() bool { return r.Status()[0].Held })
	if content(t, path) != "8.8.8.8" {
		t.Errorf("the file is %q", content(t, path))
	}
	e.MayEmpty = true
	r.Set([]Export{e})
	eventually(t, "it may be empty", func() bool { return content(t, path) == "" })
}

func TestTheGuardLetsGoInTheEnd(t *testing.T) {
	now := time.Now()
	g := guard{}
	if _, hold, stays := g.take(cidr.Ranges{}, false, now); hold != 0 || stays {
		t.Error("an empty list at the first start is held back")
	}
	g.take(set("8.8.8.8/32"), false, now)
	if use, hold, _ := g.take(cidr.Ranges{}, false, now); use.Empty() || hold != DefaultEmptyAfter {
		t.Errorf("held for %v", hold)
	}
	if use, _, _ := g.take(cidr.Ranges{}, false, now.Add(DefaultEmptyAfter-1)); use.Empty() {
		t.Error("it is empty too early")
	}
	if use, hold, _ := g.take(cidr.Ranges{}, false, now.Add(DefaultEmptyAfter)); !use.Empty() || hold != 0 {
		t.Error("it is never empty")
	}
	g = guard{earlier: true}
	if _, hold, stays := g.take(cidr.Ranges{}, false, now); hold == 0 || !stays {
		t.Error("the entries of an earlier run are not held")
	}
}

func TestHooksRunAndATestThatFailsPutsTheOldFileBack(t *testing.T) {
	dir := t.TempDir()
	path, log := filepath.Join(dir, "list"), filepath.Join(dir, "log")
	w := &world{set: set("8.8.8.8/32")}
	e := list(path)
	e.Test, e.Reload = "! grep -q 9.9.9.9 "+path+" || { echo it is bad >&2; exit 3; }", "echo reloaded >> "+log
	r := start(t, w, e)
	eventually(t, "it is written and reloaded", func() bool { return content(t, path) == "8.8.8.8" && content(t, log) == "reloaded" })
	w.change(set("9.9.9.9/32"), nil)
	eventually(t, "the failure is told", func() bool { return r.Status()[0].Err != nil })
	if got := r.Status()[0].Err.Error(); !strings.Contains(got, "exit status 3") || !strings.Contains(got, `"it is bad"`) {
		t.Errorf("told is %s", got)
	}
	if content(t, path) != "8.8.8.8" || content(t, log) != "reloaded" {
		t.Errorf("the file is %q, and the log %q", content(t, path), content(t, log))
	}
	w.change(set("7.7.7.7/32"), nil)
	if err := r.Refresh(t.Context(), "e"); err != nil || content(t, path) != "7.7.7.7" || content(t, log) != "reloaded reloaded" {
		t.Errorf("%v; the file is %q, and the log %q", err, content(t, path), content(t, log))
	}
	if err := r.Refresh(t.Context(), "x"); err == nil {
		t.Error("what there is not is refreshed")
	}
}

func TestWhatIsNotKnownLeavesTheFileAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list")
	w := &world{set: set("8.8.8.8/32")}
	r := start(t, w, list(path))
	eventually(t, "the file is there", func() bool { return content(t, path) == "8.8.8.8" })
	w.change(cidr.Ranges{}, errors.New("the firewall is not ready"))
	eventually(t, "the failure is told", func() bool { return r.Status()[0].Err != nil })
	if content(t, path) != "8.8.8.8" {
		t.Errorf("the file is %q", content(t, path))
	}
	gone := list(filepath.Join(t.TempDir(), "no", "such", "folder"))
	gone.Name = "gone"
	w.change(set("8.8.8.8/32"), nil)
	r.Set([]Export{list(path), gone})
	eventually(t, "a folder that is not there is told", func() bool {
		s := r.Status()
		return len(s) == 2 && s[0].Err == nil && s[1].Err != nil && strings.Contains(s[1].Err.Error(), "no such file")
	})
}
