package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/setup"
)

// reports lists the filters as programs see them.
func reports(t *testing.T, args ...string) map[string]setup.FilterReport {
	t.Helper()
	code, out, talk := agentctl(t, append([]string{"filters", "--json"}, args...)...)
	var all []setup.FilterReport
	if err := json.Unmarshal([]byte(out), &all); err != nil || code != 0 || talk != "" {
		t.Fatalf("exit %d, %v, %s", code, err, talk)
	}
	byName := map[string]setup.FilterReport{}
	for _, r := range all {
		byName[r.Name] = r
	}
	return byName
}

// TestEveryFilterOfDebiansCompilesInEveryMode, and each regex says which engine runs it.
func TestEveryFilterOfDebiansCompilesInEveryMode(t *testing.T) {
	all := reports(t, "-c", filepath.Join(oracle.Fail2ban(t), "etc/fail2ban"))
	regexes, tiers, literals := map[string]bool{}, map[string]int{}, 0
	for name, r := range all {
		for _, m := range r.Modes {
			if len(m.Regexes) == 0 || len(m.Problems) > 0 {
				t.Errorf("%s, mode %q: %d regexes, %+v", name, m.Mode, len(m.Regexes), m.Problems)
			}
			for _, x := range m.Regexes {
				if x.Tier == "" || x.Role == "" || x.Regex == "" {
					t.Errorf("%s: %+v", name, x)
				}
				if !regexes[x.Regex] {
					regexes[x.Regex] = true
					tiers[x.Tier]++
					if x.Literals {
						literals++
					}
				}
			}
		}
	}
	for name, r := range all {
		if n := len(slices.DeleteFunc(slices.Clone(r.Modes), func(m setup.ModeReport) bool { return !m.Default })); n != 1 {
			t.Errorf("%s: %d of its modes are what it does if none is named", name, n)
		}
	}
	if len(all) < 89 || len(regexes) < 240 {
		t.Errorf("%d filters with %d regexes", len(all), len(regexes))
	}
	t.Logf("%d filters, %d regexes, %d behind literals, by tier %v", len(all), len(regexes), literals, tiers)
	sshd := all["sshd"]
	var modes []string
	for _, m := range sshd.Modes {
		modes = append(modes, m.Mode)
	}
	if slices.Sort(modes); !slices.Equal(modes, []string{"aggressive", "ddos", "extra", "normal"}) || sshd.Stock {
		t.Errorf("sshd has the modes %v", modes)
	}
}

func TestFiltersOfTheStock(t *testing.T) {
	all := reports(t, "-c", t.TempDir())
	for name, r := range all {
		if !r.Stock || r.Brief == "" || !strings.HasPrefix(r.Files[len(r.Files)-1], "stock:") {
			t.Errorf("%s: %+v", name, r)
		}
	}
	if len(all) < 12 {
		t.Errorf("%d filters", len(all))
	}
	code, out, talk := agentctl(t, "filters", "sshd", "-c", t.TempDir())
	if code != 0 || talk != "" || !strings.Contains(out, "mode = aggressive") || !strings.Contains(out, "(?P<ip4>") {
		t.Errorf("exit %d, %q, %s", code, out, talk)
	}
	if code, out, talk = agentctl(t, "filters", "ssshd", "-c", t.TempDir()); code != 1 || out != "" || !strings.Contains(talk, `did you mean "sshd"?`) {
		t.Errorf("exit %d, %q, %s", code, out, talk)
	}
}

func TestAFilterThatDoesNotCompileIsNamed(t *testing.T) {
	dir := debian(t, map[string]string{"filter.d/x.conf": "[Definition]\nfailregex = ^(a <HOST>\n"})
	code, out, _ := agentctl(t, "filters", "-c", dir)
	if code != 1 || !strings.Contains(out, "cannot be used: ") || !strings.Contains(out, "x.conf:2 [Definition] failregex = ^(a <HOST>") {
		t.Errorf("exit %d, %.300s", code, out)
	}
	if code, out, _ = agentctl(t, "filters", "x", "-c", dir); code != 1 || !strings.Contains(out, "error: ") {
		t.Errorf("exit %d, %q", code, out)
	}
}
