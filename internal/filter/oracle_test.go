package filter

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// oracleScript runs fail2ban's own filter class over lines. Names are not resolved, the clock is the
// test's, and what a match says is flattened to what a Match holds.
const oracleScript = `
import json, sys, types, logging
logging.disable(logging.CRITICAL)
from fail2ban.server import utils, datedetector, datetemplate
from fail2ban.server.mytime import MyTime
from fail2ban.server.filter import Filter
from fail2ban.server.ipdns import DNSUtils
clock = types.SimpleNamespace(time=lambda: MyTime.time(), sleep=lambda s: None)
utils.time = clock
datedetector.time = clock
DNSUtils.dnsToIp = staticmethod(lambda name: {"resolve " + name})
hidden = ("matches", "nofail-matches", "mlfpending", "mlfforget", "users", "ip", "content")
def text(v):
    return v if isinstance(v, str) else str(v)
def match(m, now, check):
    index, fid, when, data = m
    if when is not None and check and when > now:
        when = now
    captures = {k: text(v) for k, v in data.items() if v is not None and k not in hidden}
    return {
        "Regex": index, "ID": text(fid) if fid is not None else "", "Time": int(when) if when is not None else -1,
        "Captures": captures, "Users": sorted(data.get("users") or ()), "IP": text(data.get("ip") or ""),
        "Lines": ["".join(l) for l in data.get("matches", ())], "NoFail": bool(data.get("nofail")),
    }
out = []
for run in json.load(sys.stdin):
    o = run["Options"]
    MyTime.setTime(run["Lines"][0]["Now"] if run["Lines"] else 0)
    f = Filter(None, useDns=o["UseDNS"])
    f.setMaxLines(max(o["MaxLines"], 1))
    f.setFindTime(str(o["FindTime"] or 600))
    f.checkAllRegex = o["CheckAll"]
    f.ignorePending = not o["ReportPending"]
    f.checkFindTime = not o["NoTimeCheck"]
    f.setDatePattern(o["DatePattern"])
    f.prefRegex = o["PrefRegex"]
    for r in o["FailRegex"] or (): f.addFailRegex(r)
    for r in o["IgnoreRegex"] or (): f.addIgnoreRegex(r)
    results = []
    for l in run["Lines"]:
        MyTime.setTime(l["Now"])
        f.inOperation = l["InOperation"]
        try:
            if l["Time"]:
                found = f.processLine(("", l["Stamp"], l["Text"]), l["Time"])
            else:
                found = f.processLine(l["Text"])
            results.append([match(m, l["Now"], f.checkFindTime) for m in found])
        except Exception as e:
            results.append([{"ID": "exception %r" % (e,)}])
    out.append(results)
json.dump(out, sys.stdout)
`

type oracleLine struct {
	Text        string
	Time        int64 // 0: to be found in the text
	Stamp       string
	Now         int64
	InOperation bool
}

type oracleRun struct {
	name    string
	options Options
	Lines   []oracleLine
	Options map[string]any
}

type oracleMatch struct {
	Regex    int
	ID       string
	Time     int64
	Captures map[string]string
	Users    []string
	IP       string
	Lines    []string
	NoFail   bool
}

// ask runs fail2ban over all runs in one go.
func ask(tb testing.TB, runs []oracleRun) [][][]oracleMatch {
	tb.Helper()
	for i := range runs {
		o := runs[i].options
		runs[i].Options = map[string]any{
			"PrefRegex": o.PrefRegex, "FailRegex": o.FailRegex, "IgnoreRegex": o.IgnoreRegex,
			"MaxLines": o.MaxLines, "DatePattern": o.DatePattern, "UseDNS": o.UseDNS.String(),
			"FindTime": int(o.FindTime / time.Second), "CheckAll": o.CheckAll,
			"ReportPending": o.ReportPending, "NoTimeCheck": o.NoTimeCheck,
		}
	}
	in, err := json.Marshal(runs)
	if err != nil {
		tb.Fatal(err)
	}
	var answers [][][]oracleMatch
	oracle.JSON(tb, oracleScript, in, &answers)
	return answers
}

// flatten brings a match of ours into the oracle's form.
func flatten(m Match) oracleMatch {
	o := oracleMatch{
		Regex: m.Regex, ID: m.ID.String(), Time: -1, Captures: map[string]string{}, IP: m.IP.String(),
		Lines: append([]string{}, m.Lines...), NoFail: m.NoFail, Users: []string{},
	}
	if m.Host != "" {
		o.ID = "resolve " + m.Host
	}
	if !m.Time.IsZero() {
		o.Time = m.Time.Unix()
	}
	for name, v := range m.Captures {
		if name == "users" {
			o.Users = slices.Sorted(slices.Values(v.Parts))
			continue
		}
		o.Captures[name] = v.Text
	}
	return o
}

// compare runs our filter over a run and reports the first lines where it differs from fail2ban, and
// how many matches were equal.
func compare(t *testing.T, run oracleRun, answers [][]oracleMatch) (equal int) {
	t.Helper()
	f := mustNew(t, run.options)
	s := f.NewSession()
	for i, l := range run.Lines {
		line := Line{Text: l.Text, Stamp: l.Stamp}
		if l.Time != 0 {
			line.Time = time.Unix(l.Time, 0).UTC()
		}
		var got []oracleMatch
		for _, m := range s.Process(line, time.Unix(l.Now, 0).UTC(), l.InOperation).Matches {
			got = append(got, flatten(m))
		}
		if !slices.EqualFunc(got, answers[i], func(a, b oracleMatch) bool { return reflect.DeepEqual(a, b) }) {
			t.Fatalf("%s, line %d, %+v:\n     we say %+v\nfail2ban %+v", run.name, i, l, got, answers[i])
		}
		equal += len(got)
	}
	return equal
}

// plain makes lines that are all read now, while in operation.
func plain(texts ...string) (lines []oracleLine) {
	for _, text := range texts {
		lines = append(lines, oracleLine{Text: text, Now: testNow.Unix(), InOperation: true})
	}
	return lines
}

func TestAgainstFail2ban(t *testing.T) {
	d := stamp(7)
	addresses := plain(
		d+" fail 192.0.2.1", d+" fail 192.0.2.1 ", d+" fail host.example", d+" fail ::ffff:192.0.2.9", d+" fail [2001:db8::1]",
		d+" fail 2001:DB8:0::1", d+" fail ::ffff:c0a8:101", d+" fail 999.1.2.3", d+" fail 01.02.03.04", d+" fail ::1",
		d+" fail 1:2:3:4:5:6:7:8:9", d+" fail ::1.2.3.4", d+" fail a..b", d+" fail x_y.example.", d+" fail fe80::1%eth0", d+" fail ::2:3",
		d+" fail 1::", d+" fail 192.0.2.1/24", d+" fail 192.0.2.1/0", d+" fail 192.0.2.1/99", d+" fail 2001:db8::77/64", d+" fail 192.0.2.1.5",
		d+"fail 192.0.2.1", " fail 192.0.2.1", d+" fail", d, "", d+" fail ｈost", d+" fail ١.2.3.4",
	)
	var runs []oracleRun
	for _, dns := range []UseDNS{DNSWarn, DNSYes, DNSNo, DNSRaw} {
		for _, regex := range []string{
			`^ fail <HOST>$`, `^ fail <ADDR>$`, `fail <ADDR>`, `^ fail <DNS>`, `^ fail <SUBNET>`, `^ fail <ADDR>/<CIDR>$`, `^ fail <F-ID>\S+</F-ID>$`,
			`^ fail <IP4>`, `^ fail <IP6>$`, `^ fail <F-IP4/>(?:/<F-CIDR/>)?$`, `^ fail (?P<fid>\S+)$`, `^ <F-ID>\w+</F-ID> <HOST>$`, `(?P<host>\S+) <F-DNS/>$`,
			`<F-ID><HOST></F-ID>`, `^ fail <F-IP4>\S+</F-IP4>`, `^((?i) FAIL) <F-ID/>`,
		} {
			runs = append(runs, oracleRun{name: dns.String() + " " + regex, options: Options{FailRegex: []string{regex}, UseDNS: dns}, Lines: addresses})
		}
	}
	named := plain(d+" u bob 192.0.2.1", d+" v eve 192.0.2.1", d+" u bob v eve 192.0.2.1", d+" P u bob 192.0.2.1", d+" P v eve 192.0.2.1", d+" P w 192.0.2.1", d+" x 1 y 2 z 3")
	for _, o := range []Options{
		{FailRegex: []string{`(?:u <F-USER>\w+</F-USER>)? ?(?:v <F-ALT_USER>\w+</F-ALT_USER>)? <HOST>`}},
		{FailRegex: []string{`(?:u <F-ALT_USER_2>\w+</F-ALT_USER_2>)? ?(?:v <F-ALT_USER_1>\w+</F-ALT_USER_1>)? <HOST>`}},
		{FailRegex: []string{`u <F-ALT_USER2>\w+</F-ALT_USER2> <HOST>`, `v <F-ALT_ID>\w+</F-ALT_ID>(?P<fid>) `}},
		{FailRegex: []string{`x <F-TUPLE_ID_2>\d</F-TUPLE_ID_2> y <F-ID>\d</F-ID> z <F-TUPLE_ID_1>\d</F-TUPLE_ID_1>`, `<F-TUPLE_USER>\w+</F-TUPLE_USER> <HOST>`}},
		{PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^u \S+ <HOST>$`, `^(?P<alt_x_>v) \S+ <HOST>$`}},
		{PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^u \S+ <HOST>$`, `^v \S+ <HOST>$`, `w <HOST>`, `1 <F-ID/>`, `z <F-ID/>`}, CheckAll: true, IgnoreRegex: []string{`^ P v`}},
		{PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^u \S+ <HOST>$`, `^v \S+ <HOST>$`, `w <HOST>`, `1 <F-ID/>`}, IgnoreRegex: []string{`^ P v`}},
		{PrefRegex: `^ P <F-CONTENT>.+</F-CONTENT>$`, FailRegex: []string{`^v \S+ <HOST>$`}, IgnoreRegex: []string{`^ P v`}},
		{PrefRegex: `^ (?P<letter>\w) (?P<name>\w+) <F-CONTENT>.*</F-CONTENT><HOST>$`, FailRegex: []string{`^`, `x`}},
		{FailRegex: []string{`u \S+ <HOST>`, `v \S+ <HOST>`, `<HOST>$`}, IgnoreRegex: []string{`eve`}, CheckAll: true},
	} {
		runs = append(runs, oracleRun{name: strings.Join(o.FailRegex, " | "), options: o, Lines: named})
	}
	equal := 0
	for i, answers := range ask(t, runs) {
		equal += compare(t, runs[i], answers)
	}
	t.Logf("%d runs, %d matches equal", len(runs), equal)
}

// TestAgainstFail2banOnRandomLogs mixes connections, dates and moments of reading at random.
func TestAgainstFail2banOnRandomLogs(t *testing.T) {
	several := Options{MaxLines: 5, FailRegex: []string{
		`^ gate\[(?P<conn>\d)\]: visitor <HOST><SKIPLINES> gate\[(?P=conn)\]: too many tries`,
		`^ gate\[\d\]: wrong word for <F-USER>\S+</F-USER> from <HOST>$`,
	}}
	with := func(o Options, change func(*Options)) Options {
		o.FailRegex = slices.Clone(o.FailRegex)
		change(&o)
		return o
	}
	options := map[string]Options{
		"connections":            gate,
		"connections, all":       with(gate, func(o *Options) { o.CheckAll = true }),
		"connections, pending":   with(gate, func(o *Options) { o.ReportPending = true }),
		"connections, unchecked": with(gate, func(o *Options) { o.NoTimeCheck = true }),
		"connections, begin":     with(gate, func(o *Options) { o.DatePattern = "{^LN-BEG}" }),
		"connections, ignoring":  with(gate, func(o *Options) { o.IgnoreRegex = []string{`root`, `tries$`} }),
		"without connections":    {FailRegex: []string{`wrong word for <F-USER>\S+</F-USER> from <HOST>`, `refused for \S+ from <HOST>`}, FindTime: 300 * time.Second},
		"several lines":          several,
		"several lines, all":     with(several, func(o *Options) { o.CheckAll = true }),
		"several lines, ignoring": with(several, func(o *Options) {
			o.IgnoreRegex = []string{`root`, `198`}
		}),
		"several lines, connections": with(gate, func(o *Options) { o.MaxLines, o.PrefRegex = 3, "(?m)"+gate.PrefRegex }),
		"several lines, content": with(several, func(o *Options) {
			o.PrefRegex = `gate<F-CONTENT>\[.+</F-CONTENT>$`
			o.FailRegex = []string{`visitor <HOST>`, `^\[(?P<fid>\d)\]: too`}
		}),
		"optional date": with(gate, func(o *Options) { o.DatePattern = "{NONE}" }),
	}
	const logs, length = 12, 250
	var runs []oracleRun
	for _, name := range slices.Sorted(maps.Keys(options)) {
		for seed := range uint64(logs) {
			log := &randomLog{Rand: rand.New(rand.NewPCG(seed, 11)), now: testNow, inOperation: seed%3 > 0}
			run := oracleRun{name: fmt.Sprint(name, ", seed ", seed), options: options[name]}
			for range length {
				l := oracleLine{Text: log.next(), Now: log.now.Unix(), InOperation: log.inOperation}
				if log.IntN(20) == 0 {
					l.Time, l.Stamp = l.Now+int64(log.IntN(200))-100, "known "
				}
				run.Lines = append(run.Lines, l)
			}
			runs = append(runs, run)
		}
	}
	equal := map[string]int{}
	for i, answers := range ask(t, runs) {
		name, _, _ := strings.Cut(runs[i].name, ", seed")
		equal[name] += compare(t, runs[i], answers)
	}
	for name := range options {
		if equal[name] == 0 {
			t.Errorf("%s: no match at all", name)
		}
	}
	t.Logf("%d lines each; matches equal: %v", logs*length, equal)
}
