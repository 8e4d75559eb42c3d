package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestFail2bansClientSteersTheDaemon: fail2ban's own client, in Python, finds the daemon where fail2ban.conf
// says, and cannot tell the difference.
func TestFail2bansClientSteersTheDaemon(t *testing.T) {
	dir := tree(t, map[string]string{
		"app.log": "", "fail2ban.conf": "[Definition]\nsocket = DIR/f2b.sock\n", "filter.d/app.conf": soundFilter,
		"action.d/nftables.conf": "[Definition]\nactionban = true\nactionunban = true\n", // fail2ban's client wants one
		"jail.conf":              "[app]\nenabled = true\nlogpath = DIR/app.log\nfilter = app\naction = nftables[type=allports]\n",
	})
	start(t, binary(t, "agentd"), "-c", dir, "--firewall", "memory", "-s", filepath.Join(dir, "a.sock"), "--db", filepath.Join(dir, "db"))
	socket := filepath.Join(dir, "f2b.sock")
	waitFor(t, 15*time.Second, "the socket is there", func() bool { _, err := os.Stat(socket); return err == nil })
	waitFor(t, 15*time.Second, "the daemon answers", func() bool {
		out, err := oracle.Program(t, "fail2ban-client", "-c", dir, "ping").Output()
		return err == nil && string(out) == "Server replied: pong\n"
	})
	if st, err := os.Stat(socket); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v: only root may ask for bans", st.Mode(), err)
	}
	for _, c := range []struct{ command, want string }{
		{"status", "Status\n|- Number of jail:\t1\n`- Jail list:\tapp"},
		{"set app banip 192.0.2.1 2001:db8::1", "2"},
		{"get app banip", "192.0.2.1 2001:db8::1"},
		{"status app", "Status for the jail: app\n|- Filter\n|  |- Currently failed:\t0\n|  |- Total failed:\t0\n|  `- File list:\t" + dir + "/app.log\n" +
			"`- Actions\n   |- Currently banned:\t2\n   |- Total banned:\t2\n   `- Banned IP list:\t192.0.2.1 2001:db8::1"},
		{"banned", "[{'app': ['192.0.2.1', '2001:db8::1']}]"},
		{"reload", "OK"},
		{"set app unbanip 192.0.2.1", "1"},
		{"unban --all", "1"},
		{"banned", "[{'app': []}]"},
		{"status nope", "Sorry but the jail 'nope' does not exist"},
	} {
		out, err := oracle.Program(t, "fail2ban-client", append([]string{"-c", dir}, strings.Fields(c.command)...)...).Output()
		if got := strings.TrimSpace(string(out)); got != c.want || (err != nil) != (c.command == "status nope") {
			t.Errorf("%s: %q, %v, want %q", c.command, got, err, c.want)
		}
	}
}
