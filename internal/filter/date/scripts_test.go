package date_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestChoiceInOtherScriptsEqualsFail2bans runs logs whose lines hold characters of several bytes before
// the date, or end with it or before the place where the last one stood. What a place is counts in
// characters.
func TestChoiceInOtherScriptsEqualsFail2bans(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 5))
	dates := []string{"2026-11-22 10:00:00", "Nov 22 10:11:12", "22/Nov/2026:10:00:00", "1700000000", "20261122T101112", "10:00:00", "202٦-11-22 10:00:00", "Nov ٢٢ 10:00:00", "2026-11-22 10:0٠:00"}
	frames := []string{
		"%s x", "é %s", "ab %s", "日 %s", "日本語 %s é", "éé%s", "[%s]", "é[%s]é", "é", "", "ab", "日本語日本語日本語日本語日本語日本", "x %s %s", "éà %s (%s)", "ab (%s)", "½ %s½", "٣ %s",
	}
	var cases []oracleCase
	for range 150 {
		c := oracleCase{
			Zone: zones[r.IntN(len(zones))], Now: 1795348800,
			Pattern: []string{"", "", "%H:%M:%S\n%Y-%m-%d", "%Y-%m-%d %H:%M:%S**\n%b %d %H:%M:%S", "{UNB}%H:%M:%S\n{UNB}%d", "%d$\n%H:%M"}[r.IntN(6)],
		}
		for range 40 {
			line := frames[r.IntN(1+r.IntN(len(frames)))]
			for i := range 2 {
				date := dates[r.IntN(1+r.IntN(len(dates)))]
				if n := len(line); n > 0 && i < count(line) {
					c.Lines = append(c.Lines, fmt.Sprintf(line, repeat(date, count(line))...))
				}
			}
			if count(line) == 0 {
				c.Lines = append(c.Lines, line)
			}
		}
		cases = append(cases, c)
	}
	if n := compare(t, cases); n < 3000 {
		t.Errorf("only %d lines compared", n)
	}
}

// count says how many dates a frame takes.
func count(frame string) (n int) {
	for i := range len(frame) {
		if frame[i] == '%' {
			n++
		}
	}
	return n
}

func repeat(s string, n int) (all []any) {
	for range n {
		all = append(all, s)
	}
	return all
}
