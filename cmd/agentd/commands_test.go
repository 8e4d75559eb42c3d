package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// asker sends commands to a server as fail2ban's client does, and shows the answers as it does: its own socket
// class, its own words. A program for each command would take a third of a second.
const asker = `
import json, sys
from fail2ban.client.csocket import CSocket
from fail2ban.client.beautifier import Beautifier
q = json.load(sys.stdin)
out = []
s = CSocket(q["Socket"], timeout=20)
for words in q["Commands"]:
    b = Beautifier(words)
    code, value = s.send(words)
    try:
        text = b.beautify(value) if code == 0 else b.beautifyError(value)
    except Exception as e:
        text = "cannot be shown: %r" % (e,)
    out.append({"Code": code, "Text": str(text), "Value": repr(value), "Class": "" if code == 0 else type(value).__name__})
json.dump(out, sys.stdout)
`

type reply struct {
	Code        int
	Text, Class string
	Value       string // as Python shows it
}

// side is a running server with a configuration of its own.
type side struct{ dir, socket string }

func (s side) ask(t *testing.T, commands [][]string) []reply {
	t.Helper()
	values := make([][]any, len(commands))
	for i, c := range commands {
		for _, w := range c {
			values[i] = append(values[i], strings.ReplaceAll(w, "DIR", s.dir))
		}
	}
	return s.askValues(t, values)
}

// askValues asks with words that need not be texts.
func (s side) askValues(t *testing.T, commands [][]any) []reply {
	t.Helper()
	in, err := json.Marshal(map[string]any{"Socket": s.socket, "Commands": commands})
	if err != nil {
		t.Fatal(err)
	}
	var out []reply
	oracle.JSON(t, asker, in, &out)
	for i := range out {
		out[i].Text = strings.ReplaceAll(out[i].Text, s.dir, "DIR")
		out[i].Value = strings.ReplaceAll(out[i].Value, s.dir, "DIR")
	}
	return out
}

// bothServers run fail2ban's server and ours with the same configuration.
func bothServers(t *testing.T) (theirs, ours side) {
	t.Helper()
	regex := `^ app: failure from (?P<ip4>\d+\.\d+\.\d+\.\d+)$`
	files := map[string]string{
		"a.log": "", "b.log": "", "more.log": "", "tail.log": "", "x.log": "",
		"fail2ban.conf":      "[Definition]\nloglevel = INFO\nlogtarget = DIR/f2b.log\nsyslogsocket = auto\nsocket = DIR/f2b.sock\npidfile = DIR/f2b.pid\ndbfile = DIR/f2b.sqlite\ndbpurgeage = 1d\ndbmaxmatches = 10\n",
		"filter.d/app.conf":  "[Definition]\nfailregex = " + strings.ReplaceAll(regex, "%", "%%") + "\n",
		"action.d/note.conf": "[Definition]\nactionstart = true\nactionban = echo ban <ip> >> DIR/noted\nactionunban = echo unban <ip> >> DIR/noted\n",
		"jail.conf": "[DEFAULT]\nbackend = polling\nusedns = no\nenabled = true\nfilter = app\naction = note\nignoreself = false\n" +
			"[j1]\nlogpath = DIR/a.log\n[j2]\nlogpath = DIR/b.log\nbantime.increment = true\nbantime.factor = 2\nbantime.maxtime = 5h\n",
	}
	theirs.dir, ours.dir = tree(t, files), tree(t, files)
	theirs.socket, ours.socket = filepath.Join(theirs.dir, "f2b.sock"), filepath.Join(ours.dir, "f2b.sock")
	server := oracle.Program(t, "fail2ban-server", "-f", "-c", theirs.dir, "start")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	start(t, binary(t, "agentd"), "-c", ours.dir, "--firewall", "memory", "-s", filepath.Join(ours.dir, "a.sock"), "--db", filepath.Join(ours.dir, "f2b.sqlite"))
	for _, s := range []side{theirs, ours} {
		waitFor(t, 30*time.Second, "the server runs its jails", func() bool {
			if _, err := os.Stat(s.socket); err != nil {
				return false
			}
			return strings.Contains(s.ask(t, [][]string{{"status"}})[0].Text, "j1, j2")
		})
	}
	return theirs, ours
}

// differs are the commands whose answer is meant to be another, each with a row in docs/COMPAT.md.
var differs = map[string]string{
	"add j2":       "the message; fail2ban 1.0.2 fails to make its own",
	"add j5 bogus": "the list of backends, from which release 1.1 has taken gamin",
	// After set j1 bantime.
	"get j1 banip --with-time now": "bans that stand keep the length that they were made with",
}

// TestCommandsAreAnsweredAsByFail2ban: the same text, exception and exit status for every command.
func TestCommandsAreAnsweredAsByFail2ban(t *testing.T) {
	var commands [][]string
	for line := range strings.Lines(walk) {
		words, err := config.ShellWords(strings.TrimSpace(line))
		if err != nil {
			t.Fatal(err)
		}
		if len(words) > 0 {
			commands = append(commands, words)
		}
	}
	theirs, ours := bothServers(t)
	want, got := theirs.ask(t, commands), ours.ask(t, commands)
	same := 0
	for i, c := range commands {
		w, g := normal(c, want[i]), normal(c, got[i])
		if w == g {
			same++
			continue
		}
		if _, known := differs[strings.Join(c, " ")]; !known || w.Code != g.Code {
			t.Errorf("%s\n got %d %s %q\nwant %d %s %q", strings.Join(c, " "), g.Code, g.Class, g.Text, w.Code, w.Class, w.Text)
		}
	}
	t.Logf("%d of %d commands are answered alike", same, len(commands))
	valuesAreTakenAlike(t, theirs, ours)
	bansAreListedByTheirEnd(t, theirs, ours)
	programsPrintTheSame(t, theirs, ours)
}

var floatTime = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d`)

// normal takes out of an answer what differs from run to run: times, and the order of Python's sets.
func normal(command []string, r reply) reply {
	r.Value = "" // the text shows it
	r.Text = floatTime.ReplaceAllString(r.Text, "TIME")
	if slices.ContainsFunc(command, func(w string) bool { return strings.HasSuffix(w, "ignoreip") }) {
		lines := strings.Split(r.Text, "\n")
		for i := range lines {
			lines[i] = strings.TrimLeft(lines[i], "|`- ")
		}
		slices.Sort(lines)
		r.Text = strings.Join(lines, "\n")
	}
	return r
}
