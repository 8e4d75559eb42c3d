package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// regexScript runs fail2ban-regex for each list of arguments, all in one process, and gives what it printed
// and its exit status.
const regexScript = `
import contextlib, io, json, logging, sys
from fail2ban.client import fail2banregex
from fail2ban.server.mytime import MyTime
out = []
for args in json.load(sys.stdin):
    b = io.StringIO()
    code = 0
    handlers = list(fail2banregex.logSys.handlers)
    MyTime.setAlternateNow(None)
    with contextlib.redirect_stdout(b), contextlib.redirect_stderr(io.StringIO()):
        try:
            fail2banregex.exec_command_line(args)
        except SystemExit as e:
            code = e.code or 0
    for h in list(fail2banregex.logSys.handlers):
        if h not in handlers: fail2banregex.logSys.removeHandler(h)
    out.append({"Out": b.getvalue(), "Code": code})
json.dump(out, sys.stdout)
`

type regexAnswer struct {
	Out  string
	Code int
}

func realRegex(t *testing.T, calls [][]string) []regexAnswer {
	t.Helper()
	in, err := json.Marshal(calls)
	if err != nil {
		t.Fatal(err)
	}
	var answers []regexAnswer
	oracle.JSON(t, regexScript, in, &answers)
	return answers
}

// timing and thisMinute are what no two runs have in common: how long it took, and when it was, which stands
// for times that are not known.
var timing = regexp.MustCompile(`(?m)^\[processed in .* sec\]$`)

func thisMinute(s string) string {
	s = regexp.MustCompile(`\b\d{10}\.\d{2,}`).ReplaceAllStringFunc(s, func(found string) string {
		if f, err := strconv.ParseFloat(found, 64); err == nil && time.Since(time.UnixMicro(int64(f*1e6))).Abs() < 5*time.Minute {
			return "(now)"
		}
		return found
	})
	at := regexp.MustCompile(`[A-Z][a-z]{2} [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d \d{4}`)
	return at.ReplaceAllStringFunc(s, func(found string) string {
		t, err := time.ParseInLocation("Mon Jan 02 15:04:05 2006", found, time.Local)
		if err == nil && time.Since(t).Abs() < 5*time.Minute {
			return "(now)"
		}
		return found
	})
}

// compact is the one default date template that fail2ban 1.1 has extended; 1.0 is what we compare with.
const (
	compact11 = `ExYearExMonthExDay(?:-|T|  ?)Ex24hour:?ExMinute:?ExSecond(?:[.,]Microseconds)?(?:\s*Zone offset)?`
	compact10 = `ExYearExMonthExDay(?:T|  ?)Ex24hourExMinuteExSecond(?:[.,]Microseconds)?(?:\s*Zone offset)?`
)

// sorted writes sets of users in order: Python has none for them.
func sorted(s string) string {
	return regexp.MustCompile(`\{'[^{}:']*'(?:, '[^{}:']*')+\}`).ReplaceAllStringFunc(s, func(set string) string {
		items := strings.Split(strings.Trim(set, "{}"), ", ")
		slices.Sort(items)
		return "{" + strings.Join(items, ", ") + "}"
	})
}

// theirSpelling writes what <HOST> and <ADDR> stand for, of which the prefregex line is made, as fail2ban does:
// ours means the same. So it does for years, and for the number in what an epoch looks like.
func theirSpelling(s string) string {
	pairs := []string{
		compact11, compact10,
		`%ExY%Exm%Exd(?:-|T|  ?)%ExH:?%ExM:?%ExS`, `%ExY%Exm%Exd(?:T|  ?)%ExH%ExM%ExS`,
		`(?P<d>[1-2]\d|0[1-9]|3[0-1])(?:-|T|  ?)(?P<H>[0-1]\d|2[0-3]):?(?P<M>[0-5]\d):?(?P<S>[0-5]\d|6[0-1])`, `(?P<d>[1-2]\d|0[1-9]|3[0-1])(?:T|  ?)(?P<H>[0-1]\d|2[0-3])(?P<M>[0-5]\d)(?P<S>[0-5]\d|6[0-1])`,
		`(?P<Y>(?:200|201|202)\d)`, `(?P<Y>20[012]\d)`,
		`\d{1,3}(?:\.\d{1,3}){3}`, `(?:\d{1,3}\.){3}\d{1,3}`,
		`(?:[0-9A-Fa-f]{1,4}::?|:){1,7}(?:[0-9A-Fa-f]{1,4}|(?<=:):)`, `(?:[0-9a-fA-F]{1,4}::?|::){1,7}(?:[0-9a-fA-F]{1,4}|(?<=:):)`,
		`(?P<dns>[\w.^-]*\w)`, `(?P<dns>[\w\-.^_]*\w)`,
	}
	for _, text := range pairs[8:] { // as they stand in an address of debuggex.com
		pairs = append(pairs, url.QueryEscape(text))
	}
	s = regexp.MustCompile(`\(\?P<palisade_epoch>([^()]*(?:\([^()]*\)\?)?)\)`).ReplaceAllString(s, "$1")
	return strings.NewReplacer(pairs...).Replace(s)
}

func compareRegex(t *testing.T, calls [][]string) {
	t.Helper()
	for i, want := range realRegex(t, calls) {
		var stdout, stderr bytes.Buffer
		code := answer(t.Context(), "fail2ban-regex", calls[i], &stdout, &stderr)
		a := theirSpelling(timing.ReplaceAllString(stdout.String(), "[…]"))
		b := timing.ReplaceAllString(want.Out, "[…]")
		a, b = sorted(thisMinute(a)), sorted(thisMinute(b))
		if a == b && code == want.Code {
			continue
		}
		t.Errorf("%q: exit %d, want %d\n%s", calls[i], code, want.Code, whereTheyPart(a, b))
	}
}

// whereTheyPart shows where two texts part.
func whereTheyPart(a, b string) string {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range max(len(x), len(y)) {
		p, q := "(end)", "(end)"
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			return fmt.Sprintf("line %d\n%.400s\nwant\n%.400s", i+1, p, q)
		}
	}
	return "the same text"
}

// stockSamples are Debian's filters that have a sample, with their logs.
func stockSamples(t *testing.T) (dir string, samples map[string]string) {
	t.Helper()
	root := oracle.Fail2ban(t)
	dir = filepath.Join(root, "etc/fail2ban")
	logs := filepath.Join(root, "usr/lib/python3/dist-packages/fail2ban/tests/files/logs")
	files, err := os.ReadDir(logs)
	if err != nil {
		t.Fatal(err)
	}
	samples = map[string]string{}
	for _, f := range files {
		if _, err := os.Stat(filepath.Join(dir, "filter.d", f.Name()+".conf")); err == nil {
			samples[f.Name()] = filepath.Join(logs, f.Name())
		}
	}
	if len(samples) < 80 {
		t.Fatalf("%d samples", len(samples))
	}
	return dir, samples
}

// TestRegexPrintsWhatFail2banRegexPrints: for every filter of Debian's on its sample, the same text: counts,
// hits of each regex, date templates, and lines.
func TestRegexPrintsWhatFail2banRegexPrints(t *testing.T) {
	dir, samples := stockSamples(t)
	var names []string
	for name := range samples {
		names = append(names, name)
	}
	slices.Sort(names)
	var calls [][]string
	for _, name := range names {
		calls = append(calls, []string{"-r", "-c", dir, samples[name], name}, []string{"-rv", "-c", dir, "--print-all-missed", "--print-all-ignored", samples[name], name + "[mode=aggressive]"})
	}
	compareRegex(t, calls)
	t.Logf("%d filters", len(names))
}

// TestRegexWritesFailuresAsFail2banRegexDoes: for every filter of Debian's on its sample, each failure with all
// that is known of it.
func TestRegexWritesFailuresAsFail2banRegexDoes(t *testing.T) {
	dir, samples := stockSamples(t)
	var calls [][]string
	for _, name := range slices.Sorted(maps.Keys(samples)) {
		calls = append(calls,
			[]string{"-r", "-o", "row", "-c", dir, samples[name], name},
			[]string{"-r", "-o", "<fid> <ip> <ip-rev> <family> <time> <failures> <F-USER> <F-NONE> <unknown> <F-MATCHES> <<ip>> <F-*>", "-c", dir, samples[name], name + "[mode=normal]"})
	}
	compareRegex(t, calls)
}

// TestRegexOptions is the same for every option that changes what is printed.
func TestRegexOptions(t *testing.T) {
	dir, samples := stockSamples(t)
	dropbear, sshd := samples["dropbear"], samples["sshd"]
	local := filepath.Join(t.TempDir(), "my.conf")
	if err := os.WriteFile(local, []byte("[Definition]\nfailregex = ^ \\S+ dropbear.* from <HOST>\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	line := "Jun 14 11:11:11 h app: failure of 'bob' from 192.0.2.1"
	regex := `^ h app: failure of '<F-USER>[^']*</F-USER>' from <ADDR>$`
	compareRegex(t, [][]string{
		{line, regex},
		{line, regex, "bob"},
		{line, regex, "alice"},
		{line + "\n" + line + "\nother", regex},
		{"a very long line that has no date and goes on and on until it must be cut", "a very long regex <HOST> that goes on and on until it must be cut"},
		{"-d", "%Y-%m-%d %H:%M:%S", "2026-01-02 03:04:05 from 192.0.2.1", "from <HOST>"},
		{"-d", "%d/%b/%Y", "-v", "02/Jan/2026 from 192.0.2.1", "from <HOST>"},
		{"--datepattern={NONE}", "from 192.0.2.1", "from <HOST>"},
		{"--TZ", "UTC+0200", "-v", line, regex},
		{"--timezone=UTC", "-v", line, regex},
		{"-r", "-c", dir, "--no-check-all", sshd, "sshd"},
		{"-r", "-c", dir, "--print-all-matched", dropbear, "dropbear"},
		{"-r", "-c", dir, "--print-no-missed", "--print-no-ignored", sshd, "sshd"},
		{"-r", "-c", dir, "-L", "3", sshd, "sshd"},
		{"-r", "-c", dir, "-L3", "--print-all-missed", dropbear, "dropbear"},
		{"-r", "-c", dir, "--print-all-ig", sshd, "sshd[mode=ddos]"},
		{"-c", dir, "--usedns=no", "-v", dropbear, "dropbear[logtype=file]"},
		{"-r", "-c", dir, dropbear, "sshd[mode=extra,publickey=any]"},
		{"-r", "-c", dir, dropbear, filepath.Join(dir, "filter.d/dropbear.conf")},
		{"-r", "-c", dir, dropbear, local},
		{"-r", "-c", dir, dropbear, "dropbear", "root"},
		{"-r", "-c", dir, dropbear, "dropbear.conf"},
		{"-r", "-c", filepath.Join(dir, "filter.d"), dropbear, "dropbear"},
		{"-o", "id", "-r", "-c", dir, sshd, "sshd"},
		{"-o", "ip", "-r", "-c", dir, sshd, "sshd"},
		{"-o", "msg", "-r", "-c", dir, sshd, "sshd"},
		{"-o", "user", "-r", "-c", dir, sshd, "sshd"},
		{"-o", "row", line, regex},
		{"-o", "<ip> <F-USER> <F-NONE>| <fid> <family> <time> <failures>", line, regex},
		{"-o", "<ip>: <msg>", "-r", "-c", dir, sshd, "sshd"},
		{"-o", "host", "-r", "-c", dir, dropbear, "dropbear"},
		{"-t", "--full-traceback", line, "nothing <HOST>"},
		{"-e", "latin1", "-r", "-c", dir, dropbear, "dropbear"},
		{"-o", "matches", "-r", "-c", dir, sshd, "sshd"},
		{"-o", "matches", "-r", "-c", dir, samples["mongodb-auth"], "mongodb-auth"},
		{"-o", "row", "--TZ", "UTC+0200", line, regex},
		{"-o", "row", "1795348800.25 from 192.0.2.1", "from <HOST>"},
		{"-o", "<F-HOST>|<br><sp><msg>|<F-MLFID>|<bancount>", "-r", "-c", dir, sshd, "sshd"},
		{"--VD", "-r", "-c", dir, sshd, "sshd"},
		{"--verbose-date", "-v", "-r", "-c", dir, samples["squid"], "squid"},
		{"-vv", line, regex},
		{"-vv", "-c", dir, line, "sshd[logtype=journal,mode=ddos]"},
		{"-vvv", "-c", dir, line, "counter-strike"},
		{"--verbosity=-1", line, regex},
		{"-r", "-D", "-c", dir, dropbear, "dropbear"},
		{"-D", "--print-all-matched", "-L2", line + "\n" + line, regex},
		{"1999-01-02 03:04:05 from 192.0.2.1", "from <HOST>"},
		{"2029-01-02 03:04:05 from 192.0.2.1", "from <HOST>"},
		{"2035-01-02 03:04:05 from 192.0.2.1", "from <HOST>"},
	})
}

// TestEncodingsHaveTheNamesThatPythonGivesThem: a byte above 127 comes out as there.
func TestEncodingsHaveTheNamesThatPythonGivesThem(t *testing.T) {
	log := filepath.Join(t.TempDir(), "a.log")
	if err := os.WriteFile(log, []byte("2026-01-02 03:04:05 \xe4\xa4\xe9 from 192.0.2.1\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	var calls [][]string
	for _, name := range []string{"latin1", "latin-1", "iso8859-15", "iso8859_2", "cp1252", "cp1251", "koi8-r", "koi8_u", "gbk", "big5", "euc_jp"} {
		calls = append(calls, []string{"-e", name, "-o", "msg", log, "from <HOST>"}, []string{"-e", name, log, "from <HOST>"})
	}
	compareRegex(t, calls)
}

// TestRegexTakesAJail with all that it says of its filter, where no filter has the name.
func TestRegexTakesAJail(t *testing.T) {
	dir := t.TempDir()
	text := "[mine]\nfilter =\nfailregex = ^ mine: <ADDR>$\ndatepattern = ^%%Y\n"
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ := agentctl(t, "regex", "-c", dir, "2026 mine: 192.0.2.1", "mine")
	if code != 0 || !strings.Contains(out, "Use             jail : mine\n") || !strings.Contains(out, "Use      datepattern : ^%Y : ^Year\n") || !strings.Contains(out, "1 matched") {
		t.Errorf("exit %d, %s", code, out)
	}
}

// TestRegexErrors: what cannot be used, in fail2ban-regex's words where a script may look for them.
func TestRegexErrors(t *testing.T) {
	calls := [][]string{
		{"x", "("},
		{"x", "no group"},
		{"x", "[a"},
		{"x", "sshd[a"},
		{"x", "<HOST>", "("},
		{"x"},
		{"a", "b", "c", "d"},
		{},
		{"--print-no-missed", "--print-all-missed", "x", "<HOST>"},
		{"-L", "-1", "y", "<HOST>"},
		{"-d", "%Q", "y", "<HOST>"},
		{"--TZ", "nowhere", "y", "<HOST>"},
		{"--verbosity", "much", "y", "<HOST>"},
		{"--print", "y", "<HOST>"},
	}
	for i, want := range realRegex(t, calls) {
		var stdout, stderr bytes.Buffer
		code := answer(t.Context(), "fail2ban-regex", calls[i], &stdout, &stderr)
		if code != want.Code {
			t.Errorf("%q: exit %d, want %d", calls[i], code, want.Code)
		}
		if len(calls[i]) >= 2 && calls[i][0] == "x" {
			a, b := firstOf(stdout.String(), "ERROR: "), firstOf(want.Out, "ERROR: ")
			if a != b {
				t.Errorf("%q: %q, want %q", calls[i], a, b)
			}
		}
	}
	for _, args := range [][]string{{"regex", "x"}, {"regex", "--nope", "x", "y"}, {"regex", "-L", "many", "x", "y"}, {"regex", "--now", "soon", "x", "y"}} {
		if code, _, talk := agentctl(t, args...); code != 2 || talk == "" {
			t.Errorf("%q: exit %d, %q", args, code, talk)
		}
	}
	if code, out, _ := agentctl(t, "regex", "x", "("); code != 1 || !strings.Contains(out, "ERROR: Unable to compile") {
		t.Errorf("exit %d, %q", code, out)
	}
}

// TestAFilterThatDoesNotCompileIsNamedByFileAndLine, which fail2ban-regex does not do.
func TestAFilterThatDoesNotCompileIsNamedByFileAndLine(t *testing.T) {
	file := filepath.Join(t.TempDir(), "my.conf")
	if err := os.WriteFile(file, []byte("[Definition]\nfailregex = ^fine <HOST>$\n            ^broken ( <HOST>$\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, talk := agentctl(t, "regex", "x", file)
	if code != 1 || !strings.Contains(out, "ERROR: Unable to compile regular expression '^broken ( <HOST>$'") || !strings.Contains(talk, "my.conf:") || !strings.Contains(talk, "[Definition] failregex") {
		t.Errorf("exit %d, %s, %s", code, out, talk)
	}
}

// firstOf is the first line with a beginning.
func firstOf(text, beginning string) string {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, beginning) {
			return line
		}
	}
	return ""
}
