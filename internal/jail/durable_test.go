package jail_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// same tells a decision with all that must survive a restart.
func same(ds []jail.Decision) []string {
	var out []string
	for _, d := range ds {
		d.Ban.Restored = false
		out = append(out, tell(d))
	}
	slices.Sort(out) // bans restored in another order expire in another order
	return out
}

func bookOf(c jail.Config, policies map[string]jail.Policy) *jail.Book {
	b := jail.NewBook(c)
	for _, p := range policies {
		b.SetJail(p)
	}
	return b
}

// TestRestartAnywhereDecidesAsWithout saves, restores and goes on at random points of random lives; in
// between some commits fail and are given back. The policies are such that Restore shortens nothing.
func TestRestartAnywhereDecidesAsWithout(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		policies := randomPolicies(r)
		config := jail.Config{PurgeAge: 200 * time.Second}
		steady, restarted := bookOf(config, policies), bookOf(config, policies)
		store := newMemoryStore()
		var returned []jail.Changes
		for i, s := range randomSteps(r, 300) {
			if s.op == "reload" {
				continue
			}
			want, got := same(s.do(steady, policies)), same(s.do(restarted, policies))
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v\ngot  %q\nwant %q", seed, i, s, got, want)
			}
			switch r.IntN(8) {
			case 0:
				returned = append(returned, restarted.TakeChanges())
			case 1:
				for _, c := range returned {
					restarted.Return(c)
				}
				returned = nil
			case 2:
				for _, c := range returned {
					restarted.Return(c)
				}
				returned = nil
				store.write(restarted.TakeChanges())
				steady.Expire(at(s.now)) // what is over is not restored
				restarted = bookOf(config, policies)
				restarted.Restore(store.snapshot(), at(s.now))
			}
		}
	}
}

// TestStoreHoldsWhatTheBookHolds checks that nothing is missing from the changes and nothing stays
// behind in the store, however often they were taken and given back.
func TestStoreHoldsWhatTheBookHolds(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3))
		policies := randomPolicies(r)
		config := jail.Config{PurgeAge: 100 * time.Second, MaxTallies: 6, MaxBans: 5, MaxHistory: 5}
		b, store := bookOf(config, policies), newMemoryStore()
		for _, s := range randomSteps(r, 200) {
			s.do(b, policies)
			c := b.TakeChanges()
			if r.IntN(3) == 0 {
				if r.IntN(2) == 0 {
					store.write(c) // written, though it was reported as failed
				}
				b.Return(c)
				continue
			}
			store.write(c)
			if !b.TakeChanges().Empty() {
				t.Fatalf("seed %d: changes right after changes", seed)
			}
			checkStore(t, b, store)
		}
	}
}

// checkStore compares a store with what the Book says of every ID.
func checkStore(t *testing.T, b *jail.Book, store *memoryStore) {
	t.Helper()
	want := newMemoryStore()
	for key := range keysOf(store) {
		for _, s := range b.Lookup(key.ID) {
			k := jail.Key{Jail: s.Jail, ID: key.ID}
			if s.Ban != nil {
				v := *s.Ban
				v.Restored = false
				want.bans[k] = v
			}
			if s.History != nil {
				want.histories[k] = *s.History
			}
			if s.Tally != nil {
				want.tallies[k] = *s.Tally
			}
		}
	}
	size := b.Sizes()
	if size.Bans != len(store.bans) || size.Histories != len(store.histories) || size.Tallies != len(store.tallies) {
		t.Fatalf("the book holds %+v, the store %d tallies, %d bans, %d histories",
			size, len(store.tallies), len(store.bans), len(store.histories))
	}
	if !reflect.DeepEqual(want.bans, store.bans) || !reflect.DeepEqual(want.histories, store.histories) {
		t.Fatalf("the book holds\n%v\n%v\nthe store\n%v\n%v", want.bans, want.histories, store.bans, store.histories)
	}
	for k, v := range want.tallies { // faded ones are not shown
		if !reflect.DeepEqual(store.tallies[k], v) {
			t.Fatalf("tally in the store %v, in the book %v", store.tallies[k], v)
		}
	}
}

func keysOf(m *memoryStore) map[jail.Key]bool {
	keys := map[jail.Key]bool{}
	for k := range m.bans {
		keys[k] = true
	}
	for k := range m.histories {
		keys[k] = true
	}
	for k := range m.tallies {
		keys[k] = true
	}
	return keys
}

// TestCrashAndReadingTheLinesAgain cuts a log anywhere: what follows the last commit is lost and read
// again after a while, all at once. As long as the while is shorter than findtime, so that no line is
// too old, the bans are those of a run without the crash.
func TestCrashAndReadingTheLinesAgain(t *testing.T) {
	const find, span = 600, 60_000
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 4))
		policies := map[string]jail.Policy{"a": {Jail: "a", MaxRetry: 2 + r.IntN(4), FindTime: find * time.Second, BanTime: 2 * span * time.Second}}
		var log []step
		now := 0.0
		for range 60 {
			now += float64(r.IntN(2 * find / 10))
			log = append(log, step{op: "observe", jail: "a", id: fmt.Sprintf("192.0.2.%d", r.IntN(6)), at: now, now: now})
		}
		commit := r.IntN(len(log))
		crash := commit
		for crash < len(log) && log[crash].now < log[commit].now+find/2 {
			crash++
		}
		back := log[commit].now + find - 1 // the oldest line lost is just young enough

		steady := bookOf(jail.Config{}, policies)
		crashed, store := bookOf(jail.Config{}, policies), newMemoryStore()
		for i, s := range log {
			s.do(steady, policies)
			if i < commit {
				s.do(crashed, policies)
			}
		}
		store.write(crashed.TakeChanges())
		crashed = bookOf(jail.Config{}, policies)
		crashed.Restore(store.snapshot(), at(back))
		for i, s := range log[commit:] {
			s.now = max(s.now, back)
			if i%5 == 0 {
				crashed.Purge(at(s.now))
			}
			s.do(crashed, policies)
		}
		if got, want := standing(crashed, "a"), standing(steady, "a"); !slices.Equal(got, want) {
			t.Fatalf("seed %d, commit %d, crash %d:\ngot  %q\nwant %q", seed, commit, crash, got, want)
		}
	}
}

func standing(b *jail.Book, name string) []string {
	st := b.Status(name)
	var out []string
	for _, v := range st.Banned {
		v.Restored = false
		out = append(out, v.ID.String()+" "+tellBan(v))
	}
	slices.Sort(out)
	return out
}

// TestReturnedChangesOfWhatEndedMeanwhile is the order that a failing disk makes.
func TestReturnedChangesOfWhatEndedMeanwhile(t *testing.T) {
	b := bookOf(jail.Config{}, map[string]jail.Policy{"a": {Jail: "a", MaxRetry: 1, FindTime: time.Hour, BanTime: time.Hour}})
	id := ident.Parse("192.0.2.1")
	b.Observe("a", jail.Failure{ID: id}, epoch)
	first := b.TakeChanges()
	b.Unban("a", []ident.ID{id}, epoch)
	second := b.TakeChanges()
	if len(second.Unbanned) != 1 || len(second.Forgotten) != 1 {
		t.Fatalf("the store may hold the ban, but was not told of its end: %+v", second)
	}
	b.Return(first)
	b.Return(second)
	if third := b.TakeChanges(); !reflect.DeepEqual(third, second) {
		t.Errorf("after giving back both: %+v, want %+v", third, second)
	}
}

// TestChangesStayBoundedWhenNothingCanBeWritten keeps failing commits for long.
func TestChangesStayBoundedWhenNothingCanBeWritten(t *testing.T) {
	const most = 50 // names of what ended are kept up to 1024
	b := bookOf(
		jail.Config{MaxTallies: most, MaxBans: most, MaxHistory: most},
		map[string]jail.Policy{"a": {Jail: "a", MaxRetry: 2, FindTime: time.Minute, BanTime: time.Minute}},
	)
	now := epoch
	for i := range 20_000 {
		id := ident.Parse(fmt.Sprintf("198.51.%d.%d", i/250, i%250))
		now = now.Add(time.Second)
		b.Observe("a", jail.Failure{ID: id}, now)
		if i%2 == 0 {
			b.Observe("a", jail.Failure{ID: id}, now)
		}
		b.Expire(now)
		if i%100 == 0 {
			b.Return(b.TakeChanges())
		}
		if s := b.Sizes(); s.Dirty > 3*(most+1024) { // each kind: what stands and what ended
			t.Fatalf("after %d failures: %+v", i, s)
		}
	}
}
