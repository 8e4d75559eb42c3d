package report_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/report"
	"github.com/palisade-agent/palisade/internal/store"
)

// memory is a Store in memory that can fail.
type memory struct {
	mu   sync.Mutex
	rows map[string]store.OutboxRow
	err  error
}

func newMemory() *memory { return &memory{rows: map[string]store.OutboxRow{}} }

func (m *memory) Outbox(destination string, each func(store.OutboxRow) bool) error {
	return m.OutboxFrom(destination, 0, each)
}

func (m *memory) OutboxFrom(destination string, from uint64, each func(store.OutboxRow) bool) error {
	m.mu.Lock()
	var all []store.OutboxRow
	for _, r := range m.rows {
		if (destination == "" || r.Destination == destination) && (destination == "" || r.ID >= from) {
			all = append(all, r)
		}
	}
	m.mu.Unlock()
	slices.SortFunc(all, func(a, b store.OutboxRow) int {
		return strings.Compare(fmt.Sprintf("%s %020d", a.Destination, a.ID), fmt.Sprintf("%s %020d", b.Destination, b.ID))
	})
	for _, r := range all {
		if !each(r) {
			break
		}
	}
	return nil
}

func (m *memory) CommitOutbox(rows []store.OutboxRow) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return m.err
	}
	for _, r := range rows {
		key := fmt.Sprintf("%s %d", r.Destination, r.ID)
		if r.Value == nil {
			delete(m.rows, key)
		} else {
			m.rows[key] = r
		}
	}
	return nil
}

func (m *memory) fail(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

// taker is a Destination that remembers what it was told, and answers as it is told to.
type taker struct {
	mu     sync.Mutex
	told   []string // "ADDRESS AFTER", since begin
	begin  time.Time
	answer func(r report.Report) report.Result
}

func newTaker() *taker { return &taker{begin: time.Now()} }

func (k *taker) Send(_ context.Context, r report.Report) report.Result {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.told = append(k.told, fmt.Sprintf("%s %v", r.Addr, time.Since(k.begin).Round(time.Second)))
	if k.answer != nil {
		return k.answer(r)
	}
	return report.Result{Kind: report.Sent, Status: 200}
}

func (k *taker) all() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return strings.Join(k.told, ", ")
}

func rules(change func(*report.Rules)) report.Rules {
	r := report.Rules{Name: "d", Jails: []string{"sshd"}, Hold: 5 * time.Minute, Dedupe: 24 * time.Hour}
	if change != nil {
		change(&r)
	}
	return r
}

func ban(addr string) report.Ban {
	a := netip.MustParseAddr(addr)
	return report.Ban{Jail: "sshd", Filter: "sshd", Prefix: netip.PrefixFrom(a, a.BitLen()), Local: true, Banned: time.Now(), Last: time.Now(), Failures: 5}
}

// desk is a Desk that runs in a bubble of synctest.
type desk struct {
	*report.Desk
	t    *testing.T
	kept *memory
	stop func()
}

func newDesk(t *testing.T, kept *memory, setups ...report.Setup) *desk {
	t.Helper()
	d := &desk{Desk: report.NewDesk(report.Options{Store: kept}), t: t, kept: kept}
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	d.Set(setups)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	d.stop = func() { cancel(); <-ended }
	return d
}

// stage stages bans and writes their rows, as the engine does.
func (d *desk) stage(bans ...report.Ban) int {
	d.t.Helper()
	rows := d.Stage(bans)
	if err := d.kept.CommitOutbox(rows); err != nil {
		d.t.Fatal(err)
	}
	d.Stored(rows)
	return len(rows)
}

func (d *desk) states() string {
	d.t.Helper()
	rows, err := d.List(report.Query{})
	if err != nil {
		d.t.Fatal(err)
	}
	slices.Reverse(rows)
	var all []string
	for _, r := range rows {
		all = append(all, fmt.Sprintf("%s %s", r.Report.Addr, r.State))
	}
	return strings.Join(all, ", ")
}

func pass(d time.Duration) { time.Sleep(d); synctest.Wait() }

func TestAReportWaitsAndIsSentOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		d.stage(ban("8.8.8.8"), ban("9.9.9.9"))
		pass(4*time.Minute + 59*time.Second)
		if k.all() != "" {
			t.Errorf("told too early: %s", k.all())
		}
		pass(10 * time.Second)
		if k.all() != "8.8.8.8 5m0s, 9.9.9.9 5m1s" {
			t.Errorf("told: %s", k.all())
		}
		if n := d.stage(ban("8.8.8.8")); n != 0 {
			t.Error("an address is reported again at once")
		}
		pass(24 * time.Hour)
		if n := d.stage(ban("8.8.8.8")); n != 1 {
			t.Error("an address is not reported after a day")
		}
		if got := d.states(); got != "8.8.8.8 sent, 9.9.9.9 sent, 8.8.8.8 waiting" {
			t.Errorf("states: %s", got)
		}
	})
}

func TestAReportIsNotSentIfTheBanIsLifted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		d.stage(ban("8.8.8.8"), ban("9.9.9.9"))
		pass(time.Minute)
		rows := d.Cancel("other", netip.MustParsePrefix("8.8.8.8/32"))
		rows = append(rows, d.Cancel("sshd", netip.MustParsePrefix("9.9.9.9/32"))...)
		if len(rows) != 1 {
			t.Errorf("%d rows", len(rows))
		}
		if err := d.kept.CommitOutbox(rows); err != nil {
			t.Fatal(err)
		}
		pass(time.Hour)
		if k.all() != "8.8.8.8 5m0s" || d.states() != "8.8.8.8 sent, 9.9.9.9 cancelled" {
			t.Errorf("told %s; states %s", k.all(), d.states())
		}
		if n := d.stage(ban("9.9.9.9")); n != 1 {
			t.Error("an address whose report was cancelled is not reported when it is banned again")
		}
	})
}

func TestOnlyWhatIsOnTheDiskIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		rows := d.Stage([]report.Ban{ban("8.8.8.8")})
		pass(time.Hour)
		if k.all() != "" {
			t.Errorf("told: %s", k.all())
		}
		if err := d.kept.CommitOutbox(rows); err != nil {
			t.Fatal(err)
		}
		d.Stored(rows)
		pass(time.Second)
		if k.all() != "8.8.8.8 1h0m0s" {
			t.Errorf("told: %s", k.all())
		}
	})
}

func TestWhatWasSentAndCouldNotBeSavedStopsTheNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		d.stage(ban("8.8.8.8"), ban("9.9.9.9"))
		d.kept.fail(errors.New("disk full"))
		pass(time.Hour)
		if k.all() != "8.8.8.8 5m0s" {
			t.Errorf("told: %s", k.all())
		}
		if s := d.Status(); !strings.Contains(s[0].Trouble, "cannot be saved") {
			t.Errorf("%+v", s)
		}
		d.kept.fail(nil)
		pass(time.Minute)
		if !strings.HasPrefix(k.all(), "8.8.8.8 5m0s, 9.9.9.9 1h0m") || d.states() != "8.8.8.8 sent, 9.9.9.9 sent" {
			t.Errorf("told %s; states %s", k.all(), d.states())
		}
	})
}

// TestAnswersMeanWhatTheySay: one destination for each.
func TestAnswersMeanWhatTheySay(t *testing.T) {
	for name, c := range map[string]struct {
		answer  func(n int) report.Result
		told    string
		states  string
		trouble string
	}{
		"known":   {func(int) report.Result { return report.Result{Kind: report.Known} }, "1.1.1.1 5m0s, 2.2.2.2 5m1s", "1.1.1.1 known, 2.2.2.2 known", ""},
		"refused": {func(int) report.Result { return report.Result{Kind: report.Refused} }, "1.1.1.1 5m0s, 2.2.2.2 5m1s", "1.1.1.1 refused, 2.2.2.2 refused", ""},
		"broken":  {func(int) report.Result { return report.Result{Kind: report.Broken, Status: 401, Detail: "no"} }, "1.1.1.1 5m0s", "1.1.1.1 waiting, 2.2.2.2 waiting", "the server answers 401: no"},
		"later, once": {func(n int) report.Result {
			if n == 1 {
				return report.Result{Kind: report.Later}
			}
			return report.Result{Kind: report.Sent}
		}, "1.1.1.1 5m0s, 2.2.2.2 6m0s, 1.1.1.1 6m1s", "1.1.1.1 sent, 2.2.2.2 sent", ""},
		"later, after a time": {func(n int) report.Result {
			if n == 1 {
				return report.Result{Kind: report.Later, After: time.Hour}
			}
			return report.Result{Kind: report.Sent}
		}, "1.1.1.1 5m0s, 2.2.2.2 1h5m0s, 1.1.1.1 1h5m1s", "1.1.1.1 sent, 2.2.2.2 sent", ""},
		"spent": {func(n int) report.Result {
			if n == 1 {
				return report.Result{Kind: report.Spent, Until: time.Date(2000, 1, 1, 2, 0, 0, 0, time.UTC)}
			}
			return report.Result{Kind: report.Sent}
		}, "1.1.1.1 5m0s, 1.1.1.1 2h0m0s, 2.2.2.2 2h0m1s", "1.1.1.1 sent, 2.2.2.2 sent", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, n := newTaker(), 0
				k.answer = func(report.Report) report.Result { n++; return c.answer(n) }
				d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
				defer d.stop()
				d.stage(ban("1.1.1.1"), ban("2.2.2.2"))
				pass(3 * time.Hour)
				if k.all() != c.told || d.states() != c.states || d.Status()[0].Trouble != c.trouble {
					t.Errorf("told %s\nstates %s\ntrouble %q", k.all(), d.states(), d.Status()[0].Trouble)
				}
			})
		})
	}
}

func TestABudgetIsOfTheDayAndOutlivesARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, kept := newTaker(), newMemory()
		setup := report.Setup{Rules: rules(func(r *report.Rules) { r.Budget, r.Hold = 2, 0 }), Destination: k}
		d := newDesk(t, kept, setup)
		d.stage(ban("1.1.1.1"), ban("2.2.2.2"), ban("3.3.3.3"))
		pass(time.Hour)
		d.stop()
		d = newDesk(t, kept, setup)
		defer d.stop()
		pass(22 * time.Hour)
		if k.all() != "1.1.1.1 0s, 2.2.2.2 1s" || d.Status()[0].Used != 2 {
			t.Errorf("told %s, %+v", k.all(), d.Status())
		}
		pass(2 * time.Hour) // the clock of a bubble begins at midnight, by UTC
		if k.all() != "1.1.1.1 0s, 2.2.2.2 1s, 3.3.3.3 24h0m0s" {
			t.Errorf("told %s", k.all())
		}
	})
}

func TestAFloodStopsReportsUntilItIsQuiet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(func(r *report.Rules) { r.Flood = 10 }), Destination: k})
		defer d.stop()
		for i := range 11 {
			d.stage(ban(fmt.Sprintf("8.8.8.%d", i)))
		}
		pass(9 * time.Minute)
		if k.all() != "" || !strings.Contains(d.Status()[0].Trouble, "more than 10 addresses") {
			t.Errorf("told %s, %+v", k.all(), d.Status())
		}
		pass(2 * time.Minute)
		if n := len(strings.Split(k.all(), ", ")); n != 11 || d.Status()[0].Trouble != "" {
			t.Errorf("told %d, %+v", n, d.Status())
		}
	})
}

func TestAnOperatorRetriesAndDrops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		k.answer = func(report.Report) report.Result { return report.Result{Kind: report.Broken, Detail: "no key"} }
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(nil), Destination: k})
		defer d.stop()
		d.stage(ban("1.1.1.1"), ban("2.2.2.2"), ban("3.3.3.3"))
		pass(time.Hour)
		if n, err := d.Drop([]uint64{2}, ""); n != 1 || err != nil {
			t.Errorf("dropped %d, %v", n, err)
		}
		if _, err := d.Drop([]uint64{2}, ""); !errors.Is(err, report.ErrNoReport) {
			t.Errorf("dropped twice: %v", err)
		}
		k.mu.Lock()
		k.answer = nil
		k.mu.Unlock()
		if n, err := d.Retry(nil); n != 2 || err != nil {
			t.Errorf("%d are tried again, %v", n, err)
		}
		pass(time.Minute)
		if d.states() != "1.1.1.1 sent, 2.2.2.2 dropped, 3.3.3.3 sent" {
			t.Errorf("states: %s", d.states())
		}
		if _, err := d.Retry([]uint64{1}); err == nil || !strings.Contains(err.Error(), "not sent twice") {
			t.Errorf("%v", err)
		}
		if _, err := d.Retry([]uint64{2}); !errors.Is(err, report.ErrNotAgain) {
			t.Errorf("what is never to be sent is tried again: %v", err)
		}
	})
}

func TestAReloadChangesRulesAndKeepsWhatWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newTaker()
		setup := report.Setup{Rules: rules(nil), Destination: k, Same: "1"}
		d := newDesk(t, newMemory(), setup)
		defer d.stop()
		d.stage(ban("1.1.1.1"))
		d.Set(nil) // it is gone
		if n := d.stage(ban("2.2.2.2")); n != 0 {
			t.Error("a destination that is gone is told")
		}
		pass(time.Hour)
		if s := d.Status(); k.all() != "" || len(s) != 1 || s[0].Configured || s[0].Waiting != 1 {
			t.Errorf("told %s, %+v", k.all(), s)
		}
		setup.Hold = 0
		d.Set([]report.Setup{setup})
		pass(time.Minute)
		d.stage(ban("3.3.3.3"))
		pass(time.Second)
		if k.all() != "1.1.1.1 1h0m0s, 3.3.3.3 1h1m0s" {
			t.Errorf("told %s", k.all())
		}
	})
}

// bulk takes many at once when single reports are spent.
type bulk struct {
	taker
	files []int
}

func (*bulk) Most() int { return 15 }

func (b *bulk) SendBulk(_ context.Context, reports []report.Report) []report.Result {
	b.files = append(b.files, len(reports))
	all := make([]report.Result, len(reports))
	for i := range all {
		all[i] = report.Result{Kind: report.Sent}
	}
	all[0].Kind = report.Refused
	return all
}

func TestWhenSingleReportsAreSpentManyGoTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bulk{taker: *newTaker()}
		d := newDesk(t, newMemory(), report.Setup{Rules: rules(func(r *report.Rules) { r.Budget, r.Hold = 3, 0 }), Destination: b})
		defer d.stop()
		for i := range 30 {
			d.stage(ban(fmt.Sprintf("8.8.8.%d", i)))
		}
		pass(time.Hour)
		if n := len(strings.Split(b.all(), ", ")); n != 3 || fmt.Sprint(b.files) != "[15 12]" {
			t.Errorf("%d single ones, files of %v", n, b.files)
		}
		if s := d.Status()[0]; s.Waiting != 0 || s.Counts.Sent != 28 || s.Counts.Refused != 2 {
			t.Errorf("%+v", s)
		}
	})
}

func TestADatabaseOfTheStoreHoldsTheDesk(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agentd.db")
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	d := report.NewDesk(report.Options{Store: db})
	d.Set([]report.Setup{{Rules: rules(nil), Destination: newTaker()}})
	if err := db.CommitOutbox(d.Stage([]report.Ban{ban("8.8.8.8"), ban("2606:4700::1")})); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = store.Open(path, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	d = report.NewDesk(report.Options{Store: db})
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	d.Set([]report.Setup{{Rules: rules(nil), Destination: newTaker()}})
	if rows := d.Stage([]report.Ban{ban("8.8.8.8"), ban("9.9.9.9")}); len(rows) != 1 || rows[0].ID != 3 {
		t.Errorf("%+v", rows)
	}
	if r, err := d.Show(2); err != nil || r.Report.Addr.String() != "2606:4700::1" || !strings.HasPrefix(r.Report.Comment, "SSH brute force: 5 failed attempts, the last at ") {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := d.Show(7); !errors.Is(err, report.ErrNoReport) {
		t.Errorf("%v", err)
	}
}
