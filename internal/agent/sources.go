package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/source"
)

// A reader that fails is started again after a while, twice as long each time.
const (
	readerRetryFirst = time.Second
	readerRetryLast  = time.Minute
)

// sources runs one reader per file, however many jails watch the file, one watcher per pattern, and one
// reader of the journal for each jail that wants it: what a jail wants of the journal is its own.
//
// A reload that leaves a file's jails, filters and reading as they were leaves its reader running;
// any other change ends the reader and starts a new one where each jail had stopped.
type sources struct {
	engine   *engine
	resolver *Resolver
	lists    Lists // nil: there are none
	log      *slog.Logger
	daily    *daily
	wg       sync.WaitGroup

	mu       sync.Mutex // guards the fields below
	jails    []Jail
	ignorers map[string]*ignorer
	counts   map[string]*jailCounts
	readers  map[string]*reader // by path, or by journalKey
	globs    map[string]context.CancelFunc
}

// reader is a running reader of one file, or of the journal.
type reader struct {
	id     string // equal for readers that do the same
	read   func(context.Context) error
	status func() control.File
	intake *intake
	cancel context.CancelFunc
	done   chan struct{}
	failed atomicError

	failures atomic.Uint64 // how often it had to begin again
}

func newSources(e *engine, r *Resolver, log *slog.Logger) *sources {
	return &sources{
		engine: e, resolver: r, log: log, daily: newDaily(),
		ignorers: map[string]*ignorer{}, counts: map[string]*jailCounts{},
		readers: map[string]*reader{}, globs: map[string]context.CancelFunc{},
	}
}

// apply makes the readers and watchers those of the jails given. Everything it starts ends with ctx.
func (s *sources) apply(ctx context.Context, jails []Jail) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.jails = jails
	s.prepare()

	paths, patterns := map[string]bool{}, map[string]bool{}
	for _, j := range jails {
		if j.Journal != nil {
			paths[journalKey(j.Name())] = true
		}
		if j.OwnLog {
			paths[OwnLogPath+" "+j.Name()] = true
		}
		for _, f := range j.Files {
			if !source.HasMeta(f.Pattern) {
				paths[f.Pattern] = true
				continue
			}
			patterns[f.Pattern] = true
			found, err := source.Match(f.Pattern)
			if err != nil { // what was found counts all the same
				s.log.Warn("cannot look everywhere for log files", "jail", j.Name(), "source", f.Pattern, "err", err)
			}
			for _, path := range found {
				paths[path] = true
			}
		}
	}
	for pattern, cancel := range s.globs {
		if !patterns[pattern] {
			cancel()
			delete(s.globs, pattern)
		}
	}
	for path := range s.readers {
		if !paths[path] {
			s.end(path)
		}
	}
	for _, j := range jails {
		if j.Journal != nil {
			if err := s.readJournal(ctx, j); err != nil {
				return err
			}
			delete(paths, journalKey(j.Name()))
		}
		if j.OwnLog {
			s.readOwn(ctx, j)
			delete(paths, OwnLogPath+" "+j.Name())
		}
	}
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		if err := s.read(ctx, path); err != nil {
			return err
		}
	}
	for pattern := range patterns {
		if s.globs[pattern] == nil {
			s.watch(ctx, pattern)
		}
	}
	return nil
}

// prepare renews what belongs to a jail as a whole. Counts outlive a reload. Called with mu held.
func (s *sources) prepare() {
	ignorers, counts := map[string]*ignorer{}, map[string]*jailCounts{}
	for _, j := range s.jails {
		ignorers[j.Name()] = newIgnorer(j.Name(), j.Ignore, s.resolver, s.log)
		ignorers[j.Name()].lists = s.lists
		counts[j.Name()] = s.counts[j.Name()]
		if counts[j.Name()] == nil {
			counts[j.Name()] = &jailCounts{}
		}
	}
	s.ignorers, s.counts = ignorers, counts
}

// read makes sure that the file at path is read for all jails that want it. Called with mu held.
func (s *sources) read(ctx context.Context, path string) error {
	var jails []Jail
	tail := true
	var id strings.Builder
	for _, j := range s.jails {
		wants, fromEnd := j.watches(path)
		if !wants {
			continue
		}
		jails = append(jails, j)
		tail = tail && fromEnd
		fmt.Fprintf(&id, "%q %q %v %v %v %#v\n", j.Name(), j.FilterID, fromEnd, j.Poll, j.Encoding, j.Ignore)
	}
	if len(jails) == 0 || s.readers[path] != nil && s.readers[path].id == id.String() {
		return nil
	}
	s.end(path)

	in := &intake{
		path: path, engine: s.engine, resolver: s.resolver, daily: s.daily,
		log: s.log.With("source", path),
	}
	var filters []*filter.Filter
	var starts []source.Position
	var since time.Time
	poll := false
	err := s.engine.do(ctx, func() {
		var furthest source.Position // of those who read it already
		for _, j := range jails {
			if p := s.engine.positions[placeKey{j.Name(), path}].Position; p.Inode != 0 && p.Offset >= furthest.Offset {
				furthest = p
			}
		}
		for _, j := range jails {
			p := s.engine.positions[placeKey{j.Name(), path}].Position
			if _, fromEnd := j.watches(path); fromEnd && p.Inode == 0 {
				p = furthest // a jail that is new here, and wants only what comes now
			}
			in.jails = append(in.jails, &watch{
				jail: j, session: j.Filter.NewSession(), resume: p,
				ignorer: s.ignorers[j.Name()], counts: s.counts[j.Name()],
			})
			starts = append(starts, p)
			tail = tail && p.Inode == 0 // known files go on where they were
		}
	})
	if err != nil {
		return err
	}
	for _, j := range jails {
		filters = append(filters, j.Filter)
		if from := time.Now().Add(-j.Policy.FindTime); since.IsZero() || from.Before(since) {
			since = from
		}
		poll = poll || j.Poll
		if j.Encoding != nil {
			in.decoder = j.Encoding.NewDecoder()
		}
	}
	in.group = filter.NewGroup(filters)
	dates := jails[0].Filter.NewSession()
	file := source.NewFile(source.FileOptions{
		Path: path, Starts: starts, Tail: tail, Since: since, Poll: poll, Log: s.log,
		TimeOf: func(line []byte) (time.Time, bool) { return dates.TimeOf(string(line), time.Now()) },
	})
	s.start(ctx, path, &reader{
		id: id.String(), intake: in,
		read:   func(ctx context.Context) error { return file.Run(ctx, in.deliver) },
		status: func() control.File { return fileStatus(path, file.Status()) },
	})
	return nil
}

// journalKey is where the reader of a jail's journal is found among the readers. No path looks like it.
func journalKey(jailName string) string { return source.JournalPath + " " + jailName }

// readJournal makes sure that the journal is read for a jail. Called with mu held.
func (s *sources) readJournal(ctx context.Context, j Jail) error {
	key := journalKey(j.Name())
	id := fmt.Sprintf("%q %#v %#v", j.FilterID, *j.Journal, j.Ignore)
	if s.readers[key] != nil && s.readers[key].id == id {
		return nil
	}
	s.end(key)
	o := *j.Journal
	o.Log = s.log.With("jail", j.Name())
	in := &intake{
		path: source.JournalPath, engine: s.engine, resolver: s.resolver, daily: s.daily, log: o.Log,
		group: filter.NewGroup([]*filter.Filter{j.Filter}),
		jails: []*watch{{jail: j, session: j.Filter.NewSession(), ignorer: s.ignorers[j.Name()], counts: s.counts[j.Name()]}},
	}
	err := s.engine.do(ctx, func() { o.Start = s.engine.positions[placeKey{j.Name(), source.JournalPath}].Position })
	if err != nil {
		return err
	}
	o.Since = time.Now().Add(-j.Policy.FindTime)
	in.position = source.Position{Path: source.JournalPath, Cursor: o.Start.Cursor}
	journal := source.NewJournal(o)
	s.start(ctx, key, &reader{
		id: id, intake: in,
		read: func(ctx context.Context) error { return journal.Run(ctx, in.deliverJournal) },
		status: func() control.File {
			st := journal.Status()
			f := control.File{Path: source.JournalPath, State: st.State.String(), Lines: st.Lines}
			if st.Err != nil {
				f.Error = st.Err.Error()
			}
			return f
		},
	})
	return nil
}

// start runs a reader until ctx ends or somebody ends the reader. Called with mu held.
func (s *sources) start(ctx context.Context, key string, r *reader) {
	ctx, r.cancel = context.WithCancel(ctx)
	r.done = make(chan struct{})
	s.readers[key] = r
	s.wg.Go(func() { defer close(r.done); r.run(ctx, s.log) })
}

// watches reports whether the jail wants the file, and if only what is written from now on.
func (j Jail) watches(path string) (wants, fromEnd bool) {
	for _, f := range j.Files {
		if f.Pattern == path || source.HasMeta(f.Pattern) && source.Matches(f.Pattern, path) {
			return true, f.Tail
		}
	}
	return false, false
}

// run reads until ctx ends, starting again with back-off after an error, then hands the engine what
// it has read last.
func (r *reader) run(ctx context.Context, log *slog.Logger) {
	wait := readerRetryFirst
	for {
		err := r.read(ctx)
		if ctx.Err() != nil {
			break
		}
		r.failed.set(err)
		r.failures.Add(1)
		log.Error("reading stopped; it is tried again", "source", r.intake.path, "err", err, "wait", wait)
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
		wait = min(2*wait, readerRetryLast)
	}
	// The engine outlives the readers, so this cannot hang; and without it some lines are read twice.
	if err := r.intake.flush(context.WithoutCancel(ctx)); err != nil && !errors.Is(err, errEngineEnded) {
		log.Error("could not hand over the last position", "source", r.intake.path, "err", err)
	}
}

// end stops the reader of path and waits for it. Called with mu held.
func (s *sources) end(path string) {
	if r := s.readers[path]; r != nil {
		r.cancel()
		<-r.done
		delete(s.readers, path)
	}
}

// watch starts a watcher for files that appear later. Called with mu held.
func (s *sources) watch(ctx context.Context, pattern string) {
	ctx, cancel := context.WithCancel(ctx)
	s.globs[pattern] = cancel
	s.wg.Go(func() {
		g := source.NewGlob(pattern, s.log)
		wait := readerRetryFirst
		for {
			err := g.Run(ctx, func(ctx context.Context, path string) error {
				s.mu.Lock()
				defer s.mu.Unlock()
				if ctx.Err() != nil {
					return ctx.Err()
				}
				return s.read(ctx, filepath.Clean(path))
			})
			if ctx.Err() != nil {
				return
			}
			s.log.Error("looking for new files stopped; it is tried again", "source", pattern, "err", err, "wait", wait)
			select {
			case <-time.After(wait):
			case <-ctx.Done():
			}
			wait = min(2*wait, readerRetryLast)
		}
	})
}

// wait returns when every reader and watcher has ended; their context must have.
func (s *sources) wait() { s.wg.Wait() }
