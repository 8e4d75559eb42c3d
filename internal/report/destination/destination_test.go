package destination_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
	"github.com/palisade-agent/palisade/internal/report"
	"github.com/palisade-agent/palisade/internal/report/destination"
)

const theKey = "a-key-that-nobody-sees"

var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func someReport() report.Report {
	return report.Report{
		ID: 7, Addr: netip.MustParseAddr("8.8.8.8"), Jail: "sshd", Service: "SSH", Category: report.SSHBruteForce, Banned: now, First: now.Add(-time.Minute), Last: now.Add(-time.Second),
		Failures: 5, Port: 22, Protocol: "tcp", SourcePort: 40001, Comment: `SSH brute force: "5" failed attempts.`, Lines: []string{"Failed password for <user> from 8.8.8.8"},
	}
}

// options are sound ones for a type, at a server.
func options(t *testing.T, kind string, s *baddays.Server) destination.Options {
	t.Helper()
	c, err := outbound.New(outbound.Options{CAFile: s.CA})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return destination.Options{
		Name: "d", Type: kind, Client: func() *outbound.Client { return c }, Now: func() time.Time { return now }, Key: func() (string, error) { return theKey, nil },
		User: "12345", URL: s.URL + "/api", Body: map[string]string{"http": `{"ip":"{ip}","why":"{comment}"}`}[kind], Organisation: "Example", Contact: "abuse@example.org", Domain: "example.org",
	}
}

func make1(t *testing.T, o destination.Options) report.Destination {
	t.Helper()
	d, err := destination.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestTheWordsOfTheConfigurationAreThoseOfThePackages(t *testing.T) {
	types, categories := config.ReportWords()
	if fmt.Sprint(types) != fmt.Sprint(destination.Types()) {
		t.Errorf("types %v and %v", types, destination.Types())
	}
	if fmt.Sprint(categories) != fmt.Sprint(report.Categories()) {
		t.Errorf("categories %v and %v", categories, report.Categories())
	}
}

// TestEachSaysWhatItsServiceWants looks at the request of a good day.
func TestEachSaysWhatItsServiceWants(t *testing.T) {
	form := func(body string) map[string]any {
		v, err := url.ParseQuery(body)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		for k, x := range v {
			m[k] = x[0]
		}
		return m
	}
	for kind, c := range map[string]struct {
		answer string
		path   string
		key    [2]string // header and its value's beginning
		want   map[string]any
	}{
		"wayscloud":    {`{"report_id":"r-1"}`, "/api", [2]string{"X-Api-Key", theKey}, map[string]any{"ip": "8.8.8.8", "category": "ssh_bruteforce", "comment": `SSH brute force: "5" failed attempts.`, "reported_at": "2026-11-23T11:59:59Z"}},
		"abuseipdb":    {`{"data":{"ipAddress":"8.8.8.8","abuseConfidenceScore":52}}`, "/api/report", [2]string{"Key", theKey}, map[string]any{"ip": "8.8.8.8", "categories": "18,22", "timestamp": "2026-11-23T11:59:59Z", "comment": "SSH brute force: '5' failed attempts. | Failed password for <user> from 8.8.8.8"}},
		"blocklist-de": {`{"status":"success","error":"0"}`, "/api", [2]string{}, map[string]any{"server": "12345", "apikey": theKey, "ip": "8.8.8.8", "service": "ssh", "format": "json", "logs": "Failed password for <user> from 8.8.8.8"}},
		"dshield":      {`ok`, "/api", [2]string{"X-Isc-Authorization", "ISC-HMAC-SHA256 Credentials="}, map[string]any{"type": "firewall"}},
		"xarf":         {`{"id":5}`, "/api", [2]string{"Authorization", "Bearer " + theKey}, map[string]any{"xarf_version": "4.2.0", "source_identifier": "8.8.8.8", "category": "connection", "type": "login_attack", "protocol": "tcp", "source_port": 40001.0, "first_seen": "2026-11-23T11:59:00Z", "timestamp": "2026-11-23T12:00:00Z"}},
		"http":         {`{}`, "/api", [2]string{"Authorization", "Bearer " + theKey}, map[string]any{"ip": "8.8.8.8", "why": `SSH brute force: "5" failed attempts.`}},
	} {
		t.Run(kind, func(t *testing.T) {
			s := baddays.New(t)
			s.Handle("/", baddays.Text(c.answer))
			got := make1(t, options(t, kind, s)).Send(t.Context(), someReport())
			if got.Kind != report.Sent || got.Status != 200 {
				t.Fatalf("%+v", got)
			}
			a := s.Asked()[0]
			if a.Method != "POST" || a.Path != c.path || a.Query != "" || c.key[0] != "" && !strings.HasPrefix(a.Header.Get(c.key[0]), c.key[1]) {
				t.Errorf("asked %s %s?%s with %v", a.Method, a.Path, a.Query, a.Header)
			}
			var said map[string]any
			if strings.Contains(a.Header.Get("Content-Type"), "urlencoded") {
				said = form(a.Body)
			} else if err := json.Unmarshal([]byte(a.Body), &said); err != nil {
				t.Fatalf("%v: %s", err, a.Body)
			}
			for k, want := range c.want {
				if said[k] != want {
					t.Errorf("%s is %v, not %v", k, said[k], want)
				}
			}
			if p, can := make1(t, options(t, kind, s)).(report.Previewer); !can || !strings.Contains(p.Preview(someReport()), "8.8.8.8") || strings.Contains(p.Preview(someReport()), theKey) {
				t.Error("a preview does not show the report, or shows the key")
			}
		})
	}
	s := baddays.New(t)
	s.Handle("/", baddays.Text("ok"))
	if got := make1(t, options(t, "webhook", s)).Send(t.Context(), someReport()); got.Kind != report.Sent {
		t.Errorf("%+v", got)
	}
	var alerts []struct {
		Source struct{ Scope, Value string }
		Events int `json:"events_count"`
	}
	if err := json.Unmarshal([]byte(s.Asked()[0].Body), &alerts); err != nil || len(alerts) != 1 || alerts[0].Source.Value != "8.8.8.8" || alerts[0].Source.Scope != "Ip" || alerts[0].Events != 5 {
		t.Errorf("%+v, %v", alerts, err)
	}
}

// TestEachBearsItsServicesWorstDay: what an answer means for the report, the destination and the time.
func TestEachBearsItsServicesWorstDay(t *testing.T) {
	other := baddays.New(t)
	other.Handle("/", baddays.Text("{}"))
	for _, kind := range destination.Types() {
		for name, c := range map[string]struct {
			bad   func(s *baddays.Server) http.HandlerFunc
			kinds []report.ResultKind
			after time.Duration
		}{
			"401":                 {func(*baddays.Server) http.HandlerFunc { return baddays.Status(401, "no") }, []report.ResultKind{report.Broken}, 0},
			"403":                 {func(*baddays.Server) http.HandlerFunc { return baddays.Status(403, "no") }, []report.ResultKind{report.Broken}, 0},
			"500":                 {func(*baddays.Server) http.HandlerFunc { return baddays.Status(500, "oops") }, []report.ResultKind{report.Later}, 0},
			"503 with a time":     {func(*baddays.Server) http.HandlerFunc { return baddays.Status(503, "", "Retry-After: 120") }, []report.ResultKind{report.Later}, 2 * time.Minute},
			"429 for a minute":    {func(*baddays.Server) http.HandlerFunc { return baddays.Status(429, "", "Retry-After: 60") }, []report.ResultKind{report.Later}, time.Minute},
			"429 for the day":     {func(*baddays.Server) http.HandlerFunc { return baddays.Status(429, "", "Retry-After: 29241") }, []report.ResultKind{report.Spent}, 0},
			"a redirect":          {func(*baddays.Server) http.HandlerFunc { return baddays.Redirect(other.URL + "/api") }, []report.ResultKind{report.Broken}, 0},
			"an endless answer":   {func(*baddays.Server) http.HandlerFunc { return baddays.Endless("x") }, []report.ResultKind{report.Later}, 0},
			"a bomb":              {func(*baddays.Server) http.HandlerFunc { return baddays.Bomb(64 << 20) }, []report.ResultKind{report.Later}, 0},
			"no answer":           {func(*baddays.Server) http.HandlerFunc { return baddays.Reset() }, []report.ResultKind{report.Later}, 0},
			"half of an answer":   {func(*baddays.Server) http.HandlerFunc { return baddays.TruncatedGzip(strings.Repeat("{}", 1000)) }, []report.ResultKind{report.Later}, 0},
			"422":                 {func(*baddays.Server) http.HandlerFunc { return baddays.Status(422, `{"detail":"\u001b[31mfield\nip"}`) }, []report.ResultKind{report.Refused, report.Broken}, 0},
			"control characters":  {func(*baddays.Server) http.HandlerFunc { return baddays.Status(400, "\x1b[2J\x00bad\xff") }, []report.ResultKind{report.Refused, report.Broken}, 0},
			"it echoes our key":   {func(*baddays.Server) http.HandlerFunc { return echo }, []report.ResultKind{report.Broken}, 0},
			"a page of the web":   {func(*baddays.Server) http.HandlerFunc { return baddays.Status(502, "<html>bad gateway") }, []report.ResultKind{report.Later}, 0},
			"a wrong certificate": {nil, []report.ResultKind{report.Later}, 0},
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				t.Parallel()
				s := baddays.New(t)
				o := options(t, kind, s)
				if c.bad != nil {
					s.Handle("/", c.bad(s))
				} else {
					client, err := outbound.New(outbound.Options{})
					if err != nil {
						t.Fatal(err)
					}
					o.Client = func() *outbound.Client { return client }
				}
				got := make1(t, o).Send(t.Context(), someReport())
				ok := false
				for _, k := range c.kinds {
					ok = ok || got.Kind == k
				}
				if !ok || got.After != c.after {
					t.Errorf("%s: %+v", got.Kind, got)
				}
				if strings.ContainsFunc(got.Detail, func(r rune) bool { return r < ' ' || r == 0x7f }) || len(got.Detail) > 310 {
					t.Errorf("said: %q", got.Detail)
				}
				if kind == "blocklist-de" && strings.Contains(got.Detail, theKey) {
					t.Errorf("the key is shown: %q", got.Detail)
				}
				if got.Kind == report.Spent && !got.Until.Equal(now.Add(29241*time.Second)) {
					t.Errorf("until %v", got.Until)
				}
				if n := len(s.Asked()); n > 1 && name != "no answer" {
					t.Errorf("sent %d times", n)
				}
			})
		}
	}
	t.Cleanup(func() {
		if n := len(other.Asked()); n > 0 {
			t.Errorf("%d requests went to another host", n)
		}
	})
}

func echo(w http.ResponseWriter, r *http.Request) {
	_ = r.ParseForm()
	w.WriteHeader(http.StatusUnauthorized)
	fmt.Fprintf(w, "the key %s is wrong", r.Form.Get("apikey"))
}

func TestAbuseIPDBsTwoKindsOfTooOftenAreToldApart(t *testing.T) {
	for body, want := range map[string]report.ResultKind{
		"You can only report the same IP address (`8.8.8.8`) once in 15 minutes.":                           report.Known,
		"Daily rate limit of 1000 requests exceeded for this endpoint. See headers for additional details.": report.Spent,
		"Daily rate limit exceeded for this user on endpoint '/api/v2/report'. Try again in 29241 seconds.": report.Spent,
		"Too many requests.": report.Later,
	} {
		s := baddays.New(t)
		answer, err := json.Marshal(map[string]any{"errors": []any{map[string]any{"detail": body, "status": 429}}})
		if err != nil {
			t.Fatal(err)
		}
		s.Handle("/", baddays.Status(429, string(answer)))
		if got := make1(t, options(t, "abuseipdb", s)).Send(t.Context(), someReport()); got.Kind != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestAbuseIPDBTakesManyAsAFile(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/api/bulk-report", baddays.Text(`{"data":{"savedReports":1,"invalidReports":[{"error":"Duplicate IP","input":"9.9.9.9","rowNumber":3},{"error":"Invalid IP","input":"1.1.1.1","rowNumber":4}]}}`))
	d, can := make1(t, options(t, "abuseipdb", s)).(report.Bulker)
	if !can {
		t.Fatal("it takes no files")
	}
	var reports []report.Report
	for _, a := range []string{"8.8.8.8", "9.9.9.9", "1.1.1.1"} {
		r := someReport()
		r.Addr, r.Comment = netip.MustParseAddr(a), "a \"quote\"\nand a line"
		reports = append(reports, r)
	}
	got := d.SendBulk(t.Context(), reports)
	if got[0].Kind != report.Sent || got[1].Kind != report.Known || got[2].Kind != report.Refused {
		t.Errorf("%+v", got)
	}
	body := s.Asked()[0].Body
	if !strings.Contains(body, "IP,Categories,ReportDate,Comment\n8.8.8.8,\"18,22\",2026-11-23T11:59:59+00:00,\"a 'quote' and a line | Failed password for <user> from 8.8.8.8\"\n9.9.9.9,") || !strings.Contains(body, `name="csv"`) {
		t.Errorf("sent:\n%s", body)
	}
	many := make([]report.Report, 3000)
	for i := range many {
		many[i] = someReport()
		many[i].Comment = strings.Repeat("x", 1024)
	}
	got = d.SendBulk(t.Context(), many)
	if got[2999].Kind != report.Later || len(s.Asked()[1].Body) > 2<<20 {
		t.Errorf("%+v, %d bytes", got[2999], len(s.Asked()[1].Body))
	}
}

func TestAbuseIPDBTakesBack(t *testing.T) {
	s := baddays.New(t)
	s.Handle("DELETE /api/clear-address", baddays.Text(`{"data":{"numReportsDeleted":3}}`))
	d, can := make1(t, options(t, "abuseipdb", s)).(report.Retractor)
	if !can {
		t.Fatal("nothing is taken back")
	}
	got, err := d.Retract(t.Context(), netip.MustParseAddr("2606:4700::1"))
	if err != nil || got != "3 reports were taken back" || s.Asked()[0].Query != "ipAddress=2606%3A4700%3A%3A1" {
		t.Errorf("%q, %v, %+v", got, err, s.Asked())
	}
}

// TestBlocklistDERefusesWith200: its answers say what they mean in their text.
func TestBlocklistDERefusesWith200(t *testing.T) {
	for body, want := range map[string]report.ResultKind{
		`{"status":"success","error":0}`: report.Sent, `{"status":"","error":"0"}`: report.Sent, `{"status":"error","error":["wrong service"]}`: report.Refused,
		`{"status":"error","error":["apikey is wrong"]}`: report.Broken, "status: success<br>error: 0": report.Sent, "error: 5 no ip": report.Refused,
	} {
		s := baddays.New(t)
		s.Handle("/", baddays.Text(body))
		if got := make1(t, options(t, "blocklist-de", s)).Send(t.Context(), someReport()); got.Kind != want {
			t.Errorf("%s: %+v", body, got)
		}
	}
}

func TestATemplateFitsItsPlace(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/", baddays.Status(409, ""))
	o := options(t, "http", s)
	o.URL, o.Method, o.Headers, o.Body = s.URL+"/v1/{ip}/x?c={comment}", "PUT", []string{"X-Key: secret {key}", "Content-Type: text/plain"}, "{family} {abuseipdb} {port} {last_unix} {lines} {unknown-name}"
	r := someReport()
	r.Addr = netip.MustParseAddr("2606:4700::1")
	if got := make1(t, o).Send(t.Context(), r); got.Kind != report.Known {
		t.Errorf("%+v", got)
	}
	a := s.Asked()[0]
	if a.Method != "PUT" || a.Path != "/v1/2606:4700::1/x" || a.Query != "c=SSH+brute+force%3A+%225%22+failed+attempts." || a.Header.Get("X-Key") != "secret "+theKey || a.Body != "6 18,22 22 1795435199 Failed password for <user> from 8.8.8.8 {unknown-name}" {
		t.Errorf("%+v", a)
	}
	o.Success, o.Known = []int{202}, []int{409, 208}
	o.URL = s.URL + "/ok"
	s.Handle("/ok", baddays.In(baddays.Status(202, ""), baddays.Status(200, ""), baddays.Status(208, "")))
	d := make1(t, o)
	for _, want := range []report.ResultKind{report.Sent, report.Refused, report.Known} {
		if got := d.Send(context.Background(), r); got.Kind != want {
			t.Errorf("%+v, not %s", got, want)
		}
	}
}

func TestWhatIsMissingIsNamed(t *testing.T) {
	for kind, c := range map[string]struct {
		change func(*destination.Options)
		says   string
	}{
		"wayscloud":    {func(o *destination.Options) { o.Key = nil }, "apikey is missing"},
		"abuseipdb":    {func(o *destination.Options) { o.Key = nil }, "apikey is missing"},
		"blocklist-de": {func(o *destination.Options) { o.User = "" }, "user is missing"},
		"dshield":      {func(o *destination.Options) { o.User = "" }, "user is missing"},
		"xarf":         {func(o *destination.Options) { o.Contact = "" }, "contact"},
		"webhook":      {func(o *destination.Options) { o.URL = "" }, "url is missing"},
		"http":         {func(o *destination.Options) { o.Body = "{address}" }, "a template has no {address}: there are {ip}"},
		"pigeon":       {func(*destination.Options) {}, "there is no type \"pigeon\""},
	} {
		o := options(t, kind, baddays.New(t))
		c.change(&o)
		if _, err := destination.New(o); !errors.Is(err, destination.ErrOptions) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", kind, err)
		}
	}
	o := options(t, "http", baddays.New(t))
	o.Headers = []string{"no colon"}
	if _, err := destination.New(o); !errors.Is(err, destination.ErrOptions) {
		t.Errorf("%v", err)
	}
	s := baddays.New(t)
	o = options(t, "wayscloud", s)
	o.Key = func() (string, error) { return "", errors.New("no such file") }
	if got := make1(t, o).Send(t.Context(), someReport()); got.Kind != report.Broken || got.Detail != "no such file" || len(s.Asked()) != 0 {
		t.Errorf("%+v", got)
	}
}
