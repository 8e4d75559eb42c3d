package jail_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// model decides as a Book does, in the plainest way: lists, loops, whole seconds since the epoch. It
// has no bounds and forgets nothing that it need not.
type model struct {
	jails    map[string]jail.Policy
	tallies  []*modelTally
	bans     []*modelBan
	records  []*modelRecord
	purgeAge float64
}

type modelTally struct {
	jail, id    string
	first, last float64
	weighted    float64
	failures    int
}

type modelBan struct {
	jail, id        string
	start, duration float64 // -1 is permanent
	count, failures int
}

type modelRecord struct {
	jail, id       string
	count          int
	last, duration float64
}

func (b *modelBan) end() float64 {
	if b.duration < 0 {
		return math.Inf(1)
	}
	return b.start + b.duration
}

func (m *model) tally(name, id string) *modelTally {
	for _, t := range m.tallies {
		if t.jail == name && t.id == id {
			return t
		}
	}
	return nil
}

func (m *model) ban(name, id string) *modelBan {
	for _, b := range m.bans {
		if b.jail == name && b.id == id {
			return b
		}
	}
	return nil
}

// record gives what is remembered of an ID, in a jail or in all together.
func (m *model) record(name, id string, now float64) *modelRecord {
	var sum *modelRecord
	for _, r := range m.records {
		outdated := r.duration >= 0 && r.last+3*r.duration+m.purgeAge < now
		if r.id != id || name != "" && r.jail != name || outdated {
			continue
		}
		if sum == nil {
			sum = &modelRecord{last: math.Inf(-1)}
		}
		sum.count += r.count
		sum.last = math.Max(sum.last, r.last)
	}
	return sum
}

func drop[T comparable](list []T, e T) []T {
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool { return x == e })
}

func (m *model) observe(name, id string, at, now float64) []string {
	p, ok := m.jails[name]
	if !ok {
		return nil
	}
	find, at := p.FindTime.Seconds(), math.Min(at, now)
	t := m.tally(name, id)
	if t != nil && t.last <= at-find {
		m.tallies = drop(m.tallies, t)
		t = nil
	}
	if t == nil {
		t = &modelTally{jail: name, id: id, first: at, last: at}
		m.tallies = append(m.tallies, t)
	} else if at > t.last {
		if t.first < at-find {
			t.weighted = math.RoundToEven(t.weighted / (at - t.first) * find)
			t.first = at - find
		}
		t.last = at
	}
	t.weighted++
	t.failures++
	out := []string{fmt.Sprintf("found %s %s %g", name, id, at)}
	retry := float64(p.MaxRetry)
	if r := m.record(name, id, now); p.Increment.Enabled && t.weighted < retry && r != nil && at > r.last {
		w := math.Min(math.Exp2(float64(min(r.count, 20)))/2+1, retry)
		t.weighted += w - 1
		out = append(out, fmt.Sprintf("found-bad %s %s %g", name, id, w))
	}
	if t.weighted < retry {
		return out
	}
	m.tallies = drop(m.tallies, t)
	return append(out, m.enforce(p, id, t.last, p.BanTime.Seconds(), t.failures, now)...)
}

func (m *model) enforce(p jail.Policy, id string, at, duration float64, failures int, now float64) []string {
	if duration >= 0 && at+duration < now {
		return []string{fmt.Sprintf("expired %s %s %g", p.Jail, id, at)}
	}
	var out []string
	if b := m.ban(p.Jail, id); b != nil {
		if b.end() >= now {
			out = append(out, fmt.Sprintf("already %s %s %g", p.Jail, id, at))
			if duration < 0 && b.duration >= 0 || duration >= 0 && at+duration > b.end() {
				b.duration = duration
				if duration >= 0 && at > b.start {
					b.duration += at - b.start
				}
				out = append(out, fmt.Sprintf("prolong %s %s %g %g", p.Jail, id, b.start, b.duration))
			}
			return out
		}
		m.bans = drop(m.bans, b)
		out = append(out, fmt.Sprintf("unban %s %s", p.Jail, id))
	}
	b := &modelBan{jail: p.Jail, id: id, start: at, duration: duration, count: 1, failures: failures}
	old := (*modelRecord)(nil)
	if own := m.record(p.Jail, id, now); p.Increment.Enabled && duration <= 0 && own != nil {
		b.count = own.count + 1
	}
	if p.Increment.Enabled && duration > 0 {
		where := p.Jail
		if p.Increment.OverallJails {
			where = ""
		}
		if old = m.record(where, id, now); old != nil {
			b.count = old.count + 1
			b.duration = math.Max(duration, duration*math.Exp2(float64(min(old.count, 20))))
			if limit := p.Increment.MaxTime.Seconds(); limit > 0 {
				b.duration = math.Min(b.duration, limit)
			}
		}
	}
	m.bans = append(m.bans, b)
	if (old == nil || at > old.last) && b.end() >= now {
		m.records = slices.DeleteFunc(m.records, func(r *modelRecord) bool { return r.jail == p.Jail && r.id == id })
		m.records = append(m.records, &modelRecord{p.Jail, id, b.count, at, b.duration})
	}
	out = append(out, fmt.Sprintf("ban %s %s %g %g #%d of %d", p.Jail, id, at, b.duration, b.count, failures))
	if old != nil {
		out = append(out, fmt.Sprintf("increase %s %s", p.Jail, id))
	}
	return out
}

func (m *model) expire(now float64) []string {
	var out []string
	for _, b := range slices.Clone(m.bans) {
		if b.end() < now {
			m.bans = drop(m.bans, b)
			out = append(out, fmt.Sprintf("unban %s %s", b.jail, b.id))
		}
	}
	return out
}

func (m *model) unban(name, id string) []string {
	var out []string
	for _, b := range slices.Clone(m.bans) {
		if (name == "" || b.jail == name) && (id == "" || b.id == id) {
			m.bans = drop(m.bans, b)
			out = append(out, fmt.Sprintf("unban %s %s", b.jail, b.id))
		}
	}
	m.records = slices.DeleteFunc(m.records, func(r *modelRecord) bool {
		return (name == "" || r.jail == name) && (id == "" || r.id == id)
	})
	return out
}

// brief tells a decision as the model does.
func brief(d jail.Decision) string {
	s := fmt.Sprintf("%s %s %s", d.Kind, d.Jail, d.ID)
	secs := func(t time.Time) string { return fmt.Sprintf("%g", t.Sub(epoch).Seconds()) }
	switch d.Kind {
	case jail.Found, jail.Expired, jail.Already:
		s += " " + secs(d.Time)
	case jail.FoundBad:
		s += fmt.Sprintf(" %g", d.Weight)
	case jail.BanStart:
		s += fmt.Sprintf(" %s %g #%d of %d", secs(d.Ban.Start), d.Ban.Duration.Seconds(), d.Ban.Count, d.Ban.Failures)
	case jail.Prolong:
		s += fmt.Sprintf(" %s %g", secs(d.Ban.Start), d.Ban.Duration.Seconds())
	}
	return s
}

func briefAll(ds []jail.Decision) []string {
	var out []string
	for _, d := range ds {
		out = append(out, brief(d))
	}
	return out
}

// step is something that happens.
type step struct {
	op       string
	jail, id string
	at, now  float64 // seconds
}

func (s step) String() string {
	return fmt.Sprintf("%s %s %s at=%g now=%g", s.op, s.jail, s.id, s.at, s.now)
}

func at(secs float64) time.Time { return epoch.Add(time.Duration(secs * float64(time.Second))) }

// do lets it happen in a Book.
func (s step) do(b *jail.Book, policies map[string]jail.Policy) []jail.Decision {
	id := ident.Parse(s.id)
	switch s.op {
	case "observe":
		return b.Observe(s.jail, jail.Failure{ID: id, Time: at(s.at)}, at(s.now))
	case "ban":
		return b.Ban(s.jail, []ident.ID{id}, nil, at(s.now))
	case "unban":
		return b.Unban(s.jail, []ident.ID{id}, at(s.now))
	case "unban-all":
		return b.Unban(s.jail, nil, at(s.now))
	case "expire":
		return b.Expire(at(s.now))
	case "purge":
		b.Purge(at(s.now))
	case "reload":
		p := policies[s.jail]
		p.MaxRetry = 1 + int(s.at)%4
		policies[s.jail] = p
		b.SetJail(p)
	}
	return nil
}

func (s step) doModel(m *model) []string {
	switch s.op {
	case "observe":
		return m.observe(s.jail, s.id, s.at, s.now)
	case "ban":
		return m.enforce(m.jails[s.jail], s.id, s.now, m.jails[s.jail].BanTime.Seconds(), 0, s.now)
	case "unban":
		return m.unban(s.jail, s.id)
	case "unban-all":
		return m.unban(s.jail, "")
	case "expire":
		return m.expire(s.now)
	}
	return nil // purge decides nothing, reload is the caller's
}

// randomPolicies makes three jails that differ in all that decisions depend on.
func randomPolicies(r *rand.Rand) map[string]jail.Policy {
	out := map[string]jail.Policy{}
	for _, name := range []string{"a", "b", "c"} {
		p := jail.Policy{
			Jail: name, MaxRetry: 1 + r.IntN(5), FindTime: time.Duration(5+r.IntN(60)) * time.Second,
			BanTime: time.Duration(1+r.IntN(50)) * time.Second, MaxMatches: r.IntN(4),
		}
		if r.IntN(8) == 0 {
			p.BanTime = jail.Permanent
		}
		p.Increment.Enabled = r.IntN(2) == 0
		p.Increment.OverallJails = r.IntN(2) == 0
		if r.IntN(2) == 0 && p.BanTime > 0 {
			p.Increment.MaxTime = p.BanTime * time.Duration(1+r.IntN(9))
		}
		out[name] = p
	}
	return out
}

// randomSteps makes a life of a few hundred steps with five IDs.
func randomSteps(r *rand.Rand, n int) []step {
	ops := []string{"observe", "observe", "observe", "observe", "observe", "observe", "observe", "expire", "purge", "ban", "unban", "reload"}
	var out []step
	now := 0.0
	for range n {
		now += float64(r.IntN(12) * r.IntN(3))
		if r.IntN(40) == 0 {
			now += float64(r.IntN(300))
		}
		s := step{
			op: ops[r.IntN(len(ops))], jail: string(rune('a' + r.IntN(3))), now: now, at: now,
			id: []string{"192.0.2.1", "192.0.2.2", "2001:db8::1", "user", "198.51.100.0/24"}[r.IntN(5)],
		}
		if r.IntN(3) == 0 {
			s.at -= float64(r.IntN(5)) // read late, but not later than the shortest findtime
		}
		if s.op == "unban" && r.IntN(20) == 0 {
			s.op = "unban-all"
		}
		out = append(out, s)
	}
	return out
}

// TestBookDecidesAsTheNaiveModel compares long random lives, decision by decision.
func TestBookDecidesAsTheNaiveModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		policies := randomPolicies(r)
		b := jail.NewBook(jail.Config{PurgeAge: 200 * time.Second})
		m := &model{jails: policies, purgeAge: 200}
		for _, p := range policies {
			b.SetJail(p)
		}
		for i, s := range randomSteps(r, 400) {
			got, want := briefAll(s.do(b, policies)), s.doModel(m)
			if s.op == "expire" || s.op == "unban-all" { // the model's order is that of the bans
				slices.Sort(got)
				slices.Sort(want)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %v\ngot\n\t%s\nwant\n\t%s", seed, i, s, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
			}
		}
		var got, want []string
		for _, name := range b.Jails() {
			st := b.Status(name)
			for _, v := range st.Banned {
				got = append(got, fmt.Sprintf("%s %s %g", name, v.ID, v.Duration.Seconds()))
			}
		}
		for _, v := range m.bans {
			want = append(want, fmt.Sprintf("%s %s %g", v.jail, v.id, v.duration))
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: bans at the end: got %v, want %v", seed, got, want)
		}
	}
}
