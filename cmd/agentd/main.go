// Command agentd is Palisade's daemon: it reads an existing fail2ban configuration, follows the logs
// that it names, counts failures and bans who makes too many of them, in the kernel, over netlink.
//
// main wires the parts and owns nothing: flags.go reads the command line, load.go turns the
// configuration into values, log.go writes fail2ban's log lines.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/executor"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/metrics"
	"github.com/palisade-agent/palisade/internal/setup"
	"github.com/palisade-agent/palisade/internal/store"
)

// gcPercent makes the heap grow by half before it is collected, not by all of it: the daemon allocates
// little once it runs, and a start with many bans should not leave it twice as large as it is.
const gcPercent = 50

func main() {
	debug.SetGCPercent(gcPercent)
	os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process: 0 done, 1 failed, 2 wrong usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	f, err := parseFlags(args, stdout)
	switch {
	case errors.Is(err, errHelp):
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "agentd: %v\n", err)
		return 2
	}
	if f.version {
		fmt.Fprintf(stdout, "agentd %s\n", version())
		return 0
	}
	if f.check {
		return check(f, stdout, stderr)
	}
	if err := serve(ctx, f, stdout, stderr); err != nil {
		fmt.Fprintf(stderr, "agentd: %v\n", err)
		return 1
	}
	return 0
}

// serve runs the daemon until a signal or a peer ends it.
//
//	signals ─> ctx          flags ─> load ─> agent.Options
//	                                            │
//	store ─┐                                    v
//	keeper ┴────────────────────────────────> agent <── control server, metrics
//	                                            │
//	                                            └─────> log, event file
func serve(ctx context.Context, f flags, stdout, stderr io.Writer) (err error) {
	manager := newNotifier()
	loader := setup.New(f.config, f.configSet)
	loader.Backend = f.firewall
	loader.LogTarget = f.logTarget
	live := setup.NewLive(loader)
	options, err := live.Load()
	if err != nil {
		return err
	}
	f.firewall = loader.Backend
	handler, err := openLog(f, live.Global(), outputs{stdout, stderr})
	if err != nil {
		return err
	}
	defer handler.close()
	log := slog.New(handler)
	logProblems(log, options.Problems)
	if len(options.Jails)+len(options.Broken) == 0 {
		log.Warn("configuration:", "problem", prose(loader.NoJails()))
	}
	if len(options.Jails) == 0 && len(options.Broken) > 0 {
		return fmt.Errorf("none of the %d enabled jails can run: see the problems above, or run agentd --check", len(options.Broken))
	}

	backend, err := openBackend(f, log)
	if err != nil {
		return err
	}
	db, err := openStore(f, log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	events, err := openEventFile(f.eventFile, log)
	if err != nil {
		return err
	}
	record := recorder{handler}
	open := openCutting(f.firewall, log)
	about := control.Status{Version: version(), PID: os.Getpid(), Config: loader.Name(), Database: f.db}
	ready := make(chan struct{})
	backend, largeAt := withLargeFeeds(backend, f.firewall, live.Agent().Firewall.Feeds, log)
	keeper := firewall.NewKeeper(backend, firewall.KeeperOptions{
		LargeAt: largeAt,
		Log:     log, Banned: open.banned, Trouble: func(err error) { events.trouble("firewall", err) },
	})
	lists, err := openLists(keeper, filepath.Join(filepath.Dir(f.db), "lists"), log)
	if err != nil {
		return err
	}
	reports, err := openReports(db, lists, log)
	if err != nil {
		return err
	}
	exports := openExports(lists, ready, log)
	lookups := openLookups(lists)
	wishes := func(o agent.Options) {
		c := live.Agent()
		open.enable(c.Firewall.Cut)
		lists.apply(c)
		reports.apply(c, o, live.Filter)
		exports.apply(c)
		lookups.apply(c)
	}
	wishes(options)
	a := agent.New(agent.Parts{
		Store:    db,
		Firewall: lists,
		Lists:    lists,
		Outbox:   reports,
		Book:     jail.NewBook(loader.BookConfig()),
		Resolver: agent.NewResolver(),
		Log:      log,
		Reload: func() (agent.Options, error) {
			o, err := live.Load()
			if err == nil {
				logProblems(log, o.Problems)
				wishes(o)
			}
			return o, err
		},
		Record:     func(d jail.Decision) { record.decision(d); events.decision(d); exports.decided(d) },
		Ignored:    record.ignored,
		Action:     func(e action.Event) { record.action(e); events.action(e) },
		Trouble:    events.trouble,
		Configured: events.configured,
		Reasons: func() []string {
			return slices.Concat(events.reasons(), open.reasons(), lists.reasons(), reports.reasons(), exports.reasons())
		},
		Hooks: lookAtHooks,
		Ready: func() { close(ready) },
		About: about,
	}, options)

	live.Steer(a)
	service := a.Service()
	exports.taxii.service.Store(&service)

	servers, err := listenMetrics(ctx, f.metrics, metrics.Options{
		Version: version(), Stats: a.Stats, Database: db.Size, Events: events.stats(), Cut: open.stats(), Reports: reports.desk.Status, Feeds: lists.runner.Status, Log: log,
	})
	if err != nil {
		return err
	}
	servers = append(servers, open.runners(log)...)
	servers = append(servers, lists.runners(log)...)
	servers = append(servers, reports.runners(log)...)
	servers = append(servers, exports.runners(log)...)
	if f.pidfile != "" {
		if err := writePID(f.pidfile); err != nil {
			return err
		}
		defer os.Remove(f.pidfile)
	}
	logs := flushedLogs{handler.logControl, events}
	commands := executor.Handler{Service: a.Service(), Jails: live, Log: logs, Database: f.db}
	server, err := control.Listen(ctx, f.socket, control.ServerOptions{
		Service: a.Service(), Log: log, Routes: slices.Concat(lists.routes(), reports.routes(), exports.routes(), lookups.routes()),
		Fail2ban: func(ctx context.Context, request []byte) []byte { return f2b.Execute(ctx, commands, log, request) },
	})
	if err != nil {
		return err
	}
	servers = append(servers, runner{"the control socket", server.Run})
	if fail2ban := listenFail2ban(ctx, f, commands, log); fail2ban != nil {
		servers = append(servers, runner{"fail2ban's socket", fail2ban.Run})
	}
	l := life{agent: a, servers: servers, ready: ready, log: log, flush: logs.Flush, stdout: stdout, manager: manager}
	endEvents := events.run(ctx, log)
	defer endEvents()
	events.started(version(), loader.Name(), options)
	err = l.run(ctx)
	events.stopped(version(), err)
	return err
}

// listenMetrics tells numbers at an address, if there is one.
func listenMetrics(ctx context.Context, address string, o metrics.Options) ([]runner, error) {
	if address == "" {
		return nil, nil
	}
	m, err := metrics.Listen(ctx, address, o)
	if err != nil {
		return nil, err
	}
	o.Log.Info("metrics are told", "addr", m.Address())
	return []runner{tolerated(runner{"the metrics", m.Run}, o.Log)}, nil
}

// listenFail2ban answers fail2ban's own client, if nobody does. That it cannot is no reason not to ban.
func listenFail2ban(ctx context.Context, f flags, h executor.Handler, log *slog.Logger) *f2b.Server {
	path := f.f2bSocket
	switch path {
	case "none":
		return nil
	case "":
		path = h.Jails.Global().Socket
	}
	listener, err := control.ListenUnix(ctx, path)
	if errors.Is(err, control.ErrInUse) {
		log.Error("fail2ban runs beside this daemon, and both ban: stop it (systemctl disable --now fail2ban)", "socket", path)
		return nil
	}
	if err != nil {
		log.Warn("fail2ban-client is not answered", "err", err)
		return nil
	}
	return f2b.NewServer(listener, f2b.ServerOptions{Handler: h, Log: log})
}

func logProblems(log *slog.Logger, problems []control.Problem) {
	for _, p := range control.Share(problems) {
		level := slog.LevelWarn
		if p.Severity == "error" {
			level = slog.LevelError
		}
		log.Log(context.Background(), level, "configuration:", "problem", prose(setup.ProblemText(p)))
	}
}

// check reads the configuration and says everything that is wrong with it.
func check(f flags, stdout, stderr io.Writer) int {
	l := setup.New(f.config, f.configSet)
	l.Backend = f.firewall
	r, err := l.Check()
	if err != nil {
		fmt.Fprintf(stderr, "agentd: %v\n", err)
		return 1
	}
	for _, line := range r.Lines() {
		fmt.Fprintln(stdout, line)
	}
	if !r.OK {
		return 1
	}
	return 0
}

// openBackend chooses the firewall. Auto takes nftables and, where the kernel has none, ipset; where neither
// is to be had it says why and refuses to start, since a daemon that bans nobody must not look as if it did.
func openBackend(f flags, log *slog.Logger) (firewall.Backend, error) {
	switch f.firewall {
	case "memory":
		log.Warn("the firewall is played in memory: nobody is kept out", "flag", "--firewall=memory")
		return firewall.NewMemory(), nil
	case "script": // nothing has a scope, and the bans are the scripts' alone
		return firewall.NewNamedMemory("script", "the firewall is left to the action scripts"), nil
	}
	var kinds []func() (firewall.Backend, error)
	if f.firewall != "ipset" {
		kinds = append(kinds, func() (firewall.Backend, error) { return nft.New(nft.Options{Log: log}) })
	}
	if f.firewall != "nft" {
		kinds = append(kinds, func() (firewall.Backend, error) { return ipset.New(ipset.Options{Log: log}) })
	}
	return firstSupported(kinds, log)
}

// firstSupported opens the first kind of firewall that the machine supports. Any other trouble than that it
// does not is an error at once.
func firstSupported(kinds []func() (firewall.Backend, error), log *slog.Logger) (firewall.Backend, error) {
	var lacks error
	for _, open := range kinds {
		b, err := open()
		if err == nil {
			if lacks != nil {
				log.Info("another firewall takes its place", "firewall", b.About().Name, "err", lacks)
			}
			return b, nil
		}
		lacks = errors.Join(lacks, err)
		if !errors.Is(err, firewall.ErrUnsupported) {
			break
		}
	}
	return nil, fmt.Errorf("no firewall: %w", lacks)
}

// openStore opens the database. A damaged one is moved aside, loudly: the bans of the kernel's table
// and the lines of the logs are still there.
func openStore(f flags, log *slog.Logger) (*store.DB, error) {
	if err := os.MkdirAll(filepath.Dir(f.db), 0o700); err != nil {
		return nil, fmt.Errorf("make the database's folder: %w", err)
	}
	db, err := store.Open(f.db, store.Options{Log: log})
	if !errors.Is(err, store.ErrCorrupt) {
		return db, err
	}
	log.Error("the database is damaged; it is moved aside and a new one begun", "err", err)
	return store.Open(f.db, store.Options{Log: log, MoveCorrupt: true})
}

func writePID(path string) error {
	if err := os.WriteFile(path, []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		return fmt.Errorf("write the pid file: %w", err)
	}
	return nil
}
