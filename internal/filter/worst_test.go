package filter

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/pyre"
	"github.com/palisade-agent/palisade/internal/oracle"
)

const (
	worstLine  = 8 << 10 // bytes that an attacker writes
	worstTries = 120     // lines that are tried on each regex
	worstKept  = 3
)

// hostile is a line and what it costs.
type hostile struct {
	text   string
	steps  int
	gaveUp bool
}

// stockRegexes are all regexes of fail2ban's filters, in all combinations of options that its samples name,
// each with the lines that it sees.
func stockRegexes(tb testing.TB) map[*pyre.Regexp][]string {
	tb.Helper()
	var runs []sampleRun
	oracle.JSON(tb, samplesScript, []byte(`"`+oracle.Fail2ban(tb)+`"`), &runs)
	known := map[string]*pyre.Regexp{}
	seen := map[*pyre.Regexp][]string{}
	for _, run := range runs {
		o := Options{
			PrefRegex: run.Options.PrefRegex, FailRegex: run.Options.FailRegex, IgnoreRegex: run.Options.IgnoreRegex, MaxLines: run.Options.MaxLines,
			DatePattern: run.Options.DatePattern, UseDNS: DNSRaw, Local: time.UTC, NoTimeCheck: true, AllYears: true, CheckAll: true,
		}
		f, err := New(o, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
		if err != nil {
			tb.Fatal(err)
		}
		var texts []string
		for _, l := range run.Lines {
			s := f.NewSession()
			s.Examine(Line{Text: strings.ToValidUTF8(l.Text, "?")}, time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), true)
			texts = append(texts, strings.TrimSuffix(s.text.Text(), "\n"), l.Text)
		}
		rules := append(slices.Clone(f.fail), f.ignore...)
		if f.pref != nil {
			rules = append(rules, f.pref)
		}
		for _, r := range rules {
			key := r.re.String()
			if known[key] == nil {
				known[key] = r.re
			}
			seen[known[key]] = append(seen[known[key]], texts...)
		}
	}
	return seen
}

// worstLines looks for the lines that cost a regex most: a beginning of a line that it is made for, then a
// piece again and again, and sometimes the line's end. What costs most is changed further.
func worstLines(r *rand.Rand, re *pyre.Regexp, texts []string) []hostile {
	pumps := []string{
		" ", "a", "0", "1.", `"`, `"a"`, "|", "||", "'", "<", "x=", "()", "a ", "1:", "[", "]", "-", "/", ",", ": ", `\`, `=""`, "..", "::", "a.b", " from 1.2.3.4",
		"%", "é", " a", "port 1 ", "user=a ", "[1]: ", "\t", "a@a.", "<a> ", "' ", "1.2.3.4 ", "::1 ",
	}
	texts = slices.Compact(slices.Sorted(slices.Values(texts)))
	if len(texts) == 0 {
		texts = []string{""}
	}
	var worst []hostile
	var m pyre.Match
	try := func(text string) {
		text = strings.ToValidUTF8(text[:min(len(text), worstLine)], "?") + "\n"
		_, err := re.Search(pyre.NewSubject(text), &m)
		worst = append(worst, hostile{text, m.Steps, err != nil})
		slices.SortStableFunc(worst, func(a, b hostile) int { return cmp.Compare(b.steps, a.steps) })
		worst = worst[:min(len(worst), worstKept)]
	}
	for i := range worstTries {
		text := texts[r.IntN(len(texts))]
		cut := r.IntN(len(text) + 1)
		pump := pumps[r.IntN(len(pumps))]
		if i%4 == 0 && cut > 0 {
			pump = text[max(0, cut-1-r.IntN(8)):cut]
		}
		if i > worstTries/2 && len(worst) > 0 { // another piece into the middle of the worst so far
			text = worst[r.IntN(len(worst))].text
			cut = r.IntN(len(text))
			try(text[:cut] + strings.Repeat(pump, 1+r.IntN(2000)) + text[cut:])
			continue
		}
		line := text[:cut] + strings.Repeat(pump, max(0, worstLine-len(text))/max(len(pump), 1)+1)
		if r.IntN(2) == 0 {
			line = line[:min(len(line), worstLine-len(text)+cut)] + text[cut:]
		}
		try(line)
	}
	return worst
}

// TestNoStockRegexNeedsTooLong: the three worst lines found for each regex end within the steps that a
// search has, so that none is given up. Steps, not seconds, are counted: BenchmarkWorstLines tells how long
// they take.
func TestNoStockRegexNeedsTooLong(t *testing.T) {
	regexes := stockRegexes(t)
	r := rand.New(rand.NewPCG(11, 13))
	tiers := map[string]int{}
	most, gaveUp := 0, 0
	for _, re := range sortedRegexes(regexes) {
		tiers[re.Tier().String()]++
		for _, h := range worstLines(r, re, regexes[re]) {
			most = max(most, h.steps)
			if h.gaveUp {
				gaveUp++
				t.Errorf("given up after %d steps: %s\n  on %.60q…%.60q", h.steps, re, h.text, h.text[len(h.text)-min(60, len(h.text)):])
			}
		}
	}
	t.Logf("%d regexes, tiers %v: at most %d of %d steps, %d lines given up", len(regexes), tiers, most, pyre.DefaultSteps, gaveUp)
	if len(regexes) < 250 {
		t.Errorf("%d regexes", len(regexes))
	}
}

func sortedRegexes(m map[*pyre.Regexp][]string) []*pyre.Regexp {
	var all []*pyre.Regexp
	for re := range m {
		all = append(all, re)
	}
	slices.SortFunc(all, func(a, b *pyre.Regexp) int { return cmp.Compare(a.String(), b.String()) })
	return all
}

// BenchmarkWorstLines tells how long the worst lines found for all stock regexes take.
func BenchmarkWorstLines(b *testing.B) {
	regexes := stockRegexes(b)
	r := rand.New(rand.NewPCG(11, 13))
	type one struct {
		re *pyre.Regexp
		s  *pyre.Subject
	}
	var all []one
	for _, re := range sortedRegexes(regexes) {
		for _, h := range worstLines(r, re, regexes[re]) {
			all = append(all, one{re, pyre.NewSubject(h.text)})
		}
	}
	var m pyre.Match
	best := make([]time.Duration, len(all)) // the shortest of several: what the search takes, not the machine
	for b.Loop() {
		for i, x := range all {
			began := time.Now()
			if _, err := x.re.Search(x.s, &m); err != nil {
				b.Logf("given up: %s", x.re)
			}
			if d := time.Since(began); best[i] == 0 || d < best[i] {
				best[i] = d
			}
		}
	}
	worst := slices.Max(best)
	b.Logf("worst: %v, %s", worst, all[slices.Index(best, worst)].re)
	slices.Sort(best)
	b.ReportMetric(float64(worst.Microseconds())/1000, "ms/worst")
	b.ReportMetric(float64(best[len(best)/2].Nanoseconds()), "ns/median")
	b.ReportMetric(float64(len(all)), "lines")
}
