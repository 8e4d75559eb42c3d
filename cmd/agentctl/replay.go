package main

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/setup"
)

// replayBansShown is how many bans of a jail are shown to people unless --limit says otherwise.
const replayBansShown = 20

// replayCommand runs logs through a configuration, or through two.
func replayCommand(ctx context.Context, c *call) error {
	limit, err := c.limit(replayBansShown)
	if err != nil {
		return err
	}
	logs, size, err := c.replayLogs()
	if err != nil {
		return err
	}
	jails := setup.New(c.config, c.named)
	first, err := c.replayWith(ctx, jails, logs, size)
	if err != nil {
		return err
	}
	other, compared := c.values["diff"]
	if !compared || first.Interrupted {
		if err := c.print(first, func(w io.Writer) { showReplay(w, first, limit) }); err != nil {
			return err
		}
		return interruption(first)
	}
	second, err := c.replayWith(ctx, setup.New(other, true), logs, size)
	if err != nil {
		return err
	}
	changes := replay.Diff(first, second)
	if changes == nil {
		changes = []replay.Change{}
	}
	if err := c.print(changes, func(w io.Writer) { showChanges(w, changes, limit) }); err != nil {
		return err
	}
	if err := interruption(second); err != nil {
		return err
	}
	if len(changes) > 0 {
		return errFound // as diff does
	}
	return nil
}

func interruption(r *replay.Result) error {
	if r.Interrupted {
		return fmt.Errorf("interrupted after %d lines: what is shown is of these", r.Lines)
	}
	return nil
}

// replayLogs are the logs that are named, and how many bytes they have in all, 0 if that is not known.
func (c *call) replayLogs() (logs []replay.Log, size int64, err error) {
	now := c.now()
	if text, ok := c.values["now"]; ok {
		if now, err = moment(text); err != nil {
			return nil, 0, usagef("--now: %v", err)
		}
	}
	known := true
	for _, name := range c.args {
		log := replay.Log{Name: name, Now: now}
		if name == "-" {
			log.Open = func() (io.ReadCloser, error) { return io.NopCloser(c.stdin), nil }
			logs, known = append(logs, log), false
			if _, twice := c.values["diff"]; twice {
				return nil, 0, usagef("--diff reads the logs twice, and standard input can be read once")
			}
			continue
		}
		path, err := filepath.Abs(name)
		if err != nil {
			return nil, 0, fmt.Errorf("find %s: %w", name, err)
		}
		st, err := os.Stat(path)
		if err != nil {
			return nil, 0, fmt.Errorf("read the log: %w", err)
		}
		if st.IsDir() {
			return nil, 0, usagef("%s is a folder: name the logs in it", name)
		}
		log.Name = path
		if _, given := c.values["now"]; !given {
			log.Now = st.ModTime() // the year of its last line, where lines name none
		}
		log.Open = func() (io.ReadCloser, error) { return openLog(path) }
		if strings.HasSuffix(path, ".gz") {
			known = false
		}
		size += st.Size()
		logs = append(logs, log)
	}
	if !known {
		size = 0
	}
	return logs, size, nil
}

// openLog opens a log, also one that logrotate has compressed.
func openLog(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil || !strings.HasSuffix(path, ".gz") {
		return f, err
	}
	z, err := gzip.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &zipped{z, f}, nil
}

type zipped struct {
	*gzip.Reader
	file io.Closer
}

// Close implements io.Closer.
func (z *zipped) Close() error {
	_ = z.Reader.Close()
	return z.file.Close()
}

// replayWith runs the logs through one configuration.
func (c *call) replayWith(ctx context.Context, l *setup.Loader, logs []replay.Log, size int64) (*replay.Result, error) {
	names := c.lists["jail"]
	jails, book, problems, err := l.ReplayJails(names...)
	for _, p := range problems {
		if p.Severity == config.Error && (p.Jail == "" || len(names) == 0) {
			c.talk("%s", p.Error())
		}
	}
	if err != nil {
		return nil, err
	}
	if len(jails) == 0 {
		return nil, fmt.Errorf("no jail is enabled in %s: name one with --jail", l.Name())
	}
	if !c.assign(jails, logs, len(names) > 0) {
		c.talk("no jail of %s watches these logs: every jail tries them all", l.Name())
	}
	o := replay.Options{Jails: jails, Logs: logs, Book: book}
	if c.flags["dns"] {
		o.Resolve = newResolver()
	}
	began, told, shown := time.Now(), time.Now(), false
	if isTerminal(c.stderr) {
		o.Progress = func(bytes, lines int64) {
			if time.Since(told) < time.Second {
				return
			}
			told, shown = time.Now(), true
			share := ""
			if size > 0 {
				share = fmt.Sprintf("%3.0f %%, ", 100*float64(bytes)/float64(size))
			}
			fmt.Fprintf(c.stderr, "\r%s%d lines, %.0f a second\x1b[K", share, lines, float64(lines)/time.Since(began).Seconds())
		}
	}
	r, err := replay.Run(ctx, o)
	if shown {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	return r, err
}

// assign gives each log to the jails that watch it; jails that were named get all. It reports false if no
// jail watches any, so that all of them get all.
func (c *call) assign(jails []replay.Jail, logs []replay.Log, named bool) bool {
	watched := named
	for _, j := range jails {
		for _, log := range logs {
			watched = watched || j.Watches(original(log.Name))
		}
	}
	for i := range jails {
		watches := jails[i].Watches
		jails[i].Watches = func(path string) bool { return named || !watched || watches(original(path)) }
	}
	return watched
}

// original is the name that a rotated log had: auth.log of auth.log.1, auth.log.2.gz or auth.log-20261122.
func original(path string) string {
	path = strings.TrimSuffix(path, ".gz")
	if i := strings.LastIndexAny(path, ".-"); i > 0 && strings.Trim(path[i+1:], "0123456789") == "" && i+1 < len(path) {
		return path[:i]
	}
	return path
}

func showReplay(w io.Writer, r *replay.Result, limit int) {
	for _, j := range r.Jails {
		fmt.Fprintf(w, "%s: %s, %s in %s matched, %s, %s\n", safe(j.Name), safe(strings.Join(j.Logs, " ")),
			plural(j.Matched, "line", "lines"), plural(j.Lines, "line", "lines"), plural(j.Failures, "failure", "failures"), plural(j.Banned, "ban", "bans"))
		for _, x := range []struct {
			n    int64
			what string
		}{
			{j.Ignored, "of those whom the jail ignores"},
			{j.TooOld, "out of order by more than findtime"},
			{j.Names, "of host names, not looked up (see --dns)"},
			{j.GaveUp, "searches given up at the limit of a regex"},
		} {
			if x.n > 0 {
				fmt.Fprintf(w, "  besides, %d %s\n", x.n, x.what)
			}
		}
		if len(j.Bans) == 0 {
			continue
		}
		t := newTable("  BANNED", "AT", "FOR", ">BAN", ">FAILURES", "FROM LINE", "TO LINE", "")
		shown := j.Bans
		if limit > 0 && len(shown) > limit {
			shown = shown[:limit]
		}
		for _, b := range shown {
			t.add("  "+safe(b.ID), b.Time.Local().Format("2006-01-02 15:04:05"), lasting(b.Duration), strconv.Itoa(b.Count), strconv.Itoa(b.Failures),
				at(b.First), at(b.Last), safe(shortened(b.Last.Text)))
		}
		t.write(w)
		if more := j.Banned - int64(len(shown)); more > 0 {
			fmt.Fprintf(w, "  and %d more (--limit 0 shows all)\n", more)
		}
	}
	fmt.Fprintf(w, "%s", plural(r.Lines, "line", "lines"))
	if r.Took > 0 {
		fmt.Fprintf(w, " in %.2f s, %.0f a second", r.Took, float64(r.Lines)/r.Took)
	}
	fmt.Fprintln(w)
}

func at(p replay.Place) string { return fmt.Sprintf("%s:%d", safe(filepath.Base(p.Log)), p.Line) }

// lasting is a ban time for people.
func lasting(seconds int64) string {
	if seconds < 0 {
		return "ever"
	}
	return (time.Duration(seconds) * time.Second).String()
}

func showChanges(w io.Writer, changes []replay.Change, limit int) {
	if len(changes) == 0 {
		fmt.Fprintln(w, "both ban the same")
		return
	}
	t := newTable("JAIL", "ID", "", "FIRST BAN", "IN THE OTHER", "FOR", "IN THE OTHER")
	shown := changes
	if limit > 0 && len(shown) > limit {
		shown = shown[:limit]
	}
	stamp := func(at *time.Time) string {
		if at == nil {
			return "none"
		}
		return at.Local().Format("2006-01-02 15:04:05")
	}
	for _, x := range shown {
		t.add(safe(x.Jail), safe(x.ID), x.Kind, stamp(x.Before), stamp(x.After), lasting(x.BeforeTotal), lasting(x.AfterTotal))
	}
	t.write(w)
	if more := len(changes) - len(shown); more > 0 {
		fmt.Fprintf(w, "and %d more (--limit 0 shows all)\n", more)
	}
}
