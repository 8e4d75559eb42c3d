package eventlog

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// running is a file of events with its Run under way.
type running struct {
	*File
	t    *testing.T
	path string
	end  func() error
}

func begin(t *testing.T, path string) *running {
	t.Helper()
	f, err := Open(path, Options{Host: "web1"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	r := &running{File: f, t: t, path: path, end: sync.OnceValue(func() error { cancel(); return <-ended })}
	t.Cleanup(func() { _ = r.end() })
	return r
}

// seen tells the IDs in a file, and counts of lost events as "-N".
func seen(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for l := range strings.Lines(string(text)) {
		var r struct {
			Kind  Kind
			ID    string
			Count int
		}
		if err := json.Unmarshal([]byte(l), &r); err != nil {
			ids = append(ids, fmt.Sprintf("%q", strings.TrimSpace(l)))
			continue
		}
		if r.Kind == Lost {
			r.ID = strconv.Itoa(-r.Count)
		}
		ids = append(ids, r.ID)
	}
	return strings.Join(ids, " ")
}

func (r *running) add(ids ...string) {
	for _, id := range ids {
		r.Add(Record{Kind: Ban, ID: id})
	}
}

func (r *running) want(path, want string) {
	r.t.Helper()
	if got := seen(r.t, path); got != want {
		r.t.Errorf("%s holds %q instead of %q", filepath.Base(path), got, want)
	}
}

func TestEventsAreInTheFileInOrder(t *testing.T) {
	defer syscall.Umask(syscall.Umask(0o077)) // as under a service manager
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, filepath.Join(t.TempDir(), "events"))
		r.add("a", "b")
		synctest.Wait()
		r.want(r.path, "a b")
		r.add("c")
		if err := r.end(); err != nil {
			t.Error(err)
		}
		r.want(r.path, "a b c")
		if st, err := os.Stat(r.path); err != nil || st.Mode().Perm() != fileMode {
			t.Errorf("mode %v, %v", st.Mode(), err)
		}
		if s := r.Stats(); s != (Stats{Written: 3}) {
			t.Errorf("%+v", s)
		}
	})
}

func TestARotatedFileIsLeftForANewOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, filepath.Join(t.TempDir(), "events"))
		r.add("a")
		synctest.Wait()
		move := func(to string) {
			t.Helper()
			if err := os.Rename(r.path, to); err != nil {
				t.Fatal(err)
			}
		}
		move(r.path + ".1")
		r.add("b")
		synctest.Wait()
		r.want(r.path+".1", "a")
		r.want(r.path, "b")

		move(r.path + ".2")
		r.Reopen() // makes it even if nothing happens
		synctest.Wait()
		r.want(r.path, "")

		if err := os.Truncate(r.path, 0); err != nil { // as copytruncate does
			t.Fatal(err)
		}
		r.add("c")
		synctest.Wait()
		r.want(r.path, "c")
	})
}

func TestAHalfLineOfACrashedLifeIsEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "events")
		if err := os.WriteFile(path, []byte(`{"schema":1,"ti`), 0o600); err != nil {
			t.Fatal(err)
		}
		r := begin(t, path)
		r.add("a")
		synctest.Wait()
		r.want(path, `"{\"schema\":1,\"ti" a`)
	})
}

// TestAFullDiskTearsNoLineAndCountsWhatIsLost: the limit on a file's size stands for the disk's end.
func TestAFullDiskTearsNoLineAndCountsWhatIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := begin(t, filepath.Join(t.TempDir(), "events"))
		r.add("a")
		synctest.Wait()
		st, err := os.Stat(r.path)
		if err != nil {
			t.Fatal(err)
		}
		full := limitFiles(t, uint64(st.Size()+st.Size()/2))
		r.add("b", "c")
		synctest.Wait()
		r.want(r.path, "a")
		s := r.Stats()
		if !errors.Is(s.Err, syscall.EFBIG) || s.Written != 1 || s.Lost != 0 || s.Waiting != 2*int(st.Size()) {
			t.Errorf("%+v", s)
		}

		n := 0
		for ; r.Stats().Lost == 0; n++ { // until there is no room in memory
			r.Add(Record{Kind: Unban, Reason: strings.Repeat("x", longestText)})
		}
		r.add("lost", "lost")
		if s := r.Stats(); s.Lost != 3 || s.Waiting > maxWaiting+2*longestText {
			t.Errorf("%+v", s)
		}
		full()
		time.Sleep(retryLast) // of the test's own clock
		synctest.Wait()
		if s := r.Stats(); s.Err != nil || s.Waiting != 0 {
			t.Errorf("%+v", s)
		}
		whole := "a b c " + strings.Repeat(" ", n-1) + "-3" // even if nothing happens any more
		r.want(r.path, whole)
		r.add("d")
		synctest.Wait()
		r.want(r.path, whole+" d")
	})
}

// limitFiles bounds the size of files until the func is called.
func limitFiles(t *testing.T, size uint64) (end func()) {
	t.Helper()
	var old syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	end = sync.OnceFunc(func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &old); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(end)
	return end
}

func TestEventsWaitWhileTheirFolderIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "log")
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		r := begin(t, filepath.Join(dir, "events"))
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		r.add("a")
		synctest.Wait()
		if s := r.Stats(); !errors.Is(s.Err, os.ErrNotExist) || s.Written != 0 || s.Waiting == 0 {
			t.Errorf("%+v", s)
		}
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(retryFirst) // of the test's own clock
		synctest.Wait()
		r.want(r.path, "a")

		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		r.add("b")
		if err := r.end(); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("an end with an event that is not written says %v", err)
		}
	})
}

func TestOnlyARegularFileIsOpened(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		pipe:        "open the event file: " + pipe + " is no regular file",
		t.TempDir(): "is no regular file",
		"/dev/null": "is no regular file",
		filepath.Join(t.TempDir(), "none", "events"): "no such file or directory",
	} {
		if _, err := Open(path, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// TestManyMayAddAtOnce: every event is there once, and those of one goroutine in their order.
func TestManyMayAddAtOnce(t *testing.T) {
	r := begin(t, filepath.Join(t.TempDir(), "events"))
	var all sync.WaitGroup
	const adders, each = 8, 500
	for g := range adders {
		all.Go(func() {
			for i := range each {
				r.Add(Record{Kind: Ban, Jail: strconv.Itoa(g), Count: i + 1})
			}
		})
	}
	all.Wait()
	if err := r.end(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(r.path)
	if err != nil {
		t.Fatal(err)
	}
	last := map[string]int{}
	for l := range strings.Lines(string(text)) {
		var x struct {
			Jail  string
			Count int
		}
		if err := json.Unmarshal([]byte(l), &x); err != nil {
			t.Fatal(err)
		}
		if x.Count != last[x.Jail]+1 {
			t.Fatalf("%d after %d of %s", x.Count, last[x.Jail], x.Jail)
		}
		last[x.Jail] = x.Count
	}
	if len(last) != adders || r.Stats().Written != adders*each {
		t.Errorf("%v, %+v", last, r.Stats())
	}
}

func BenchmarkAdd(b *testing.B) {
	f, err := Open(filepath.Join(b.TempDir(), "events"), Options{Host: "web1"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Run(ctx) }()
	r := Record{
		Kind: Ban, Jail: "sshd", ID: "192.0.2.1", Family: "inet4", Since: at(), Until: at().Add(time.Hour),
		Duration: time.Hour, Failures: 5, Count: 1, Origin: "local",
	}
	b.ReportAllocs()
	for b.Loop() {
		f.Add(r)
	}
	b.ReportMetric(float64(f.Stats().Lost), "lost")
	cancel()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
}
