package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// memoryStore is a store in memory that can fail.
type memoryStore struct {
	mu        sync.Mutex // guards the fields below
	fail      error
	bans      map[jail.Key]jail.Ban
	histories map[jail.Key]jail.History
	tallies   map[jail.Key]jail.Tally
	positions map[placeKey]store.Position
	commits   int
}

func newMemoryStore() *memoryStore {
	return &memoryStore{
		bans: map[jail.Key]jail.Ban{}, histories: map[jail.Key]jail.History{},
		tallies: map[jail.Key]jail.Tally{}, positions: map[placeKey]store.Position{},
	}
}

func (m *memoryStore) Load() (store.Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var s store.Snapshot
	s.Bans = slices.Collect(maps.Values(m.bans))
	s.Histories = slices.Collect(maps.Values(m.histories))
	s.Tallies = slices.Collect(maps.Values(m.tallies))
	s.Positions = slices.Collect(maps.Values(m.positions))
	return s, nil
}

func (m *memoryStore) Commit(b store.Batch) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.commits++
	for _, x := range b.Bans {
		m.bans[x.Key] = x
	}
	for _, k := range b.Unbanned {
		delete(m.bans, k)
	}
	for _, x := range b.Histories {
		m.histories[x.Key] = x
	}
	for _, k := range b.Forgotten {
		delete(m.histories, k)
	}
	for _, x := range b.Tallies {
		m.tallies[x.Key] = x
	}
	for _, k := range b.Cleared {
		delete(m.tallies, k)
	}
	for _, p := range b.Positions {
		m.positions[placeKey{p.Jail, p.Path}] = p
	}
	for _, k := range b.Dropped {
		delete(m.positions, placeKey{k.Jail, k.Path})
	}
	return nil
}

func (m *memoryStore) setFail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memoryStore) bansOf() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.bans)
}

func (m *memoryStore) places() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.positions)
}

// wall is a firewall that remembers what is wished.
type wall struct {
	mu      sync.Mutex // guards the fields below
	scopes  []firewall.Scope
	wishes  map[string]time.Time // "owner prefix" -> until
	fail    chan error
	syncErr error
	kept    *bool
}

func newWall() *wall { return &wall{wishes: map[string]time.Time{}, fail: make(chan error, 1)} }

func (w *wall) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case err := <-w.fail:
		return err
	}
}

func (w *wall) SetScopes(s []firewall.Scope) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scopes = s
}

func (w *wall) Submit(wishes []firewall.Wish) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, x := range wishes {
		k := x.Owner + " " + x.Prefix.String()
		if x.Release {
			delete(w.wishes, k)
		} else {
			w.wishes[k] = x.Until
		}
	}
}

func (w *wall) Sync(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.syncErr
}

func (w *wall) Status() firewall.Status { return firewall.Status{Backend: "test"} }

func (w *wall) Contents(context.Context, int) ([]firewall.Element, error) {
	return []firewall.Element{{Set: "s", Prefix: netip.MustParsePrefix("192.0.2.1/32"), Timeout: time.Minute}}, nil
}

func (w *wall) SetAllow(cidr.Ranges) {}

func (w *wall) Find(context.Context, firewall.Query) (firewall.Page, error) {
	return firewall.Page{}, nil
}

func (w *wall) Verify(context.Context, func(done, total int)) (firewall.Verification, error) {
	return firewall.Verification{}, nil
}

func (w *wall) Close(keep bool) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.kept = &keep
	return nil
}

func (w *wall) holds(owner, prefix string) (until time.Time, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	until, ok = w.wishes[owner+" "+prefix]
	return until, ok
}

func (w *wall) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.wishes)
}

// rig is an agent with doubles around it and a real log file.
type rig struct {
	t     *testing.T
	dir   string
	log   string
	store *memoryStore
	wall  *wall
	agent *Agent
	end   func() error
	parts func(*Parts) // changes the parts before the start; may be nil

	mu     sync.Mutex // guards next
	next   Options
	reload error
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	r := &rig{t: t, dir: dir, log: filepath.Join(dir, "app.log"), store: newMemoryStore(), wall: newWall()}
	r.write("")
	return r
}

// jailOf is a jail that bans at the second failure for an hour.
func (r *rig) jailOf(name string, change ...func(*Jail)) Jail {
	r.t.Helper()
	f, id := r.filterOf(`^ app: failure from <HOST>$`, `^ app: user <F-USER>\S+</F-USER> from <HOST>$`)
	j := Jail{
		Policy: jail.Policy{Jail: name, MaxRetry: 2, FindTime: time.Hour, BanTime: time.Hour, MaxMatches: 5},
		Filter: f, FilterID: id, Files: []Files{{Pattern: r.log}}, Poll: true,
		Scopes: []firewall.Scope{{Owner: "jail:" + name, AllPorts: true}},
	}
	for _, c := range change {
		c(&j)
	}
	return j
}

// filterOf is a filter with these failregexes, and its identity.
func (r *rig) filterOf(failRegex ...string) (f *filter.Filter, id string) {
	r.t.Helper()
	o := filter.Options{FailRegex: failRegex, FindTime: time.Hour, Local: time.UTC}
	f, err := filter.New(o, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return f, fmt.Sprintf("%#v", o)
}

func (r *rig) start(jails ...Jail) {
	r.t.Helper()
	ready := make(chan struct{})
	parts := Parts{
		Store: r.store, Firewall: r.wall, Book: jail.NewBook(jail.Config{Random: func() float64 { return 0.5 }}),
		Resolver: NewResolver(), Log: slog.New(slog.DiscardHandler), Ready: func() { close(ready) },
		Reload: func() (Options, error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			return r.next, r.reload
		},
	}
	if r.parts != nil {
		r.parts(&parts)
	}
	r.agent = New(parts, Options{Jails: jails})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.agent.Run(ctx) }()
	r.end = sync.OnceValue(func() error { cancel(); return <-ended })
	r.t.Cleanup(func() { _ = r.end() })
	select {
	case <-ready:
	case err := <-ended:
		ended <- err
		r.t.Fatalf("the agent did not start: %v", err)
	case <-time.After(20 * time.Second):
		r.t.Fatal("the agent is not ready")
	}
}

func (r *rig) stop() {
	r.t.Helper()
	if err := r.end(); err != nil {
		r.t.Fatalf("the agent ended with %v", err)
	}
}

// write appends lines, each dated now.
func (r *rig) write(lines ...string) {
	r.t.Helper()
	var text []byte
	for _, l := range lines {
		if l != "" {
			text = fmt.Appendf(text, "%s %s\n", time.Now().UTC().Format(time.RFC3339), l)
		}
	}
	r.raw(text)
}

func (r *rig) raw(b []byte) {
	r.t.Helper()
	f, err := os.OpenFile(r.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := f.Write(b); err != nil {
		r.t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) until(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain until %s", what)
		}
	}
}

func (r *rig) jailStatus(name string) control.JailStatus {
	r.t.Helper()
	s, err := r.agent.Service().Jail(r.t.Context(), name)
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

func (r *rig) tally(name, id string) int {
	r.t.Helper()
	for _, t := range r.jailStatus(name).Tallies {
		if t.ID == id {
			return t.Failures
		}
	}
	return 0
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

var errDisk = errors.New("no space left on device")
