package agent

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/internal/store"
)

// Takeover is an import made ready.
type Takeover struct {
	Snapshot  jail.Snapshot // bans, and for each a history
	Positions []store.Position
}

// NewTakeover makes an import ready. The error is a control.ErrInvalid.
func NewTakeover(r control.ImportRequest) (t Takeover, err error) {
	for _, b := range r.Bans {
		key := jail.Key{Jail: b.Jail, ID: ident.Parse(b.ID)}
		if b.Jail == "" || key.ID.IsZero() || b.Start.IsZero() {
			return t, fmt.Errorf("%w: a ban needs a jail, an ID and its start", control.ErrInvalid)
		}
		length := time.Duration(min(b.Duration, maxSeconds)) * time.Second
		switch {
		case b.Duration == -2:
			length = jail.UnknownDuration
		case b.Duration < 0:
			length = jail.Permanent
		}
		t.Snapshot.Bans = append(t.Snapshot.Bans, jail.Ban{
			Key: key, Start: b.Start, BannedAt: b.Start, Duration: length, Count: max(b.Count, 1), Failures: max(b.Failures, 0),
			Lines: b.Lines, Data: b.Data, Origin: jail.Imported,
		})
		t.Snapshot.Histories = append(t.Snapshot.Histories, jail.History{Key: key, Count: max(b.Count, 1), Last: b.Start, Duration: length})
	}
	for _, p := range r.Positions {
		first, err := hex.DecodeString(p.First)
		if err != nil || len(first) != 20 || p.Offset < 0 || p.Jail == "" || p.Path == "" {
			return t, fmt.Errorf("%w: a place in a log needs a jail, a path, an offset and the SHA-1 of its first line", control.ErrInvalid)
		}
		t.Positions = append(t.Positions, store.Position{Jail: p.Jail, Position: source.Position{Path: p.Path, Offset: p.Offset, First: [20]byte(first)}})
	}
	return t, nil
}

// maxSeconds is what a Duration holds.
const maxSeconds = int64((1<<63 - 1) / time.Second)

// tally of an import, by jail.
type imported map[string]*control.ImportedJail

func (m imported) of(name string) *control.ImportedJail {
	if m[name] == nil {
		m[name] = &control.ImportedJail{Jail: name}
	}
	return m[name]
}

func (m imported) result() control.ImportResult {
	r := control.ImportResult{Jails: []control.ImportedJail{}}
	for _, j := range m {
		r.Jails = append(r.Jails, *j)
	}
	slices.SortFunc(r.Jails, func(a, b control.ImportedJail) int { return cmp.Compare(a.Jail, b.Jail) })
	return r
}

// take puts bans into a book, and tells what became of them.
func (t *Takeover) take(book *jail.Book, m imported, now time.Time, dry bool) []jail.Decision {
	decisions, bans, histories := book.Import(t.Snapshot, now, dry)
	for i, b := range t.Snapshot.Bans {
		j := m.of(b.Jail)
		switch bans[i] {
		case jail.Taken:
			j.Bans++
		case jail.Known:
			j.Known++
		case jail.Over:
			j.Over++
		}
		if histories[i] == jail.Taken {
			j.Histories++
		}
	}
	return decisions
}

// Import takes over bans of another program.
func (s service) Import(ctx context.Context, r control.ImportRequest) (control.ImportResult, error) {
	t, err := NewTakeover(r)
	if err != nil {
		return control.ImportResult{}, err
	}
	m := imported{}
	for _, j := range s.snapshot().Jails {
		name := j.Name()
		if g := s.a.source.ignorerOf(name); g != nil {
			t.leaveOut(func(id ident.ID) bool { _, is := g.listed(ctx, id); return is }, name, m)
		}
	}
	var result control.ChangeResult
	err = s.change(ctx, &result, func(e *engine) {
		decisions := t.take(e.book, m, time.Now(), r.DryRun)
		for _, p := range t.Positions {
			key := placeKey{p.Jail, p.Path}
			if _, known := e.positions[key]; known {
				continue
			}
			m.of(p.Jail).Positions++
			if !r.DryRun {
				e.positions[key] = p
				e.moved[key] = struct{}{}
			}
		}
		for name := range m {
			_, m[name].Runs = e.book.Policy(name)
		}
		e.enforce(decisions)
	})
	return m.result(), err
}

// leaveOut takes out the bans of IDs that a jail ignores.
func (t *Takeover) leaveOut(ignored func(ident.ID) bool, name string, m imported) {
	var bans []jail.Ban
	var histories []jail.History
	for i, b := range t.Snapshot.Bans {
		if b.Jail == name && ignored(b.ID) {
			m.of(name).Ignored++
			continue
		}
		bans, histories = append(bans, b), append(histories, t.Snapshot.Histories[i])
	}
	t.Snapshot.Bans, t.Snapshot.Histories = bans, histories
}

// ImportInto takes bans over into a database that no daemon has open.
func ImportInto(db Store, r control.ImportRequest, now time.Time) (control.ImportResult, error) {
	t, err := NewTakeover(r)
	if err != nil {
		return control.ImportResult{}, err
	}
	held, err := db.Load()
	if err != nil {
		return control.ImportResult{}, fmt.Errorf("load the database: %w", err)
	}
	book := jail.NewBook(jail.Config{PurgeAge: importPurge})
	book.Restore(held.Snapshot, now)
	m := imported{}
	t.take(book, m, now, r.DryRun)
	known := map[placeKey]bool{}
	for _, p := range held.Positions {
		known[placeKey{p.Jail, p.Path}] = true
	}
	b := store.Batch{}
	for _, p := range t.Positions {
		if !known[placeKey{p.Jail, p.Path}] {
			m.of(p.Jail).Positions++
			b.Positions = append(b.Positions, p)
		}
	}
	if r.DryRun {
		return m.result(), nil
	}
	c := book.TakeChanges() // of what was there, nothing is judged: that is the daemon's
	b.Bans, b.Histories = c.Bans, c.Histories
	if err := db.Commit(b); err != nil {
		return control.ImportResult{}, fmt.Errorf("write the database: %w", err)
	}
	return m.result(), nil
}

// importPurge is long: what is outdated is found by the daemon, which knows its configuration.
const importPurge = 10 * 365 * 24 * time.Hour
