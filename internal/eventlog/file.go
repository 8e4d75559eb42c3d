package eventlog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

const (
	// maxWaiting is how many bytes may wait for the disk: about 30,000 bans. A start that restores more
	// than these is faster than a disk only where the disk is very slow.
	maxWaiting = 8 << 20
	// keptBuffer is how large a buffer may be that is kept for the next lines.
	keptBuffer = 256 << 10
	fileMode   = 0o640

	// After an error the next try waits, twice as long each time.
	retryFirst = time.Second
	retryLast  = 30 * time.Second
)

// Options are the settings of a File. The zero value is ready to use.
type Options struct {
	Host string       // the machine's name, in every line
	Log  *slog.Logger // told when the file cannot be written, and when it can again; nil tells nobody
}

// Stats is how a File stands.
type Stats struct {
	Written uint64 // lines, since Open
	Lost    uint64 // events that found no room while the file could not be written
	Waiting int    // bytes that are not in the file yet
	Err     error  // why not; nil if all is well
}

// File is a file of events. Make one with Open; what is added goes to the disk while Run does. All
// methods are safe for concurrent use.
type File struct {
	path string
	host string
	log  *slog.Logger
	wake chan struct{} // Run has something to do

	mu       sync.Mutex // guards the fields below
	pending  []byte     // whole lines
	inFlight int        // bytes that Run has taken and not written
	unsaid   int        // lost events that no line tells of yet
	stats    Stats
	reopen   bool

	// owned by Run
	file  *os.File
	batch []byte // taken, not written
	spare []byte // an empty buffer
	torn  bool   // the file does not end with a whole line
	delay time.Duration
}

// Open opens the file at path for lines to be added, and makes it, with mode 0640, if there is none.
func Open(path string, o Options) (*File, error) {
	f := &File{path: path, host: o.Host, log: o.Log, wake: make(chan struct{}, 1)}
	if f.log == nil {
		f.log = slog.New(slog.DiscardHandler)
	}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("open the event file: %w", err)
	}
	return f, nil
}

// Add adds an event; its zero Time is now. It never waits for the disk.
func (f *File) Add(r Record) {
	if r.Time.IsZero() {
		r.Time = time.Now()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tellLost(r.Time)
	if len(f.pending)+f.inFlight >= maxWaiting {
		f.unsaid++
		f.stats.Lost++
		return
	}
	f.pending = appendLine(f.pending, &r, f.host)
	f.notify()
}

// tellLost adds the line that tells of lost events, if there are any and there is room. mu is held.
func (f *File) tellLost(now time.Time) {
	if f.unsaid == 0 || len(f.pending)+f.inFlight >= maxWaiting {
		return
	}
	f.pending = appendLine(f.pending, &Record{Time: now, Kind: Lost, Count: f.unsaid}, f.host)
	f.unsaid = 0
	f.notify()
}

func (f *File) notify() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// Reopen has the file opened anew before the next line, as after a rotation. A file that is no longer the
// one of its name is left without being asked to.
func (f *File) Reopen() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reopen = true
	f.notify()
}

// Stats tells how the file stands.
func (f *File) Stats() Stats {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.stats
	s.Waiting = len(f.pending) + f.inFlight
	return s
}

// Run writes what is added until ctx ends, then what is left, and closes the file. An error says that
// something is left unwritten. Run is called once.
func (f *File) Run(ctx context.Context) error {
	defer func() { _ = f.file.Close() }() // what was written has been taken by the kernel
	retry := time.NewTimer(time.Hour)
	defer retry.Stop()
	retry.Stop()
	for {
		select {
		case <-ctx.Done():
			f.work()
			if s := f.Stats(); s.Waiting > 0 {
				return fmt.Errorf("the last events are not in %s: %w", f.path, s.Err)
			}
			return nil
		case <-f.wake:
			if f.delay > 0 {
				continue // the timer will come
			}
		case <-retry.C:
		}
		f.work()
		if f.delay > 0 {
			retry.Reset(f.delay)
		}
	}
}

// work writes all that waits, if the file takes it.
func (f *File) work() {
	for {
		if len(f.batch) == 0 {
			f.take()
		}
		err := f.ready()
		if err == nil && len(f.batch) > 0 {
			err = f.write()
		}
		more := f.outcome(err)
		if f.delay > 0 || !more {
			return
		}
	}
}

// take gets what was added.
func (f *File) take() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.batch, f.pending = f.pending, f.spare
	f.inFlight, f.spare = len(f.batch), nil
}

// outcome takes note of how a write went, and says whether something waits.
func (f *File) outcome(err error) (more bool) {
	if len(f.batch) == 0 {
		if cap(f.batch) <= keptBuffer {
			f.spare = f.batch[:0]
		}
		f.batch = nil
	}
	f.mu.Lock()
	was := f.stats.Err
	f.inFlight, f.stats.Err = len(f.batch), err
	if err == nil {
		f.tellLost(time.Now())
	}
	more = len(f.pending)+len(f.batch) > 0
	f.mu.Unlock()
	switch {
	case err == nil && was != nil:
		f.log.Info("the event file is written again", "file", f.path)
	case err != nil && (was == nil || was.Error() != err.Error()):
		f.log.Error("the event file cannot be written; it is tried again", "file", f.path, "err", err)
	}
	if err == nil {
		f.delay = 0
	} else {
		f.delay = min(max(2*f.delay, retryFirst), retryLast)
	}
	return more
}

// ready makes sure that the file is the one of its name. After an error what is to be written waits: in
// a file that was moved away, or deleted, nobody would look for it.
func (f *File) ready() error {
	f.mu.Lock()
	reopen := f.reopen
	f.reopen = false
	f.mu.Unlock()
	if !reopen && !f.moved() {
		return nil
	}
	old := f.file
	if err := f.open(); err != nil {
		return err
	}
	_ = old.Close() // what was written has been taken by the kernel
	return nil
}

// moved reports whether the name belongs to another file by now, or to none.
func (f *File) moved() bool {
	mine, err := f.file.Stat()
	if err != nil {
		return true
	}
	named, err := os.Stat(f.path)
	return err != nil || !os.SameFile(mine, named)
}

// open opens the file of the name. After an error all is as before.
func (f *File) open() error {
	st, err := os.Stat(f.path)
	switch {
	case err == nil && !st.Mode().IsRegular():
		return fmt.Errorf("%s is no regular file", f.path) // a pipe nobody reads would hold up all
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	file, err := f.create()
	if errors.Is(err, fs.ErrExist) {
		file, err = os.OpenFile(f.path, os.O_APPEND|os.O_RDWR, 0)
	}
	if err != nil {
		return err
	}
	if st, err = file.Stat(); err != nil {
		return errors.Join(err, file.Close())
	}
	last := []byte{'\n'}
	if st.Size() > 0 {
		if _, err := file.ReadAt(last, st.Size()-1); err != nil {
			return errors.Join(err, file.Close())
		}
	}
	f.file, f.torn = file, last[0] != '\n'
	return nil
}

// create makes the file, if there is none, for its group to read whatever the process's mask is: a shipper of logs
// has no business to be root.
func (f *File) create() (*os.File, error) {
	file, err := os.OpenFile(f.path, os.O_APPEND|os.O_CREATE|os.O_EXCL|os.O_RDWR, fileMode)
	if err != nil {
		return nil, err
	}
	if err := file.Chmod(fileMode); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// write writes the batch, and leaves in it the lines that are not wholly written.
func (f *File) write() error {
	if f.torn {
		if _, err := f.file.WriteString("\n"); err != nil {
			return err
		}
		f.torn = false
	}
	n, err := f.file.Write(f.batch)
	whole := bytes.LastIndexByte(f.batch[:n], '\n') + 1
	if half := n - whole; half > 0 {
		f.torn = !f.mend(half)
	}
	f.mu.Lock()
	f.stats.Written += uint64(bytes.Count(f.batch[:whole], []byte{'\n'}))
	f.mu.Unlock()
	f.batch = f.batch[:copy(f.batch, f.batch[whole:])]
	return err
}

// mend takes the half of a line off the end of the file, and reports whether it could.
func (f *File) mend(half int) bool {
	st, err := f.file.Stat()
	return err == nil && st.Size() >= int64(half) && f.file.Truncate(st.Size()-int64(half)) == nil
}
