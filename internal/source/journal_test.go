package source_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/source"
)

// base is when the first entry was sent.
var base = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// journalWriter writes messages of sshd, a second after each other.
type journalWriter struct {
	*oracle.Journal
	n int
}

func newJournalWriter(t *testing.T) *journalWriter {
	t.Helper()
	return &journalWriter{Journal: oracle.NewJournal(t)}
}

func (w *journalWriter) write(file string, texts ...string) {
	var entries []oracle.JournalEntry
	for _, text := range texts {
		entries = append(entries, oracle.JournalEntry{
			Time: base.Add(time.Duration(w.n) * time.Second), Identifier: "sshd", Unit: "ssh.service", Message: text,
		})
		w.n++
	}
	w.Write(file, entries...)
}

func messages(from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, fmt.Sprintf("message %d", i))
	}
	return all
}

// followJournal reads in the background; what it got comes out of the channel, a batch at a time.
func followJournal(t *testing.T, o source.JournalOptions) (batches <-chan source.JournalBatch, stop func() source.Position) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	c, ended := make(chan source.JournalBatch), make(chan error, 1)
	j := source.NewJournal(o)
	go func() {
		ended <- j.Run(ctx, func(ctx context.Context, b source.JournalBatch) error {
			select {
			case c <- b:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	return c, func() source.Position {
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("Run ended with %v", err)
		}
		return j.Status().Pos
	}
}

// readEntries waits for so many entries, and gives their texts; caughtUp waits for the batch without entries.
func readEntries(t *testing.T, batches <-chan source.JournalBatch, n int, inOperation bool) []source.Entry {
	t.Helper()
	var got []source.Entry
	limit := time.After(time.Minute)
	for len(got) < n {
		select {
		case b := <-batches:
			if b.InOperation != inOperation || b.Pos.Cursor == "" {
				t.Fatalf("%+v, want InOperation %v", b, inOperation)
			}
			got = append(got, b.Entries...)
		case <-limit:
			t.Fatalf("%d of %d entries came", len(got), n)
		}
	}
	return got
}

func caughtUp(t *testing.T, batches <-chan source.JournalBatch) {
	t.Helper()
	select {
	case b := <-batches:
		if len(b.Entries) > 0 || !b.InOperation {
			t.Fatalf("%+v instead of the end of what is there", b)
		}
	case <-time.After(time.Minute):
		t.Fatal("the end of what is there is not told")
	}
}

func texts(entries []source.Entry) []string {
	var all []string
	for _, e := range entries {
		all = append(all, strings.TrimPrefix(e.Text, "host sshd[101]: "))
	}
	return all
}

// TestJournalIsReadOnceOverRestartsAndRotation: what is there, what is added, what is added while nobody
// reads, what is in a file that was renamed, and after a file was deleted.
func TestJournalIsReadOnceOverRestartsAndRotation(t *testing.T) {
	w := newJournalWriter(t)
	w.write("system.journal", messages(0, 3000)...)
	o := source.JournalOptions{Directory: w.Dir}

	batches, stop := followJournal(t, o)
	got := readEntries(t, batches, 3000, false)
	if want := messages(0, 3000); !slices.Equal(texts(got), want) {
		t.Fatalf("%d entries, first %q, last %q", len(got), got[0].Text, got[len(got)-1].Text)
	}
	if at := got[7].Time; !at.Equal(base.Add(7 * time.Second)) {
		t.Errorf("the time of its sender: %v", at)
	}
	caughtUp(t, batches)
	w.write("system.journal", messages(3000, 3002)...)
	if got := texts(readEntries(t, batches, 2, true)); !slices.Equal(got, messages(3000, 3002)) {
		t.Errorf("added while followed: %q", got)
	}
	o.Start = stop()

	w.write("system.journal", messages(3002, 3004)...)
	if err := os.Rename(filepath.Join(w.Dir, "system.journal"), filepath.Join(w.Dir, "system@1.journal")); err != nil {
		t.Fatal(err)
	}
	w.write("system.journal", messages(3004, 3006)...)
	batches, stop = followJournal(t, o)
	if got := texts(readEntries(t, batches, 4, false)); !slices.Equal(got, messages(3002, 3006)) {
		t.Errorf("added while nobody read, over a rotation: %q", got)
	}
	caughtUp(t, batches)
	o.Start = stop()

	if err := os.Remove(filepath.Join(w.Dir, "system@1.journal")); err != nil {
		t.Fatal(err)
	}
	w.write("system.journal", messages(3006, 3007)...)
	batches, stop = followJournal(t, o)
	if got := texts(readEntries(t, batches, 1, false)); !slices.Equal(got, messages(3006, 3007)) {
		t.Errorf("after a file was deleted: %q", got)
	}
	caughtUp(t, batches)
	stop()

	o.Start, o.Since = source.Position{}, base.Add(3005*time.Second)
	batches, stop = followJournal(t, o)
	if got := texts(readEntries(t, batches, 2, false)); !slices.Equal(got, messages(3005, 3007)) {
		t.Errorf("since a time: %q", got)
	}
	stop()
}

// TestJournalMatchesChooseEntries: alternatives, and fields that must all hold.
func TestJournalMatchesChooseEntries(t *testing.T) {
	w := newJournalWriter(t)
	w.write("a.journal", "one")
	for _, test := range []struct {
		matches [][]string
		n       int
	}{
		{[][]string{{"_SYSTEMD_UNIT=ssh.service"}}, 1},
		{[][]string{{"_SYSTEMD_UNIT=ssh.service", "SYSLOG_IDENTIFIER=sshd"}}, 1},
		{[][]string{{"_SYSTEMD_UNIT=ssh.service", "SYSLOG_IDENTIFIER=cron"}}, 0},
		{[][]string{{"_SYSTEMD_UNIT=cron.service"}, {"SYSLOG_IDENTIFIER=sshd"}}, 1},
		{[][]string{{"_SYSTEMD_UNIT=cron.service", "+", "SYSLOG_IDENTIFIER=sshd"}}, 1},
		{nil, 1},
	} {
		batches, stop := followJournal(t, source.JournalOptions{Directory: w.Dir, Matches: test.matches})
		readEntries(t, batches, test.n, false)
		caughtUp(t, batches)
		stop()
	}
}

func TestReadAllEndsWithTheJournal(t *testing.T) {
	w := newJournalWriter(t)
	w.write("a.journal", messages(0, 5)...)
	var got []source.Entry
	j := source.NewJournal(source.JournalOptions{Directory: w.Dir})
	err := j.ReadAll(t.Context(), func(e source.Entry, n int) error {
		if got = append(got, e); n != len(got) {
			t.Errorf("entry %d has number %d", len(got), n)
		}
		return nil
	})
	if err != nil || !slices.Equal(texts(got), messages(0, 5)) {
		t.Errorf("%q, %v", texts(got), err)
	}
	full := errors.New("full")
	if err := source.NewJournal(source.JournalOptions{Directory: w.Dir}).ReadAll(t.Context(), func(source.Entry, int) error { return full }); !errors.Is(err, full) {
		t.Error(err)
	}
}

// TestJournalTextIsBounded: a message of a megabyte, of several lines, and one that is no text.
func TestJournalTextIsBounded(t *testing.T) {
	w := newJournalWriter(t)
	w.write("a.journal", strings.Repeat("x", 1<<20), "two\nlines", "\xff\xfe", "")
	o := source.JournalOptions{Directory: w.Dir, MaxLine: 1000}
	batches, stop := followJournal(t, o)
	got := readEntries(t, batches, 4, false)
	stop()
	if n := len(texts(got[:1])[0]); !got[0].Truncated || n > 1000 || n < 990 {
		t.Errorf("%d bytes, truncated %v", n, got[0].Truncated)
	}
	if want := []string{`two\nlines`, "\uFFFD\uFFFD", ""}; !slices.Equal(texts(got[1:]), want) && !slices.Equal(texts(got[1:]), []string{`two\nlines`, "\uFFFD", ""}) {
		t.Errorf("%q, want %q", texts(got[1:]), want)
	}
}

// TestWithoutJournalctlTheReaderSaysSo and goes on trying until it is told to end; a delivery that fails
// ends it.
func TestWithoutJournalctlTheReaderSaysSo(t *testing.T) {
	j := source.NewJournal(source.JournalOptions{Program: filepath.Join(t.TempDir(), "none")})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- j.Run(ctx, func(context.Context, source.JournalBatch) error { return nil })
	}()
	for j.Status().State != source.Failed {
		if ctx.Err() != nil {
			t.Fatal("no failure is told")
		}
		time.Sleep(time.Millisecond)
	}
	if err := j.Status().Err; !strings.Contains(err.Error(), "is systemd's journalctl installed?") {
		t.Errorf("%v", err)
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}

	w := newJournalWriter(t)
	w.write("a.journal", "one")
	full := errors.New("full")
	j = source.NewJournal(source.JournalOptions{Directory: w.Dir})
	if err := j.Run(t.Context(), func(context.Context, source.JournalBatch) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if p := j.Status().Pos; p.Cursor != "" {
		t.Errorf("what was not delivered counts as read: %+v", p)
	}
}
