package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/setup"
)

const (
	// replayBansShown is how many bans of a jail, or differences, are shown to people unless --limit says
	// otherwise.
	replayBansShown = 20
	// dateSlack is how far ahead of now a log may be: one that was written in another zone is so by 14 hours
	// at most, if its dates name no zone.
	dateSlack = 24 * time.Hour
)

// replayCommand runs logs through a configuration, or through two.
func replayCommand(ctx context.Context, c *call) error {
	shown := replayBansShown
	if c.json {
		shown = replay.DefaultLimit
	}
	limit, err := c.limit(shown)
	if err != nil {
		return err
	}
	if limit == 0 {
		limit = -1
	}
	logs, err := c.replayLogs()
	if err != nil {
		return err
	}
	if other, compared := c.values["diff"]; compared {
		return c.compare(ctx, logs, other, limit)
	}
	r, err := c.replay(ctx, setup.New(c.config, c.named), logs, replay.Options{Limit: limit})
	if r == nil {
		return err
	}
	if shownErr := c.print(r, func(w io.Writer) { showReplay(w, r, c.now()) }); shownErr != nil {
		return shownErr
	}
	switch {
	case err != nil:
		return fmt.Errorf("%w (what is shown is of the %s before)", err, plural(r.Lines, "line", "lines"))
	case r.Interrupted:
		return fmt.Errorf("interrupted: what is shown is of %s", plural(r.Lines, "line", "lines"))
	}
	return nil
}

// compare runs the logs through two configurations and exits as diff does.
func (c *call) compare(ctx context.Context, logs replayLogs, other string, limit int) error {
	var runs []*replay.Result
	for _, l := range []*setup.Loader{setup.New(c.config, c.named), setup.New(other, true)} {
		r, err := c.replay(ctx, l, logs, replay.Options{Limit: 1, Compare: true})
		if err != nil {
			return err
		}
		if r.Interrupted {
			return fmt.Errorf("interrupted after %s: nothing is compared", plural(r.Lines, "line", "lines"))
		}
		runs = append(runs, r)
	}
	d := replay.Compare(runs[0], runs[1], limit)
	if err := c.print(d, func(w io.Writer) { showComparison(w, d, c.now()) }); err != nil {
		return err
	}
	if d.Differs() {
		return errFound
	}
	return nil
}

// replay runs the logs through one configuration. The result is nil if nothing could be read.
func (c *call) replay(ctx context.Context, l *setup.Loader, logs replayLogs, o replay.Options) (*replay.Result, error) {
	names := c.lists["jail"]
	resolver := agent.NewOfflineResolver()
	if c.flags["dns"] {
		resolver = agent.NewResolver()
		o.Resolve = func(ctx context.Context, host string) []ident.ID {
			var ids []ident.ID
			addrs, _ := resolver.Lookup(ctx, host) // what has no address is counted
			for _, a := range addrs {
				ids = append(ids, ident.FromAddr(a))
			}
			return ids
		}
	}
	made, err := l.Replay(ctx, resolver, slog.New(newTalker(c)), names...)
	for _, p := range made.Problems {
		if p.Severity == config.Error {
			c.talk("%s", p.Error())
		}
	}
	switch {
	case err != nil:
		return nil, err
	case len(made.Jails) == 0:
		return nil, fmt.Errorf("no jail that can be used is enabled in %s: name one with --jail", l.Name())
	case len(made.Commands) > 0:
		c.talk("ignorecommand is not run, who is spared by it counts here (%s)", listed(made.Commands))
	}
	c.assign(l.Name(), made.Jails, logs.list, len(names) > 0)
	logs.read = new(int64)
	o.Jails, o.Logs, o.Book, o.Latest = made.Jails, logs.opened(ctx, c.stdin), made.Book, logs.now.Add(dateSlack)
	began, told, shown := time.Now(), time.Now(), false
	if isTerminal(c.stderr) {
		o.Progress = func(lines int64) {
			if time.Since(told) < time.Second {
				return
			}
			told, shown = time.Now(), true
			fmt.Fprintf(c.stderr, "\r%s%d lines, %.0f a second\x1b[K", logs.share(), lines, float64(lines)/time.Since(began).Seconds())
		}
	}
	r, err := replay.Run(ctx, o)
	if shown {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	return r, err
}

// assign gives each log to the jails that watch it; jails that were named get all. If no jail watches any,
// all of them get all.
func (c *call) assign(name string, jails []replay.Jail, logs []replay.Log, named bool) {
	watched := map[string]bool{}
	for _, log := range logs {
		for _, j := range jails {
			if j.Watches(original(log.Name)) {
				watched[log.Name] = true
			}
		}
	}
	all := named || len(watched) == 0
	for i := range jails {
		watches := jails[i].Watches
		jails[i].Watches = func(path string) bool { return all || watches(original(path)) }
	}
	switch {
	case named:
	case len(watched) == 0:
		c.talk("no jail of %s watches these logs: every jail tries them all", name)
	default:
		for _, log := range logs {
			if !watched[log.Name] {
				c.talk("no jail of %s watches %s: no one tries it (name a jail with --jail)", name, log.Name)
			}
		}
	}
}

// original is the name that a rotated log had: auth.log of auth.log.1, auth.log.2.gz or auth.log-20261122.
func original(path string) string {
	path = strings.TrimSuffix(strings.TrimSuffix(path, ".gz"), ".bz2")
	if i := strings.LastIndexAny(path, ".-"); i > 0 && strings.Trim(path[i+1:], "0123456789") == "" && i+1 < len(path) {
		return path[:i]
	}
	return path
}

// talker tells what a part of the program logs to the person who called, each thing once.
type talker struct {
	c    *call
	said map[string]bool
}

func newTalker(c *call) *talker { return &talker{c, map[string]bool{}} }

// Enabled implements slog.Handler.
func (t *talker) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelWarn }

// WithAttrs implements slog.Handler.
func (t *talker) WithAttrs([]slog.Attr) slog.Handler { return t }

// WithGroup implements slog.Handler.
func (t *talker) WithGroup(string) slog.Handler { return t }

// Handle implements slog.Handler. Jails share most of what they ignore, so the jail does not matter.
func (t *talker) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Key != "jail" {
			fmt.Fprintf(&b, ", %s: %v", a.Key, a.Value)
		}
		return true
	})
	if text := b.String(); !t.said[text] {
		t.said[text] = true
		t.c.talk("%s", text)
	}
	return nil
}

func showReplay(w io.Writer, r *replay.Result, now time.Time) {
	for i := range r.Jails {
		if len(r.Jails[i].Logs) > 0 {
			showReplayedJail(w, &r.Jails[i], now)
		}
	}
	fmt.Fprintf(w, "%s", plural(r.Lines, "line", "lines"))
	if r.Took > 0 {
		fmt.Fprintf(w, " in %.2f s, %.0f a second", r.Took, float64(r.Lines)/r.Took)
	}
	if r.First != nil {
		fmt.Fprintf(w, "; failures from %s to %s", stamp(*r.First, now), stamp(*r.Last, now))
	}
	fmt.Fprintln(w)
}

func showReplayedJail(w io.Writer, j *replay.JailResult, now time.Time) {
	var logs []string
	for _, path := range j.Logs {
		logs = append(logs, filepath.Base(path))
	}
	fmt.Fprintf(w, "%s: %s of %d in %s matched, %s, %s\n", safe(j.Name), plural(j.Matched, "line", "lines"), j.Lines,
		safe(listed(logs)), plural(j.Failures, "failure", "failures"), plural(j.Banned, "ban", "bans"))
	if j.Kept > 0 {
		fmt.Fprintf(w, "  %d of these failures are of who was banned: the bans would have kept them out\n", j.Kept)
	}
	for _, x := range []struct {
		n    int64
		what string
	}{
		{j.Ignored, "of those whom the jail ignores"},
		{j.TooOld, "out of order by more than findtime"},
		{j.Undated, "before the first date"},
		{j.Names, "of host names without an address (they are looked up with --dns)"},
	} {
		if x.n > 0 {
			fmt.Fprintf(w, "  besides, %s %s\n", plural(x.n, "failure", "failures"), x.what)
		}
	}
	if j.Ahead > 0 {
		fmt.Fprintf(w, "  %s of the future: taken to be of the time of the lines before\n", plural(j.Ahead, "failure is", "failures are"))
	}
	if j.GaveUp > 0 {
		fmt.Fprintf(w, "  %s given up, at the limit of a regex\n", plural(j.GaveUp, "search was", "searches were"))
	}
	if len(j.Bans) > 0 {
		t := newTable("  BANNED", "AT", "FOR", ">BAN", ">FAILURES", "FROM", "TO", "")
		for _, b := range j.Bans {
			first := "?"
			if b.First != nil {
				first = at(*b.First)
			}
			t.add("  "+b.ID, stamp(b.Time, now), seconds(b.Duration), b.Count, b.Failures, first, at(b.Last), shortened(b.Last.Text))
		}
		t.write(w)
	}
	if more := j.Banned - int64(len(j.Bans)); more > 0 {
		fmt.Fprintf(w, "  and %d more (--limit 0 shows all)\n", more)
	}
}

// at is a place for people, as editors and compilers write it.
func at(p replay.Place) string { return fmt.Sprintf("%s:%d", filepath.Base(p.Log), p.Line) }

func showComparison(w io.Writer, d *replay.Comparison, now time.Time) {
	if d.Uncompared > 0 {
		fmt.Fprintf(w, "%s not compared: too many addresses\n", plural(d.Uncompared, "ban is", "bans are"))
	}
	if !d.Differs() {
		fmt.Fprintln(w, "both ban the same")
		return
	}
	var kinds []string
	all := 0
	for _, kind := range []string{"banned", "spared", "earlier", "later", "longer", "shorter"} {
		if n := d.Changed[kind]; n > 0 {
			kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
			all += n
		}
	}
	fmt.Fprintf(w, "the other configuration: %s\n", strings.Join(kinds, ", "))
	if len(d.Changes) > 0 {
		t := newTable("JAIL", "ID", "", "HERE: FIRST BAN", ">BANS", "FOR", "THERE: FIRST BAN", ">BANS", "FOR")
		for _, x := range d.Changes {
			at, bans, long := side(x.Before, x.BeforeBans, x.BeforeTotal, now)
			at2, bans2, long2 := side(x.After, x.AfterBans, x.AfterTotal, now)
			t.add(x.Jail, x.ID, x.Kind, at, bans, long, at2, bans2, long2)
		}
		t.write(w)
	}
	if more := all - len(d.Changes); more > 0 {
		fmt.Fprintf(w, "and %d more (--limit 0 shows all)\n", more)
	}
}

// side is what one configuration does to an ID.
func side(first *time.Time, bans int, total int64, now time.Time) (at string, n int, long string) {
	if first == nil {
		return "-", 0, "-"
	}
	return stamp(*first, now), bans, seconds(total)
}
