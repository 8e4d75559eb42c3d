package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// oneJail makes a tree loadable.
const oneJail = shared + "-- jail.conf --\n[DEFAULT]\nenabled = true\nfilter = f\naction = a\n[one]\n"

func agentTree(t *testing.T, tree string) *Config {
	t.Helper()
	c := loadTree(t, oneJail+tree, Options{})
	if names(c) != "one" {
		t.Errorf("jails: %q: what is in agent.conf is no matter of theirs", names(c))
	}
	return c
}

func text(f FirewallConf) string {
	var allow []string
	for _, p := range f.Allow {
		allow = append(allow, p.String())
	}
	return fmt.Sprintf("%s cut=%v hits=%v allow=%s feeds=%s", f.Backend, f.Cut, f.Hits, strings.Join(allow, ","), f.Feeds)
}

func TestAgentConfIsReadInFail2bansOrderAndDialect(t *testing.T) {
	for name, c := range map[string]struct{ tree, want string }{
		"no file":        {"", "auto cut=true hits=false allow= feeds=auto"},
		"an empty file":  {"-- agent.conf --\n", "auto cut=true hits=false allow= feeds=auto"},
		"all keys":       {"-- agent.conf --\n[firewall]\nbackend = NFT\ncut = no\nhits = yes\nallow = 192.0.2.1\nfeeds = ipset\n", "nft cut=false hits=true allow=192.0.2.1/32 feeds=ipset"},
		"addresses":      {"-- agent.conf --\n[firewall]\nallow = 192.0.2.7/24, 2001:DB8::1\n  ::ffff:198.51.100.7 203.0.113.0/255.255.255.0\n  [2001:db8:1::]/48\n", "auto cut=true hits=false allow=192.0.2.0/24,2001:db8::1/128,198.51.100.7/32,203.0.113.0/24,2001:db8:1::/48 feeds=auto"},
		"the order":      {"-- agent.conf --\n[firewall]\nbackend = nft\nfeeds = nft\ncut = no\nallow = 192.0.2.1\n-- agent.d/a.conf --\n[firewall]\nbackend = ipset\nfeeds = ipset\ncut = yes\n-- agent.local --\n[firewall]\nbackend = script\nfeeds = auto\n-- agent.d/z.local --\n[firewall]\nbackend = memory\n", "memory cut=true hits=false allow=192.0.2.1/32 feeds=auto"},
		"a local alone":  {"-- agent.local --\n[firewall]\nhits = on\n", "auto cut=true hits=true allow= feeds=auto"},
		"a folder alone": {"-- agent.d/x.conf --\n[firewall]\nhits = 1\n", "auto cut=true hits=true allow= feeds=auto"},
		"an include":     {"-- agent.conf --\n[INCLUDES]\nafter = more.conf\n[firewall]\nhits = yes\ncut = yes\n-- more.conf --\n[firewall]\ncut = no\n", "auto cut=false hits=true allow= feeds=auto"},
		"references":     {"-- agent.conf --\n[DEFAULT]\noffice = 192.0.2.0/24\n[firewall]\nhome = 2001:db8::/64\nallow = %(office)s %(home)s\n-- agent.local --\n[firewall]\nallow = %(known/allow)s 198.51.100.1\n", "auto cut=true hits=false allow=192.0.2.0/24,2001:db8::/64,198.51.100.1/32 feeds=auto"},
		"the defaults":   {"-- agent.conf --\n[DEFAULT]\nhits = yes\n[firewall]\n", "auto cut=true hits=true allow= feeds=auto"},
		"defaults alone": {"-- agent.conf --\n[DEFAULT]\nhits = yes\n", "auto cut=true hits=false allow= feeds=auto"},
	} {
		t.Run(name, func(t *testing.T) {
			got := agentTree(t, c.tree)
			if text(got.Agent.Firewall) != c.want {
				t.Errorf("it says\n%s\nnot\n%s", text(got.Agent.Firewall), c.want)
			}
			for _, p := range got.Problems {
				if InAgentConf(p.File) {
					t.Errorf("a problem of what is sound: %v", p.Error())
				}
			}
		})
	}
}

func TestAgentConfTellsAllThatIsWrongAndTheRestCounts(t *testing.T) {
	const defaults = "auto cut=true hits=false allow= feeds=auto"
	const at = "error: /etc/fail2ban/agent.conf:"
	for name, c := range map[string]struct {
		tree, says string
		want       []string // one problem for each, by its beginning
	}{
		"everything": {
			"[firewal]\nx = 1\n[firewall]\nbackend = pf\ncut = perhaps\nhitz = yes\nhits = yes\nallow = 192.0.2.1 example.org 10.0.0.0/33 1.2.3 fe80::1%%eth0\nfeeds = moon\n",
			"auto cut=true hits=true allow=192.0.2.1/32 feeds=auto",
			[]string{
				at + "1 [firewal]: agent.conf has no such section: nothing in it counts (did you mean firewall?)",
				at + "4 [firewall] backend = pf: unknown value; it counts as auto (use one of auto, nft, ipset, script, memory)",
				at + "5 [firewall] cut = perhaps: neither yes nor no; it counts as yes (write yes or no)",
				at + "6 [firewall] hitz = yes: there is no such key: it changes nothing (did you mean hits?)",
				at + "8 [firewall] allow = example.org: a name cannot be allowed here",
				at + "8 [firewall] allow = 10.0.0.0/33: the prefix has more bits than the address",
				at + "8 [firewall] allow = 1.2.3: this is no address and no network",
				at + "8 [firewall] allow = fe80::1%eth0: an address with a zone",
				at + "9 [firewall] feeds = moon: unknown value; it counts as auto (use one of auto, nft, ipset)",
			},
		},
		"a name where none belongs":   {"[firewall eth0]\nhits = yes\n", defaults, []string{at + "1 [firewall eth0]: the section takes no name: nothing in it counts (write [firewall])"}},
		"another case":                {"[Firewall]\nhits = yes\n", defaults, []string{at + "1 [Firewall]: agent.conf has no such section: nothing in it counts (did you mean firewall?)"}},
		"a section like none":         {"[zebra]\n", defaults, []string{at + "1 [zebra]: agent.conf has no such section: nothing in it counts (there is firewall"}},
		"an unknown default":          {"[DEFAULT]\nbacknd = 1\n[firewall]\n", defaults, []string{at + "2 [DEFAULT] backnd = 1: there is no such key: it changes nothing (did you mean backend?)"}},
		"a reference to nothing":      {"[firewall]\nallow = %(ofice)s\nhits = yes\n", "auto cut=true hits=true allow= feeds=auto", []string{at + "2 [firewall] allow = %(ofice)s: %(ofice)s is not defined; the default is used"}},
		"a key twice":                 {"[firewall]\nhits = no\nhits = yes\n", "auto cut=true hits=true allow= feeds=auto", []string{at + "3 [firewall] hits = yes: this key was already set in line 2"}},
		"a section twice":             {"[firewall]\nhits = yes\n[firewall]\ncut = no\n", "auto cut=false hits=true allow= feeds=auto", []string{at + "3 [firewall]: this section was already there in line 1"}},
		"a line without sign":         {"[firewall]\nhits yes\n", defaults, []string{at + "2 [firewall]: neither key"}},
		"text before the first":       {"hits = yes\n[firewall]\n", defaults, []string{at + "1: text before the first [section]"}},
		"everybody is allowed":        {"[firewall]\nallow = 0.0.0.0/0\n", "auto cut=true hits=false allow=0.0.0.0/0 feeds=auto", []string{"warning: /etc/fail2ban/agent.conf:2 [firewall] allow = 0.0.0.0/0: this is everybody: nobody is blocked"}},
		"an include that is too deep": {"[INCLUDES]\nbefore = %(nowhere)s\n[firewall]\nhits = yes\n", "auto cut=true hits=true allow= feeds=auto", []string{at + "2 [INCLUDES] before = %(nowhere)s: %(nowhere)s is not defined"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := agentTree(t, "-- agent.conf --\n"+c.tree)
			if text(got.Agent.Firewall) != c.says {
				t.Errorf("it says\n%s\nnot\n%s", text(got.Agent.Firewall), c.says)
			}
			var problems []string
			for _, p := range got.Problems {
				if InAgentConf(p.File) {
					problems = append(problems, p.Severity.String()+": "+p.Error())
				}
			}
			for _, w := range c.want {
				i := slices.IndexFunc(problems, func(p string) bool { return strings.HasPrefix(p, w) })
				if i < 0 {
					t.Errorf("not told: %s", w)
					continue
				}
				problems = slices.Delete(problems, i, i+1)
			}
			if len(problems) > 0 {
				t.Errorf("told, too:\n%s", strings.Join(problems, "\n"))
			}
		})
	}
}

func TestAnAllowlistIsBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("-- agent.conf --\n[firewall]\nallow =")
	for n := range maxPrefixes + 2 {
		fmt.Fprintf(&b, " 10.%d.%d.%d", n>>16, n>>8&255, n&255)
	}
	got := agentTree(t, b.String())
	if n := len(got.Agent.Firewall.Allow); n != maxPrefixes {
		t.Errorf("%d entries", n)
	}
	if p := got.Problems[len(got.Problems)-1]; !strings.Contains(p.Msg, "more than 100000 entries") {
		t.Errorf("%v", p.Error())
	}
}

func TestAnOriginOfAgentConfNamesItsFile(t *testing.T) {
	got := agentTree(t, "-- agent.conf --\n[firewall]\nbackend = nft\n-- agent.local --\n[firewall]\n\nbackend = script\n")
	if at := got.Agent.Origin("firewall", "backend"); at.File != "/etc/fail2ban/agent.local" || at.Line != 3 {
		t.Errorf("backend is set at %v", at)
	}
	if at := got.Agent.Origin("firewall", "cut"); !at.IsZero() {
		t.Errorf("cut is set at %v", at)
	}
}
