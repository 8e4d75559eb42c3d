package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// bansAreListedByTheirEnd by get J banip, and by their beginning elsewhere. Only bans out of a log have lengths of
// their own in fail2ban: whom j2 bans again, it bans for longer. The status of j2 is not compared from then on:
// fail2ban counts the failures of those it knows twice.
func bansAreListedByTheirEnd(t *testing.T, sides ...side) {
	t.Helper()
	const longer, shorter = "192.0.2.101", "192.0.2.102"
	ban := func(ip, bantime string, end bool) {
		t.Helper()
		for _, s := range sides {
			s.ask(t, [][]string{{"set", "j2", "bantime", bantime}})
			before := s.ask(t, [][]string{{"status", "j2"}})[0].Text
			appendFailures(t, filepath.Join(s.dir, "b.log"), ip, 5)
			waitFor(t, 20*time.Second, "j2 bans "+ip, func() bool {
				return totalBanned.FindString(s.ask(t, [][]string{{"status", "j2"}})[0].Text) != totalBanned.FindString(before)
			})
			waitFor(t, 20*time.Second, "the ban ends", func() bool {
				return !end || s.ask(t, [][]string{{"get", "j2", "banned", ip}})[0].Text == "0"
			})
		}
	}
	ban(longer, "4", true) // an unban by hand would have it forgotten
	ban(longer, "600", false)
	ban(shorter, "600", false)
	commands := [][]string{{"get", "j2", "banip"}, {"get", "j2", "banip", ";"}, {"get", "j2", "banip", "--with-time"}, {"get", "j2", "banned"}}
	want, got := sides[0].ask(t, commands), sides[1].ask(t, commands)
	if want[0].Text != shorter+" "+longer || want[3].Text != "['"+longer+"', '"+shorter+"']" {
		t.Fatalf("fail2ban lists %q and %q: the bans are not as this test needs them", want[0].Text, want[3].Text)
	}
	for i, c := range commands {
		if w, g := normal(c, want[i]), normal(c, got[i]); w != g {
			t.Errorf("%s\n got %q\nwant %q", strings.Join(c, " "), g.Text, w.Text)
		}
	}
}

var totalBanned = regexp.MustCompile(`Total banned:\t\d+`)

// appendFailures writes lines of now that a jail counts.
func appendFailures(t *testing.T, path, ip string, n int) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	line := fmt.Sprintf("%s app: failure from %s\n", time.Now().Format(time.DateTime), ip)
	if _, err := f.WriteString(strings.Repeat(line, n)); err != nil {
		t.Fatal(err)
	}
}

// seen is what programs are asked: nothing that changes a server.
const seen = `
ping
echo a b
status
status j1
status j1 short
status nojail
banned
banned 192.0.2.99
get loglevel
get dbfile
get dbpurgeage
get j1 failregex
get j1 ignoreregex
get j1 logpath
get j1 bantime
get j1 actions
get j1 action note actionban
get j1 nonsense
set j1 nonsense 5
set j1 addfailregex '('
set j1 idle maybe
set j1 maxretry x
set nojail banip 192.0.2.1
get j2 banip
unban
nonsense
`

// slowly are the places of those that fail2ban's own program, which takes its time, is asked.
var slowly = map[string]bool{"ping": true, "status": true, "status j1": true, "status nojail": true, "set j1 addfailregex '('": true, "nonsense": true}

// programsPrintTheSame: fail2ban's client and ours, each with fail2ban's server and ours.
func programsPrintTheSame(t *testing.T, theirs, ours side) {
	t.Helper()
	linked := filepath.Join(t.TempDir(), "fail2ban-client")
	if err := os.Symlink(binary(t, "agentctl"), linked); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(strings.TrimSpace(seen)) {
		line = strings.TrimSpace(line)
		words, err := config.ShellWords(line)
		if err != nil {
			t.Fatal(err)
		}
		alike := map[string]string{}
		for _, s := range []side{theirs, ours} {
			args := append([]string{"-c", s.dir}, words...)
			server := map[bool]string{true: "fail2ban's server", false: "ours"}[s == theirs]
			alike["our client and "+server] = s.program(t, exec.CommandContext(t.Context(), linked, args...))
			if slowly[line] {
				alike["fail2ban's client and "+server] = s.program(t, oracle.Program(t, "fail2ban-client", args...))
			}
		}
		want := alike["our client and fail2ban's server"]
		if w, asked := alike["fail2ban's client and fail2ban's server"]; asked {
			want = w
		}
		for who, got := range alike {
			if got != want {
				t.Errorf("%s: %s\n got %q\nwant %q", line, who, got, want)
			}
		}
	}
}

// ofProcess is what of a line of a client's log is another in every process.
var ofProcess = regexp.MustCompile(`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d+|\[\d+\]`)

// program runs a client: its exit status, and what it prints where.
func (s side) program(t *testing.T, c *exec.Cmd) string {
	t.Helper()
	var out, talk bytes.Buffer
	c.Stdout, c.Stderr = &out, &talk
	c.WaitDelay = time.Second
	if err := c.Run(); err != nil && (c.ProcessState == nil || t.Context().Err() == context.Canceled) {
		t.Fatal(err)
	}
	text := fmt.Sprintf("exit %d\n%s\n%s", c.ProcessState.ExitCode(), out.String(), ofProcess.ReplaceAllString(talk.String(), "X"))
	return strings.ReplaceAll(text, s.dir, "DIR")
}
