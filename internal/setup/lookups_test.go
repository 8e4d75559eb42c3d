package setup

import (
	"slices"
	"testing"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/lookup"
	"github.com/palisade-agent/palisade/internal/secret"
)

func TestTypesOfServicesAreThoseThatCanBeAsked(t *testing.T) {
	if !slices.Equal(config.CheckWords(), lookup.Types()) {
		t.Errorf("agent.conf takes %v, and there are %v", config.CheckWords(), lookup.Types())
	}
}

func TestServicesAreAskedForWhichThereIsAKey(t *testing.T) {
	key := secret.Parse("the-key")
	var c config.AgentConf
	c.Checks = []config.CheckConf{
		{Name: "mine", Enabled: true, Type: "abuseipdb", Key: key, URL: "https://proxy.example"},
		{Name: "off", Type: "wayscloud", Key: key},
		{Name: "broken", Enabled: true, Broken: true, Type: "wayscloud"},
	}
	c.Feeds = []config.FeedConf{
		{Name: "ab", Enabled: true, Type: "abuseipdb", Key: key}, // asked already
		{Name: "ru", Enabled: true, Type: "wayscloud-country", Country: "RU"},
		{Name: "taxii", Enabled: true, Type: "ismalicious-taxii", Key: key, Secret: key},
		{Name: "mirror", Enabled: true, Type: "wayscloud", Key: key, URLs: []string{"https://mirror.example/list"}},
		{Name: "cs", Enabled: true, Type: "crowdsec", Key: key, URLs: []string{"http://10.0.0.2:8080/v1/decisions/stream"}},
		{Name: "drop", Enabled: true, Type: "spamhaus-drop"},
	}
	c.Reports = []config.ReportConf{
		{Name: "other", Enabled: true, Type: "wayscloud", Key: key, URL: "https://elsewhere.example/report"},
		{Name: "way", Enabled: true, Type: "wayscloud", Key: key, URL: "https://api.wayscloud.services/v1/ip/report"},
		{Name: "hook", Enabled: true, Type: "webhook", URL: "https://hook.example"},
	}
	want := []struct{ name, typ, url string }{
		{"check mine", "abuseipdb", "https://proxy.example"},
		{"feed ru", "wayscloud-portal", ""},
		{"feed taxii", "ismalicious", ""},
		{"feed cs", "crowdsec", "http://10.0.0.2:8080"},
		{"report way", "wayscloud", ""},
	}
	all := Lookups(c)
	if len(all) != len(want) {
		t.Fatalf("asked are %+v", all)
	}
	for i, s := range all {
		if s.Name != want[i].name || s.Type != want[i].typ || s.URL != want[i].url || (s.Key != nil) != (s.Type != "wayscloud-portal") {
			t.Errorf("%+v, not %+v", s, want[i])
		}
		for _, o := range all[i+1:] {
			if s.Same == o.Same {
				t.Errorf("%s and %s share their answers", s.Name, o.Name)
			}
		}
	}
}
