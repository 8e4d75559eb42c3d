package oracle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// Journal is a systemd journal of a test's own. It is written by systemd's program that receives entries
// from other machines, so that no journald need run.
type Journal struct {
	// Dir is the journal's folder.
	Dir  string
	tb   testing.TB
	root string // of the unpacked program
	n    int
}

// JournalEntry is an entry to write.
type JournalEntry struct {
	Time       time.Time // when its sender sent it
	Identifier string
	Unit       string
	Message    string
}

// NewJournal makes an empty journal. Without journalctl or the program that writes, the test is skipped, or
// fails if PALISADE_ORACLE=require.
func NewJournal(tb testing.TB) *Journal {
	tb.Helper()
	if _, err := exec.LookPath("journalctl"); err != nil {
		missing(tb, errors.New("no journalctl: apt-get install systemd"))
	}
	return &Journal{
		Dir: tb.TempDir(), tb: tb,
		root: Unpacked(tb, "journal-remote", "systemd-journal-remote", "libmicrohttpd12"),
	}
}

// Write appends entries to a file of the journal, as "system.journal". Each reaches the journal a
// microsecond after the one before, and 5 µs after it was sent.
func (j *Journal) Write(file string, entries ...JournalEntry) {
	j.tb.Helper()
	var in bytes.Buffer
	for _, e := range entries {
		j.n++
		at := e.Time.UnixMicro()
		fmt.Fprintf(&in, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=4d1b1c6a8d0b4a6f9a1d5c8e7f6a5b4c\n", at+5, j.n*1000)
		fmt.Fprintf(&in, "_HOSTNAME=host\nSYSLOG_IDENTIFIER=%s\n_PID=101\n_SYSTEMD_UNIT=%s\n_SOURCE_REALTIME_TIMESTAMP=%d\n", e.Identifier, e.Unit, at)
		in.WriteString("MESSAGE\n")
		in.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(e.Message))))
		in.WriteString(e.Message + "\n\n")
	}
	cmd := exec.CommandContext(j.tb.Context(), filepath.Join(j.root, "lib/systemd/systemd-journal-remote"), "--output="+filepath.Join(j.Dir, file), "-")
	libraries, err := filepath.Glob(filepath.Join(j.root, "usr/lib/*/libmicrohttpd.so.*"))
	if err != nil || len(libraries) == 0 {
		j.tb.Fatalf("the package of libmicrohttpd has no library: %v", err)
	}
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Dir(libraries[0]))
	cmd.Stdin = &in
	if out, err := cmd.CombinedOutput(); err != nil {
		j.tb.Fatalf("write a journal: %v\n%s", err, out)
	}
}
