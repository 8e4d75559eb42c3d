package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/replay"
)

// replayTree is a configuration with two jails, one log that both watch and one for the second alone.
func replayTree(t *testing.T, change string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range map[string]string{
		"filter.d/app.conf": "[Definition]\nfailregex = ^ app: failure from <ADDR>$\n",
		"jail.local": "[DEFAULT]\nenabled = true\nfilter = app\nmaxretry = 3\nfindtime = 10m\nbantime = 1h\naction = nftables[port=1]\nignoreself = false\n" +
			"[app]\nlogpath = " + dir + "/app.log\n[strict]\nlogpath = " + dir + "/*.log\nmaxretry = 2\nignoreip = 192.0.2.9\n" + change,
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// story are failures: seconds after noon, and the last number of the address.
func story(failures ...[2]int) string {
	var b strings.Builder
	for _, f := range failures {
		at := time.Date(2026, 11, 22, 12, 0, f[0], 0, time.UTC)
		fmt.Fprintf(&b, "%s app: failure from 192.0.2.%d\n%s app: nothing\n", at.Format(time.RFC3339), f[1], at.Format(time.RFC3339))
	}
	return b.String()
}

func writeLog(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func replayed(t *testing.T, args ...string) replay.Result {
	t.Helper()
	code, out, talk := agentctl(t, append([]string{"replay", "--json"}, args...)...)
	var r replay.Result
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 {
		t.Fatalf("%q: exit %d, %v, %s", args, code, err, talk)
	}
	return r
}

// bansOf tells a result shortly: jail, address, second of the ban, seconds banned, the lines.
func bansOf(r replay.Result) string {
	var all []string
	for _, j := range r.Jails {
		for _, b := range j.Bans {
			all = append(all, fmt.Sprintf("%s %s +%d for %d %s:%d-%s:%d", j.Name, b.ID, b.Time.Unix()-time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC).Unix(), b.Duration,
				filepath.Base(b.First.Log), b.First.Line, filepath.Base(b.Last.Log), b.Last.Line))
		}
	}
	return strings.Join(all, "\n")
}

// TestReplayBansInTheLogsTime: findtime, bantime and their ends are those of the log, whatever the clock says.
func TestReplayBansInTheLogsTime(t *testing.T) {
	dir := replayTree(t, "")
	log := writeLog(t, dir+"/app.log", story([2]int{0, 1}, [2]int{10, 1}, [2]int{20, 1}, [2]int{30, 9}, [2]int{31, 9}, [2]int{700, 2}, [2]int{1400, 2}, [2]int{3590, 1}, [2]int{4000, 1}, [2]int{4001, 1}))
	r := replayed(t, "-c", dir, log)
	want := strings.Join([]string{
		"app 192.0.2.1 +20 for 3600 app.log:1-app.log:5",
		"app 192.0.2.1 +4001 for 3600 app.log:15-app.log:19", // the failure of one who is banned counts for later
		"strict 192.0.2.1 +10 for 3600 app.log:1-app.log:3",
		"strict 192.0.2.1 +4000 for 3600 app.log:15-app.log:17",
	}, "\n")
	if got := bansOf(r); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if a, s := r.Jails[0], r.Jails[1]; a.Lines != 20 || a.Matched != 10 || a.Failures != 10 || s.Ignored != 2 || s.Failures != 8 || r.Lines != 20 || r.First == nil {
		t.Errorf("%+v", r)
	}
	code, out, talk := agentctl(t, "replay", "-c", dir, "--limit", "1", log)
	if code != 0 || talk != "" || !strings.Contains(out, "192.0.2.1") || !strings.Contains(out, "and 1 more") || !strings.Contains(out, "besides, 2 failures of those whom the jail ignores") {
		t.Errorf("exit %d, %s, %s", code, out, talk)
	}
}

// TestRotatedLogsAreOne: put in the order of their times, whatever the order of their names, and compressed
// ones, too.
func TestRotatedLogsAreOne(t *testing.T) {
	dir := replayTree(t, "")
	newest := writeLog(t, dir+"/app.log", story([2]int{20, 1}))
	older := writeLog(t, dir+"/app.log.1", story([2]int{10, 1}))
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	if _, err := w.Write([]byte(story([2]int{0, 1}))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	oldest := writeLog(t, dir+"/app.log.2.gz", z.String())
	r := replayed(t, "-c", dir, newest, oldest, older)
	if got := bansOf(r); got != "app 192.0.2.1 +20 for 3600 app.log.2.gz:1-app.log:1\nstrict 192.0.2.1 +10 for 3600 app.log.2.gz:1-app.log.1:1" {
		t.Error(got)
	}
}

func TestWhichJailsTryALog(t *testing.T) {
	dir := replayTree(t, "[off]\nenabled = false\nmaxretry = 1\nlogpath = /var/log/off.log\n")
	other := writeLog(t, dir+"/other.log", story([2]int{0, 1}, [2]int{1, 1}))
	if r := replayed(t, "-c", dir, other); len(r.Jails[0].Logs) != 0 || len(r.Jails[1].Logs) != 1 || r.Jails[1].Banned != 1 {
		t.Errorf("%+v", r.Jails)
	}
	if r := replayed(t, "-c", dir, "--jail", "off", "--jail", "app", other); len(r.Jails) != 2 || r.Jails[0].Banned+r.Jails[1].Banned != 1 {
		t.Errorf("%+v", r.Jails)
	}
	elsewhere := writeLog(t, filepath.Join(t.TempDir(), "x"), story([2]int{0, 1}, [2]int{1, 1}, [2]int{2, 1}))
	code, out, talk := agentctl(t, "replay", "-c", dir, elsewhere)
	if code != 0 || !strings.Contains(talk, "every jail tries them all") || strings.Count(out, "1 ban\n") != 2 {
		t.Errorf("exit %d, %s, %s", code, out, talk)
	}
	for _, args := range [][]string{{"--jail", "none", other}, {dir + "/missing"}, {dir}, {"--diff", dir, "-"}, {other, other}, {writeLog(t, dir+"/app.log.3.xz", "")}} {
		if code, _, talk := agentctl(t, append([]string{"replay", "-c", dir}, args...)...); code == 0 || talk == "" {
			t.Errorf("%q: exit %d, %q", args, code, talk)
		}
	}
}

// TestReplayComparesTwoConfigurations, and exits as diff does.
func TestReplayComparesTwoConfigurations(t *testing.T) {
	dir, other := replayTree(t, ""), replayTree(t, "[more]\nmaxretry = 1\n[app2]\n")
	log := writeLog(t, dir+"/app.log", story([2]int{0, 1}, [2]int{10, 1}, [2]int{20, 1}, [2]int{30, 3}))
	if code, out, _ := agentctl(t, "replay", "-c", dir, "--jail", "app", "--diff", dir, log); code != 0 || out != "both ban the same\n" {
		t.Errorf("exit %d, %s", code, out)
	}
	if err := os.WriteFile(filepath.Join(other, "jail.d.local"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	text := "[DEFAULT]\nenabled = true\nfilter = app\nfindtime = 10m\naction = nftables[port=1]\n[app]\nlogpath = " + dir + "/app.log\nmaxretry = 1\nbantime = -1\nignoreip = 192.0.2.1\n"
	if err := os.WriteFile(filepath.Join(other, "jail.local"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ := agentctl(t, "replay", "--json", "-c", dir, "--jail", "app", "--diff", other, log)
	var d replay.Comparison
	if err := json.Unmarshal([]byte(out), &d); err != nil || code != 1 || len(d.Changes) != 2 {
		t.Fatalf("exit %d, %v, %s", code, err, out)
	}
	if a, b := d.Changes[0], d.Changes[1]; a.Kind != "banned" || a.ID != "192.0.2.3" || a.AfterTotal != -1 || b.Kind != "spared" || b.ID != "192.0.2.1" || b.BeforeTotal != 3600 {
		t.Errorf("%+v", d)
	}
	if code, out, _ := agentctl(t, "replay", "-c", dir, "--jail", "app", "--diff", other, log); code != 1 || !strings.Contains(out, "spared") || !strings.Contains(out, "banned") {
		t.Errorf("exit %d, %s", code, out)
	}
}
