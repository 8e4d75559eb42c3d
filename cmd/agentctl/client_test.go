package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// asClient runs our client as fail2ban 1.0's, which is what Debian has.
func asClient(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, talk bytes.Buffer
	c := &fail2banClient{
		conf: config.DefaultDir, timeout: 10 * time.Second, stdin: strings.NewReader(""), stdout: &out, stderr: &talk, now: time.Now,
		release: config.Release10, agentd: filepath.Join(t.TempDir(), "none"),
	}
	code = c.run(t.Context(), args)
	return code, out.String(), talk.String()
}

// realClient runs fail2ban's.
func realClient(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := oracle.Program(t, "fail2ban-client", args...)
	var out, talk bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &talk
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode(), out.String(), talk.String()
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0, out.String(), talk.String()
}

// debian is a copy of Debian's tree with these files besides.
func debian(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(oracle.Fail2ban(t), "etc/fail2ban"))); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// awkward has what a text can hold: both quotation marks, backslashes, control characters, other scripts.
func awkward() string {
	return strings.NewReplacer("SOFT", "\u00ad", "ZERO", "\u200b").Replace(`[DEFAULT]
enabled = false
[a]
enabled = true
backend = polling
filter =
failregex = ^it's <HOST>$
            ^say "x" <HOST>$
            ^it's "x" \d\\ <HOST>$
            ^ünïcödé € 😀 <HOST>$
            ^softSOFThyphen and zeroZEROwidth <HOST>$
ignoreregex = ^'$
ignorecommand = echo 'a' "b" \n	tab
ignoreip = 192.0.2.1 ::1
action = nftables[name="it's", port="1,2", protocol='tcp']
         sendmail-whois[name='x "y"', dest=a@b]
`)
}

// TestDumpsAreFail2bans: byte for byte what fail2ban's client prints, plain and for people, of every jail of
// Debian's and of awkward texts. The log files of a jail come in the order of the disk there.
func TestDumpsAreFail2bans(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"every jail": {"jail.local": "[DEFAULT]\nenabled = true\naction = %(action_mwl)s\n"},
		"awkward":    {"jail.d/a.local": awkward(), "jail.d/defaults-debian.conf": ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := debian(t, files)
			for _, option := range []string{"-d", "--dp"} {
				wantCode, want, talk := realClient(t, "-c", dir, option)
				code, got, _ := asClient(t, "-c", dir, option)
				if code != wantCode || len(want) < 1000 {
					t.Fatalf("%s: exit %d, fail2ban's %d: %s", option, code, wantCode, talk)
				}
				compareLines(t, got, want)
			}
		})
	}
}

func compareLines(t *testing.T, got, want string) {
	t.Helper()
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	isPath := func(s string) bool { return strings.Contains(s, "'addlogpath'") }
	for _, lines := range [][]string{a, b} {
		for i := range lines {
			j := i
			for j < len(lines) && isPath(lines[j]) {
				j++
			}
			slices.Sort(lines[i:j])
		}
	}
	shown := 0
	for i := range max(len(a), len(b)) {
		var x, y string
		if i < len(a) {
			x = a[i]
		}
		if i < len(b) {
			y = b[i]
		}
		if x != y {
			t.Errorf("line %d\n%.600s\nwant\n%.600s", i+1, x, y)
			if shown++; shown > 3 {
				t.FailNow()
			}
		}
	}
}

// server plays fail2ban's with a few answers.
type server struct{}

func (server) Handle(_ context.Context, words []any) (any, error) {
	switch text := fmt.Sprint(words...); text {
	case "ping":
		return "pong", nil
	case "status":
		return pickle.List{pickle.Tuple{"Number of jail", 1}, pickle.Tuple{"Jail list", "j1"}}, nil
	case "banned":
		return pickle.List{pickle.Dict{{Key: "j1", Value: pickle.List{"192.0.2.1"}}}}, nil
	case "get":
		return nil, &f2b.ExceptionError{Module: "builtins", Class: "IndexError", Args: []any{"list index out of range"}}
	}
	switch words[0] {
	case "status":
		return nil, &f2b.ExceptionError{Module: "fail2ban.exceptions", Class: "UnknownJailException", Args: []any{words[1]}}
	case "set":
		return 1, nil
	case "reload":
		return fmt.Sprintf("%v %v", words[1], f2b.Repr(words[3])), nil
	}
	return nil, &f2b.ExceptionError{Module: "builtins", Class: "Exception", Args: []any{"Invalid command"}}
}

func serveFail2ban(t *testing.T) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- f2b.NewServer(l, f2b.ServerOptions{Handler: server{}}).Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return path
}

// TestCommandsAreAnsweredAsByFail2bansClient: the same server, asked by fail2ban's client and by ours.
func TestCommandsAreAnsweredAsByFail2bansClient(t *testing.T) {
	path := serveFail2ban(t)
	dir := debian(t, map[string]string{"jail.local": "[sshd]\nbackend = systemd\n"})
	for _, command := range []string{
		"ping", "ping 5", "ping x", "status", "status nope", "banned", "set j1 banip 192.0.2.1", "set j1 bantime -1", "get", "nonsense", "start j1",
		"reload", "reload sshd", "reload a b", "reload nope", "reload --if-exists nope", "restart sshd",
	} {
		args := append([]string{"-c", dir, "-s", path}, strings.Fields(command)...)
		wantCode, want, wantTalk := realClient(t, args...)
		code, got, talk := asClient(t, args...)
		if code != wantCode || got != want {
			t.Errorf("%s: exit %d, %.500q, %s; want %d, %.500q, %s", command, code, got, talk, wantCode, want, wantTalk)
		}
		if wantCode != 0 && tail(talk) != tail(wantTalk) {
			t.Errorf("%s says %q, want %q", command, talk, wantTalk)
		}
	}
}

// tail is the last message of a log, without its time and process.
func tail(log string) string {
	lines := strings.Split(strings.TrimSpace(log), "\n")
	_, text, _ := strings.Cut(lines[len(lines)-1], "]: ")
	return text
}

func TestTheClientWithoutAServer(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	dead := filepath.Join(t.TempDir(), "dead")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", dead)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	l.Close()
	for _, args := range [][]string{{"-s", none, "ping"}, {"-s", none, "status"}, {"-s", dead, "version"}, {"-s", none, "reload"}, {"-s", none, "start", "x"}, {"--nope"}, {"--dump"}, {"-td"}, {"-d", "-t"}, {"--str2sec", "soon"}, {"-s"}, {}, {"--str2sec", "1d 12h"}, {"--str2sec=90"}} {
		all := append([]string{"-c", filepath.Join(oracle.Fail2ban(t), "etc/fail2ban")}, args...)
		wantCode, want, wantTalk := realClient(t, all...)
		code, got, talk := asClient(t, all...)
		if code != wantCode || len(args) > 0 && args[0] == "-s" && len(args) > 1 && tail(talk) != tail(wantTalk) || strings.HasPrefix(strings.Join(args, ""), "--str2sec") && got != want && wantCode == 0 || strings.HasSuffix(want, "successful\n") && got != want {
			t.Errorf("%q: exit %d, %.100q, %q; want %d, %.100q, %q", args, code, got, talk, wantCode, want, wantTalk)
		}
	}
}

// TestTheTestOfAConfigurationTellsEverything: fail2ban's ends at the first mistake.
func TestTheTestOfAConfigurationTellsEverything(t *testing.T) {
	dir := debian(t, map[string]string{"jail.local": "[sshd]\nbackend = systemd\nbantime = soon\nmaxretry = many\n[nginx-http-auth]\nenabled = true\nfilter = nope\n"})
	code, out, talk := asClient(t, "-c", dir, "-t")
	if code != 255 || out != "ERROR: test configuration failed\n" || strings.Count(talk, "ERROR") < 3 {
		t.Errorf("exit %d, %q, %s", code, out, talk)
	}
	code, out, _ = asClient(t, "-c", debian(t, map[string]string{"jail.local": "[sshd]\nbackend = systemd\n"}), "--test")
	if code != 0 || out != "OK: configuration test is successful\n" {
		t.Errorf("exit %d, %q", code, out)
	}
	for args, want := range map[string]string{"-V": "1.1.0\n", "--version": "Fail2Ban v1.1.0\n"} {
		if code, out, _ := asClient(t, args); code != 0 || out != want {
			t.Errorf("%s: exit %d, %q", args, code, out)
		}
	}
}

// TestClientTellsHowToStart: the service manager starts and restarts the server, not a client.
func TestClientTellsHowToStart(t *testing.T) {
	for _, command := range []string{"start", "restart"} {
		if code, out, talk := asClient(t, "-c", t.TempDir(), command); code != 255 || out != "" || !strings.Contains(talk, "service manager: systemctl "+command+" agentd") {
			t.Errorf("%s: exit %d, %q, %s", command, code, out, talk)
		}
	}
}
