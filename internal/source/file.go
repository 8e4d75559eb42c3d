package source

import (
	"context"
	"errors"
	"sync"
)

// ErrRunning is returned by Run while another Run of the same File has not ended.
var ErrRunning = errors.New("the file is being read already")

// File follows one path. Its methods may be called by any goroutine.
type File struct {
	opts FileOptions

	running sync.Mutex // held by Run

	mu     sync.Mutex // guards the fields below
	status FileStatus
}

// NewFile returns a File that follows o.Path. It opens nothing.
func NewFile(o FileOptions) *File {
	o = o.withDefaults()
	return &File{opts: o, status: FileStatus{InOperation: o.Tail}}
}

// Run delivers the lines of the file until ctx ends or deliver fails, and returns that error. Its own
// troubles end it never: a file that is missing or cannot be read is looked for again, see Status.
//
// deliver is called by one goroutine at a time. A batch is delivered when it returns nil; when it
// fails, its lines are not counted as read. A second Run goes on behind what the first delivered, and
// does not look at Starts, Tail or Since again. When Run returns, all that it started has ended and
// every file is closed.
func (f *File) Run(ctx context.Context, deliver DeliverFunc) error {
	if !f.running.TryLock() {
		return ErrRunning
	}
	defer f.running.Unlock()
	defer f.update(func(s *FileStatus) { s.State, s.Err = Idle, nil })

	r := newFollower(f, deliver)
	defer r.close()
	w := newWaker(f.opts.Poll, f.opts.Log)
	defer w.stop()
	for {
		w.names(r.names()...)
		changed, err := r.look(ctx)
		if err != nil {
			return err
		}
		w.looked(changed)
		f.update(func(s *FileStatus) { s.Polling = w.polling() })
		if err := w.wait(ctx, r.rotated != nil); err != nil {
			return err
		}
	}
}

// Status returns what the File does and has done.
func (f *File) Status() FileStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.status
}

func (f *File) update(change func(*FileStatus)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.status)
}
