package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/executor"
	"github.com/palisade-agent/palisade/internal/filter"
)

// fake is a daemon with a bit of everything, also text that an attacker chose. Its clock stands still.
type fake struct {
	state string // "degraded", "empty", "crowded", "hostile", or anything else for a healthy one
	stop  func() // called by Stop
}

// hostile clears the screen, sets the window's title, and forges a line and a row of a table; then the
// same with 8-bit control characters, the direction of writing, and a character beyond 16 bits.
const hostile = "bob\x1b[2J\x1b]0;owned\a\nsshd\t203.0.113.1\u009b2J\u202eevil\U000e0001"

func fakeNow() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

func before(d time.Duration) time.Time { return fakeNow().Add(-d) }

func after(d time.Duration) *time.Time {
	t := fakeNow().Add(d)
	return &t
}

func (f fake) bans() []control.Ban {
	switch f.state {
	case "empty":
		return nil
	case "crowded":
		var bans []control.Ban
		for i := range 60 {
			bans = append(bans, control.Ban{
				Jail: "sshd", ID: fmt.Sprintf("198.51.100.%d", i), Since: before(time.Hour - time.Duration(i)*time.Minute),
				Until: after(time.Duration(i+1) * time.Minute), Duration: 3660, Count: 1, Failures: 5, Origin: "local",
			})
		}
		return bans
	}
	return []control.Ban{
		{Jail: "web", ID: "2001:db8::/64", Since: before(26 * time.Hour), Duration: -1, Count: 1, Origin: "manual"},
		{
			Jail: "sshd", ID: "192.0.2.1", Since: before(time.Minute), Until: after(90*time.Minute + 30*time.Second), Duration: 5490,
			Count: 2, Failures: 5, Origin: "local", LastLines: []string{"Failed password for root", "Failed password for " + hostile},
			Data: map[string]string{"user": hostile, "port": "22"},
		},
		{Jail: "web", ID: "192.0.2.1", Since: before(10 * time.Second), Until: after(9*24*time.Hour + time.Hour), Duration: 781210, Count: 1, Failures: 1, Origin: "imported"},
		{Jail: "web", ID: hostile, Since: fakeNow(), Duration: -1, Count: 1, Failures: 3, Origin: "local"},
	}
}

func (f fake) summaries() []control.JailSummary {
	switch f.state {
	case "empty":
		return []control.JailSummary{}
	case "hostile":
		return []control.JailSummary{{Name: "$(touch owned)"}, {Name: hostile}, {Name: "web"}}
	case "crowded":
		return []control.JailSummary{{Name: "sshd", CurrentlyFailed: 345, TotalFailed: 12345678, CurrentlyBanned: 60, TotalBanned: 98765}}
	}
	return []control.JailSummary{
		{Name: "sshd", CurrentlyFailed: 2, TotalFailed: 10, CurrentlyBanned: 1, TotalBanned: 4},
		{Name: "web", TotalFailed: 1234, CurrentlyBanned: 3, TotalBanned: 3},
	}
}

func (f fake) Status(context.Context) (control.Status, error) {
	s := control.Status{
		Version: "v1.2.3", PID: 42, Started: before(3*time.Hour + 12*time.Minute), Health: "ok", Config: "/etc/fail2ban", Database: "/var/lib/agentd/agentd.db",
		Firewall: f.firewall(), Jails: f.summaries(),
	}
	switch f.state {
	case "degraded":
		s.Health = "degraded"
		s.Reasons = []string{"store: no space left on device", "configuration: 1 of the enabled jails cannot run as written", hostile}
		s.Problems = []control.Problem{
			{Severity: "error", Jail: "bad", File: "/etc/fail2ban/jail.local", Line: 7, Section: "bad", Key: "bantime", Value: "soon", Message: "is no time", Hint: "write 10m"},
			{Severity: "warning", Jail: "sshd", File: "/etc/fail2ban/jail.local", Line: 2, Section: "DEFAULT", Key: "action", Value: "mail", Message: "is not run by this version"},
			{Severity: "warning", Message: hostile},
			{Severity: "warning", Jail: "web", File: "/etc/fail2ban/jail.local", Line: 2, Section: "DEFAULT", Key: "action", Value: "mail", Message: "is not run by this version"},
		}
	case "crowded":
		for i := range 25 {
			s.Problems = append(s.Problems, control.Problem{Severity: "warning", Message: fmt.Sprintf("number %d", i+1)})
		}
	}
	return s, nil
}

func (f fake) firewall() control.FirewallState {
	switch f.state {
	case "degraded":
		return control.FirewallState{Backend: "nftables", Elements: 3, Pending: 1, Rebuilt: 2, Error: "netlink: operation not permitted"}
	case "empty":
		return control.FirewallState{Backend: "memory", Notes: []string{"nobody is kept out"}}
	}
	return control.FirewallState{Backend: "nftables", Elements: 3, Notes: []string{"the table is owned by the daemon"}}
}

func (f fake) Jail(_ context.Context, name string) (control.JailStatus, error) {
	all := f.summaries()
	i := slices.IndexFunc(all, func(j control.JailSummary) bool { return j.Name == name })
	if i < 0 {
		return control.JailStatus{}, fmt.Errorf("%w: %q", control.ErrNoJail, name)
	}
	s := control.JailStatus{
		JailSummary: all[i], MaxRetry: 5, FindTime: 600, BanTime: 3600, Lines: 100, Matched: 10, Ignored: 2,
		Files:   []control.File{{Path: "/var/log/" + name + ".log", State: "following", Offset: 1234567, Size: 1234567, Lines: 100}},
		Actions: []control.Action{{Name: "nftables", Native: true, Note: "reject, tcp 22"}},
		Bans:    slices.DeleteFunc(f.bans(), func(b control.Ban) bool { return b.Jail != name }),
	}
	switch {
	case f.state == "degraded":
		s.BanTime, s.GaveUp = -1, 1
		s.Slow = []control.SlowRegex{{Option: "failregex", Number: 2, Count: 1, Regex: "^(a+)+ <HOST>$"}}
		s.Files[0].Offset = 2048
		s.Files = append(s.Files, control.File{Path: "/var/log/secure", State: "denied", Error: "permission denied"})
		s.Actions = append(s.Actions, control.Action{Name: "mail", Note: "not run by this version"})
	case f.state == "crowded":
		for i := range 300 {
			s.Tallies = append(s.Tallies, control.Tally{ID: fmt.Sprintf("203.0.113.%d", i), Weighted: 1 + i%4, First: before(time.Hour), Last: before(time.Duration(i) * time.Second)})
		}
	case name == "sshd":
		s.Tallies = []control.Tally{
			{ID: "192.0.2.9", Weighted: 2, Failures: 2, First: before(8 * time.Minute), Last: before(5 * time.Second)},
			{ID: "user@example.org", Weighted: 1, Failures: 1, First: before(9 * time.Minute), Last: before(9 * time.Minute)},
		}
	}
	return s, nil
}

func (f fake) Banned(_ context.Context, id string, _ int) (control.Banned, error) {
	b := control.Banned{Bans: []control.Ban{}}
	asked, _ := netip.ParseAddr(id)
	for _, x := range f.bans() {
		p, err := netip.ParsePrefix(x.ID)
		if id == "" || x.ID == id || err == nil && p.Contains(asked) {
			b.Bans = append(b.Bans, x)
		}
	}
	b.Total = len(b.Bans)
	return b, nil
}

func (f fake) Ban(_ context.Context, r control.BanRequest) (control.ChangeResult, error) {
	if _, err := f.Jail(context.Background(), r.Jail); err != nil {
		return control.ChangeResult{}, err
	}
	v := control.ChangeResult{}
	for _, id := range r.IDs {
		c := control.Change{Jail: r.Jail, ID: id, Done: true}
		if id == "127.0.0.1" && !r.Force {
			c = control.Change{Jail: r.Jail, ID: id, Error: "the jail ignores it (ignoreself); use --force to ban it all the same"}
		}
		v.Changes = append(v.Changes, c)
	}
	if r.Seconds != nil {
		v.Owing = []string{fmt.Sprintf("store: no space left on device, for %d seconds", *r.Seconds)}
	}
	return v, nil
}

func (f fake) Unban(_ context.Context, r control.UnbanRequest) (control.ChangeResult, error) {
	v := control.ChangeResult{Changes: []control.Change{}}
	for _, b := range f.bans() {
		if (r.All || slices.Contains(r.IDs, b.ID)) && (r.Jail == "" || r.Jail == b.Jail) {
			v.Changes = append(v.Changes, control.Change{Jail: b.Jail, ID: b.ID, Done: true})
		}
	}
	for _, id := range r.IDs {
		if !slices.ContainsFunc(v.Changes, func(c control.Change) bool { return c.ID == id }) {
			v.Changes = append(v.Changes, control.Change{ID: id, Error: "not banned"})
		}
	}
	return v, nil
}

func (f fake) Why(_ context.Context, id string) (control.Why, error) {
	w := control.Why{ID: id, Bans: []control.WhyBan{}, Jails: []string{"sshd", "web"}}
	for _, b := range f.bans() {
		if b.ID != id {
			continue
		}
		x := control.WhyBan{Ban: b, BanTime: 3600, Escalates: true, MaxRetry: 5, FindTime: 600, Logs: []string{"/var/log/auth.log"}, Actions: []control.Action{{Name: "nftables", Native: true, Note: "reject, tcp 22"}}}
		for _, l := range b.LastLines {
			x.Lines = append(x.Lines, control.WhyLine{Text: l, Regex: 2, Found: "^Failed .* from <HOST>$"})
		}
		w.Bans = append(w.Bans, x)
	}
	left := int64(1800)
	switch id {
	case "192.0.2.1":
		w.Kernel = []control.Element{{Set: "bans4", Prefix: "192.0.2.1", Expires: &left}}
		w.Histories = []control.WhyHistory{{Jail: "web", Count: 7, Last: before(25 * time.Hour), Duration: 3600}}
	case "192.0.2.9":
		w.Tallies = []control.WhyTally{{Jail: "sshd", Tally: control.Tally{ID: id, Weighted: 2, Failures: 2, First: before(8 * time.Minute), Last: before(5 * time.Second)}, MaxRetry: 5, Forgets: before(-9 * time.Minute)}}
		w.Ignored = []control.WhyIgnored{{Jail: "web", By: "ip"}}
	}
	return w, nil
}

func (f fake) Import(_ context.Context, r control.ImportRequest) (control.ImportResult, error) {
	v := control.ImportResult{Jails: []control.ImportedJail{}}
	for _, b := range r.Bans {
		v.Jails = append(v.Jails, control.ImportedJail{Jail: b.Jail, Runs: b.Jail == "sshd", Bans: 1, Histories: 1})
	}
	return v, nil
}

func (f fake) Reload(ctx context.Context) (control.ReloadResult, error) {
	s, err := f.Status(ctx)
	r := control.ReloadResult{Applied: f.state != "degraded", Jails: []string{}, Problems: s.Problems}
	for _, j := range s.Jails {
		r.Jails = append(r.Jails, j.Name)
	}
	return r, err
}

func (f fake) Stop(context.Context, bool) error {
	go f.stop()
	return nil
}

func (f fake) Firewall(_ context.Context, limit int) (control.Firewall, error) {
	w := control.Firewall{FirewallState: f.firewall()}
	if f.state == "empty" {
		return w, nil
	}
	n := int64(3600)
	w.Sets = []control.Set{{Name: "tcp.22.reject.v4", Count: 2, Desired: 2}, {Name: "all.drop.v6-64", Count: 1, Desired: 2}}
	w.Memory, w.LastBatch = 5<<20, &control.Batch{Changes: 2, Seconds: 0.000045, At: *after(-time.Minute)}
	w.Hooks = []control.Hook{
		{Where: "ingress", Family: "netdev", Device: hostile, By: "table netdev x chain y", Effect: "before us: can send packets past us"},
		{Where: "prerouting", Family: "inet", Priority: -300, By: "table inet palisade chain prerouting", Effect: "our rules", Ours: true},
	}
	w.Warnings = []string{"packets can pass at " + hostile + " → look at it"}
	w.Contents = []control.Element{
		{Set: "tcp.22.reject.v4", Prefix: "192.0.2.1", Expires: &n},
		{Set: "tcp.22.reject.v4", Prefix: "198.51.100.7", Expires: &n},
		{Set: "all.drop.v6-64", Prefix: "2001:db8::/64"},
	}
	if limit > 0 && limit < len(w.Contents) {
		w.Contents, w.Truncated = w.Contents[:limit], true
	}
	return w, nil
}

func (f fake) entries() []control.BlockedEntry {
	until := *after(time.Hour)
	return []control.BlockedEntry{
		{Prefix: "192.0.2.1", Owners: []control.BlockedOwner{{Owner: "jail:sshd", Until: &until}, {Owner: "feed:drop"}}, Sets: []string{"feed.drop.v4", "tcp.22.reject.v4"}, Hits: &control.Hits{Present: true, Packets: 7, Bytes: 420}},
		{Prefix: "198.51.100.0/24", Owners: []control.BlockedOwner{{Owner: "feed:" + hostile}}, Sets: []string{"feed.drop.v4-24"}},
		{Prefix: "2001:db8::/64", Owners: []control.BlockedOwner{{Owner: "jail:web"}}, Sets: []string{"all.drop.v6-64"}},
	}
}

func (f fake) Blocked(_ context.Context, q control.BlockedQuery) (control.Blocked, error) {
	b := control.Blocked{Entries: []control.BlockedEntry{}}
	if f.state == "empty" || q.Holds != "" && q.Holds != "198.51.100.7" {
		return b, nil
	}
	for _, e := range f.entries() {
		mine := q.Owner == "" || slices.ContainsFunc(e.Owners, func(o control.BlockedOwner) bool {
			return o.Owner == q.Owner || strings.HasSuffix(q.Owner, ":") && strings.HasPrefix(o.Owner, q.Owner)
		})
		switch {
		case !mine || e.Prefix <= q.After || q.Holds != "" && e.Prefix != "198.51.100.0/24":
		case q.Limit > 0 && len(b.Entries) == q.Limit:
			b.Next = b.Entries[len(b.Entries)-1].Prefix
			return b, nil
		default:
			if !q.Hits {
				e.Hits = nil
			}
			b.Entries = append(b.Entries, e)
		}
	}
	return b, nil
}

func (f fake) Verify(_ context.Context, progress func(done, total int)) (control.Verification, error) {
	progress(3, 3)
	if f.state == "degraded" {
		return control.Verification{Wanted: 3, Held: 3, Missing: 1, Strays: 1, Examples: []string{"tcp.22.reject.v4 192.0.2.1/32"}, Seconds: 0.002}, nil
	}
	return control.Verification{Right: true, Wanted: 3, Held: 3, Seconds: 0.001}, nil
}

func (f fake) Events(_ context.Context, each func(control.Event) error) error {
	long := time.Date(2026, 11, 22, 11, 40, 0, 0, time.UTC)
	for i, e := range []control.Event{
		{Kind: "found", Jail: "sshd", ID: "192.0.2.1", LogTime: after(0)},
		{Kind: "found", Jail: "sshd", ID: hostile, LogTime: &long},
		{Kind: "found", Jail: "a-jail-of-ours", ID: "2001:db8:1234:5678::1"},
		{Kind: "ban", Jail: "sshd", ID: "192.0.2.1", Until: after(time.Hour), Duration: 3600, Failures: 5, Count: 1},
		{Kind: "ban", Jail: "sshd", ID: "192.0.2.2", Duration: -1, Count: 3},
		{Kind: "already", Jail: "sshd", ID: "192.0.2.1", Until: after(time.Hour), Duration: 3600, Failures: 5, Count: 1},
		{Kind: "prolong", Jail: "sshd", ID: "192.0.2.1", Until: after(2 * time.Hour), Duration: 7200, Failures: 5, Count: 1},
		{Kind: "restore", Jail: "web", ID: "192.0.2.3", Until: after(30 * time.Minute), Duration: 3600, Failures: 5, Count: 2},
		{Kind: "ignored", Jail: "sshd", ID: "127.0.0.1", By: "ignoreself"},
		{Kind: "unban", Jail: "sshd", ID: "192.0.2.4", Until: after(0), Duration: 3600, Failures: 5, Count: 1},
		{Kind: "unban", Jail: "sshd", ID: "192.0.2.1", Until: after(2 * time.Hour), Duration: 7200, Failures: 5, Count: 1},
		{Kind: "expired", Jail: "sshd", ID: "192.0.2.5"},
		{Kind: "evicted", Jail: "sshd", ID: "192.0.2.6"},
		{Kind: "dropped", Count: 12},
		{Kind: "new", Jail: "sshd", ID: "192.0.2.7"},
	} {
		e.Time = fakeNow().Add(time.Duration(i) * time.Second)
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

// fakeJails are the jails of a fake daemon, which cannot be changed.
type fakeJails struct {
	executor.Jails
	fake fake
}

func (f fakeJails) Config(name string) (config.Jail, *filter.Filter, error) {
	s, err := f.fake.Jail(context.Background(), name)
	j := config.Jail{
		Name: name, MaxRetry: s.MaxRetry, FindTime: time.Duration(s.FindTime) * time.Second, BanTime: time.Duration(s.BanTime) * time.Second,
		LogPaths: []config.LogPath{{Pattern: "/var/log/" + name + ".log"}}, Actions: []config.Action{{Name: "nftables"}},
	}
	return j, nil, err
}

func (fakeJails) Pending() []string { return nil }

func (fakeJails) Global() config.Global { return config.Global{} }

// serve runs a fake daemon until the test ends or it is told to stop.
func serve(t *testing.T, state string) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	ctx, cancel := context.WithCancel(context.Background())
	daemon := fake{state, cancel}
	commands := executor.Handler{Service: daemon, Jails: fakeJails{fake: daemon}}
	s, err := control.Listen(ctx, socket, control.ServerOptions{
		Service: daemon, Routes: slices.Concat(fakeReports(), fakeLists()),
		Fail2ban: func(ctx context.Context, request []byte) []byte {
			return f2b.Execute(ctx, commands, slog.New(slog.DiscardHandler), request)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Errorf("the fake daemon: %v", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	return socket
}

// agentctl runs the program at the fake daemon's time.
func agentctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk strings.Builder
	code = runAt(t.Context(), args, &out, &talk, fakeNow)
	if s := out.String() + talk.String(); strings.ContainsAny(s, "\x1b\a\u009b\u202e\U000e0001") {
		t.Errorf("agentctl %v: what an attacker wrote reaches the terminal: %q", args, s)
	}
	return code, out.String(), talk.String()
}
