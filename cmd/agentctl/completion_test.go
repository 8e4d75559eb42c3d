package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMain makes the test binary agentctl itself when it is called so, for shells to run.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "agentctl" {
		main()
	}
	os.Exit(m.Run())
}

func TestCompletionOffersWhatMayFollow(t *testing.T) {
	s := serve(t, "healthy")
	for _, c := range []struct {
		typed []string
		want  string // a word each; … is any number more
	}{
		{[]string{""}, "status banned why why-not …"},
		{[]string{"ba"}, "banned ban"},
		{[]string{"-s", s, "st"}, "status stop start stats"},
		{[]string{"help", "v"}, "version"},
		{[]string{"completion", ""}, "bash zsh fish"},
		{[]string{"-"}, "--json --socket --config --help"},
		{[]string{"ban", "--"}, "--time --force --json --socket --config --help"},
		{[]string{"unban", "--a"}, "--all"},
		{[]string{"-s", s, "status", ""}, "sshd web"},
		{[]string{"--socket", "=", s, "status", "w"}, "web"},
		{[]string{"--socket=" + s, "status", "w"}, "web"},
		{[]string{"ban", "-s", s, "ss"}, "sshd"},
		{[]string{"-s", s, "banned", "--jail", ""}, "sshd web"},
		{[]string{"events", "--follow", "--kind", "un"}, "unban"},
		{[]string{"events", "--kind", "ban", "--kind", ""}, "found ignored ban already prolong …"},
		{[]string{"-s", s, "events", "--jail", "w"}, "web"},
		{[]string{"-s", s, "status", "sshd", ""}, ""},
		{[]string{"-s", s, "ban", "sshd", ""}, ""},
		{[]string{"banned", "--limit", ""}, ""},
		{[]string{"banned", "--jail", "=", "s"}, ""},
		{[]string{"filters", "-c", t.TempDir(), "nginx-http"}, "nginx-http-auth"},
		{[]string{"dump", "--r"}, "--release"},
		{[]string{"regex", "--print-no"}, "--print-no-missed --print-no-ignored"},
		{[]string{"regex", "a.log", "sshd", "--ex"}, "--explain"},
		{[]string{"regex", "-o", "m"}, "msg matches"},
		{[]string{"regex", "--usedns", ""}, "yes warn no raw"},
		{[]string{"regex", "-d", ""}, ""},
		{[]string{"regex", "-c", t.TempDir(), "a.log", "nginx-http"}, "nginx-http-auth"},
		{[]string{"regex", "a.log", "sshd", ""}, ""},
		{[]string{"regex", "--nonsense", "a.log", "ss"}, ""},
		{[]string{"frobnicate", ""}, ""},
		{[]string{"ping", ""}, ""},
		{nil, ""},
	} {
		code, out, talk := agentctl(t, append([]string{"completion", "words", "--"}, c.typed...)...)
		var got []string
		for l := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(l), "\t")
			got = append(got, word)
		}
		want := strings.Fields(c.want)
		if n := len(want) - 1; n >= 0 && want[n] == "…" {
			want = want[:n]
			got = got[:min(len(got), n)]
		}
		if code != 0 || talk != "" || !slices.Equal(got, want) {
			t.Errorf("%q: exit %d, %q, %q, want %q", c.typed, code, got, talk, want)
		}
	}
}

func TestNothingIsCompletedWithoutADaemon(t *testing.T) {
	code, out, _ := agentctl(t, "completion", "words", "--", "-s", t.TempDir()+"/none", "status", "")
	if code != 1 || out != "" {
		t.Errorf("exit %d, %q", code, out)
	}
}

// shell gives a shell, or skips, and makes the test binary agentctl on its path.
func shell(t *testing.T, name string) (path string, env []string) {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("%s is not installed: its script is not run", name)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin, home := t.TempDir(), t.TempDir()
	if err := os.Symlink(self, filepath.Join(bin, "agentctl")); err != nil {
		t.Fatal(err)
	}
	// The race detector would wait for a second at the end of every process.
	return path, append(os.Environ(), "GORACE=atexit_sleep_ms=0", "PATH="+bin+":"+os.Getenv("PATH"), "HOME="+home, "XDG_CONFIG_HOME="+home, "XDG_DATA_HOME="+home)
}

func script(t *testing.T, path string, env []string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), path, args...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", filepath.Base(path), err, out)
	}
	return strings.TrimSpace(string(out))
}

func TestCompletionInBash(t *testing.T) {
	path, env := shell(t, "bash")
	s := serve(t, "hostile")
	for typed, want := range map[string]string{
		"agentctl rel":                   "reload",
		"agentctl -s " + s + " status ":  `\$\(touch\ owned\) web`,
		"agentctl -s " + s + " status w": "web",
		"agentctl ban --ti":              "--time",
		"agentctl frobnicate ":           "",
	} {
		got := script(t, path, env, "-c", `cd "$HOME" && source <(agentctl completion bash)
			read -ra COMP_WORDS <<<"$1"
			[[ $1 == *" " ]] && COMP_WORDS+=("")
			COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
			_agentctl agentctl
			echo "${COMPREPLY[*]}"
			if [[ -e owned ]]; then echo a jail is a command; fi`, "bash", typed)
		if got != want {
			t.Errorf("%s: %q, want %q", typed, got, want)
		}
	}
}

func TestCompletionInFish(t *testing.T) {
	path, env := shell(t, "fish")
	s := serve(t, "healthy")
	for typed, want := range map[string]string{
		"agentctl rel":                    "reload\tread the configuration again, losing no ban and no line",
		"agentctl -s " + s + " status ":   "sshd\tjail\nweb\tjail",
		"agentctl -s " + s + " ban sshd ": "",
	} {
		if got := script(t, path, env, "-c", "agentctl completion fish | source; complete -C $argv[1]", typed); got != want {
			t.Errorf("%s: %q, want %q", typed, got, want)
		}
	}
}

func TestCompletionInZsh(t *testing.T) {
	path, env := shell(t, "zsh")
	// The completion system wants a terminal; here its part is played, and what it would show is seen.
	got := script(t, path, env, "-f", "-c", `
		compdef() { : }
		_describe() { print -rl -- ${(P)${@[-1]}} }
		source <(agentctl completion zsh)
		words=(agentctl rel) CURRENT=2
		_agentctl`)
	if want := "reload:read the configuration again, losing no ban and no line"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
