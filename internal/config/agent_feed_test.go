package config

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func agentProblems(c *Config) (all []string) {
	for _, p := range c.Problems {
		if InAgentConf(p.File) {
			all = append(all, p.Severity.String()+": "+p.Error())
		}
	}
	return all
}

func TestAFeedIsReadWithItsDefaults(t *testing.T) {
	c := agentTree(t, `-- agent.conf --
[DEFAULT]
interval = 1h
[feed spam]
type = spamhaus-drop
[feed mine]
path = /etc/lists
interval = 5s
direction = both
mode = log
private = yes
min_score = 70
short_score = 40
count_score = 20
short_time = 2h
expires = -1
-- agent.d/way.conf --
[feed way]
type = wayscloud
apikey = file:/etc/agentd/way.key
enabled = no
`)
	if p := agentProblems(c); len(p) != 0 {
		t.Fatalf("problems of what is sound: %q", p)
	}
	if len(c.Agent.Feeds) != 3 {
		t.Fatalf("feeds: %+v", c.Agent.Feeds)
	}
	spam, mine, way := c.Agent.Feeds[0], c.Agent.Feeds[1], c.Agent.Feeds[2]
	if spam.Name != "spam" || spam.Type != "spamhaus-drop" || !spam.Enabled || spam.Broken || spam.Interval != time.Hour || spam.Mode != "drop" || spam.Outbound || spam.MaxShrink != 50 || spam.Min4 != 8 || spam.Min6 != 19 || spam.MinScore != -1 {
		t.Errorf("spam: %+v", spam)
	}
	if mine.Path != "/etc/lists" || mine.Interval != 5*time.Second || !mine.Outbound || mine.Mode != "log" || !mine.Private || mine.MinScore != 70 || mine.ShortScore != 40 || mine.CountScore != 20 || mine.ShortTime != 2*time.Hour || mine.Expires >= 0 {
		t.Errorf("mine: %+v", mine)
	}
	if way.Enabled || way.Key.String() != "file:/etc/agentd/way.key" {
		t.Errorf("way: %+v", way)
	}
}

func TestAFeedThatCannotWorkIsBrokenAndTheOthersAreNot(t *testing.T) {
	for name, c := range map[string]struct{ feed, want string }{
		"neither":           {"interval = 1h", "[feed x]: it is not said where the list is: the feed does not run (write type = one of wayscloud"},
		"both":              {"path = /a\nurl = https://a.example/b", "[feed x] path = /a: a feed has a path or a url, not both: the feed does not run"},
		"no key":            {"type = abuseipdb", "[feed x] type = abuseipdb: there is no key: the feed does not run (write apikey = file:"},
		"no secret":         {"type = ismalicious-taxii\napikey = file:/k", "apikey = (not shown): this service wants a key and a secret"},
		"no country":        {"type = wayscloud-country", "it is not said which country"},
		"a wrong country":   {"type = wayscloud-country\ncountry = Norway", "this is no country code"},
		"an unknown type":   {"type = spamhouse-drop", "unknown value; it counts as list (did you mean spamhaus-drop?)"},
		"a password in it":  {"url = https://me:pw@a.example/b", "a user or a password in an address is seen by too many"},
		"not of the web":    {"url = ftp://a.example/b", "this is no address of the web"},
		"a path from here":  {"path = lists", "this is no whole path"},
		"json without path": {"url = https://a.example/b\nformat = json", "it is not said where in the JSON the addresses are"},
		"no path of JSON":   {"url = https://a.example/b\nformat = json\nentries = a[", "[feed x] entries = a[: this is no path: there is no name before"},
		"a score in a list": {"url = https://a.example/b\nformat = json\nentries = a[].ip\nscore = s[]", "[feed x] score = s[]: it leads through a list"},
		"no path of scores": {"url = https://a.example/b\nformat = json\nentries = a[].ip\nscore = s..t", "[feed x] score = s..t: this is no path"},
		"two separators":    {"url = https://a.example/b\nformat = csv\nseparator = ::", "[feed x] separator = ::: this is not one character"},
		"column zero":       {"url = https://a.example/b\nformat = csv\ncolumn = 0", "columns are counted from 1 on"},
		"a file of a type":  {"type = feodo\npath = /a", "a list of type feodo is not in a file"},
	} {
		t.Run(name, func(t *testing.T) {
			got := agentTree(t, "-- agent.conf --\n[feed good]\npath = /lists\n[feed x]\n"+c.feed+"\n")
			if len(got.Agent.Feeds) != 2 || got.Agent.Feeds[0].Broken || !got.Agent.Feeds[1].Broken {
				t.Errorf("feeds: %+v", got.Agent.Feeds)
			}
			if p := strings.Join(agentProblems(got), "\n"); !strings.Contains(p, c.want) {
				t.Errorf("told is\n%s\nnot %s", p, c.want)
			}
		})
	}
}

func TestSeparatorsHaveNames(t *testing.T) {
	for text, want := range map[string]rune{"": 0, "tab": '\t', `\t`: '\t', "blank": ' ', "comma": ',', "semicolon": ';', "bar": '|', "|": '|', "ä": 'ä'} {
		if got, ok := Separator(text); !ok || got != want {
			t.Errorf("%q is %q, %v", text, got, ok)
		}
	}
	for _, text := range []string{"::", "\"", "\xff", "tabs"} {
		if got, ok := Separator(text); ok {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestANameOfASectionIsOneThatFilesMayHave(t *testing.T) {
	for name, sound := range map[string]bool{"a": true, "A-b_9": true, "": false, "a b": false, "../x": false, "ä": false, "a.b": false, "-x": false, " x": false, strings.Repeat("x", 41): false} {
		got := agentTree(t, "-- agent.conf --\n[feed "+name+"]\npath = /lists\n")
		if (len(got.Agent.Feeds) == 1) != sound || (len(agentProblems(got)) == 0) != sound {
			t.Errorf("[feed %s]: %+v, %q", name, got.Agent.Feeds, agentProblems(got))
		}
	}
}

// TestAKeyIsNeverAmongTheProblems: whatever is wrong around it.
func TestAKeyIsNeverAmongTheProblems(t *testing.T) {
	const key = "wayscloud-0123456789"
	got := agentTree(t, fmt.Sprintf("-- agent.conf --\n[DEFAULT]\napi_key = %[1]s\n[feed x]\ntype = wayscloud\napikye = %[1]s\napikey = %[1]s\napikey = %[1]s\npassword = a%[1]s %%(nothing)s\ntokens = %[1]s\n[http]\nsecret = %[1]s\n", key))
	p := agentProblems(got)
	if len(p) < 5 {
		t.Errorf("problems: %q", p)
	}
	for _, p := range p {
		if strings.Contains(p, key) {
			t.Errorf("the key is shown: %s", p)
		}
	}
	if shown := fmt.Sprintf("%+v %#v", got.Agent, got.Agent.Feeds); strings.Contains(shown, key) {
		t.Error("the key is shown when the configuration is")
	}
	if k, err := got.Agent.Feeds[0].Key.Read(); err != nil || k != key {
		t.Errorf("the key is read as %q, %v", k, err)
	}
}

func TestAKeyThatGoesOverTheNetworkInClearIsWarnedOf(t *testing.T) {
	for url, warned := range map[string]bool{"http://a.example/x": true, "http://192.0.2.1/x": true, "https://a.example/x": false, "http://127.0.0.1:8080/x": false, "http://[::1]/x": false, "http://localhost/x": false} {
		got := agentTree(t, "-- agent.conf --\n[feed f]\nurl = "+url+"\napikey = k\n[report r]\ntype = webhook\njails = *\nurl = "+url+"\napikey = k\n")
		if n := strings.Count(strings.Join(agentProblems(got), "\n"), "without TLS"); n == 2 != warned || n == 1 {
			t.Errorf("%s: %q", url, agentProblems(got))
		}
	}
}

func TestAllowlistsAreRead(t *testing.T) {
	got := agentTree(t, "-- agent.conf --\n[allow cdn]\ntype = cloudflare\n[allow office]\naddresses = 192.0.2.7/24\nhosts = vpn.example.org home.example.net\n[allow empty]\n[allow bad]\nhosts = 192.0.2.1\n")
	a := got.Agent.Allows
	if len(a) != 4 || a[0].Type != "cloudflare" || a[0].Broken || a[1].Broken || len(a[1].Hosts) != 2 || a[1].Addresses[0].String() != "192.0.2.0/24" || !a[2].Broken || !a[3].Broken {
		t.Errorf("allowlists: %+v", a)
	}
	p := strings.Join(agentProblems(got), "\n")
	for _, want := range []string{"[allow empty]: it is not said whom it allows", "hosts = 192.0.2.1: this is no name of a host"} {
		if !strings.Contains(p, want) {
			t.Errorf("not told: %s\n%s", want, p)
		}
	}
}
