package source

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

// maxPending bounds the files that are held open because they took the path while an earlier one is
// still being read. Beyond it they are found again by name.
const maxPending = 16

// readError is trouble with a file, as opposed to an end of Run.
type readError struct{ error }

// Unwrap returns what the system said.
func (e *readError) Unwrap() error { return e.error }

// follower is the state of one Run. It belongs to its goroutine; see the package comment for how
// rotated, current and pending hang together.
type follower struct {
	file    *File
	opts    FileOptions
	log     *slog.Logger
	deliver DeliverFunc
	block   block

	rotated *handle
	current *handle
	pending []*handle
	gone    bool // the path has been seen without a file in this Run

	inOperation bool
	resume      []Position // nil: from the beginning, as Tail and Since say
	again       bool       // an earlier Run delivered lines
	searched    bool       // resume was looked up although there was no file at the path
	caughtUp    bool       // a batch with EOF was delivered in this Run
}

func newFollower(f *File, deliver DeliverFunc) *follower {
	status := f.Status()
	r := &follower{
		file: f, opts: f.opts, log: f.opts.Log.With("source", f.opts.Path), deliver: deliver,
		block:       block{size: f.opts.Block, line: f.opts.MaxLine},
		inOperation: status.InOperation,
		resume:      f.opts.Starts,
	}
	if status.Pos != (Position{}) {
		r.resume, r.again = []Position{status.Pos}, true
	} else if f.opts.Tail {
		r.resume = nil
	}
	return r
}

func (r *follower) close() {
	for _, h := range r.handles() {
		h.close()
	}
}

// handles returns all open files, oldest first.
func (r *follower) handles() []*handle {
	var all []*handle
	if r.rotated != nil {
		all = append(all, r.rotated)
	}
	if r.current != nil {
		all = append(all, r.current)
	}
	return append(all, r.pending...)
}

// holding reports whether the file is open already.
func (r *follower) holding(id fileID) bool {
	return slices.ContainsFunc(r.handles(), func(h *handle) bool { return h.id == id })
}

// newest returns the file that was found at the path last.
func (r *follower) newest() *handle {
	if len(r.pending) > 0 {
		return r.pending[len(r.pending)-1]
	}
	return r.current
}

// names returns the names whose changes matter: the path, and what it links to.
func (r *follower) names() []string {
	names := []string{r.opts.Path}
	if info, err := os.Lstat(r.opts.Path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(r.opts.Path); err == nil {
			names = append(names, target)
		}
	}
	return names
}

// look reads all there is to read, and reports whether there was anything new.
func (r *follower) look(ctx context.Context) (changed bool, err error) {
	defer r.block.shrink()
	if r.current != nil && !r.current.intact() {
		r.replaced()
	}
	for {
		if err := ctx.Err(); err != nil {
			return changed, err
		}
		trouble := r.checkPath()
		more := false
		if r.current != nil {
			var err error
			more, err = r.step(ctx)
			if broken, ok := errors.AsType[*readError](err); ok {
				trouble = broken
			} else if err != nil {
				return changed, err
			}
		}
		r.report(trouble)
		if !more {
			return changed, nil
		}
		changed = true
	}
}

// checkPath looks which file is at the path, and opens it if it is another one than before.
func (r *follower) checkPath() error {
	info, err := os.Stat(r.opts.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		r.gone = true
		if r.current == nil && !r.searched {
			r.searched = true
			r.begin(nil)
		}
		return err
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("follow %s: %w", r.opts.Path, errNotRegular)
	}
	if newest := r.newest(); newest != nil && newest.id == idOf(info) || len(r.pending) >= maxPending {
		return nil
	}
	h, err := openHandle(r.opts.Path)
	if err != nil {
		return err
	}
	switch {
	case r.current == nil:
		r.begin(h)
	case r.rotated != nil && r.rotated.id == h.id: // the old file is back
		h.close()
		r.pending = append(r.pending, r.rotated)
		r.rotated = nil
	case r.holding(h.id):
		h.close()
	default:
		missed := r.missed(h)
		r.pending = append(append(r.pending, missed...), h)
		r.file.update(func(s *FileStatus) { s.Rotations += int64(len(missed)) + 1 })
		r.log.Debug("another file has taken the path", "missed", len(missed))
	}
	return nil
}

// report notes whether the path can be read, and tells the log when that has changed.
func (r *follower) report(trouble error) {
	state := Failed
	switch {
	case trouble == nil:
		state = Following
	case errors.Is(trouble, fs.ErrNotExist), errors.Is(trouble, syscall.ENOTDIR):
		state, trouble = Missing, nil
	case errors.Is(trouble, fs.ErrPermission):
		state = Denied
	}
	before := r.file.Status()
	if before.State == state && (trouble == nil || before.Err != nil && before.Err.Error() == trouble.Error()) {
		return
	}
	r.file.update(func(s *FileStatus) { s.State, s.Err = state, trouble })
	switch {
	case state == Missing:
		r.log.Info("there is no such file at present")
	case trouble != nil:
		r.log.Warn("cannot read a log file", "err", trouble)
	case before.State != Idle:
		r.log.Info("a log file can be read now", "before", before.State.String())
	}
}

// missed opens the files that took the path after the newest one held and lost it again to h before
// anybody looked.
func (r *follower) missed(h *handle) []*handle {
	newest := r.newest()
	return r.beside(nil, func(found []sibling) ([]*handle, bool) {
		i := slices.IndexFunc(found, func(s sibling) bool { return s.id == newest.id })
		if i < 0 {
			return nil, true
		}
		if j := slices.IndexFunc(found, func(s sibling) bool { return s.id == h.id }); j > i {
			found = found[:j] // h was renamed in the meantime
		}
		return r.openNewer(found, i), true
	})
}

// beside calls open with the siblings of the path, until it says that it has done its work and they
// have not changed during the call: a rotation renames many files, one after the other. What open
// returned is closed before it is called again, except keep.
func (r *follower) beside(keep *handle, open func([]sibling) ([]*handle, bool)) []*handle {
	const tries = 5
	found := siblings(r.opts.Path)
	for try := 1; ; try++ {
		opened, ok := open(found)
		again := siblings(r.opts.Path)
		if try == tries || ok && slices.EqualFunc(found, again, sibling.same) {
			return opened
		}
		for _, h := range opened {
			if h != keep {
				h.close()
			}
		}
		found = again
	}
}

// openNewer opens the rotated files that followed found[i] and are not open yet.
func (r *follower) openNewer(found []sibling, i int) []*handle {
	var opened []*handle
	for _, s := range newer(found, i, r.opts.Grace) {
		if len(opened) == maxPending || r.holding(s.id) {
			continue
		}
		if h, ok := openSibling(s); ok {
			opened = append(opened, h)
		}
	}
	return opened
}

// replaced starts the current file again, which was truncated. What had not been read of it is read
// from the copy that was made before, if there is one.
func (r *follower) replaced() {
	h := r.current
	earlier := r.beside(nil, func(found []sibling) ([]*handle, bool) {
		c, i := copyOf(h, found)
		if c == nil {
			return nil, true
		}
		return append([]*handle{c}, r.openNewer(found, i)...), true
	})
	r.file.update(func(s *FileStatus) { s.Truncations++ })
	r.log.Debug("the file was truncated", "copies", len(earlier))
	h.restart()
	if len(earlier) > 0 {
		r.current = earlier[0]
		r.pending = slices.Concat(earlier[1:], []*handle{h}, r.pending)
	}
}

// step reads one block of the current file, after all of the rotated one. It reports whether there
// may be more to read.
func (r *follower) step(ctx context.Context) (more bool, err error) {
	limit := r.current.size()
	late, err := r.drain(ctx)
	if err != nil {
		return false, err
	}
	p, err := r.current.next(&r.block, limit)
	if errors.Is(err, errReplaced) {
		r.replaced()
		return true, nil
	}
	if err != nil {
		return false, &readError{err}
	}
	live := len(r.pending) == 0
	eof := live && !p.more
	moved := p.offset > r.current.offset || p.read > r.current.read
	if len(p.lines) > 0 || eof && !r.caughtUp {
		if err := r.hand(ctx, r.current, r.rotated, p, eof); err != nil {
			return false, err
		}
	}
	r.current.accept(p)
	switch {
	case p.more:
		return true, nil
	case !live:
		r.turn()
		return true, nil
	}
	if limit > 0 && !r.inOperation {
		r.inOperation = true
		r.file.update(func(s *FileStatus) { s.InOperation = true })
	}
	r.file.update(func(s *FileStatus) { s.Size = limit })
	if r.rotated != nil && time.Since(r.rotated.quiet) >= r.opts.Grace {
		r.retire()
	}
	return moved || late, nil
}

// turn makes the next file current, whose predecessor has been read to its end.
func (r *follower) turn() {
	if r.rotated != nil {
		r.retire()
	}
	r.rotated, r.current, r.pending = r.current, r.pending[0], r.pending[1:]
	r.rotated.quiet = time.Now()
}

// retire closes the rotated file.
func (r *follower) retire() {
	if r.rotated.size() > r.rotated.offset {
		r.file.update(func(s *FileStatus) { s.Unfinished++ })
	}
	r.rotated.close()
	r.rotated = nil
}

// drain reads what was written to the rotated file since the last look.
func (r *follower) drain(ctx context.Context) (late bool, err error) {
	h := r.rotated
	if h == nil {
		return false, nil
	}
	for limit := h.size(); ; {
		p, err := h.next(&r.block, limit)
		if err != nil {
			// Nobody truncates or breaks a file that logs are not written to, but if so it is over.
			r.log.Debug("the rotated file cannot be read on", "err", err)
			return late, nil
		}
		if len(p.lines) > 0 {
			if err := r.hand(ctx, h, r.current, p, false); err != nil {
				return late, err
			}
			h.quiet, late = time.Now(), true
		}
		h.accept(p)
		if !p.more {
			return late, nil
		}
		if err := ctx.Err(); err != nil {
			return late, err
		}
	}
}

// hand delivers the lines of p, which are from h; other is the second file being read.
func (r *follower) hand(ctx context.Context, h, other *handle, p piece, eof bool) error {
	pos := Position{
		Path: r.opts.Path, Device: h.id.dev, Inode: h.id.ino, Offset: p.offset, First: h.first,
	}
	if other != nil && (other.offset > 0 || other == r.rotated) {
		pos.Other = other.place()
	}
	if err := r.deliver(ctx, Batch{Pos: pos, Lines: p.lines, InOperation: r.inOperation, EOF: eof}); err != nil {
		return fmt.Errorf("deliver lines of %s: %w", r.opts.Path, err)
	}
	r.caughtUp = r.caughtUp || eof
	r.file.update(func(s *FileStatus) {
		s.Pos = pos
		s.Lines += int64(len(p.lines))
		s.Bytes += p.offset - h.offset
		for _, line := range p.lines {
			if line.Truncated {
				s.Truncated++
			}
		}
	})
	return nil
}
