package metrics

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/eventlog"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cut"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/report"
)

var (
	metricName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	sample     = regexp.MustCompile(`^([a-z][a-z0-9_]*)(?:\{(.*)\})? ([^ ]+)$`)
	label      = regexp.MustCompile(`^([a-z][a-z0-9_]*)="((?:[^"\\]|\\["\\n])*)"(,|$)`)
)

// parse reads the text format, more strictly than Prometheus does: every metric has a help and a type, its values
// follow at once, no thing is told twice, a counter's name ends in _total and no other's does.
func parse(text string) (map[string]float64, error) {
	values, types := map[string]float64{}, map[string]string{}
	help, current := "", ""
	if !strings.HasSuffix(text, "\n") {
		return nil, errors.New("the last line has no end")
	}
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		wrong := func(what string) (map[string]float64, error) {
			return nil, fmt.Errorf("line %d %q: %s", n+1, line, what)
		}
		switch {
		case strings.HasPrefix(line, "# HELP "):
			name, about, ok := strings.Cut(line[len("# HELP "):], " ")
			if !ok || !metricName.MatchString(name) || about == "" || strings.Contains(about, `\`) {
				return wrong("no help")
			}
			help = name
		case strings.HasPrefix(line, "# TYPE "):
			f := strings.Split(line[len("# TYPE "):], " ")
			if len(f) != 2 || f[0] != help || types[f[0]] != "" {
				return wrong("a type without its help, or told twice")
			}
			if f[1] != counter && f[1] != gauge || (f[1] == counter) != strings.HasSuffix(f[0], "_total") {
				return wrong("a type that does not suit the name")
			}
			current, types[f[0]] = f[0], f[1]
		default:
			m := sample.FindStringSubmatch(line)
			if m == nil || m[1] != current {
				return wrong("no value of the metric before it")
			}
			key := []string{m[1]}
			names := map[string]bool{}
			for rest := m[2]; rest != ""; {
				l := label.FindStringSubmatch(rest)
				if l == nil || names[l[1]] || l[2] == "" {
					return wrong("no labels")
				}
				names[l[1]] = true
				key = append(key, l[1]+"="+strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(l[2]))
				rest = rest[len(l[0]):]
			}
			v, err := strconv.ParseFloat(m[3], 64)
			if err != nil || v < 0 && types[current] == counter {
				return wrong("no value")
			}
			name := strings.Join(key, " ")
			if _, twice := values[name]; twice {
				return wrong("told twice")
			}
			values[name] = v
		}
	}
	return values, nil
}

// stats is an agent with a bit of everything, and names that try to forge lines.
func stats() agent.Stats {
	return agent.Stats{
		Started: time.UnixMilli(1_790_000_000_250), Reasons: []string{"a", "b"}, Problems: 3, Broken: 1, Inbox: 7, Commits: 11, FailedCommits: 2,
		Book: jail.Sizes{Tallies: 4, Bans: 5, Histories: 6, LineBytes: 700},
		Jails: []agent.JailStats{
			{
				Name: "sshd", Counts: jail.Counts{CurrentlyFailed: 1, TotalFailed: 20, CurrentlyBanned: 3, TotalBanned: 4},
				Lines: 1e9, Matched: 25, Ignored: 5, GaveUp: 6,
				Scripts: []action.Status{{Name: "mail", Executed: 9, Failed: 2, TimedOut: 1, Dropped: 3, Waiting: 8}},
			},
			{Name: "a\"} 1\npalisade_jail_banned{jail=\"x\\"},
		},
		Sources: []agent.SourceStats{
			{Path: "/var/log/auth.log", State: "following", Offset: 100, Size: 350, Lines: 12, Failures: 1},
			{Path: "/var/log/cut", State: "missing", Offset: 100, Size: 50},
			{Path: "journal", Jail: "sshd", State: "following", Lines: 3},
			{Path: "journal", Jail: "web", State: "following"},
		},
		Firewall: firewall.Status{
			Backend: "nft", Elements: 3, Desired: 4, Memory: 270, Last: firewall.Batch{Changes: 2, Took: 250 * time.Millisecond}, Pending: 1, Rebuilds: 2, Retries: 5, Err: errors.New("x"),
			Sets: []firewall.SetStatus{{Name: "tcp.22.drop.v4", Count: 3}},
		},
	}
}

// scrape starts a server for a while and asks it.
func scrape(t *testing.T, o Options, path string) (status int, kind, body string) {
	t.Helper()
	s, err := Listen(t.Context(), "127.0.0.1:0", o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	r, err := http.Get("http://" + s.Address() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.StatusCode, r.Header.Get("Content-Type"), string(b)
}

func TestAScrapeTellsAllThatTheAgentDoes(t *testing.T) {
	status, kind, body := scrape(t, Options{
		Version:  "v1.2",
		Stats:    func(context.Context) (agent.Stats, error) { return stats(), nil },
		Database: func() (int64, error) { return 4096, nil },
		Events: func() eventlog.Stats {
			return eventlog.Stats{Written: 5, Lost: 2, Waiting: 300, Err: errors.New("full")}
		},
		Cut: func() cut.Status {
			return cut.Status{Sockets: 6, Flows: 7, Failures: 8, Dropped: 9, Missing: []string{"a", "b"}}
		},
		Feeds: func() []feed.Status {
			return []feed.Status{
				{Source: feed.Source{Name: "f"}, State: feed.Good, Entries: 10, Blocked: 8, Fetches: 3, Errors: 2},
				{Source: feed.Source{Name: "g"}, State: feed.Over},
			}
		},
		Reports: func() []report.DestinationStatus {
			return []report.DestinationStatus{
				{Name: "a", Configured: true, Waiting: 3, Lost: 4, Counts: report.Counts{Sent: 5, Known: 6, Refused: 7, Failed: 8, Cancelled: 9}},
				{Name: "b", Trouble: "a wrong key"},
			}
		},
	}, "/metrics")
	if status != http.StatusOK || kind != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("status %d, %s", status, kind)
	}
	got, err := parse(body)
	if err != nil {
		t.Fatalf("%v in\n%s", err, body)
	}
	want := map[string]float64{
		"palisade_build_info version=v1.2 goversion=" + runtime.Version(): 1,
		"palisade_start_time_seconds":                                     1_790_000_000.25, "palisade_healthy": 0, "palisade_health_reasons": 2,
		"palisade_config_problems": 3, "palisade_config_broken_jails": 1, "palisade_engine_inbox": 7,
		"palisade_tallies": 4, "palisade_bans": 5, "palisade_histories": 6, "palisade_line_bytes": 700, "palisade_jails": 2,
		"palisade_jail_lines_total jail=sshd": 1e9, "palisade_jail_matched_lines_total jail=sshd": 25,
		"palisade_jail_ignored_lines_total jail=sshd": 5, "palisade_jail_gave_up_total jail=sshd": 6,
		"palisade_jail_failures_total jail=sshd": 20, "palisade_jail_bans_total jail=sshd": 4,
		"palisade_jail_banned jail=sshd": 3, "palisade_jail_tallies jail=sshd": 1,
		"palisade_action_commands_total jail=sshd action=mail": 9, "palisade_action_command_failures_total jail=sshd action=mail": 2,
		"palisade_action_command_timeouts_total jail=sshd action=mail": 1, "palisade_action_dropped_total jail=sshd action=mail": 3,
		"palisade_action_waiting jail=sshd action=mail": 8,
		"palisade_sources state=following":              3, "palisade_sources state=missing": 1,
		"palisade_source_following source=/var/log/auth.log": 1, "palisade_source_following source=/var/log/cut": 0,
		"palisade_source_following source=journal jail=sshd": 1, "palisade_source_following source=journal jail=web": 1,
		"palisade_source_behind_bytes source=/var/log/auth.log": 250, "palisade_source_behind_bytes source=/var/log/cut": 0,
		"palisade_source_lines_total source=/var/log/auth.log": 12, "palisade_source_lines_total source=/var/log/cut": 0,
		"palisade_source_lines_total source=journal jail=sshd": 3, "palisade_source_lines_total source=journal jail=web": 0,
		"palisade_source_errors_total source=/var/log/auth.log": 1, "palisade_source_errors_total source=/var/log/cut": 0,
		"palisade_source_errors_total source=journal jail=sshd": 0, "palisade_source_errors_total source=journal jail=web": 0,
		"palisade_firewall_info backend=nft": 1, "palisade_firewall_healthy": 0, "palisade_firewall_elements": 3,
		"palisade_firewall_desired": 4, "palisade_firewall_memory_bytes": 270,
		"palisade_firewall_batch_seconds": 0.25, "palisade_firewall_batch_elements": 2,
		"palisade_firewall_pending": 1, "palisade_firewall_rebuilds_total": 2, "palisade_firewall_errors_total": 5,
		"palisade_firewall_set_elements set=tcp.22.drop.v4": 3,
		"palisade_store_commits_total":                      11, "palisade_store_commit_failures_total": 2, "palisade_store_size_bytes": 4096,
		"palisade_event_file_healthy": 0, "palisade_event_file_lines_total": 5, "palisade_event_file_lost_total": 2, "palisade_event_file_waiting_bytes": 300,
		"palisade_cut_total what=socket": 6, "palisade_cut_total what=flow": 7, "palisade_cut_failures_total": 8, "palisade_cut_dropped_total": 9, "palisade_cut_missing": 2,
		"palisade_feed_healthy feed=f": 1, "palisade_feed_entries feed=f": 10, "palisade_feed_ranges feed=f": 8, "palisade_feed_fetches_total feed=f": 3, "palisade_feed_errors_total feed=f": 2,
		"palisade_feed_healthy feed=g": 0, "palisade_feed_entries feed=g": 0, "palisade_feed_ranges feed=g": 0, "palisade_feed_fetches_total feed=g": 0, "palisade_feed_errors_total feed=g": 0,
		"palisade_report_waiting destination=a": 3, "palisade_report_healthy destination=a": 1, "palisade_report_failures_total destination=a": 8,
		"palisade_report_done_total destination=a result=sent": 5, "palisade_report_done_total destination=a result=known": 6,
		"palisade_report_done_total destination=a result=refused": 7, "palisade_report_done_total destination=a result=cancelled": 9,
		"palisade_report_done_total destination=a result=lost": 4,
		"palisade_report_waiting destination=b":                0, "palisade_report_healthy destination=b": 0, "palisade_report_failures_total destination=b": 0,
		"palisade_report_done_total destination=b result=sent": 0, "palisade_report_done_total destination=b result=known": 0,
		"palisade_report_done_total destination=b result=refused": 0, "palisade_report_done_total destination=b result=cancelled": 0,
		"palisade_report_done_total destination=b result=lost": 0,
	}
	forged := "a\"} 1\uFFFDpalisade_jail_banned{jail=\"x\\"
	for _, key := range slices.Sorted(maps.Keys(got)) {
		_, wanted := want[key]
		switch {
		case strings.HasPrefix(key, "process_") || strings.HasPrefix(key, "go_"):
			if got[key] <= 0 {
				t.Errorf("%s is %v", key, got[key])
			}
		case strings.Contains(key, "jail="+forged+"~"):
			if got[key] != 0 {
				t.Errorf("%s is %v", key, got[key])
			}
		case !wanted:
			t.Errorf("%s is told, too", key)
		}
	}
	for key, v := range want {
		if g, ok := got[key]; !ok || g != v {
			t.Errorf("%s is %v (%v) instead of %v", key, g, ok, v)
		}
	}
	for _, key := range []string{"process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds", "process_max_fds", "go_goroutines", "go_memstats_heap_alloc_bytes"} {
		if _, ok := got[key]; !ok {
			t.Errorf("%s is not told", key)
		}
	}
}

func TestAnAgentAloneIsToldToo(t *testing.T) {
	for name, db := range map[string]func() (int64, error){"no size": nil, "a size that is not known": func() (int64, error) { return 0, io.EOF }} {
		_, _, body := scrape(t, Options{Stats: func(context.Context) (agent.Stats, error) { return agent.Stats{}, nil }, Database: db}, "/metrics")
		got, err := parse(body)
		if err != nil {
			t.Fatal(err)
		}
		_, size := got["palisade_store_size_bytes"]
		_, events := got["palisade_event_file_lines_total"]
		if size || events || got["palisade_healthy"] != 1 || got["palisade_firewall_healthy"] != 1 {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestWhatElseIsAsked(t *testing.T) {
	busy := Options{Stats: func(context.Context) (agent.Stats, error) { return agent.Stats{}, errors.New("the daemon is stopping") }}
	for path, want := range map[string]string{
		"/metrics": "503 the daemon does not answer: the daemon is stopping\n",
		"/":        "200 agentd's numbers for Prometheus are at /metrics\n",
		"/debug":   "404 404 page not found\n",
	} {
		if status, _, body := scrape(t, busy, path); fmt.Sprint(status, " ", body) != want {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
}

func TestNoMoreLogsAreToldThanPrometheusMayBear(t *testing.T) {
	st := agent.Stats{}
	for i := range maxSources + 500 {
		st.Sources = append(st.Sources, agent.SourceStats{Path: fmt.Sprintf("/var/log/%06d", i), State: "following"})
	}
	var e encoder
	writeAgent(&e, "v1", st)
	got, err := parse(string(e.b))
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for key := range got {
		if strings.HasPrefix(key, "palisade_source_lines_total ") {
			told++
		}
	}
	if told != maxSources || got["palisade_sources state=following"] != maxSources+500 {
		t.Errorf("%d logs one by one, %v in all", told, got["palisade_sources state=following"])
	}
}

// FuzzALabelForgesNothing: any two texts are two values, and a text without anything odd is itself.
func FuzzALabelForgesNothing(f *testing.F) {
	f.Add("sshd", "/var/log/auth.log")
	f.Add("a\nb", "a\tb")
	f.Add("a\xff", "a\uFFFD")
	f.Add(strings.Repeat("é", longestLabel), strings.Repeat("é", longestLabel)+"x")
	f.Add(`a"} 1`, `\`)
	f.Fuzz(func(t *testing.T, a, b string) {
		if a == "" || b == "" || a == b {
			t.Skip("no two values")
		}
		var e encoder
		e.family("x", gauge, "X.")
		e.value(1, "l", a)
		e.value(2, "l", b)
		got, err := parse(string(e.b))
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 2 || len(e.b) > 3000 {
			t.Fatalf("%q", e.b)
		}
		if odd := regexp.MustCompile(`[^ -~]`); len(a) <= longestLabel && !odd.MatchString(a) && got["x l="+a] != 1 {
			t.Fatalf("%q became %q", a, e.b)
		}
	})
}

func TestAddress(t *testing.T) {
	for text, want := range map[string]string{
		"9191": "127.0.0.1:9191", ":9191": "127.0.0.1:9191", "localhost:9191": "localhost:9191", "0.0.0.0:9191": "0.0.0.0:9191",
		"[::]:9191": "[::]:9191", "[::1]:9191": "[::1]:9191", "192.0.2.1:0": "192.0.2.1:0",
		"": "", ":": "", "192.0.2.1": "", "192.0.2.1:": "", "192.0.2.1:http": "", "::1": "", "localhost": "", "65536": "", "-1": "", "a:b:c": "",
	} {
		got, err := Address(text)
		if got != want || (err != nil) != (want == "") {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	s, err := Listen(t.Context(), "127.0.0.1:0", Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	defer func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	for address, want := range map[string]string{
		s.Address():        "metrics: another program listens on " + s.Address() + " (ss -ltnp tells which): stop it, or name another port with --metrics",
		"203.0.113.1:9191": "metrics: 203.0.113.1:9191 is no address of this machine: name one with --metrics",
	} {
		if _, err := Listen(t.Context(), address, Options{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v", address, err)
		}
	}
}

// TestTheDocumentationNamesEveryMetric, and none that there is not.
func TestTheDocumentationNamesEveryMetric(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "\n## Metrics\n")
	section, _, _ = strings.Cut(section, "\n## ")
	if !found {
		t.Fatal("there is no section on metrics")
	}
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile("`((?:palisade|process|go)_[a-z_]+)`").FindAllStringSubmatch(section, -1) {
		documented[name[1]] = true
	}
	_, _, body := scrape(t, Options{
		Stats: func(context.Context) (agent.Stats, error) { return stats(), nil }, Database: func() (int64, error) { return 1, nil },
		Events: func() eventlog.Stats { return eventlog.Stats{} }, Cut: func() cut.Status { return cut.Status{} },
		Reports: func() []report.DestinationStatus { return nil }, Feeds: func() []feed.Status { return nil },
	}, "/metrics")
	told := map[string]bool{}
	for _, name := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(body, -1) {
		told[name[1]] = true
	}
	for name := range told {
		if !documented[name] {
			t.Errorf("%s is not documented", name)
		}
	}
	for name := range documented {
		if !told[name] {
			t.Errorf("%s is documented and not told", name)
		}
	}
}
