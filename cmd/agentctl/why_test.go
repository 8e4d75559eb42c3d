package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWhyNotNamesTheStepAtWhichALineStops: one line for each step.
func TestWhyNotNamesTheStepAtWhichALineStops(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"filter.d/app.conf":  "[Definition]\nprefregex = ^ app: <F-CONTENT>.+</F-CONTENT>$\nfailregex = ^failure from <HOST>\nignoreregex = quiet\n",
		"filter.d/bare.conf": "[Definition]\nfailregex = ^ bare from <HOST>$\nignoreregex = quiet\n",
		"jail.local": "[DEFAULT]\nenabled = true\nmaxretry = 3\nfindtime = 10m\nignoreself = false\nusedns = no\naction = nftables[port=1]\n" +
			"[app]\nfilter = app\nlogpath = " + dir + "/app.log\nignoreip = 192.0.2.9\n[bare]\nfilter = bare\nlogpath = " + dir + "/bare.log\nusedns = yes\n",
		"app.log": "", "bare.log": "", "other.log": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	at := func(d time.Duration) string { return fakeNow().Add(d).Format("2006-01-02 15:04:05") }
	for line, want := range map[string]string{
		at(0) + " app: failure from 192.0.2.1":                             "app maxretry: failregex 1 finds a failure of 192.0.2.1; it counts, and 3 within 10m are needed",
		at(0) + " app: failure from 192.0.2.9":                             "app ignoreip: failregex 1 finds a failure of 192.0.2.9, and ignoreip spares it",
		at(-time.Hour-5*time.Second) + " app: failure from 192.0.2.1":      "app findtime: failregex 1 finds a failure of 192.0.2.1, 1h",
		at(2*time.Hour) + " app: failure from 192.0.2.1":                   "its time is 2h ahead of this machine's: the log is written in another zone",
		at(-2*time.Hour) + " app: nothing":                                 "its time is 2h behind this machine's: if it was written just now, its zone is another",
		at(0) + " bare from 192.0.2.1 quiet":                               "no jail's regex fits",
		at(0) + " bare from host.example":                                  "bare usedns: failregex 1 finds a failure of the host host.example",
		at(0) + " other: failure from 192.0.2.1":                           "no jail's regex fits",
		"no date: failure from 192.0.2.1":                                  "no date is found in it, and no jail's regex fits",
		at(0) + " app: failure from 192.0.2.1 --log " + dir + "/other.log": "no jail reads " + dir + "/other.log",
		at(0) + " app: failure from 192.0.2.1 --log " + dir + "/app.log":   dir + "/app.log is read by app",
		at(0) + " app: failure from 192.0.2.1 --log " + dir + "/none.log":  "no such file",
	} {
		words := []string{"why-not", "-c", dir, "-s", dir + "/none.sock", "--json"}
		text, log, has := strings.Cut(line, " --log ")
		if has {
			words = append(words, "--log", log)
		}
		code, out, talk := agentctl(t, append(words, text)...)
		var n notBanned
		if err := json.Unmarshal([]byte(out), &n); err != nil || code != 0 || talk != "" {
			t.Fatalf("%s: exit %d, %v, %s, %s", line, code, err, out, talk)
		}
		all := []string{n.Verdict}
		all = append(all, n.Notes...)
		for _, j := range n.Jails {
			all = append(all, j.Jail+" "+j.Step+": "+j.Why)
		}
		if !strings.Contains(strings.Join(all, "\n"), want) {
			t.Errorf("%s:\n%s\nwant %s", line, strings.Join(all, "\n"), want)
		}
	}
	code, out, _ := agentctl(t, "why-not", "-c", dir, "-s", dir+"/none.sock", at(0)+" app: failure from 192.0.2.1 quiet")
	if code != 0 || !strings.Contains(out, "app   ignoreregex  ignoreregex 1 lets it off") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestWhyNotOfAnAddressAsksTheDaemon.
func TestWhyNotOfAnAddressAsksTheDaemon(t *testing.T) {
	s := serve(t, "healthy")
	for id, want := range map[string]string{
		"192.0.2.1":   "it is banned: agentctl why 192.0.2.1",
		"192.0.2.9":   "2 of 5 failures are counted",
		"203.0.113.9": "no failure of it has been counted",
	} {
		if code, out, _ := agentctl(t, "why-not", "-s", s, id); code != 0 || !strings.Contains(out, want) {
			t.Errorf("%s: exit %d, %s", id, code, out)
		}
	}
}

// TestWhyTellsAllThatIsKnown, as text and for programs.
func TestWhyTellsAllThatIsKnown(t *testing.T) {
	s := serve(t, "healthy")
	code, out, _ := agentctl(t, "why", "-s", s, "192.0.2.1")
	for _, want := range []string{"192.0.2.1 is banned in sshd since ", "failregex 2: ^Failed .* from <HOST>$", "our firewall: reject, tcp 22", "in the kernel: 192.0.2.1 in set bans4, 30m left", "in web: banned 7 times in all"} {
		if code != 0 || !strings.Contains(out, want) {
			t.Errorf("exit %d, no %q in\n%s", code, want, out)
		}
	}
	if code, out, _ := agentctl(t, "why", "-s", s, "192.0.2.9"); code != 1 || !strings.Contains(out, "is not banned") || !strings.Contains(out, "in sshd: 2 of 5 failures") || !strings.Contains(out, "never banned, by ignoreip (ip)") {
		t.Errorf("exit %d, %s", code, out)
	}
	if code, out, _ := agentctl(t, "why", "-s", s, "203.0.113.9"); code != 1 || !strings.Contains(out, "nothing is known of it in any of 2 jails") {
		t.Errorf("exit %d, %s", code, out)
	}
	if _, out, _ := agentctl(t, "why", "-s", s, hostile); strings.ContainsRune(out, '\x1b') {
		t.Errorf("%q", out)
	}
}
