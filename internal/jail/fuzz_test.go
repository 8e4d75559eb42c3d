package jail_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// witness follows the decisions of a Book and knows what must hold of them.
type witness struct {
	t      *testing.T
	book   *jail.Book
	store  *memoryStore
	ignore *jail.IgnoreList
	bans   map[jail.Key]bool
	config jail.Config
}

func (w *witness) see(ds []jail.Decision) {
	w.t.Helper()
	for _, d := range ds {
		switch d.Kind {
		case jail.BanStart, jail.Restore:
			if w.bans[d.Key] {
				w.t.Fatalf("%s, which is banned", tell(d))
			}
			w.bans[d.Key] = true
			if rule, ok := w.ignore.Match(d.ID); ok {
				w.t.Fatalf("%s, which is ignored by %s", tell(d), rule)
			}
			if d.Ban.Count < 1 || d.Ban.Failures < 0 || d.Ban.Duration < 0 && d.Ban.Duration != jail.Permanent {
				w.t.Fatalf("%s", tell(d))
			}
		case jail.Unban, jail.Already, jail.Prolong:
			if !w.bans[d.Key] {
				w.t.Fatalf("%s, which is not banned", tell(d))
			}
			if d.Kind == jail.Unban {
				delete(w.bans, d.Key)
			}
		}
	}
}

func (w *witness) check() {
	w.t.Helper()
	s := w.book.Sizes()
	if s.Tallies < 0 || s.Tallies > w.config.MaxTallies || s.Bans < 0 || s.Bans > w.config.MaxBans ||
		s.Histories < 0 || s.Histories > w.config.MaxHistory || s.LineBytes < 0 || s.LineBytes > w.config.MaxLineBytes {
		w.t.Fatalf("out of bounds: %+v", s)
	}
	if s.Tallies+s.Bans == 0 && s.LineBytes != 0 {
		w.t.Fatalf("nothing kept takes %d bytes", s.LineBytes)
	}
	banned, failed := 0, 0
	for _, name := range w.book.Jails() {
		st := w.book.Status(name)
		if st.CurrentlyBanned != len(st.Banned) || st.CurrentlyFailed < 0 || st.TotalBanned < 0 || st.TotalFailed < 0 {
			w.t.Fatalf("%s: %+v", name, st)
		}
		banned += st.CurrentlyBanned
		failed += st.CurrentlyFailed
		for _, b := range st.Banned {
			if !w.bans[b.Key] {
				w.t.Fatalf("%v stands, and nobody was told", b.Key)
			}
		}
	}
	if banned != len(w.bans) || failed > s.Tallies {
		w.t.Fatalf("%d bans, %d were told; %d tallies of %d", banned, len(w.bans), failed, s.Tallies)
	}
	size := w.book.Sizes()
	c := w.book.TakeChanges()
	w.store.write(c)
	if len(c.Bans)+len(c.Unbanned)+len(c.Histories)+len(c.Forgotten)+len(c.Tallies)+len(c.Cleared) > size.Dirty {
		w.t.Fatalf("%d changes were promised, at most: %+v", size.Dirty, c)
	}
	if len(w.store.bans) != s.Bans || len(w.store.histories) != s.Histories || len(w.store.tallies) != s.Tallies {
		w.t.Fatalf("the book holds %+v, the store %d bans, %d histories, %d tallies",
			s, len(w.store.bans), len(w.store.histories), len(w.store.tallies))
	}
}

// play reads bytes as a life: six bytes an operation.
func (w *witness) play(data []byte) {
	names := []string{"a", "b", "c"}
	list := []string{"192.0.2.1", "192.0.2.2", "198.51.100.1", "198.51.100.0/24", "2001:db8::1", "user", "10.0.0.1", ""}
	now := epoch
	policies := map[string]jail.Policy{}
	for len(data) >= 6 {
		op, who, a, b, c, e := data[0], data[1], data[2], data[3], data[4], data[5]
		data = data[6:]
		name, id := names[int(who>>4)%3], ident.Parse(list[who%8])
		now = now.Add(time.Duration(a) * time.Duration(a) * time.Second / 10)
		switch op % 12 {
		case 0, 1, 2, 3:
			if _, ignored := w.ignore.Match(id); ignored {
				continue
			}
			f := jail.Failure{ID: id, Time: now.Add(-time.Duration(b) * time.Second), Attempts: int(int8(c))}
			switch e {
			case 255:
				f.Time = time.Time{}
			case 254:
				f.Time = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)
			case 253:
				f.Time = time.Date(-9999, 1, 1, 0, 0, 0, 0, time.UTC)
			default:
				f.Lines = strings.SplitAfter(strings.Repeat("line ", int(e%5)), " ")
				f.Data = map[string]string{"k": strings.Repeat("v", int(e%7))}
			}
			w.see(w.book.Observe(name, f, now))
		case 4:
			if _, ignored := w.ignore.Match(id); ignored {
				continue
			}
			var d *time.Duration
			if b > 0 {
				x := time.Duration(int8(b)) * time.Minute
				d = &x
			}
			w.see(w.book.Ban(name, []ident.ID{id, id}, d, now))
		case 5:
			if e%2 == 0 {
				name = ""
			}
			if c == 0 {
				w.see(w.book.Unban(name, nil, now))
			} else {
				w.see(w.book.Unban(name, []ident.ID{id}, now))
			}
		case 6:
			w.see(w.book.Expire(now))
			if at, ok := w.book.NextExpiry(); ok && !at.After(now) {
				w.t.Fatalf("after Expire at %v the next is %v", now, at)
			}
		case 7:
			w.book.Purge(now)
		case 8:
			delete(policies, name)
			w.see(w.book.RemoveJail(name, now))
		case 9:
			w.see(w.book.Revive(name, now))
		case 10:
			policies[name] = fuzzPolicy(name, b, c, e)
			w.book.SetJail(policies[name])
		case 11:
			w.check()
			clear(w.bans)
			w.book = jail.NewBook(w.config)
			for _, p := range policies {
				w.book.SetJail(p)
			}
			w.see(w.book.Restore(w.store.snapshot(), now))
		}
		w.check()
	}
}

func fuzzPolicy(name string, b, c, e byte) jail.Policy {
	p := jail.Policy{
		Jail: name, MaxRetry: int(b%8) - 1, FindTime: time.Duration(int8(c)) * time.Minute, BanTime: time.Duration(int8(e)) * time.Minute,
		MaxMatches: int(b>>5) - 1,
	}
	p.Increment = jail.Increment{
		Enabled: c&1 == 1, OverallJails: c&2 == 2, Factor: float64(int8(b)), MaxTime: time.Duration(int8(c)) * time.Hour,
		RndTime: time.Duration(int8(e)) * time.Minute,
	}
	if e&1 == 1 {
		p.Increment.Multipliers = []float64{float64(c), 1e300, -1e300, -1}
	}
	return p
}

func newWitness(t *testing.T) *witness {
	t.Helper()
	config := jail.Config{MaxTallies: 9, MaxBans: 7, MaxHistory: 8, MaxLineBytes: 100, PurgeAge: time.Hour, Random: half}
	return &witness{
		t: t, book: jail.NewBook(config), store: newMemoryStore(), ignore: jail.NewIgnoreList([]string{"10.0.0.0/8"}),
		bans: map[jail.Key]bool{}, config: config,
	}
}

// TestInvariantsHoldInRandomLives is what FuzzBook looks for, on lives of a fixed seed.
func TestInvariantsHoldInRandomLives(t *testing.T) {
	for seed := range uint64(150) {
		r := rand.New(rand.NewPCG(seed, 6))
		data := make([]byte, 0, 1818)
		for _, name := range []byte{0x00, 0x10, 0x20} {
			data = append(data, 10, name, 0, byte(r.IntN(256)), byte(r.IntN(128)), byte(r.IntN(256)))
		}
		for len(data) < cap(data) {
			data = append(data, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(64)*r.IntN(2)), byte(r.IntN(256)), byte(r.IntN(4)), byte(r.IntN(256)))
		}
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) { newWitness(t).play(data) })
	}
}

func FuzzBook(f *testing.F) {
	f.Add([]byte("\x0a\x00\x00\x03\x0a\x0a\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x03\x00\x06\x00\xff\x00\x00\x00\x0b\x00\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) { newWitness(t).play(data[:min(len(data), 3000)]) })
}
