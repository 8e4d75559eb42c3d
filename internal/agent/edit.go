package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// errStarting is for a change that comes before the agent runs.
var errStarting = errors.New("the daemon is still starting: try again in a moment")

// Put builds a jail and runs it, in place of the one of its name if there is one, which keeps its bans, tallies
// and places in files. The next reload makes it what the configuration says. Build is called when no reload and
// no other Put is under way; its error is Put's, and nothing is changed then.
func (a *Agent) Put(ctx context.Context, build func() (Jail, error)) error {
	return a.edit(ctx, func(jails []Jail) ([]Jail, error) {
		j, err := build()
		if err != nil {
			return nil, err
		}
		if at := slices.IndexFunc(jails, func(x Jail) bool { return x.Name() == j.Name() }); at >= 0 {
			jails[at] = j
			return jails, nil
		}
		return append(jails, j), nil
	})
}

// Drop ends jails with their bans, which are remembered should the jails return. Done is called when they have
// ended, and before a reload may begin. A name that is no jail's is an ErrNoJail, and nothing ends.
func (a *Agent) Drop(ctx context.Context, names []string, done func()) error {
	return a.edit(ctx, func(jails []Jail) ([]Jail, error) {
		for _, name := range names {
			at := slices.IndexFunc(jails, func(x Jail) bool { return x.Name() == name })
			if at < 0 {
				return nil, fmt.Errorf("%w: %q", control.ErrNoJail, name)
			}
			jails = slices.Delete(jails, at, at+1)
		}
		done()
		return jails, nil
	})
}

// edit puts other jails in force.
func (a *Agent) edit(ctx context.Context, f func(jails []Jail) ([]Jail, error)) error {
	a.reloading.Lock()
	defer a.reloading.Unlock()
	a.mu.Lock()
	old, run := a.options, a.ctx
	a.mu.Unlock()
	if run == nil {
		return errStarting
	}
	o := old
	var err error
	if o.Jails, err = f(slices.Clone(old.Jails)); err != nil {
		return err
	}
	a.mu.Lock()
	a.options = o
	a.mu.Unlock()
	err = a.change(ctx, run, old, o, false)
	a.configured(Configuration{Options: o}, err)
	return err
}

// Attempt counts a failure of an ID in a jail, as many times as it has lines, but at least once.
func (a *Agent) Attempt(ctx context.Context, jailName string, id ident.ID, lines []string) error {
	if _, err := (service{a}).find(jailName); err != nil {
		return err
	}
	if id.IsZero() {
		return fmt.Errorf("%w: nothing to count a failure of", control.ErrInvalid)
	}
	return a.engine.do(ctx, func() {
		now := time.Now()
		f := jail.Failure{ID: id, Time: now, Attempts: max(1, len(lines)), Lines: lines}
		decisions := a.engine.book.Observe(jailName, f, now)
		for i := range decisions {
			if decisions[i].Kind == jail.Found {
				decisions[i].Kind = jail.Attempt
			}
		}
		a.engine.staged++
		a.engine.enforce(decisions)
	})
}

// SetPurge changes how long ended bans are remembered, and how many lines of a ban are.
func (a *Agent) SetPurge(ctx context.Context, age time.Duration, maxMatches int) error {
	return a.engine.do(ctx, func() { a.engine.book.SetPurge(age, maxMatches) })
}
