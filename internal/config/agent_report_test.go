package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestAReportIsReadWithItsDefaults(t *testing.T) {
	c := agentTree(t, `-- agent.conf --
[report abuse]
type = abuseipdb
apikey = file:/etc/agentd/abuseipdb.key
jails = sshd, nginx-*
[report own]
type = http
url = https://soc.example.org/{ip}?c={category}
method = put
headers = X-Key: {key}
          Accept: text/plain
body = {"ip":"{ip}"}
success = 200, 202
known = 409
apikey = inline-key
jails = *
hold = 0
dedupe = 1h
pace = 10s
budget = 0
min_failures = 5
flood = 0
category = web_attack
lines = yes
[report later]
type = dshield
enabled = no
`)
	if p := agentProblems(c); len(p) != 0 {
		t.Fatalf("problems of what is sound: %q", p)
	}
	if len(c.Agent.Reports) != 3 {
		t.Fatalf("reports: %+v", c.Agent.Reports)
	}
	abuse, own, later := c.Agent.Reports[0], c.Agent.Reports[1], c.Agent.Reports[2]
	if abuse.Name != "abuse" || !abuse.Enabled || abuse.Broken || abuse.Hold != 5*time.Minute || abuse.Dedupe != 24*time.Hour || abuse.Pace != time.Second || abuse.Budget != 900 ||
		abuse.MinFailures != 1 || abuse.Flood != 500 || abuse.Category != "" || abuse.Lines || !slices.Equal(abuse.Jails, []string{"sshd", "nginx-*"}) {
		t.Errorf("abuse: %+v", abuse)
	}
	if own.URL != "https://soc.example.org/{ip}?c={category}" || own.Method != "PUT" || own.Body != `{"ip":"{ip}"}` || !slices.Equal(own.Headers, []string{"X-Key: {key}", "Accept: text/plain"}) ||
		!slices.Equal(own.Success, []int{200, 202}) || !slices.Equal(own.Known, []int{409}) || own.Hold != 0 || own.Dedupe != time.Hour || own.Pace != 10*time.Second || own.Budget != 0 ||
		own.MinFailures != 5 || own.Flood != 0 || own.Category != "web_attack" || !own.Lines {
		t.Errorf("own: %+v", own)
	}
	if later.Enabled || later.Broken {
		t.Errorf("later: %+v", later)
	}
	if s := fmt.Sprintf("%v %+v %#v", own, own, own); strings.Contains(s, "inline-key") {
		t.Errorf("the key is shown: %s", s)
	}
}

func TestAReportThatCannotWorkIsBrokenAndTheOthersAreNot(t *testing.T) {
	for name, c := range map[string]struct{ section, want string }{
		"no type":          {"jails = *\n", "it is not said who is told"},
		"no jails":         {"type = abuseipdb\napikey = file:/k\n", "no jail's bans are reported unless it is named"},
		"no key":           {"type = abuseipdb\njails = *\n", "there is no apikey"},
		"no user":          {"type = dshield\napikey = file:/k\njails = *\n", "there is no user"},
		"no key of theirs": {"type = blocklist-de\nuser = 7\njails = *\n", "there is no apikey"},
		"no address":       {"type = webhook\njails = *\n", "there is no url"},
		"no contact":       {"type = xarf\nurl = https://abuse.example.org/\norganisation = We\ndomain = example.org\njails = *\n", "there is no contact"},
	} {
		t.Run(name, func(t *testing.T) {
			c2 := agentTree(t, "-- agent.conf --\n[report r]\n"+c.section+"[report sound]\ntype = webhook\nurl = https://soc.example.org/\njails = sshd\n")
			r, sound := c2.Agent.Reports[0], c2.Agent.Reports[1]
			p := strings.Join(agentProblems(c2), "\n")
			if !r.Broken || sound.Broken || !strings.Contains(p, c.want) || !strings.Contains(p, "nothing is reported there") || strings.Contains(p, "sound") {
				t.Errorf("broken %v, the other %v: %s", r.Broken, sound.Broken, p)
			}
		})
	}
}

func TestWhatAReportCannotTakeIsToldAndTheDefaultCounts(t *testing.T) {
	c := agentTree(t, `-- agent.conf --
[report r]
type = webhook
url = https://soc.example.org/
jails = ssh[ sshd
method = DELETE
success = 200 ok 99
category = murder
min_failures = 0
hold = 8d
budget = -1
lines = perhaps
jail = x
`)
	r, p := c.Agent.Reports[0], agentProblems(c)
	if r.Broken || !slices.Equal(r.Jails, []string{"sshd"}) || r.Method != "" || !slices.Equal(r.Success, []int{200}) || r.Category != "" || r.MinFailures < 1 || r.Budget < 0 || r.Hold > 7*24*time.Hour || r.Lines {
		t.Errorf("%+v", r)
	}
	for _, want := range []string{"jails = ssh[", "method = DELETE", "success = ok", "success = 99", "category = murder", "min_failures = 0", "hold = 8d", "budget = -1", "lines = perhaps", "did you mean jails?"} {
		if !slices.ContainsFunc(p, func(s string) bool { return strings.Contains(s, want) }) {
			t.Errorf("nothing is told of %s: %q", want, p)
		}
	}
}
