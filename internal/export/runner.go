package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

const (
	// lookEvery is how often an export looks whether something has changed.
	lookEvery = time.Second
	// retryEvery is the wait after a failure.
	retryEvery = 10 * time.Second
	hookOutput = 2 << 10
)

// Runner keeps exports in line with what is blocked. Make one with NewRunner; it works while Run does. Its methods
// are safe for concurrent use.
type Runner struct {
	source Source
	log    *slog.Logger

	mu      sync.Mutex // guards the fields below
	order   []string
	workers map[string]*worker
	//nolint:containedctx // that of Run, for those that Set starts later; nil: Run has not begun
	running context.Context
	group   sync.WaitGroup
}

// worker keeps one export.
type worker struct {
	*Runner
	export Export
	cancel context.CancelFunc
	ended  chan struct{}
	asked  chan chan error

	// owned by run
	guard guard

	mu     sync.Mutex // guards the field below
	status Status
}

// Status is how an export stands.
type Status struct {
	Export  Export
	Entries int
	Cut     int
	Bytes   int
	Written time.Time // when the file was last written, or found to be right; zero: never
	Err     error     // why the last try failed
	Since   time.Time
	Held    bool // the set is empty, and the file keeps what it had
	Writes  uint64
	// Set is what is given.
	Set   cidr.Ranges
	Known bool   // Set is known
	Seq   uint64 // grows when Set changes
}

// NewRunner makes a Runner without exports; see Set.
func NewRunner(s Source, log *slog.Logger) *Runner {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Runner{source: s, log: log, workers: map[string]*worker{}}
}

// Set says which exports there are from now on. Those that are as they were go on undisturbed. The file of one that
// is gone stays.
func (r *Runner) Set(exports []Export) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.order = nil
	names := map[string]bool{}
	for _, e := range exports {
		names[e.Name] = true
		r.order = append(r.order, e.Name)
		old := r.workers[e.Name]
		if old != nil && old.export.same(e) {
			continue
		}
		w := &worker{Runner: r, export: e, ended: make(chan struct{}), asked: make(chan chan error), status: Status{Export: e}}
		r.workers[e.Name] = w
		r.start(w, old)
	}
	for name, w := range r.workers {
		if names[name] {
			continue
		}
		if w.cancel != nil {
			w.cancel()
		}
		delete(r.workers, name)
	}
}

func (e Export) same(o Export) bool {
	return e.Name == o.Name && e.Bans == o.Bans && e.Feeds == o.Feeds && slices.Equal(e.Jails, o.Jails) && slices.Equal(e.FeedNames, o.FeedNames) && e.Format == o.Format &&
		e.Options == o.Options && e.Path == o.Path && e.Mode == o.Mode && e.Test == o.Test && e.Reload == o.Reload && e.MayEmpty == o.MayEmpty && e.Every == o.Every && e.Serve == o.Serve && e.TargetKey == o.TargetKey
}

// start has a worker run once the one whose place it takes has ended. mu is held.
func (r *Runner) start(w, before *worker) {
	if r.running == nil || r.running.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(r.running)
	w.cancel = cancel
	if before != nil && before.cancel != nil {
		before.cancel()
	}
	r.group.Go(func() {
		defer close(w.ended)
		defer cancel()
		if before != nil && before.cancel != nil {
			<-before.ended
		}
		w.run(ctx)
	})
}

// Run keeps the exports until ctx ends, and returns nil. It is called once.
func (r *Runner) Run(ctx context.Context) error {
	r.mu.Lock()
	r.running = ctx
	for _, name := range r.order {
		r.start(r.workers[name], nil)
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock()
	r.running = nil // nothing is started any more
	r.mu.Unlock()
	r.group.Wait()
	return nil
}

// Status tells how the exports stand, in the order of their configuration.
func (r *Runner) Status() []Status {
	r.mu.Lock()
	workers := make([]*worker, 0, len(r.order))
	for _, name := range r.order {
		workers = append(workers, r.workers[name])
	}
	r.mu.Unlock()
	all := make([]Status, 0, len(workers))
	for _, w := range workers {
		w.mu.Lock()
		all = append(all, w.status)
		w.mu.Unlock()
	}
	return all
}

// Refresh writes an export now, whether something has changed or not, and waits for it.
func (r *Runner) Refresh(ctx context.Context, name string) error {
	r.mu.Lock()
	w := r.workers[name]
	running := r.running != nil
	r.mu.Unlock()
	if w == nil || !running {
		return fmt.Errorf("there is no export %q", name)
	}
	answer := make(chan error, 1)
	select {
	case w.asked <- answer:
	case <-w.ended:
		return fmt.Errorf("the export %q has just been removed", name)
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (w *worker) run(ctx context.Context) {
	look := time.NewTimer(0)
	defer look.Stop()
	if old, err := os.ReadFile(w.export.Path); w.export.Path != "" && err == nil {
		w.guard.earlier = hasEntries(old)
	}
	var version uint64
	var last, due time.Time
	begun := false
	for {
		var waiting chan error
		select {
		case <-ctx.Done():
			return
		case waiting = <-w.asked:
		case <-look.C:
		}
		now := time.Now()
		v := w.source.Version()
		stale := !begun || v != version || !due.IsZero() && !now.Before(due)
		if waiting == nil && (!stale || now.Sub(last) < w.export.Every) {
			look.Reset(min(lookEvery, w.export.Every))
			continue
		}
		hold, err := w.bring(ctx, waiting != nil)
		if ctx.Err() != nil {
			return
		}
		version, last, begun, due = v, now, true, time.Time{}
		switch {
		case err != nil:
			due = now.Add(max(retryEvery, w.export.Every))
		case hold > 0:
			due = now.Add(hold)
		}
		if waiting != nil {
			waiting <- err
		}
		look.Reset(min(lookEvery, w.export.Every))
	}
}

// bring brings the export in line; hold is how long an empty list is held back.
func (w *worker) bring(ctx context.Context, force bool) (hold time.Duration, err error) {
	set, err := w.source.Blocked(ctx, w.export.Selection)
	if err == nil {
		var stays bool
		if set, hold, stays = w.guard.take(set, w.export.MayEmpty, time.Now()); !stays {
			err = w.file(ctx, set, force)
		}
	}
	w.mu.Lock()
	was := w.status.Err
	w.status.Err, w.status.Held = err, hold > 0
	switch {
	case err == nil:
		w.status.Since = time.Time{}
	case was == nil:
		w.status.Since = time.Now()
	}
	w.mu.Unlock()
	switch {
	case err != nil && ctx.Err() == nil && (was == nil || was.Error() != err.Error()):
		w.log.Error("an export cannot be brought up to date; it stays as it is", "export", w.export.Name, "err", err)
	case err == nil && was != nil:
		w.log.Info("an export is up to date again", "export", w.export.Name)
	}
	return hold, err
}

// file writes the list and its file.
func (w *worker) file(ctx context.Context, set cidr.Ranges, force bool) error {
	var b bytes.Buffer
	o := w.export.Options
	o.Title = "written by agentd for [export " + w.export.Name + "]; changes are lost"
	done, err := Write(&b, set, w.export.Format, o)
	if err != nil {
		return err
	}
	w.mu.Lock()
	if !w.status.Known || !w.status.Set.Equal(set) {
		w.status.Set, w.status.Known = set, true
		w.status.Seq++
	}
	w.status.Entries, w.status.Cut, w.status.Bytes = done.Entries, done.Cut, b.Len()
	w.mu.Unlock()
	if w.export.Target != nil {
		if err := w.export.Target.Put(ctx, set); err != nil {
			return err
		}
		w.written(true)
	}
	if w.export.Path == "" {
		return nil
	}
	old, err := os.ReadFile(w.export.Path)
	switch {
	case err == nil && bytes.Equal(old, b.Bytes()) && !force:
		w.written(false)
		return nil
	case err != nil && !errors.Is(err, os.ErrNotExist):
		return err
	}
	had := err == nil
	if err := replace(w.export.Path, b.Bytes(), os.FileMode(w.export.Mode)); err != nil {
		return err
	}
	if err := w.hook(ctx, "test", w.export.Test); err != nil {
		if !had {
			return errors.Join(err, os.Remove(w.export.Path))
		}
		return errors.Join(err, replace(w.export.Path, old, os.FileMode(w.export.Mode)))
	}
	w.written(true)
	return w.hook(ctx, "reload", w.export.Reload)
}

// hasEntries reports whether a file has a line that is no comment.
func hasEntries(b []byte) bool {
	for line := range bytes.Lines(b) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

func (w *worker) written(changed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.status.Written = time.Now()
	if changed {
		w.status.Writes++
	}
}

// replace puts a file in the place of another in one step, with its owner and mode.
func replace(path string, b []byte, mode os.FileMode) (err error) {
	if mode == 0 {
		mode = 0o644
	}
	owner, group := -1, -1
	if st, err := os.Stat(path); err == nil {
		mode = st.Mode().Perm()
		if s, ok := st.Sys().(*syscall.Stat_t); ok {
			owner, group = int(s.Uid), int(s.Gid)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(b)
	err = errors.Join(err, f.Chmod(mode))
	if owner >= 0 && err == nil && (owner != os.Geteuid() || group != os.Getegid()) {
		_ = f.Chown(owner, group) // where that is not allowed, it is ours
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// hook runs a command, if there is one.
func (w *worker) hook(ctx context.Context, what, command string) error {
	if command == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, HookTime)
	defer cancel()
	var out tail
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it took longer than %s", HookTime)
	}
	if err != nil {
		return fmt.Errorf("%s = %s: %w: %q", what, command, err, out.String())
	}
	return nil
}

// tail keeps the end of what is written.
type tail struct{ b []byte }

// Write implements io.Writer.
func (t *tail) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if extra := len(t.b) - hookOutput; extra > 0 {
		t.b = append(t.b[:0], t.b[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string { return string(bytes.TrimSpace(t.b)) }
