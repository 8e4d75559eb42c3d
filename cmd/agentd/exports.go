package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/export"
	"github.com/palisade-agent/palisade/internal/export/cloudflare"
	web "github.com/palisade-agent/palisade/internal/export/serve"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/jail"
)

// exports give what is blocked to other programs.
type exports struct {
	lists   *lists
	runner  *export.Runner
	server  *web.Server
	taxii   *collection
	version atomic.Uint64
	ready   <-chan struct{} // closed when the bans of the last run are in force again

	mu    sync.Mutex // guards the field below
	known map[string]export.Export
}

func openExports(l *lists, ready <-chan struct{}, log *slog.Logger) *exports {
	e := &exports{lists: l, ready: ready, taxii: newCollection(), known: map[string]export.Export{}}
	e.runner = export.NewRunner(e, log)
	e.server = web.New(web.Options{Exports: e.runner.Status, Log: log, Mounted: map[string]http.Handler{"/taxii2/": e.taxii}})
	return e
}

// Version implements export.Source.
func (e *exports) Version() uint64 { return e.version.Load() + e.lists.version.Load() }

// decided takes note that bans have changed.
func (e *exports) decided(d jail.Decision) {
	switch d.Kind {
	case jail.BanStart, jail.Unban, jail.Prolong, jail.Restore:
		e.version.Add(1)
	default:
	}
}

// errNotReady says that it is too early.
var errNotReady = errors.New("what is blocked is not known yet: the firewall begins")

// Blocked implements export.Source.
func (e *exports) Blocked(ctx context.Context, s export.Selection) (cidr.Ranges, error) {
	select {
	case <-e.ready:
	case <-ctx.Done():
		return cidr.Ranges{}, ctx.Err()
	}
	var all []cidr.Ranges
	if s.Feeds {
		for _, x := range e.lists.runner.Blocked() {
			name := x.Source.Name
			// A feed on trial blocks nobody, elsewhere neither, unless it is named.
			trial := e.lists.scopeOf(feedOwner(name)).Verdict == firewall.Log
			if len(s.FeedNames) == 0 && !trial || slices.Contains(s.FeedNames, name) {
				all = append(all, x.Block)
			}
		}
	}
	if s.Bans {
		owners := []string{agent.Owner("")}
		if len(s.Jails) > 0 {
			owners = nil
			for _, j := range s.Jails {
				owners = append(owners, agent.Owner(j))
			}
		}
		bans, err := e.lists.Banned(ctx, owners)
		if err != nil {
			return cidr.Ranges{}, fmt.Errorf("ask the firewall who is banned: %w", err)
		}
		all = append(all, bans)
	}
	return cidr.Union(all...).Without(*e.lists.allowed.Load()), nil
}

// apply brings what agent.conf says in force.
func (e *exports) apply(c config.AgentConf) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []export.Export
	known := map[string]export.Export{}
	for _, conf := range c.Exports {
		x := export.Export{
			Name: conf.Name, Format: export.Format(conf.Format), Path: conf.Path, Test: conf.Test, Reload: conf.Reload, MayEmpty: conf.Empty, Every: conf.Every, Serve: conf.Serve,
			Selection: export.Selection{Bans: conf.Contents != "feeds", Feeds: conf.Contents != "bans", Jails: conf.Jails, FeedNames: conf.Feeds},
			Options:   export.Options{IPv4: conf.Family != "ipv6", IPv6: conf.Family != "ipv4", Most: conf.Max},
		}
		if !conf.Enabled {
			continue
		}
		if conf.CloudflareList != "" && !conf.Broken {
			x.Target = cloudflare.New(cloudflare.Options{
				Account: conf.CloudflareAccount, List: conf.CloudflareList, Token: conf.CloudflareToken.Read, URL: conf.CloudflareURL, Client: e.lists.client.Load, Most: conf.Max,
			})
			x.TargetKey = fmt.Sprint(conf.CloudflareAccount, " ", conf.CloudflareList, " ", conf.CloudflareToken, " ", conf.CloudflareURL)
		}
		if conf.Broken {
			old, had := e.known[conf.Name]
			if !had {
				continue
			}
			x = old
		}
		known[x.Name] = x
		all = append(all, x)
	}
	e.known = known
	e.runner.Set(all)
	h := c.HTTP
	set := web.Settings{Listen: h.Listen, Cert: h.Cert, Key: h.Key, User: h.User, Allow: cidr.Of(h.Allow...)}
	if h.Token.Given() {
		set.Token = h.Token.Read
	}
	if h.Password.Given() {
		set.Password = h.Password.Read
	}
	e.taxii.on.Store(h.TAXII)
	e.server.Set(set)
}

// runners is what has to run.
func (e *exports) runners(log *slog.Logger) []runner {
	return []runner{tolerated(runner{"the exports", e.runner.Run}, log), tolerated(runner{"the lists over HTTP", e.server.Run}, log)}
}

// reasons says what is wrong, for the health of the daemon.
func (e *exports) reasons() (all []string) {
	for _, s := range e.runner.Status() {
		if s.Err != nil {
			all = append(all, "export "+s.Export.Name+": "+s.Err.Error())
		}
	}
	if _, _, err := e.server.Status(); err != nil {
		all = append(all, "lists over HTTP: "+err.Error())
	}
	return all
}

// routes answer for exports on the control socket.
func (e *exports) routes() []control.Route {
	return []control.Route{
		{Pattern: "GET /v1/exports", Answer: func(*http.Request) (any, error) { return e.status(), nil }},
		{Pattern: "POST /v1/exports/write", Answer: e.write},
	}
}

func (e *exports) status() control.Exports {
	out := control.Exports{Exports: []control.ExportStatus{}}
	where, fetches, err := e.server.Status()
	out.Served = where
	if err != nil {
		out.Trouble = err.Error()
	}
	for _, s := range e.runner.Status() {
		x := control.ExportStatus{
			Name: s.Export.Name, Format: string(s.Export.Format), Path: s.Export.Path, Served: s.Export.Serve, Entries: s.Entries, Cut: s.Cut, Bytes: s.Bytes,
			Written: moment(s.Written), Writes: s.Writes, Held: s.Held, Since: moment(s.Since),
		}
		if s.Err != nil {
			x.Error = s.Err.Error()
		}
		if f, ok := fetches[x.Name]; ok {
			x.Fetched = &control.ExportFetch{At: f.At, Peer: f.Peer.String(), Count: f.Count}
		}
		out.Exports = append(out.Exports, x)
	}
	return out
}

func (e *exports) write(r *http.Request) (any, error) {
	req, err := control.Body[control.ExportRequest](r)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, s := range e.runner.Status() {
		names = append(names, s.Export.Name)
	}
	wanted := req.Names
	if len(wanted) == 0 {
		wanted = names
	}
	out := control.ExportResult{Exports: []control.ExportWritten{}}
	for _, name := range wanted {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("%w: there is no export %.60q: there are %s", control.ErrInvalid, name, strings.Join(names, ", "))
		}
		w := control.ExportWritten{Name: name}
		if err := e.runner.Refresh(r.Context(), name); err != nil {
			w.Error = err.Error()
		}
		for _, s := range e.runner.Status() {
			if s.Export.Name == name {
				w.Entries = s.Entries
			}
		}
		out.Exports = append(out.Exports, w)
	}
	return out, nil
}
