package jail_test

import (
	"math"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

type escalation struct {
	name    string
	banTime int
	options map[string]string // as in the configuration, without "bantime."
	other   int               // bans in another jail before
	times   []float64
	counts  []int
}

// escalations are the ban times of a repeat offender, in seconds, and the counts of his bans, as
// fail2ban 1.0.2 gives them: TestEscalationTableIsFail2bans derives them anew.
var escalations = []escalation{
	{
		name: "defaults", banTime: 600,
		times:  []float64{600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 153600, 307200, 614400, 1228800},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "ban time of one second", banTime: 1,
		times:  []float64{1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "factor", banTime: 600, options: map[string]string{"factor": "2"},
		times:  []float64{600, 2400, 4800, 9600, 19200, 38400, 76800, 153600, 307200, 614400, 1228800, 2457600},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "fractional factor", banTime: 600, options: map[string]string{"factor": "1.33"},
		times:  []float64{600, 1596, 3192, 6384, 12768, 25536, 51072, 102144, 204288, 408576, 817152, 1634304},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "factor as arithmetic", banTime: 600, options: map[string]string{"factor": "2.0 / 2.885385"},
		times:  []float64{600, 831.7780816078271, 1663.5561632156541, 3327.1123264313082, 6654.2246528626165, 13308.449305725233, 26616.898611450466, 53233.79722290093, 106467.59444580186, 212935.18889160373, 425870.37778320746, 851740.7555664149},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "factor below one half has no effect at first", banTime: 600, options: map[string]string{"factor": "0.1"},
		times:  []float64{600, 600, 600, 600, 960, 1920, 3840, 7680, 15360, 30720, 61440, 122880},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "maxtime", banTime: 600, options: map[string]string{"maxtime": "86400"},
		times:  []float64{600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 86400, 86400, 86400, 86400},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "maxtime below the ban time", banTime: 600, options: map[string]string{"maxtime": "60"},
		times:  []float64{600, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "multipliers", banTime: 60, options: map[string]string{"multipliers": "1 5 30 60 300 720 1440 2880"},
		times:  []float64{60, 300, 1800, 3600, 18000, 43200, 86400, 172800, 172800, 172800, 172800, 172800},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "too few multipliers", banTime: 600, options: map[string]string{"multipliers": "1 2 4"},
		times:  []float64{600, 1200, 2400, 2400, 2400, 2400, 2400, 2400, 2400, 2400, 2400, 2400},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "one multiplier", banTime: 600, options: map[string]string{"multipliers": "7"},
		times:  []float64{600, 4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200, 4200},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "multipliers that fall", banTime: 600, options: map[string]string{"multipliers": "9 3 1"},
		times:  []float64{600, 1800, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "multipliers with factor and maxtime", banTime: 600, options: map[string]string{"multipliers": "1 2 4 8 16 32 64", "factor": "1.5", "maxtime": "30000"},
		times:  []float64{600, 1800, 3600, 7200, 14400, 28800, 30000, 30000, 30000, 30000, 30000, 30000},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "multipliers win over a formula", banTime: 600, options: map[string]string{"formula": "ban.Time * 100", "multipliers": "1 2"},
		times:  []float64{600, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200, 1200},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "exponential formula", banTime: 600, options: map[string]string{
			"formula": "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", "factor": "2.0 / 2.885385",
		},
		times:  []float64{600, 1200.0014649367868, 2400.0058597507245, 4800.017579262904, 9600.046878063022, 19200.11719522909, 38400.28126872149, 76800.65629408408, 153601.50010167938, 307203.37523083866, 614407.5005175527, 1228816.5011486888},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "exponential formula with factor 1", banTime: 600, options: map[string]string{
			"formula": "ban.Time * math.exp(float(ban.Count+1)*banFactor)/math.exp(1*banFactor)", "maxtime": "86400",
		},
		times:  []float64{600, 1630.9690970754273, 4433.43365935839, 12051.3221539126, 32758.890019886545, 86400, 86400, 86400, 86400, 86400, 86400, 86400},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "linear formula", banTime: 600, options: map[string]string{"formula": "ban.Time * (ban.Count + 1)"},
		times:  []float64{600, 1200, 1800, 2400, 3000, 3600, 4200, 4800, 5400, 6000, 6600, 7200},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "conditional formula", banTime: 600, options: map[string]string{
			"formula": "ban.Time * (1 if ban.Count < 3 else 10 if ban.Count < 6 and banFactor == 1 else 2**ban.Count)",
		},
		times:  []float64{600, 600, 600, 6000, 6000, 6000, 38400, 76800, 153600, 307200, 614400, 1228800},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "formula below the ban time", banTime: 600, options: map[string]string{"formula": "ban.Time // 7 % 11 - 3"},
		times:  []float64{600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600, 600},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "formula that divides by zero once", banTime: 600, options: map[string]string{"formula": "ban.Time * 12 / (ban.Count - 3)"},
		times:  []float64{600, 600, 600, 600, 7200, 3600, 2400, 1800, 1440, 1200, 1028.5714285714287, 900},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "formula of shifts and rounding", banTime: 600, options: map[string]string{
			"formula": "round(ban.Time * 1.5 ** min(ban.Count, 7)) + (ban.Count << 2 >> 1)",
		},
		times:  []float64{600, 902, 1354, 2031, 3046, 4566, 6846, 10266, 10268, 10270, 10272, 10274},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "overall jails", banTime: 6, options: map[string]string{"overalljails": "true"}, other: 3,
		times:  []float64{48, 768, 12288, 196608, 3145728, 6291456, 6291456, 6291456, 6291456, 6291456, 6291456, 6291456},
		counts: []int{4, 8, 12, 16, 20, 24, 28, 32, 36, 40, 44, 48},
	},
	{
		name: "other jails do not count otherwise", banTime: 600, other: 3,
		times:  []float64{600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 153600, 307200, 614400, 1228800},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "no chance", banTime: 600, options: map[string]string{"rndtime": "0"},
		times:  []float64{600, 1200, 2400, 4800, 9600, 19200, 38400, 76800, 153600, 307200, 614400, 1228800},
		counts: []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
	},
	{
		name: "count beyond twenty", banTime: 1, options: map[string]string{"overalljails": "true"}, other: 10,
		times:  []float64{1024, 1048576, 1048576, 1048576, 1048576, 1048576, 1048576, 1048576, 1048576, 1048576, 1048576, 1048576},
		counts: []int{11, 22, 33, 44, 55, 66, 77, 88, 99, 110, 121, 132},
	},
}

func (e escalation) increment(t *testing.T) jail.Increment {
	t.Helper()
	inc := jail.Increment{Enabled: true}
	var err error
	for key, value := range e.options {
		switch key {
		case "factor":
			inc.Factor, err = jail.ParseFactor(value)
		case "formula":
			inc.Formula, err = jail.ParseFormula(value)
		case "multipliers":
			inc.Multipliers, err = jail.ParseMultipliers(value)
		case "maxtime":
			inc.MaxTime = duration(t, value+"s")
		case "rndtime":
			inc.RndTime = duration(t, value+"s")
		case "overalljails":
			inc.OverallJails = value == "true"
		default:
			t.Fatalf("unknown option %q", key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return inc
}

// ours bans an offender again and again through a Book.
func (e escalation) ours(t *testing.T) (times []float64, counts []int) {
	t.Helper()
	b := jail.NewBook(jail.Config{PurgeAge: 100 * 365 * 24 * time.Hour, Random: func() float64 { return 0.999 }})
	for _, name := range []string{"jail", "other"} {
		b.SetJail(jail.Policy{
			Jail: name, MaxRetry: 1, FindTime: time.Hour, BanTime: time.Duration(e.banTime) * time.Second,
			Increment: e.increment(t),
		})
	}
	now := time.Unix(1_700_000_000, 0)
	id := ident.Parse("192.0.2.1")
	if e.other > 0 {
		b.Restore(jail.Snapshot{Histories: []jail.History{{
			Key: jail.Key{Jail: "other", ID: id}, Count: e.other, Last: now.Add(-1000 * time.Second), Duration: 10 * time.Minute,
		}}}, now)
	}
	for range 12 {
		for _, d := range b.Observe("jail", jail.Failure{ID: id}, now) {
			if d.Kind != jail.BanStart {
				continue
			}
			times = append(times, d.Ban.Duration.Seconds())
			counts = append(counts, d.Ban.Count)
			now = now.Add(time.Duration(int(d.Ban.Duration.Seconds())+60) * time.Second)
		}
	}
	return times, counts
}

func TestEscalationFollowsTheTable(t *testing.T) {
	for _, e := range escalations {
		t.Run(e.name, func(t *testing.T) {
			times, counts := e.ours(t)
			checkEscalation(t, times, counts, e.times, e.counts)
		})
	}
}

func checkEscalation(t *testing.T, times []float64, counts []int, wantTimes []float64, wantCounts []int) {
	t.Helper()
	if len(times) != len(wantTimes) || len(counts) != len(wantCounts) {
		t.Fatalf("got %v %v\nwant %v %v", times, counts, wantTimes, wantCounts)
	}
	for i := range times {
		if math.Abs(times[i]-wantTimes[i]) > 1e-6*wantTimes[i] || counts[i] != wantCounts[i] {
			t.Errorf("ban %d: %g s, count %d; want %g s, count %d", i+1, times[i], counts[i], wantTimes[i], wantCounts[i])
		}
	}
}
