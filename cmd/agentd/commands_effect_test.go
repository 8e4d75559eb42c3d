package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
)

// answer asks a server for one thing.
func (s side) answer(t *testing.T, command string) reply {
	t.Helper()
	words, err := config.ShellWords(command)
	if err != nil {
		t.Fatal(err)
	}
	return s.ask(t, [][]string{words})[0]
}

// said is the answer as fail2ban's client shows it.
func (s side) said(t *testing.T, command string) string {
	t.Helper()
	return s.answer(t, command).Text
}

// oneServer runs our server with the jail j1.
func oneServer(t *testing.T) side {
	t.Helper()
	ours := side{}
	ours.dir = tree(t, map[string]string{
		"a.log": "", "b.log": "",
		"fail2ban.conf":      "[Definition]\nsocket = DIR/f2b.sock\nlogtarget = DIR/f2b.log\n",
		"filter.d/app.conf":  "[Definition]\nfailregex = ^ app: failure from <HOST>$\n",
		"action.d/note.conf": "[Definition]\nactionban = echo ban <ip> >> DIR/noted\nactionunban = echo unban <ip> >> DIR/noted\n",
		"jail.conf":          "[j1]\nenabled = true\nbackend = polling\nfilter = app\naction = note\nignoreself = false\nlogpath = DIR/a.log\nmaxretry = 3\n",
	})
	ours.socket = filepath.Join(ours.dir, "f2b.sock")
	start(t, binary(t, "agentd"), "-c", ours.dir, "--firewall", "memory", "-s", filepath.Join(ours.dir, "a.sock"), "--db", filepath.Join(ours.dir, "db"))
	waitFor(t, 30*time.Second, "the server answers", func() bool { _, err := os.Stat(ours.socket); return err == nil })
	return ours
}

// TestCommandsTakeEffectAtOnce, without a ban or a line lost, and until the next reload.
func TestCommandsTakeEffectAtOnce(t *testing.T) {
	ours := oneServer(t)
	fail := func(log, what, ip string) {
		f, err := os.OpenFile(filepath.Join(ours.dir, log), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fmt.Fprintf(f, "%s app: %s %s\n", time.Now().Format("2006-01-02 15:04:05"), what, ip)
	}
	banned := func(jail, ids string) {
		t.Helper()
		waitFor(t, 20*time.Second, jail+" bans "+ids, func() bool {
			return strings.HasSuffix(ours.said(t, "status "+jail), "Banned IP list:\t"+ids)
		})
	}
	noted := func(want string) {
		t.Helper()
		waitFor(t, 20*time.Second, "it is noted: "+want, func() bool {
			b, _ := os.ReadFile(filepath.Join(ours.dir, "noted"))
			return strings.Contains(string(b), want+"\n")
		})
	}
	fail("a.log", "failure from", "192.0.2.1")
	waitFor(t, 20*time.Second, "it is counted", func() bool { return strings.Contains(ours.said(t, "status j1"), "Currently failed:\t1") })

	ours.said(t, "set j1 maxretry 2")
	fail("a.log", "failure from", "192.0.2.1") // the count has outlived the change
	banned("j1", "192.0.2.1")
	noted("ban 192.0.2.1")

	ours.said(t, "set j1 addignoreip 192.0.2.2")
	fail("a.log", "failure from", "192.0.2.2")
	fail("a.log", "failure from", "192.0.2.2")
	ours.said(t, `set j1 addfailregex '^ app: refused <HOST>$'`)
	fail("a.log", "refused", "192.0.2.3")
	fail("a.log", "refused", "192.0.2.3")
	banned("j1", "192.0.2.1 192.0.2.3")

	ours.said(t, "set j1 action note actionban 'echo other <ip> >> DIR/noted'")
	ours.said(t, "set j1 attempt 192.0.2.4 one two")
	banned("j1", "192.0.2.1 192.0.2.3 192.0.2.4")
	noted("other 192.0.2.4")
	ours.said(t, "set j1 addaction second")
	ours.said(t, "set j1 action second actionban 'echo second <ip> >> DIR/noted'")
	ours.said(t, "set j1 banip 192.0.2.5")
	noted("second 192.0.2.5")

	ours.said(t, "set j1 idle on")
	fail("a.log", "failure from", "192.0.2.6")
	ours.said(t, "set j1 addlogpath DIR/b.log") // which is not read either
	fail("b.log", "failure from", "192.0.2.6")
	ours.said(t, "set j1 idle off")
	banned("j1", "192.0.2.1 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6")

	for _, c := range []string{
		"add j9 polling", `set j9 addfailregex '^ app: failure from <HOST>$'`, "set j9 maxretry 1", "set j9 addlogpath DIR/b.log tail",
		"set j9 bantime 5", "start j9",
	} {
		if got := ours.said(t, c); strings.Contains(got, "Sorry") || strings.Contains(got, "nvalid") {
			t.Errorf("%s: %s", c, got)
		}
	}
	fail("b.log", "failure from", "192.0.2.7")
	banned("j9", "192.0.2.7")
	banned("j9", "") // after five seconds
	ours.said(t, "stop j9")

	// fail2ban forgets here, too, what was changed by hand. What is banned stays so.
	if got := ours.said(t, "reload"); got != "OK" {
		t.Error(got)
	}
	if got := ours.said(t, "get j1 maxretry"); got != "3" {
		t.Errorf("after the reload maxretry is %s", got)
	}
	banned("j1", "192.0.2.1 192.0.2.3 192.0.2.4 192.0.2.5 192.0.2.6")
	ours.said(t, "set loglevel ERROR")
	before, _ := os.ReadFile(filepath.Join(ours.dir, "f2b.log"))
	ours.said(t, "set j1 banip 192.0.2.8")
	after, _ := os.ReadFile(filepath.Join(ours.dir, "f2b.log"))
	if !strings.Contains(string(before), "NOTICE  [j1] Ban 192.0.2.5") || strings.Contains(string(after), "Ban 192.0.2.8") {
		t.Errorf("%s", after)
	}
}

// TestCommandsOfRelease11Work, which Debian's release of fail2ban does not know yet: the values that release 1.1
// answers with.
func TestCommandsOfRelease11Work(t *testing.T) {
	ours := oneServer(t)
	const j1 = "[('Filter', [('Currently failed', 0), ('Total failed', 0), ('File list', ['DIR/a.log'])]), " +
		"('Actions', [('Currently banned', 1), ('Total banned', 1), ('Banned IP list', ['192.0.2.1'])])]"
	short := strings.Replace(j1, ", ('Banned IP list', ['192.0.2.1'])", "", 1)
	ours.said(t, "set j1 banip 192.0.2.1")
	for _, c := range []struct{ command, want string }{
		{"version", "'1.1.0'"},
		{"stats", "{'j1': ['polling', (0, 0), (1, 1)]}"},
		{"statistic", "{'j1': ['polling', (0, 0), (1, 1)]}"},
		{"statistics", "{'j1': ['polling', (0, 0), (1, 1)]}"},
		{"status j1 stats", "['polling', (0, 0), (1, 1)]"},
		{"status --all", "[('Number of jail', 1), ('Jail list', 'j1'), {'j1': " + j1 + "}]"},
		{"status --all short", "[('Number of jail', 1), ('Jail list', 'j1'), {'j1': " + short + "}]"},
	} {
		if got := ours.answer(t, c.command); got.Code != 0 || got.Value != c.want {
			t.Errorf("%s: %d %s, want %s", c.command, got.Code, got.Value, c.want)
		}
	}
}

// TestCommandsThatAreAnsweredOtherwiseThanByFail2ban, each for a reason that docs/COMPAT.md tells.
func TestCommandsThatAreAnsweredOtherwiseThanByFail2ban(t *testing.T) {
	ours := oneServer(t)
	ours.said(t, "set j1 banip 192.0.2.1")
	basic := ours.answer(t, "status j1")
	if got := ours.answer(t, "status j1 cymru"); got != basic {
		t.Errorf("a flavor that asks the internet: %+v, want %+v", got, basic)
	}
	for _, c := range []struct {
		command, want string
		code          int
	}{
		{"get j1 actionproperties note", "['actionban', 'actioncheck', 'actionflush', 'actionreban', 'actionreload', 'actionrepair', 'actionstart', 'actionstop', 'actionunban', 'actname', 'name', 'timeout']", 0},
		{"get j1 actionmethods note", "['ban', 'flush', 'prolong', 'reban', 'reload', 'start', 'stop', 'unban']", 0},
		{"set j1 action note ban {}", "Exception('methods of actions are not called from outside: use set j1 banip, unbanip, or reload')", 1},
		{"server-stream", "Exception('the configuration is read by the server itself: use reload')", 1},
		{"set dbfile DIR/other", "RuntimeError('Cannot change database when there are jails present')", 1},
		{"set j1 bantime 9000", "9000", 0},
	} {
		if got := ours.answer(t, c.command); got.Code != c.code || got.Value != c.want {
			t.Errorf("%s: %d %s, want %d %s", c.command, got.Code, got.Value, c.code, c.want)
		}
	}
	// The ban that stands has its length from before.
	if got := ours.answer(t, "get j1 banip --with-time").Value; !strings.Contains(got, " + 600 = ") {
		t.Errorf("after set bantime: %s", got)
	}
	ours.said(t, "stop j1")
	if got := ours.answer(t, "set dbfile DIR/other"); got.Code != 1 {
		t.Errorf("set dbfile without jails: %+v", got)
	}
}
