package report_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/report"
	"github.com/palisade-agent/palisade/internal/store"
)

// walk is a random life of a desk, with a model of what it may do: the rules restated from the side of those who are
// told, as they are promised in the documentation.
type walk struct {
	t     *testing.T
	mu    sync.Mutex // guards what is known below: both destinations are told at once
	rng   *rand.Rand
	kept  *memory
	desk  *desk
	rules map[string]report.Rules
	allow map[netip.Addr]bool
	// staged are the reports that were promised, by "DESTINATION ID".
	staged map[string]*promise
	last   map[string]time.Time // banned at, of the last that was promised and not cancelled, by "DESTINATION ADDRESS"
	taken  map[string]int       // by "DESTINATION DAY"
	sent   int
}

type promise struct {
	ban       report.Ban
	at        time.Time
	cancelled bool
	answered  string // what was said at last
}

// teller is a destination of a walk.
type teller struct {
	w    *walk
	name string
}

// Send holds a report to the promises, and answers at random.
func (k teller) Send(_ context.Context, r report.Report) report.Result {
	w, key := k.w, fmt.Sprintf("%s %d", k.name, r.ID)
	w.mu.Lock()
	defer w.mu.Unlock()
	p, rules := w.staged[key], w.rules[k.name]
	switch {
	case p == nil:
		w.t.Errorf("%s: %s was never promised", key, r.Addr)
		return report.Result{Kind: report.Sent, Status: 200}
	case p.cancelled:
		w.t.Errorf("%s: the ban of %s was lifted", key, r.Addr)
	case p.answered == "sent" || p.answered == "refused":
		w.t.Errorf("%s: %s was %s before", key, r.Addr, p.answered)
	case time.Since(p.at) < rules.Hold:
		w.t.Errorf("%s: %s after %s", key, r.Addr, time.Since(p.at))
	case w.allow[r.Addr]:
		w.t.Errorf("%s: %s is allowed", key, r.Addr)
	case r.Addr != p.ban.Prefix.Addr() || r.Jail != p.ban.Jail || r.Failures != p.ban.Failures || r.Comment == "":
		w.t.Errorf("%s: %+v of %+v", key, r, p.ban)
	}
	today := k.name + time.Now().UTC().Format(" 2006-01-02")
	if w.taken[today] >= rules.Budget {
		w.t.Errorf("%s: %d reports on a day", k.name, w.taken[today]+1)
	}
	switch w.rng.IntN(8) {
	case 0:
		p.answered = "later"
		return report.Result{Kind: report.Later, After: time.Duration(w.rng.IntN(600)) * time.Second}
	case 1:
		p.answered = "spent"
		return report.Result{Kind: report.Spent, Status: 429, Until: time.Now().Add(time.Duration(w.rng.IntN(20)) * time.Hour)}
	case 2:
		p.answered = "refused"
		w.taken[today]++
		return report.Result{Kind: report.Refused, Status: 422}
	}
	p.answered = "sent"
	w.taken[today]++
	w.sent++
	return report.Result{Kind: report.Sent, Status: 200}
}

func (w *walk) setups() (all []report.Setup) {
	for _, name := range []string{"a", "b"} {
		all = append(all, report.Setup{Rules: w.rules[name], Destination: teller{w, name}, Same: name})
	}
	return all
}

// live begins a life of the daemon.
func (w *walk) live() {
	d := report.NewDesk(report.Options{Store: w.kept, Facts: func() report.Facts {
		var b cidr.Builder
		for a := range w.allow {
			b.Add(netip.PrefixFrom(a, a.BitLen()))
		}
		return report.Facts{Allow: b.Ranges()}
	}})
	if err := d.Load(); err != nil {
		w.t.Fatal(err)
	}
	d.Set(w.setups())
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	w.desk = &desk{Desk: d, t: w.t, kept: w.kept, stop: func() { cancel(); <-ended }}
}

// some is a ban, half of them such as nobody may hear of.
func (w *walk) some() report.Ban {
	addrs := []string{"8.8.8.1", "8.8.8.2", "8.8.8.3", "2a00::1", "10.1.1.1", "192.0.2.1", "fe80::1", "100.64.0.1"}
	a := netip.MustParseAddr(addrs[w.rng.IntN(len(addrs))])
	b := report.Ban{
		Jail: []string{"sshd", "nginx-x", "secret"}[w.rng.IntN(3)], Filter: "sshd", Prefix: netip.PrefixFrom(a, a.BitLen()),
		Local: w.rng.IntN(8) > 0, Restored: w.rng.IntN(8) == 0, Banned: time.Now(), Last: time.Now(), Failures: 1 + w.rng.IntN(6),
	}
	if w.rng.IntN(10) == 0 {
		b.Prefix = netip.PrefixFrom(a, a.BitLen()-8).Masked()
	}
	if w.rng.IntN(10) == 0 {
		b.Protocol = "udp"
	}
	return b
}

// expected are the destinations that are promised a ban.
func (w *walk) expected(b report.Ban) (to []string) {
	a := b.Prefix.Addr()
	public := strings.HasPrefix(a.String(), "8.8.8.") || a.String() == "2a00::1"
	if !b.Local || b.Restored || !public || b.Prefix.Bits() != a.BitLen() || b.Protocol == "udp" || w.allow[a] {
		return nil
	}
	if r := w.rules["a"]; b.Jail == "sshd" && b.Failures >= r.MinFailures && w.fresh("a", b) {
		to = append(to, "a")
	}
	if r := w.rules["b"]; (b.Jail == "sshd" || b.Jail == "nginx-x") && b.Failures >= r.MinFailures && w.fresh("b", b) {
		to = append(to, "b")
	}
	return to
}

func (w *walk) fresh(name string, b report.Ban) bool {
	last, known := w.last[name+" "+b.Prefix.Addr().String()]
	return !known || b.Banned.Sub(last) >= w.rules[name].Dedupe
}

func (w *walk) stage() {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.some()
	to := w.expected(b)
	rows := w.desk.Stage([]report.Ban{b})
	var got []string
	for _, r := range rows {
		got = append(got, r.Destination)
		w.staged[fmt.Sprintf("%s %d", r.Destination, r.ID)] = &promise{ban: b, at: time.Now()}
		w.last[r.Destination+" "+b.Prefix.Addr().String()] = b.Banned
	}
	if fmt.Sprint(got) != fmt.Sprint(to) {
		w.t.Fatalf("%+v is reported to %v, want %v", b, got, to)
	}
	if err := w.kept.CommitOutbox(rows); err != nil {
		w.t.Fatal(err)
	}
	w.desk.Stored(rows)
}

func (w *walk) lift() {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.some()
	for _, r := range w.desk.Cancel(b.Jail, b.Prefix) {
		p := w.staged[fmt.Sprintf("%s %d", r.Destination, r.ID)]
		if p == nil || p.ban.Jail != b.Jail || p.ban.Prefix != b.Prefix || p.answered == "sent" || p.answered == "refused" {
			w.t.Fatalf("cancelled: %+v of %+v", r, p)
		}
		if err := w.kept.CommitOutbox([]store.OutboxRow{r}); err != nil {
			w.t.Fatal(err)
		}
	}
	for key, p := range w.staged {
		if p.ban.Jail == b.Jail && p.ban.Prefix == b.Prefix && p.answered != "sent" && p.answered != "refused" && !p.cancelled {
			p.cancelled = true
			if of := strings.Fields(key)[0] + " " + b.Prefix.Addr().String(); w.last[of].Equal(p.ban.Banned) {
				delete(w.last, of)
			}
		}
	}
}

func (w *walk) step() {
	synctest.Wait()
	switch w.below(12) {
	case 0, 1, 2, 3:
		w.stage()
	case 4, 5:
		w.lift()
	case 6:
		w.desk.stop()
		w.live()
	case 7:
		w.desk.Set(w.setups())
	case 8:
		pass(time.Duration(w.below(40)) * time.Hour / 4)
	case 9:
		w.kept.fail(errors.New("disk full"))
		pass(time.Duration(w.below(60)) * time.Second)
		w.kept.fail(nil)
		pass(10 * time.Second)
	default:
		pass(time.Duration(w.below(600)) * time.Second)
	}
}

// below is a random number below n.
func (w *walk) below(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// TestAnyLifeKeepsThePromises goes through random lives: bans of all kinds, lifted and not, answers of all kinds,
// restarts, reloads and full disks.
func TestAnyLifeKeepsThePromises(t *testing.T) {
	sent := 0
	for seed := range uint64(40) {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &walk{
					t: t, rng: rand.New(rand.NewPCG(seed, 7)), kept: newMemory(), allow: map[netip.Addr]bool{netip.MustParseAddr("8.8.8.3"): true}, staged: map[string]*promise{}, last: map[string]time.Time{},
					taken: map[string]int{},
					rules: map[string]report.Rules{
						"a": {Name: "a", Jails: []string{"sshd"}, Hold: 5 * time.Minute, Dedupe: 24 * time.Hour, Budget: 2, MinFailures: 3},
						"b": {Name: "b", Jails: []string{"ssh?", "nginx-*"}, Dedupe: time.Hour, Budget: 1000, MinFailures: 1},
					},
				}
				w.live()
				for range 400 {
					w.step()
				}
				pass(8 * 24 * time.Hour)
				w.desk.stop()
				for key, p := range w.staged {
					var id uint64
					var name string
					if _, err := fmt.Sscan(key, &name, &id); err != nil {
						t.Fatal(err)
					}
					r, err := w.desk.Show(id)
					switch {
					case errors.Is(err, report.ErrNoReport) && time.Since(p.at) > 30*24*time.Hour: // forgotten
					case err != nil:
						t.Errorf("%s: %v", key, err)
					case r.State == report.Waiting:
						t.Errorf("%s still waits: %+v", key, r)
					case r.State == report.Cancelled != p.cancelled, r.State == report.IsSent != (p.answered == "sent"):
						t.Errorf("%s is %s: %+v", key, r.State, p)
					}
				}
				sent += w.sent
			})
		})
	}
	if sent < 500 {
		t.Errorf("only %d reports were sent: nothing is shown", sent)
	}
}
