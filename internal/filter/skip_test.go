package filter

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// randomLog writes lines of a service as logs have them at their worst: without dates, with dates
// that are off or do not exist, of connections that overlap, most of them about something else.
type randomLog struct {
	*rand.Rand
	now         time.Time
	inOperation bool
}

func (l *randomLog) pick(of ...string) string { return of[l.IntN(len(of))] }

// next gives a line, and moves the clock.
func (l *randomLog) next() string {
	if l.IntN(4) == 0 {
		l.now = l.now.Add(time.Duration(l.IntN(40)) * time.Second)
	}
	if l.IntN(50) == 0 {
		l.inOperation = !l.inOperation
	}
	date := ""
	switch l.IntN(12) {
	case 0, 1, 2, 3, 4:
		date = l.date(-l.IntN(5))
	case 5:
		date = l.date(-l.IntN(1200))
	case 6:
		date = l.date(l.IntN(200))
	case 7:
		date = "2025-02-29 10:00:00"
	}
	return date + " " + l.message()
}

func (l *randomLog) date(seconds int) string {
	return l.now.Add(time.Duration(seconds) * time.Second).Format("2006-01-02 15:04:05")
}

func (l *randomLog) message() string {
	user, host := l.pick("bob", "eve", "root"), l.pick("192.0.2.1", "198.51.100.7", "2001:db8::5")
	about := l.pick(
		"wrong word for "+user+" from "+host, "key refused for "+user+" from "+host, "visitor "+host,
		"too many tries", "too many tries for "+user, "Opened for "+user+" from "+host, "left", "left "+host,
		"thrown out "+host,
	)
	switch l.IntN(6) {
	case 0, 1:
		return fmt.Sprintf("gate[%d]: %s", l.IntN(6), about)
	case 2:
		return fmt.Sprintf("gate[%d]: the weather is fine", l.IntN(6))
	}
	return l.pick("cron: job done", "kernel: eth0 up", "gate", "", "door: "+about)
}

// TestSkippingChangesNoMatch holds a session that skips what it may against one that looks at every
// line: same matches, in times, IDs, captures and lines.
func TestSkippingChangesNoMatch(t *testing.T) {
	tests := []struct {
		name string
		o    Options
	}{
		{"connections", gate},
		{"connections, times unchecked", Options{PrefRegex: gate.PrefRegex, FailRegex: gate.FailRegex, NoTimeCheck: true}},
		{"single lines", Options{FailRegex: []string{`wrong word for <F-USER>\S+</F-USER> from <HOST>`, `refused for \S+ from <HOST>`}, IgnoreRegex: []string{`root`}}},
		{"a date at the begin", Options{FailRegex: []string{`^ gate\[\d+\]: visitor <HOST>`}, DatePattern: "{^LN-BEG}"}},
		{"an optional date", Options{FailRegex: []string{`visitor <HOST>`}, DatePattern: "{NONE}"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := mustNew(t, tt.o)
			skipped, matched, borrowed := 0, 0, 0
			for seed := range uint64(60) {
				log := &randomLog{Rand: rand.New(rand.NewPCG(seed, 7)), now: testNow, inOperation: seed%3 > 0}
				fast, slow := f.NewSession(), f.NewSession()
				for n := range 300 {
					line := Line{Text: log.next()}
					if log.IntN(20) == 0 {
						line.Time, line.Stamp = log.now.Add(time.Duration(log.IntN(200)-100)*time.Second), "known "
					}
					if !f.Wants(line.Text) {
						skipped++
					}
					got := fmt.Sprintf("%+v", fast.Process(line, log.now, log.inOperation).Matches)
					want := slow.Examine(line, log.now, log.inOperation)
					if w := fmt.Sprintf("%+v", want.Matches); got != w {
						t.Fatalf("seed %d, line %d, %q:\nskipping  %s\notherwise %s", seed, n, line.Text, got, w)
					}
					for _, m := range want.Matches {
						matched++
						if m.Lines[len(m.Lines)-1] != line.Stamp+line.Text {
							borrowed++
						}
					}
				}
			}
			if skipped == 0 || matched == 0 {
				t.Errorf("%d lines skipped, %d matches: the test tests nothing", skipped, matched)
			}
			t.Logf("%d lines skipped, %d matches, %d of them with a date from another line", skipped, matched, borrowed)
		})
	}
}

func TestALongRunOfSkippedLinesIsBounded(t *testing.T) {
	s := mustNew(t, Options{FailRegex: []string{`fail <HOST>`}}).NewSession()
	first := stamp(50) + " nothing"
	s.Process(Line{Text: first}, testNow, true)
	for range 10 * skippedMax {
		s.Process(Line{Text: "nothing, and no date"}, testNow, true)
		if n := len(s.skipped.lines); n > skippedMax {
			t.Fatalf("%d lines are kept", n)
		}
	}
	r := s.Process(Line{Text: " fail 192.0.2.1"}, testNow, true)
	if len(r.Matches) != 1 || at(r.Matches[0].Time) != "-50" {
		t.Errorf("the date before the run is lost: %+v", r.Matches)
	}
}

func TestWhatIsSkippedMayBeOverwritten(t *testing.T) {
	s := mustNew(t, Options{FailRegex: []string{`fail <HOST>`}}).NewSession()
	buffer := []byte(stamp(50) + " nothing")
	s.skipped.add(string(buffer), testNow, true)
	kept := s.skipped.lines[0].text
	s.skipped.clear()
	s.skipped.add("other", testNow, true)
	if string(kept[:5]) != "other" {
		t.Error("the memory of skipped lines is not used again")
	}
	if n := testing.AllocsPerRun(100, func() {
		s.skipped.clear()
		s.skipped.add("other line", testNow, true)
	}); n > 0 {
		t.Errorf("noting a skipped line allocates %v times", n)
	}
}
