package main

import (
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/outbound"
)

// allowPrefix tells allowlists from feeds by their names.
const allowPrefix = "allow."

// lists are the lists of agent.conf: feeds, which are blocked, and allowlists, which nothing blocks. It is also
// the firewall that the agent sees, so that the scopes of jails and feeds come to the Keeper together.
type lists struct {
	*firewall.Keeper
	runner *feed.Runner
	log    *slog.Logger
	client atomic.Pointer[outbound.Client]
	own    ownAddresses
	// version grows when what lists say has changed.
	version atomic.Uint64

	mu      sync.Mutex       // guards the fields below
	asking  outbound.Options // of the client
	sources []feed.Source
	jails   []firewall.Scope
	feeds   []firewall.Scope
	fixed   cidr.Ranges            // what [firewall] and [allow] say in words
	named   map[string]cidr.Ranges // what lists allow, by name
	allowed atomic.Pointer[cidr.Ranges]
}

// openLists makes lists that keep their copies in a folder.
func openLists(k *firewall.Keeper, dir string, log *slog.Logger) (*lists, error) {
	l := &lists{Keeper: k, log: log, named: map[string]cidr.Ranges{}}
	l.allowed.Store(&cidr.Ranges{})
	c, err := outbound.New(clientOptions(config.HTTPConf{Timeout: time.Minute}))
	if err != nil {
		return nil, err
	}
	l.client.Store(c)
	l.runner = feed.NewRunner(feed.Options{
		Dir: dir, Log: log, Client: l.client.Load, Deliver: l.deliver, Allow: func() cidr.Ranges { return *l.allowed.Load() }, Own: l.own.ranges,
	})
	return l, nil
}

func clientOptions(h config.HTTPConf) outbound.Options {
	return outbound.Options{UserAgent: "palisade/" + version() + " (+https://github.com/palisade-agent/palisade)", Proxy: h.Proxy, CAFile: h.CA, Timeout: h.Timeout}
}

// apply brings what agent.conf says in force.
func (l *lists) apply(c config.AgentConf) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := clientOptions(c.HTTP); o != l.asking {
		if client, err := outbound.New(o); err != nil {
			l.log.Error("[http] of agent.conf does not count", "err", err)
		} else {
			l.client.Swap(client).Close()
			l.asking = o
		}
	}
	var fixed cidr.Builder
	for _, p := range c.Firewall.Allow {
		fixed.Add(p)
	}
	var sources []feed.Source
	var scopes []firewall.Scope
	for _, f := range c.Feeds {
		if !f.Enabled {
			continue
		}
		s, ok := l.source(f.Name, f.Broken, func() feed.Source { return feedSource(f) })
		if !ok {
			continue
		}
		sources = append(sources, s)
		scope := feedScope(f)
		if f.Broken {
			scope = l.scope(scope)
		}
		scopes = append(scopes, scope)
	}
	for _, a := range c.Allows {
		if !a.Enabled {
			continue
		}
		for _, p := range a.Addresses {
			fixed.Add(p)
		}
		for _, s := range allowSources(a) {
			if s, ok := l.source(s.Name, a.Broken, func() feed.Source { return s }); ok {
				sources = append(sources, s)
			}
		}
	}
	l.fixed, l.sources, l.feeds = fixed.Ranges(), sources, scopes
	for name := range l.named {
		if !slices.ContainsFunc(sources, func(s feed.Source) bool { return s.Name == name }) {
			delete(l.named, name)
		}
	}
	l.joinAllowed()
	l.Keeper.SetScopes(slices.Concat(l.jails, l.feeds))
	l.runner.Set(sources)
}

// source is a list as it is configured, or, where that cannot work, as it was.
func (l *lists) source(name string, broken bool, build func() feed.Source) (feed.Source, bool) {
	if !broken {
		return build(), true
	}
	i := slices.IndexFunc(l.sources, func(s feed.Source) bool { return s.Name == name })
	if i < 0 {
		return feed.Source{}, false
	}
	return l.sources[i], true
}

// scope is the one that an owner has, or else this.
func (l *lists) scope(s firewall.Scope) firewall.Scope {
	if i := slices.IndexFunc(l.feeds, func(f firewall.Scope) bool { return f.Owner == s.Owner }); i >= 0 {
		return l.feeds[i]
	}
	return s
}

// SetScopes takes the scopes of jails; those of feeds are added.
func (l *lists) SetScopes(jails []firewall.Scope) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jails = jails
	l.Keeper.SetScopes(slices.Concat(l.jails, l.feeds))
}

// deliver takes what a list says.
func (l *lists) deliver(s feed.Source, block, _ cidr.Ranges) {
	l.version.Add(1)
	if s.Use == feed.ForBlocking {
		l.Replace(feedOwner(s.Name), block)
		return
	}
	l.mu.Lock()
	changed := false
	if slices.ContainsFunc(l.sources, func(o feed.Source) bool { return o.Name == s.Name }) { // else it has just been removed
		l.named[s.Name] = block
		changed = l.joinAllowed()
	}
	l.mu.Unlock()
	if changed {
		l.runner.Rejudge()
	}
}

// joinAllowed puts all that is allowed together, for the firewall and for those who ask. mu is held.
func (l *lists) joinAllowed() bool {
	all := []cidr.Ranges{l.fixed}
	for _, r := range l.named {
		all = append(all, r)
	}
	joined := cidr.Union(all...)
	if joined.Equal(*l.allowed.Load()) {
		return false
	}
	l.allowed.Store(&joined)
	l.version.Add(1)
	l.SetAllow(joined)
	return true
}

// Allowed implements agent.Lists.
func (l *lists) Allowed(id ident.ID) (by string, ok bool) {
	if !id.IsAddr() || !l.allowed.Load().Overlaps(id.Prefix()) {
		return "", false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, r := range l.named {
		if r.Overlaps(id.Prefix()) {
			return "allow " + strings.TrimPrefix(name, allowPrefix), true
		}
	}
	return "agent.conf", true
}

// Suspect implements agent.Lists.
func (l *lists) Suspect(a netip.Addr) (by string) { return l.runner.Counts(a) }

// runners is what has to run.
func (l *lists) runners(log *slog.Logger) []runner {
	return []runner{tolerated(runner{"the lists", l.runner.Run}, log)}
}

// unreachable is after how many tries in a row a publisher that cannot be reached is a matter of health: one or
// two are everyday life.
const unreachable = 3

// reasons says what is wrong, for the health of the daemon.
func (l *lists) reasons() (all []string) {
	for _, s := range l.runner.Status() {
		what := "feed " + s.Source.Name
		if s.Source.Use == feed.ForAllowing {
			what = "allowlist " + strings.TrimPrefix(s.Source.Name, allowPrefix)
		}
		switch {
		case s.State == feed.Over:
			all = append(all, what+": no good answer since "+s.Fetched.Local().Format(time.DateTime)+"; it is given up until there is one")
		case s.Err != nil && (s.Failures >= unreachable || !feed.Unreachable(s.Err)):
			all = append(all, what+": "+s.Err.Error())
		}
	}
	return all
}
