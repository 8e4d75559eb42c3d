package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

func TestAnswersForPrograms(t *testing.T) {
	s := serve(t, "healthy")
	for _, args := range []string{"status", "status sshd", "banned", "banned 192.0.2.1", "ban sshd 192.0.2.7", "unban 192.0.2.1", "reload", "firewall", "ping", "version"} {
		for _, all := range [][]string{append([]string{"--json", "--socket=" + s}, strings.Fields(args)...), append(strings.Fields(args), "-s", s, "--json")} {
			code, out, talk := agentctl(t, all...)
			var v map[string]any
			if err := json.Unmarshal([]byte(out), &v); err != nil || code != 0 || talk != "" {
				t.Errorf("%v: exit %d, %v, %q", all, code, err, talk)
			}
		}
	}
}

// TestJSONMeansWhatTheDaemonSaid: what is escaped for terminals is the same for programs.
func TestJSONMeansWhatTheDaemonSaid(t *testing.T) {
	_, out, _ := agentctl(t, "banned", "--json", "-s", serve(t, "healthy"))
	var b control.Banned
	if err := json.Unmarshal([]byte(out), &b); err != nil || len(b.Bans) != 4 || b.Bans[0].ID != hostile {
		t.Errorf("%v: %+v", err, b.Bans)
	}
}

func TestVersionIsToldWithoutADaemon(t *testing.T) {
	if code, out, talk := agentctl(t, "version", "-s", t.TempDir()+"/none"); code != 0 || !strings.Contains(out, "agentctl") || !strings.Contains(out, "not running") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
	s := serve(t, "healthy")
	for _, args := range [][]string{{"version"}, {"--version"}, {"-V"}} {
		if code, out, _ := agentctl(t, append(args, "-s", s)...); code != 0 || !strings.Contains(out, "agentd    v1.2.3") {
			t.Errorf("%v: exit %d, %q", args, code, out)
		}
	}
}

func TestPingTellsThatTheDaemonAnswers(t *testing.T) {
	if code, out, talk := agentctl(t, "ping", "-s", serve(t, "healthy")); code != 0 || !strings.HasPrefix(out, "agentd answers (in ") {
		t.Errorf("exit %d, %q, %q", code, out, talk)
	}
}

// full is a disk or a pipe that takes nothing.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestAnAnswerThatCannotBeWrittenIsAFailure(t *testing.T) {
	s := serve(t, "healthy")
	for _, args := range []string{"status", "status --json", "banned", "firewall", "events --follow", "events --follow --json", "version", "help", "ban --help", "completion bash"} {
		var talk strings.Builder
		code := run(t.Context(), append(strings.Fields(args), "-s", s), full{}, &talk)
		if code != 1 || talk.String() != "agentctl: write the answer: no space left on device\n" {
			t.Errorf("%s: exit %d, %q", args, code, talk.String())
		}
	}
}

// TestCtrlC: it is the way to end events, and a failure of everything else.
func TestCtrlC(t *testing.T) {
	s := serve(t, "healthy")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for args, want := range map[string]int{"events --follow": 0, "status": 1, "ban sshd 192.0.2.1": 1, "version": 1} {
		var talk strings.Builder
		if code := run(ctx, append(strings.Fields(args), "-s", s), io.Discard, &talk); code != want {
			t.Errorf("%s: exit %d, %q", args, code, talk.String())
		}
	}
}

func TestHelpHasAnExample(t *testing.T) {
	for _, c := range commands() {
		for _, args := range [][]string{{c.name, "--help"}, {"help", c.name}, {"-h", c.name}} {
			code, out, _ := agentctl(t, args...)
			if code != 0 || !strings.HasPrefix(out, "Usage: agentctl "+c.name) || !strings.Contains(out, "\nExample:\n  ") {
				t.Errorf("%v: exit %d\n%s", args, code, out)
			}
			for _, o := range c.options {
				if !strings.Contains(out, "--"+o) {
					t.Errorf("%v does not tell of --%s", args, o)
				}
			}
		}
	}
}

func TestUsageNamesEveryOption(t *testing.T) {
	used := map[string]bool{}
	for _, c := range commands() {
		for _, o := range c.options {
			used[o] = true
			if _, known := findOption(o); !known || !strings.Contains(c.usage, "--"+o) {
				t.Errorf("%s: --%s is missing in its usage or in the options", c.name, o)
			}
		}
	}
	for _, o := range options() {
		if !used[o.name] {
			t.Errorf("no command takes --%s", o.name)
		}
	}
}

func TestTextIsMadeSafe(t *testing.T) {
	for text, want := range map[string]string{
		"plain, with ünïcode 日本": "plain, with ünïcode 日本",
		"\x1b[31m":               `\x1b[31m`,
		"a\nb\tc\r":              `a\x0ab\x09c\x0d`,
		"\x7f":                   `\x7f`,
		"\u009b":                 `\u009b`,
		"\u202e\u200b\ufeff":     `\u202e\u200b\ufeff`,
		"\U000e0001":             `\U000e0001`,
		"bad \xff\x9b UTF-8":     `bad \xff\x9b UTF-8`,
		"a real \ufffd":          "a real \ufffd",
		"\ufffd\xff":             "\ufffd" + `\xff`,
	} {
		if got := safe(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func TestColumnsLineUp(t *testing.T) {
	var b strings.Builder
	x := newTable("NAME", ">COUNT", "EMPTY", "NOTE")
	x.add("größer", 5, "", "a\nb")
	x.add("x", 12345678, "")
	x.write(&b)
	want := "NAME       COUNT  NOTE\ngrößer         5  a\\x0ab\nx       12345678\n"
	if b.String() != want {
		t.Errorf("\n%s\nwant\n%s", b.String(), want)
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
	if got := seconds(1<<63 - 1); got != "106751d 23h" {
		t.Errorf("the longest time: %q", got)
	}
}

func TestSizes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 999: "999 B", 1000: "1.0 kB", 1049: "1.0 kB", 99949: "99.9 kB", 99950: "100 kB", 999499: "999 kB", 999500: "1.0 MB",
		1234567: "1.2 MB", 1<<63 - 1: "9.2 EB",
	} {
		if got := size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}
