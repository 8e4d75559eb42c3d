package setup

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// tree writes files below a new folder; DIR in them stands for it.
func tree(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func check(t *testing.T, dir string) Report {
	t.Helper()
	r, err := New(dir, true).Check()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wrong is a configuration with a mistake in nearly every jail, and some in its other files.
func wrong() map[string]string {
	return map[string]string{
		"a.log":      "",
		"logs/x.log": "",
		"fail2ban.local": `[Definition]
dbpurgeage = a while
dbmaxmatches = many
loglevel = CHATTY
`,
		"filter.d/regexes.conf": `[Definition]
failregex = ^ login of <HOST$
            ^ (login from <HOST>
            ^ sound <HOST>
ignoreregex = [z-a]
datepattern = %%Y-%%Q
`,
		"filter.d/circle.conf": "[Definition]\nfailregex = <a>\na = <b>\nb = <a> <HOST>\n",
		"filter.d/twice.conf":  "[Definition]\nfailregex = ^ <HOST>\nfailregex = ^ twice <HOST>\n",
		"action.d/half.conf":   "[Definition]\nactionban = %(nothing)s\n",
		"jail.local": `[DEFAULT]
enabled = true
logpath = DIR/a.log
filter = good
action = nftables[port=ssh]
[sound]
[filter-typo]
filter = nginx-http-aut
[filter-syntax]
filter = sshd[mode="x
[regexes]
filter = regexes
logtimezone = Middle/Earth
[circle]
filter = circle
[twice]
filter = twice
[hidden]
failregex =
[values]
bantime = soon
findtime = 0
maxretry = 5 # or so
maxmatches = -1
maxlines = 0
bantime.increment = true
bantime.factor = x
bantime.formula = open("/etc/passwd")
bantime.multipliers = 1 two 4
bantime.maxtime = long
usedns = maybe
logencoding = klingon
ignoreip = 10.0.0.300 192.0.2.0/33
ignorecache = max-count=x
[ports]
action = nftables[port="ssh,htpp,70000", protocol=tpc]
[action-typo]
action = nftable[port=ssh]
[action-broken]
action = half
[action-twice]
action = nftables[port=ssh]
         nftables[port=http]
[action-none]
action =
[reference]
bantime = %(bantimes)s
[folder]
logpath = DIR/logs
[missing]
logpath = DIR/nope.log
          DIR/nope*.log
[blank]
logpath = DIR/a log
[nolog]
logpath =
[backend]
backend = inotify
[journal]
backend = systemd[journalflags=x, colour=red]
journalmatch = ssh.service
[quote]
backend = systemd
journalmatch = "_SYSTEMD_UNIT=x
[switch]
enabled = maybe
[slip]
bantme = 10m
`,
		"filter.d/good.conf": "[Definition]\nfailregex = ^ failure from <HOST>$\n",
	}
}

// TestAllThatIsWrongIsToldAtOnce: each mistake with its place, its value, and what to do about it.
func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	dir := tree(t, wrong())
	r := check(t, dir)
	wanted := `
error DIR/fail2ban.local:3 [Definition] dbmaxmatches = many: a whole number is wanted
error DIR/fail2ban.local:2 [Definition] dbpurgeage = a while: no time
error [filter-typo] DIR/jail.local:8 [filter-typo] filter = nginx-http-aut: there is no filter nginx-http-aut (did you mean nginx-http-auth?)
error [filter-syntax] DIR/jail.local:10 [filter-syntax] filter = sshd[mode="x: the filter cannot be read
error [circle] DIR/filter.d/circle.conf:2 [Definition] failregex = <a>: <a> is replaced again and again
error DIR/filter.d/twice.conf:3 [Definition] failregex = ^ twice <HOST>: this key was already set in line 2
error [twice] DIR/jail.local:17 [twice] filter = twice: the filter has an error
error [values] DIR/jail.local:21 [values] bantime = soon: no time
error [values] DIR/jail.local:22 [values] findtime = 0: the time must be above zero
error [values] DIR/jail.local:23 [values] maxretry = 5 # or so: not a whole number (a comment behind a value begins with " ;"
error [values] DIR/jail.local:25 [values] maxlines = 0: less than 1
error [values] DIR/jail.local:30 [values] bantime.maxtime = long: no time
error [action-typo] DIR/jail.local:38 [action-typo] action = nftable[port=ssh]: there is no action nftable (did you mean nftables?)
error [action-broken] DIR/action.d/half.conf:2 [Definition] actionban = %(nothing)s: %(nothing)s is not defined
error [action-twice] DIR/jail.local:42 [action-twice] action = nftables[port=ssh] nftables[port=http]: two actions are called nftables
error [reference] DIR/jail.local:47 [reference] bantime = %(bantimes)s: %(bantimes)s is not defined (did you mean bantime?)
error [blank] DIR/jail.local:54 [blank] logpath = DIR/a log: behind the last blank stands head or tail
error [backend] DIR/jail.local:58 [backend] backend = inotify: unknown backend
error [quote] DIR/jail.local:64 [quote] journalmatch = "_SYSTEMD_UNIT=x: a quote is never closed
error [regexes] DIR/filter.d/regexes.conf:2 [Definition] failregex = ^ login of <HOST$: no failure-id group
error [regexes] DIR/filter.d/regexes.conf:2 [Definition] failregex = ^ (login from <HOST>: missing ), unterminated subpattern
error [regexes] DIR/filter.d/regexes.conf:5 [Definition] ignoreregex = [z-a]: bad character range z-a
error [regexes] DIR/filter.d/regexes.conf:6 [Definition] datepattern = %Y-%Q: date pattern "%Y-%Q": unknown directive %Q
error [regexes] DIR/jail.local:13 [regexes] logtimezone = Middle/Earth: unknown or unsupported time zone
error [hidden] DIR/jail.local:19 [hidden] failregex = : there is nothing to look for (leave it out
error [values] DIR/jail.local:27 [values] bantime.factor = x: formula "x", column 1: unknown name
error [values] DIR/jail.local:28 [values] bantime.formula = open("/etc/passwd"): formula "open(\"/etc/passwd\")", column 1: unknown function
error [values] DIR/jail.local:29 [values] bantime.multipliers = 1 two 4: multiplier "two" is no whole number
error [values] DIR/jail.local:32 [values] logencoding = klingon: an unknown encoding
error [values] DIR/jail.local:34 [values] ignorecache = max-count=x: it has no key
error [ports] DIR/jail.local:36 [ports] action = nftables: unknown protocol "tpc"
error [ports] DIR/jail.local:36 [ports] action = nftables: unknown port "htpp"
error [ports] DIR/jail.local:36 [ports] action = nftables: unknown port "70000"
error [folder] DIR/jail.local:49 [folder] logpath = DIR/logs: DIR/logs is a folder (name a file, or the files in it as DIR/logs/*.log)
error [nolog] DIR/jail.local:56 [nolog] logpath = : the jail has no log to read
error [journal] DIR/jail.local:60 [journal] backend = systemd[journalflags=x, colour=red]: journalflags "x" is no number
error [journal] DIR/jail.local:61 [journal] journalmatch = ssh.service: "ssh.service" is no match for the journal
warning DIR/fail2ban.local:4 [Definition] loglevel = CHATTY: there is no such level
warning [values] DIR/jail.local:24 [values] maxmatches = -1: less than 0; it counts as 0
warning [values] DIR/jail.local:31 [values] usedns = maybe: unknown value; it counts as no
warning [action-none] DIR/jail.local:45 [action-none] action = : the jail has no action
warning [switch] DIR/jail.local:66 [switch] enabled = maybe: this means false
warning DIR/jail.local:68 [slip] bantme = 10m: a jail has no such option: it changes nothing (did you mean bantime?)
warning [missing] DIR/jail.local:51 [missing] logpath = DIR/nope.log: there is no file DIR/nope.log yet
warning [missing] DIR/jail.local:51 [missing] logpath = DIR/nope*.log: no file matches yet
warning [values] DIR/jail.local:33 [values] ignoreip = 10.0.0.300: this is no address
warning [values] DIR/jail.local:33 [values] ignoreip = 192.0.2.0/33: a prefix of 33 bits is too long
warning [journal] DIR/jail.local:60 [journal] backend = systemd[journalflags=x, colour=red]: the journal has no option colour
`
	var told []string
	for _, p := range r.Problems {
		told = append(told, p.Severity+" "+ProblemText(p))
		if p.Hint == "" && !strings.Contains(p.Message, "it counts as") {
			t.Errorf("nothing says what to do about %q", ProblemText(p))
		}
	}
	for want := range strings.SplitSeq(strings.TrimSpace(strings.ReplaceAll(wanted, "DIR", dir)), "\n") {
		i := slices.IndexFunc(told, func(s string) bool { return strings.HasPrefix(s, want) })
		if i < 0 {
			t.Errorf("nobody says %q", want)
			continue
		}
		told = slices.Delete(told, i, i+1)
	}
	told = slices.DeleteFunc(told, func(s string) bool {
		return strings.Contains(s, "fail2ban.conf; its defaults") || strings.Contains(s, "journalctl is not found")
	})
	if len(told) > 0 {
		t.Errorf("not expected:\n%s", strings.Join(told, "\n"))
	}
	if want := []string{"sound", "action-none", "missing", "slip"}; r.OK || r.Enabled != 22 || !slices.Equal(r.Jails, want) || len(r.Broken) != 18 {
		t.Errorf("ok %v, %d jails are enabled, %q can run, want %q; broken are %q", r.OK, r.Enabled, r.Jails, want, r.Broken)
	}
	if !slices.IsSortedFunc(r.Problems, func(a, b control.Shared) int { return strings.Compare(a.Severity, b.Severity) }) {
		t.Error("errors do not come first")
	}
}

// TestEveryJailOfDebianCanRun, and what is told of them is about logs that this machine has not.
func TestEveryJailOfDebianCanRun(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(oracle.Fail2ban(t), "etc/fail2ban"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte("[DEFAULT]\nenabled = true\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := check(t, dir)
	if !r.OK || len(r.Jails) < 90 || len(r.Jails) != r.Enabled {
		t.Errorf("ok %v, %d of %d jails can run", r.OK, len(r.Jails), r.Enabled)
	}
	for _, p := range r.Problems {
		if p.Key != "logpath" && p.Key != "backend" && p.Key != "action" {
			t.Errorf("%s: %s", p.Severity, ProblemText(p))
		}
	}
}

// TestAJailWithoutActionsIsToldOnce: it counts and keeps nobody out.
func TestAJailWithoutActionsIsToldOnce(t *testing.T) {
	for _, action := range []string{"", "action =\n"} {
		r := check(t, tree(t, map[string]string{"a.log": "", "jail.local": "[one]\nenabled = true\nlogpath = DIR/a.log\nfailregex = ^ <HOST>\n" + action}))
		var told []string
		for _, p := range r.Problems {
			if p.Severity == config.Warning.String() && len(p.Jails) > 0 {
				told = append(told, ProblemText(p))
			}
		}
		if !r.OK || len(told) != 1 || !strings.Contains(told[0], "the jail has no action") || !strings.Contains(told[0], "[one]") {
			t.Errorf("%q: ok %v, %q", action, r.OK, told)
		}
	}
}

// BenchmarkCheck is the check of Debian's tree with every jail enabled.
func BenchmarkCheck(b *testing.B) {
	dir := b.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(oracle.Fail2ban(b), "etc/fail2ban"))); err != nil {
		b.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte("[DEFAULT]\nenabled = true\n"), 0o644); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if r, err := New(dir, true).Check(); err != nil || !r.OK {
			b.Fatal(err, r.Problems)
		}
	}
}
