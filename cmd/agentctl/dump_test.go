package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/setup"
)

// TestDumpIsFail2bansStream: a JSON array a line, which means what fail2ban's client prints.
func TestDumpIsFail2bansStream(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"every jail": {"jail.local": "[DEFAULT]\nenabled = true\nbackend = systemd\n"},
		"awkward":    {"jail.d/a.local": awkward(), "jail.d/defaults-debian.conf": ""},
	} {
		dir := debian(t, files)
		_, printed, _ := realClient(t, "-c", dir, "-d")
		var want [][]any
		oracle.JSON(t, `
import ast, json, sys
json.dump([ast.literal_eval(l) for l in sys.stdin.buffer.read().decode().split("\n") if l.startswith("[")], sys.stdout)
`, []byte(printed), &want)
		code, out, talk := agentctl(t, "dump", "-c", dir, "--release", "1.0")
		var got [][]any
		for line := range strings.Lines(out) {
			var command []any
			if err := json.Unmarshal([]byte(line), &command); err != nil {
				t.Fatal(err)
			}
			got = append(got, command)
		}
		if code != 0 || len(got) != len(want) || len(want) < 20 {
			t.Fatalf("%s: exit %d, %d commands, want %d: %s", name, code, len(got), len(want), talk)
		}
		for i := range want {
			if !reflect.DeepEqual(got[i], want[i]) {
				t.Errorf("%s: %v, want %v", name, got[i], want[i])
			}
		}
	}
}

// TestDumpOfAJail is of it alone, also if it is not enabled.
func TestDumpOfAJail(t *testing.T) {
	dir := debian(t, nil)
	code, out, talk := agentctl(t, "dump", "-c", dir, "--jail", "nginx-http-auth")
	if code != 0 || !strings.HasPrefix(out, `["add","nginx-http-auth","`) || strings.Contains(out, "sshd") || !strings.HasSuffix(out, "[\"start\",\"nginx-http-auth\"]\n") {
		t.Errorf("exit %d, %.300s, %s", code, out, talk)
	}
	broken := debian(t, map[string]string{"jail.local": "[sshd]\nbackend = systemd\nmaxretry = many\n[nginx-http-auth]\nenabled = true\nusedns = maybe\n"})
	code, out, talk = agentctl(t, "dump", "-c", broken)
	if code != 1 || !strings.Contains(out, `["add","nginx-http-auth","`) || strings.Contains(out, `["add","sshd"`) ||
		!strings.Contains(talk, "agentctl: error: "+broken+"/jail.local:3 [sshd] maxretry = many: ") || !strings.Contains(talk, "agentctl: warning: "+broken+"/jail.local:6 ") {
		t.Errorf("exit %d, %.300s, %s", code, out, talk)
	}
	if code, out, talk = agentctl(t, "dump", "-c", broken, "--jail", "sshd"); code != 1 || !strings.Contains(out, "config-error") || strings.Contains(talk, "usedns") {
		t.Errorf("exit %d, %.300s, %s", code, out, talk)
	}
	for _, args := range [][]string{{"--jail", "nope"}, {"--release", "0.9"}, {"-c", filepath.Join(dir, "none")}} {
		if code, out, talk := agentctl(t, append([]string{"dump", "-c", dir}, args...)...); code == 0 || out != "" || strings.Count(talk, "\n") != 1 {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, talk)
		}
	}
}

func TestCheck(t *testing.T) {
	dir := t.TempDir()
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	log := filepath.Join(dir, "a.log")
	if err := os.WriteFile(log, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	sound := "[a]\nenabled = true\nfilter = sshd\nlogpath = " + log + "\naction = nftables[port=ssh]\n"
	write(sound)
	if code, out, talk := agentctl(t, "check", "-c", dir); code != 0 || talk != "" || !strings.HasSuffix(out, "1 of 1 enabled jails can run\n") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
	write(sound + "bantime = soon\nmaxretry = many\n[b\x1b]\nenabled = true\nfilter = nope\n")
	code, out, talk := agentctl(t, "check", "-c", dir)
	if code != 1 || talk != "" || !strings.Contains(out, "jail.local:6 [a] bantime = soon") || !strings.Contains(out, "jail.local:7 [a] maxretry = many") || strings.Contains(out, "\x1b") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
	code, out, _ = agentctl(t, "check", "--json", "-c", dir)
	var r setup.Report
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 1 || r.OK || len(r.Broken) == 0 || len(r.Problems) < 3 || r.Problems[0].Line == 0 {
		t.Errorf("exit %d, %v, %+v", code, err, r)
	}
	if code, _, talk := agentctl(t, "check", "-c", filepath.Join(dir, "none")); code != 1 || !strings.Contains(talk, "is not there") {
		t.Errorf("exit %d, %q", code, talk)
	}
}
