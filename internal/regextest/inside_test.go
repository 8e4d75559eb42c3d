package regextest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
)

func collect(t *testing.T, l *texts) []string {
	t.Helper()
	var all []string
	if err := l.each(func(s string) error { all = append(all, s); return nil }); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestAListOfAnyLengthTakesLittleMemory: two lists share a file, and come out as they went in.
func TestAListOfAnyLengthTakesLittleMemory(t *testing.T) {
	var s spool
	lists := []*texts{{spool: &s}, {spool: &s}}
	var want [2][]string
	for i := range 40_000 {
		text := fmt.Sprintf("%d %s", i, strings.Repeat("x", i%90))
		lists[i%2].add(text)
		want[i%2] = append(want[i%2], text)
		if n := lists[i%2].bytes; n > textsInMemory {
			t.Fatalf("%d bytes in memory", n)
		}
	}
	if s.size < 4*textsInMemory {
		t.Fatalf("%d bytes on disk: nothing is shown", s.size)
	}
	for i, l := range lists {
		if got := collect(t, l); !slices.Equal(got, want[i]) {
			t.Errorf("list %d: %d texts, want %d", i, len(got), len(want[i]))
		}
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestTheFirstOfEqualTextsIsRemoved(t *testing.T) {
	l := &texts{spool: &spool{}}
	for _, s := range []string{"x", "y", "x"} {
		l.add(s)
	}
	l.remove("x")
	l.remove("nothing")
	if got := collect(t, l); !slices.Equal(got, []string{"y", "x"}) || l.bytes != 2 {
		t.Errorf("%q, %d bytes", got, l.bytes)
	}
}

func TestAFullDiskIsTold(t *testing.T) {
	full := errors.New("no space")
	l := &texts{spool: &spool{err: full}}
	l.add(strings.Repeat("x", textsInMemory+1))
	if err := l.each(func(string) error { return nil }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
}

func TestWriteStopsAtTheFirstError(t *testing.T) {
	f, err := filter.New(filter.Options{FailRegex: []string{"from <ADDR>"}, NoTimeCheck: true}, time.Unix(1795348800, 0))
	if err != nil {
		t.Fatal(err)
	}
	tally := NewTally(f, Keep{Lines: 20})
	tally.Add(Line{Text: "x"}, "x")
	w := &failing{after: 3}
	if err := (Report{Filter: f, Fail: []string{"from <ADDR>"}}).Write(w, tally); !errors.Is(err, io.ErrClosedPipe) || w.n != 4 {
		t.Errorf("%v after %d", err, w.n)
	}
}

// failing fails after so many writes.
type failing struct{ n, after int }

func (f *failing) Write(p []byte) (int, error) {
	if f.n++; f.n > f.after {
		return 0, io.ErrClosedPipe
	}
	return len(p), nil
}

// FuzzForm: no form and no capture takes a tag for more than it is. What holds no tag comes out as it is.
func FuzzForm(f *testing.F) {
	for _, form := range []string{"<ip> <F-USER>", "<<fid>>", "<", "<>", "< ip>", "<ip", "ip>", "<msg>|<br>", "<F-*>", "<F-id>", "row", "matches", "<time>\x00<ip-rev>"} {
		f.Add(form, "bob <ip>", "line <fid>")
	}
	f.Fuzz(func(t *testing.T, form, user, line string) {
		id := ident.Parse("192.0.2.1")
		l := Line{Text: line, Matched: true, Hits: []Hit{{ID: id, Match: filter.Match{
			Captures: map[string]filter.Value{"user": {Text: user}}, Groups: []string{"user", "none"}, Lines: []string{line}, Stamps: []filter.Span{{}},
		}}}}
		got := Form{Text: form}.Lines(l)
		if len(got) != 1 {
			t.Fatalf("%q", got)
		}
		if strings.Contains(form, "<") && !strings.Contains(form, ">") && got[0] != form {
			t.Errorf("%q: %q", form, got[0])
		}
		if form == "<F-USER>" && got[0] != user {
			t.Errorf("%q", got[0])
		}
		if inverted := (Form{Text: form, Invert: true}).Lines(l); inverted != nil {
			t.Errorf("%q", inverted)
		}
	})
}

// FuzzLines: whatever a file holds, lines are text, bounded, and as many as there are line ends.
func FuzzLines(f *testing.F) {
	f.Add([]byte("one\r\n\ntwo\n# three\nlast"))
	f.Add([]byte("\xff\xfe\x00\n\r\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := NewLines(strings.NewReader(string(b)), nil)
		n := 0
		for {
			text, err := l.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n++
			if !utf8.ValidString(text) || strings.Contains(text, "\n") || len(text) > 3*MaxLine {
				t.Fatalf("%q", text)
			}
		}
		want := strings.Count(string(b), "\n")
		if len(b) > 0 && b[len(b)-1] != '\n' {
			want++
		}
		if n != want || l.Number != want || l.Bytes != int64(len(b)) {
			t.Errorf("%d lines, %d, %d bytes; want %d", n, l.Number, l.Bytes, want)
		}
	})
}
