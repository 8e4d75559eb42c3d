package main

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// fakeReports are the routes of a daemon that tells two services of bans. One of them has a key that is not taken, and
// says so in words that nobody should see on a terminal.
func fakeReports() []control.Route {
	at := func(d time.Duration) *time.Time { t := fakeNow().Add(d); return &t }
	all := []control.Report{
		{ID: 3, Destination: "soc", State: "waiting", IP: "192.0.2.3", Jail: "sshd", Category: "ssh_bruteforce", Banned: at(-time.Minute), Due: at(4 * time.Minute), Failures: 5, Comment: "SSH brute force: 5 failed attempts."},
		{ID: 2, Destination: "abuseipdb", State: "refused", IP: "192.0.2.2", Jail: "web", Done: at(-time.Hour), Tries: 1, Status: 422, Detail: hostile},
		{ID: 1, Destination: "abuseipdb", State: "sent", IP: "192.0.2.1", Jail: "sshd", Done: at(-2 * time.Hour), Tries: 1, Status: 200, Receipt: "r-77", Lines: []string{"a line", hostile}},
	}
	return []control.Route{
		{Pattern: "GET /v1/reports", Answer: func(r *http.Request) (any, error) {
			out := control.Reports{Destinations: []control.ReportDestination{
				{Name: "abuseipdb", Type: "abuseipdb", Configured: true, Used: 899, Budget: 900, Sent: 12, Known: 3, Refused: 1, Cancelled: 2, Trouble: "the server answers 401: " + hostile},
				{Name: "soc", Type: "http", Configured: true, Waiting: 1, Next: at(4 * time.Minute)},
			}, Reports: []control.Report{}}
			q := r.URL.Query()
			for _, x := range all {
				if (q.Get("ip") == "" || x.IP == q.Get("ip")) && (q.Get("to") == "" || x.Destination == q.Get("to")) && (q.Get("state") == "" || x.State == q.Get("state")) {
					out.Reports = append(out.Reports, x)
				}
			}
			if q.Get("to") == "soc" {
				out.Destinations = out.Destinations[1:]
			}
			return out, nil
		}},
		{Pattern: "GET /v1/reports/{id}", Answer: func(r *http.Request) (any, error) {
			for _, x := range all {
				if r.PathValue("id") == strconv.FormatUint(x.ID, 10) {
					return x, nil
				}
			}
			return nil, fmt.Errorf("%w: there is no such report", control.ErrInvalid)
		}},
		{Pattern: "GET /v1/reports/preview", Answer: func(r *http.Request) (any, error) {
			return control.ReportPreviews{Previews: []control.ReportPreview{
				{Destination: "abuseipdb", Because: "jails = web does not name the jail " + r.URL.Query().Get("jail")},
				{Destination: "soc", Due: at(5 * time.Minute), Request: "POST https://soc.example.org/\n" + `{"ip":"` + r.URL.Query().Get("ip") + `"}` + "\n"},
			}}, nil
		}},
		{Pattern: "POST /v1/reports/{word}", Answer: func(r *http.Request) (any, error) {
			req, err := control.Body[control.ReportRequest](r)
			return control.ReportResult{Reports: max(len(req.IDs), 1)}, err
		}},
		{Pattern: "POST /v1/reports/retract", Answer: func(r *http.Request) (any, error) {
			req, err := control.Body[control.RetractRequest](r)
			if req.IP != "192.0.2.1" {
				return control.RetractResult{Destinations: []control.Retracted{}}, err
			}
			return control.RetractResult{Destinations: []control.Retracted{{Destination: "abuseipdb", Detail: "1 reports were taken back"}, {Destination: "soc", Error: hostile}}}, err
		}},
	}
}

func TestReportsAreShownAndChanged(t *testing.T) {
	s := serve(t, "healthy")
	for _, c := range []struct {
		args string
		code int
		want string // what is said, or a part of it
	}{
		{"report", 1, "abuseipdb: the server answers 401: "},
		{"report", 1, "899/900"},
		{"report list --to soc", 0, "in 4m"},
		{"report list 192.0.2.1", 1, "sent"},
		{"report list --limit 3", 1, "--limit 0 shows all"},
		{"report --json", 1, `"used_today": 899`},
		{"report show 1", 0, "r-77"},
		{"report show 3", 0, "SSH brute force: 5 failed attempts."},
		{"report show 9", 1, "there is no such report"},
		{"report preview sshd 192.0.2.9", 0, "abuseipdb: not reported, because jails = web does not name the jail sshd"},
		{"report preview sshd 192.0.2.9", 0, "  {\"ip\":\"192.0.2.9\"}\n"},
		{"report retry 3 2", 0, "2 reports will be tried at once."},
		{"report retry --all", 0, "1 report will be tried at once."},
		{"report drop 3", 0, "1 report will not be sent."},
		{"report drop --all --to soc --json", 0, `"reports": 1`},
		{"report retract 192.0.2.1", 1, "abuseipdb: 1 reports were taken back"},
		{"report retract 192.0.2.5", 0, "Nobody was told of 192.0.2.5"},
		{"report retry", 2, "name reports by their numbers, or --all"},
		{"report retry 3 --all", 2, "either numbers or --all"},
		{"report drop x", 2, "is no number of a report"},
		{"report retry --all --to soc", 2, "--to belongs to"},
		{"report show", 2, "agentctl help report"},
		{"report preview sshd", 2, "agentctl help report"},
		{"report show 1 --state sent", 2, "belong to report list"},
		{"report --help", 0, "agentctl report retract 192.0.2.1"},
	} {
		code, out, talk := agentctl(t, append([]string{"-s", s}, strings.Fields(c.args)...)...)
		if code != c.code || !strings.Contains(out+talk, c.want) {
			t.Errorf("agentctl %s: %d\n%s%s", c.args, code, out, talk)
		}
	}
}

func TestReportsAreCompleted(t *testing.T) {
	s := serve(t, "healthy")
	for typed, want := range map[string]string{
		"report ":                "list show preview retry drop retract register verify",
		"report --state s":       "sent",
		"report --to ":           "abuseipdb soc",
		"report drop --to a":     "abuseipdb",
		"report preview ":        "sshd web",
		"report preview sshd ":   "",
		"report show ":           "3 2 1",
		"report retry ":          "3 2",
		"report drop ":           "3",
		"report retract ":        "",
		"report drop --":         "--limit --to --state --all --name --contact --intent --domain --source --yes --db --json --socket --config --help",
		"report list 192.0.2.1 ": "",
	} {
		code, out, talk := agentctl(t, append([]string{"completion", "words", "--", "-s", s}, strings.Split(typed, " ")...)...)
		var words []string
		for line := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(line), "\t")
			words = append(words, word)
		}
		if got := strings.Join(words, " "); code != 0 || got != want {
			t.Errorf("%q: %d %q, want %q; %s", typed, code, got, want, talk)
		}
	}
}
