package date_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// oracleScript runs fail2ban's own DateDetector over lines, one detector for each case. The counts in
// templates that fail2ban shares between detectors of a process are set back, since they would make
// one case depend on another.
const oracleScript = `
import sys, json, os, time
from fail2ban.server.mytime import MyTime
from fail2ban.server.datedetector import DateDetector
out = []
for case in json.load(sys.stdin):
    os.environ["TZ"] = case["Zone"]; time.tzset()
    MyTime.setTime(case["Now"])
    dd = DateDetector()
    if case["LogTimezone"]: dd.default_tz = case["LogTimezone"]
    try:
        for p in filter(bool, map(str.strip, (case["Pattern"] or "").split("\n"))):
            dd.appendTemplate(p)
        if not len(dd.templates): dd.addDefaultTemplate()
        for t in dd.templates: t.template._compileRegex()
    except Exception as e:
        out.append({"Refused": str(e)}); continue
    for t in dd.templates: t.template.hits = 0
    res = []
    for line in case["Lines"]:
        try: m = dd.matchTime(line)
        except IndexError: # its own, for a date of no length at the end of the line
            res.append({"Raised": True}); continue
        if m[0] is None:
            res.append(None); continue
        try: got = dd.getTime(line, m)
        except Exception as e: got = None
        s, e = m[0].start(1), m[0].end(1)
        res.append({"Start": len(line[:max(s,0)].encode()), "End": len(line[:max(e,0)].encode()), "Time": None if got is None else got[0], "Name": m[1].name})
    out.append({"Results": res})
json.dump(out, sys.stdout)
`

type oracleCase struct {
	Pattern, Zone, LogTimezone string
	Now                        int64
	Lines                      []string
}

type oracleAnswer struct {
	Refused string
	Results []*struct {
		Start, End int
		Time       *float64
		Name       string
		Raised     bool
	}
}

// zones are where the year-less dates, the changes of the clock and the odd offsets are.
var zones = []string{"UTC", "Europe/Berlin", "America/New_York"}

// nows are an ordinary day, the last minute of a year, and a leap day at night.
var nows = []string{"2026-11-22T12:00:00Z", "2025-12-31T23:59:30Z", "2024-02-29T00:30:00Z"}

// compare runs the cases through both and reports every difference. fail2ban takes the plausible years
// from the real clock, so ours are compiled for that.
func compare(t *testing.T, cases []oracleCase) (lines int) {
	t.Helper()
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	var answers []oracleAnswer
	oracle.JSON(t, oracleScript, in, &answers)
	type compiled struct {
		*date.Templates
		error
	}
	made := map[[3]string]compiled{}
	for i, c := range cases {
		zone, err := time.LoadLocation(c.Zone)
		if err != nil {
			t.Fatal(err)
		}
		key := [3]string{c.Pattern, c.Zone, c.LogTimezone}
		if _, ok := made[key]; !ok {
			templates, err := date.Compile(date.Options{Pattern: c.Pattern, Local: zone, LogTimezone: c.LogTimezone}, time.Now())
			made[key] = compiled{templates, err}
		}
		templates, err := made[key].Templates, made[key].error
		if (err != nil) != (answers[i].Refused != "") {
			t.Errorf("pattern %q: ours %v, fail2ban %q", c.Pattern, err, answers[i].Refused)
			continue
		}
		if err != nil {
			continue
		}
		d := templates.NewDetector()
		now := time.Unix(c.Now, 0)
		for j, line := range c.Lines {
			lines++
			got, want := "none", "none"
			r := d.Find(pyre.NewSubject(line), now)
			if r.Found {
				at := "refused"
				if !r.Empty && r.Err == nil {
					at = fmt.Sprintf("%.6f", float64(r.Time.UnixMicro())/1e6)
				}
				got = fmt.Sprintf("%d-%d %s", r.Start, r.End, at)
			}
			w := answers[i].Results[j]
			if w != nil && w.Raised {
				if !r.Found || r.End != len(line) && r.End > 0 {
					t.Errorf("pattern %q line %q: fail2ban fails, ours %s", c.Pattern, line, got)
				}
				continue
			}
			if w != nil {
				at := "refused"
				if w.Time != nil && w.Start != w.End {
					at = fmt.Sprintf("%.6f", *w.Time)
				}
				want = fmt.Sprintf("%d-%d %s", w.Start, w.End, at)
			}
			if got != want {
				t.Errorf("pattern %q zone %s now %v line %d %q:\n ours     %s (%s)\n fail2ban %s", c.Pattern, c.Zone, now.UTC(), j, line, got, r.Template, want)
			}
		}
	}
	return lines
}

// eachWay runs every line by itself, at every now and in every zone.
func eachWay(pattern, logZone string, lines []string) []oracleCase {
	var cases []oracleCase
	for _, z := range zones {
		for _, n := range nows {
			now, err := time.Parse(time.RFC3339, n)
			if err != nil {
				panic(err)
			}
			for _, l := range lines {
				cases = append(cases, oracleCase{pattern, z, logZone, now.Unix(), []string{l}})
			}
		}
	}
	return cases
}

// stamps generates dates in every default form, good ones and bad ones.
func stamps() []string {
	r := rand.New(rand.NewPCG(4, 26))
	months := []string{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"}
	days := []string{"Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"}
	var out []string
	for range 24 {
		y, mo, d := 2000+r.IntN(29), 1+r.IntN(12), 1+r.IntN(31)
		h, mi, s := r.IntN(25), r.IntN(60), r.IntN(62)
		mon, day := months[mo-1], days[r.IntN(7)]
		zone := []string{"", "Z", " UTC", "+0200", " -05:30", "+01", " CET"}[r.IntN(7)]
		sub := []string{"", ".5", ".123456", ",250", ".1234567"}[r.IntN(5)]
		sep := []string{"-", "/", "."}[r.IntN(3)]
		out = append(out,
			fmt.Sprintf("%d%s%02d%s%02d %02d:%02d:%02d%s%s", y, sep, mo, sep, d, h, mi, s, sub, zone),
			fmt.Sprintf("%d-%02d-%02dT%02d:%02d:%02d%s%s", y, mo, d, h, mi, s, sub, zone),
			fmt.Sprintf("%s %2d %02d:%02d:%02d", mon, d, h, mi, s),
			fmt.Sprintf("%s %s %d %2d:%02d:%02d.25 %d", day, mon, d, h, mi, s, y),
			fmt.Sprintf("%s %s %02d %d %02d:%02d:%02d", day, mon, d, y, h, mi, s),
			fmt.Sprintf("%02d/%02d/%d %2d:%02d:%02d", d, mo, y, h, mi, s),
			fmt.Sprintf("%02d-%02d-%02d %02d:%02d:%02d", d, mo, y%100, h, mi, s),
			fmt.Sprintf("[%02d/%s/%d:%02d:%02d:%02d%s]", d, mon, y, h, mi, s, zone),
			fmt.Sprintf("%02d-%s-%d %02d:%02d:%02d.252", d, mon, y, h, mi, s),
			fmt.Sprintf("%02d/%02d/%d:%02d:%02d:%02d", mo, d, y, h, mi, s),
			fmt.Sprintf("%02d-%02d-%d %2d:%02d:%02d.5", mo, d, y, h, mi, s),
			fmt.Sprintf("%d.%03d", 1100000000+r.IntN(800000000), r.IntN(1000)),
			fmt.Sprintf("[%d] x", 1100000000+r.IntN(800000000)),
			fmt.Sprintf("type=X msg=audit(%d.000:987): y", 1100000000+r.IntN(800000000)),
			fmt.Sprintf("%02d:%02d:%02d", h, mi, s),
			fmt.Sprintf("<%02d/%02d/%02d@%02d:%02d:%02d>", mo, d, y%100, h, mi, s),
			fmt.Sprintf("%02d%02d%02d %2d:%02d:%02d", y%100, mo, d, h, mi, s),
			fmt.Sprintf("%s %d, %d %d:%02d:%02d %s", mon, d, y, h%13, mi, s, []string{"AM", "pm"}[r.IntN(2)]),
			fmt.Sprintf("%s-%02d-%02d %02d:%02d:%02d", mon, d, y%100, h, mi, s),
			fmt.Sprintf("%d%02d%02dT%02d%02d%02d%s", y, mo, d, h, mi, s, zone),
			fmt.Sprintf("%s %s %2d %02d:%02d:%02d", []string{"PDT", "CET", "XYZ", "UTC", "MSK"}[r.IntN(5)], mon, d, h, mi, s),
			fmt.Sprintf("%s %s %d %02d:%02d:%02d.011 %d", []string{"+00:00", "-0700"}[r.IntN(2)], mon, d, h, mi, s, y),
			fmt.Sprintf("@40000000%08x00000000", 1100000000+r.IntN(800000000)),
		)
	}
	return append(out,
		"Feb 29 10:00:00", "2023-02-29 10:00:00", "2024-02-29 10:00:00", "Feb 30 01:02:03", "Dec 31 23:59:59", "Jan  1 00:00:00",
		"Nov 23 11:59:00", "Nov 23 12:01:00", "Mar 29 02:30:00", "Mar 31 02:30:00", "2026-03-29 02:30:00", "2026-03-08 02:30:00",
		"2026-07-01 12:00:00 +0545", "1999-12-31 23:59:59", "2035-01-01 00:00:00", "2026-11-22 24:00:00", "2026-11-22 12:60:00",
		"", "nothing here", "12345", "99:99:99", "2026-13-01 00:00:00", "  2026-11-22 10:00:00", "(2026-11-22 10:00:00)",
		"host 2026-11-22 10:00:00 tail", "x 12:30:00 y", "Nov22 10:00:00", "٢026-11-22 10:00:00", "é 2026-11-22 10:00:00 é",
		"@400000004e3a6fb40f1d2c3c rest", "2026-11-22 10:00:00.123456789Z", "1.2.3.4 - - [22/Nov/2026:10:00:00 +0100] \"GET\"",
	)
}

func TestDefaultsEqualFail2bans(t *testing.T) {
	n := compare(t, eachWay("", "", stamps()))
	n += compare(t, eachWay("{^LN-BEG}", "", stamps()))
	n += compare(t, eachWay("", "CET+0100", stamps()[:60]))
	t.Logf("%d lines compared", n)
	if n < 300*len(zones)*len(nows) {
		t.Errorf("only %d lines: too few to say anything", n)
	}
}

func TestOwnPatternsEqualFail2bans(t *testing.T) {
	lines := []string{
		"2026-11-22 10:11:12 a", "22.11.2026 10:11:12", "x[2026-11-22 10:11:12] y", "I", "I 2026-11-22 10:11:12", "1700000000.5 z", "1700000000123 z",
		"1700000000123456 z", "1700000000123.25 z", "t=1700000000; q", "326 2026 10:00:00", "2026 47 Sun 10:00:00", "2026 47 0 10:00:00", "10:00:00 CET+0100", "10:00:00 CEST-01", "Sun Nov 22 10:00:00 2026",
		"11/22/26", "11/22/26 10:11:12", "10:11:12 PM", "12:11:12 am", "22 10:00:00", "Nov 10:00:00", "November 22 10:00:00 2026", "Sunday 22 Nov 2026 1:2:3", "2026-11-22T10:11:12+01:00", "%2026", "é10:00:00",
		"[10:00:00]", "((10:00:00))", "X10:00:00Y", "2026-11-22 10:00:00$",
	}
	for _, p := range []string{
		"%Y-%m-%d %H:%M:%S", "^%Y-%m-%d %H:%M:%S", "%d.%m.%Y %H:%M:%S", `^[^\[]*\[({DATE})`, `^[^\[]*(\[{DATE}\s*\])`, `^I\(()**`, "^I()**", "{NONE}",
		"EPOCH", "LEPOCH", "^EPOCH", "{^LN-BEG}LEPOCH", "t={EPOCH};", "{LEPOCH}", "%j %Y %H:%M:%S", "%Y %U %a %H:%M:%S", "%Y %W %w %H:%M:%S", "%H:%M:%S %Exz",
		"%c", "%x", "%x %X", "%X", "%I:%M:%S %p", "%d %H:%M:%S", "%b %H:%M:%S", "%B %d %H:%M:%S %Y", "%A %d %b %Y %H:%M:%S", "%Y-%m-%dT%H:%M:%S%z", "%%%Y",
		"**%H:%M:%S**", "**%H:%M:%S", "{UNB}%H:%M:%S", "{^LN-BEG}%H:%M:%S", `\[%H:%M:%S\]`, `\((%H:%M:%S)\)`, "%H:%M:%S$", `%H:%M:%S\b`, "(?i)x%H:%M:%S", "%F", "%Q", "a%", "TAI64N", "{^LN-BEG}TAI64N", "%H:%M:%S\n%Y-%m-%d", "%Y-%m-%d %H:%M:%S\n{^LN-BEG}",
		"%Y-%m-%d\n%Y-%m-%d", "(", "%ExY-%Exm-%Exd %Exk:%ExM:%ExS", "%Exl:%M:%S", "%Exy%Exm%Exd", "%G %V %u",
	} {
		t.Run(p, func(t *testing.T) {
			compare(t, eachWay(p, "", lines))
		})
	}
}

// TestChoiceEqualsFail2bans runs logs in which several forms mix through one detector each.
func TestChoiceEqualsFail2bans(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	all := stamps()
	frames := []string{"%s msg", "host %s msg", "[%s] m", "a %s b 2026-11-22 10:00:00 c", "%s later Nov 22 10:11:12 2026", "x y z %s"}
	var cases []oracleCase
	for range 120 {
		c := oracleCase{Zone: zones[r.IntN(len(zones))], Now: 1795348800}
		if r.IntN(3) == 0 {
			c.Pattern = "{^LN-BEG}"
		}
		kinds := []string{all[r.IntN(len(all))], all[r.IntN(len(all))], all[r.IntN(len(all))]}
		for range 60 {
			c.Lines = append(c.Lines, fmt.Sprintf(frames[r.IntN(1+r.IntN(len(frames)))], kinds[r.IntN(1+r.IntN(len(kinds)))]))
		}
		cases = append(cases, c)
	}
	compare(t, cases)
}

// TestTablesEqualFail2bans runs what the other tests say of single patterns, all but where
// the release of fail2ban that is asked differs from the later one.
func TestTablesEqualFail2bans(t *testing.T) {
	var cases []oracleCase
	add := func(pattern, line string) {
		switch pattern {
		case "t=({epoch});": // cut whole before 1.1
		case `\{DATE} %H:%M:%S`: // refused, as 17 templates of one name
		default:
			cases = append(cases, oracleCase{pattern, "UTC", "", testNow.Unix(), []string{line}})
		}
	}
	for _, list := range [][]reading{readDirectives(), readWords(), readOptional(), readEpochs()} {
		for _, r := range list {
			add(r.pattern, r.line)
		}
	}
	for _, s := range standings() {
		for line := range s.lines {
			add(s.pattern, line)
		}
	}
	for _, f := range forms {
		add("", f.text+" host said")
		add("", "the host: "+f.text+" said")
		add("{^LN-BEG}", "the host: "+f.text+" said")
		add(`when=<({DATE})>`, "host when=<"+f.text+">")
	}
	if n := compare(t, cases); n < 200 {
		t.Errorf("only %d lines compared", n)
	}
}

// TestLocalTimesEqualMktimes holds the changes of the clock against the C library, which is what
// fail2ban asks. It remembers its last answer where a time comes twice, so each time is asked in a
// process that has not been asked before.
func TestLocalTimesEqualMktimes(t *testing.T) {
	const script = `
import sys, json, os, time
out = []
for zone, wall in json.load(sys.stdin):
    r, w = os.pipe()
    if os.fork() == 0:
        os.environ["TZ"] = zone; time.tzset()
        at = time.mktime(time.strptime(wall, "%Y-%m-%d %H:%M:%S")[:8] + (-1,))
        os.write(w, str(int(at)).encode()); os._exit(0)
    os.close(w); out.append(int(os.read(r, 32))); os.close(r); os.wait()
json.dump(out, sys.stdout)
`
	var asked [][2]string
	templates := map[string]*date.Templates{}
	for _, name := range []string{
		"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Europe/London", "Europe/Dublin",
		"America/Sao_Paulo", "America/St_Johns", "Asia/Kathmandu",
	} {
		zone := mustLoad(t, name)
		templates[name] = mustCompile(t, date.Options{Pattern: "%Y-%m-%d %H:%M:%S", Local: zone}, testNow)
		for at := time.Date(2018, 1, 1, 0, 0, 0, 0, time.UTC); at.Year() < 2019; at = at.Add(time.Hour) {
			_, before := at.Add(-time.Hour).In(zone).Zone()
			_, after := at.In(zone).Zone()
			if before == after {
				continue
			}
			first := at.Add(time.Duration(min(before, after)) * time.Second) // on the wall
			for wall := first.Add(-time.Hour); wall.Before(first.Add(3 * time.Hour)); wall = wall.Add(15 * time.Minute) {
				asked = append(asked, [2]string{name, wall.UTC().Format(time.DateTime)})
			}
		}
		asked = append(asked, [2]string{name, "2026-11-22 12:00:00"}, [2]string{name, "2035-07-01 12:00:00"})
	}
	in, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	var want []int64
	oracle.JSON(t, script, in, &want)
	for i, a := range asked {
		if r := templates[a[0]].NewDetector().Find(pyre.NewSubject(a[1]), testNow); r.Time.Unix() != want[i] {
			t.Errorf("%s in %s: ours %d, mktime's %d (%+d)", a[1], a[0], r.Time.Unix(), want[i], r.Time.Unix()-want[i])
		}
	}
	if len(asked) < 200 {
		t.Errorf("only %d times compared", len(asked))
	}
}
