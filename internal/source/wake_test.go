package source_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/source"
)

// arrives waits, by the real clock, until the lines have been delivered, and returns how long it took.
func (r *reading) arrives(t *testing.T, want ...string) time.Duration {
	t.Helper()
	begin := time.Now()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		if got := r.got(); slices.Equal(got, want) {
			return time.Since(begin)
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("delivered %q, want %q", r.got(), want)
		}
	}
}

// soon is well below the interval of the safety look, and far above what an event takes.
const soon = 500 * time.Millisecond

func TestEventsAnnounceChanges(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "auth.log")
	r := follow(t, source.FileOptions{Path: log})
	begin := time.Now()
	var want []string
	for i, change := range []func(){
		func() { write(t, log, "created\n") },
		func() { write(t, log, "appended\n") },
		func() { rename(t, log, log+".1"); write(t, log, "after a rename\n") },
		func() { write(t, log, "appended to the new file\n") },
		func() { truncate(t, log); write(t, log, "truncated\n") },
		func() { write(t, dir+"/new", "moved there\n"); rename(t, dir+"/new", log) },
		func() { remove(t, log); write(t, log, "created again\n") },
	} {
		change()
		want = append(want, []string{
			"created", "appended", "after a rename", "appended to the new file", "truncated", "moved there",
			"created again",
		}[i])
		r.arrives(t, want...)
	}
	// Had each change waited for a look at the clock, it had taken a second each.
	if took := time.Since(begin); took > time.Duration(len(want))*soon {
		t.Errorf("%d changes took %v", len(want), took)
	}
	if r.Status().Polling {
		t.Error("the file is polled although events arrive")
	}
}

func TestEventsOfWhatALinkPointsTo(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "current")
	if err := os.Mkdir(filepath.Join(dir, "v1"), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "v1", "app.log"), "one\n")
	if err := os.Symlink("v1/app.log", log); err != nil {
		t.Fatal(err)
	}
	r := follow(t, source.FileOptions{Path: log})
	r.arrives(t, "one")
	var took time.Duration
	want := []string{"one"}
	for i := range 5 {
		line := fmt.Sprint("line ", i)
		write(t, filepath.Join(dir, "v1", "app.log"), line+"\n")
		want = append(want, line)
		took += r.arrives(t, want...)
	}
	if took > 5*soon {
		t.Errorf("5 lines took %v", took)
	}
}

func TestADirectoryThatComesAndGoesIsWatchedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "app")
	log := filepath.Join(dir, "app.log")
	r := follow(t, source.FileOptions{Path: log})
	var want []string
	for i := range 3 {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for j := range 3 {
			line := fmt.Sprint(i, " ", j)
			write(t, log, line+"\n")
			want = append(want, line)
			r.arrives(t, want...)
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
	}
}

func TestManyReadersOfOneDirectoryAndOneFile(t *testing.T) {
	dir := t.TempDir()
	var readers []*reading
	for i := range 20 {
		// Two readers of each file take each other's channel away when they end.
		readers = append(readers, follow(t, source.FileOptions{Path: filepath.Join(dir, fmt.Sprint(i/2, ".log"))}))
	}
	for i := range 10 {
		write(t, filepath.Join(dir, fmt.Sprint(i, ".log")), "one\n")
	}
	for _, r := range readers {
		r.arrives(t, "one")
	}
	for i := 0; i < 20; i += 2 {
		readers[i].stop(t)
	}
	for i := range 10 {
		write(t, filepath.Join(dir, fmt.Sprint(i, ".log")), "two\n")
	}
	for i := 1; i < 20; i += 2 {
		readers[i].arrives(t, "one", "two")
	}
}

func TestAFailedSubscriptionDoesNotStopTheOthers(t *testing.T) {
	dir := t.TempDir()
	other := follow(t, source.FileOptions{Path: filepath.Join(dir, "other.log")})
	write(t, filepath.Join(dir, "other.log"), "one\n")
	other.arrives(t, "one")
	source.FailSubscription(filepath.Join(dir, "sub", "x.log"))
	if err := os.Mkdir(filepath.Join(dir, "sub"), 0o700); err != nil {
		t.Fatal(err)
	}
	beside := follow(t, source.FileOptions{Path: filepath.Join(dir, "sub", "y.log")})
	write(t, filepath.Join(dir, "sub", "y.log"), "one\n")
	beside.arrives(t, "one")
	write(t, filepath.Join(dir, "sub", "x.log"), "an event for the name that failed\n")
	want := []string{"one"}
	var took time.Duration
	for i := range 4 {
		line := fmt.Sprint("line ", i)
		want = append(want, line)
		write(t, filepath.Join(dir, "sub", "y.log"), line+"\n")
		write(t, filepath.Join(dir, "other.log"), line+"\n")
		took += beside.arrives(t, want...) + other.arrives(t, want...)
	}
	if took > 8*soon {
		t.Errorf("8 lines took %v", took)
	}
}

func TestRunLeavesNoGoroutine(t *testing.T) {
	log := filepath.Join(t.TempDir(), "auth.log")
	write(t, log, "one\n")
	for range 5 {
		r := follow(t, source.FileOptions{Path: log})
		r.arrives(t, "one")
		r.stop(t)
		buf := make([]byte, 1<<20)
		for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "source.(*waker)") || strings.Contains(stack, "source.(*File).Run") {
				t.Errorf("a goroutine is left behind:\n%s", stack)
			}
		}
	}
}
