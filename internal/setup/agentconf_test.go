package setup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/agent"
)

// oneJail is a configuration with a jail whose firewall action is taken over.
func oneJail(agentConf string) map[string]string {
	return map[string]string{
		"a.log": "", "fail2ban.conf": "[Definition]\n", "filter.d/f.conf": "[Definition]\nfailregex = x <HOST>\n", "action.d/nftables.conf": "[Definition]\nactionban = nft <ip>\n",
		"jail.local": "[j]\nenabled = true\nfilter = f\nbackend = polling\nlogpath = DIR/a.log\nignoreip = 203.0.113.1\naction = nftables[port=ssh]\n",
		"agent.conf": agentConf,
	}
}

func load(t *testing.T, l *Loader) (agent.Jail, []string) {
	t.Helper()
	o, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	var problems []string
	for _, p := range o.Problems {
		problems = append(problems, p.Severity+" "+p.Key+": "+p.Message)
	}
	if len(o.Jails) != 1 {
		t.Fatalf("%d jails: %q", len(o.Jails), problems)
	}
	return o.Jails[0], problems
}

func TestWhomAgentConfAllowsNoJailBansAndHitsAreCountedIfWished(t *testing.T) {
	l := New(tree(t, oneJail("[firewall]\nallow = 192.0.2.7 2001:db8::/64\nhits = yes\n")), true)
	j, _ := load(t, l)
	if want := []string{"203.0.113.1", "192.0.2.7", "2001:db8::/64"}; !slices.Equal(j.Ignore.Entries, want) {
		t.Errorf("ignored are %q, not %q", j.Ignore.Entries, want)
	}
	if len(j.Scopes) != 1 || !j.Scopes[0].Counted {
		t.Errorf("scopes %+v", j.Scopes)
	}
	j, _ = load(t, New(tree(t, oneJail("")), true))
	if len(j.Ignore.Entries) != 1 || len(j.Scopes) != 1 || j.Scopes[0].Counted {
		t.Errorf("without agent.conf: %+v", j)
	}
}

func TestTheFirewallOfAgentConfIsThatOfTheStart(t *testing.T) {
	dir := tree(t, oneJail("[firewall]\nbackend = script\n"))
	l := New(dir, true)
	if j, problems := load(t, l); len(j.Scopes) != 0 || len(j.Scripts) != 1 || l.Backend != "script" || len(problems) != 0 {
		t.Errorf("%s, %d scopes, %d scripts, %q", l.Backend, len(j.Scopes), len(j.Scripts), problems)
	}
	if err := os.WriteFile(filepath.Join(dir, "agent.conf"), []byte("[firewall]\nbackend = nft\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if j, problems := load(t, l); len(j.Scopes) != 0 || l.Backend != "script" || len(problems) != 1 || !strings.Contains(problems[0], "backend: the firewall stays script while agentd runs") {
		t.Errorf("after a reload: %s, %d scopes, %q", l.Backend, len(j.Scopes), problems)
	}
	named := New(dir, true)
	named.Backend = "memory"
	if _, problems := load(t, named); named.Backend != "memory" || len(problems) != 0 {
		t.Errorf("by the command line: %s, %q", named.Backend, problems)
	}
}

// TestAMistakeInAgentConfHoldsNoJail: a jail that is gone from jail.local ends, though a line of agent.conf is not
// clear; it was never the jail's.
func TestAMistakeInAgentConfHoldsNoJail(t *testing.T) {
	files := oneJail("[firewall]\nhits yes\n")
	files["jail.local"] += strings.ReplaceAll(files["jail.local"], "[j]", "[k]")
	dir := tree(t, files)
	l := New(dir, true)
	if o, err := l.Load(); err != nil || len(o.Jails) != 2 || len(o.Broken) != 0 {
		t.Fatalf("%+v, %v", o, err)
	}
	text := strings.ReplaceAll(oneJail("")["jail.local"], "DIR", dir)
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	o, err := l.Load()
	if err != nil || len(o.Jails) != 1 || len(o.Broken) != 0 {
		t.Errorf("%d jails, broken %q, %v", len(o.Jails), o.Broken, err)
	}
}

func TestCheckTellsWhatIsWrongInAgentConf(t *testing.T) {
	r := check(t, tree(t, oneJail("[firewal]\n[firewall]\ncutt = no\nallow = example.org\n")))
	if r.OK || len(r.Problems) != 3 || len(r.Jails) != 1 || len(r.Broken) != 0 {
		t.Errorf("%+v", r)
	}
	text := strings.Join(r.Lines(), "\n")
	for _, want := range []string{"agent.conf:1 [firewal]: ", "agent.conf:3 [firewall] cutt = no: ", "(did you mean cut?)", "agent.conf:4 [firewall] allow = example.org: a name cannot be allowed here"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not told in\n%s", want, text)
		}
	}
}

func TestCheckTellsWhatCountsOfAgentConf(t *testing.T) {
	var all []string
	for n := range 22 {
		all = append(all, fmt.Sprintf("192.0.2.%d", n))
	}
	for text, want := range map[string]string{
		"[firewall]\nhits = yes\n":                             "agent.conf: [firewall] backend auto, cut yes, hits yes, feeds auto, allow nobody",
		"[firewall]\ncut = no\nallow = 2001:db8::/32\n":        "agent.conf: [firewall] backend auto, cut no, hits no, feeds auto, allow 2001:db8::/32",
		"[firewall]\nallow = " + strings.Join(all, " ") + "\n": "allow " + strings.Join(all[:20], " ") + " and 2 more",
	} {
		r := check(t, tree(t, oneJail(text)))
		if got := strings.Join(r.Lines(), "\n"); !r.OK || !strings.Contains(got, want+"\n") {
			t.Errorf("%q is not told in\n%s", want, got)
		}
	}
	if r := check(t, tree(t, oneJail("[firewall]\n"))); r.Firewall != nil || strings.Contains(strings.Join(r.Lines(), "\n"), "agent.conf") {
		t.Errorf("what says nothing is told of: %v", r.Lines())
	}
}
