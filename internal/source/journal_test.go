package source_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/source"
)

// A journal of our own is written by systemd's program that receives entries from other machines.
type journalWriter struct {
	t    *testing.T
	root string // of the unpacked program
	dir  string
	n    int
}

// base is when the first entry was sent.
var base = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

func newJournalWriter(t *testing.T) *journalWriter {
	t.Helper()
	if _, err := exec.LookPath("journalctl"); err != nil {
		t.Skip("no journalctl: apt-get install systemd")
	}
	return &journalWriter{t: t, root: oracle.Unpacked(t, "journal-remote", "systemd-journal-remote", "libmicrohttpd12"), dir: t.TempDir()}
}

// write adds entries with these messages, a second after each other, to a file of the journal.
func (w *journalWriter) write(file string, texts ...string) {
	w.t.Helper()
	var in bytes.Buffer
	for _, m := range texts {
		at := base.Add(time.Duration(w.n) * time.Second).UnixMicro()
		w.n++
		fmt.Fprintf(&in, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=4d1b1c6a8d0b4a6f9a1d5c8e7f6a5b4c\n", at+5, w.n*1000)
		fmt.Fprintf(&in, "_HOSTNAME=host\nSYSLOG_IDENTIFIER=sshd\n_PID=101\n_SYSTEMD_UNIT=ssh.service\n_SOURCE_REALTIME_TIMESTAMP=%d\n", at)
		in.WriteString("MESSAGE\n")
		in.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(m))))
		in.WriteString(m + "\n\n")
	}
	cmd := exec.CommandContext(w.t.Context(), filepath.Join(w.root, "lib/systemd/systemd-journal-remote"), "--output="+filepath.Join(w.dir, file), "-")
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(w.root, "usr/lib/x86_64-linux-gnu")+":"+filepath.Join(w.root, "usr/lib/aarch64-linux-gnu"))
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		w.t.Fatalf("write a journal: %v\n%s", err, out)
	}
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
	o := source.JournalOptions{Directory: w.dir}

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
	if err := os.Rename(filepath.Join(w.dir, "system.journal"), filepath.Join(w.dir, "system@1.journal")); err != nil {
		t.Fatal(err)
	}
	w.write("system.journal", messages(3004, 3006)...)
	batches, stop = followJournal(t, o)
	if got := texts(readEntries(t, batches, 4, false)); !slices.Equal(got, messages(3002, 3006)) {
		t.Errorf("added while nobody read, over a rotation: %q", got)
	}
	caughtUp(t, batches)
	o.Start = stop()

	if err := os.Remove(filepath.Join(w.dir, "system@1.journal")); err != nil {
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
		batches, stop := followJournal(t, source.JournalOptions{Directory: w.dir, Matches: test.matches})
		readEntries(t, batches, test.n, false)
		caughtUp(t, batches)
		stop()
	}
}

// TestJournalTextIsBounded: a message of a megabyte, of several lines, and one that is no text.
func TestJournalTextIsBounded(t *testing.T) {
	w := newJournalWriter(t)
	w.write("a.journal", strings.Repeat("x", 1<<20), "two\nlines", "\xff\xfe", "")
	o := source.JournalOptions{Directory: w.dir, MaxLine: 1000}
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
	j = source.NewJournal(source.JournalOptions{Directory: w.dir})
	if err := j.Run(t.Context(), func(context.Context, source.JournalBatch) error { return full }); !errors.Is(err, full) {
		t.Errorf("%v", err)
	}
	if p := j.Status().Pos; p.Cursor != "" {
		t.Errorf("what was not delivered counts as read: %+v", p)
	}
}
