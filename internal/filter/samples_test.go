package filter

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// samplesScript reads fail2ban's own annotated sample logs with the filters that they are for, as
// its test suite does: names raw, all regexes tried, times unchecked, in the zone of Zurich at noon of
// August 14, 2005. It gives each filter's options and each line with fail2ban's answer.
const samplesScript = `
import json, os, re, shutil, sys, tempfile, time, types, logging
os.environ["TZ"] = "Europe/Zurich"
time.tzset()
logging.disable(logging.CRITICAL)
from fail2ban.server.mytime import MyTime
NOW = 1124013600
MyTime.setAlternateNow(NOW)
from fail2ban.server import utils, datedetector
from fail2ban.server.filter import Filter
from fail2ban.client.filterreader import FilterReader
import fail2ban
clock = types.SimpleNamespace(time=lambda: MyTime.time(), sleep=lambda s: None)
utils.time = clock
datedetector.time = clock
MyTime.setTime(NOW)
here = os.path.join(os.path.dirname(fail2ban.__file__), "tests")
root = json.load(sys.stdin)
# The test filters include stock files, which the package keeps elsewhere.
extra = tempfile.mkdtemp()
shutil.copytree(os.path.join(root, "etc/fail2ban/filter.d"), os.path.join(extra, "filter.d"))
shutil.copytree(os.path.join(here, "config/filter.d"), os.path.join(extra, "filter.d"), dirs_exist_ok=True)
for name in os.listdir(os.path.join(extra, "filter.d")):
    path = os.path.join(extra, "filter.d", name)
    if name.startswith("zzz-"):
        with open(path) as f: config = f.read()
        with open(path, "w") as f: f.write(re.sub(r"(?m)^before = \S*/", "before = ", config))
places = [(os.path.join(root, "etc/fail2ban"), lambda n: not n.endswith("common")), (extra, lambda n: n.startswith("zzz-"))]
hidden = ("matches", "nofail-matches", "mlfpending", "mlfforget", "users", "ip", "content")
def text(v):
    return v if isinstance(v, str) else str(v)
def match(m):
    index, fid, when, data = m
    return {
        "Regex": index, "ID": text(fid) if fid is not None else "", "Time": int(when) if when is not None else -1,
        "Captures": {k: text(v) for k, v in data.items() if v is not None and k not in hidden},
        "Users": sorted(data.get("users") or ()), "IP": text(data.get("ip") or ""),
        "Lines": ["".join(l) for l in data.get("matches", ())], "NoFail": bool(data.get("nofail")),
    }
class Combination:
    def __init__(self, base, name, opts):
        self.filters = [Filter(None), Filter(None)]
        for f, every in zip(self.filters, (True, False)):
            f.returnRawHost, f.checkAllRegex, f.checkFindTime = True, every, False
        self.options = o = {"FailRegex": [], "IgnoreRegex": []}
        reader = FilterReader(name, "jail", opts, basedir=base)
        reader.read()
        reader.getOptions({})
        for c in reader.convert():
            for v in c[3] if c[0] == "multi-set" else [c[3]]:
                if c[2] == "prefregex": o["PrefRegex"] = v
                elif c[2] == "addfailregex": o["FailRegex"].append(v)
                elif c[2] == "addignoreregex": o["IgnoreRegex"].append(v)
                elif c[2] == "maxlines": o["MaxLines"] = int(v)
                elif c[2] == "datepattern": o["DatePattern"] = v
                for f in self.filters:
                    if c[2] == "prefregex": f.prefRegex = v
                    elif c[2] == "addfailregex": f.addFailRegex(v)
                    elif c[2] == "addignoreregex": f.addIgnoreRegex(v)
                    elif c[2] == "maxlines": f.setMaxLines(v)
                    elif c[2] == "datepattern": f.setDatePattern(v)
        self.lines = []
    def feed(self, line, opts, origin):
        stamp, found = "", []
        if opts.get("logtype") == "journal":
            line, stamp = opts.get("test.prefix-line", "") + line, "2005-08-14T10:00:00"
        for f in self.filters:
            found.append([match(m) for m in (f.processLine(("", stamp, line), NOW) if stamp else f.processLine(line))])
        self.lines.append({"Text": line, "Stamp": stamp, "Origin": origin, "All": found[0], "First": found[1]})
runs = []
for base, suits in places:
    for name in sorted(n[:-5] for n in os.listdir(os.path.join(base, "filter.d")) if n.endswith(".conf") and suits(n[:-5])):
        known, current, common, files = {}, [], {}, [name]
        for file in files:
            path = os.path.join(here, "files/logs", file)
            if not os.path.exists(path): continue
            skipping, number = False, 0
            with open(path, encoding="utf-8", errors="replace", newline="\n") as log:
                expected = {}
                for line in log:
                    number += 1
                    line = line.rstrip("\r\n")
                    note = re.match(r"^#+ ?(failJSON|fileOptions|filterOptions|addFILE):(.+)$", line)
                    if note and note[1] == "fileOptions":
                        common = json.loads(note[2])
                    elif note and note[1] == "addFILE":
                        files.append(json.loads(note[2]))
                    elif note and note[1] == "filterOptions":
                        current, choices = [], json.loads(note[2])
                        for choice in choices if isinstance(choices, list) else [choices]:
                            opts = dict(common, **choice)
                            skipping = "test.condition" in opts and not eval(opts["test.condition"])
                            if skipping: continue
                            real = {k: v for k, v in opts.items() if not k.startswith("test.")}
                            key = name + str(opts.get("test.filter-name", real or ""))
                            if key not in known: known[key] = Combination(base, name, real)
                            current.append((known[key], opts))
                    elif note:
                        expected = json.loads(note[2])
                    elif line.startswith("#") or not line.strip():
                        if not expected: continue
                    if note or skipping: continue
                    if not current:
                        known[name] = Combination(base, name, {})
                        current = [(known[name], {})]
                    for combination, opts in current:
                        if "constraint" in expected and not eval(expected["constraint"]): continue
                        combination.feed(line, opts, "%s:%d" % (file, number))
                    expected = {}
        for key, c in known.items():
            runs.append({"Name": key, "Options": c.options, "Lines": c.lines})
shutil.rmtree(extra)
json.dump(runs, sys.stdout)
`

type sampleRun struct {
	Name    string
	Options struct {
		PrefRegex, DatePattern string
		FailRegex, IgnoreRegex []string
		MaxLines               int
	}
	Lines []sampleLine
}

type sampleLine struct {
	Text, Stamp, Origin string
	All, First          []oracleMatch // with all regexes tried, and as usual
}

// TestStockFiltersOnTheirSamples runs all of fail2ban's filters over all of its sample lines, and
// wants its answers, regex by regex.
func TestStockFiltersOnTheirSamples(t *testing.T) {
	zurich, err := time.LoadLocation("Europe/Zurich")
	if err != nil {
		t.Skipf("no zone of Zurich: %v", err)
	}
	var runs []sampleRun
	oracle.JSON(t, samplesScript, []byte(`"`+oracle.Fail2ban(t)+`"`), &runs)
	lines, hits := 0, 0
	for _, run := range runs {
		t.Run(run.Name, func(t *testing.T) {
			lines += len(run.Lines)
			hits += checkSamples(t, run, zurich)
		})
	}
	t.Logf("%d filters, %d lines, %d hits", len(runs), lines, hits)
	if lines < 1000 || hits < 1000 {
		t.Error("these are not all samples")
	}
}

func checkSamples(t *testing.T, run sampleRun, local *time.Location) (hits int) {
	t.Helper()
	now := time.Unix(1124013600, 0).In(local)
	// The lines are from all years since then, and the filters' patterns are made for a later clock.
	built := time.Date(2026, 1, 1, 0, 0, 0, 0, local)
	o := Options{
		PrefRegex: run.Options.PrefRegex, FailRegex: run.Options.FailRegex, IgnoreRegex: run.Options.IgnoreRegex,
		MaxLines: run.Options.MaxLines, DatePattern: run.Options.DatePattern, UseDNS: DNSRaw,
		Local: local, NoTimeCheck: true, AllYears: true,
	}
	first, err := New(o, built)
	if err != nil {
		t.Fatal(err)
	}
	o.CheckAll = true
	all, err := New(o, built)
	if err != nil {
		t.Fatal(err)
	}
	firstSession, allSession := first.NewSession(), all.NewSession()
	for _, l := range run.Lines {
		line := Line{Text: strings.ToValidUTF8(l.Text, "\uFFFD"), Stamp: l.Stamp}
		if l.Stamp != "" {
			line.Time = now
		}
		for i := range l.First {
			l.First[i].NoFail = false // only its group shows here; the flag is for those who check all
		}
		for _, c := range []struct {
			how     string
			session *Session
			want    []oracleMatch
		}{{"all regexes", allSession, l.All}, {"first regex", firstSession, l.First}} {
			got := []oracleMatch{}
			for _, m := range c.session.Process(line, now, true).Matches {
				got = append(got, flatten(m))
			}
			hits += len(got)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%s, %s: %q\n     we say %+v\nfail2ban %+v", l.Origin, c.how, l.Text, got, c.want)
			}
			if len(got) > 0 && !first.Wants(line.Text) {
				t.Errorf("%s: the line matches, and the scan for literals drops it", l.Origin)
			}
		}
	}
	return hits
}
