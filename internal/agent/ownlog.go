package agent

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/jail"
)

const (
	// OwnLogPath stands for the daemon's own log where a source is named. No path looks like it.
	OwnLogPath = "(the daemon's own log)"
	// ownWaiting is how many bans may wait for a jail that reads the daemon's log. Its filter takes microseconds.
	ownWaiting = 4096
)

// ownLog tells jails that read the daemon's own log, as recidive does, of bans, where there is no file that they
// could read it from. It is safe for concurrent use.
type ownLog struct {
	mu      sync.Mutex // guards the field below
	readers map[string]*ownReader
}

// ownReader is one jail that is told.
type ownReader struct {
	queue   chan jail.Decision
	dropped int // guarded by ownLog.mu
}

func newOwnLog() *ownLog { return &ownLog{readers: map[string]*ownReader{}} }

// subscribe has a jail told of the bans of others, until it is ended.
func (o *ownLog) subscribe(name string) *ownReader {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := &ownReader{queue: make(chan jail.Decision, ownWaiting)}
	o.readers[name] = r
	return r
}

func (o *ownLog) end(name string, r *ownReader) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.readers[name] == r {
		delete(o.readers, name)
	}
}

// publish tells of bans. It never waits: a jail that is far behind misses some. A jail is not told of its own.
func (o *ownLog) publish(decisions []jail.Decision) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.readers) == 0 {
		return
	}
	for _, d := range decisions {
		if d.Kind != jail.BanStart {
			continue
		}
		for name, r := range o.readers {
			if name == d.Jail {
				continue
			}
			select {
			case r.queue <- d:
			default:
				r.dropped++
			}
		}
	}
}

// missed is how many bans a jail was not told of.
func (o *ownLog) missed(r *ownReader) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return r.dropped
}

// lines are the forms that a ban has in fail2ban's log, by where it goes: a file, syslog or the journal. Which of
// them a filter is written for depends on its configuration.
func ownLines(d jail.Decision, now time.Time) []filter.Line {
	said := fmt.Sprintf("NOTICE  [%s] Ban %s", d.Jail, printable(d.ID.String()))
	pid := os.Getpid()
	return []filter.Line{
		{Text: fmt.Sprintf("%s fail2ban.actions        [%d]: %s", now.Local().Format("2006-01-02 15:04:05,000"), pid, said)},
		{Text: fmt.Sprintf("%s host fail2ban.actions[%d]: %s", now.Local().Format("Jan _2 15:04:05"), pid, said)},
		{Text: fmt.Sprintf("host fail2ban[%d]: %s", pid, said), Time: now, Stamp: journalStamp(now)},
		{Text: fmt.Sprintf("host fail2ban[%d]: [%s] Ban %s", pid, d.Jail, printable(d.ID.String())), Time: now, Stamp: journalStamp(now)},
	}
}

// readOwn makes sure that a jail is told of the daemon's bans. Called with mu held.
func (s *sources) readOwn(ctx context.Context, j Jail) {
	key := OwnLogPath + " " + j.Name()
	id := fmt.Sprintf("%q %#v", j.FilterID, j.Ignore)
	if s.readers[key] != nil && s.readers[key].id == id {
		return
	}
	s.end(key)
	in := &intake{
		path: OwnLogPath, engine: s.engine, resolver: s.resolver, daily: s.daily, log: s.log.With("jail", j.Name()),
		group: filter.NewGroup([]*filter.Filter{j.Filter}),
		jails: []*watch{{jail: j, session: j.Filter.NewSession(), ignorer: s.ignorers[j.Name()], counts: s.counts[j.Name()]}},
	}
	own := s.engine.own
	r := own.subscribe(j.Name())
	s.start(ctx, key, &reader{
		id: id, intake: in,
		read: func(ctx context.Context) error {
			defer own.end(j.Name(), r)
			return in.readOwn(ctx, r)
		},
		status: func() control.File {
			f := control.File{Path: OwnLogPath, State: "following"}
			if n := own.missed(r); n > 0 {
				f.Error = fmt.Sprintf("%d bans were missed: too many came at once", n)
			}
			return f
		},
	})
}

// readOwn shows the jail each ban, in the form that its filter is written for.
func (in *intake) readOwn(ctx context.Context, r *ownReader) error {
	w := in.jails[0]
	for {
		var d jail.Decision
		select {
		case d = <-r.queue:
		case <-ctx.Done():
			return ctx.Err()
		}
		now := time.Now()
		w.counts.lines.Add(1)
		in.lines.Add(1)
		for _, line := range ownLines(d, now) {
			found, err := in.process(ctx, w, line, now, true)
			if err != nil {
				return err
			}
			if len(found) == 0 {
				continue
			}
			if err := in.engine.send(ctx, observed{failures: found}); err != nil {
				return err
			}
			break
		}
	}
}
