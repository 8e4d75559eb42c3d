package config

import (
	"math"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

func TestParseTime(t *testing.T) {
	const s = time.Second
	tests := map[string]time.Duration{
		"600": 600 * s, "10m": 600 * s, "1d12h": 129600 * s, "1d 12h": 129600 * s, "1h30": 3630 * s, "1.5h": 5400 * s,
		"1y-6mo": 15778800 * s, "60*5": 300 * s, "-1": -1 * s, "2 weeks": 1209600 * s, "5 days": 432000 * s, "3hou": 10800 * s,
		"1M": 60 * s, "1mo": 2629800 * s, "0": 0, "00": 0, "(1+2)*3m": 540 * s, "2**3": 8 * s, "-2**2": -4 * s, "7//2": 3 * s,
		"-7//2": -4 * s, "7%4": 3 * s, ".5": 500 * time.Millisecond, "1_000": 1000 * s, "1h\n30m": 5400 * s, " 1h ": 3600 * s,
		"1w2d3h4m5s": 788645 * s, "--1": 1 * s, "1h-30m": 1800 * s, "1 2 3": 6 * s,
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			got, err := ParseTime(text)
			if err != nil || got != want {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
		})
	}
}

func TestParseTimeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "abc", "1x", "007", "1e3", "permanent", "5 # y", "m", "1 .5", "1h.5", "1/0", "1//0", "1%0", "1..2", "1__0", "_1", "(1", "1)",
		"1+", "*2", "ban.Time", "__import__('os')", "0x10", "1h,2h", "1;2", strings.Repeat("(", 5000), "10mins",
	} {
		t.Run(text[:min(len(text), 20)], func(t *testing.T) {
			if got, err := ParseTime(text); err == nil {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestParseTimeIsBounded(t *testing.T) {
	for text, want := range map[string]time.Duration{"1000y": MaxTime, "-1000y": -MaxTime, "9**9**9": MaxTime} {
		if got, err := ParseTime(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}

var unitDot = regexp.MustCompile(`[A-Za-z]\.`)

const timeScript = `
import json, sys
from fail2ban.server.mytime import MyTime
out = []
for text in json.load(sys.stdin):
    try:
        v = MyTime.str2seconds(text)
        out.append(float(v) if isinstance(v, (int, float)) else None)
    except Exception:
        out.append(None)
json.dump(out, sys.stdout)
`

// Left out is where fail2ban reads what nobody means: digits behind a unit and a dot become digits of
// the unit's seconds, a line break is a syntax error, and so is a power that is too large.
func TestParseTimeEqualsFail2bans(t *testing.T) {
	pieces := []string{
		"1", "2", "10", "30", "1.5", ".5", "d", "h", "m", "s", "mo", "w", "y", " days", " hours", "min", "Sec", "week", "months", " ", " ",
		"+", "-", "*", "/", "(", ")", "1d", "12h", "x", "00", "07", "1_0", "**2", "//3", "%7", "\n",
	}
	r := rand.New(rand.NewPCG(7, 8))
	texts := make([]string, 4000)
	for i := range texts {
		var b strings.Builder
		for range 1 + r.IntN(6) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts[i] = b.String()
	}
	var theirs []*float64
	oracle.JSON(t, timeScript, mustJSON(t, texts), &theirs)
	accepted := 0
	for i, want := range theirs {
		got, err := ParseTime(texts[i])
		if unitDot.MatchString(texts[i]) || strings.Contains(texts[i], "\n") || got.Abs() == MaxTime {
			continue
		}
		if want == nil {
			if err == nil {
				t.Errorf("%q: fail2ban refuses it, we read %v", texts[i], got)
			}
			continue
		}
		accepted++
		limited := math.Max(-MaxTime.Seconds(), math.Min(MaxTime.Seconds(), *want))
		if err != nil || math.Abs(got.Seconds()-limited) > 1e-6 {
			t.Errorf("%q: ours %v, %v; fail2ban's %v", texts[i], got.Seconds(), err, *want)
		}
	}
	if accepted < len(texts)/10 {
		t.Errorf("fail2ban takes only %d of %d times: the test has become blind", accepted, len(texts))
	}
}
