package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// confFolder is a configuration with an agent.conf.
func confFolder(t *testing.T, agentConf string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "agent.conf"), []byte(agentConf), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestAnAddressIsLookedUpWithoutADaemon(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/api/v1/ip/44.1.1.1", baddays.Text(`{"intelligence_data":{"threat_score":81,"threat_level":"critical","org":"Evil\u001b[2J Ltd"}}`))
	s.Handle("/api/v2/check", baddays.Status(401, `{"errors":[{"detail":"Authentication failed"}]}`))
	dir := confFolder(t, "[http]\nca = "+s.CA+"\n[check portal]\ntype = wayscloud-portal\nurl = "+s.URL+"\n[check ab]\ntype = abuseipdb\napikey = a-secret-key\nurl = "+s.URL+"\n")
	none := filepath.Join(t.TempDir(), "none.sock")
	code, out, talk := agentctl(t, "check", "44.1.1.1", "-c", dir, "-s", none)
	if code != 0 || talk != "" {
		t.Fatalf("exit %d, %s", code, talk)
	}
	for _, want := range []string{"not known: agentd is not running", "wayscloud-portal     81  critical", "Evil [2J Ltd", "does not take the key (status 401): Authentication failed", "https://ip.wayscloud.services/ip-intelligence/44.1.1.1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	if strings.Contains(out, "a-secret-key") {
		t.Error("the key is shown")
	}
	code, out, _ = agentctl(t, "check", "--json", "44.1.1.1", "-c", dir, "-s", none)
	var r lookedUp
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || len(r.Services) != 2 || *r.Services[0].Score != 81 || r.Services[1].Score != nil || r.Bans != nil {
		t.Errorf("exit %d, %v:\n%s", code, err, out)
	}
	if code, out, _ = agentctl(t, "check", "44.1.1.1", "-c", confFolder(t, "[http]\n"), "-s", none); code != 0 || !strings.Contains(out, "[check abuseipdb]") {
		t.Errorf("without services: exit %d\n%s", code, out)
	}
}

func TestWhatIsNoAddressIsNotLookedUp(t *testing.T) {
	for _, word := range []string{"evil.example", "44.1.1.1/24", "fe80::1%eth0"} {
		if code, _, talk := agentctl(t, "check", word); code != 2 || !strings.Contains(talk, "is no address") {
			t.Errorf("%s: exit %d, %s", word, code, talk)
		}
	}
}
