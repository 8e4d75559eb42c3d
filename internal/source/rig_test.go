package source_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/source"
)

// reading is a File that is being followed, and what it has delivered.
type reading struct {
	*source.File
	cancel context.CancelFunc
	done   chan struct{}
	err    error // of Run, once done is closed

	mu      sync.Mutex // guards the fields below
	lines   []string
	batches []source.Batch // without their lines' text
	pos     source.Position
}

// follow runs a File until the test ends or stop is called.
func follow(t tester, o source.FileOptions) *reading {
	t.Helper()
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	return start(t, source.NewFile(o))
}

func start(t tester, f *source.File) *reading {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &reading{File: f, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(r.done)
		r.err = f.Run(ctx, r.deliver)
	}()
	t.Cleanup(func() { r.stop(t) })
	return r
}

func (r *reading) deliver(_ context.Context, b source.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range b.Lines {
		r.lines = append(r.lines, string(l.Text))
	}
	r.batches = append(r.batches, b)
	r.pos = b.Pos
	return nil
}

// stop ends Run and returns the position behind the last line delivered.
func (r *reading) stop(t tester) source.Position {
	t.Helper()
	r.cancel()
	<-r.done
	if !errors.Is(r.err, context.Canceled) {
		t.Errorf("Run returned %v, want the context's error", r.err)
	}
	return r.pos
}

func (r *reading) got() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// expect waits, in a bubble, until the reader rests, and compares all that was delivered so far.
func (r *reading) expect(t tester, want ...string) {
	t.Helper()
	settle()
	if got := r.got(); !slices.Equal(got, want) {
		t.Fatalf("delivered %q, want %q", got, want)
	}
}

// settle lets a bubble's clock pass one poll, and waits until all has been read.
func settle() {
	synctest.Wait()
	time.Sleep(300 * time.Millisecond)
	synctest.Wait()
}

// bubbled is a test in a bubble, tester is any test.
type (
	bubbled struct{ *testing.T }
	tester  interface{ testing.TB }
)

// bubble runs a test on real files under a clock that stands still while anything runs. Files are
// polled in it: the tracker for events lives outside of bubbles.
func bubble(t *testing.T, test func(t bubbled, log string)) {
	t.Helper()
	log := filepath.Join(t.TempDir(), "auth.log")
	synctest.Test(t, func(t *testing.T) { test(bubbled{t}, log) })
}

func write(t tester, path, text string) {
	t.Helper()
	appendTo(t, path, os.O_CREATE, text)
}

// appendTo appends to a file as a logging program would.
func appendTo(t tester, path string, flags int, text string) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|flags, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	put(t, f, text)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func put(t tester, f *os.File, text string) {
	t.Helper()
	if _, err := f.WriteString(text); err != nil {
		t.Fatal(err)
	}
}

func rename(t tester, from, to string) {
	t.Helper()
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
}

func remove(t tester, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func truncate(t tester, path string) {
	t.Helper()
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
}

func copyFile(t tester, from, to string) {
	t.Helper()
	data, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

// numbered returns lines "prefix from" to "prefix to", each with its newline.
func numbered(prefix string, from, to int) string {
	var b strings.Builder
	for i := from; i <= to; i++ {
		fmt.Fprintf(&b, "%s %d\n", prefix, i)
	}
	return b.String()
}
