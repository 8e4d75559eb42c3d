package executor

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/source"
)

// statusOf answers status with its words.
func (h Handler) statusOf(ctx context.Context, words []string) (any, error) {
	switch {
	case len(words) == 0:
		return h.status(ctx)
	case len(words) > 2:
		return nil, refused("Invalid command (no status)")
	}
	flavor := "basic"
	if len(words) > 1 {
		flavor = words[1]
	}
	if words[0] == "--all" {
		return h.statusOfAll(ctx, flavor)
	}
	return h.jail(ctx, words[0], flavor)
}

func (h Handler) status(ctx context.Context) (any, error) {
	s, err := h.Service.Status(ctx)
	if err != nil {
		return nil, err
	}
	names := h.names(s)
	return pickle.List{pickle.Tuple{"Number of jail", len(names)}, pickle.Tuple{"Jail list", strings.Join(names, ", ")}}, nil
}

// statusOfAll is the status, and that of every jail.
func (h Handler) statusOfAll(ctx context.Context, flavor string) (any, error) {
	s, err := h.Service.Status(ctx)
	if err != nil {
		return nil, err
	}
	names := h.names(s)
	var jails pickle.Dict
	for _, name := range names {
		v, err := h.jail(ctx, name, flavor)
		if err != nil {
			return nil, err
		}
		jails = append(jails, pickle.Item{Key: name, Value: v})
	}
	return pickle.List{
		pickle.Tuple{"Number of jail", len(names)}, pickle.Tuple{"Jail list", strings.Join(names, ", ")}, jails,
	}, nil
}

// statistics are the figures of all jails: backend, failures, bans.
func (h Handler) statistics(ctx context.Context) (any, error) {
	s, err := h.Service.Status(ctx)
	if err != nil {
		return nil, err
	}
	all := pickle.Dict{}
	for _, name := range h.names(s) {
		c, _, err := h.Jails.Config(name)
		if err != nil {
			continue // a reload has come between
		}
		j := control.JailSummary{}
		if i := slices.IndexFunc(s.Jails, func(x control.JailSummary) bool { return x.Name == name }); i >= 0 {
			j = s.Jails[i]
		}
		all = append(all, pickle.Item{Key: name, Value: pickle.List{
			backendOf(c), pickle.Tuple{j.CurrentlyFailed, j.TotalFailed}, pickle.Tuple{j.CurrentlyBanned, j.TotalBanned},
		}})
	}
	return all, nil
}

// backendOf names what reads the logs of a jail.
func backendOf(c config.Jail) string {
	switch name := c.BackendSpec.Name; name {
	case "systemd", "polling", "pyinotify":
		return name
	}
	return "pyinotify"
}

// names lists the jails, sorted: those that run, and those that were added and not started.
func (h Handler) names(s control.Status) []string {
	names := h.Jails.Pending()
	for _, j := range s.Jails {
		names = append(names, j.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// about is the status of a jail, empty for one that was not started.
func (h Handler) about(ctx context.Context, name string) (control.JailStatus, error) {
	if slices.Contains(h.Jails.Pending(), name) {
		return control.JailStatus{}, nil
	}
	return h.Service.Jail(ctx, name)
}

// jail is the status of a jail. Of the flavors, those that ask the internet are shown as basic.
func (h Handler) jail(ctx context.Context, name, flavor string) (any, error) {
	c, _, err := h.Jails.Config(name)
	if err != nil {
		return nil, err
	}
	s, err := h.about(ctx, name)
	if err != nil {
		return nil, err
	}
	what := pickle.Tuple{"File list", filesOf(c, s)}
	if c.Journal() || len(what[1].(pickle.List)) == 0 && slices.ContainsFunc(s.Files, func(f control.File) bool { return f.Path == source.JournalPath }) {
		what = pickle.Tuple{"Journal matches", matchesOf(c)}
	}
	if flavor == "stats" {
		return pickle.List{backendOf(c), pickle.Tuple{s.CurrentlyFailed, s.TotalFailed}, pickle.Tuple{s.CurrentlyBanned, s.TotalBanned}}, nil
	}
	bans := pickle.List{
		pickle.Tuple{"Currently banned", s.CurrentlyBanned},
		pickle.Tuple{"Total banned", s.TotalBanned},
	}
	if flavor != "short" {
		bans = append(bans, pickle.Tuple{"Banned IP list", idsOf(s.Bans)})
	}
	return pickle.List{
		pickle.Tuple{"Filter", pickle.List{
			pickle.Tuple{"Currently failed", s.CurrentlyFailed}, pickle.Tuple{"Total failed", s.TotalFailed}, what,
		}},
		pickle.Tuple{"Actions", bans},
	}, nil
}

// filesOf lists the log files of a jail that are there, in the order of its logpath.
func filesOf(c config.Jail, s control.JailStatus) pickle.List {
	files := pickle.List{}
	listed := map[string]bool{}
	for _, p := range c.LogPaths {
		for _, f := range s.Files { // sorted
			hit := f.Path == p.Pattern || source.HasMeta(p.Pattern) && source.Matches(p.Pattern, f.Path)
			if hit && !listed[f.Path] && f.State != "missing" && f.Path != source.JournalPath {
				listed[f.Path] = true
				files = append(files, f.Path)
			}
		}
	}
	if len(s.Files) == 0 { // not started, or idle
		for _, p := range c.LogPaths {
			found := []string{p.Pattern}
			if source.HasMeta(p.Pattern) {
				found, _ = filepath.Glob(p.Pattern)
			}
			for _, path := range found {
				files = append(files, path)
			}
		}
	}
	return files
}

// matchesOf lists what of the journal a jail reads.
func matchesOf(c config.Jail) pickle.List {
	all := pickle.List{}
	if !c.Journal() {
		return all
	}
	for _, m := range c.JournalMatch {
		words := pickle.List{}
		for _, w := range m {
			words = append(words, w)
		}
		all = append(all, words)
	}
	return all
}

// forEver stands for the end of a ban that has none, as in fail2ban.
const forEver = "9999-12-31 23:59:59"

// byEnd sorts bans, those first that end first; of the same end, those that began first.
func byEnd(bans []control.Ban) []control.Ban {
	bans = slices.Clone(bans)
	slices.SortStableFunc(bans, func(a, b control.Ban) int {
		if a.Until == nil || b.Until == nil {
			return cmp.Or(cmp.Compare(never(a), never(b)), a.Since.Compare(b.Since))
		}
		return cmp.Or(a.Until.Compare(*b.Until), a.Since.Compare(b.Since))
	})
	return bans
}

// idsByEnd lists who is banned, those first whose bans end first.
func idsByEnd(bans []control.Ban) pickle.List {
	ids := pickle.List{}
	for _, b := range byEnd(bans) {
		ids = append(ids, b.ID)
	}
	return ids
}

// timesOf lists who is banned, since when and until when, those first whose bans end first.
func timesOf(bans []control.Ban) pickle.List {
	lines := pickle.List{}
	for _, b := range byEnd(bans) {
		end := forEver
		if b.Until != nil {
			end = b.Until.Local().Format(time.DateTime)
		}
		lines = append(lines, fmt.Sprintf("%s \t%s + %d = %s", b.ID, b.Since.Local().Format(time.DateTime), b.Duration, end))
	}
	return lines
}

// never is 1 for a ban without an end.
func never(b control.Ban) int {
	if b.Until == nil {
		return 1
	}
	return 0
}
