package source

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// JournalPath is the Path of the positions of a journal.
const JournalPath = "systemd-journal"

// JournalOptions say which entries of the systemd journal to follow.
type JournalOptions struct {
	// Matches are alternatives, each a list of FIELD=value and "+" as journalctl takes them. None asks for
	// the whole journal.
	Matches [][]string
	// Directory, Files and Namespace choose another journal than the machine's own; see journalctl(1).
	Directory string
	Files     []string
	Namespace string
	// Flags are what fail2ban calls journalflags: 4 asks for the system's entries alone, 8 for those of the
	// current user; others have no counterpart and mean nothing.
	Flags int
	// Start is where an earlier Run stopped; Since is where to begin without one. Both zero: all entries.
	Start Position
	Since time.Time
	// MaxLine is the number of bytes of a message that are delivered. Default: 16 KiB.
	MaxLine int
	// Program is the journalctl to run. Default: journalctl, found in PATH.
	Program string
	// Log gets what an operator should know. Default: nothing is logged.
	Log *slog.Logger
}

// Entry is one message of the journal.
type Entry struct {
	// Text is the message as a log line without a date: host, identifier, PID and message.
	Text string
	// Time is when it was sent, as far as its sender said, and otherwise when the journal got it.
	Time time.Time
	// Truncated says that the message was longer than JournalOptions.MaxLine.
	Truncated bool
}

// JournalBatch is what one reading of the journal gave.
type JournalBatch struct {
	// Pos is the position behind the last entry: Path and Cursor are set.
	Pos Position
	// Entries holds at most 1,024. It is empty only in the batch that says that reading has caught up.
	Entries []Entry
	// InOperation is false for what was in the journal when reading began.
	InOperation bool
}

// Journal follows the journal through journalctl, whose export format and cursors are stable interfaces.
// Its methods may be called by any goroutine.
type Journal struct {
	opts JournalOptions

	running sync.Mutex // held by Run

	mu     sync.Mutex // guards the fields below
	status JournalStatus
}

// JournalStatus is what a Journal has done so far.
type JournalStatus struct {
	State State // Idle, Following or Failed
	Err   error // why reading does not work at the moment
	Pos   Position
	// InOperation is that of the next batch.
	InOperation bool
	// Lines were delivered; Truncated of them were cut to MaxLine.
	Lines, Truncated int64
}

const (
	// entriesAtOnce is how many entries are delivered at once. What has come is delivered without waiting
	// for more.
	entriesAtOnce = 1024
	// After journalctl has ended by itself, it is started again after this long, twice as long each time.
	journalRetryFirst = time.Second
	journalRetryLast  = time.Minute
	// stderrKept is how much of what journalctl complains of is kept for the error.
	stderrKept = 2 << 10
)

// NewJournal returns a Journal. It starts nothing.
func NewJournal(o JournalOptions) *Journal {
	if o.MaxLine <= 0 {
		o.MaxLine = defaultMaxLine
	}
	if o.Program == "" {
		o.Program = "journalctl"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Journal{opts: o, status: JournalStatus{Pos: Position{Path: JournalPath, Cursor: o.Start.Cursor}}}
}

// Status returns what the Journal does and has done.
func (j *Journal) Status() JournalStatus {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.status
}

func (j *Journal) update(change func(*JournalStatus)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.status)
}

// Run delivers the entries until ctx ends or deliver fails, and returns that error. When journalctl cannot
// be run, or ends, it is tried again; see Status. First comes what the journal holds, then a batch without
// entries that says so, then what is added. An entry is delivered when deliver returns nil; a later Run
// goes on behind it. Rotation of the journal loses nothing; entries that were deleted before they were
// read are gone.
func (j *Journal) Run(ctx context.Context, deliver func(context.Context, JournalBatch) error) error {
	if !j.running.TryLock() {
		return ErrRunning
	}
	defer j.running.Unlock()
	defer j.update(func(s *JournalStatus) { s.State, s.Err = Idle, nil })
	wait, told := journalRetryFirst, false
	for {
		delivered, err := j.read(ctx, deliver)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if e, ok := errors.AsType[deliverError](err); ok {
			return e.err
		}
		if delivered {
			wait, told = journalRetryFirst, false
		}
		if err == nil { // all that was there has been read
			if !j.Status().InOperation {
				if err := deliver(ctx, JournalBatch{Pos: j.Status().Pos, InOperation: true}); err != nil {
					return err
				}
				j.update(func(s *JournalStatus) { s.InOperation = true })
				continue
			}
			err = errors.New("journalctl has ended")
		}
		j.update(func(s *JournalStatus) { s.State, s.Err = Failed, err })
		if !told {
			j.opts.Log.Error("the journal cannot be read; it is tried again", "source", JournalPath, "err", err)
			told = true
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return ctx.Err()
		}
		wait = min(2*wait, journalRetryLast)
	}
}

// ReadAll gives each entry that the journal holds now, numbered from 1, and ends. The error is f's, ctx's, or
// says why the journal cannot be read.
func (j *Journal) ReadAll(ctx context.Context, f func(e Entry, number int) error) error {
	n := 0
	_, err := j.read(ctx, func(_ context.Context, b JournalBatch) error {
		for _, e := range b.Entries {
			n++
			if err := f(e, n); err != nil {
				return err
			}
		}
		return nil
	})
	if e, ok := errors.AsType[deliverError](err); ok {
		return e.err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// deliverError is an error of the caller's function, which ends Run.
type deliverError struct{ err error }

func (e deliverError) Error() string { return e.err.Error() }

// read runs journalctl once: without following until what is there has been read, afterwards with. It
// reports whether anything was delivered.
func (j *Journal) read(ctx context.Context, deliver func(context.Context, JournalBatch) error) (delivered bool, err error) {
	st := j.Status()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, j.opts.Program, j.args(st)...) //nolint:gosec // the program is chosen by the operator
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Env = append(cmd.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0")
	stderr := &head{most: stderrKept}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return false, fmt.Errorf("run journalctl: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return false, fmt.Errorf("run journalctl: %w (is systemd's journalctl installed?)", err)
	}
	j.update(func(s *JournalStatus) { s.State, s.Err = Following, nil })

	r := newJournalReader(out, j.opts.MaxLine)
	batch := JournalBatch{Pos: st.Pos, InOperation: st.InOperation}
	for err == nil {
		var e Entry
		var cursor string
		e, cursor, err = r.next()
		if err == nil {
			batch.Entries = append(batch.Entries, e)
			batch.Pos.Cursor = cursor
		}
		if len(batch.Entries) == 0 || err == nil && r.more() && len(batch.Entries) < entriesAtOnce {
			continue
		}
		if failed := deliver(ctx, batch); failed != nil {
			err = deliverError{failed}
			break
		}
		delivered = true
		j.update(func(s *JournalStatus) {
			s.Pos, s.Lines = batch.Pos, s.Lines+int64(len(batch.Entries))
			for _, e := range batch.Entries {
				if e.Truncated {
					s.Truncated++
				}
			}
		})
		batch.Entries = nil // the receiver may keep them
	}
	if _, ours := errors.AsType[deliverError](err); ours || !errors.Is(err, io.EOF) {
		cancel() // it may have more to say than anybody reads
	}
	ended := cmd.Wait()
	switch {
	case !errors.Is(err, io.EOF):
		return delivered, err
	case ended != nil:
		return delivered, fmt.Errorf("journalctl: %w%s", ended, stderr.told())
	}
	return delivered, nil
}

// args are those of journalctl.
func (j *Journal) args(st JournalStatus) []string {
	o := j.opts
	args := []string{
		"--output=export", "--quiet", "--no-pager", "--no-tail",
		"--output-fields=" + strings.Join([]string{
			fieldMessage, fieldHost, fieldIdentifier, fieldComm, fieldSyslogPID, fieldPID, fieldSource, fieldSourceMonotonic,
		}, ","),
	}
	if st.InOperation {
		args = append(args, "--follow")
	}
	switch {
	case st.Pos.Cursor != "":
		args = append(args, "--after-cursor="+st.Pos.Cursor)
	case !o.Since.IsZero():
		args = append(args, fmt.Sprintf("--since=@%d", o.Since.Unix()))
	}
	if o.Directory != "" {
		args = append(args, "--directory="+o.Directory)
	}
	for _, f := range o.Files {
		args = append(args, "--file="+f)
	}
	if o.Namespace != "" {
		args = append(args, "--namespace="+o.Namespace)
	}
	if o.Flags&4 != 0 {
		args = append(args, "--system")
	}
	if o.Flags&8 != 0 {
		args = append(args, "--user")
	}
	for i, m := range o.Matches {
		if i > 0 {
			args = append(args, "+")
		}
		args = append(args, m...)
	}
	return args
}

// head keeps the beginning of what is written to it. It is written to by one goroutine, and read after
// that has ended.
type head struct {
	most int
	text []byte
}

func (h *head) Write(p []byte) (int, error) {
	h.text = append(h.text, p[:min(len(p), h.most-len(h.text))]...)
	return len(p), nil
}

func (h *head) told() string {
	if text := strings.Join(strings.Fields(string(h.text)), " "); text != "" {
		return ": " + text
	}
	return ""
}
