package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/movein"
	"github.com/palisade-agent/palisade/internal/setup"
	"github.com/palisade-agent/palisade/internal/store"
)

const (
	defaultDatabase = "/var/lib/agentd/agentd.db"
	// importPart is how much goes into one request, below what the daemon takes.
	importPart = 512 << 10
)

// importResult is what an import did.
type importResult struct {
	From    string                 `json:"from"`
	Into    string                 `json:"into"` // the daemon, or its database
	DryRun  bool                   `json:"dry_run,omitempty"`
	Version int                    `json:"version"` // of fail2ban's database
	Jails   []control.ImportedJail `json:"jails"`
	Odd     int                    `json:"odd,omitempty"`      // rows that make no sense
	Journal int                    `json:"journals,omitempty"` // places in the journal, which are not taken
}

// importBans takes over what fail2ban's database holds.
func importBans(ctx context.Context, c *call) error {
	path, err := c.importFrom()
	if err != nil {
		return err
	}
	d, err := movein.Read(ctx, path)
	if err != nil {
		return fmt.Errorf("%s: %w (nothing was taken)", path, err)
	}
	r := importResult{From: path, DryRun: c.flags["dry-run"], Version: d.Version, Odd: d.Odd, Journal: d.Journals}
	give, done, err := c.importInto(ctx, &r)
	if err != nil {
		return err
	}
	defer done()
	jails := map[string]*control.ImportedJail{}
	parts := partsOf(d, r.DryRun)
	for i, part := range parts {
		v, err := give(part)
		if err != nil {
			return fmt.Errorf("%w (%d of %d parts were taken; it can be run again)", err, i, len(parts))
		}
		for _, j := range v.Jails {
			add(jails, j)
		}
		if isTerminal(c.stderr) && len(parts) > 1 {
			fmt.Fprintf(c.stderr, "\r%3d %%\x1b[K", 100*(i+1)/len(parts))
		}
	}
	if isTerminal(c.stderr) && len(parts) > 1 {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	r.Jails = []control.ImportedJail{}
	for _, j := range jails {
		r.Jails = append(r.Jails, *j)
	}
	slices.SortFunc(r.Jails, func(a, b control.ImportedJail) int { return cmp.Compare(a.Jail, b.Jail) })
	return c.print(r, func(w io.Writer) { showImport(w, r) })
}

// importFrom is the database: the one that was named, or that of fail2ban.conf.
func (c *call) importFrom() (string, error) {
	if len(c.args) > 0 {
		path, err := filepath.Abs(c.args[0])
		if err != nil {
			return "", fmt.Errorf("find %s: %w", c.args[0], err)
		}
		return path, nil
	}
	cfg, err := setup.New(c.config, c.named).Read()
	if err != nil {
		return "", err
	}
	if path := cfg.Global.DBFile; path != "" && path != "None" && path != ":memory:" {
		return path, nil
	}
	return "", usagef("fail2ban.conf says that fail2ban has no database (dbfile): name a file")
}

// importInto finds who takes the bans: the daemon, or, where none runs, its database.
func (c *call) importInto(ctx context.Context, r *importResult) (give func(control.ImportRequest) (control.ImportResult, error), done func(), err error) {
	db, named := c.values["db"]
	switch err := c.client.Ping(ctx); {
	case err == nil && named:
		return nil, nil, usagef("agentd runs and has its own database: leave out --db")
	case err == nil:
		r.Into = "agentd"
		return func(q control.ImportRequest) (control.ImportResult, error) { return c.client.Import(ctx, q) }, func() {}, nil
	case !errors.Is(err, control.ErrNotRunning):
		return nil, nil, err
	}
	if !named {
		db = defaultDatabase
	}
	if err := os.MkdirAll(filepath.Dir(db), 0o700); err != nil {
		return nil, nil, fmt.Errorf("make the database's folder: %w", err)
	}
	file, err := store.Open(db, store.Options{})
	if err != nil {
		return nil, nil, fmt.Errorf("open agentd's database: %w", err)
	}
	r.Into = db
	running := map[string]bool{}
	if cfg, err := setup.New(c.config, c.named).Read(); err == nil { // what is wrong there, agentctl check tells
		for _, list := range [][]config.Jail{cfg.Jails, cfg.Unsound} {
			for _, j := range list {
				running[j.Name] = true
			}
		}
	}
	give = func(q control.ImportRequest) (control.ImportResult, error) {
		v, err := agent.ImportInto(file, q, c.now())
		for i := range v.Jails {
			v.Jails[i].Runs = running[v.Jails[i].Jail]
		}
		return v, err
	}
	return give, func() { _ = file.Close() }, nil // what was written is durable
}

// partsOf divides what was read into requests that the daemon takes.
func partsOf(d *movein.Database, dry bool) (parts []control.ImportRequest) {
	part, size := control.ImportRequest{DryRun: dry}, 0
	grow := func(v any) {
		b, _ := json.Marshal(v) // plain values
		if size += len(b) + 1; size > importPart {
			parts = append(parts, part)
			part, size = control.ImportRequest{DryRun: dry}, len(b)
		}
	}
	for _, b := range d.Bans {
		grow(b)
		part.Bans = append(part.Bans, b)
	}
	for _, p := range d.Positions {
		grow(p)
		part.Positions = append(part.Positions, p)
	}
	return append(parts, part)
}

// add adds the figures of a part.
func add(jails map[string]*control.ImportedJail, j control.ImportedJail) {
	all := jails[j.Jail]
	if all == nil {
		all = &control.ImportedJail{Jail: j.Jail}
		jails[j.Jail] = all
	}
	all.Runs = all.Runs || j.Runs
	all.Bans += j.Bans
	all.Known += j.Known
	all.Over += j.Over
	all.Ignored += j.Ignored
	all.Histories += j.Histories
	all.Positions += j.Positions
}

func showImport(w io.Writer, r importResult) {
	taken := "taken"
	if r.DryRun {
		taken = "would be taken"
	}
	fmt.Fprintf(w, "%s, version %d, into %s\n", safe(r.From), r.Version, safe(r.Into))
	if len(r.Jails) == 0 {
		fmt.Fprintln(w, "there is nothing in it")
	} else {
		t := newTable("JAIL", ">BANS", ">HELD ALREADY", ">OVER", ">IGNORED", ">HISTORIES", ">LOGS", "")
		sum := control.ImportedJail{}
		for _, j := range r.Jails {
			note := ""
			if !j.Runs {
				note = "there is no such jail: kept for the day that there is"
			}
			t.add(safe(j.Jail), j.Bans, j.Known, j.Over, j.Ignored, j.Histories, j.Positions, note)
			sum.Bans, sum.Histories, sum.Positions = sum.Bans+j.Bans, sum.Histories+j.Histories, sum.Positions+j.Positions
		}
		t.write(w)
		fmt.Fprintf(w, "%s: %s, %s, %s\n", taken, plural(sum.Bans, "ban", "bans"), plural(sum.Histories, "history", "histories"),
			plural(sum.Positions, "place in a log", "places in logs"))
	}
	if r.Odd > 0 {
		fmt.Fprintf(w, "%s no sense and left out\n", plural(r.Odd, "row makes", "rows make"))
	}
	if r.Journal > 0 {
		fmt.Fprintf(w, "%s in the journal not taken: it is read from findtime ago\n", plural(r.Journal, "place is", "places are"))
	}
}
