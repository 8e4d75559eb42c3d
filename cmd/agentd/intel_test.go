package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/export/taxii"
	"github.com/palisade-agent/palisade/internal/feed/catalog"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// station is a daemon with a firewall in memory, for what goes over the network.
func station(t *testing.T, agentConf string) *guard {
	t.Helper()
	g := &guard{t: t, dir: t.TempDir(), firewall: "memory", log: &lockedBuffer{}}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- agentd said:\n%.6000s", g.log.String())
		}
		if strings.Contains(g.log.String(), "DATA RACE") {
			t.Error("the daemon has a data race")
		}
	})
	g.configure("22")
	if err := os.WriteFile(filepath.Join(g.dir, "etc", "agent.conf"), []byte(agentConf), 0o644); err != nil {
		t.Fatal(err)
	}
	g.start()
	return g
}

// documentsOf are a good day's documents of every ready-made list, by the part's kind.
func documentsOf(l catalog.List, part int) string {
	switch l.Parts[part].Kind {
	case "drop":
		if part == 1 {
			return `{"cidr":"2a00:44::/32","sblid":"SBL2","rir":"x"}` + "\n" + `{"type":"metadata","timestamp":1,"records":1}` + "\n"
		}
		return `{"cidr":"44.1.0.0/16","sblid":"SBL1","rir":"x"}` + "\n" + `{"type":"metadata","timestamp":1,"records":1}` + "\n"
	case "taxii":
		return `{"more":false,"objects":[{"type":"indicator","id":"indicator--1","pattern_type":"stix","pattern":"[ipv4-addr:value = '44.1.1.1']","valid_from":"2020-01-01T00:00:00Z"}]}`
	case "crowdsec":
		return `{"new":[{"id":1,"origin":"cscli","type":"ban","scope":"Ip","value":"44.1.1.1","duration":"4h","scenario":"x"}],"deleted":null}`
	case "json":
		switch {
		case strings.HasPrefix(l.Parts[part].Path, "threats"):
			return `{"threats":[{"ip_address":"44.1.1.1","threat_score":90},{"ip_address":"44.1.1.2","threat_score":10}]}`
		case strings.HasPrefix(l.Parts[part].Path, "top_ips"):
			return `{"country":"RU","top_ips":[{"ip_address":"44.1.1.1","threat_score":70}]}`
		}
		return `{"meta":{},"data":[{"ipAddress":"44.1.1.1","abuseConfidenceScore":100}]}`
	}
	return "# comment\n44.1.1.1\n44.2.0.0/16\n"
}

// TestEveryReadyMadeListNeedsItsKeyAlone runs the real daemon with all of them, on a good day and a bad one.
func TestEveryReadyMadeListNeedsItsKeyAlone(t *testing.T) {
	p := newPublisher(t)
	var conf strings.Builder
	conf.WriteString(p.http())
	for _, l := range catalog.Feeds() {
		fmt.Fprintf(&conf, "[feed %s]\ntype = %[1]s\n", l.Name)
		var urls []string
		for i := range l.Parts {
			path := fmt.Sprintf("/%s/%d", l.Name, i)
			p.publish(path, documentsOf(l, i))
			urls = append(urls, p.URL+path)
		}
		fmt.Fprintf(&conf, "url = %s\n", strings.Join(urls, " "))
		if l.Auth != catalog.Open {
			conf.WriteString("apikey = the-key\n")
		}
		if l.Form == catalog.Pair {
			conf.WriteString("apisecret = the-secret\n")
		}
		if l.Needs == "country" {
			conf.WriteString("country = RU\n")
		}
	}
	g := station(t, conf.String())
	var names []string
	for _, l := range catalog.Feeds() {
		names = append(names, l.Name)
	}
	g.loaded(names...)
	asked := map[string]http.Header{}
	for _, a := range p.Asked() {
		asked[a.Path] = a.Header
		if strings.Contains(a.Query, "the-key") || strings.Contains(a.Query, "the-secret") {
			t.Errorf("a key is in an address: %+v", a)
		}
	}
	for _, l := range catalog.Feeds() {
		h := asked["/"+l.Name+"/0"]
		want := map[catalog.KeyForm]string{catalog.AsIs: "the-key", catalog.Pair: "dGhlLWtleTp0aGUtc2VjcmV0"}[l.Form]
		if l.Auth == catalog.Open {
			continue
		}
		if got := h.Get(l.Header); got != want {
			t.Errorf("%s: %s is %q, not %q", l.Name, l.Header, got, want)
		}
	}
	if s := g.feeds()["wayscloud"]; s.Entries != 2 || s.Ranges != 1 || s.Refused != 1 {
		t.Errorf("min_score is not 60: %+v", s)
	}
	if s := g.feeds()["spamhaus-drop"]; s.Ranges != 2 {
		t.Errorf("one of its two documents is missing: %+v", s)
	}
	for _, ip := range []string{"44.1.1.1", "2a00:44::1"} {
		if out := g.tell("banned", ip); !strings.Contains(out, "spamhaus-drop") {
			t.Errorf("who blocks %s: %s", ip, out)
		}
	}
	if out := g.tell("banned", "44.1.1.1"); !strings.Contains(out, "wayscloud") || !strings.Contains(out, "feodo") || !strings.Contains(out, "crowdsec") {
		t.Errorf("not every owner is named: %s", out)
	}
	if strings.Contains(g.log.String()+g.tell("feed", "--json")+g.tell("status", "--json"), "the-key") {
		t.Error("a key is shown")
	}

	// The bad day: nothing is lost, and it is told.
	for _, l := range catalog.Feeds() {
		for i := range l.Parts {
			p.publish(fmt.Sprintf("/%s/%d", l.Name, i), "<html>we have moved</html>")
		}
	}
	g.end(syscall.SIGKILL)
	g.start()
	for _, l := range catalog.Feeds() {
		waitFor(t, 30*time.Second, l.Name+" has its copy", func() bool { return g.feeds()[l.Name].Ranges > 0 })
	}
	if out := g.tell("feed", "refresh"); strings.Count(out, "this is no list") < len(names)-2 {
		t.Errorf("agentctl feed refresh: %s", out)
	}
	for name, s := range g.feeds() {
		if s.Ranges == 0 || s.State == "expired" {
			t.Errorf("%s has lost its copy: %+v", name, s)
		}
	}
	g.end(syscall.SIGTERM)
}

// TestOneBanIsToldToEverybodyOnce: seven kinds of destinations, from one failure in a log.
func TestOneBanIsToldToEverybodyOnce(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/blocklist", baddays.Text(`{"status":"success","error":"0"}`))
	s.Handle("/broken", baddays.Status(401, "who are you"))
	s.Handle("/", baddays.Text("{}"))
	var all strings.Builder
	fmt.Fprintf(&all, "[http]\nca = %s\n[DEFAULT]\nhold = 1s\njails = a*\n", s.CA)
	types := []string{"wayscloud", "abuseipdb", "blocklist-de", "dshield", "xarf", "webhook", "http"}
	for _, kind := range types {
		path := "/" + kind
		if kind == "blocklist-de" {
			path = "/blocklist"
		}
		fmt.Fprintf(&all, "[report %s]\ntype = %[1]s\nurl = %s\napikey = the-key\nuser = 12345\norganisation = Example\ncontact = abuse@example.org\ndomain = example.org\nbody = {\"ip\":\"{ip}\"}\n", kind, s.URL+path)
	}
	conf := all.String() + "[report broken]\ntype = http\nurl = " + s.URL + "/broken\nbody = {ip}\n[report other-jail]\ntype = http\nurl = " + s.URL + "/other\nbody = {ip}\njails = zebra\n"
	g := station(t, conf)
	// maxretry is 1000: a thousand failures are one ban.
	var many []string
	for range 1000 {
		many = append(many, "44.1.1.1", "10.1.2.3")
	}
	g.failures(many...)
	got := func() map[string]int {
		n := map[string]int{}
		for _, a := range s.Asked() {
			if strings.Contains(a.Body, "44.1.1.1") {
				n[a.Path]++
			}
			if strings.Contains(a.Body, "10.1.2.3") {
				t.Errorf("a private address is reported: %+v", a)
			}
		}
		return n
	}
	waitFor(t, 60*time.Second, "everybody is told", func() bool { return len(got()) >= len(types)+1 })
	// The jail "all" bans it, too: it is reported once all the same.
	time.Sleep(2 * time.Second)
	want := map[string]int{"/wayscloud": 1, "/abuseipdb/report": 1, "/blocklist": 1, "/dshield": 1, "/xarf": 1, "/webhook": 1, "/http": 1, "/broken": 1}
	if n := got(); !maps.Equal(n, want) {
		t.Errorf("told: %v", n)
	}
	if st := g.tell("status"); !strings.Contains(st, "report broken: the server answers 401: who are you") {
		t.Errorf("the health does not tell: %s", st)
	}
	var told control.Reports
	if err := json.Unmarshal([]byte(g.tell("report", "--json", "--limit", "0")), &told); err != nil && !strings.Contains(err.Error(), "after top-level") {
		t.Error(err)
	}
	states := map[string]int{}
	for _, r := range told.Reports {
		states[r.State]++
	}
	if states["sent"] != 7 || states["waiting"] != 1 || len(told.Reports) != 8 {
		t.Errorf("states: %v", states)
	}
	// A ban that is lifted in time is not reported.
	g.agentConf(strings.Replace(conf, "hold = 1s", "hold = 1h", 1))
	many = nil
	for range 1000 {
		many = append(many, "44.1.1.2")
	}
	g.failures(many...)
	waitFor(t, 30*time.Second, "a report waits", func() bool { return strings.Count(g.tell("report", "list", "44.1.1.2"), "waiting") >= 8 })
	g.ctl("unban", "44.1.1.2")
	waitFor(t, 30*time.Second, "it is cancelled", func() bool { return strings.Count(g.tell("report", "list", "44.1.1.2", "--json"), `"cancelled"`) >= 8 })
	g.end(syscall.SIGTERM)
	if strings.Contains(g.log.String(), "the-key") {
		t.Error("a key is in the log")
	}
}

// TestAnExportFollowsBansAndFeeds: files with their hooks, and lists over HTTP.
func TestAnExportFollowsBansAndFeeds(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "feed.txt")
	if err := os.WriteFile(list, []byte("44.2.0.0/16\n44.1.1.9\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	g := station(t, "[feed f]\npath = "+list+"\n[allow a]\naddresses = 44.1.1.9\n"+
		"[export nginx]\nformat = nginx-deny\npath = "+dir+"/deny.conf\nevery = 1s\nreload = echo x >> "+dir+"/reloads\n"+
		"[export bans]\nformat = plain\npath = "+dir+"/bans.txt\ncontents = bans\njails = app\nevery = 1s\nempty = yes\n"+
		"[http]\nlisten = 127.0.0.1:18899\ntoken = tt\ntaxii = yes\n[export edl]\nformat = edl\nserve = yes\nevery = 1s\n")
	content := func(name string) string {
		b, _ := os.ReadFile(filepath.Join(dir, name))
		var all []string
		for l := range strings.Lines(string(b)) {
			if !strings.HasPrefix(l, "#") {
				all = append(all, strings.TrimSpace(l))
			}
		}
		return strings.Join(all, " ")
	}
	g.ctl("ban", "app", "44.1.1.1", "2a00:44::1")
	g.ctl("ban", "all", "44.1.1.2")
	waitFor(t, 30*time.Second, "the file for nginx is right", func() bool {
		// Those that the rig has banned are in it, too.
		c := content("deny.conf")
		return strings.Contains(c, "deny 44.1.1.1; ") && strings.Contains(c, "deny 44.1.1.2; ") && strings.Contains(c, "deny 44.2.0.0/16;") && strings.Contains(c, "deny 2a00:44::1;") && !strings.Contains(c, "44.1.1.9")
	})
	waitFor(t, 30*time.Second, "the file of one jail is right", func() bool { return content("bans.txt") == "44.1.1.1 2a00:44::1" })
	get := func(token string) (int, string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:18899/edl.v4.txt", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, ""
		}
		defer resp.Body.Close()
		b := make([]byte, 4096)
		n, _ := resp.Body.Read(b)
		return resp.StatusCode, string(b[:n])
	}
	waitFor(t, 30*time.Second, "the list over HTTP is right", func() bool {
		status, body := get("tt")
		return status == 200 && strings.Contains(body, "44.1.1.1\n") && strings.Contains(body, "44.2.0.0/16\n") && !strings.Contains(body, ":")
	})
	// Our own bans are a collection that a feed of ours can read; those by hand are no indicators.
	var failing []string
	for range 1000 {
		failing = append(failing, "44.1.1.7")
	}
	g.failures(failing...)
	reader := station(t, "[http]\n[feed other-machine]\nformat = taxii\nurl = http://127.0.0.1:18899/taxii2/api/collections/"+taxii.Collection+"/objects/\napikey = tt\ninterval = 2s\n")
	waitFor(t, 60*time.Second, "another machine reads our bans", func() bool { return strings.Contains(reader.tell("banned", "44.1.1.7"), "other-machine") })
	if s := reader.feeds()["other-machine"]; s.Ranges != 1 {
		t.Errorf("it reads more than who was banned for failures: %+v", s)
	}
	g.ctl("unban", "44.1.1.7")
	waitFor(t, 60*time.Second, "it lets go who is unbanned", func() bool { return reader.feeds()["other-machine"].Ranges == 0 })
	reader.end(syscall.SIGTERM)
	if status, body := get("wrong"); status != 401 || strings.Contains(body, "44.") {
		t.Errorf("with a wrong token: %d %q", status, body)
	}
	g.ctl("unban", "44.1.1.1", "2a00:44::1", "44.1.1.2")
	waitFor(t, 30*time.Second, "the files follow", func() bool { return content("bans.txt") == "" && content("deny.conf") == "deny 44.2.0.0/16;" })
	if content("reloads") == "" {
		t.Error("nginx was never reloaded")
	}
	if out := g.tell("export"); !strings.Contains(out, "http://127.0.0.1:18899/edl.txt") || !strings.Contains(out, "by 127.0.0.1") {
		t.Errorf("agentctl export: %s", out)
	}
	before := content("deny.conf")
	g.end(syscall.SIGKILL)
	g.start()
	if content("deny.conf") != before {
		t.Errorf("a restart changes the file to %q", content("deny.conf"))
	}
	g.end(syscall.SIGTERM)
	names := []string{"bans.txt", "deny.conf", "feed.txt", "reloads"}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !slices.Contains(names, f.Name()) {
			t.Errorf("left behind: %s", f.Name())
		}
	}
}
