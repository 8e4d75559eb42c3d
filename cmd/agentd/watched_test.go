package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// watched is a daemon that writes an event file and tells its numbers.
type watched struct {
	t      *testing.T
	dir    string
	events string
	cmd    *exec.Cmd
	client *control.Client
}

// watch starts a daemon whose jail app bans at the third failure, and whose action cannot ban 192.0.2.66.
func watch(t *testing.T) *watched {
	t.Helper()
	w := &watched{t: t, dir: tree(t, map[string]string{
		"app.log": "", "filter.d/app.conf": "[Definition]\nfailregex = ^ other: <HOST>$\n            ^ app: failure from <HOST>$\n",
		"action.d/picky.conf": "[Definition]\nactionban = test <ip> != 192.0.2.66\n",
		"fail2ban.conf":       "[Definition]\nlogtarget = DIR/f2b.log\nsocket = DIR/f2b.sock\n",
		"jail.conf":           "[app]\nenabled = true\nbackend = polling\nlogpath = DIR/app.log\nfilter = app\nmaxretry = 3\nignoreself = false\naction = picky\n",
	})}
	w.events = filepath.Join(w.dir, "events.json")
	w.begin()
	return w
}

func (w *watched) begin() {
	w.t.Helper()
	socket := filepath.Join(w.dir, "a.sock")
	w.cmd = exec.Command(binary(w.t, "agentd"), "-c", w.dir, "--firewall", "memory", "-s", socket,
		"--db", filepath.Join(w.dir, "db"), "--event-file", w.events, "--metrics", "127.0.0.1:0")
	var said lockedBuffer
	w.cmd.Stdout, w.cmd.Stderr = &said, &said
	if err := w.cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	cmd := w.cmd
	w.t.Cleanup(func() { _ = cmd.Process.Kill() })
	waitFor(w.t, 30*time.Second, "the daemon is ready", func() bool { return strings.Contains(said.String(), "Server ready") })
	w.client = control.NewClient(socket)
}

func (w *watched) end() {
	w.t.Helper()
	if err := w.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		w.t.Fatal(err)
	}
	if err := w.cmd.Wait(); err != nil {
		w.t.Fatal(err)
	}
}

// fail writes failures of an ID, as many as ban it.
func (w *watched) fail(ids ...string) {
	w.t.Helper()
	var b bytes.Buffer
	for _, id := range ids {
		for range 3 {
			fmt.Fprintf(&b, "%s app: failure from %s\n", time.Now().Format("2006-01-02 15:04:05"), id)
		}
	}
	f, err := os.OpenFile(filepath.Join(w.dir, "app.log"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = f.Write(b.Bytes())
	if err := errors.Join(err, f.Close()); err != nil {
		w.t.Fatal(err)
	}
}

// story is what an event file says, without what differs between two runs; times are checked.
func (w *watched) story(path string) (lines []string) {
	w.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		w.t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var r map[string]any
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			w.t.Fatalf("%q: %v", line, err)
		}
		at, err := time.Parse("2006-01-02T15:04:05.000Z", fmt.Sprint(r["time"]))
		if err != nil || time.Since(at).Abs() > time.Hour || r["schema"] != 1.0 || r["host"] != host {
			w.t.Errorf("%q: %v", line, err)
		}
		if since, ok := r["since"]; ok {
			from, err1 := time.Parse(time.RFC3339, fmt.Sprint(since))
			to, err2 := time.Parse(time.RFC3339, fmt.Sprint(r["until"]))
			if err1 != nil || err2 != nil || to.Sub(from) != time.Duration(r["duration"].(float64))*time.Second {
				w.t.Errorf("%q: %v, %v", line, err1, err2)
			}
		}
		for _, key := range []string{"schema", "time", "host", "since", "until", "pid", "version", "config"} {
			if kind := r["kind"]; (key == "pid" || key == "version") && (kind == "start" || kind == "stop") && r[key] == nil {
				w.t.Errorf("%q has no %s", line, key)
			}
			delete(r, key)
		}
		kind := r["kind"]
		delete(r, "kind")
		rest, err := json.Marshal(r)
		if err != nil {
			w.t.Fatal(err)
		}
		lines = append(lines, strings.ReplaceAll(fmt.Sprintf("%v %s", kind, rest), w.dir, "DIR"))
	}
	return lines
}

func (w *watched) until(path string, want ...string) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		got := strings.Join(w.story(path), "\n")
		if got == strings.Join(want, "\n") {
			return
		}
		if time.Now().After(deadline) {
			w.t.Fatalf("%s:\n%s\nwant\n%s", filepath.Base(path), got, strings.Join(want, "\n"))
		}
	}
}

// TestTheEventFileTellsTheStoryOfTwoLives, through a rotation, a reload and a restart.
func TestTheEventFileTellsTheStoryOfTwoLives(t *testing.T) {
	w := watch(t)
	const (
		started = `start {"jails":["app"]}`
		banned  = `ban {"count":1,"duration":600,"failures":3,"family":"inet4","id":"192.0.2.1","jail":"app","log":"DIR/app.log","origin":"local","regex":2}`
		byHand  = `ban {"count":1,"duration":600,"family":"inet6","id":"2001:db8::/64","jail":"app","origin":"manual"}`
	)
	w.fail("192.0.2.1")
	w.until(w.events, started, banned)
	if _, err := w.client.Ban(t.Context(), control.BanRequest{Jail: "app", IDs: []string{"2001:db8::/64"}}); err != nil {
		t.Fatal(err)
	}
	w.until(w.events, started, banned, byHand)

	// Rotation, as logrotate does it.
	old := w.events + ".1"
	if err := os.Rename(w.events, old); err != nil {
		t.Fatal(err)
	}
	if err := w.cmd.Process.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 20*time.Second, "there is a new file", func() bool { _, err := os.Stat(w.events); return err == nil })
	w.until(old, started, banned, byHand)

	w.fail("192.0.2.66")
	refused := []string{
		`ban {"count":1,"duration":600,"failures":3,"family":"inet4","id":"192.0.2.66","jail":"app","log":"DIR/app.log","origin":"local","regex":2}`,
		`error {"action":"picky","error":"a command failed","family":"inet4","id":"192.0.2.66","jail":"app","operation":"actionban","part":"action"}`,
	}
	w.until(w.events, refused...)
	if _, err := w.client.Unban(t.Context(), control.UnbanRequest{IDs: []string{"192.0.2.66", "192.0.2.1"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.end()
	first := slices.Concat(refused, []string{
		`unban {"count":1,"duration":600,"failures":3,"family":"inet4","id":"192.0.2.66","jail":"app","origin":"local","reason":"by-hand"}`,
		`unban {"count":1,"duration":600,"failures":3,"family":"inet4","id":"192.0.2.1","jail":"app","origin":"local","reason":"by-hand"}`,
		`configuration {"jails":["app"],"reason":"reload"}`,
		`unban {"count":1,"duration":600,"family":"inet6","id":"2001:db8::/64","jail":"app","origin":"manual","reason":"jail-removed"}`,
		`stop {}`,
	})
	w.until(w.events, first...)

	w.begin()
	w.until(w.events, append(first, started,
		`restore {"count":1,"duration":600,"family":"inet6","id":"2001:db8::/64","jail":"app","origin":"manual"}`)...)
	w.end()
}

func TestAnEventFileThatCannotBeWrittenDegradesTheHealth(t *testing.T) {
	w := watch(t)
	if err := os.Remove(w.events); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(w.events, 0o700); err != nil {
		t.Fatal(err)
	}
	w.fail("192.0.2.1")
	waitFor(t, 20*time.Second, "health is degraded", func() bool {
		s, err := w.client.Status(t.Context())
		return err == nil && s.Health == "degraded" && regexp.MustCompile(`^event file: .*/events.json is no regular file; \d+ bytes of events wait in memory$`).MatchString(strings.Join(s.Reasons, "|"))
	})
	if err := os.Remove(w.events); err != nil {
		t.Fatal(err)
	}
	waitFor(t, 40*time.Second, "health is good again", func() bool {
		s, err := w.client.Status(t.Context())
		return err == nil && s.Health == "ok"
	})
	w.until(w.events, `ban {"count":1,"duration":600,"failures":3,"family":"inet4","id":"192.0.2.1","jail":"app","log":"DIR/app.log","origin":"local","regex":2}`)
	w.end()
}

// scrape asks for the numbers.
func scrape(t *testing.T, url string) map[string]float64 {
	t.Helper()
	r, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK {
		t.Fatalf("%d %s, %v", r.StatusCode, b, err)
	}
	values := map[string]float64{}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, "# ") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		v, err := strconv.ParseFloat(strings.TrimSpace(line[at+1:]), 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, twice := values[line[:at]]; twice {
			t.Fatalf("%q is told twice", line)
		}
		values[line[:at]] = v
	}
	return values
}

// TestMetricsGrowWithTheBans: scrapes while 300 addresses are banned; no counter goes back, and the last has them all.
func TestMetricsGrowWithTheBans(t *testing.T) {
	w := watch(t)
	var url string
	waitFor(t, 20*time.Second, "the log says where the metrics are", func() bool {
		b, err := os.ReadFile(filepath.Join(w.dir, "f2b.log"))
		m := regexp.MustCompile(`metrics are told addr=(\S+)`).FindSubmatch(b)
		if err != nil || m == nil {
			return false
		}
		url = "http://" + string(m[1]) + "/metrics"
		return true
	})
	const addresses = 300
	scrapes, last := 0, scrape(t, url)
	for i := range addresses {
		w.fail(fmt.Sprintf("198.51.%d.%d", 100+i/200, i%200))
		if i%10 > 0 {
			continue
		}
		now := scrape(t, url)
		for name, v := range last {
			if strings.Contains(name, "_total") && now[name] < v {
				t.Errorf("%s went from %v back to %v", name, v, now[name])
			}
		}
		scrapes, last = scrapes+1, now
	}
	want := map[string]float64{
		`palisade_jail_banned{jail="app"}`: addresses, `palisade_jail_bans_total{jail="app"}`: addresses,
		`palisade_jail_failures_total{jail="app"}`: 3 * addresses, `palisade_jail_matched_lines_total{jail="app"}`: 3 * addresses,
		`palisade_source_lines_total{source="` + w.dir + `/app.log"}`: 3 * addresses, `palisade_source_behind_bytes{source="` + w.dir + `/app.log"}`: 0,
		`palisade_jail_tallies{jail="app"}`: 0, `palisade_action_commands_total{jail="app",action="picky"}`: addresses,
		`palisade_healthy`: 1, `palisade_firewall_info{backend="memory"}`: 1, `palisade_store_commit_failures_total`: 0,
		`palisade_event_file_lines_total`: addresses + 1, `palisade_event_file_lost_total`: 0,
	}
	waitFor(t, 60*time.Second, "all that has happened is told", func() bool {
		last = scrape(t, url)
		for name, v := range want {
			if got, ok := last[name]; !ok || got != v {
				return false
			}
		}
		return true
	})
	if last["palisade_store_size_bytes"] == 0 || last["palisade_store_commits_total"] == 0 || scrapes != addresses/10 {
		t.Errorf("%v", last)
	}
	w.end()
}

func TestWhatCannotBeWatchedRefusesTheStart(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	dir := tree(t, map[string]string{"jail.conf": ""})
	for _, c := range []struct {
		args []string
		exit int
		want string
	}{
		{[]string{"--metrics", l.Addr().String()}, 1, "agentd: metrics: another program listens on " + l.Addr().String() + " (ss -ltnp tells which): stop it, or name another port with --metrics\n"},
		{[]string{"--metrics", "here"}, 2, `is no address with a port: give a port (9191)`},
		{[]string{"--event-file", dir}, 1, "agentd: open the event file: " + dir + " is no regular file\n"},
		{[]string{"--event-file", dir + "/none/events"}, 1, "/none/events: no such file or directory"},
	} {
		cmd := exec.CommandContext(t.Context(), binary(t, "agentd"), append([]string{
			"-c", dir, "--firewall", "memory", "-s", dir + "/s", "--db", dir + "/db", "--fail2ban-socket", "none",
		}, c.args...)...)
		out, _ := cmd.CombinedOutput() // the exit status is looked at
		if code := cmd.ProcessState.ExitCode(); code != c.exit || !strings.Contains(string(out), c.want) {
			t.Errorf("%q: exit %d, %s", c.args, code, out)
		}
	}
}
