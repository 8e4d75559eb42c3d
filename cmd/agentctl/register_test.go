package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// registrar is a service that takes reporters, and who asks it.
type registrar struct {
	*baddays.Server
	dir, db string
}

func newRegistrar(t *testing.T, more string) *registrar {
	t.Helper()
	s := baddays.New(t)
	dir := confFolder(t, "[http]\nca = "+s.CA+"\n[report way]\ntype = wayscloud\napikey = wayscloud_ip_secret\njails = sshd\nurl = "+s.URL+"/v1/ip/report\n"+more)
	return &registrar{s, dir, filepath.Join(t.TempDir(), "agentd.db")}
}

func (r *registrar) agentctl(t *testing.T, args ...string) (int, string, string) {
	t.Helper()
	code, out, talk := agentctl(t, append([]string{"report", "-c", r.dir, "--db", r.db}, args...)...)
	if strings.Contains(out+talk, "wayscloud_ip_secret") {
		t.Errorf("the key is shown: %s%s", out, talk)
	}
	return code, out, talk
}

const registered = `{"reporter_id":"3f2b8c1e-0000-4000-8000-000000000001","trust_score":0.4,"status":"active","usage":{"report_endpoint":"POST /v1/ip/report"}}`

func TestAReporterIsRegisteredOnceAndKept(t *testing.T) {
	r := newRegistrar(t, "contact = abuse@example.org\ndomain = example.org\n")
	r.Handle("/v1/ip/reporters/register", baddays.Text(registered))
	r.Handle("/v1/ip/reporters/verify", baddays.Text(`{"txt_record":{"name":"_check.example.org","value":"abc\u001b[2J"}}`))
	if code, _, talk := r.agentctl(t, "verify", "--yes"); code != 1 || !strings.Contains(talk, "not registered yet") || len(r.Asked()) != 0 {
		t.Errorf("verified before: exit %d, %s", code, talk)
	}
	code, out, talk := r.agentctl(t, "register", "--name", "Example Ltd", "--yes")
	if code != 0 || !strings.Contains(out, "3f2b8c1e-0000-4000-8000-000000000001") || !strings.Contains(out, "0.4 of 1") {
		t.Fatalf("exit %d\n%s%s", code, out, talk)
	}
	asked := r.Asked()[0]
	want := `{
  "name": "Example Ltd",
  "source_type": "automated",
  "contact": "abuse@example.org",
  "intent": "bans of our own servers, by Palisade",
  "domain": "example.org"
}`
	if asked.Method != "POST" || asked.Body != want || asked.Header.Get("X-Api-Key") != "wayscloud_ip_secret" || asked.Header.Get("Content-Type") != "application/json" {
		t.Errorf("sent %+v", asked)
	}
	file := filepath.Join(filepath.Dir(r.db), "reporter-way.json")
	st, err := os.Stat(file)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("kept: %v, %v", st, err)
	}
	if code, _, talk = r.agentctl(t, "register", "--name", "Example Ltd", "--yes"); code != 1 || !strings.Contains(talk, "registered already, as 3f2b8c1e") || len(r.Asked()) != 1 {
		t.Errorf("a second time: exit %d, %s", code, talk)
	}
	code, out, _ = r.agentctl(t, "verify", "--yes")
	if code != 0 || !strings.Contains(out, `"name": "_check.example.org"`) || r.Asked()[1].Body != `{"reporter_id":"3f2b8c1e-0000-4000-8000-000000000001"}` {
		t.Errorf("verify: exit %d\n%s\n%+v", code, out, r.Asked())
	}
}

func TestNothingIsSentThatWasNotAgreedTo(t *testing.T) {
	r := newRegistrar(t, "")
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	before := os.Stdin
	os.Stdin = null
	defer func() { os.Stdin = before }()
	code, out, talk := r.agentctl(t, "register", "--name", "Example Ltd", "--contact", "abuse@example.org")
	if code != 1 || out != "" || !strings.Contains(talk, "nothing was sent") || !strings.Contains(talk, `"contact": "abuse@example.org"`) || len(r.Asked()) != 0 {
		t.Errorf("exit %d\n%s%s", code, out, talk)
	}
	for says, args := range map[string][]string{
		"say who you are":       {"register", "--yes"},
		"automated, hybrid":     {"register", "--yes", "--name", "x", "--contact", "y", "--source", "robot"},
		"no such section":       {"register", "--yes", "--to", "other"},
		"belongs to report reg": {"list", "--name", "x"},
	} {
		if code, _, talk := r.agentctl(t, args...); code == 0 || !strings.Contains(talk, says) {
			t.Errorf("%v: exit %d, %s", args, code, talk)
		}
	}
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(r.db), "*")); err != nil || len(left) != 0 || len(r.Asked()) != 0 {
		t.Errorf("left behind: %v, %v; sent %v", left, err, r.Asked())
	}
}

func TestABadDayOfTheRegistrarIsToldAndKeepsNothing(t *testing.T) {
	for says, answer := range map[string]http.HandlerFunc{
		`status 401: "bad key": see apikey of [report way]`: baddays.Status(401, "bad key"),
		"status 422":            baddays.Status(422, `{"detail":[]}`),
		"status 302":            baddays.Redirect("https://elsewhere.example/"),
		"without a reporter_id": baddays.Text("<html>"),
		"answered without":      baddays.Text(`{"reporter_id":"a\u001b[2J"}`),
		"too large":             baddays.Endless("x"),
		"unexpected EOF":        baddays.TruncatedGzip(strings.Repeat(registered, 100)),
		"POST https":            baddays.Reset(),
	} {
		r := newRegistrar(t, "organisation = Example Ltd\ncontact = abuse@example.org\n")
		r.Handle("/v1/ip/reporters/register", answer)
		code, out, talk := r.agentctl(t, "register", "--yes")
		if code != 1 || out != "" || !strings.Contains(talk, says) || len(r.Asked()) != 1 {
			t.Errorf("%s: exit %d, asked %d times\n%s%s", says, code, len(r.Asked()), out, talk)
		}
		if left, err := filepath.Glob(filepath.Join(filepath.Dir(r.db), "*")); err != nil || len(left) != 0 {
			t.Errorf("%s: left behind: %v, %v", says, left, err)
		}
	}
}

func TestARegistrationThatCouldNotBeKeptIsNotMade(t *testing.T) {
	r := newRegistrar(t, "organisation = Example Ltd\ncontact = abuse@example.org\n")
	r.db = filepath.Join(t.TempDir(), "none", "agentd.db")
	if code, _, talk := r.agentctl(t, "register", "--yes"); code != 1 || !strings.Contains(talk, "could not be kept") || len(r.Asked()) != 0 {
		t.Errorf("exit %d, %s", code, talk)
	}
}
