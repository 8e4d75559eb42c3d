package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/regextest"
)

// objects runs agentctl regex --json and reads what it prints.
func objects(t *testing.T, args ...string) []regextest.Object {
	t.Helper()
	code, out, talk := agentctl(t, append([]string{"regex", "--json"}, args...)...)
	if code != 0 || talk != "" {
		t.Fatalf("%q: exit %d, %s", args, code, talk)
	}
	var all []regextest.Object
	for line := range strings.Lines(out) {
		var o regextest.Object
		if err := json.Unmarshal([]byte(line), &o); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, o)
	}
	return all
}

// filterScript asks fail2ban's own Filter about lines, with the clock at a moment.
const filterScript = `
import json, logging, os, sys, time
os.environ["TZ"] = "UTC"
time.tzset()
logging.disable(logging.CRITICAL)
from fail2ban.server.mytime import MyTime
from fail2ban.server.filter import Filter
from fail2ban.client.filterreader import FilterReader
q = json.load(sys.stdin)
MyTime.setAlternateNow(q["Now"])
MyTime.setTime(q["Now"])
f = Filter(None)
f.returnRawHost, f.checkAllRegex, f.checkFindTime = True, q["All"], False
reader = FilterReader("sshd", "jail", {"mode": "aggressive"}, basedir=q["Dir"])
reader.read()
reader.getOptions({})
for c in reader.convert():
    for v in c[3] if c[0] == "multi-set" else [c[3]]:
        if c[2] == "prefregex": f.prefRegex = v
        elif c[2] == "addfailregex": f.addFailRegex(v)
        elif c[2] == "addignoreregex": f.addIgnoreRegex(v)
        elif c[2] == "maxlines": f.setMaxLines(v)
        elif c[2] == "datepattern": f.setDatePattern(v)
out = []
for line in q["Lines"]:
    out.append([{"regex": m[0] + 1, "id": str(m[1] or ""), "time": m[2], "nofail": bool(m[3].get("nofail")), "user": m[3].get("user") or "", "matches": len(m[3].get("matches") or [])} for m in f.processLine(line)])
json.dump(out, sys.stdout)
`

// TestObjectsAreWhatFail2bansFilterFinds: the annotated sample of sshd, with all regexes and with the first
// alone.
func TestObjectsAreWhatFail2bansFilterFinds(t *testing.T) {
	dir, samples := stockSamples(t)
	text, err := os.ReadFile(samples["sshd"])
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimRight(line, "\r\n"); !regextest.Skipped(line) {
			lines = append(lines, line)
		}
	}
	const now = 1124013600
	for _, all := range []bool{true, false} {
		in, err := json.Marshal(map[string]any{"Dir": dir, "Lines": lines, "Now": now, "All": all})
		if err != nil {
			t.Fatal(err)
		}
		var want [][]struct {
			Regex, Matches int
			ID, User       string
			Time           float64
			NoFail         bool
		}
		oracle.JSON(t, filterScript, in, &want)
		args := []string{"-c", dir, "--now", strconv.Itoa(now), "--no-findtime", "--tz", "UTC", "--usedns", "raw", samples["sshd"], "sshd[mode=aggressive]"}
		if !all {
			args = append([]string{"--no-check-all"}, args...)
		}
		got := objects(t, args...)
		if len(got) != len(want) || len(want) < 100 {
			t.Fatalf("%d objects, want %d", len(got), len(want))
		}
		for i, o := range got {
			if o.Text != lines[i] || len(o.Failures) != len(want[i]) {
				t.Errorf("%q: %+v, want %+v", o.Text, o.Failures, want[i])
				continue
			}
			for k, f := range o.Failures {
				w := want[i][k]
				user, _ := f.Captures["user"].(string)
				if f.Regex != w.Regex || f.ID != w.ID || f.Time == nil || *f.Time != w.Time || f.NoFail != w.NoFail || f.Matches != w.Matches || user != w.User {
					t.Errorf("%q: %+v, want %+v", o.Text, f, w)
				}
			}
		}
	}
}

// TestALinesAgeMattersOnlyAtATimeThatIsNamed: then a line older than findtime is no failure, as to the daemon
// that starts at that time.
func TestALinesAgeMattersOnlyAtATimeThatIsNamed(t *testing.T) {
	const line = "2026-01-02T03:04:05Z from 192.0.2.1"
	fresh := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339) + " from 192.0.2.1"
	for _, tt := range []struct {
		args    []string
		matched bool
	}{
		{[]string{line, "from <ADDR>$"}, true},
		{[]string{"--now", "2026-01-02T04:05:00Z", line, "from <ADDR>$"}, false},
		{[]string{"--now", "2026-01-02T04:05:00Z", "--no-findtime", line, "from <ADDR>$"}, true},
		{[]string{"--no-findtime", line, "from <ADDR>$"}, true},
		{[]string{"--now", "2026-01-02T03:05:00Z", line, "from <ADDR>$"}, true},
		{[]string{fresh, "from <ADDR>$"}, true},
	} {
		if got := objects(t, tt.args...); len(got) != 1 || got[0].Matched != tt.matched {
			t.Errorf("%q: %+v", tt.args, got)
		}
	}
	if _, out, _ := agentctl(t, "regex", line, "from <ADDR>$"); !strings.Contains(out, "1 matched") {
		t.Errorf("%s", out)
	}
}

func TestObjectsSayWhereALineEnded(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "app.log")
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text := "2026-11-22T11:59:00Z app: failure from 192.0.2.1\n\n# a comment\n2026-11-22T11:59:00Z app: nothing\n2026-11-22T11:59:00Z other: failure from 192.0.2.1\n" +
		"2026-11-20T11:59:00Z app: failure from 192.0.2.1\n2026-11-22T11:59:00Z app: failure from 192.0.2.7\nno app: failure from 192.0.2.1\n2026-11-22T11:59:01Z app: the end is missing"
	if err := os.WriteFile(log, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	filter := filepath.Join(dir, "my.conf")
	if err := os.WriteFile(filter, []byte("[Definition]\nprefregex = ^ app: <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^failure from <ADDR>$\nignoreregex = 192\\.0\\.2\\.7\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects(t, "--now", now.Format(time.RFC3339), log, filter) {
		got = append(got, fmt.Sprintf("%d %v %v %d %s", o.Line, o.Matched, o.Ignored, len(o.Failures), o.Why))
	}
	want := []string{
		"1 true false 1 ", "4 false false 0 no failregex matches", "5 false false 0 prefregex does not match", "6 false false 0 older than findtime",
		"7 false true 0 ignored by ignoreregex 1", "8 false false 0 no date found, and prefregex does not match", "9 false false 0 no failregex matches",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if got := objects(t, "--now", now.Format(time.RFC3339), "--no-findtime", log, filter); !got[3].Matched {
		t.Errorf("%+v", got[3])
	}
	got2 := objects(t, "--journal", "--now", "1795348800", "app: failure from 2001:db8::1", `^app: failure from <ADDR>$`)
	if len(got2) != 1 || len(got2[0].Failures) != 1 || got2[0].Failures[0].ID != "2001:db8::1" || *got2[0].Failures[0].Time != 1795348800 {
		t.Errorf("%+v", got2)
	}
	code, out, _ := agentctl(t, "regex", "--explain", "--print-no-missed", "--print-no-ignored", log, filter)
	if code != 0 || !strings.Contains(out, "1: failure of 192.0.2.1 at 2026-11-22T11:59:00Z, failregex 1\n") || !strings.Contains(out, "5: prefregex does not match: ") ||
		!strings.Contains(out, "   searched: \"nothing\"\n") || !strings.Contains(out, "   searched: \" other: failure from 192.0.2.1\"\n") {
		t.Errorf("exit %d, %s", code, out)
	}
}

func TestExplainSaysThatAFailureHasNoDate(t *testing.T) {
	code, out, _ := agentctl(t, "regex", "--explain", "from 192.0.2.1", "from <ADDR>$")
	if code != 0 || !strings.Contains(out, "1: failure of 192.0.2.1 without a date, failregex 1\n") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestALongLogCanBeInterrupted, and what was seen so far is told.
func TestALongLogCanBeInterrupted(t *testing.T) {
	o, err := parseRegex([]string{"-", "failure from <ADDR>"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, log := io.Pipe()
	defer func() { _ = in.Close() }()
	go func() { // a log that goes on, but says nothing more for now
		_, _ = log.Write(bytes.Repeat([]byte("2026-11-22T11:59:00Z app: failure from 192.0.2.1\n"), 300))
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	r := &regexRun{o: o, stdout: &stdout, stderr: &stderr, stdin: in, clock: time.Now}
	err = r.run(ctx)
	lines := regexp.MustCompile(`Lines: (\d+) lines, 0 ignored, (\d+) matched`).FindStringSubmatch(stdout.String())
	if !errors.Is(err, errRegex) || lines == nil || lines[1] != lines[2] || !strings.Contains(stderr.String(), "interrupted after "+lines[1]+" line") {
		t.Errorf("%v, %s, %s", err, stderr.String(), stdout.String())
	}
}

// TestStandardInputIsALog, read to its end.
func TestStandardInputIsALog(t *testing.T) {
	o, err := parseRegex([]string{"-", "failure from <ADDR>"})
	if err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	text := strings.Repeat("2026-11-22T11:59:00Z app: failure from 192.0.2.1\n", 5000) + "2026-11-22T11:59:00Z app: the last"
	r := &regexRun{o: o, stdout: &stdout, stderr: &stderr, stdin: strings.NewReader(text), clock: time.Now}
	if err := r.run(t.Context()); err != nil || !strings.Contains(stdout.String(), "Lines: 5001 lines, 0 ignored, 5000 matched, 1 missed") {
		t.Errorf("%v, %s, %s", err, stderr.String(), stdout.String())
	}
}

// TestTextOfALogStaysText: nothing of it moves the cursor.
func TestTextOfALogStaysText(t *testing.T) {
	code, out, _ := agentctl(t, "regex", "Jun 14 11:11:11 \x1b[2J\u202e app", "nothing <HOST>")
	if code != 0 || strings.ContainsAny(out, "\x1b\u202e") {
		t.Errorf("exit %d, %q", code, out)
	}
}

// TestRegexReadsAJournal: entries have their own times.
func TestRegexReadsAJournal(t *testing.T) {
	j := oracle.NewJournal(t)
	at := time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)
	j.Write("system.journal",
		oracle.JournalEntry{Time: at, Identifier: "app", Unit: "app.service", Message: "failure from 192.0.2.1"},
		oracle.JournalEntry{Time: at, Identifier: "app", Unit: "other.service", Message: "failure from 192.0.2.2"})
	got := objects(t, "--no-findtime", "-m", "_SYSTEMD_UNIT=app.service", "systemd-journal[journalpath="+j.Dir+"]", `^host app\[101\]: failure from <ADDR>$`)
	if len(got) != 1 || !got[0].Matched || *got[0].Failures[0].Time != float64(at.Unix()) {
		t.Errorf("%+v", got)
	}
}
