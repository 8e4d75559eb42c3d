package jail_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

func key(name string) jail.Key { return jail.Key{Jail: name, ID: testID} }

// TestRestoreTakesOverImportedBans: at noon the jail's ban time is an hour, as the rows of an old
// fail2ban database meet it.
func TestRestoreTakesOverImportedBans(t *testing.T) {
	hour := jail.Policy{Jail: "j", BanTime: time.Hour}
	permanent := jail.Policy{Jail: "j", BanTime: -5 * time.Second}
	escalating := jail.Policy{Jail: "j", BanTime: time.Hour, Increment: jail.Increment{Enabled: true, MaxTime: 2 * time.Hour}}
	for _, c := range []struct {
		name   string
		policy jail.Policy
		ago    time.Duration
		length time.Duration
		want   time.Duration // 0: not restored
	}{
		{"a ban of the usual length", hour, 10 * time.Minute, time.Hour, time.Hour},
		{"a short ban stays short", hour, 10 * time.Minute, 20 * time.Minute, 20 * time.Minute},
		{"a long one is shortened", hour, 10 * time.Minute, 999999 * time.Second, time.Hour},
		{"a permanent one is shortened", hour, 10 * time.Minute, jail.Permanent, time.Hour},
		{"any negative duration is permanent", permanent, 10 * time.Minute, -7 * time.Second, jail.Permanent},
		{"an unknown duration is the jail's", hour, 10 * time.Minute, jail.UnknownDuration, time.Hour},
		{"an unknown duration is the jail's, permanent", permanent, 10 * time.Minute, jail.UnknownDuration, jail.Permanent},
		{"over already", hour, 30 * time.Minute, 20 * time.Minute, 0},
		{"over by the jail's ban time", hour, 5000 * time.Second, 999999 * time.Second, 0},
		{"over by the jail's ban time, permanent", hour, 5000 * time.Second, jail.Permanent, 0},
		{"in a permanent jail nothing is shortened", permanent, 100 * time.Hour, 1000 * time.Hour, 1000 * time.Hour},
		{"with escalation the limit is maxtime", escalating, 5000 * time.Second, 999999 * time.Second, 2 * time.Hour},
		{"with escalation the limit is maxtime, permanent", escalating, 5000 * time.Second, jail.Permanent, 2 * time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := jail.NewBook(jail.Config{})
			b.SetJail(c.policy)
			ds := b.Restore(jail.Snapshot{Bans: []jail.Ban{{
				Key: key("j"), Start: epoch.Add(-c.ago), Duration: c.length, Count: 3, Failures: 7, Origin: jail.Imported,
			}}}, epoch)
			if c.want == 0 {
				if len(ds) != 0 || b.Sizes().Bans != 0 || len(b.TakeChanges().Unbanned) != 1 {
					t.Errorf("restored: %q", tellAll(ds))
				}
				return
			}
			if len(ds) != 1 || ds[0].Kind != jail.Restore || ds[0].Ban.Duration != c.want || ds[0].Ban.Count != 3 || !ds[0].Ban.Restored {
				t.Fatalf("got %q, want a ban for %v", tellAll(ds), c.want)
			}
			if more := b.Restore(jail.Snapshot{Bans: []jail.Ban{ds[0].Ban}}, epoch); more != nil {
				t.Errorf("restored twice: %q", tellAll(more))
			}
		})
	}
}

// TestRestoreSurvivesWhatNoBookWrote: the store is a file, and files get damaged.
func TestRestoreSurvivesWhatNoBookWrote(t *testing.T) {
	far := time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
	old := time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{Jail: "j", MaxRetry: 3, FindTime: time.Hour, BanTime: time.Hour, Increment: jail.Increment{Enabled: true}})
	other := func(s string) jail.Key { return jail.Key{Jail: "j", ID: ident.Parse(s)} }
	b.Restore(jail.Snapshot{
		Bans: []jail.Ban{
			{Key: jail.Key{Jail: "j"}, Duration: time.Hour},
			{Key: other("192.0.2.9"), Start: far, Duration: math.MaxInt64, Extended: math.MaxInt64, Count: -5},
		},
		Histories: []jail.History{
			{Key: jail.Key{Jail: "j"}},
			{Key: other("192.0.2.2"), Count: -5, Last: old, Duration: jail.Permanent},
			{Key: other("192.0.2.3"), Count: math.MaxInt32, Last: far, Duration: math.MaxInt64},
			{Key: other("192.0.2.4"), Count: 2, Last: epoch, Duration: jail.UnknownDuration},
			{Key: other("192.0.2.5"), Count: 2, Last: old},
			{Key: jail.Key{Jail: "gone", ID: testID}, Count: 2, Last: old},
		},
		Tallies: []jail.Tally{
			{Key: jail.Key{Jail: "j"}},
			{Key: jail.Key{Jail: "gone", ID: testID}, Last: epoch},
			{Key: other("192.0.2.6"), First: old, Last: epoch, Weighted: -5, Failures: -5},
			{Key: other("192.0.2.7"), First: far, Last: epoch, Weighted: math.MaxInt64, Failures: math.MaxInt64},
			{Key: other("192.0.2.8"), First: old, Last: old, Weighted: 1},
		},
	}, epoch)
	for i := range 10 {
		for n := range 10 {
			for _, d := range b.Observe("j", jail.Failure{ID: ident.Parse(fmt.Sprintf("192.0.2.%d", n))}, epoch.Add(time.Duration(i)*time.Minute)) {
				if d.Kind == jail.BanStart && (d.Ban.Count < 1 || d.Ban.Failures < 1 || d.Ban.Duration < time.Hour) {
					t.Error(tell(d))
				}
			}
		}
	}
	if _, ok := b.Policy("gone"); ok {
		t.Error("a jail came out of the store")
	}
}

func TestTimesBeyondWhatNanosecondsReach(t *testing.T) {
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{Jail: "j", MaxRetry: 1, FindTime: math.MaxInt64, BanTime: math.MaxInt64})
	for _, now := range []time.Time{time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), epoch, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)} {
		ds := b.Observe("j", jail.Failure{ID: testID, Time: now}, now)
		if len(ds) < 2 || ds[1].Kind != jail.BanStart && ds[1].Kind != jail.Already && ds[1].Kind != jail.Unban {
			t.Errorf("at %v: %q", now, tellAll(ds))
		}
		b.Expire(now)
		b.Purge(now)
	}
}

func TestAnEscalatedBanTimeHasBounds(t *testing.T) {
	formula := func(s string) *jail.Formula {
		f, err := jail.ParseFormula(s)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	for _, c := range []struct {
		name string
		inc  jail.Increment
		want time.Duration
	}{
		{"infinite", jail.Increment{Formula: formula("math.exp(1000)")}, math.MaxInt64},
		{"infinite, but limited", jail.Increment{Formula: formula("math.exp(1000)"), MaxTime: time.Hour}, time.Hour},
		{"infinite, and chance", jail.Increment{Formula: formula("math.exp(1000)"), RndTime: time.Hour}, math.MaxInt64},
		{"not a number", jail.Increment{Formula: formula("math.nan")}, time.Minute},
		{"not a number by multiplication", jail.Increment{Multipliers: []float64{math.NaN()}}, time.Minute},
		{"negative", jail.Increment{Formula: formula("-ban.Time")}, time.Minute},
		{"longer than a Duration", jail.Increment{Factor: 1e18}, math.MaxInt64},
		{"a multiplier of nothing", jail.Increment{Multipliers: []float64{0}}, 0},
		{"a negative multiplier", jail.Increment{Multipliers: []float64{-1}}, 0},
		{"a multiplier that gives exactly -1", jail.Increment{Multipliers: []float64{-1}, Factor: 1. / 60}, jail.Permanent},
		{"maxtime of -1", jail.Increment{MaxTime: -1}, jail.Permanent},
		{"chance", jail.Increment{RndTime: time.Minute}, 3 * time.Minute},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.inc.Enabled = true
			b := jail.NewBook(jail.Config{Random: func() float64 { return math.Nextafter(1, 0) }})
			b.SetJail(jail.Policy{Jail: "j", MaxRetry: 1, FindTime: time.Hour, BanTime: time.Minute, Increment: c.inc})
			b.Restore(jail.Snapshot{Histories: []jail.History{{Key: key("j"), Count: 1, Last: epoch.Add(-time.Hour), Duration: time.Minute}}}, epoch)
			ds := b.Ban("j", []ident.ID{testID}, nil, epoch)
			if len(ds) != 2 || ds[0].Ban.Duration.Round(time.Millisecond) != c.want.Round(time.Millisecond) {
				t.Errorf("got %q, want %v", tellAll(ds), c.want)
			}
		})
	}
}

func TestPurgeAgeCanChangeWhileRunning(t *testing.T) {
	b := jail.NewBook(jail.Config{PurgeAge: time.Hour})
	b.SetJail(jail.Policy{Jail: "j", MaxRetry: 1, FindTime: time.Hour, BanTime: time.Minute, MaxMatches: 9})
	b.Observe("j", jail.Failure{ID: testID, Lines: []string{"a", "b", "c"}}, epoch)
	b.Expire(epoch.Add(time.Hour))
	b.SetPurge(2*time.Hour, 2)
	b.Purge(epoch.Add(90 * time.Minute))
	if b.Sizes().Histories != 1 {
		t.Error("forgotten too early")
	}
	b.Purge(epoch.Add(2*time.Hour + 3*time.Minute))
	if b.Sizes().Histories != 1 {
		t.Error("forgotten at its last moment")
	}
	b.Purge(epoch.Add(2*time.Hour + 3*time.Minute + 1))
	if b.Sizes().Histories != 0 {
		t.Error("not forgotten")
	}
	b.Observe("j", jail.Failure{ID: testID, Lines: []string{"a", "b", "c"}}, epoch.Add(3*time.Hour))
	if c := b.TakeChanges(); len(c.Bans) != 1 || !slices.Equal(c.Bans[0].Lines, []string{"b", "c"}) {
		t.Errorf("changes: %+v", c.Bans)
	}
	b.SetPurge(2*time.Hour, -1)
	b.Observe("j", jail.Failure{ID: testID, Lines: []string{"a"}}, epoch.Add(4*time.Hour))
	if c := b.TakeChanges(); len(c.Bans) != 1 || c.Bans[0].Lines != nil {
		t.Errorf("changes: %+v", c.Bans)
	}
}

func TestPurgeDoesALittleAtATime(t *testing.T) {
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{Jail: "j", MaxRetry: 2, FindTime: time.Minute, BanTime: time.Minute})
	const n = 5000
	for i := range n {
		id := ident.Parse(fmt.Sprintf("10.0.%d.%d", i/250, i%250))
		b.Observe("j", jail.Failure{ID: id}, epoch)
		b.Ban("j", []ident.ID{id}, nil, epoch)
	}
	later := epoch.Add(48 * time.Hour)
	purges := 1
	for b.Purge(later) {
		purges++
	}
	if s := b.Sizes(); s.Tallies != 0 || s.Histories != 0 || purges < 3 {
		t.Errorf("after %d purges: %+v", purges, s)
	}
	first := len(b.Expire(later))
	if rest := len(b.Expire(later)); first != 4096 || first+rest != n {
		t.Errorf("expired %d and %d", first, rest)
	}
}

func TestJailsAndPolicies(t *testing.T) {
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{Jail: "b", MaxRetry: -1, FindTime: -1, BanTime: -7, MaxMatches: -1})
	b.SetJail(jail.Policy{Jail: "a"})
	if got := b.Jails(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("jails: %q", got)
	}
	p, ok := b.Policy("b")
	if !ok || p.MaxRetry != 1 || p.FindTime != 0 || p.BanTime != jail.Permanent || p.MaxMatches != 0 {
		t.Errorf("policy: %+v, %v", p, ok)
	}
	if _, ok := b.Policy("c"); ok {
		t.Error("a policy of no jail")
	}
	if ds := b.Ban("c", []ident.ID{testID}, nil, epoch); ds != nil {
		t.Errorf("banned in no jail: %q", tellAll(ds))
	}
	if ds := b.Ban("a", []ident.ID{{}}, nil, epoch); ds != nil {
		t.Errorf("banned nothing: %q", tellAll(ds))
	}
	if ds := b.Observe("a", jail.Failure{}, epoch); ds != nil {
		t.Errorf("counted nothing: %q", tellAll(ds))
	}
}

func TestNamesAreForReaders(t *testing.T) {
	for want, got := range map[string]string{
		"found": jail.Found.String(), "restore": jail.Restore.String(), "unknown": jail.Kind(99).String(),
		"no-room": jail.NoRoom.String(), "": jail.NoReason.String(), "manual": jail.Manual.String(),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestDecisionsAreCopies: what the caller does with one must not reach the Book.
func TestDecisionsAreCopies(t *testing.T) {
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{Jail: "j", MaxRetry: 1, FindTime: time.Hour, BanTime: time.Hour, MaxMatches: 2})
	data, lines := map[string]string{"user": "x"}, []string{"one"}
	ds := b.Observe("j", jail.Failure{ID: testID, Lines: lines, Data: data}, epoch)
	data["user"], lines[0] = "y", "two"
	ds[1].Ban.Data["user"], ds[1].Ban.Lines[0] = "z", "three"
	st := b.Status("j")
	if got := st.Banned[0]; got.Data["user"] != "x" || got.Lines[0] != "one" {
		t.Errorf("got %+v", got)
	}
}

func TestTalliesShowTheLatest(t *testing.T) {
	b := jail.NewBook(jail.Config{})
	b.SetJail(jail.Policy{Jail: "j", MaxRetry: 5, FindTime: time.Hour})
	for _, i := range []int{3, 1, 7, 5, 2, 6, 4, 0} {
		b.Observe("j", jail.Failure{ID: ident.Parse(fmt.Sprintf("192.0.2.%d", i)), Time: epoch.Add(time.Duration(i) * time.Second)}, epoch.Add(time.Minute))
	}
	for limit, want := range map[int]string{0: "", 1: "7", 3: "765", 99: "76543210"} {
		got := ""
		var gotSb269 strings.Builder
		for _, v := range b.Tallies("j", limit) {
			gotSb269.WriteString(v.ID.String()[len("192.0.2."):])
		}
		got += gotSb269.String()
		if got != want {
			t.Errorf("at most %d: %s, want %s", limit, got, want)
		}
	}
	if got := b.Tallies("k", 9); got != nil {
		t.Errorf("of no jail: %v", got)
	}
	if got := b.Counts("j"); got != (jail.Counts{CurrentlyFailed: 8, TotalFailed: 8}) {
		t.Errorf("counts: %+v", got)
	}
}
