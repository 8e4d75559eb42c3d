package main

import (
	"encoding/json"
	"strings"
	"syscall"
	"testing"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

// TestAnAddressIsLookedUpHereAndElsewhere asks the real daemon, which remembers what it is told.
func TestAnAddressIsLookedUpHereAndElsewhere(t *testing.T) {
	p := newPublisher(t)
	p.publish("/list", "44.1.0.0/16\n")
	p.Handle("/api/v2/check", baddays.Text(`{"data":{"abuseConfidenceScore":97,"isp":"Host AG","totalReports":5}}`))
	g := station(t, p.http()+"[feed mine]\nurl = "+p.URL+"/list\n[check ab]\ntype = abuseipdb\napikey = the-key\nurl = "+p.URL+"\n")
	g.loaded("mine")
	out := g.tell("check", "44.1.1.1")
	for _, want := range []string{"no", "mine (44.1.0.0/16)", "abuseipdb", "97", "Host AG", "check ab"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	var again control.Lookups
	if err := json.Unmarshal([]byte(g.tell("check", "44.1.1.1", "--json")), &again); err != nil || len(again.Services) != 1 || !again.Services[0].Cached {
		t.Errorf("%v: %+v", err, again)
	}
	asked := 0
	for _, a := range p.Asked() {
		if a.Path == "/api/v2/check" {
			asked++
		}
	}
	if asked != 1 || strings.Contains(g.log.String()+out, "the-key") {
		t.Errorf("asked %d times, or a key is shown:\n%s", asked, out)
	}
	g.end(syscall.SIGTERM)
}
