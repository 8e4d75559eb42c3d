package config

import (
	"slices"
	"strings"
	"testing"
)

func TestAServiceToAskIsReadOrToldWhatItLacks(t *testing.T) {
	c := agentTree(t, `-- agent.conf --
[check ab]
type = abuseipdb
apikey = env:KEY
url = https://proxy.example/abuse/
[check portal]
type = wayscloud-portal
`)
	if p := agentProblems(c); len(p) != 0 {
		t.Fatalf("problems of what is sound: %q", p)
	}
	if x := c.Agent.Checks; len(x) != 2 || x[0].URL != "https://proxy.example/abuse" || !x[0].Key.Given() || x[0].Broken || !x[0].Enabled || x[1].Type != "wayscloud-portal" {
		t.Errorf("%+v", x)
	}
	for text, says := range map[string]string{
		"[check a]\napikey = x\n":                                 "who is asked",
		"[check a]\ntype = abuseipdb\n":                           "there is no key",
		"[check a]\ntype = ismalicious\napikey = env:X\n":         "a key and a secret",
		"[check a]\ntype = whois\n":                               "unknown value",
		"[check a]\ntype = abuseipdb\napikey = env:X\nurl = ab\n": "no address of the web",
	} {
		c := agentTree(t, "-- agent.conf --\n"+text)
		if p := agentProblems(c); !slices.ContainsFunc(p, func(s string) bool { return strings.Contains(s, says) }) {
			t.Errorf("%q: %q", text, p)
		}
	}
	if p := agentProblems(agentTree(t, "-- agent.conf --\n[check a]\ntype = abuseipdb\nenabled = no\n")); len(p) != 0 {
		t.Errorf("problems of a section that is switched off: %q", p)
	}
}
