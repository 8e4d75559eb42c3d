package setup

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/ident"
)

// Live is the configuration in force: what was read last, and what was changed by hand since. The next load
// forgets the changes. It is safe for concurrent use.
type Live struct {
	running *agent.Agent // set by Steer, before anything is changed

	mu     sync.Mutex // guards the fields below; never held while the agent is waited for
	loader *Loader
	made   map[string]*state // by jail
}

// state is a jail in force.
type state struct {
	jail    config.Jail
	filter  *filter.Filter
	idle    bool
	pending bool // added and not started yet
	said    map[string]any
}

// NewLive makes a Live of what a loader reads.
func NewLive(l *Loader) *Live { return &Live{loader: l, made: map[string]*state{}} }

// Steer names the agent whose jails are changed.
func (l *Live) Steer(a *agent.Agent) { l.running = a }

// Load reads the configuration again; see Loader.Load. What fail2ban.conf says of the memory of bans is in force
// at once.
func (l *Live) Load() (agent.Options, error) {
	o, err := l.load()
	if err != nil || l.running == nil {
		return o, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), purgeWait)
	defer cancel()
	g := l.Global()
	if err := l.running.SetPurge(ctx, g.DBPurgeAge, g.DBMaxMatches); err != nil {
		return o, fmt.Errorf("change dbpurgeage: %w", err)
	}
	return o, nil
}

// purgeWait is how long the engine may take to answer a reload.
const purgeWait = 30 * time.Second

func (l *Live) load() (agent.Options, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, err := l.loader.Load()
	if err != nil {
		return o, err
	}
	made := map[string]*state{}
	for name, written := range l.loader.written {
		if old := l.made[name]; old != nil && slices.Contains(o.Broken, name) {
			made[name] = old // goes on as it was
			continue
		}
		made[name] = &state{jail: *written, said: map[string]any{}}
		if at := slices.IndexFunc(o.Jails, func(j agent.Jail) bool { return j.Name() == name }); at >= 0 {
			made[name].filter = o.Jails[at].Filter
		}
	}
	l.made = made
	return o, nil
}

// Global are the options of fail2ban.conf, as of the last load.
func (l *Live) Global() config.Global {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loader.global
}

// Agent is what agent.conf says, as of the last load.
func (l *Live) Agent() config.AgentConf {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loader.Agent()
}

// Filter is the name of a jail's filter; empty if it has none, or there is no such jail.
func (l *Live) Filter(name string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.made[name]; s != nil {
		return s.jail.Filter
	}
	return ""
}

// Config is what a jail is made of, and its filter; the filter is nil if there is nothing that it looks for.
// The error is control.ErrNoJail.
func (l *Live) Config(name string) (config.Jail, *filter.Filter, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.made[name]
	if s == nil {
		return config.Jail{}, nil, fmt.Errorf("%w: %q", control.ErrNoJail, name)
	}
	return s.jail, s.filter, nil
}

// Pending lists the jails that were added and not started, sorted.
func (l *Live) Pending() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(l.made)) {
		if l.made[name].pending {
			names = append(names, name)
		}
	}
	return names
}

// Said gives what Edit was told of an option of a jail since the last load.
func (l *Live) Said(name, option string) (value any, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.made[name]; s != nil {
		value, ok = s.said[option]
	}
	return value, ok
}

// Edit changes a jail until the next load. Change gets a copy that it may alter, slices too, and whose error is
// Edit's. What cannot be as it is then changes nothing: a *filter.OptionError for what a filter refuses.
// Option and value are what Said gives from then on.
func (l *Live) Edit(ctx context.Context, name, option string, value any, change func(*config.Jail) error) error {
	return l.edit(ctx, name, func(s *state) error {
		if err := change(&s.jail); err != nil {
			return err
		}
		s.said = maps.Clone(s.said)
		s.said[option] = value
		return nil
	})
}

// SetIdle stops the reading of a jail's logs, or lets it go on where it stopped.
func (l *Live) SetIdle(ctx context.Context, name string, idle bool) error {
	return l.edit(ctx, name, func(s *state) error { s.idle = idle; return nil })
}

func (l *Live) edit(ctx context.Context, name string, change func(*state) error) error {
	l.mu.Lock()
	old := l.made[name]
	l.mu.Unlock()
	switch {
	case old == nil:
		return fmt.Errorf("%w: %q", control.ErrNoJail, name)
	case old.pending:
		l.mu.Lock()
		defer l.mu.Unlock()
		next := old.clone()
		if err := change(next); err != nil {
			return err
		}
		if _, err := l.build(next); err != nil {
			return err
		}
		l.made[name] = next
		return nil
	}
	return l.running.Put(ctx, func() (agent.Jail, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		old := l.made[name]
		if old == nil { // a reload has come between
			return agent.Jail{}, fmt.Errorf("%w: %q", control.ErrNoJail, name)
		}
		next := old.clone()
		if err := change(next); err != nil {
			return agent.Jail{}, err
		}
		j, err := l.build(next)
		if err == nil {
			l.made[name] = next
		}
		return j, err
	})
}

func (s *state) clone() *state {
	c := *s
	j := &c.jail
	j.LogPaths, j.FailRegex, j.IgnoreRegex = slices.Clone(j.LogPaths), slices.Clone(j.FailRegex), slices.Clone(j.IgnoreRegex)
	j.IgnoreIP, j.JournalMatch, j.Actions = slices.Clone(j.IgnoreIP), slices.Clone(j.JournalMatch), slices.Clone(j.Actions)
	for i := range j.Actions {
		j.Actions[i].Options, j.Actions[i].Params = slices.Clone(j.Actions[i].Options), slices.Clone(j.Actions[i].Params)
	}
	return &c
}

// nothing is a regex that no line matches, for a jail from which every regex was taken.
const nothing = `(?!)(?P<ip4>x)`

// build makes a jail that can run. Called with mu held.
func (l *Live) build(s *state) (agent.Jail, error) {
	c := s.jail
	blind := len(c.FailRegex) == 0
	if blind {
		c.FailRegex = []string{nothing}
	}
	o, err := FilterOptions(&c)
	if err != nil {
		return agent.Jail{}, err
	}
	if _, err := filter.New(o, time.Now()); err != nil { // which says more of it than Build
		return agent.Jail{}, err
	}
	j, problems := l.loader.Build(&c, &date.Compiler{}, time.Now())
	var wrong []error
	for _, p := range problems {
		// A jail that is put together by hand has its logs later.
		if p.Severity == config.Error && p.Msg != errNoLog.Error() {
			wrong = append(wrong, errors.New(p.Msg))
		}
	}
	if len(wrong) > 0 {
		return agent.Jail{}, errors.Join(wrong...)
	}
	s.filter = j.Filter
	if blind {
		s.filter = nil
	}
	if s.idle {
		j.Files, j.Journal, j.OwnLog = nil, nil, false
	}
	return j, nil
}

// Add adds a jail without anything that it looks for or does. It runs when it is started.
func (l *Live) Add(name, backend string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.made[name] = &state{pending: true, said: map[string]any{}, jail: config.Jail{
		Name: name, Backend: backend, BackendSpec: config.Spec{Name: backend}, LogEncoding: "auto", UseDNS: "warn",
		MaxLines: 1, MaxRetry: 3, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, MaxMatches: 5, IgnoreSelf: true,
	}}
}

// Start runs a jail that was added. One that runs goes on.
func (l *Live) Start(ctx context.Context, name string) error {
	l.mu.Lock()
	s := l.made[name]
	l.mu.Unlock()
	if s == nil {
		return fmt.Errorf("%w: %q", control.ErrNoJail, name)
	}
	if !s.pending {
		return nil
	}
	return l.running.Put(ctx, func() (agent.Jail, error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		next := s.clone()
		next.pending = false
		j, err := l.build(next)
		if err == nil {
			l.made[name] = next
		}
		return j, err
	})
}

// Stop ends jails, with their bans, until they are added again or the next load.
func (l *Live) Stop(ctx context.Context, names ...string) error {
	var run []string
	l.mu.Lock()
	for _, name := range names {
		if l.made[name] == nil {
			l.mu.Unlock()
			return fmt.Errorf("%w: %q", control.ErrNoJail, name)
		}
		if !l.made[name].pending {
			run = append(run, name)
		}
	}
	l.mu.Unlock()
	return l.running.Drop(ctx, run, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, name := range names {
			delete(l.made, name)
		}
	})
}

// Attempt counts a failure of an ID, or as many as it has lines.
func (l *Live) Attempt(ctx context.Context, name string, id ident.ID, lines []string) error {
	return l.running.Attempt(ctx, name, id, lines)
}

// SetPurge changes how long ended bans are remembered, and how many lines of a ban are, until the next load.
func (l *Live) SetPurge(ctx context.Context, age time.Duration, maxMatches int) error {
	l.mu.Lock()
	l.loader.global.DBPurgeAge, l.loader.global.DBMaxMatches = age, maxMatches
	l.mu.Unlock()
	return l.running.SetPurge(ctx, age, maxMatches)
}
