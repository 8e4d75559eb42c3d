package lookup_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/lookup"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

const theKey = "wayscloud_ip_of-nobody"

// clock is a time that tests move.
type clock struct{ at time.Time }

func (c *clock) now() time.Time { return c.at }

func desk(t *testing.T, s *baddays.Server) (*lookup.Desk, *clock) {
	t.Helper()
	c, err := outbound.New(outbound.Options{CAFile: s.CA})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	at := &clock{time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	return lookup.NewDesk(func() *outbound.Client { return c }, at.now), at
}

func service(s *baddays.Server, typ string) lookup.Service {
	return lookup.Service{
		Name: "check " + typ, Type: typ, URL: s.URL, Same: typ,
		Key: func() (string, error) { return theKey, nil }, Secret: func() (string, error) { return "pair", nil },
	}
}

// goodDays are what each service answers when all is well, and where.
func goodDays() map[string]struct{ path, body string } {
	return map[string]struct{ path, body string }{
		"wayscloud": {"/v1/ip/44.1.1.1", `{"ip":"44.1.1.1","ip_version":4,"hostname":null,"geo":{"country":"US","city":null},
			"network":{"asn":64500,"isp":"An ISP","org":null},"threat":{"score":72.6,"level":"high","is_clean":false,"categories":["ssh_bruteforce"]},
			"flags":{"vpn":false,"tor":true,"datacenter":true,"botnet":null}}`},
		"wayscloud-portal": {"/api/v1/ip/44.1.1.1", `{"intelligence_data":{"threat_score":15,"threat_level":"clean"},"other":[1]}`},
		"abuseipdb": {"/api/v2/check", `{"data":{"ipAddress":"44.1.1.1","isPublic":true,"isWhitelisted":null,"abuseConfidenceScore":100,"countryCode":"DE",
			"usageType":"Data Center","isp":"Host AG","domain":"host.example","hostnames":["a.host.example"],"isTor":true,"totalReports":17,"numDistinctUsers":4,
			"lastReportedAt":"2026-11-20T08:00:00+01:00"}}`},
		"ismalicious": {"/check", `{"malicious":false,"riskScore":{"score":40,"level":"medium"},"categories":["scanner","ssh"],"classification":{"primary":"ssh"},
			"sources":[{"name":"Clouds","threatClass":"infrastructure"},{"name":"Attackers","threatClass":"abuse"}],"infrastructure":{"attributes":["cloud"]}}`},
		"crowdsec": {"/v1/decisions", `[{"id":1,"origin":"cscli","type":"ban","scope":"Ip","value":"44.1.1.1","duration":"3h59m","scenario":"crowdsecurity/ssh-bf"}]`},
	}
}

func shown(a lookup.Answer) string {
	text := func(n *int) string {
		if n == nil {
			return "-"
		}
		return strconv.Itoa(*n)
	}
	last := "-"
	if a.Last != nil {
		last = a.Last.Format(time.RFC3339)
	}
	return fmt.Sprintf("%s|%s|%q|%q|%s|%s|%s|%s|%s|%s|%q|%s", text(a.Score), a.Level, a.Categories, a.Flags, a.Owner, a.Network, a.Country, a.Hostname, text(a.Reports), last, a.Notes, a.Error)
}

func TestEachServiceIsAskedInItsOwnWayAndUnderstood(t *testing.T) {
	s := baddays.New(t)
	d, _ := desk(t, s)
	var services []lookup.Service
	for _, typ := range lookup.Types() {
		day, ok := goodDays()[typ]
		if !ok {
			t.Fatalf("no good day of %s", typ)
		}
		s.Handle(day.path, baddays.Text(day.body, "Content-Type: application/json"))
		services = append(services, service(s, typ))
	}
	want := map[string]string{
		"wayscloud":        `73|high|["ssh_bruteforce"]|["datacenter" "tor"]|An ISP|AS64500|US||-|-|[]|`,
		"wayscloud-portal": `15|clean|[]|[]|||||-|-|[]|`,
		"abuseipdb":        `100||[]|["Data Center" "tor"]|Host AG (host.example)||DE|a.host.example|17|2026-11-20T07:00:00Z|["reported by 4 different users in 90 days"]|`,
		"ismalicious":      `40|medium|["ssh" "scanner"]|["cloud"]|||||-|-|["on lists of attackers: 1, as Attackers"]|`,
		"crowdsec":         `-|decided|["crowdsecurity/ssh-bf"]|[]|||||-|-|["ban of 44.1.1.1 by cscli, for 3h59m more"]|`,
	}
	for i, a := range d.Ask(t.Context(), services, netip.MustParseAddr("::ffff:44.1.1.1")) {
		if got := shown(a); got != want[services[i].Type] || a.Service != services[i].Name || a.Type != services[i].Type || a.Cached {
			t.Errorf("%s:\n got %s\nwant %s", services[i].Type, got, want[services[i].Type])
		}
	}
	keys := map[string][2]string{
		"/v1/ip/44.1.1.1": {"X-Api-Key", theKey}, "/api/v1/ip/44.1.1.1": {"X-Api-Key", theKey}, "/api/v2/check": {"Key", theKey}, "/v1/decisions": {"X-Api-Key", theKey},
		"/check": {"X-Api-Key", "d2F5c2Nsb3VkX2lwX29mLW5vYm9keTpwYWly"},
	}
	queries := map[string]string{"/api/v2/check": "ipAddress=44.1.1.1&maxAgeInDays=90", "/check": "enrichment=standard&query=44.1.1.1", "/v1/decisions": "ip=44.1.1.1"}
	asked := s.Asked()
	for _, a := range asked {
		if k := keys[a.Path]; a.Header.Get(k[0]) != k[1] || a.Query != queries[a.Path] || a.Method != "GET" || a.Header.Get("Accept") != "application/json" {
			t.Errorf("asked %+v", a)
		}
	}
	if len(asked) != len(services) {
		t.Errorf("%d questions for %d services", len(asked), len(services))
	}
}

func TestABadDayOfAServiceIsItsErrorAndNothingElse(t *testing.T) {
	days := map[string]struct {
		answer http.HandlerFunc
		says   string
	}{
		"a page":         {baddays.Text("<html>we have moved</html>"), "it is no JSON"},
		"nothing":        {baddays.Text(""), "it is no JSON"},
		"another type":   {baddays.Text(`"no"`), "value of another type"},
		"not UTF-8":      {baddays.Text("\xff\xfe{"), "it is no JSON"},
		"endless":        {baddays.Endless(" "), "too large"},
		"bomb":           {baddays.Bomb(64 << 20), "too large"},
		"half":           {baddays.TruncatedGzip(strings.Repeat("[1]", 1000)), "unexpected EOF"},
		"short":          {baddays.Short("[]"), "unexpected EOF"},
		"reset":          {baddays.Reset(), "GET https://127.0.0.1:"},
		"key refused":    {baddays.Status(401, `{"errors":[{"detail":"bad\u001b[31m key","status":401}]}`), "does not take the key (status 401): bad [31m key"},
		"plan":           {baddays.Status(402, `{"error":"Upgrade"}`), "plan does not have this (status 402): Upgrade"},
		"forbidden":      {baddays.Status(403, `{"error":{"code":"X","message":"not yours"}}`), "(status 403): not yours"},
		"fields":         {baddays.Status(422, `{"detail":[{"msg":"no address"}]}`), `status 422: [{"msg":"no address"}]`},
		"trouble":        {baddays.Status(500, "<html>"), "answers with status 500"},
		"too much":       {baddays.Status(429, `{"message":"slowly"}`), "enough questions (status 429): slowly"},
		"round in rings": {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.String(), http.StatusFound) }, "leads elsewhere"},
	}
	for _, typ := range lookup.Types() {
		s := baddays.New(t)
		for name, day := range days {
			s.Handle("/"+strings.ReplaceAll(name, " ", "-")+"/", day.answer)
		}
		for name, day := range days {
			d, _ := desk(t, s)
			x := service(s, typ)
			x.URL += "/" + strings.ReplaceAll(name, " ", "-")
			a := d.Ask(t.Context(), []lookup.Service{x}, netip.MustParseAddr("44.1.1.1"))[0]
			if !strings.Contains(a.Error, day.says) || a.Score != nil || a.Level != "" || a.Service != x.Name || strings.Contains(a.Error, theKey) || len(a.Error) > 600 {
				t.Errorf("%s, %s: %+v", typ, name, a)
			}
		}
	}
}

func TestAnAnswerWithoutAScoreThatCanBeBelievedIsNone(t *testing.T) {
	for typ, member := range map[string]string{
		"wayscloud": `{"threat":{"score":%s}}`, "wayscloud-portal": `{"intelligence_data":{"threat_score":%s}}`, "abuseipdb": `{"data":{"abuseConfidenceScore":%s}}`,
		"ismalicious": `{"riskScore":{"score":%s}}`,
	} {
		for _, n := range []string{"null", "-1", "101", "1e300"} {
			s := baddays.New(t)
			s.Handle("/", baddays.Text(fmt.Sprintf(member, n)))
			d, _ := desk(t, s)
			if a := d.Ask(t.Context(), []lookup.Service{service(s, typ)}, netip.MustParseAddr("44.1.1.1"))[0]; !strings.Contains(a.Error, "no score from 0 to 100") || a.Score != nil {
				t.Errorf("%s of %s: %+v", typ, n, a)
			}
		}
	}
}

func TestNoServiceWaitsForAnother(t *testing.T) {
	s, slow := baddays.New(t), baddays.New(t)
	s.Handle("/", baddays.Text(goodDays()["wayscloud-portal"].body))
	slow.Handle("/", slow.Silent())
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	// One that is silent stands for one whose three seconds are over: both end by their context. The other's
	// answer counts all the same.
	d, _ := desk(t, s)
	other := service(slow, "wayscloud-portal")
	other.Same = "slow"
	answers := d.Ask(ctx, []lookup.Service{other, service(s, "wayscloud-portal")}, netip.MustParseAddr("44.1.1.1"))
	if answers[0].Error == "" || answers[1].Error != "" || *answers[1].Score != 15 {
		t.Errorf("%+v", answers)
	}
}

func TestAnswersAreRememberedForAnHourAndErrorsAreNot(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/", baddays.In(baddays.Status(500, ""), baddays.Text(goodDays()["wayscloud-portal"].body)))
	d, at := desk(t, s)
	ask := func(ip string) lookup.Answer {
		return d.Ask(t.Context(), []lookup.Service{service(s, "wayscloud-portal")}, netip.MustParseAddr(ip))[0]
	}
	for i, want := range []struct {
		ip     string
		after  time.Duration
		cached bool
		asked  int
	}{{"44.1.1.1", 0, false, 1}, {"44.1.1.1", 0, false, 2}, {"44.1.1.1", lookup.Keep - 1, true, 2}, {"44.1.1.2", 0, false, 3}, {"44.1.1.1", 1, false, 4}} {
		at.at = at.at.Add(want.after)
		if a := ask(want.ip); a.Cached != want.cached || (a.Error == "") != (i > 0) || len(s.Asked()) != want.asked {
			t.Errorf("question %d: %+v after %d requests", i, a, len(s.Asked()))
		}
	}
}

func TestWhatIsRememberedIsBounded(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/", baddays.Text(goodDays()["wayscloud-portal"].body))
	d, at := desk(t, s)
	services := []lookup.Service{service(s, "wayscloud-portal")}
	first := netip.MustParseAddr("44.1.0.0")
	a := first
	for range 1001 {
		at.at = at.at.Add(time.Millisecond)
		if x := d.Ask(t.Context(), services, a)[0]; x.Error != "" {
			t.Fatal(x.Error)
		}
		a = a.Next()
	}
	if x := d.Ask(t.Context(), services, first)[0]; x.Cached {
		t.Error("the oldest of more than a thousand is remembered")
	}
	if x := d.Ask(t.Context(), services, a.Prev())[0]; !x.Cached {
		t.Error("the newest is forgotten")
	}
}

func TestAServiceThatHasHadEnoughIsLeftAloneForAsLongAsItSays(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/", baddays.In(baddays.Status(429, "", "Retry-After: 600"), baddays.Text(goodDays()["wayscloud-portal"].body)))
	d, at := desk(t, s)
	services := []lookup.Service{service(s, "wayscloud-portal")}
	for i, want := range []struct {
		after time.Duration
		says  string
		asked int
	}{{0, "status 429", 1}, {599 * time.Second, "none until 2026-11-23 12:10:00 UTC", 1}, {time.Second, "", 2}} {
		at.at = at.at.Add(want.after)
		a := d.Ask(t.Context(), services, netip.MustParseAddr("44.1.1.1"))[0]
		if !strings.Contains(a.Error, want.says) || (want.says == "") != (a.Error == "") || len(s.Asked()) != want.asked {
			t.Errorf("question %d: %+v after %d requests", i, a, len(s.Asked()))
		}
	}
}

func TestAddressesThatAreNotPublicAreToldToNobodyButOnesOwn(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/", baddays.Text("null"))
	d, _ := desk(t, s)
	for _, typ := range lookup.Types() {
		before := len(s.Asked())
		a := d.Ask(t.Context(), []lookup.Service{service(s, typ)}, netip.MustParseAddr("10.0.0.1"))[0]
		if ours := typ == "crowdsec"; ours != (a.Error == "") || ours != (len(s.Asked()) > before) || !ours && !strings.Contains(a.Error, "no public address") {
			t.Errorf("%s: %+v", typ, a)
		}
	}
}

func TestWithoutAKeyOrWithOneThatCannotBeReadNobodyIsAsked(t *testing.T) {
	s := baddays.New(t)
	d, _ := desk(t, s)
	none := func() (string, error) { return "", errors.New("read the key: no such file") }
	for _, c := range []struct {
		typ    string
		change func(*lookup.Service)
		says   string
	}{
		{"abuseipdb", func(x *lookup.Service) { x.Key = nil }, "write apikey = file:/etc/agentd/abuseipdb.key"},
		{"ismalicious", func(x *lookup.Service) { x.Secret = nil }, "write apisecret ="},
		{"abuseipdb", func(x *lookup.Service) { x.Key = none }, "no such file"},
		{"ismalicious", func(x *lookup.Service) { x.Secret = none }, "no such file"},
		{"whois", func(*lookup.Service) {}, `no service of type "whois"`},
	} {
		x := service(s, c.typ)
		c.change(&x)
		if a := d.Ask(t.Context(), []lookup.Service{x}, netip.MustParseAddr("44.1.1.1"))[0]; !strings.Contains(a.Error, c.says) {
			t.Errorf("%s: %+v", c.typ, a)
		}
	}
	if n := len(s.Asked()); n != 0 {
		t.Errorf("%d questions", n)
	}
}
