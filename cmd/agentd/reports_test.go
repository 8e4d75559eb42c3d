package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// collector is a service that takes reports of those who have its key.
type collector struct {
	*baddays.Server
	mu  sync.Mutex
	key string
	got []string // bodies, in their order
}

func newCollector(t *testing.T) *collector {
	t.Helper()
	c := &collector{Server: baddays.New(t), key: "first"}
	c.Handle("/report", func(w http.ResponseWriter, r *http.Request) {
		var body struct {
			IP   string `json:"ip"`
			Text string `json:"text"`
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		switch err := json.NewDecoder(r.Body).Decode(&body); {
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		case r.Header.Get("X-Key") != c.key:
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, "this is not the key")
		default:
			c.got = append(c.got, body.IP+" "+body.Text)
		}
	})
	return c
}

// want sets the key that is taken from now on.
func (c *collector) want(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.key = key
}

// told are the addresses that were reported.
func (c *collector) told() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []string
	for _, body := range c.got {
		addr, _, _ := strings.Cut(body, " ")
		all = append(all, addr)
	}
	return strings.Join(all, " ")
}

// conf is agent.conf with a report to the collector.
func (c *collector) conf(more string) string {
	return "[http]\nca = " + c.CA + "\n[report own]\ntype = http\nurl = " + c.URL + "/report\nheaders = X-Key: {key}\n" +
		`body = {"ip":"{ip}","text":"{comment} {lines}"}` + "\njails = app\n" + more
}

// reported is what agentctl report says.
func (g *guard) reported(args ...string) (all control.Reports) {
	g.t.Helper()
	text := g.tell(append([]string{"report", "list", "--json"}, args...)...)
	if i := strings.Index(text, "{"); i < 0 || json.NewDecoder(strings.NewReader(text[i:])).Decode(&all) != nil {
		g.t.Fatalf("agentctl report list --json: %s", text)
	}
	return all
}

// state is what became of the reports of an address, the newest first.
func (g *guard) state(addr string) string {
	g.t.Helper()
	var states []string
	for _, r := range g.reported(addr).Reports {
		states = append(states, r.State)
	}
	return strings.Join(states, " ")
}

// TestBansAreReportedAndNothingElse follows reports through the real programs: bans of failures, by hand and of
// addresses that nobody may hear of, a kill, a lifted ban, a wrong key, and what agentctl says of all that.
func TestBansAreReportedAndNothingElse(t *testing.T) {
	c := newCollector(t)
	g := &guard{t: t, dir: t.TempDir(), firewall: "memory", log: &lockedBuffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- agentd said:\n%.6000s", g.log.String())
		}
	})
	g.configure("22,80")
	local := filepath.Join(g.dir, "etc", "jail.local")
	b, err := os.ReadFile(local)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(local, []byte(strings.Replace(string(b), "maxretry = 1000", "maxretry = 2", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	g.start()
	if s := g.tell("report"); !strings.Contains(s, "Nobody is told of bans") {
		t.Errorf("without a section: %s", s)
	}
	g.agentConf(c.conf("apikey = first\nhold = 0\nlines = yes\n"))

	g.ctl("ban", "app", "44.2.2.2")
	g.failures("10.1.1.1", "10.1.1.1", "2a00:44::1", "2a00:44::1", "44.1.1.1", "44.1.1.1")
	waitFor(t, 30*time.Second, "both are reported", func() bool { return len(strings.Fields(c.told())) == 2 })
	waitFor(t, 30*time.Second, "it is known that they are", func() bool { return g.state("44.1.1.1") == "sent" && g.state("2a00:44::1") == "sent" })
	if got := c.told(); !strings.Contains(got, "44.1.1.1") || !strings.Contains(got, "2a00:44::1") {
		t.Errorf("reported: %s", got)
	}
	c.mu.Lock()
	if body := strings.Join(c.got, "\n"); !strings.Contains(body, "2 failed attempts") || !strings.Contains(body, "app: failure from 44.1.1.1") {
		t.Errorf("reported as: %s", body)
	}
	c.mu.Unlock()

	g.end(syscall.SIGKILL)
	g.start()
	if got, s := c.told(), g.reported(); len(strings.Fields(got)) != 2 || len(s.Reports) != 2 || s.Destinations[0].Waiting != 0 {
		t.Errorf("after a kill: %s; %+v", got, s)
	}

	g.agentConf(c.conf("apikey = first\nhold = 1h\n"))
	g.failures("44.3.3.3", "44.3.3.3", "44.3.3.4", "44.3.3.4")
	waitFor(t, 30*time.Second, "reports wait", func() bool { return g.state("44.3.3.3") == "waiting" && g.state("44.3.3.4") == "waiting" })
	g.ctl("unban", "44.3.3.3")
	waitFor(t, 30*time.Second, "the report is cancelled", func() bool { return g.state("44.3.3.3") == "cancelled" })

	c.want("second")
	g.ctl("report", "retry", "--all")
	waitFor(t, 30*time.Second, "the daemon tells of the wrong key", func() bool {
		s := g.tell("status")
		return strings.Contains(s, "report own:") && strings.Contains(s, "this is not the key")
	})
	if s := g.tell("status"); strings.Contains(s, "first") {
		t.Errorf("the status tells the key: %s", s)
	}
	g.agentConf(c.conf("apikey = second\nhold = 1h\n"))
	waitFor(t, 30*time.Second, "with the right key it is reported", func() bool { return g.state("44.3.3.4") == "sent" })
	if s := g.tell("status"); strings.Contains(s, "report own:") {
		t.Errorf("the trouble is over and still told: %s", s)
	}

	for args, want := range map[string]string{
		"report preview app 44.5.5.5":  `{"ip":"44.5.5.5","text":"`,
		"report preview app 10.5.5.5":  "own: not reported, because it is of ",
		"report preview all 44.5.5.5":  "own: not reported, because jails = app does not name the jail all",
		"report preview app 44.1.1.1":  "own: not reported, because it was reported for a ban at ",
		"report preview none 44.1.1.1": "none",
		"report show 1":                "They said",
		"report show 77":               "there is no such report",
		"report retry 1":               "it is not sent twice",
		"report drop --all":            "0 reports",
		"report retract 44.1.1.1":      "nothing can be taken back there",
		"report retract 44.8.8.8":      "Nobody was told of 44.8.8.8",
		"report --limit 1":             "perhaps more",
	} {
		if s := g.tell(strings.Fields(args)...); !strings.Contains(s, want) {
			t.Errorf("agentctl %s: %s", args, s)
		}
	}

	g.agentConf("[http]\nca = " + c.CA + "\n")
	if s := g.reported(); len(s.Destinations) != 0 || len(s.Reports) != 4 {
		t.Errorf("once nobody is told: %+v", s)
	}
	g.end(syscall.SIGTERM)
	if len(strings.Fields(c.told())) != 3 {
		t.Errorf("reported: %s", c.told())
	}
}
