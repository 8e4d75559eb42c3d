package filters_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/jails"
)

// samplesScript reads the samples with the filters under fail2ban, with all regexes tried and as a
// jail does, and tells every line whose annotation does not hold there, the number of lines of each
// filter, and the regexes that no line matches with any of the parameters. A parameter may put a word
// of its own into a regex, so one in the same place of a list of the same length counts too.
const samplesScript = `
import json, logging, os, re, sys, time, types
os.environ["TZ"] = "UTC"
time.tzset()
logging.disable(logging.CRITICAL)
from fail2ban.server.mytime import MyTime
NOW = 1798761599
MyTime.setAlternateNow(NOW)
from fail2ban.server import utils, datedetector
from fail2ban.server.filter import Filter
from fail2ban.client.filterreader import FilterReader
clock = types.SimpleNamespace(time=lambda: MyTime.time(), sleep=lambda s: None)
utils.time = datedetector.time = clock
MyTime.setTime(NOW)
told = json.load(sys.stdin)
problems, lines, unmatched = [], {}, []
class Session:
    def __init__(self, name, parameters):
        self.filters, self.regexes, self.hit = [Filter(None), Filter(None)], [], set()
        for f, every in zip(self.filters, (True, False)):
            f.returnRawHost, f.checkAllRegex, f.checkFindTime = True, every, False
        reader = FilterReader(name, "jail", parameters, basedir=told["Dir"])
        reader.read()
        reader.getOptions({})
        for c in reader.convert():
            for v in c[3] if c[0] == "multi-set" else [c[3]]:
                if c[2] == "addfailregex": self.regexes.append(v)
                for f in self.filters:
                    if c[2] == "prefregex": f.prefRegex = v
                    elif c[2] == "addfailregex": f.addFailRegex(v)
                    elif c[2] == "addignoreregex": f.addIgnoreRegex(v)
                    elif c[2] == "maxlines": f.setMaxLines(v)
                    elif c[2] == "datepattern": f.setDatePattern(v)
    def feed(self, line, options):
        stamp, failures = "", []
        if options.get("logtype") == "journal":
            line, stamp = options.get("test.prefix-line", "") + line, "2026-12-31T23:59:59"
        for f in self.filters:
            found = f.processLine(("", stamp, line), NOW) if stamp else f.processLine(line)
            self.hit.update(self.regexes[m[0]] for m in found)
            failures.append([m for m in found if not m[3].get("nofail") and not m[3].get("mlfpending")])
        return failures
def said(match, key):
    _, host, when, data = match
    if key == "time": return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when))
    if key == "users": return sorted(data.get("users") or ())
    if key in data: return data[key]
    if key == "host": return str(host)
    if key == "attempts": return len(data.get("matches", ()))
for name in told["Names"]:
    sessions, options, note = {}, [{}], None
    with open(os.path.join(told["Samples"], name), encoding="utf-8") as log:
        for number, line in enumerate(log, 1):
            line = line.rstrip("\n")
            kind = re.match(r"^#+ ?(failJSON|filterOptions):(.+)$", line)
            if note is None:
                if kind and kind[1] == "failJSON": note = json.loads(kind[2])
                elif kind:
                    options = json.loads(kind[2])
                    if not isinstance(options, list): options = [options]
                continue
            lines[name] = lines.get(name, 0) + 1
            for o in options:
                key = json.dumps(o, sort_keys=True)
                if key not in sessions:
                    sessions[key] = Session(name, {k: v for k, v in o.items() if not k.startswith("test.")})
                for found in sessions[key].feed(line, o):
                    at = "%s:%d with %s: " % (name, number, key)
                    if len(found) != (1 if note["match"] else 0):
                        problems.append(at + "%d matches: %s" % (len(found), line))
                        continue
                    for k, want in note.items() if found else ():
                        if k not in ("match", "desc") and said(found[0], k) != want:
                            problems.append(at + "%s is %r: %s" % (k, said(found[0], k), line))
            note = None
    hit = set().union(*(s.hit for s in sessions.values()))
    places = {(len(s.regexes), i) for s in sessions.values() for i, r in enumerate(s.regexes) if r in hit}
    unmatched += sorted({name + ": " + r for s in sessions.values() for i, r in enumerate(s.regexes)
        if r not in hit and (len(s.regexes), i) not in places})
json.dump({"Problems": problems, "Lines": lines, "Unmatched": unmatched}, sys.stdout)
`

// configuration writes the filters and the stock jails as a configuration of fail2ban, with what
// comes in jail.local.
func configuration(t *testing.T, local string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, jails.FS); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"jail.local":    local,
		"fail2ban.conf": "[Definition]\nloglevel = INFO\nlogtarget = STDOUT\nsyslogsocket = auto\nsocket = /nowhere\npidfile = /nowhere\ndbfile = None\ndbmaxmatches = 10\ndbpurgeage = 1d\n[Thread]\nstacksize = 0\n",
	}
	for name, text := range definitions(t) {
		files["filter.d/"+name] = text
	}
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// names gives the filters, sorted.
func names(t *testing.T) []string {
	t.Helper()
	var all []string
	for name := range definitions(t) {
		if !shared[name] {
			all = append(all, strings.TrimSuffix(name, ".conf"))
		}
	}
	slices.Sort(all)
	return all
}

// TestFail2banReadsTheSamplesAsAnnotated takes the filters and their samples to fail2ban itself.
// Every regex has a line that it matches.
func TestFail2banReadsTheSamplesAsAnnotated(t *testing.T) {
	where, err := filepath.Abs(samples)
	if err != nil {
		t.Fatal(err)
	}
	asked, err := json.Marshal(map[string]any{"Dir": configuration(t, ""), "Samples": where, "Names": names(t)})
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Problems, Unmatched []string
		Lines               map[string]int
	}
	oracle.JSON(t, samplesScript, asked, &answer)
	for _, p := range answer.Problems {
		t.Error(p)
	}
	for _, r := range answer.Unmatched {
		t.Errorf("a regex without a sample: %s", r)
	}
	for _, name := range names(t) {
		if want := len(readSamples(t, name).lines); answer.Lines[name] != want {
			t.Errorf("%s: %d lines were read, not %d", name, answer.Lines[name], want)
		}
	}
}

// TestFail2banTakesEveryStockJail enables them all and wants fail2ban to start each.
func TestFail2banTakesEveryStockJail(t *testing.T) {
	text, err := jails.FS.ReadFile("jail.conf")
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "log")
	if err := os.WriteFile(log, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var local strings.Builder
	var enabled []string
	for line := range strings.Lines(string(text)) {
		name := strings.Trim(strings.TrimSpace(line), "[]")
		if strings.HasPrefix(line, "[") && name != "DEFAULT" {
			enabled = append(enabled, name)
			local.WriteString("[" + name + "]\nenabled = true\nlogpath = " + log + "\n")
		}
	}
	dump, err := oracle.Program(t, "fail2ban-client", "-c", configuration(t, local.String()), "-d").Output()
	if err != nil {
		t.Fatalf("%v\n%.2000s", err, dump)
	}
	for _, name := range enabled {
		if !strings.Contains(string(dump), "['start', '"+name+"']") {
			t.Errorf("jail %s is not started", name)
		}
	}
	if strings.Contains(string(dump), "config-error") {
		t.Errorf("%s", dump)
	}
}
