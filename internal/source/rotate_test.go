package source_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/source"
)

func TestRotation(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t bubbled, log string)
		want []string // after "one"
	}{
		{
			"renamed, and created by the writer",
			func(t bubbled, log string) {
				rename(t, log, log+".1")
				write(t, log, "two\n")
			},
			[]string{"two"},
		},
		{
			"unread lines of the renamed file come first",
			func(t bubbled, log string) {
				write(t, log, "two\n")
				rename(t, log, log+".1")
				write(t, log, "three\n")
			},
			[]string{"two", "three"},
		},
		{
			"a writer that keeps the renamed file for a while",
			func(t bubbled, log string) {
				rename(t, log, log+".1")
				write(t, log, "")
				settle()
				write(t, log+".1", "two\n")
				settle()
				write(t, log+".1", "three\n")
				write(t, log, "four\n")
			},
			[]string{"two", "three", "four"},
		},
		{
			"two writers, one of which keeps the renamed file",
			func(t bubbled, log string) {
				rename(t, log, log+".1")
				write(t, log, "two\n")
				settle()
				write(t, log+".1", "three\n")
				settle()
				write(t, log, "four\n")
				settle()
				write(t, log+".1", "five\n")
			},
			[]string{"two", "three", "four", "five"},
		},
		{
			"a line begun before the rename is finished after it",
			func(t bubbled, log string) {
				write(t, log, "tw")
				settle()
				rename(t, log, log+".1")
				write(t, log, "")
				settle()
				write(t, log+".1", "o\n")
			},
			[]string{"two"},
		},
		{
			"rotated twice between two looks",
			func(t bubbled, log string) {
				write(t, log, "two\n")
				rename(t, log, log+".1")
				write(t, log, "three\n")
				rename(t, log+".1", log+".2")
				rename(t, log, log+".1")
				write(t, log, "four\n")
			},
			[]string{"two", "three", "four"},
		},
		{
			"rotated three times between two looks, with dates",
			func(t bubbled, log string) {
				rename(t, log, log+"-20260101")
				write(t, log, "two\n")
				rename(t, log, log+"-20260102")
				write(t, log, "three\n")
				rename(t, log, log+"-20260103")
				write(t, log, "four\n")
			},
			[]string{"two", "three", "four"},
		},
		{
			"compressed at once",
			func(t bubbled, log string) {
				write(t, log, "two\n")
				remove(t, log)
				write(t, log+".1.gz", "two\n")
				write(t, log, "three\n")
			},
			[]string{"two", "three"},
		},
		{
			"an old file of a past rotation is left alone",
			func(t bubbled, log string) {
				write(t, log+".1", "past\n")
				old := time.Now().Add(-24 * time.Hour * 365 * 50)
				if err := os.Chtimes(log+".1", old, old); err != nil {
					t.Fatal(err)
				}
				rename(t, log, log+".2")
				write(t, log, "two\n")
			},
			[]string{"two"},
		},
		{
			"deleted and created again",
			func(t bubbled, log string) {
				remove(t, log)
				write(t, log, "two\n")
			},
			[]string{"two"},
		},
		{
			"deleted and created again with the same first line",
			func(t bubbled, log string) {
				remove(t, log)
				write(t, log, "one\ntwo\n")
			},
			[]string{"one", "two"},
		},
		{
			"deleted, written to, and created later",
			func(t bubbled, log string) {
				f, err := os.OpenFile(log, os.O_APPEND|os.O_WRONLY, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				remove(t, log)
				settle()
				put(t, f, "two\n")
				settle()
				write(t, log, "three\n")
				settle()
				put(t, f, "four\n")
			},
			[]string{"two", "three", "four"},
		},
		{
			"renamed and renamed back",
			func(t bubbled, log string) {
				rename(t, log, log+".1")
				write(t, log, "two\n")
				settle()
				remove(t, log)
				rename(t, log+".1", log)
				write(t, log, "three\n")
			},
			[]string{"two", "three"},
		},
		{
			"replaced by rename",
			func(t bubbled, log string) {
				write(t, log+".new", "two\n")
				rename(t, log+".new", log)
			},
			[]string{"two"},
		},
		{
			"truncated",
			func(t bubbled, log string) {
				truncate(t, log)
				settle()
				write(t, log, "two\n")
			},
			[]string{"two"},
		},
		{
			"truncated and grown past the old end between two looks",
			func(t bubbled, log string) {
				truncate(t, log)
				write(t, log, "two\nthree\n")
			},
			[]string{"two", "three"},
		},
		{
			"truncated and grown to the old size between two looks",
			func(t bubbled, log string) {
				truncate(t, log)
				write(t, log, "two\n")
			},
			[]string{"two"},
		},
		{
			"truncated and grown with the same first line",
			func(t bubbled, log string) {
				write(t, log, "two\n")
				settle()
				truncate(t, log)
				write(t, log, "one\nxyz\nthree\n")
			},
			[]string{"two", "one", "xyz", "three"},
		},
		{
			"truncated and written again with another first line and the same end",
			func(t bubbled, log string) {
				write(t, log, strings.Repeat("same\n", 50))
				settle()
				truncate(t, log)
				write(t, log, "ONE\n"+strings.Repeat("same\n", 50))
			},
			slices.Concat(slices.Repeat([]string{"same"}, 50), []string{"ONE"}, slices.Repeat([]string{"same"}, 50)),
		},
		{
			"truncated in the middle of a line",
			func(t bubbled, log string) {
				write(t, log, "unfinish")
				settle()
				truncate(t, log)
				settle()
				write(t, log, "two\n")
			},
			[]string{"two"},
		},
		{
			"copied and truncated with unread lines",
			func(t bubbled, log string) {
				write(t, log, "two\nthree\n")
				copyFile(t, log, log+".1")
				truncate(t, log)
				write(t, log, "four\n")
			},
			[]string{"two", "three", "four"},
		},
		{
			"copied and truncated, but the copy is another file with the same first line",
			func(t bubbled, log string) {
				write(t, log, "two\n")
				settle()
				write(t, log+".1", "one\nold\nolder\n")
				truncate(t, log)
				write(t, log, "three\n")
			},
			[]string{"two", "three"},
		},
		{
			"copied and truncated twice between two looks",
			func(t bubbled, log string) {
				write(t, log, "two\n")
				copyFile(t, log, log+".1")
				truncate(t, log)
				write(t, log, "three\n")
				rename(t, log+".1", log+".2")
				copyFile(t, log, log+".1")
				truncate(t, log)
				write(t, log, "four\n")
			},
			[]string{"two", "three", "four"},
		},
		{
			"copied and truncated inside a long line",
			func(t bubbled, log string) {
				write(t, log, strings.Repeat("x", 5000))
				settle()
				write(t, log, "y\ntwo\n")
				copyFile(t, log, log+"-20260101")
				truncate(t, log)
				write(t, log, "three\n")
			},
			[]string{strings.Repeat("x", 100), "two", "three"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t bubbled, log string) {
				write(t, log, "one\n")
				r := follow(t, source.FileOptions{Path: log, Poll: true, MaxLine: 100})
				r.expect(t, "one")
				tc.do(t, log)
				r.expect(t, append([]string{"one"}, tc.want...)...)
			})
		})
	}
}

func TestASymbolicLinkIsFollowed(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		dir := filepath.Dir(log)
		link := func(target string) {
			t.Helper()
			if err := os.Symlink(target, log+".tmp"); err != nil {
				t.Fatal(err)
			}
			rename(t, log+".tmp", log)
		}
		link("app-1.log") // points nowhere yet
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t)
		write(t, filepath.Join(dir, "app-1.log"), "one\n")
		r.expect(t, "one")
		write(t, filepath.Join(dir, "app-2.log"), "three\n")
		write(t, filepath.Join(dir, "app-1.log"), "two\n")
		link("app-2.log")
		r.expect(t, "one", "two", "three")
	})
}

func TestARotatedFileIsReadUntilItHasBeenQuietForTheGracePeriod(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		const grace = 10 * time.Second
		write(t, log, "one\n")
		r := follow(t, source.FileOptions{Path: log, Poll: true, Grace: grace})
		r.expect(t, "one")
		rename(t, log, log+".1")
		write(t, log, "two\n")
		settle()
		time.Sleep(grace - time.Second)
		write(t, log+".1", "three\n")
		r.expect(t, "one", "two", "three")
		time.Sleep(grace - time.Second)
		write(t, log+".1", "four\nunfinish")
		r.expect(t, "one", "two", "three", "four")
		if open := openFiles(t, filepath.Dir(log)); len(open) != 2 {
			t.Errorf("open files: %q", open)
		}
		time.Sleep(grace + time.Second)
		settle()
		if open := openFiles(t, filepath.Dir(log)); len(open) != 1 {
			t.Errorf("open files after the grace period: %q", open)
		}
		write(t, log+".1", "ed\nlate\n")
		write(t, log, "five\n")
		r.expect(t, "one", "two", "three", "four", "five")
		if got := r.Status().Unfinished; got != 1 {
			t.Errorf("%d unfinished lines are counted, want 1", got)
		}
		if got := r.Status().Rotations; got != 1 {
			t.Errorf("%d rotations are counted, want 1", got)
		}
	})
}

func TestNoFileStaysOpenAfterRun(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\n")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		settle()
		rename(t, log, log+".1")
		write(t, log, "two\n")
		settle()
		r.stop(t)
		if open := openFiles(t, filepath.Dir(log)); len(open) != 0 {
			t.Errorf("open files after Run: %q", open)
		}
	})
}

// openFiles lists the files below dir that the process has open.
func openFiles(t tester, dir string) (open []string) {
	t.Helper()
	fds, err := filepath.Glob("/proc/self/fd/*")
	if err != nil || len(fds) == 0 {
		t.Skip("no /proc to see the open files in")
	}
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) {
			open = append(open, name)
		}
	}
	return open
}

func TestAHoleLeftByTruncationIsSkipped(t *testing.T) {
	for _, size := range []int{10, 5_000, 1 << 20, 64 << 20} {
		bubble(t, func(t bubbled, log string) {
			f, err := os.Create(log) // a writer that does not append
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			put(t, f, "one\n")
			r := follow(t, source.FileOptions{Path: log, Poll: true})
			r.expect(t, "one")
			if _, err := f.Seek(int64(size), 0); err != nil {
				t.Fatal(err)
			}
			truncate(t, log)
			put(t, f, "tw")
			r.expect(t, "one")
			put(t, f, "o\nthree\n")
			r.expect(t, "one", "two", "three")

			pos := r.stop(t)
			put(t, f, "four\n")
			follow(t, source.FileOptions{Path: log, Poll: true, Starts: []source.Position{pos}}).expect(t, "four")
		})
	}
}

func TestSpaceReservedWithNULsIsReadWhenLinesFillIt(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		f, err := os.Create(log)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		put(t, f, "one\n")
		if err := f.Truncate(1 << 20); err != nil {
			t.Fatal(err)
		}
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "one")
		put(t, f, "two\n")
		r.expect(t, "one", "two")
		put(t, f, "three\n")
		r.expect(t, "one", "two", "three")
	})
}

func TestNULsInsideALineStay(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "a\x00b\x00\n\x00\x00c\n\x00\n")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "a\x00b\x00", "c", "")
	})
}

func TestADirectoryOfOtherFilesDoesNotMatter(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		for _, name := range []string{".2.gz", ".old", "~", "-notes", ".1.xz"} {
			write(t, log+name, "one\nother\n")
		}
		write(t, log, "one\n")
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t, "one")
		truncate(t, log)
		write(t, log, "two\n")
		r.expect(t, "one", "two")
		rename(t, log, log+".3")
		write(t, log, "three\n")
		r.expect(t, "one", "two", "three")
	})
}

func TestPermissionDeniedAndLaterAllowed(t *testing.T) {
	const nobody = 65534
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\n")
		chmod := func(path string, mode os.FileMode) {
			t.Helper()
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
		}
		become := func(user int) {
			t.Helper()
			if err := syscall.Setreuid(-1, user); err != nil {
				t.Fatal(err)
			}
		}
		root := os.Geteuid() == 0
		chmod(log, 0)
		if root { // who may read everything
			chmod(filepath.Dir(log), 0o755)
			chmod(filepath.Dir(filepath.Dir(log)), 0o755)
			become(nobody)
			defer become(0)
		}
		r := follow(t, source.FileOptions{Path: log, Poll: true})
		r.expect(t)
		if s := r.Status(); s.State != source.Denied || !errors.Is(s.Err, fs.ErrPermission) {
			t.Errorf("state is %v (%v)", s.State, s.Err)
		}
		if root {
			become(0)
		}
		chmod(log, 0o644)
		if root {
			become(nobody)
		}
		r.expect(t, "one")
		if s := r.Status(); s.State != source.Following || s.Err != nil {
			t.Errorf("state is %v (%v)", s.State, s.Err)
		}
	})
}

func TestLinesKeepTheirOrderWhenAWriterMovesOnDuringARead(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\n")
		var got []string
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() {
			done <- source.NewFile(source.FileOptions{Path: log, Poll: true}).Run(ctx,
				func(_ context.Context, b source.Batch) error {
					for _, l := range b.Lines {
						got = append(got, string(l.Text))
						if string(l.Text) == "three" { // the old file is being read
							write(t, log+".1", "four\n")
							write(t, log, "five\n")
						}
					}
					return nil
				})
		}()
		settle()
		rename(t, log, log+".1")
		write(t, log, "two\n")
		settle()
		write(t, log+".1", "three\n")
		settle()
		cancel()
		<-done
		if want := []string{"one", "two", "three", "four", "five"}; !slices.Equal(got, want) {
			t.Errorf("delivered %q, want %q", got, want)
		}
	})
}
