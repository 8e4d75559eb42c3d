package main

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// lineTo is a handler that writes to a buffer.
func lineTo(w io.Writer, level slog.Level, pid int, style logStyle) *lineHandler {
	c := &logControl{target: &stream{w, pid, style}}
	c.level.Set(level)
	return newLineHandler(c)
}

var stamps = regexp.MustCompile(`(?m)^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} `)

func TestDecisionsAreLoggedInFail2bansWords(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.Local)
	key := jail.Key{Jail: "sshd", ID: ident.Parse("192.0.2.1")}
	for want, d := range map[string]jail.Decision{
		"fail2ban.filter         [4711]: INFO    [sshd] Found 192.0.2.1 - 2026-11-22 12:00:00": {Kind: jail.Found, Key: key, Time: at},
		"fail2ban.actions        [4711]: NOTICE  [sshd] Ban 192.0.2.1":                         {Kind: jail.BanStart, Key: key},
		"fail2ban.actions        [4711]: NOTICE  [sshd] Restore Ban 192.0.2.1":                 {Kind: jail.Restore, Key: key},
		"fail2ban.actions        [4711]: NOTICE  [sshd] Unban 192.0.2.1":                       {Kind: jail.Unban, Key: key},
		"fail2ban.actions        [4711]: NOTICE  [sshd] 192.0.2.1 already banned":              {Kind: jail.Already, Key: key, Time: at.Add(5 * time.Second), Ban: jail.Ban{Start: at}},
		"fail2ban.actions        [4711]: WARNING [sshd] 192.0.2.1 already banned":              {Kind: jail.Already, Key: key, Time: at.Add(time.Minute), Ban: jail.Ban{Start: at}},
		"fail2ban.actions        [4711]: NOTICE  [sshd] Repeal Ban 192.0.2.1":                  {Kind: jail.Unban, Key: key, Reason: jail.JailRemoved},
		"fail2ban.observer       [4711]: INFO    [sshd] Found 192.0.2.1, bad - 2026-11-22 12:00:00, 2 # -> 3.0, Ban": {
			Kind: jail.FoundBad, Key: key, Time: at, Weight: 3, Enough: true, Previous: jail.History{Count: 2},
		},
		"fail2ban.observer       [4711]: INFO    [sshd] IP 192.0.2.1 is bad: 1 # last 2026-11-22 12:00:00 - incr 10m to 20m\n" +
			"fail2ban.observer       [4711]: NOTICE  [sshd] Increase Ban 192.0.2.1 (2 # 20m -> 2026-11-22 12:20:00)": {
			Kind: jail.IncreaseBan, Key: key, Old: 10 * time.Minute, Previous: jail.History{Count: 1, Last: at}, Ban: jail.Ban{Start: at, Duration: 20 * time.Minute, Count: 2},
		},
		"fail2ban.actions        [4711]: INFO    [sshd] Ignore 192.0.2.1, expired bantime": {Kind: jail.Expired, Key: key},
	} {
		var out bytes.Buffer
		recorder{lineTo(&out, slog.LevelInfo, 4711, logStyle{date: true, padding: true})}.decision(d)
		stamp, _, _ := strings.Cut(out.String(), " fail2ban")
		if rest := stamps.ReplaceAllString(out.String(), ""); rest != want+"\n" {
			t.Errorf("got  %q\nwant %q", rest, want)
		}
		if !regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}$`).MatchString(stamp) {
			t.Errorf("stamp %q", stamp)
		}
	}
}

func TestTextFromALogCannotForgeALine(t *testing.T) {
	var out bytes.Buffer
	h := lineTo(&out, slog.LevelDebug, 1, logStyle{})
	hostile := "bob\n2026-11-22 12:00:00,000 fail2ban.actions [1]: NOTICE [sshd] Ban 203.0.113.1\x1b[2J"
	slog.New(h).With("jail", "a b").Warn("odd", "err", errors.New(hostile), "n", 3)
	recorder{h}.decision(jail.Decision{Kind: jail.BanStart, Key: jail.Key{Jail: "j", ID: ident.Raw(hostile)}})
	slog.New(h).Warn("configuration:", "problem", prose(`action = "mail": `+hostile))
	if strings.Count(out.String(), "\n") != 3 || !strings.Contains(out.String(), `configuration: action = "mail": bob`) || strings.ContainsRune(out.String(), '\x1b') {
		t.Errorf("%q", out.String())
	}
	if !strings.Contains(out.String(), `jail="a b"`) || !strings.Contains(out.String(), "n=3") {
		t.Errorf("%q", out.String())
	}
}

func TestLevelsHaveFail2bansNames(t *testing.T) {
	for _, name := range []string{"CRITICAL", "ERROR", "WARNING", "NOTICE", "INFO", "DEBUG"} {
		l, err := parseLevel(strings.ToLower(name))
		if err != nil || levelName(l) != name {
			t.Errorf("%s: %v, %v", name, levelName(l), err)
		}
	}
	var out bytes.Buffer
	h := lineTo(&out, levelNotice, 1, logStyle{})
	recorder{h}.decision(jail.Decision{Kind: jail.Found})
	recorder{h}.ignored("j", ident.Parse("192.0.2.1"), "ip", time.Now())
	slog.New(h).Info("quiet")
	if out.Len() > 0 {
		t.Errorf("below the level: %q", out.String())
	}
}

// TestTheLogFollowsItsName: after logrotate has moved the log, or has removed it, lines go to a new one.
func TestTheLogFollowsItsName(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agentd.log")
	h, err := openLog(flags{logTarget: path, logLevel: "INFO"}, config.Global{}, outputs{})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	log := slog.New(h)
	log.Info("one")
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	log.Info("two")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	log.Info("three")
	log.Info("four")
	for name, want := range map[string][]string{path + ".1": {"one"}, path: {"three", "four"}} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(string(text)), "\n")
		if len(lines) != len(want) {
			t.Fatalf("%s: %q", name, lines)
		}
		for i, l := range lines {
			if !strings.HasSuffix(l, " "+want[i]) {
				t.Errorf("%s: %q, want %s", name, l, want[i])
			}
		}
	}
}
