package source_test

import (
	"os"
	"slices"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/source"
)

func TestResume(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(t bubbled, log string) // while nobody reads "one" and "two", both read
		pos  func(*source.Position)      // what happened to the position; nil: nothing
		want []string
	}{
		{
			"nothing happened",
			func(bubbled, string) {},
			nil, nil,
		},
		{
			"more lines",
			func(t bubbled, log string) { write(t, log, "three\n") },
			nil,
			[]string{"three"},
		},
		{
			"renamed: the rest of the old file comes first",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				rename(t, log, log+".1")
				write(t, log, "four\n")
			},
			nil,
			[]string{"three", "four"},
		},
		{
			"renamed with a date in front of the extension",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				rename(t, log, log[:len(log)-len(".log")]+"-20260102.log")
				write(t, log, "four\n")
			},
			nil,
			[]string{"three", "four"},
		},
		{
			"renamed to something unusual",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				rename(t, log, log+".before-upgrade")
				write(t, log, "four\n")
			},
			nil,
			[]string{"three", "four"},
		},
		{
			"renamed and nothing at the path",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				rename(t, log, log+".1")
			},
			nil,
			[]string{"three"},
		},
		{
			"rotated twice: the file between is read whole",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				rename(t, log, log+".2")
				write(t, log+".1", "four\n")
				write(t, log, "five\n")
			},
			nil,
			[]string{"three", "four", "five"},
		},
		{
			"rotated and compressed: only the new file is read",
			func(t bubbled, log string) {
				keepInode(t, log)
				remove(t, log)
				write(t, log+".1.gz", "one\ntwo\nthree\n")
				write(t, log, "four\n")
			},
			nil,
			[]string{"four"},
		},
		{
			"copied and truncated: the rest is in the copy",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				copyFile(t, log, log+".1")
				truncate(t, log)
				write(t, log, "four\n")
			},
			nil,
			[]string{"three", "four"},
		},
		{
			"copied and truncated, grown past the old offset",
			func(t bubbled, log string) {
				write(t, log, "three\n")
				copyFile(t, log, log+".1")
				truncate(t, log)
				write(t, log, "four is longer\nthan it was\n")
			},
			nil,
			[]string{"three", "four is longer", "than it was"},
		},
		{
			"truncated without a copy",
			func(t bubbled, log string) {
				truncate(t, log)
				write(t, log, "three\n")
			},
			nil,
			[]string{"three"},
		},
		{
			"another first line in the same inode, the same size",
			func(t bubbled, log string) {
				truncate(t, log)
				write(t, log, "ONE\nTWO\n")
			},
			nil,
			[]string{"ONE", "TWO"},
		},
		{
			"the same first line, but no line ends at the offset",
			func(t bubbled, log string) {
				truncate(t, log)
				write(t, log, "one\nlonger than two\n")
			},
			nil,
			[]string{"one", "longer than two"},
		},
		{
			"deleted and created: a new file with an old inode is not mistaken",
			func(t bubbled, log string) {
				remove(t, log)
				write(t, log, "new one\nnew two\n")
			},
			nil,
			[]string{"new one", "new two"},
		},
		{
			"a device number that changed at boot does not matter",
			func(t bubbled, log string) { write(t, log, "three\n") },
			func(p *source.Position) { p.Device++ },
			[]string{"three"},
		},
		{
			"an unknown inode: the first line decides",
			func(t bubbled, log string) { write(t, log, "three\n") },
			func(p *source.Position) { p.Device, p.Inode = 0, 0 },
			[]string{"three"},
		},
		{
			"an unknown inode and another first line",
			func(t bubbled, log string) {
				truncate(t, log)
				write(t, log, "ONE\nTWO\nTHREE\n")
			},
			func(p *source.Position) { p.Device, p.Inode = 0, 0 },
			[]string{"ONE", "TWO", "THREE"},
		},
		{
			"an offset beyond the end",
			func(bubbled, string) {},
			func(p *source.Position) { p.Offset = 1000 },
			[]string{"one", "two"},
		},
		{
			"an offset below zero",
			func(bubbled, string) {},
			func(p *source.Position) { p.Offset = -1 },
			[]string{"one", "two"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t bubbled, log string) {
				write(t, log, "one\ntwo\n")
				o := source.FileOptions{Path: log, Poll: true}
				r := follow(t, o)
				r.expect(t, "one", "two")
				pos := r.stop(t)
				tc.do(t, log)
				if tc.pos != nil {
					tc.pos(&pos)
				}
				o.Starts = []source.Position{pos}
				follow(t, o).expect(t, tc.want...)
			})
		})
	}
}

// keepInode keeps the inode of a file from being used again until the test ends.
func keepInode(t tester, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
}

func TestResumeWhileBothFilesOfARotationAreRead(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\n")
		o := source.FileOptions{Path: log, Poll: true}
		r := follow(t, o)
		r.expect(t, "one")
		rename(t, log, log+".1")
		write(t, log, "two\n")
		settle()
		write(t, log+".1", "three\n")
		r.expect(t, "one", "two", "three")
		pos := r.stop(t)
		if pos.Other.Inode == 0 || pos.Other.Offset != int64(len("two\n")) {
			t.Errorf("the second file's place is %+v", pos.Other)
		}
		write(t, log+".1", "four\n")
		write(t, log, "five\n")
		o.Starts = []source.Position{pos}
		r = follow(t, o)
		r.expect(t, "four", "five")
		write(t, log+".1", "six\n")
		r.expect(t, "four", "five", "six")
	})
}

func TestResumeInAFileThatWasEmpty(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "")
		o := source.FileOptions{Path: log, Poll: true}
		r := follow(t, o)
		r.expect(t)
		o.Starts = []source.Position{r.stop(t)}
		write(t, log, "one\n")
		rename(t, log, log+".1")
		write(t, log, "two\n")
		follow(t, o).expect(t, "one", "two")
	})
}

func TestTheRestOfARotatedFileIsNotInOperation(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\n")
		o := source.FileOptions{Path: log, Poll: true}
		r := follow(t, o)
		r.expect(t, "one")
		o.Starts = []source.Position{r.stop(t)}
		write(t, log, "two\n")
		rename(t, log, log+".1")
		write(t, log, "three\n")
		r = follow(t, o)
		r.expect(t, "two", "three")
		write(t, log, "four\n")
		r.expect(t, "two", "three", "four")
		write(t, log+".1", "five\n")
		r.expect(t, "two", "three", "four", "five")
		r.stop(t)
		var got []bool
		for _, b := range r.batches {
			got = append(got, b.InOperation)
		}
		if want := []bool{false, false, true, true}; !slices.Equal(got, want) {
			t.Errorf("in operation: %v, want %v", got, want)
		}
	})
}

func TestResumeAppliesWhenTheFileAppearsLater(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\n")
		o := source.FileOptions{Path: log, Poll: true}
		r := follow(t, o)
		r.expect(t, "one")
		o.Starts = []source.Position{r.stop(t)}
		away := t.TempDir() + "/away"
		rename(t, log, away)
		r = follow(t, o)
		r.expect(t)
		write(t, away, "two\n")
		rename(t, away, log)
		r.expect(t, "two")
	})
}

func TestTheLowestOfSeveralPositionsIsTaken(t *testing.T) {
	// The log has an hour per line, the first at 1970-01-01 00:00 UTC.
	hour := func(line []byte) (time.Time, bool) {
		return time.Unix(int64(line[0]-'a')*3600, 0), true
	}
	for _, tc := range []struct {
		name   string
		read   []int // lines read by each jail
		change func([]source.Position)
		want   []string
	}{
		{"two jails", []int{3, 2}, nil, []string{"c", "d", "e"}},
		{"both at the end", []int{5, 5}, nil, nil},
		{"a new jail wants what Since says", []int{3}, func(p []source.Position) { p[0] = source.Position{} }, []string{"d", "e"}},
		{"a new jail beside one that is behind it", []int{1, 0}, nil, []string{"b", "c", "d", "e"}},
		{"a new jail beside one that is ahead", []int{5, 0}, nil, []string{"d", "e"}},
		{"a lost position is like none", []int{5, 5}, func(p []source.Position) { p[1].First[0]++ }, []string{"d", "e"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bubble(t, func(t bubbled, log string) {
				var starts []source.Position
				for _, n := range tc.read {
					err := os.Truncate(log, 0)
					if err != nil && !os.IsNotExist(err) {
						t.Fatal(err)
					}
					for i := range n {
						write(t, log, string(rune('a'+i))+"\n")
					}
					if n == 0 {
						starts = append(starts, source.Position{})
						continue
					}
					r := follow(t, source.FileOptions{Path: log, Poll: true})
					settle()
					starts = append(starts, r.stop(t))
				}
				if err := os.WriteFile(log, []byte("a\nb\nc\nd\ne\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				if tc.change != nil {
					tc.change(starts)
				}
				follow(t, source.FileOptions{
					Path: log, Poll: true, Starts: starts, Since: time.Unix(3*3600, 0), TimeOf: hour,
				}).expect(t, tc.want...)
			})
		})
	}
}

func TestPositionsInSeveralFiles(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "one\ntwo\n")
		o := source.FileOptions{Path: log, Poll: true}
		r := follow(t, o)
		r.expect(t, "one", "two")
		behind := r.stop(t)
		write(t, log, "three\n")
		rename(t, log, log+".1")
		write(t, log, "four\nfive\n")
		o.Starts = []source.Position{behind}
		r = follow(t, o)
		r.expect(t, "three", "four", "five")
		ahead := r.stop(t)

		o.Starts = []source.Position{ahead, behind}
		r = follow(t, o)
		r.expect(t, "three", "four", "five")
		var seen []bool
		for _, b := range r.batches {
			for _, l := range b.Lines {
				seen = append(seen, ahead.Covers(b.Pos, l.End))
			}
		}
		if !slices.Equal(seen, []bool{true, true, true}) {
			t.Errorf("the reader that is ahead has had %v of the lines, want all", seen)
		}
	})
}

func TestAPositionCoversTheLinesBeforeIt(t *testing.T) {
	a := source.Position{Path: "log", Device: 1, Inode: 2, Offset: 100, First: [20]byte{3}}
	b := source.Position{Path: "log", Device: 1, Inode: 4, Offset: 50, First: [20]byte{5}}
	both := b
	both.Other = source.Place{Device: 1, Inode: 2, Offset: 100, First: [20]byte{3}}
	other := a
	other.First[0]++
	for _, tc := range []struct {
		name   string
		p, at  source.Position
		end    int64
		covers bool
	}{
		{"before", a, a, 99, true},
		{"at", a, a, 100, true},
		{"behind", a, a, 101, false},
		{"another inode", a, b, 50, false},
		{"the same inode used again", other, a, 99, false},
		{"the second file", both, a, 100, true},
		{"behind in the second file", both, a, 101, false},
		{"nothing read", source.Position{}, a, 0, false},
	} {
		if got := tc.p.Covers(tc.at, tc.end); got != tc.covers {
			t.Errorf("%s: covers = %v", tc.name, got)
		}
	}
}
