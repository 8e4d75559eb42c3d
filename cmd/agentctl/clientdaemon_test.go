package main

import (
	"bufio"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// asClientOf runs our client where agentd listens and fail2ban's server does not.
func asClientOf(t *testing.T, agentd, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	dir := t.TempDir()
	text := "[Definition]\nsocket = " + filepath.Join(dir, "none") + "\n"
	if err := os.WriteFile(filepath.Join(dir, "fail2ban.local"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	var out, talk bytes.Buffer
	c := &fail2banClient{
		conf: dir, named: true, timeout: 10 * time.Second, stdin: strings.NewReader(input), stdout: &out, stderr: &talk, now: fakeNow,
		agentd: agentd,
	}
	code = c.run(t.Context(), args)
	return code, out.String(), talk.String()
}

// TestAgentdAnswersFail2bansCommands in fail2ban's layouts, to the tab.
func TestAgentdAnswersFail2bansCommands(t *testing.T) {
	agentd := serve(t, "healthy")
	shown := safe(hostile) // on the line that it belongs to
	for command, want := range map[string]string{
		"ping":          "Server replied: pong\n",
		"version":       clientVersion + "\n",
		"server-status": "Server ready\n",
		"echo a b":      "a b\n",
		"status":        "Status\n|- Number of jail:\t2\n`- Jail list:\tsshd, web\n",
		"status web": "Status for the jail: web\n|- Filter\n|  |- Currently failed:\t0\n|  |- Total failed:\t1234\n|  `- File list:\t/var/log/web.log\n" +
			"`- Actions\n   |- Currently banned:\t3\n   |- Total banned:\t3\n   `- Banned IP list:\t2001:db8::/64 192.0.2.1 " + shown + "\n",
		"banned 192.0.2.1":                           "[['sshd', 'web']]\n",
		"banned 203.0.113.9 192.0.2.1":               "[[], ['sshd', 'web']]\n",
		"unban 192.0.2.1 203.0.113.9":                "2\n",
		"unban --all":                                "4\n",
		"set sshd banip 192.0.2.7 192.0.2.8":         "2\n",
		"set sshd banip":                             "0\n",
		"set sshd unbanip 192.0.2.1":                 "1\n",
		"set sshd unbanip 203.0.113.9":               "0\n",
		"set sshd unbanip --report-absent 192.0.2.1": "1\n",
		"get sshd maxretry":                          "5\n",
		"get sshd findtime":                          "600\n",
		"get sshd bantime":                           "3600\n",
		"get sshd logpath":                           "Current monitored log file(s):\n`- /var/log/sshd.log\n",
		"get sshd actions":                           "The jail sshd has the following actions:\nnftables\n",
		"get sshd banned 192.0.2.1":                  "1\n",
		"get sshd banned 192.0.2.1 203.0.113.9":      "[1, 0]\n",
		"get sshd banned":                            "['192.0.2.1']\n",
		"get sshd banip":                             "192.0.2.1\n",
		"get web banip ;":                            "192.0.2.1;2001:db8::/64;" + shown + "\n",
		"reload":                                     "OK\n",
		"reload --unban":                             "OK\n",
	} {
		code, out, talk := asClientOf(t, agentd, "", strings.Fields(command)...)
		if code != 0 || out != want || strings.Contains(talk, "ERROR") {
			t.Errorf("%s: exit %d, %q, want %q; %s", command, code, out, want, talk)
		}
	}
	_, out, _ := asClientOf(t, agentd, "", "banned")
	if !strings.HasPrefix(out, "[{'sshd': ['192.0.2.1']}, {'web': ['2001:db8::/64', '192.0.2.1', 'bob") || strings.Count(out, "\n") != 1 || strings.Contains(out, "\x1b") {
		t.Errorf("banned: %q", out)
	}
	_, out, _ = asClientOf(t, agentd, "", "get", "web", "banip", "--with-time")
	lines := strings.Split(out, "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[0], "192.0.2.1 \t2026-11-22 ") || !strings.Contains(out, "\n"+shown+" \t") || !strings.HasSuffix(lines[2], " + -1 = 9999-12-31 23:59:59") {
		t.Errorf("banip --with-time: %q", lines)
	}
}

// TestWhatAgentdDoesNotAnswerIsAFailure, of which fail2ban's words are told where it has some.
func TestWhatAgentdDoesNotAnswerIsAFailure(t *testing.T) {
	agentd := serve(t, "healthy")
	for command, want := range map[string]string{
		"status nope":              "Sorry but the jail 'nope' does not exist\n",
		"get nope bantime":         "Sorry but the jail 'nope' does not exist\n",
		"set nope banip 192.0.2.1": "Sorry but the jail 'nope' does not exist\n",
		"get":                      "Sorry but the command is invalid\n",
		"set sshd":                 "Sorry but the command is invalid\n",
		"unban":                    "Invalid command\n",
		"set sshd unbanip --report-absent 1.2.3.4": "not banned: ['1.2.3.4']\n",
		"set sshd nonsense 5":                      "Invalid command 'nonsense' (no set action or not yet implemented)\n",
		"get sshd nonsense":                        "Invalid command (no get action or not yet implemented)\n",
		"nonsense\x1b":                             "Invalid command\n",
	} {
		code, out, talk := asClientOf(t, agentd, "", strings.Split(command, " ")...)
		if code != clientFailed || !strings.Contains(out, want) || !strings.Contains(talk, "NOK: (") || strings.Contains(out+talk, "\x1b") {
			t.Errorf("%q: exit %d, %q, want %q; %q", command, code, out, want, talk)
		}
	}
	if code, out, talk := asClientOf(t, serve(t, "degraded"), "", "reload"); code != clientFailed || !strings.Contains(out, "is not in force: is no time") {
		t.Errorf("a reload that is not applied: exit %d, %q, %q", code, out, talk)
	}
	if code, out, _ := asClientOf(t, agentd, "", "stop"); code != 0 || out != "Shutdown successful\n" {
		t.Errorf("stop: exit %d, %q", code, out)
	}
	// The answer to stop may be here before the end is.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		code, out, talk := asClientOf(t, agentd, "", "ping")
		if code == clientFailed && out == "" && strings.Contains(talk, "Failed to access socket path: ") {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after the end: exit %d, %q, %q", code, out, talk)
		}
	}
}

func TestCommandsOfAnInput(t *testing.T) {
	agentd := serve(t, "healthy")
	code, out, talk := asClientOf(t, agentd, "ping\n\n get 'sshd' \"maxretry\"\nstatus nope\nopen 'quote\nquit\nping\n", "-i")
	if want := "fail2ban> Server replied: pong\nfail2ban> fail2ban> 5\nfail2ban> Sorry but the jail 'nope' does not exist\nfail2ban> fail2ban> "; code != 0 ||
		!strings.HasSuffix(out, want) || strings.Count(talk, "ERROR") != 2 {
		t.Errorf("exit %d, %q, want %q; %q", code, out, want, talk)
	}
	if code, _, _ := asClientOf(t, agentd, "ping\n", "-i"); code != clientFailed {
		t.Errorf("an input that ends: exit %d", code)
	}
}

// TestOurClientAsksFail2bansServer, and shows what fail2ban's client shows.
func TestOurClientAsksFail2bansServer(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.log": "", "filter.d/f.conf": "[Definition]\nfailregex = ^ failure from <HOST>$\nignoreregex =\n",
		"fail2ban.conf": "[Definition]\nloglevel = INFO\nlogtarget = STDERR\nsyslogsocket = auto\nsocket = DIR/s\npidfile = DIR/p\ndbfile = :memory:\nallowipv6 = auto\n",
		"jail.conf":     "[DEFAULT]\nenabled = true\nbackend = polling\nlogpath = DIR/a.log\nfilter = f\n[one]\n[two]\n[off]\nenabled = false\n",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	server := oracle.Program(t, "fail2ban-server", "-c", dir, "-f", "start")
	said, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	if line, err := bufio.NewReader(said).ReadString('\n'); line != "Server ready\n" {
		t.Fatalf("the server says %q, %v", line, err)
	}
	for _, command := range []string{
		"ping", "version", "status", "status one", "status nope", "status one short", "banned", "get one banip", "set one banip 192.0.2.1 nobody", "get one banip ,",
		"get one banip --with-time", "banned 192.0.2.1 x", "get one banned", "get one banned 192.0.2.1 x", "set one unbanip 203.0.113.1",
		"set one unbanip --report-absent 203.0.113.1", "unban 203.0.113.1", "get dbfile", "get dbpurgeage", "get dbmaxmatches", "get loglevel", "get logtarget",
		"set loglevel bogus", "get syslogsocket", "get thread", "get one logpath", "get one logencoding", "get one failregex", "get one ignoreregex", "get one prefregex",
		"get one datepattern", "set one datepattern %Y-%m-%d", "set one datepattern EPOCH", "get one usedns", "get one bantime", "set one bantime 1h",
		"set one bantime -1", "get one ignoreip", "get one ignoreself", "get one ignorecommand", "get one ignorecache", "get one actions", "get one actionproperties x",
		"get one maxlines", "set one logtimezone UTC", "get one bantime.increment", "set one idle maybe", "get one nonsense", "set one nonsense 1", "get one",
		"set", "nonsense", "echo a b", "sleep 0", "flushlogs", "start one", "start nope", "add one", "reload one", "reload off", "reload nope", "reload a b", "reload",
	} {
		args := append([]string{"-c", dir}, strings.Fields(command)...)
		wantCode, want, wantTalk := realClient(t, args...)
		var out, talk bytes.Buffer
		c := &fail2banClient{conf: dir, named: true, timeout: 10 * time.Second, stdout: &out, stderr: &talk, now: time.Now, release: config.Release10}
		code := c.run(t.Context(), args)
		if command == "set one banip 192.0.2.1 nobody" || command == "unban 203.0.113.1" { // the second time there is less to do
			out.Reset()
			out.WriteString(want)
		}
		if code != wantCode || out.String() != want || wantCode != 0 && tail(talk.String()) != tail(wantTalk) {
			t.Errorf("%s: exit %d, %q, %s; want %d, %q, %s", command, code, out.String(), talk.String(), wantCode, want, wantTalk)
		}
	}
}

// TestFail2bansWordsAreCommandsOfAgentctl, with its answers, or as JSON, and with our exit status.
func TestFail2bansWordsAreCommandsOfAgentctl(t *testing.T) {
	s := serve(t, "healthy")
	for _, c := range []struct {
		words []string
		code  int
		want  string
	}{
		{[]string{"get", "sshd", "maxretry"}, 0, "5\n"},
		{[]string{"set", "sshd", "banip", "192.0.2.7"}, 0, "1\n"},
		{[]string{"get", "nope", "maxretry"}, 1, "Sorry but the jail 'nope' does not exist\n"},
		{[]string{"set", "sshd"}, 1, "Sorry but the command is invalid\n"},
		{[]string{"--json", "get", "sshd", "logpath"}, 0, "[\n  \"/var/log/sshd.log\"\n]\n"},
	} {
		code, out, talk := agentctl(t, append([]string{"-s", s}, c.words...)...)
		if code != c.code || !strings.HasSuffix(out+talk, c.want) {
			t.Errorf("%q: exit %d, %q, %q", c.words, code, out, talk)
		}
	}
}
