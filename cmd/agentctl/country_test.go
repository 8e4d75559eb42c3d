package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/outbound/baddays"
	"github.com/palisade-agent/palisade/internal/setup"
)

func TestACountryIsBlockedOnlyWhenItIsSaidTwice(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/kp", baddays.Text(`{"top_ips":[{"ip_address":"44.1.1.1","threat_score":70},{"ip_address":"44.1.1.2"},{"ip_address":"10.0.0.1"}]}`))
	dir := confFolder(t, "[http]\nca = "+s.CA+"\n")
	socket := filepath.Join(t.TempDir(), "none.sock")
	block := func(args ...string) (int, string, string) {
		return agentctl(t, append([]string{"block-country", "kp", "-c", dir, "-s", socket, "--url", s.URL + "/kp"}, args...)...)
	}
	code, out, talk := block()
	file := filepath.Join(dir, "agent.d", "country-KP.conf")
	if _, err := os.Stat(file); code != 0 || err == nil || !strings.Contains(out, "Nothing is blocked yet") || !strings.Contains(out, "44.1.1.1") || !strings.Contains(out, "not all of it") || !strings.Contains(out, "10.0.0.1") {
		t.Fatalf("without --yes: exit %d, %v\n%s%s", code, err, out, talk)
	}
	code, out, talk = block("--yes", "--json")
	var r countryBlock
	if err := json.Unmarshal([]byte(out), &r); err != nil || code != 0 || !r.Written || r.Reloaded || r.File != file || r.Entries != 3 {
		t.Fatalf("with --yes: exit %d, %v\n%s%s", code, err, out, talk)
	}
	l := setup.New(dir, true)
	if _, err := l.Read(); err != nil {
		t.Fatal(err)
	}
	if f := l.Agent().Feeds; len(f) != 1 || f[0].Name != "country-KP" || f[0].Type != countryType || f[0].Country != "KP" || f[0].Broken || f[0].URLs[0] != s.URL+"/kp" {
		t.Errorf("what is written is read as %+v", f)
	}
	if code, _, talk = block("--yes"); code != 1 || !strings.Contains(talk, "has [feed country-KP] for it already") {
		t.Errorf("again: exit %d, %s", code, talk)
	}
	left, err := filepath.Glob(filepath.Join(dir, "agent.d", "*"))
	if err != nil || len(left) != 1 {
		t.Errorf("files: %v, %v", left, err)
	}
}

func TestACountryIsInForceOnceTheDaemonHasReadIt(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/", baddays.Text(`{"top_ips":[{"ip_address":"44.1.1.1"}]}`))
	conf := "[http]\nca = " + s.CA + "\n"
	code, out, talk := agentctl(t, "block-country", "KP", "--yes", "-c", confFolder(t, conf), "-s", serve(t, "healthy"), "--url", s.URL+"/")
	if code != 0 || !strings.Contains(out, "is written and in force") {
		t.Errorf("exit %d\n%s%s", code, out, talk)
	}
	code, _, talk = agentctl(t, "block-country", "KP", "--yes", "-c", confFolder(t, conf), "-s", serve(t, "degraded"), "--url", s.URL+"/")
	if code != 1 || !strings.Contains(talk, "goes on with the configuration it had") {
		t.Errorf("with a daemon that refuses it: exit %d\n%s", code, talk)
	}
}

func TestABadDayOfACountryListWritesNothing(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/html", baddays.Text("<html>moved</html>"))
	s.Handle("/empty", baddays.Text(`{"top_ips":[]}`))
	s.Handle("/private", baddays.Text(`{"top_ips":[{"ip_address":"10.0.0.1"}]}`))
	s.Handle("/down", baddays.Status(503, ""))
	s.Handle("/half", baddays.TruncatedGzip(strings.Repeat(`{"top_ips":[]}`, 1000)))
	dir := confFolder(t, "[http]\nca = "+s.CA+"\n")
	for _, path := range []string{"/html", "/empty", "/private", "/down", "/half", "/none"} {
		code, out, talk := agentctl(t, "block-country", "KP", "--yes", "-c", dir, "-s", filepath.Join(dir, "none"), "--url", s.URL+path)
		if _, err := os.Stat(filepath.Join(dir, "agent.d")); code != 1 || talk == "" || err == nil {
			t.Errorf("%s: exit %d\n%s%s", path, code, out, talk)
		}
	}
	for _, word := range []string{"KPX", "1A", "../x"} {
		if code, _, talk := agentctl(t, "block-country", word); code != 2 || !strings.Contains(talk, "two letters") {
			t.Errorf("%s: exit %d, %s", word, code, talk)
		}
	}
}
