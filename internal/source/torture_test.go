package source_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/source"
)

// ledger collects lines "writer number" and finds what is missing, repeated or out of order.
type ledger struct {
	mu      sync.Mutex // guards the fields below
	last    map[string]int
	wrong   []string
	count   int
	pos     source.Position
	changed *sync.Cond
}

func newLedger() *ledger {
	l := &ledger{last: map[string]int{}}
	l.changed = sync.NewCond(&l.mu)
	return l
}

func (l *ledger) deliver(_ context.Context, b source.Batch) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range b.Lines {
		writer, number, _ := strings.Cut(string(line.Text), " ")
		number, _, _ = strings.Cut(number, " ")
		n, err := strconv.Atoi(number)
		if (err != nil || n != l.last[writer]+1) && len(l.wrong) < 20 {
			l.wrong = append(l.wrong, fmt.Sprintf("%q after %s %d", line.Text, writer, l.last[writer]))
		}
		l.last[writer] = n
		l.count++
	}
	l.pos = b.Pos
	l.changed.Broadcast()
	return nil
}

// until waits until writer's line n was delivered.
func (l *ledger) until(t *testing.T, writer string, n int) {
	t.Helper()
	timeout := time.AfterFunc(20*time.Second, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.wrong = append(l.wrong, fmt.Sprintf("%s %d does not arrive", writer, n))
		l.changed.Broadcast()
	})
	defer timeout.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.last[writer] < n && len(l.wrong) == 0 {
		l.changed.Wait()
	}
	if len(l.wrong) > 0 {
		t.Fatalf("lines are missing, repeated or out of order:\n%s", strings.Join(l.wrong, "\n"))
	}
}

// rotator writes to a log as programs under logrotate do.
type rotator struct {
	t      *testing.T
	log    string
	ledger *ledger
	random *rand.Rand
	files  map[string]*os.File // by writer
	sent   map[string]int
	marks  []int // what "main" had sent at each rotation
}

func newRotator(t *testing.T, l *ledger, seed uint64) *rotator {
	t.Helper()
	w := &rotator{
		t: t, log: filepath.Join(t.TempDir(), "auth.log"), ledger: l,
		random: rand.New(rand.NewPCG(seed, 0)),
		files:  map[string]*os.File{}, sent: map[string]int{},
	}
	w.reopen("main")
	w.reopen("late")
	t.Cleanup(func() {
		for _, f := range w.files {
			f.Close()
		}
	})
	return w
}

func (w *rotator) reopen(writer string) {
	w.t.Helper()
	f, err := os.OpenFile(w.log, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		w.t.Fatal(err)
	}
	if old := w.files[writer]; old != nil {
		old.Close()
	}
	w.files[writer] = f
}

// write writes some lines, in pieces that do not end where lines do.
func (w *rotator) write(writer string) {
	w.t.Helper()
	var b strings.Builder
	for range 1 + w.random.IntN(60) {
		w.sent[writer]++
		fmt.Fprintf(&b, "%s %d %s\n", writer, w.sent[writer], strings.Repeat("x", w.random.IntN(200)))
	}
	text := b.String()
	for text != "" {
		n := len(text)
		if writer == "main" && w.files["late"] == nil { // nobody else's text comes in between
			n = 1 + w.random.IntN(len(text))
		}
		put(w.t, w.files[writer], text[:n])
		text = text[n:]
	}
}

// shift makes room for auth.log.1. Eight old files are kept.
func (w *rotator) shift() {
	w.t.Helper()
	for i := 7; i > 0; i-- {
		err := os.Rename(fmt.Sprint(w.log, ".", i), fmt.Sprint(w.log, ".", i+1))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			w.t.Fatal(err)
		}
	}
	// Who is more than some files behind has lost lines to the rotation itself.
	if w.marks = append(w.marks, w.sent["main"]); len(w.marks) > 3 {
		w.ledger.until(w.t, "main", w.marks[len(w.marks)-3])
	}
}

// create rotates by renaming. The main writer reopens the log at once, the other some time later.
func (w *rotator) create() {
	w.t.Helper()
	w.shift()
	rename(w.t, w.log, w.log+".1")
	if w.random.IntN(2) == 0 {
		w.write("main") // into the renamed file
	}
	w.reopen("main")
	for range w.random.IntN(4) {
		w.write("main")
		w.write("late") // into the renamed file
	}
	w.reopen("late")
	w.write("late")
}

// copyTruncate rotates by copying and truncating. Nobody writes meanwhile, for what is written between
// the two is lost to logrotate. Nor is a file truncated before the reader has seen it at all.
func (w *rotator) copyTruncate() {
	w.t.Helper()
	before := w.sent["main"] + 1
	w.write("main")
	w.ledger.until(w.t, "main", before)
	w.write("main")
	w.write("late")
	w.shift()
	copyFile(w.t, w.log, w.log+".1")
	truncate(w.t, w.log)
	w.write("main")
	w.write("late")
}

// run rotates n times.
func (w *rotator) run(n int, kinds ...func()) {
	w.t.Helper()
	w.write("main")
	w.write("late")
	w.ledger.until(w.t, "main", 1) // who has seen nothing yet cannot miss it
	for i := range n {
		for range w.random.IntN(3) {
			w.write("main")
			w.write("late")
		}
		kinds[i%len(kinds)]()
	}
}

// finish waits until everything has been delivered.
func (w *rotator) finish() {
	w.t.Helper()
	total := 0
	for writer, n := range w.sent {
		w.ledger.until(w.t, writer, n)
		total += n
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if w.ledger.count != total {
		w.t.Errorf("%d lines were delivered, %d were written", w.ledger.count, total)
	}
	w.t.Logf("%d lines", total)
}

func TestRotationTorture(t *testing.T) {
	n := 200
	if testing.Short() {
		n = 40
	}
	for _, poll := range []bool{false, true} {
		for name, kinds := range map[string]func(*rotator) []func(){
			"create":       func(w *rotator) []func() { return []func(){w.create} },
			"copytruncate": func(w *rotator) []func() { return []func(){w.copyTruncate} },
			"alternating":  func(w *rotator) []func() { return []func(){w.create, w.copyTruncate} },
		} {
			n := n
			if poll {
				n /= 40 // a look takes a quarter of a second
			}
			t.Run(fmt.Sprintf("%s poll=%v", name, poll), func(t *testing.T) {
				l := newLedger()
				w := newRotator(t, l, 1)
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error)
				f := source.NewFile(source.FileOptions{Path: w.log, Poll: poll, Block: 4 << 10, MaxLine: 1 << 10})
				go func() { done <- f.Run(ctx, l.deliver) }()
				w.run(n, kinds(w)...)
				w.finish()
				cancel()
				if err := <-done; !errors.Is(err, context.Canceled) {
					t.Errorf("Run returned %v", err)
				}
				t.Logf("%+v", f.Status())
			})
		}
	}
}

// TestResumeTorture stops the reader again and again, at a batch that it delivers or refuses or while
// it waits, and starts another one where the last delivered batch ended.
func TestResumeTorture(t *testing.T) {
	n := 60
	if testing.Short() {
		n = 20
	}
	for _, name := range []string{"create", "copytruncate", "alternating"} {
		t.Run(name, func(t *testing.T) {
			l := newLedger()
			w := newRotator(t, l, 2)
			kinds := map[string][]func(){
				"create":       {w.create},
				"copytruncate": {w.copyTruncate},
				"alternating":  {w.create, w.copyTruncate},
			}[name]
			ctx, cancel := context.WithCancel(t.Context())
			runs := 0
			done := make(chan struct{})
			go func() {
				defer close(done)
				random := rand.New(rand.NewPCG(3, 0))
				for ctx.Err() == nil {
					runs++
					runUntilStopped(ctx, t, w.log, l, random)
				}
			}()
			w.run(n, kinds...)
			w.finish()
			cancel()
			<-done
			t.Logf("%d runs", runs)
			if runs < n/4 {
				t.Errorf("the reader was started only %d times", runs)
			}
		})
	}
}

var errStop = errors.New("stop here")

func runUntilStopped(ctx context.Context, t *testing.T, log string, l *ledger, random *rand.Rand) {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer time.AfterFunc(time.Duration(random.IntN(int(40*time.Millisecond))), cancel).Stop()
	left, refuse := random.IntN(12), random.IntN(2) == 0
	f := source.NewFile(source.FileOptions{
		Path: log, Starts: []source.Position{l.pos}, Block: 4 << 10, MaxLine: 1 << 10,
	})
	err := f.Run(ctx, func(ctx context.Context, b source.Batch) error {
		if left--; left > 0 {
			return l.deliver(ctx, b)
		}
		if refuse {
			return errStop
		}
		cancel() // it is delivered all the same
		return l.deliver(ctx, b)
	})
	if !errors.Is(err, errStop) && !errors.Is(err, context.Canceled) {
		t.Errorf("Run returned %v", err)
	}
	if pos := f.Status().Pos; pos != (source.Position{}) && pos != l.pos {
		t.Errorf("status has the position %+v, the last batch %+v", pos, l.pos)
	}
}
