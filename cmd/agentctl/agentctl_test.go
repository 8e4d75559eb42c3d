package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// fake is a daemon with a bit of everything, also text that an attacker chose.
type fake struct{ health string }

const hostile = "bob\x1b[2J\x1b]0;owned\a\nsshd  203.0.113.1"

func at(s string) *time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		panic(err)
	}
	return &t
}

func someBans() []control.Ban {
	until := time.Now().Add(90*time.Minute + 30*time.Second)
	return []control.Ban{
		{Jail: "sshd", ID: "192.0.2.1", Since: time.Now().Add(-time.Minute), Until: &until, Duration: 5460, Count: 2, Failures: 5, Origin: "local", LastLines: []string{"Failed password for " + hostile}},
		{Jail: "web", ID: "2001:db8::/64", Since: time.Now().Add(-26 * time.Hour), Duration: -1, Count: 1, Origin: "manual"},
		{Jail: "web", ID: hostile, Since: time.Now(), Duration: -1, Count: 1, Origin: "local"},
	}
}

func (f fake) Status(context.Context) (control.Status, error) {
	s := control.Status{
		Version: "v1", PID: 42, Started: time.Now().Add(-time.Hour), Health: f.health, Config: "/etc/fail2ban", Database: "/var/lib/agentd/agentd.db",
		Firewall: control.FirewallState{Backend: "nftables", Elements: 3, Pending: 1},
		Jails:    []control.JailSummary{{Name: "sshd", CurrentlyFailed: 1, TotalFailed: 10, CurrentlyBanned: 1, TotalBanned: 4}, {Name: "web"}},
		Problems: []control.Problem{{Severity: "error", Jail: "bad", File: "/etc/fail2ban/jail.local", Line: 7, Section: "bad", Key: "bantime", Value: "soon", Message: "is no time", Hint: "write 10m"}},
	}
	if f.health != "ok" {
		s.Reasons = []string{"store: no space left on device"}
	}
	return s, nil
}

func (fake) Jail(_ context.Context, name string) (control.JailStatus, error) {
	if name != "sshd" {
		return control.JailStatus{}, fmt.Errorf("%w: %q", control.ErrNoJail, name)
	}
	return control.JailStatus{
		JailSummary: control.JailSummary{Name: "sshd", CurrentlyFailed: 1, TotalFailed: 10, CurrentlyBanned: 1, TotalBanned: 4},
		MaxRetry:    5, FindTime: 600, BanTime: -1, Lines: 100, Matched: 10, Ignored: 2, GaveUp: 1,
		Files:   []control.File{{Path: "/var/log/auth.log", State: "following", Offset: 10, Size: 20}, {Path: "/var/log/secure", State: "denied", Error: "permission denied"}},
		Actions: []control.Action{{Name: "nftables", Native: true, Note: "reject, tcp 22"}, {Name: "mail", Note: "not run by this version"}},
		Bans:    someBans()[:1],
		Tallies: []control.Tally{{ID: "192.0.2.9", Weighted: 2, Failures: 2, Last: time.Now().Add(-5 * time.Second)}},
	}, nil
}

func (fake) Banned(_ context.Context, id string, limit int) (control.Banned, error) {
	all := someBans()
	if id != "" {
		b := control.Banned{}
		for _, x := range all {
			if x.ID == id {
				b.Bans, b.Total = append(b.Bans, x), b.Total+1
			}
		}
		return b, nil
	}
	b := control.Banned{Total: len(all), Bans: all}
	if limit > 0 {
		b.Bans = all[:limit]
	}
	return b, nil
}

func (fake) Ban(_ context.Context, r control.BanRequest) (control.ChangeResult, error) {
	v := control.ChangeResult{}
	for _, id := range r.IDs {
		c := control.Change{Jail: r.Jail, ID: id, Done: true}
		if id == "127.0.0.1" && !r.Force {
			c = control.Change{Jail: r.Jail, ID: id, Error: "the jail ignores it (ignoreself rule)"}
		}
		if r.Seconds != nil && *r.Seconds == -1 {
			v.Owing = []string{"store: no space left on device"}
		}
		v.Changes = append(v.Changes, c)
	}
	return v, nil
}

func (fake) Unban(_ context.Context, r control.UnbanRequest) (control.ChangeResult, error) {
	if r.All {
		return control.ChangeResult{}, nil
	}
	return control.ChangeResult{Changes: []control.Change{{Jail: "sshd", ID: r.IDs[0], Done: true}}}, nil
}

func (fake) Reload(context.Context) (control.ReloadResult, error) {
	return control.ReloadResult{Applied: true, Jails: []string{"sshd", "web"}}, nil
}
func (fake) Stop(context.Context, bool) error { return nil }
func (fake) Firewall(context.Context, int) (control.Firewall, error) {
	n := int64(3600)
	return control.Firewall{FirewallState: control.FirewallState{Backend: "nftables", Notes: []string{"owned"}, Elements: 2}, Contents: []control.Element{{Set: "all.drop.v4", Prefix: "192.0.2.1", Expires: &n}, {Set: "all.drop.v6-64", Prefix: "2001:db8::/64"}}, Truncated: true}, nil
}

func (fake) Events(_ context.Context, each func(control.Event) error) error {
	for _, e := range []control.Event{
		{Time: *at("2026-11-22T12:00:00Z"), Kind: "found", Jail: "sshd", ID: hostile},
		{Time: *at("2026-11-22T12:00:01Z"), Kind: "ban", Jail: "sshd", ID: "192.0.2.1", Duration: 600, Failures: 5, Count: 1},
		{Time: *at("2026-11-22T12:00:02Z"), Kind: "ignored", Jail: "sshd", ID: "127.0.0.1", By: "ignoreself rule"},
		{Time: *at("2026-11-22T12:00:03Z"), Kind: "dropped", Count: 12},
	} {
		if err := each(e); err != nil {
			return err
		}
	}
	return nil
}

func daemon(t *testing.T, f fake) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s")
	s, err := control.Listen(t.Context(), socket, control.ServerOptions{Service: f})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return socket
}

func agentctl(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	code = run(t.Context(), args, &out, &talk)
	if strings.ContainsAny(out.String()+talk.String(), "\x1b\a") {
		t.Errorf("agentctl %v: a terminal escape came through", args)
	}
	return code, out.String(), talk.String()
}

func TestAnswersForPeople(t *testing.T) {
	s := daemon(t, fake{health: "ok"})
	for _, c := range []struct {
		args string
		code int
		want []string
	}{
		{"status", 0, []string{"Health:         ok", "nftables, 3 elements in the kernel, 1 waiting", "JAIL  FAILED NOW", "sshd  1           10      1           4", "1 problem of the configuration", "at  /etc/fail2ban/jail.local:7 [bad] bantime = soon", "do  write 10m"}},
		{"status sshd", 0, []string{"5 failures within 10m: banned for permanent", "/var/log/secure (denied, 0 of 0 bytes): permission denied", "nftables: by our firewall (reject, tcp 22)", "mail: not run", "1 search that hit the time limit", "2 of 5", "192.0.2.1  1m ago  1h 30m left"}},
		{"banned", 0, []string{"JAIL  BANNED", "web   2001:db8::/64", "1d 2h ago", "permanent", `bob\x1b[2J`}},
		{"banned --limit 1", 0, []string{"… and 2 more"}},
		{"banned 192.0.2.1", 0, []string{"192.0.2.1 is banned in jail sshd since", "(1h 30m left): 5 failures, ban number 2.", `Failed password for bob\x1b[2J`}},
		{"banned 192.0.2.99", 1, []string{"192.0.2.99 is not banned."}},
		{"ban sshd 192.0.2.7 2001:db8::/64", 0, []string{"192.0.2.7 banned in sshd", "2001:db8::/64 banned in sshd"}},
		{"ban sshd 127.0.0.1 --force", 0, []string{"127.0.0.1 banned in sshd"}},
		{"unban 192.0.2.1", 0, []string{"192.0.2.1 unbanned in sshd"}},
		{"unban --all", 0, []string{"Nobody was banned."}},
		{"reload", 0, []string{"Reloaded: 2 jails (sshd, web)"}},
		{"firewall", 0, []string{"all.drop.v4     192.0.2.1      in 1h", "never", "--limit 0"}},
		{"events --follow", 0, []string{"ban       sshd         192.0.2.1  for 10m, after 5 failures, ban number 1", "by ignoreself rule", "12 events lost"}},
		{"ping", 0, []string{"agentd answers"}},
		{"version", 0, []string{"agentd    v1"}},
	} {
		code, out, talk := agentctl(t, append(strings.Fields(c.args), "-s", s)...)
		if code != c.code {
			t.Errorf("%s: exit %d, %s", c.args, code, talk)
		}
		for _, w := range c.want {
			if !strings.Contains(out, w) {
				t.Errorf("%s: %q is missing in\n%s", c.args, w, out)
			}
		}
	}
}

func TestAnswersForPrograms(t *testing.T) {
	s := daemon(t, fake{health: "ok"})
	for _, args := range []string{"status", "status sshd", "banned", "banned 192.0.2.1", "ban sshd 192.0.2.7", "unban 192.0.2.1", "reload", "firewall", "ping", "version"} {
		for _, all := range [][]string{append([]string{"--json", "--socket=" + s}, strings.Fields(args)...), append(strings.Fields(args), "-s", s, "--json")} {
			code, out, talk := agentctl(t, all...)
			var v map[string]any
			if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || talk != "" {
				t.Errorf("%v: exit %d, %v, %q", all, code, err, talk)
			}
		}
	}
	_, out, _ := agentctl(t, "events", "--follow", "--json", "-s", s)
	if lines := strings.Split(strings.TrimSpace(out), "\n"); len(lines) != 4 || !json.Valid([]byte(lines[0])) {
		t.Errorf("%q", out)
	}
}

func TestWhatWasNotDoneIsSaid(t *testing.T) {
	s := daemon(t, fake{health: "degraded"})
	if code, out, _ := agentctl(t, "-s", s, "status"); code != 1 || !strings.Contains(out, "no space left") {
		t.Errorf("degraded: exit %d\n%s", code, out)
	}
	if code, _, talk := agentctl(t, "-s", s, "ban", "sshd", "127.0.0.1"); code != 1 || !strings.Contains(talk, "ignores it") {
		t.Errorf("ignored: exit %d, %q", code, talk)
	}
	if code, _, talk := agentctl(t, "-s", s, "ban", "sshd", "192.0.2.1", "--time", "-1"); code != 0 || !strings.Contains(talk, "still owing: store") {
		t.Errorf("owing: exit %d, %q", code, talk)
	}
	if code, _, talk := agentctl(t, "-s", s, "status", "nojail"); code != 1 || talk != "agentctl: there is no such jail: \"nojail\"\n" {
		t.Errorf("no jail: exit %d, %q", code, talk)
	}
}

// TestNobodyThere: one clear line, exit status 1, no stack.
func TestNobodyThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		filepath.Join(dir, "none"): "agentd is not running: there is no socket at " + filepath.Join(dir, "none") + " (start agentd, or name its socket with -s)",
		file:                       "not agentd's socket: " + file + " is no socket (name agentd's with -s)",
		dir:                        "not agentd's socket: " + dir + " is no socket (name agentd's with -s)",
	} {
		for _, args := range []string{"status", "banned", "ban sshd 192.0.2.1", "unban --all", "reload", "firewall", "events --follow", "stop", "ping"} {
			code, out, talk := agentctl(t, append([]string{"-s", path}, strings.Fields(args)...)...)
			if code != 1 || out != "" || talk != "agentctl: "+want+"\n" {
				t.Errorf("%s: exit %d, %q, %q", args, code, out, talk)
			}
		}
	}
	if code, out, _ := agentctl(t, "version", "-s", file+"none"); code != 0 || !strings.Contains(out, "not running") {
		t.Errorf("version without a daemon: exit %d, %q", code, out)
	}
}

func TestWrongUsageIsExplained(t *testing.T) {
	for args, want := range map[string]string{
		"":                       "no command",
		"statsu":                 `did you mean "status"?`,
		"frobnicate":             "unknown command",
		"status a b":             "agentctl status [JAIL]",
		"ban sshd":               "agentctl ban JAIL IP…",
		"unban":                  "IP… | --all",
		"unban --all 192.0.2.1":  "IP… | --all",
		"events":                 "--follow",
		"status --nonsense":      "unknown option --nonsense",
		"ping --force":           "ping does not take --force",
		"banned --limit":         "--limit needs a value",
		"banned --limit x":       "is no number",
		"ban sshd x --time soon": "is no number of seconds",
		"completion tcsh":        "bash|zsh|fish",
		"ping --limit 3":         "ping does not take --limit",
	} {
		code, _, talk := agentctl(t, strings.Fields(args)...)
		if code != 2 || !strings.Contains(talk, want) || strings.Count(talk, "\n") != 1 {
			t.Errorf("agentctl %s: exit %d, %q", args, code, talk)
		}
	}
}

func TestHelpHasAnExample(t *testing.T) {
	for _, c := range commands() {
		for _, args := range [][]string{{c.name, "--help"}, {"help", c.name}, {"-h", c.name}} {
			code, out, _ := agentctl(t, args...)
			if code != 0 || !strings.HasPrefix(out, "Usage: agentctl "+c.name) || !strings.Contains(out, "Example:\n  agentctl ") && !strings.Contains(out, "Example:\n  source ") {
				t.Errorf("%v: exit %d\n%s", args, code, out)
			}
		}
	}
	for _, args := range [][]string{{"--help"}, {"help"}} {
		if code, out, _ := agentctl(t, args...); code != 0 || !strings.Contains(out, "Exit status") {
			t.Errorf("%v: exit %d\n%s", args, code, out)
		}
	}
}

func TestCompletionScriptsAreScripts(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		_, out, _ := agentctl(t, "completion", shell)
		if !strings.Contains(out, "status") {
			t.Errorf("%s: %q", shell, out)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue
		}
		cmd := exec.Command(path, "-n")
		cmd.Stdin = strings.NewReader(out)
		if b, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", shell, err, b)
		}
	}
}

func TestSpans(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", -time.Second: "0s", 59 * time.Second: "59s", time.Minute: "1m", 61 * time.Second: "1m 1s",
		3 * time.Hour: "3h", 25*time.Hour + time.Minute: "1d 1h", 24*time.Hour + 5*time.Second: "1d",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}
