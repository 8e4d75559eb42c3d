package setup

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/source"
)

// Replay is what a configuration says to a replay of logs.
type Replay struct {
	Jails []replay.Jail
	Book  jail.Config
	// Problems are what is wrong with the configuration, also with jails that are not among Jails. Errors that
	// do not matter to a replay are left out.
	Problems []config.Problem
	// Commands names the jails that have an ignorecommand: it is not run.
	Commands []string
}

// Replay makes ready what is replayed: the enabled jails of the configuration, or those named, also if they
// are not enabled. A jail that is named and cannot be used is an error; what is wrong with actions or logs
// does not matter. Whom a jail ignores is found as by the daemon, host names with the resolver; what
// cannot be found goes to the log.
func (l *Loader) Replay(ctx context.Context, resolver *agent.Resolver, log *slog.Logger, names ...string) (Replay, error) {
	c, err := l.Read(names...)
	if err != nil {
		return Replay{}, err
	}
	r := Replay{Book: jail.Config{PurgeAge: c.Global.DBPurgeAge, MaxDBMatches: c.Global.DBMaxMatches}}
	wrong := map[string]bool{} // jails with an error that matters
	for _, p := range c.Problems {
		if !matters(p) {
			continue
		}
		r.Problems = append(r.Problems, p)
		if p.Severity == config.Error {
			wrong[p.Jail] = true
		}
	}
	found := map[string]bool{}
	var dates date.Compiler
	for _, j := range slices.Concat(c.Jails, c.Unsound) {
		if len(names) > 0 && !slices.Contains(names, j.Name) {
			continue
		}
		b := builder{c: &j}
		made := replay.Jail{Policy: b.policy(), Encoding: b.encoding(), Watches: watches(&j)}
		made.Filter = b.pastFilter(&dates)
		r.Problems = append(r.Problems, b.problems...)
		if wrong[j.Name] || hasErrors(b.problems) {
			continue
		}
		lists := agent.NewIgnoreLists(ctx, j.Name, b.ignore(), resolver, log)
		made.Ignored = func(ctx context.Context, id ident.ID) bool {
			_, ignored := lists.Find(ctx, id)
			return ignored
		}
		if j.IgnoreCommand != "" {
			r.Commands = append(r.Commands, j.Name)
		}
		r.Jails = append(r.Jails, made)
		found[j.Name] = true
	}
	for _, name := range names {
		if !found[name] {
			return r, fmt.Errorf("there is no jail %q that can be used in %s", name, l.Name())
		}
	}
	return r, nil
}

// matters reports whether a problem has to do with who is banned, not with how, nor with where logs are found.
func matters(p config.Problem) bool {
	switch p.Key {
	case "action", "banaction", "logpath", "backend", "journalmatch":
		return false
	}
	return filepath.Base(filepath.Dir(p.File)) != "action.d"
}

// pastFilter compiles the filter of a jail for lines of any time; nil if that cannot be.
func (b *builder) pastFilter(dates *date.Compiler) *filter.Filter {
	o, err := FilterOptions(b.c)
	if err != nil {
		b.wrong("usedns", "use yes, warn, no or raw", err)
	}
	if b.blind(o) {
		return nil
	}
	o.NoTimeCheck, o.AllYears, o.Dates = true, true, dates
	f, err := filter.New(o, time.Now())
	b.problems = append(b.problems, FilterProblems(b.c, err)...)
	return f
}

// watches tells which logs are a jail's.
func watches(c *config.Jail) func(path string) bool {
	paths := c.LogPaths
	return func(path string) bool {
		return slices.ContainsFunc(paths, func(p config.LogPath) bool {
			return p.Pattern == path || source.HasMeta(p.Pattern) && source.Matches(p.Pattern, path)
		})
	}
}
