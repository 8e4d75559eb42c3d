package source_test

import (
	"context"
	"crypto/sha1"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/source"
)

func TestLinesAreDeliveredAsTheyAreWritten(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\ntwo\n")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "one", "two")
		write(t, log, "three\n")
		r.expect(t, "one", "two", "three")
	})
}

func TestAnUnfinishedLineWaitsForItsNewline(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\nFailed password for ")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "one")
		write(t, log, "root from 192.0.2.")
		r.expect(t, "one")
		write(t, log, "1\n")
		r.expect(t, "one", "Failed password for root from 192.0.2.1")
	})
}

func TestLineEndingsAreCutOff(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "unix\ndos\r\n\nodd\r\r\n inner\rstays \n")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "unix", "dos", "", "odd", " inner\rstays ")
	})
}

func TestALongLineIsDeliveredOnceCutToTheBound(t *testing.T) {
	const bound = 1000
	for _, tc := range []struct {
		name   string
		length int
		cut    bool
	}{
		{"as long as the bound", bound, false},
		{"one byte longer", bound + 1, true},
		{"longer than a block", 10 * bound, true},
		{"many blocks long", 100*bound + 7, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t bubbled, log string) {
				long := strings.Repeat("x", tc.length)
				write(t, log, "before\n")
				o := source.FileOptions{Path: log, Poll: true, MaxLine: bound, Block: 2 * bound}
				r := follow(t, o)
				for piece := range slices.Chunk([]byte(long), 30*bound) {
					write(t, log, string(piece))
					r.expect(t, "before")
				}
				write(t, log, "\nafter\n")
				r.expect(t, "before", long[:min(tc.length, bound)], "after")
				var want int64
				if tc.cut {
					want = 1
				}
				if got := r.Status().Truncated; got != want {
					t.Errorf("%d lines are counted as cut, want %d", got, want)
				}
				pos := r.stop(t)
				if want := int64(len("before\n\nafter\n") + tc.length); pos.Offset != want {
					t.Errorf("position is %d, want %d", pos.Offset, want)
				}
			})
		})
	}
}

func TestAnEndlessLineIsSkippedUntilItsEndAfterARestart(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		o := source.FileOptions{Path: log, Poll: true, MaxLine: 100}
		write(t, log, "one\n"+strings.Repeat("x", 5000))
		r := follow(t, o)
		r.expect(t, "one")
		o.Starts = []source.Position{r.stop(t)}
		r = follow(t, o)
		r.expect(t)
		write(t, log, "xxx\ntwo\n")
		r.expect(t, strings.Repeat("x", 100), "two")
	})
}

func TestThePositionNamesTheFileAndTheOffset(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\r\ntwo\npart")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "one", "two")
		pos := r.stop(t)
		if pos.Path != log || pos.Offset != int64(len("one\r\ntwo\n")) || pos.Inode == 0 {
			t.Errorf("position is %+v", pos)
		}
		if pos.First != sha1.Sum([]byte("one\r\n")) {
			t.Errorf("First is %x, want the SHA-1 of the first line with its ending", pos.First)
		}
		if pos.Other != (source.Place{}) {
			t.Errorf("a second file is named: %+v", pos.Other)
		}
	})
}

func TestTheFirstOfAHugeFirstLineIsItsFirstMiB(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		line := strings.Repeat("0123456789", 1<<18)
		write(t, log, line+"\ntwo\n")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		settle()
		if pos := r.stop(t); pos.First != sha1.Sum([]byte(line[:1<<20])) {
			t.Errorf("First is %x", pos.First)
		}
	})
}

func TestBatchesSayWhenTheEndIsReachedAndOperationBegins(t *testing.T) {
	type batch struct {
		lines            int
		inOperation, eof bool
	}
	read := func(r *reading) (got []batch) {
		for _, b := range r.batches {
			got = append(got, batch{len(b.Lines), b.InOperation, b.EOF})
		}
		return got
	}
	for _, tc := range []struct {
		name   string
		before string
		tail   bool
		want   []batch
	}{
		{"old lines are caught up with first", "a\nb\n", false, []batch{{2, false, true}, {1, true, true}}},
		{"an empty file's first content is caught up with", "", false, []batch{{0, false, true}, {1, false, true}}},
		{"a half line is content", "a", false, []batch{{0, false, true}, {1, true, true}}},
		{"with tail all is in operation", "a\nb\n", true, []batch{{0, true, true}, {1, true, true}}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t bubbled, log string) {
				write(t, log, tc.before)
				r := follow(t, source.FileOptions{Path: log, Poll: true, Tail: tc.tail})
				settle()
				write(t, log, "c\n")
				settle()
				r.stop(t)
				if got := read(r); !slices.Equal(got, tc.want) {
					t.Errorf("batches are %v, want %v", got, tc.want)
				}
			})
		})
	}
}

func TestBatchesAreBounded(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, strings.Repeat("\n", 10_000))
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		settle()
		r.stop(t)
		if len(r.lines) != 10_000 {
			t.Errorf("%d lines delivered", len(r.lines))
		}
		for i, b := range r.batches {
			if len(b.Lines) > 4096 {
				t.Errorf("a batch has %d lines", len(b.Lines))
			}
			if last := i == len(r.batches)-1; b.EOF != last {
				t.Errorf("batch %d of %d: EOF = %v", i, len(r.batches), b.EOF)
			}
		}
	})
}

func TestTail(t *testing.T) {
	for _, tc := range []struct{ name, before, then, want string }{
		{"starts at the end", "old\n", "new\n", "new"},
		{"takes the line that is being written whole", "old\nne", "w\n", "new"},
		{"takes a first line that is being written whole", "ne", "w\n", "new"},
		{"drops the end of a long line", strings.Repeat("x", 5000), "xx\nnew\n", "new"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t bubbled, log string) {
				write(t, log, tc.before)
				r := follow(t, source.FileOptions{Path: log, Poll: true, Tail: true, MaxLine: 1000})
				r.expect(t)
				write(t, log, tc.then)
				r.expect(t, tc.want)
			})
		})
	}
}

func TestTailReadsAFileThatAppearsLaterFromItsBeginning(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		r := follow(t, source.FileOptions{Path: log, Poll: true, Tail: true})
		r.expect(t)
		write(t, log, "one\n")
		r.expect(t, "one")
	})
}

func TestTailIgnoresPositions(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		o := source.FileOptions{Path: log, Poll: true}
		write(t, log, "one\n")
		r := follow(t, o)
		r.expect(t, "one")
		o.Starts, o.Tail = []source.Position{r.stop(t)}, true
		write(t, log, "two\n")
		r = follow(t, o)
		r.expect(t)
	})
}

func TestASecondRunGoesOnWhereTheFirstStopped(t *testing.T) {
	for _, tail := range []bool{false, true} {
		bubble(t, func(t bubbled, log string) {
			write(t, log, "one\n")
			r := follow(t, source.FileOptions{Path: log, Poll: true, Tail: tail})
			settle()
			r.stop(t)
			write(t, log, "two\n")
			r = start(t, r.File)
			r.expect(t, "two")
		})
	}
}

func TestOnlyOneRunAtATime(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		settle()
		if err := r.Run(t.Context(), nil); !errors.Is(err, source.ErrRunning) {
			t.Errorf("a second Run returns %v", err)
		}
	})
}

func TestWhatTheReceiverRefusesIsDeliveredAgain(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\ntwo\n")
		f := source.NewFile(source.FileOptions{Path: log, Poll: true})
		refusal := errors.New("no room")
		err := f.Run(t.Context(), func(context.Context, source.Batch) error { return refusal })
		if !errors.Is(err, refusal) {
			t.Fatalf("Run returned %v, want the receiver's error", err)
		}
		start(t, f).expect(t, "one", "two")
	})
}

func TestASlowReceiverIsWaitedFor(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, numbered("line", 1, 20_000))
		turns := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		batches := 0
		done := make(chan error)
		go func() {
			done <- source.NewFile(source.FileOptions{Path: log, Poll: true}).Run(ctx,
				func(ctx context.Context, _ source.Batch) error {
					batches++
					select {
					case <-turns:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
		}()
		time.Sleep(time.Hour)
		synctest.Wait()
		if batches != 1 {
			t.Errorf("%d batches were delivered to a receiver that has not returned", batches)
		}
		turns <- struct{}{}
		synctest.Wait()
		if batches != 2 {
			t.Errorf("%d batches after one was taken", batches)
		}
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestFilesThatCannotBeRead(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		dir := filepath.Join(filepath.Dir(log), "later")
		log = filepath.Join(dir, "auth.log")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		state := func(want source.State) {
			t.Helper()
			settle()
			if s := r.Status(); s.State != want || (s.Err != nil) != (want == source.Denied || want == source.Failed) {
				t.Fatalf("state is %v (%v), want %v", s.State, s.Err, want)
			}
		}
		state(source.Missing)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		state(source.Missing)
		if err := os.Mkdir(log, 0o700); err != nil {
			t.Fatal(err)
		}
		state(source.Failed)
		remove(t, log)
		if err := syscall.Mkfifo(log, 0o600); err != nil {
			t.Fatal(err)
		}
		state(source.Failed)
		remove(t, log)
		write(t, log, "one\n")
		state(source.Following)
		r.expect(t, "one")
		remove(t, log)
		state(source.Missing)
		write(t, log, "two\n")
		state(source.Following)
		r.expect(t, "one", "two")
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		state(source.Missing)
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		write(t, log, "three\n")
		state(source.Following)
		r.expect(t, "one", "two", "three")
	})
}
