package agent

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

const (
	ignoreFileLimit   = 16 << 20        // bytes read of a file:PATH entry
	ignoreFileRecheck = time.Second     // how often such a file is looked at
	ignoreFileBackoff = time.Minute     // after it could not be read
	ignoreCacheLimit  = 100_000         // decisions, whatever the configuration says
	resolveRefresh    = dnsCacheTime    // host names of an ignore list
	ignoreDefaultAge  = 5 * time.Minute // fail2ban's max-time of ignorecache
)

// ignorer decides for one jail whom it never bans. It is safe for concurrent use: the intakes of all
// files of the jail ask it.
type ignorer struct {
	jail     string
	opts     Ignore
	resolver *Resolver
	log      *slog.Logger
	lists    Lists // nil: none

	mu         sync.Mutex // guards the fields below; never held while a name is resolved or a command runs
	list       *jail.IgnoreList
	resolvedAt time.Time
	files      []*ignoreFile
	cache      map[string]ignoreDecision
}

type ignoreDecision struct {
	by string
	at time.Time
}

// ignoreFile is a file:PATH entry, read when it is first needed and again when it changes.
type ignoreFile struct {
	entry string // as configured
	path  string
	stamp fileStamp
	next  time.Time // not looked at before
	list  *jail.IgnoreList
}

type fileStamp struct {
	size  int64
	mtime time.Time
}

func newIgnorer(name string, o Ignore, r *Resolver, log *slog.Logger) *ignorer {
	g := &ignorer{jail: name, opts: o, resolver: r, log: log, cache: map[string]ignoreDecision{}}
	var plain []string
	for _, e := range o.Entries {
		path, isFile := strings.CutPrefix(e, "file:")
		if !isFile {
			plain = append(plain, e)
			continue
		}
		if rest, ok := strings.CutPrefix(path, "//"); ok { // file:///path
			path = rest
		}
		g.files = append(g.files, &ignoreFile{entry: e, path: path})
	}
	g.list = jail.NewIgnoreList(plain)
	return g
}

// IgnoreLists answers whom a jail ignores, as the daemon does, but for ignorecommand, which is not run, and
// ignorecache, which only matters with it. It is safe for concurrent use.
type IgnoreLists struct{ g *ignorer }

// NewIgnoreLists makes the lists of a jail. Host names in them are asked of the resolver. What cannot be read
// or looked up is logged here, and not again when it is tried again.
func NewIgnoreLists(ctx context.Context, jailName string, o Ignore, r *Resolver, log *slog.Logger) *IgnoreLists {
	g := newIgnorer(jailName, o, r, log)
	g.listed(ctx, ident.ID{})
	g.log = slog.New(slog.DiscardHandler)
	return &IgnoreLists{g}
}

// Find reports whether an ID is ignored, and by which rule, in fail2ban's words: "ip", "dns",
// "ignoreself rule" or "file:PATH".
func (l *IgnoreLists) Find(ctx context.Context, id ident.ID) (by string, ok bool) {
	return l.g.listed(ctx, id)
}

// listed reports whether a list of the jail (addresses, networks, names, files, own addresses) holds
// the ID, and by which rule, in fail2ban's words: "ip", "dns", "ignoreself rule" or "file:PATH".
func (g *ignorer) listed(ctx context.Context, id ident.ID) (by string, ok bool) {
	g.refresh(ctx)
	g.mu.Lock()
	defer g.mu.Unlock()
	if rule, ok := g.list.Find(id); ok {
		return string(rule.Source), true
	}
	for _, f := range g.files {
		f.reread(g.jail, g.log)
		if f.list == nil {
			continue
		}
		if _, ok := f.list.Match(id); ok {
			return f.entry, true
		}
	}
	if g.lists != nil {
		return g.lists.Allowed(id)
	}
	return "", false
}

// touches is listed for a ban by hand: it also finds a network that holds something ignored.
func (g *ignorer) touches(ctx context.Context, id ident.ID) (by string, ok bool) {
	if by, ok := g.listed(ctx, id); ok {
		return by, true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if rule, ok := g.list.Touches(id); ok {
		return "it holds " + rule.Entry, true
	}
	for _, f := range g.files {
		if f.list == nil {
			continue
		}
		if rule, ok := f.list.Touches(id); ok {
			return "it holds " + rule.Entry + " of " + f.entry, true
		}
	}
	return "", false
}

// refresh renews what the list knows of own addresses and host names, if it is time. A name that
// cannot be resolved keeps its last addresses: an ignore list never shrinks by an outage.
func (g *ignorer) refresh(ctx context.Context) {
	g.mu.Lock()
	due := g.resolvedAt.IsZero() || time.Since(g.resolvedAt) >= resolveRefresh
	if due {
		g.resolvedAt = time.Now()
	}
	hosts := g.list.Hosts()
	g.mu.Unlock()
	if !due {
		return
	}
	if g.opts.Self {
		own := g.resolver.Own()
		g.mu.Lock()
		g.list.SetOwn(own)
		g.mu.Unlock()
	}
	for _, host := range hosts {
		addrs, err := g.resolver.Lookup(ctx, host)
		if err != nil {
			g.log.Warn("cannot resolve a name of ignoreip", "jail", g.jail, "host", host, "err", err)
			continue
		}
		g.mu.Lock()
		g.list.SetResolved(host, addrs)
		g.mu.Unlock()
	}
}

// check is the whole decision for one failure, in fail2ban's order: remembered decision, lists,
// command.
func (g *ignorer) check(ctx context.Context, v tagValues) (by string, ok bool) {
	key := ""
	if c := g.opts.Cache; c != nil {
		key = v.expandPlain(c.Key)
		g.mu.Lock()
		d, found := g.cache[key]
		g.mu.Unlock()
		if found && time.Since(d.at) < c.MaxTime {
			return d.by, d.by != ""
		}
	}
	by, ok = g.listed(ctx, v.id)
	if !ok && g.opts.Command != "" {
		ignored, err := runIgnoreCommand(ctx, g.opts.Command, v)
		if err != nil {
			g.log.Error("ignorecommand failed", "jail", g.jail, "addr", v.id, "err", err)
		}
		if ignored {
			by, ok = "command", true
		}
	}
	if g.opts.Cache != nil {
		g.remember(key, by)
	}
	return by, ok
}

func (g *ignorer) remember(key, by string) {
	c := g.opts.Cache
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.cache) >= min(max(c.MaxCount, 1), ignoreCacheLimit) {
		oldest, oldestAt := "", time.Time{}
		for k, d := range g.cache {
			if oldestAt.IsZero() || d.at.Before(oldestAt) {
				oldest, oldestAt = k, d.at
			}
		}
		delete(g.cache, oldest)
	}
	g.cache[key] = ignoreDecision{by, time.Now()}
}

// reread brings the list up to date with the file; at most once a second, and after an error once a
// minute. What was read last stands as long as the file cannot be read.
func (f *ignoreFile) reread(jailName string, log *slog.Logger) {
	now := time.Now()
	if now.Before(f.next) {
		return
	}
	f.next = now.Add(ignoreFileRecheck)
	st, err := os.Stat(f.path)
	if err == nil {
		stamp := fileStamp{st.Size(), st.ModTime()}
		if f.list != nil && stamp == f.stamp {
			return
		}
		var entries []string
		if entries, err = readIgnoreFile(f.path); err == nil {
			f.list, f.stamp = jail.NewIgnoreList(entries), stamp
			return
		}
	}
	f.next = now.Add(ignoreFileBackoff)
	log.Warn("cannot read a file of ignoreip", "jail", jailName, "file", f.path, "err", err)
}

// readIgnoreFile reads words separated by blanks, commas or newlines; a # or ; at the start of a line
// or after a blank begins a comment.
func readIgnoreFile(path string) ([]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var entries []string
	sc := bufio.NewScanner(io.LimitReader(file, ignoreFileLimit))
	for sc.Scan() {
		words := strings.FieldsFunc(sc.Text(), func(r rune) bool { return r == ' ' || r == '\t' || r == ',' || r == '\r' })
		for _, w := range words {
			if w[0] == '#' || w[0] == ';' {
				break
			}
			entries = append(entries, w)
		}
	}
	return entries, sc.Err()
}
