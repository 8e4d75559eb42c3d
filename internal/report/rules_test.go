package report

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

var someTime = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func someBan(change func(*Ban)) Ban {
	b := Ban{
		Jail: "sshd", Filter: "sshd", Prefix: netip.MustParsePrefix("8.8.8.8/32"), Local: true, Banned: someTime, Last: someTime.Add(-time.Second), Failures: 5, Port: 22, Protocol: "tcp",
	}
	if change != nil {
		change(&b)
	}
	return b
}

func TestOnlyRealLocalBansOfNamedJailsAreReported(t *testing.T) {
	facts := Facts{Allow: cidr.Of(netip.MustParsePrefix("9.9.9.0/24")), Own: cidr.Of(netip.MustParsePrefix("5.6.7.8/32"))}
	prefix := func(p string) func(*Ban) { return func(b *Ban) { b.Prefix = netip.MustParsePrefix(p) } }
	for name, c := range map[string]struct {
		change func(*Ban)
		rules  Rules
		want   string
	}{
		"a real one":             {nil, Rules{Jails: []string{"sshd"}}, ""},
		"by a pattern":           {nil, Rules{Jails: []string{"nginx*", "ssh?"}}, ""},
		"no jail":                {nil, Rules{}, "does not name the jail sshd"},
		"another jail":           {nil, Rules{Jails: []string{"ssh", "nginx-*"}}, "does not name the jail sshd"},
		"by hand, or imported":   {func(b *Ban) { b.Local = false }, Rules{Jails: []string{"*"}}, "failures that were seen here"},
		"restored":               {func(b *Ban) { b.Restored = true }, Rules{Jails: []string{"*"}}, "it was restored"},
		"a network":              {prefix("8.8.8.0/24"), Rules{Jails: []string{"*"}}, "no single address"},
		"none":                   {func(b *Ban) { b.Prefix = netip.Prefix{} }, Rules{Jails: []string{"*"}}, "no single address"},
		"private":                {prefix("10.1.2.3/32"), Rules{Jails: []string{"*"}}, "private space"},
		"documentation":          {prefix("2001:db8::1/128"), Rules{Jails: []string{"*"}}, "documentation space"},
		"loopback":               {prefix("::1/128"), Rules{Jails: []string{"*"}}, "reserved space"},
		"shared":                 {prefix("100.64.0.1/32"), Rules{Jails: []string{"*"}}, "shared by providers"},
		"allowed":                {prefix("9.9.9.9/32"), Rules{Jails: []string{"*"}}, "allowed"},
		"own":                    {prefix("5.6.7.8/32"), Rules{Jails: []string{"*"}}, "own"},
		"UDP":                    {func(b *Ban) { b.Protocol = "udp" }, Rules{Jails: []string{"*"}}, "UDP"},
		"too few failures":       {nil, Rules{Jails: []string{"*"}, MinFailures: 6}, "fewer than min_failures = 6"},
		"just enough failures":   {nil, Rules{Jails: []string{"*"}, MinFailures: 5}, ""},
		"IPv6":                   {prefix("2606:4700::1/128"), Rules{Jails: []string{"*"}}, ""},
		"a pattern that is none": {nil, Rules{Jails: []string{"[", "sshd"}}, ""},
	} {
		got := c.rules.Forbids(someBan(c.change), facts)
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

func TestAReportSaysWhatWasDoneAndNothingOfThoseToWhom(t *testing.T) {
	r := Rules{Jails: []string{"*"}}.Make(someBan(func(b *Ban) {
		b.Jail, b.Data, b.Lines = "customer-acme", map[string]string{"user": "bob", "sport": "40001"}, []string{"bob failed"}
	}), Facts{})
	if r.Comment != "SSH brute force: 5 failed attempts, the last at 2026-11-23 11:59:59 UTC." || r.Lines != nil || r.SourcePort != 40001 || r.Category != SSHBruteForce || r.Service != "SSH" || r.Port != 22 {
		t.Errorf("%+v", r)
	}
	r = Rules{Category: WebScan}.Make(someBan(func(b *Ban) { b.First, b.Failures = someTime.Add(-time.Hour), 2 }), Facts{})
	if r.Comment != "Search for weak spots of a web server: 2 failed attempts from 2026-11-23 11:00:00 to 2026-11-23 11:59:59 UTC." || r.Category != WebScan {
		t.Errorf("%+v", r)
	}
	if r = (Rules{}).Make(someBan(func(b *Ban) { b.Failures = 1 }), Facts{}); !strings.Contains(r.Comment, ": 1 failed attempt at 2026") {
		t.Errorf("%+v", r)
	}
}

func TestACategoryFollowsFromTheFilterOrTheJail(t *testing.T) {
	for names, want := range map[[2]string]Category{
		{"sshd", "x"}: SSHBruteForce, {"postfix", "x"}: MailBruteForce, {"postfix-rbl", "x"}: Spam, {"nginx-http-auth", "x"}: WebBruteForce, {"nginx-botsearch", "x"}: WebScan,
		{"nginx-limit-req", "x"}: WebAttack, {"apache-auth", "x"}: WebBruteForce, {"apache-badbots", "x"}: WebScan, {"mysqld-auth", "x"}: DBBruteForce, {"asterisk", "x"}: VoIPFraud,
		{"mine", "sshd-aggressive"}: SSHBruteForce, {"mine", "door"}: Attack, {"", ""}: Attack, {"recidive", "sshd"}: Attack, {"Dovecot", "x"}: MailBruteForce,
	} {
		if got := categoryOf(names[0], names[1]); got != want {
			t.Errorf("%q: %s, not %s", names, got, want)
		}
	}
}

func TestLinesAreScrubbed(t *testing.T) {
	facts := Facts{Names: []string{"mail.example.org", "mail"}}
	b := someBan(func(b *Ban) {
		b.Data = map[string]string{"user": "alice", "ip4": "8.8.8.8", "F-RHOST": "8.8.8.8", "x": "y"}
	})
	for line, want := range map[string]string{
		"Nov 23 12:00:00 mail sshd[1]: Failed password for alice from 8.8.8.8 port 40001 ssh2": "Nov 23 12:00:00 <host> sshd[1]: Failed password for <user> from 8.8.8.8 port 40001 ssh2",
		"Failed password for invalid user bob from 8.8.8.8 port 22":                            "Failed password for invalid user <user> from 8.8.8.8 port 22",
		"login=carol from=8.8.8.8 to=192.0.2.7":                                                "login=<user> from=8.8.8.8 to=<addr>",
		"rejected carol@example.net by MAIL.example.org [2001:db8::25]:25":                     "rejected <mail> by <host> [<addr>]:25",
		`8.8.8.8 "GET /admin?user=dave&pw=secret HTTP/1.1" 401`:                                `8.8.8.8 "GET /admin?<query> HTTP/1.1" 401`,
		"password: hunter2 Authorization: Basic":                                               "password: <secret> Authorization: <secret>",
		"session 0123456789abcdef0123456789abcdef0123 ended":                                   "session <secret> ended",
		"id 0123456789abcdef0123456789abcdef0123 ended":                                        "id <token> ended",
		"evil\x1b[31m\nline\x00":                                                               "evil [31m line ",
		"8.8.8.8: hello":                                                                       "8.8.8.8: hello",
		"\xff" + strings.Repeat("x y ", 300):                                                   "",
	} {
		b.Lines = []string{line}
		got := Rules{Lines: true}.Make(b, facts).Lines[0]
		if want != "" && got != want {
			t.Errorf("%q\n gives %q\n not   %q", line, got, want)
		}
		if len(got) > maxLineBytes+3 || strings.ContainsFunc(got, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q: %d bytes", got, len(got))
		}
	}
	b.Lines = make([]string, 50)
	if n := len(Rules{Lines: true}.Make(b, facts).Lines); n != maxLines {
		t.Errorf("%d lines", n)
	}
}

// FuzzScrub: whatever a line holds, none of what must not leave is left, and it is short.
func FuzzScrub(f *testing.F) {
	f.Add("Failed password for alice from 8.8.8.8 to 10.1.2.3 at mail.example.org", "alice")
	f.Fuzz(func(t *testing.T, line, user string) {
		b := someBan(func(b *Ban) { b.Lines, b.Data = []string{line}, map[string]string{"user": user} })
		got := Rules{Lines: true}.Make(b, Facts{Names: []string{"mail.example.org"}}).Lines[0]
		if len(got) > maxLineBytes+3 || strings.ContainsAny(got, "\x00\x1b\n\r") {
			t.Errorf("%q", got)
		}
		if strings.Contains(strings.ToLower(got), "mail.example.org") {
			t.Errorf("%q holds a name of this machine", got)
		}
	})
}
