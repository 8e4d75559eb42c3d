package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/internal/store"
)

func failures(addr string, n int) []string {
	return slices.Repeat([]string{"app: failure from " + addr}, n)
}

func TestFailuresBan(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"), r.jailOf("other", func(j *Jail) { j.Policy.MaxRetry = 3 }))
	r.write(failures("192.0.2.1", 2)...)
	r.write(failures("2001:db8::1", 2)...)
	r.until("both are shut out", func() bool { return r.wall.size() == 2 })
	until, ok := r.wall.holds("jail:app", "192.0.2.1/32")
	if left := time.Until(until); !ok || left < 59*time.Minute || left > time.Hour {
		t.Errorf("banned %v, for %v", ok, left)
	}
	r.until("the bans are saved", func() bool { return r.store.bansOf() == 2 })
	s := r.jailStatus("app")
	if s.CurrentlyBanned != 2 || s.Lines != 4 || s.Matched != 4 || len(s.Files) != 1 || s.Files[0].State != "following" {
		t.Errorf("%+v", s)
	}
	if n := r.tally("other", "192.0.2.1"); n != 2 {
		t.Errorf("the jail on the same file counted %d", n)
	}
}

func TestARestartGoesOnWhereItStopped(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"))
	r.write(failures("192.0.2.1", 2)...)
	r.write(failures("192.0.2.2", 1)...)
	r.until("the first is banned", func() bool { return r.wall.size() == 1 })
	r.until("the second is counted", func() bool { return r.tally("app", "192.0.2.2") == 1 })
	r.stop()
	r.write(failures("192.0.2.2", 1)...) // while nobody looks
	r.wall = newWall()
	r.start(r.jailOf("app"))
	if _, ok := r.wall.holds("jail:app", "192.0.2.1/32"); !ok {
		t.Error("the ban is not in force again when the agent is ready")
	}
	r.until("the failures before and after the stop make a ban", func() bool { return r.wall.size() == 2 })
	if got := r.jailStatus("app").Lines; got != 1 {
		t.Errorf("%d lines read after the restart, one was new", got)
	}
}

func TestPlacesOfManyVanishedFilesAreForgotten(t *testing.T) {
	r := newRig(t)
	place := func(path string) {
		r.store.positions[placeKey{"app", path}] = store.Position{Jail: "app", Position: source.Position{Path: path, Inode: 1}}
	}
	for i := range placesKept {
		place(fmt.Sprintf("%s/gone-%d.log", r.dir, i))
	}
	r.write(failures("192.0.2.1", 1)...)
	for _, want := range []int{placesKept + 1, 1} {
		r.start(r.jailOf("app"))
		r.until(fmt.Sprintf("%d places are kept", want), func() bool { return r.store.places() == want })
		r.stop()
	}
}

func TestADiskThatFailsStopsNoBan(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"))
	r.store.setFail(errDisk)
	r.write(failures("192.0.2.1", 2)...)
	r.until("the ban is enforced", func() bool { return r.wall.size() == 1 })
	svc := r.agent.Service()
	r.until("health is degraded", func() bool {
		s, err := svc.Status(t.Context())
		return err == nil && s.Health == "degraded" && strings.Contains(strings.Join(s.Reasons, " "), errDisk.Error())
	})
	if r.store.bansOf() != 0 || len(r.store.positions) != 0 {
		t.Error("something was saved by a disk that fails")
	}
	result, err := svc.Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"192.0.2.9"}})
	if err != nil || !result.Changes[0].Done || len(result.Owing) != 1 {
		t.Errorf("a ban by hand: %+v, %v", result, err)
	}
	r.store.setFail(nil)
	r.until("all is saved once there is room", func() bool { return r.store.bansOf() == 2 && len(r.store.positions) == 1 })
	r.until("health is good again", func() bool {
		s, err := svc.Status(t.Context())
		return err == nil && s.Health == "ok"
	})
}

func TestAReloadLosesNothing(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("stays"), r.jailOf("goes"), r.jailOf("breaks"))
	r.write(failures("192.0.2.1", 2)...)
	r.write(failures("192.0.2.2", 1)...)
	r.until("three jails ban", func() bool { return r.wall.size() == 3 })
	r.until("three jails count", func() bool { return r.tally("breaks", "192.0.2.2") == 1 })

	r.next = Options{Jails: []Jail{
		r.jailOf("stays", func(j *Jail) {
			j.Policy.BanTime = 2 * time.Hour
			j.Scopes = append(j.Scopes, firewall.Scope{Owner: "jail:stays", Ports: []firewall.PortRange{{First: 22, Last: 22}}})
		}),
		r.jailOf("comes"),
	}, Broken: []string{"breaks"}}
	result, err := r.agent.Service().Reload(t.Context())
	if err != nil || !result.Applied || !slices.Equal(result.Jails, []string{"breaks", "comes", "stays"}) {
		t.Fatalf("%+v, %v", result, err)
	}
	if _, ok := r.wall.holds("jail:goes", "192.0.2.1/32"); ok {
		t.Error("the jail that is gone still bans")
	}
	for _, owner := range []string{"jail:stays", "jail:breaks"} {
		if _, ok := r.wall.holds(owner, "192.0.2.1/32"); !ok {
			t.Errorf("%s lost its ban", owner)
		}
	}
	if n := len(r.wall.scopes); n != 4 {
		t.Errorf("%d scopes of 4", n)
	}
	r.until("the new jail catches up on the log", func() bool { _, ok := r.wall.holds("jail:comes", "192.0.2.1/32"); return ok })
	r.write(failures("192.0.2.2", 1)...)
	r.until("tallies from before the reload count", func() bool {
		_, a := r.wall.holds("jail:stays", "192.0.2.2/32")
		_, b := r.wall.holds("jail:breaks", "192.0.2.2/32")
		return a && b
	})
	if until, _ := r.wall.holds("jail:stays", "192.0.2.2/32"); time.Until(until) < 119*time.Minute {
		t.Errorf("the new ban time does not hold: %v", time.Until(until))
	}
	if n := r.jailStatus("stays").TotalFailed; n != 4 {
		t.Errorf("%d failures counted of 4: a line was lost or repeated", n)
	}

	r.reload = errors.New("no such folder")
	result, err = r.agent.Service().Reload(t.Context())
	if err != nil || result.Applied || len(result.Problems) != 1 {
		t.Errorf("a configuration that cannot be read: %+v, %v", result, err)
	}
}

func TestARemovedJailComesBackWithItsBans(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"))
	r.write(failures("192.0.2.1", 2)...)
	r.until("it bans", func() bool { return r.wall.size() == 1 })
	for _, o := range []Options{{}, {Jails: []Jail{r.jailOf("app")}}} {
		r.next = o
		if _, err := r.agent.Service().Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.wall.size() != len(o.Jails) {
			t.Errorf("%d bans with %d jails", r.wall.size(), len(o.Jails))
		}
	}
}

func TestWhomAJailIgnores(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("# office\n198.51.100.0/24, 203.0.113.9 ; home\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	j := r.jailOf("app", func(j *Jail) {
		j.Policy.MaxRetry = 1
		j.Ignore = Ignore{
			Entries: []string{"192.0.2.0/28", "2001:db8::/64", "friend.example", "file:" + list}, Self: true,
			Command: `test "<ip>" = 203.0.113.50 && test <F-USER> = bob`,
		}
	})
	r.start(j)
	g := r.agent.source.ignorerOf("app")
	g.resolver.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		if host == "friend.example" {
			return []netip.Addr{netip.MustParseAddr("203.0.113.77")}, nil
		}
		return nil, errors.New("no such host")
	}
	events := make(chan control.Event, 100)
	go func() {
		_ = r.agent.Service().Events(t.Context(), func(e control.Event) error { events <- e; return nil })
	}()
	r.until("the listener is there", func() bool {
		r.agent.events.mu.Lock()
		defer r.agent.events.mu.Unlock()
		return len(r.agent.events.listeners) == 1
	})
	r.write("app: failure from 192.0.2.3", "app: failure from 2001:db8::5", "app: failure from 203.0.113.77", "app: failure from 198.51.100.200",
		"app: failure from 203.0.113.9", "app: failure from 127.0.0.1", "app: user bob from 203.0.113.50", "app: user eve from 203.0.113.50", "app: failure from 192.0.2.16")
	r.until("the two who are not ignored are banned", func() bool { return r.wall.size() == 2 })
	for _, p := range []string{"203.0.113.50/32", "192.0.2.16/32"} {
		if _, ok := r.wall.holds("jail:app", p); !ok {
			t.Errorf("%s is not banned", p)
		}
	}
	by := map[string]string{}
	for len(by) < 7 {
		select {
		case e := <-events:
			if e.Kind == "ignored" {
				by[e.ID] = e.By
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("only these were ignored: %v", by)
		}
	}
	for id, want := range map[string]string{
		"192.0.2.3": "ip", "2001:db8::5": "ip", "203.0.113.77": "dns", "198.51.100.200": "file:" + list,
		"203.0.113.9": "file:" + list, "127.0.0.1": "ignoreself rule", "203.0.113.50": "command",
	} {
		if by[id] != want {
			t.Errorf("%s was ignored by %q, want %q", id, by[id], want)
		}
	}
}

func TestBansByHand(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app", func(j *Jail) { j.Ignore.Entries = []string{"192.0.2.7"} }), r.jailOf("web"))
	svc := r.agent.Service()
	short := int64(60)
	for _, c := range []struct {
		name    string
		request control.BanRequest
		want    []control.Change
	}{
		{"addresses and networks", control.BanRequest{Jail: "app", IDs: []string{"192.0.2.1", "198.51.100.77/24", "2001:db8::/64"}}, []control.Change{
			{Jail: "app", ID: "192.0.2.1", Done: true}, {Jail: "app", ID: "198.51.100.0/24", Done: true}, {Jail: "app", ID: "2001:db8::/64", Done: true},
		}},
		{"twice", control.BanRequest{Jail: "app", IDs: []string{"192.0.2.1"}}, []control.Change{{Jail: "app", ID: "192.0.2.1", Error: "already banned"}}},
		{"for a time", control.BanRequest{Jail: "web", IDs: []string{"192.0.2.1"}, Seconds: &short}, []control.Change{{Jail: "web", ID: "192.0.2.1", Done: true}}},
		{"forced", control.BanRequest{Jail: "app", IDs: []string{"192.0.2.7"}, Force: true}, []control.Change{{Jail: "app", ID: "192.0.2.7", Done: true}}},
	} {
		result, err := svc.Ban(t.Context(), c.request)
		if err != nil || !slices.Equal(result.Changes, c.want) || len(result.Owing) > 0 {
			t.Errorf("%s: %+v, %v", c.name, result, err)
		}
	}
	for _, id := range []string{"192.0.2.7", "192.0.2.0/24", "0.0.0.0/0", ""} {
		result, err := svc.Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{id}})
		if err != nil || result.Changes[0].Done || result.Changes[0].Error == "" {
			t.Errorf("%q: %+v, %v", id, result, err)
		}
	}
	if _, err := svc.Ban(t.Context(), control.BanRequest{Jail: "none", IDs: []string{"192.0.2.1"}}); !errors.Is(err, control.ErrNoJail) {
		t.Errorf("%v", err)
	}
	if until, ok := r.wall.holds("jail:web", "192.0.2.1/32"); !ok || time.Until(until) > time.Minute {
		t.Errorf("%v %v", until, ok)
	}

	one, err := svc.Banned(t.Context(), "198.51.100.9", 0)
	if err != nil || one.Total != 1 || one.Bans[0].ID != "198.51.100.0/24" || one.Bans[0].Origin != "manual" {
		t.Errorf("who bans an address in a banned network: %+v, %v", one, err)
	}
	all, err := svc.Banned(t.Context(), "", 2)
	if err != nil || all.Total != 5 || len(all.Bans) != 2 {
		t.Errorf("%d of %d, %v", len(all.Bans), all.Total, err)
	}
	lifted, err := svc.Unban(t.Context(), control.UnbanRequest{IDs: []string{"192.0.2.1", "203.0.113.1"}})
	if err != nil || len(lifted.Changes) != 3 || lifted.Changes[2].Error != "not banned" {
		t.Errorf("%+v, %v", lifted, err)
	}
	if _, err := svc.Unban(t.Context(), control.UnbanRequest{}); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := svc.Unban(t.Context(), control.UnbanRequest{All: true}); err != nil || r.wall.size() != 0 || r.store.bansOf() != 0 {
		t.Errorf("%v: %d in the firewall, %d on the disk", err, r.wall.size(), r.store.bansOf())
	}
}

// TestARegexThatNeedsTooLongIsShown by its number and text, and the jail beside it goes on.
func TestARegexThatNeedsTooLongIsShown(t *testing.T) {
	r := newRig(t)
	endless := `^ app: ((?:a+)+)+\1! <HOST>$`
	r.start(r.jailOf("slow", func(j *Jail) {
		j.Filter, j.FilterID = r.filterOf(`^ app: failure from <HOST>$`, endless)
	}), r.jailOf("app"))
	r.write("app: " + strings.Repeat("a", 4000) + " !")
	r.write(failures("192.0.2.1", 2)...)
	r.until("both jails ban", func() bool { return r.wall.size() == 2 })
	s := r.jailStatus("slow")
	if s.GaveUp != 1 || len(s.Slow) != 1 || s.Slow[0].Option != "failregex" || s.Slow[0].Number != 2 || s.Slow[0].Count != 1 || !strings.Contains(s.Slow[0].Regex, "((?:a+)+)+") {
		t.Errorf("%d given up, %+v", s.GaveUp, s.Slow)
	}
	if s := r.jailStatus("app"); s.GaveUp != 0 || len(s.Slow) != 0 {
		t.Errorf("the other jail: %+v", s.Slow)
	}
}

func TestGarbageStopsNothing(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"))
	r.write(failures("192.0.2.1", 1)...)
	r.raw([]byte("\x00\xff\xfe\x80 binary \x1b[2J\n\n\r\n"))
	r.raw(append(bytes.Repeat([]byte("a"), 10<<20), '\n'))
	r.raw(append(bytes.Repeat([]byte{0}, 1<<20), '\n'))
	r.raw([]byte(time.Now().UTC().Format(time.RFC3339) + " app: failure from 192.0.2.1\xff\n"))
	r.write(failures("192.0.2.1", 1)...)
	r.until("the line behind the garbage counts", func() bool { return r.wall.size() == 1 })
	if s := r.jailStatus("app"); s.TotalFailed != 2 {
		t.Errorf("%d failures", s.TotalFailed)
	}
}

func TestFilesThatAppear(t *testing.T) {
	r := newRig(t)
	pattern := filepath.Join(r.dir, "site-*.log")
	r.start(r.jailOf("app", func(j *Jail) { j.Files = []Files{{Pattern: pattern}} }))
	for i := range 3 {
		r.log = filepath.Join(r.dir, fmt.Sprintf("site-%d.log", i))
		r.write(failures(fmt.Sprintf("192.0.2.%d", i), 2)...)
	}
	r.until("each new file is read", func() bool { return r.wall.size() == 3 })
}

func TestAFirewallThatEndsEndsTheDaemonWithItsName(t *testing.T) {
	r := newRig(t)
	r.start(r.jailOf("app"))
	r.wall.fail <- errors.New("permission denied")
	var err error
	r.until("the agent has ended", func() bool {
		select {
		case <-r.agent.engine.ended:
			err = r.end()
			return true
		default:
			return false
		}
	})
	if err == nil || !strings.Contains(err.Error(), "firewall") || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("%v", err)
	}
	if r.wall.kept == nil || !*r.wall.kept {
		t.Error("a failure must leave the bans in the kernel")
	}
}

func TestADatabaseThatCannotBeReadEndsTheStartAndNobodyWaits(t *testing.T) {
	r := newRig(t)
	broken := errors.New("the database is damaged")
	a := New(Parts{
		Store: unreadable{broken}, Firewall: r.wall, Book: jail.NewBook(jail.Config{}), Resolver: NewResolver(), Log: discard(),
	}, Options{Jails: []Jail{r.jailOf("app")}})
	asked := make(chan error, 1)
	go func() { _, err := a.Service().Status(context.Background()); asked <- err }()
	if err := a.Run(t.Context()); !errors.Is(err, broken) {
		t.Errorf("%v", err)
	}
	if err := <-asked; !errors.Is(err, errEngineEnded) {
		t.Errorf("who asked meanwhile was told %v", err)
	}
}

// unreadable is a store whose file is damaged.
type unreadable struct{ err error }

func (u unreadable) Load() (store.Snapshot, error) { return store.Snapshot{}, u.err }
func (u unreadable) Commit(store.Batch) error      { return u.err }

func TestAStopDuringTheStartIsNoFailure(t *testing.T) {
	r := newRig(t)
	a := New(Parts{
		Store: r.store, Firewall: r.wall, Book: jail.NewBook(jail.Config{}), Resolver: NewResolver(), Log: discard(),
	}, Options{Jails: []Jail{r.jailOf("app")}})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.Run(ctx); err != nil {
		t.Errorf("%v", err)
	}
}

func TestStopByAPeer(t *testing.T) {
	for _, keep := range []bool{true, false} {
		r := newRig(t)
		r.start(r.jailOf("app"))
		if err := r.agent.Service().Stop(t.Context(), keep); err != nil {
			t.Fatal(err)
		}
		<-r.agent.engine.ended
		if err := r.end(); err != nil {
			t.Fatal(err)
		}
		if r.wall.kept == nil || *r.wall.kept != keep {
			t.Errorf("keep %v: %v", keep, r.wall.kept)
		}
		if _, err := r.agent.Service().Status(t.Context()); err == nil {
			t.Error("an agent that has ended still answers")
		}
	}
}

func TestASlowListenerLosesEventsAndIsTold(t *testing.T) {
	e := newEvents(nil, nil)
	ctx, cancel := context.WithCancel(t.Context())
	started, release := make(chan struct{}), make(chan struct{})
	var got []control.Event
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = e.listen(ctx, func(ev control.Event) error {
			if len(got) == 0 {
				close(started)
				<-release
			}
			got = append(got, ev)
			if ev.Kind == "dropped" {
				cancel()
			}
			return nil
		})
	}()
	for len(e.listenersNow()) == 0 {
		time.Sleep(time.Millisecond)
	}
	id := ident.Parse("192.0.2.1")
	e.ignored("j", id, "ip", time.Now())
	<-started
	for range eventBuffer + 10 {
		e.ignored("j", id, "ip", time.Now())
	}
	close(release)
	for len(e.listenersNow()) > 0 {
		e.ignored("j", id, "ip", time.Now())
		time.Sleep(time.Millisecond)
	}
	<-done
	i := slices.IndexFunc(got, func(ev control.Event) bool { return ev.Kind == "dropped" })
	if i < eventBuffer || got[i].Count < 9 {
		t.Errorf("told at event %d of %d", i, len(got))
	}
}

func (e *events) listenersNow() []*listener {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []*listener
	for l := range e.listeners {
		all = append(all, l)
	}
	return all
}

func TestIgnoreCommandIsNotInjected(t *testing.T) {
	dir := t.TempDir()
	canary := filepath.Join(dir, "canary")
	hostile := "x'; touch " + canary + "; $(touch " + canary + ") `touch " + canary + "` \" && touch " + canary + "\n touch " + canary
	v := tagValues{id: ident.Raw(hostile), captures: map[string]string{"user": hostile}, lines: []string{hostile}}
	for _, command := range []string{`test <F-USER> = y`, `echo "<matches>" '<fid>' <ip> >/dev/null; exit 1`, `printf '%s' "<F-USER>" | grep -q nothing`} {
		ignored, err := runIgnoreCommand(t.Context(), command, v)
		if ignored {
			t.Errorf("%s: ignored, %v", command, err)
		}
		if _, err := os.Stat(canary); err == nil {
			t.Fatalf("%s: a value from the log was run", command)
		}
	}
	out := filepath.Join(dir, "out")
	if ok, err := runIgnoreCommand(t.Context(), `printf '%s' "<F-USER>" >`+out, v); !ok || err != nil {
		t.Fatalf("%v, %v", ok, err)
	}
	if b, err := os.ReadFile(out); err != nil || string(b) != hostile {
		t.Errorf("the value did not arrive whole: %q, %v", b, err)
	}
	if _, err := runIgnoreCommand(t.Context(), "exit 3", v); err == nil {
		t.Error("a status other than 0 and 1 is an error")
	}
}

func TestIgnoreDecisionsAreRemembered(t *testing.T) {
	count := filepath.Join(t.TempDir(), "count")
	g := newIgnorer("j", Ignore{Command: "echo x >>" + count + "; test <ip> = 192.0.2.1", Cache: &IgnoreCache{Key: "<ip>", MaxCount: 2, MaxTime: time.Minute}}, NewResolver(), discard())
	ask := func(addr string, want bool) {
		t.Helper()
		if by, got := g.check(t.Context(), tagValues{id: ident.Parse(addr)}); got != want {
			t.Errorf("%s: %v by %q", addr, got, by)
		}
	}
	for range 3 {
		ask("192.0.2.1", true)
		ask("192.0.2.2", false)
	}
	ask("192.0.2.3", false) // pushes the oldest out
	ask("192.0.2.1", true)
	b, err := os.ReadFile(count)
	if err != nil || len(b) != 2*4 {
		t.Errorf("the command ran %d times, want 4: %v", len(b)/2, err)
	}
}

// TestIgnoreListsWithoutADaemon: what cannot be known is said once, and spares nobody.
func TestIgnoreListsWithoutADaemon(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "list")
	if err := os.WriteFile(list, []byte("198.51.100.0/24\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var said strings.Builder
	l := NewIgnoreLists(t.Context(), "app", Ignore{
		Entries: []string{"192.0.2.1", "friend.example", "file:" + list, "file:" + dir + "/none"}, Self: true, Command: "true",
	}, NewOfflineResolver(), slog.New(slog.NewTextHandler(&said, nil)))
	for id, want := range map[string]string{
		"192.0.2.1": "ip", "198.51.100.9": "file:" + list, "127.0.0.1": "ignoreself rule", "203.0.113.1": "",
	} {
		if by, ok := l.Find(t.Context(), ident.Parse(id)); by != want || ok != (want != "") {
			t.Errorf("%s: %q, %v, want %q", id, by, ok, want)
		}
	}
	if s := said.String(); strings.Count(s, "\n") != 2 || !strings.Contains(s, "host=friend.example") || !strings.Contains(s, "file="+dir+"/none") {
		t.Errorf("said %s", s)
	}
}

func TestResolverRemembersAndForgets(t *testing.T) {
	asked := 0
	r := NewResolver()
	r.lookup = func(_ context.Context, host string) ([]netip.Addr, error) {
		asked++
		if host == "bad.example" {
			return nil, errors.New("no such host")
		}
		return slices.Repeat([]netip.Addr{netip.MustParseAddr("::ffff:192.0.2.1")}, 500), nil
	}
	for range 3 {
		if a, err := r.Lookup(t.Context(), "good.example"); err != nil || len(a) != dnsMaxAnswers || a[0] != netip.MustParseAddr("192.0.2.1") {
			t.Fatalf("%d addresses, %v", len(a), err)
		}
		if _, err := r.Lookup(t.Context(), "bad.example"); err == nil {
			t.Fatal("a name that does not exist")
		}
	}
	if asked != 2 {
		t.Errorf("asked %d times for two names", asked)
	}
	for i := range 3 * dnsCacheSize {
		if _, err := r.Lookup(t.Context(), fmt.Sprintf("h%d.example", i)); err != nil {
			t.Fatal(err)
		}
	}
	if len(r.cache) > dnsCacheSize {
		t.Errorf("%d names kept", len(r.cache))
	}
	if own := r.Own(); !slices.Contains(own, netip.MustParseAddr("127.0.0.1")) || !slices.Contains(own, netip.IPv6Loopback()) {
		t.Errorf("loopback is not ours: %v", own)
	}
}
