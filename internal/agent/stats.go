package agent

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
)

// Stats is the state of an agent in numbers. Counts are since the start, unless they say otherwise.
type Stats struct {
	Started  time.Time
	Reasons  []string // what is wrong; empty if all is well
	Problems int      // of the configuration
	Broken   int      // jails that are enabled and cannot run as written
	Jails    []JailStats
	Sources  []SourceStats
	Firewall firewall.Status
	Book     jail.Sizes
	Inbox    int // messages that wait for the engine

	Commits, FailedCommits uint64 // to the store
}

// JailStats is a jail in numbers.
type JailStats struct {
	Name string
	jail.Counts
	Lines, Matched, Ignored, GaveUp int64
	Scripts                         []action.Status // in the order of the configuration
}

// SourceStats is a log in numbers. Counts are since its reader was started, which a reload may do again.
type SourceStats struct {
	Path         string
	Jail         string // whose reader of the journal it is; empty for a file, which all its jails share
	State        string
	Offset, Size int64 // bytes; zero for the journal
	Lines        int64
	Failures     uint64 // how often its reader had to begin again
}

// Stats tells how the agent stands, in a time that does not depend on how many are banned. It waits for its turn in
// the engine, as long as ctx allows.
func (a *Agent) Stats(ctx context.Context) (Stats, error) {
	o := service{a}.snapshot()
	st := Stats{
		Started: a.started, Reasons: a.reasons(o), Problems: len(o.Problems), Broken: len(o.Broken),
		Sources: a.source.stats(), Firewall: a.parts.Firewall.Status(), Inbox: len(a.engine.inbox),
		Commits: a.engine.commits.Load(), FailedCommits: a.engine.failedCommits.Load(),
	}
	for _, j := range o.Jails {
		x := JailStats{Name: j.Name()}
		if c := a.source.countsOf(j.Name()); c != nil {
			x.Lines, x.Matched, x.Ignored, x.GaveUp = c.lines.Load(), c.matched.Load(), c.ignored.Load(), c.gaveUp.Load()
		}
		scripts := a.script.status(j.Name())
		for _, d := range j.Scripts {
			if s, ok := scripts[d.Name]; ok {
				x.Scripts = append(x.Scripts, s)
			}
		}
		st.Jails = append(st.Jails, x)
	}
	slices.SortFunc(st.Jails, func(a, b JailStats) int { return cmp.Compare(a.Name, b.Name) })
	err := a.engine.do(ctx, func() {
		st.Book = a.engine.book.Sizes()
		for i := range st.Jails {
			st.Jails[i].Counts = a.engine.book.Counts(st.Jails[i].Name)
		}
	})
	return st, err
}

// reasons lists what is wrong, a line each.
func (a *Agent) reasons(o Options) []string {
	reasons := a.health.reasons()
	if err := a.parts.Firewall.Status().Err; err != nil {
		reasons = append(reasons, "firewall: "+err.Error())
	}
	reasons = append(reasons, a.script.reasons()...)
	if a.parts.Reasons != nil {
		reasons = append(reasons, a.parts.Reasons()...)
	}
	if n := len(o.Broken); n > 0 {
		reasons = append(reasons, fmt.Sprintf("configuration: %d of the enabled jails cannot run as written", n))
	}
	return reasons
}

// stats tells how the readers stand, by path and jail.
func (s *sources) stats() []SourceStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []SourceStats
	for _, key := range slices.Sorted(maps.Keys(s.readers)) {
		r := s.readers[key]
		f := r.status()
		x := SourceStats{
			Path: f.Path, State: f.State, Offset: f.Offset, Size: f.Size,
			Lines: r.intake.lines.Load(), Failures: r.failures.Load(),
		}
		if r.intake.path == source.JournalPath {
			x.Jail = r.intake.jails[0].jail.Name()
		}
		all = append(all, x)
	}
	return all
}
