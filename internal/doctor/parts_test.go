package doctor

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/setup"
)

// TestProgramsOfACommand are the words that commands begin with, and no others.
func TestProgramsOfACommand(t *testing.T) {
	for script, want := range map[string]string{
		"":                    "",
		"a b c":               "a",
		"a | b; c && d || e":  "a b c d e",
		"a\nb & c":            "a b c",
		"a; a; a":             "a",
		"X=1 Y='2 3' a":       "a",
		"X=$(a b); Y=`c d` e": "a c",
		"! a":                 "a",
		"if a; then b; elif c; then d; else e; fi": "a b c d e",
		"while a; do b; done":                      "a b",
		"for x in a b c; do d $x; done":            "d",
		"case $x in a) b;; c|d) e;; esac":          "b e",
		"{ a; } && (b; c)":                         "a b c",
		"f() { a; }; f; g":                         "a g",
		"a > b 2>&1 < c":                           "a",
		"a >b; >c d":                               "a d",
		"a >&2; b":                                 "a b",
		"a 'x; y' \"z | w\" \\; v":                 "a",
		"'/opt/my tool' x":                         "",
		"/opt/tool x":                              "/opt/tool",
		"tools/x":                                  "",
		"$tool x; <tool> y; <ip>":                  "",
		"a <ip>; b <port>":                         "a b",
		"a # b; c\nd":                              "a d",
		"a#b":                                      "",
		"echo x; printf y; test -f z; [ -f w ]":    "",
		"exec a; command b":                        "a b",
		"a \\\n b":                                 "a",
		"a 'no end; b":                             "a",
		"(((":                                      "",
		")))a":                                     "a",
	} {
		if got := strings.Join(programs(script), " "); got != want {
			t.Errorf("%q: %q, want %q", script, got, want)
		}
	}
}

// TestProgramsOfAnAction are found through its parameters, also if these hold tags; switches are no commands.
func TestProgramsOfAnAction(t *testing.T) {
	d := action.Definition{
		Options: []action.Param{
			{Name: "actionstart", Value: "<tool> -N x"},
			{Name: "actionban", Value: "<ip> <none>; <circle>; tee x"},
			{Name: "actionstart_on_demand", Value: "False"},
			{Name: "norestored", Value: "True"},
		},
		Params: []action.Param{{Name: "tool", Value: "<kind>tables -w"}, {Name: "kind", Value: "ip"}, {Name: "circle", Value: "<circle>"}},
	}
	if got := needed(d); !slices.Equal(got, []string{"iptables", "tee"}) {
		t.Errorf("%q", got)
	}
}

// TestProgramsOfFail2bansActions: each name found in the actions that come with fail2ban is one of a program.
func TestProgramsOfFail2bansActions(t *testing.T) {
	folder := filepath.Join(oracle.Fail2ban(t), "etc/fail2ban")
	files, err := filepath.Glob(folder + "/action.d/*.conf")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d actions: %v", len(files), err)
	}
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(dir, "x.log")
	var jails strings.Builder
	jails.WriteString("[DEFAULT]\nbackend = polling\n")
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".conf")
		fmt.Fprintf(&jails, "[j-%s]\nenabled = true\nfilter = sshd\nlogpath = %s\naction = %s\n", name, log, name)
	}
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(jails.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	l := setup.New(dir, true)
	l.Backend = "script"
	o, err := l.Load()
	if err != nil {
		t.Fatal(err)
	}
	known := strings.Fields(`/sbin/ipf /sbin/npfctl /usr/bin/nsupdate /usr/libexec/afctl /usr/sbin/sendmail apf awk cat curl cut date dig
apprise fgrep firewall-cmd grep head id ip ipfw ipset iptables jq mail nft nginx perl pfctl rm sed shorewall tail touch tr truncate ufw wc wget whois`)
	found := map[string]bool{}
	for _, j := range o.Jails {
		for _, d := range j.Scripts {
			for _, name := range needed(d) {
				found[name] = true
				if !slices.Contains(known, name) {
					t.Errorf("%s: %q is no program", j.Name(), name)
				}
			}
		}
	}
	if len(found) != len(known) {
		t.Errorf("%d programs found, want %d: %v", len(found), len(known), found)
	}
}

// TestChainsAreNamedOnce: those of a table of fail2ban's go with it, and those of iptables are named by that.
func TestChainsAreNamedOnce(t *testing.T) {
	out := "table inet f2b-table {\n\tchain f2b-chain {\n\t\ttype filter hook input priority filter - 1; policy accept;\n\t}\n}\n" +
		"table ip filter {\n\tchain f2b-sshd {\n\t}\n}\ntable inet mine {\n\tchain f2b-x {\n\t}\n\tchain y {\n\t}\n}\n"
	if got := nftChains(out, true); !slices.Equal(got, []string{"inet mine f2b-x"}) {
		t.Errorf("with iptables: %q", got)
	}
	if got := nftChains(out, false); !slices.Equal(got, []string{"ip filter f2b-sshd", "inet mine f2b-x"}) {
		t.Errorf("without: %q", got)
	}
}

// TestOnlyTheEndOfALogIsRead, and of that only whole lines.
func TestOnlyTheEndOfALogIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.log")
	lines := strings.Repeat(strings.Repeat("x", 99)+"\n", 30_000)
	if err := os.WriteFile(path, []byte(lines+"last\r\nunfinished"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := readTail(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(log.lines); n < tailBytes/100-1 || n > tailBytes/100+1 || string(log.lines[n-1]) != "last" {
		t.Errorf("%d lines, the last is %q", n, log.lines[n-1])
	}
	for _, l := range log.lines[:len(log.lines)-1] {
		if len(l) != 99 {
			t.Fatalf("a line of %d bytes", len(l))
		}
	}
	if _, err := readTail(path + ".none"); err == nil {
		t.Error("a log that is missing was read")
	}
}

// TestAProgramThatWritesWithoutEndIsEnded when there is enough.
func TestAProgramThatWritesWithoutEndIsEnded(t *testing.T) {
	p := newPatient(t)
	p.program("endless", "while :; do echo table inet f2b-table; done")
	out, err := p.o.Machine.run(t.Context(), "endless")
	if err != nil || len(out) != maxOutput {
		t.Errorf("%d bytes, %v", len(out), err)
	}
}

// TestAProgramThatDoesNotEndIsEnded with the context, although a child of it holds its output.
func TestAProgramThatDoesNotEndIsEnded(t *testing.T) {
	p := newPatient(t)
	p.program("hanging", "while :; do :; done")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if out, err := p.o.Machine.run(ctx, "hanging"); err == nil {
		t.Errorf("it ended by itself with %q", out)
	}
	if _, err := p.o.Machine.run(t.Context(), "none"); err == nil {
		t.Error("a program that is missing was run")
	}
}

// TestTheRealMachineIsExamined without a failure of our own: what is found there is its own affair.
func TestTheRealMachineIsExamined(t *testing.T) {
	p := newPatient(t)
	p.o.Machine = Machine{Own: p.o.Machine.Own}
	r := p.examine()
	for _, check := range []string{"rights", "agentd", "nftables", "database", "clock", "ipv6"} {
		if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Check == check && f.Found != "" }) {
			t.Errorf("nothing about %s among %s", check, told(r))
		}
	}
}

// FuzzPrograms: no script makes us fail, name something that no script could run, or take long.
func FuzzPrograms(f *testing.F) {
	for _, s := range []string{"a | b $(c `d`) > e", "case x in y) z;; esac", "f() { '\"'\\", "<a=b>", "2>&1;&"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, script string) {
		for _, name := range programs(script) {
			if !plainProgram.MatchString(name) || strings.ContainsAny(name, " \n$`<>|;&()") {
				t.Errorf("%q of %q", name, script)
			}
		}
	})
}

// FuzzSession: what other processes left in /proc makes nobody up.
func FuzzSession(f *testing.F) {
	f.Add([]byte("SSH_CONNECTION=192.0.2.1 1 2 3\x00"), []byte("9 (x) S 1 2"))
	f.Add([]byte("SSH_CONNECTION=fe80::1%eth0 1"), []byte("9 (x) S 9"))
	f.Add([]byte{}, []byte("9 (x"))
	dir := f.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "self"), 0o700); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, environ, stat []byte) {
		for name, b := range map[string][]byte{"environ": environ, "stat": stat} {
			if err := os.WriteFile(filepath.Join(dir, "self", name), b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		a := (Machine{Proc: dir}).sessionClient()
		if a.IsValid() && (a.Zone() != "" || a.Is4In6() || !strings.Contains(string(environ), "SSH_CONNECTION=")) {
			t.Errorf("%v of %q", a, environ)
		}
	})
}

// FuzzWholeLines: the lines and their ends are the text, but for its beginning and its end.
func FuzzWholeLines(f *testing.F) {
	f.Add([]byte("a\r\nb\n\nc"), true)
	f.Add([]byte("a"), false)
	f.Fuzz(func(t *testing.T, text []byte, within bool) {
		want := strings.Count(string(text), "\n")
		if within {
			want = max(0, want-1)
		}
		lines := wholeLines(text, within)
		if len(lines) != want {
			t.Errorf("%d lines of %q, want %d", len(lines), text, want)
		}
		for _, l := range lines {
			if len(l) > maxLine || strings.ContainsAny(string(l), "\n") || strings.HasSuffix(string(l), "\r") && len(l) < maxLine {
				t.Errorf("%q of %q", l, text)
			}
		}
	})
}
