package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/setup"
)

// tree lays a configuration out; DIR in the texts is the folder.
func tree(t *testing.T, files map[string]string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const soundFilter = "[Definition]\nfailregex = ^ app: failure from <HOST>$\n"

// TestCheckReportsEverythingAtOnce: each mistake is reported with file, line, section, key, value and
// the next step, all of them together, and the jail beside them runs.
func TestCheckReportsEverythingAtOnce(t *testing.T) {
	dir := tree(t, map[string]string{
		"app.log": "", "folder/x": "",
		"filter.d/app.conf":    soundFilter,
		"filter.d/broken.conf": "[Definition]\nfailregex = ^ good <HOST>$\n            ^ bad (<HOST>$\n            ^ no id$\n",
		"filter.d/dates.conf":  soundFilter + "datepattern = %%Q-%%m\n",
		"action.d/mail.conf":   "[Definition]\nactionban = mail root\n",
		"jail.local": `[DEFAULT]
logpath = DIR/app.log
filter = app
action = nftables[port=ssh]

[good]
enabled = true

[regex]
enabled = true
filter = broken

[missing]
enabled = true
filter = brokn

[date]
enabled = true
filter = dates

[duration]
enabled = true
bantime = ten minutes

[retry]
enabled = true
maxretry = many

[ports]
enabled = true
action = nftables[port="ssh,nosuchservice"]

[formula]
enabled = true
bantime.increment = true
bantime.formula = __import__('os').system('id')

[unresolved]
enabled = true
findtime = %(nowhere)s

[encoding]
enabled = true
logencoding = klingon

[folder]
enabled = true
logpath = DIR/folder

[later]
enabled = true
logpath = DIR/later.log

[mails]
enabled = true
action = nftables[port=ssh]
         mail[timeout=soon]

[journal]
enabled = true
backend = systemd[journalflags=many]
`,
	})
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--check", "-c", dir}, &stdout, &stderr); code != 1 || stderr.Len() > 0 {
		t.Fatalf("exit %d, %s", code, stderr.String())
	}
	out := stdout.String()
	for jailName, want := range map[string][]string{
		"regex":      {"error", "broken.conf:2", "failregex", "^ bad (", "unterminated", "mend the regular expression"},
		"missing":    {"error", "jail.local", "filter", "brokn", "broken"},
		"date":       {"error", "dates.conf", "datepattern", "%Q"},
		"duration":   {"error", "jail.local", "bantime", "ten minutes"},
		"retry":      {"error", "jail.local", "maxretry", "many"},
		"ports":      {"error", "jail.local", "nosuchservice", "write ports as"},
		"formula":    {"error", "bantime.formula", "__import__"},
		"unresolved": {"error", "findtime", "nowhere"},
		"encoding":   {"error", "logencoding", "klingon", "latin1"},
		"folder":     {"error", "logpath", "is a folder"},
		"later":      {"warning", "logpath", "later.log", "as soon as it is there"},
		"mails":      {"warning", "soon", "timeout of action mail", "1m0s"},
		"journal":    {"error", "backend", "systemd", "journalflags"},
	} {
		found := false
		var said []string
		for line := range strings.Lines(out) {
			if !strings.Contains(line, "["+jailName+"]") {
				continue
			}
			said = append(said, line)
			all := true
			for _, w := range want {
				all = all && strings.Contains(line, w)
			}
			found = found || all
		}
		if !found {
			t.Errorf("[%s]: no line with all of %q; what is said:\n%s", jailName, want, strings.Join(said, ""))
		}
	}
	if strings.Contains(out, "[good]") {
		t.Errorf("the sound jail is complained about:\n%s", out)
	}
	if n := strings.Count(out, "broken.conf"); n < 2 {
		t.Errorf("%d of the two wrong regexes of one filter are reported", n)
	}
	if !strings.Contains(out, "3 of 14 enabled jails can run") {
		t.Errorf("the sum is wrong: %s", out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:])
	}
}

func TestCheckOfASoundTreeSucceeds(t *testing.T) {
	dir := tree(t, map[string]string{
		"app.log": "", "filter.d/app.conf": soundFilter,
		"jail.local": "[app]\nenabled = true\nlogpath = DIR/app.log\nfilter = app\naction = nftables[type=allports]\n",
	})
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--check", "-c", dir}, &stdout, &stderr); code != 0 {
		t.Errorf("exit %d: %s%s", code, stdout.String(), stderr.String())
	}
}

// TestStockServesWhatTheTreeLacks: a filter and an action that the user's tree does not have, and a
// whole configuration where there is none.
func TestStockServesWhatTheTreeLacks(t *testing.T) {
	dir := tree(t, map[string]string{
		"auth.log":   "",
		"jail.local": "[sshd]\nenabled = true\nfilter = sshd[mode=aggressive]\nlogpath = DIR/auth.log\naction = nftables[port=ssh, protocol=tcp]\n",
	})
	o, err := setup.New(dir, false).Load()
	if err != nil || len(o.Jails) != 1 || len(o.Broken) != 0 {
		t.Fatalf("%+v, %v", o.Problems, err)
	}
	want := firewall.Scope{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 22, Last: 22}}, Verdict: firewall.Reject}
	if got := o.Jails[0].Scopes; len(got) != 1 || got[0].Owner != want.Owner || len(got[0].Ports) != 1 || got[0].Ports[0] != want.Ports[0] || got[0].Verdict != want.Verdict {
		t.Errorf("%+v", got)
	}

	l := setup.New(filepath.Join(t.TempDir(), "none"), false)
	o, err = l.Load()
	if err != nil || l.Name() != "(stock)" || len(o.Broken) != 0 {
		t.Errorf("the stock: %+v, %v", o, err)
	}
}

func TestWrongUsage(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"extra"}, {"--firewall", "pf"}, {"--log-level", "LOUD"}, {"-c", "/nonexistent/folder"}, {"-c", "check_test.go"}} {
		var stdout, stderr bytes.Buffer
		if code := run(t.Context(), args, &stdout, &stderr); code != 2 || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%v: exit %d, %q", args, code, stderr.String())
		}
	}
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--help"}, &stdout, &stderr); code != 0 || !strings.Contains(stdout.String(), "Example:") {
		t.Errorf("--help: exit %d, %q", code, stdout.String())
	}
}

// TestAProblemOfManyJailsIsSaidOnce: what [DEFAULT] sets concerns every jail, and errors come first.
func TestAProblemOfManyJailsIsSaidOnce(t *testing.T) {
	dir := tree(t, map[string]string{
		"app.log": "", "filter.d/app.conf": soundFilter, "action.d/mail.conf": "[Definition]\nactionban = mail root\n",
		"jail.local": `[DEFAULT]
filter = app
logpath = DIR/app.log
action = nftables[port=ssh, name=%(__name__)s]
         mail[timeout=soon]
[a]
enabled = true
[b]
enabled = true
[mails]
enabled = true
action = mail[timeout=later]
[wrong]
enabled = true
maxretry = many
`,
	})
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), []string{"--check", "-c", dir}, &stdout, &stderr); code != 1 {
		t.Errorf("exit %d", code)
	}
	out := stdout.String()
	for _, want := range []string{
		"[a, b, wrong] " + dir + "/jail.local:4 [DEFAULT] action = soon: the timeout of action mail is no time",
		"[mails] " + dir + "/jail.local:12 [mails] action = later: the timeout of action mail is no time",
		"3 of 4 enabled jails can run\n",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if !strings.HasPrefix(out, "error: [wrong]") {
		t.Errorf("errors do not come first:\n%s", out)
	}
}

func TestCheckOfATreeWithoutJailsSaysWhatToDo(t *testing.T) {
	var stdout, stderr bytes.Buffer
	code := run(t.Context(), []string{"--check", "-c", tree(t, map[string]string{"jail.local": "[DEFAULT]\nbantime = 1h\n"})}, &stdout, &stderr)
	if code != 0 || !strings.Contains(stdout.String(), "no jail is enabled, nobody is watched (write what you need into") {
		t.Errorf("exit %d: %s", code, stdout.String())
	}
}

// TestAReloadKeepsAJailThatATypoHides: a section whose bracket is missing is no section any more, and a
// folder that is gone says nothing at all; neither ends a jail that runs. Without the typo it ends.
func TestAReloadKeepsAJailThatATypoHides(t *testing.T) {
	jailOf := func(head string) string {
		return head + "\nenabled = true\nfilter = app\nlogpath = DIR/app.log\naction = nftables[port=ssh]\n"
	}
	dir := tree(t, map[string]string{"app.log": "", "filter.d/app.conf": soundFilter, "jail.local": ""})
	l := setup.New(dir, false)
	load := func(text string) (jails, broken int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(strings.ReplaceAll(text, "DIR", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		o, err := l.Load()
		if err != nil {
			t.Fatal(err)
		}
		return len(o.Jails), len(o.Broken)
	}
	all := jailOf("[a]") + jailOf("[b]") + jailOf("[c]")
	if jails, broken := load(all); jails != 3 || broken != 0 {
		t.Fatalf("%d jails, %d broken", jails, broken)
	}
	for range 2 { // at the second reload the hidden one is remembered still
		if jails, broken := load(jailOf("[a]") + jailOf("[b") + jailOf("[c]")); jails != 1 || broken != 2 {
			t.Errorf("a hidden jail: %d jails, %d broken", jails, broken)
		}
	}
	if err := os.Rename(dir, dir+".gone"); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Load(); err == nil || !strings.Contains(err.Error(), dir+" is not there") {
		t.Errorf("the folder is gone: %v", err)
	}
	if err := os.Rename(dir+".gone", dir); err != nil {
		t.Fatal(err)
	}
	if jails, broken := load(jailOf("[a]") + jailOf("[c]")); jails != 2 || broken != 0 {
		t.Errorf("a jail taken out: %d jails, %d broken", jails, broken)
	}
}
