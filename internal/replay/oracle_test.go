package replay_test

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/replay"
)

// banScript runs logs through fail2ban's own filter, failure and ban managers, its clock being the time of
// the line.
const banScript = `
import json, logging, os, sys, time
os.environ["TZ"] = "UTC"
time.tzset()
logging.disable(logging.CRITICAL)
from fail2ban.server.mytime import MyTime
from fail2ban.server.filter import Filter
from fail2ban.server.failmanager import FailManager, FailManagerEmpty
from fail2ban.server.banmanager import BanManager
from fail2ban.server.ticket import FailTicket, BanTicket
out = []
for q in json.load(sys.stdin):
    MyTime.setTime(q["Start"])
    f = Filter(None)
    f.checkFindTime = False
    f.addFailRegex(q["Regex"])
    failures, bans = FailManager(), BanManager()
    failures.setMaxRetry(q["MaxRetry"])
    failures.setMaxTime(q["FindTime"])
    bans.setBanTime(q["BanTime"])
    found, clock = [], q["Start"]
    for line in q["Lines"]:
        for _, fid, at, data in f.processLine(line):
            clock = max(clock, at)
            MyTime.setTime(clock)
            bans.unBanList(clock)
            failures.cleanup(clock)
            failures.addFailure(FailTicket(fid, at, data=data))
            try:
                while True:
                    t = failures.toBan(fid)
                    b = BanTicket.wrap(t)
                    b.setBanTime(q["BanTime"])
                    if bans.addBanTicket(b): found.append([str(b.getID()), int(b.getTime())])
            except FailManagerEmpty: pass
    out.append(found)
json.dump(out, sys.stdout)
`

type question struct {
	Start                       int64
	Regex                       string
	MaxRetry, FindTime, BanTime int
	Lines                       []string
}

// past is a filter for lines of any time.
func past(tb testing.TB, regex string, now time.Time) *filter.Filter {
	tb.Helper()
	f, err := filter.New(filter.Options{FailRegex: []string{regex}, Local: time.UTC, NoTimeCheck: true, AllYears: true}, now)
	if err != nil {
		tb.Fatal(err)
	}
	return f
}

// randomLog is a day of failures of a few addresses, in bursts and alone, with other lines between.
func randomLog(r *rand.Rand, start time.Time) []string {
	var lines []string
	at := start
	for range 400 {
		at = at.Add(time.Duration(r.IntN(200)*r.IntN(4)) * time.Second)
		id := fmt.Sprintf("192.0.2.%d", r.IntN(12))
		if r.IntN(4) == 0 {
			id = fmt.Sprintf("2001:db8::%x", 1+r.IntN(4))
		}
		said := "failure from " + id
		if r.IntN(3) == 0 {
			said = "nothing"
		}
		lines = append(lines, at.Format("2006-01-02 15:04:05")+" app: "+said)
	}
	return lines
}

// TestReplayBansAsFail2ban: the same addresses at the same times, for logs and policies by chance.
func TestReplayBansAsFail2ban(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 11))
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	var questions []question
	for range 40 {
		questions = append(questions, question{
			Start: start.Unix(), Regex: `^ app: failure from <ADDR>$`,
			MaxRetry: 1 + r.IntN(5), FindTime: 60 + r.IntN(4000), BanTime: 60 + r.IntN(8000), Lines: randomLog(r, start),
		})
	}
	in, err := json.Marshal(questions)
	if err != nil {
		t.Fatal(err)
	}
	var want [][][2]any
	oracle.JSON(t, banScript, in, &want)
	bans := 0
	for i, q := range questions {
		res, err := replay.Run(t.Context(), replay.Options{
			Jails: []replay.Jail{{
				Policy: jail.Policy{Jail: "app", MaxRetry: q.MaxRetry, FindTime: time.Duration(q.FindTime) * time.Second, BanTime: time.Duration(q.BanTime) * time.Second},
				Filter: past(t, q.Regex, start),
			}},
			Logs: []replay.Log{{Name: "app.log", Written: start.Add(1000 * time.Hour), Open: func() (io.ReadCloser, error) {
				return io.NopCloser(strings.NewReader(strings.Join(q.Lines, "\n") + "\n")), nil
			}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		var got, theirs []string
		for _, b := range res.Jails[0].Bans {
			got = append(got, fmt.Sprintf("%s at %d", b.ID, b.Time.Unix()))
		}
		for _, b := range want[i] {
			theirs = append(theirs, fmt.Sprintf("%v at %.0f", b[0], b[1]))
		}
		bans += len(got)
		if !slices.Equal(got, theirs) {
			t.Errorf("maxretry %d, findtime %d, bantime %d: %q, want %q", q.MaxRetry, q.FindTime, q.BanTime, got, theirs)
		}
	}
	if bans < 500 {
		t.Errorf("%d bans in all: too few to mean something", bans)
	}
}

// BenchmarkReplay reads a log of which one line in twenty is a failure.
func BenchmarkReplay(b *testing.B) {
	var text strings.Builder
	at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for i := range 20_000 {
		at = at.Add(time.Second)
		said := fmt.Sprintf("session opened for user bob(uid=%d)", i)
		if i%20 == 0 {
			said = fmt.Sprintf("failure from 192.0.2.%d", i/20%250)
		}
		text.WriteString(at.Format("Jan _2 15:04:05") + " host app[17]: " + said + "\n")
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		res, err := replay.Run(b.Context(), replay.Options{
			Jails: []replay.Jail{{
				Policy: jail.Policy{Jail: "app", MaxRetry: 5, FindTime: time.Hour, BanTime: time.Hour},
				Filter: past(b, `^ \S+ app\[\d+\]: failure from <ADDR>$`, at),
			}},
			Logs: []replay.Log{{Name: "x", Written: at, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text.String())), nil }}},
		})
		if err != nil || res.Jails[0].Matched != 1000 {
			b.Fatalf("%+v, %v", res, err)
		}
	}
	b.ReportMetric(float64(20_000*b.N)/b.Elapsed().Seconds(), "lines/s")
}
