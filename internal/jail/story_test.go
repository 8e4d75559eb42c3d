package jail_test

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

var rewrite = flag.Bool("rewrite", false, "write what the stories give into testdata; read the difference before you commit it")

// epoch is when every test begins. Times in stories are offsets from it.
var epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestStories runs testdata/*.txt: a command, "----", what follows from it, an empty line. The commands
// are those of teller.run.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { runStory(t, file) })
	}
}

func runStory(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := newTeller()
	var out bytes.Buffer
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		line := lines.Text()
		fmt.Fprintln(&out, line)
		if line == "" || line[0] == '#' {
			continue
		}
		got := s.run(t, line)
		if !lines.Scan() || lines.Text() != "----" {
			t.Fatalf("%s: no ---- after %q", file, line)
		}
		fmt.Fprintln(&out, "----")
		var want []string
		for lines.Scan() && lines.Text() != "" {
			want = append(want, lines.Text())
		}
		for _, l := range got {
			fmt.Fprintln(&out, l)
		}
		fmt.Fprintln(&out)
		if !*rewrite && !slices.Equal(got, want) {
			t.Errorf("%s\ngot:\n\t%s\nwant:\n\t%s", line, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
	if *rewrite {
		if err := os.WriteFile(file, append(bytes.TrimRight(out.Bytes(), "\n"), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// teller is a Book, a clock and a store that a story is told with.
type teller struct {
	config   jail.Config
	book     *jail.Book
	policies map[string]jail.Policy
	store    *memoryStore
	taken    []jail.Changes
	now      time.Time
}

func newTeller() *teller {
	s := &teller{policies: map[string]jail.Policy{}, store: newMemoryStore(), now: epoch}
	s.config.Random = func() float64 { return 0.5 }
	s.book = jail.NewBook(s.config)
	return s
}

// run carries out a command:
//
//	bounds [tallies=N] [bans=N] [history=N] [bytes=N] [age=D] [dbmatches=N]
//	jail NAME [maxretry=N] [findtime=D] [bantime=D] [maxmatches=N] [increment=yes] [factor=F]
//	     [formula=F] [multipliers=N,N] [maxtime=D] [rndtime=D] [overalljails=yes]
//	at +D                             set the clock
//	fail JAIL ID [t=+D] [n=N] [line=TEXT] [user=TEXT]
//	ban JAIL ID… [for=D]              for=-1s is permanent
//	unban JAIL|* ID…|all
//	expire, next, purge, remove JAIL, revive JAIL, status JAIL, lookup ID, sizes
//	take, return, commit              changes taken; given back; written to the store
//	restart                           a new Book, restored from the store
func (s *teller) run(t *testing.T, line string) []string {
	t.Helper()
	words := strings.Fields(line)
	var plain []string
	opt := map[string]string{}
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, "="); ok {
			opt[k] = v
		} else {
			plain = append(plain, w)
		}
	}
	switch words[0] {
	case "bounds":
		s.config.MaxTallies, s.config.MaxBans = number(t, opt["tallies"]), number(t, opt["bans"])
		s.config.MaxHistory, s.config.MaxLineBytes = number(t, opt["history"]), number(t, opt["bytes"])
		s.config.PurgeAge, s.config.MaxDBMatches = duration(t, opt["age"]), number(t, opt["dbmatches"])
		s.book = jail.NewBook(s.config)
		return nil
	case "jail":
		p := policy(t, plain[0], opt)
		s.policies[p.Jail] = p
		s.book.SetJail(p)
		return nil
	case "at":
		s.now = s.at(t, plain[0])
		return nil
	case "fail":
		f := jail.Failure{ID: ident.Parse(plain[1]), Time: s.now, Attempts: number(t, opt["n"])}
		if v, ok := opt["t"]; ok {
			f.Time = s.at(t, v)
		}
		if v, ok := opt["line"]; ok {
			f.Lines = strings.Split(v, ",")
		}
		if v, ok := opt["user"]; ok {
			f.Data = map[string]string{"user": v}
		}
		return tellAll(s.book.Observe(plain[0], f, s.now))
	case "ban":
		var d *time.Duration
		if v, ok := opt["for"]; ok {
			x := duration(t, v)
			d = &x
		}
		return tellAll(s.book.Ban(plain[0], ids(plain[1:]), d, s.now))
	case "unban":
		name := strings.Trim(plain[0], "*")
		if plain[1] == "all" {
			return tellAll(s.book.Unban(name, nil, s.now))
		}
		return tellAll(s.book.Unban(name, ids(plain[1:]), s.now))
	case "expire":
		return tellAll(s.book.Expire(s.now))
	case "next":
		at, ok := s.book.NextExpiry()
		if !ok {
			return []string{"never"}
		}
		return []string{offset(at)}
	case "purge":
		return []string{fmt.Sprintf("more %v", s.book.Purge(s.now))}
	case "remove":
		delete(s.policies, plain[0])
		return tellAll(s.book.RemoveJail(plain[0], s.now))
	case "revive":
		return tellAll(s.book.Revive(plain[0], s.now))
	}
	return s.show(t, words[0], plain)
}

func (s *teller) show(t *testing.T, command string, plain []string) []string {
	t.Helper()
	switch command {
	case "status":
		st := s.book.Status(plain[0])
		if _, ok := s.book.Policy(plain[0]); !ok {
			return []string{"no such jail"}
		}
		out := []string{fmt.Sprintf("failed %d of %d, banned %d of %d", st.CurrentlyFailed, st.TotalFailed, st.CurrentlyBanned, st.TotalBanned)}
		for _, b := range st.Banned {
			out = append(out, "  "+b.ID.String()+" "+tellBan(b))
		}
		return out
	case "lookup":
		var out []string
		for _, st := range s.book.Lookup(ident.Parse(plain[0])) {
			out = append(out, st.Jail)
			if st.Ban != nil {
				out = append(out, "  ban "+tellBan(*st.Ban))
			}
			if st.Tally != nil {
				out = append(out, "  tally "+tellTally(*st.Tally))
			}
			if st.History != nil {
				out = append(out, "  history "+tellHistory(*st.History))
			}
		}
		return out
	case "sizes":
		return []string{fmt.Sprintf("%+v", s.book.Sizes())}
	case "take":
		c := s.book.TakeChanges()
		s.taken = append(s.taken, c)
		return tellChanges(c)
	case "return":
		for _, c := range s.taken {
			s.book.Return(c)
		}
		s.taken = nil
		return nil
	case "commit":
		c := s.book.TakeChanges()
		s.store.write(c)
		return nil
	case "restart":
		s.book = jail.NewBook(s.config)
		for _, p := range s.policies {
			s.book.SetJail(p)
		}
		return tellAll(s.book.Restore(s.store.snapshot(), s.now))
	default:
		t.Fatalf("unknown command %q", command)
		return nil
	}
}

func policy(t *testing.T, name string, opt map[string]string) jail.Policy {
	t.Helper()
	p := jail.Policy{Jail: name, MaxRetry: 3, FindTime: 10 * time.Minute, BanTime: 10 * time.Minute, MaxMatches: 3}
	inc := &p.Increment
	var err error
	for k, v := range opt {
		switch k {
		case "maxretry":
			p.MaxRetry = number(t, v)
		case "findtime":
			p.FindTime = duration(t, v)
		case "bantime":
			p.BanTime = duration(t, v)
		case "maxmatches":
			p.MaxMatches = number(t, v)
		case "increment":
			inc.Enabled = v == "yes"
		case "factor":
			inc.Factor, err = jail.ParseFactor(v)
		case "formula":
			inc.Formula, err = jail.ParseFormula(v)
		case "multipliers":
			inc.Multipliers, err = jail.ParseMultipliers(strings.ReplaceAll(v, ",", " "))
		case "maxtime":
			inc.MaxTime = duration(t, v)
		case "rndtime":
			inc.RndTime = duration(t, v)
		case "overalljails":
			inc.OverallJails = v == "yes"
		default:
			t.Fatalf("unknown option %q", k)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (s *teller) at(t *testing.T, text string) time.Time {
	t.Helper()
	return epoch.Add(duration(t, strings.TrimPrefix(text, "+")))
}

func number(t *testing.T, s string) int {
	t.Helper()
	if s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func duration(t *testing.T, s string) time.Duration {
	t.Helper()
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func ids(words []string) []ident.ID {
	var out []ident.ID
	for _, w := range words {
		out = append(out, ident.Parse(w))
	}
	return out
}

// offset tells a time as the distance from the epoch.
func offset(at time.Time) string { return "+" + at.Sub(epoch).String() }

func length(d time.Duration) string {
	if d < 0 {
		return "permanent"
	}
	return d.String()
}

func tellAll(ds []jail.Decision) []string {
	var out []string
	for _, d := range ds {
		out = append(out, tell(d))
	}
	return out
}

// tell gives a decision in a line: kind, jail, ID, and what the kind has.
func tell(d jail.Decision) string {
	s := fmt.Sprintf("%s %s %s", d.Kind, d.Jail, d.ID)
	switch d.Kind {
	case jail.Found, jail.Evicted:
		s += " t=" + offset(d.Time)
	case jail.FoundBad:
		s += fmt.Sprintf(" t=%s weight=%g capped=%v (%s)", offset(d.Time), d.Weight, d.Capped, tellHistory(d.Previous))
	case jail.Unban:
		s += fmt.Sprintf(" %s t=%s %s", d.Reason, offset(d.Time), tellBan(d.Ban))
	case jail.Prolong:
		s += fmt.Sprintf(" t=%s was=%s %s", offset(d.Time), length(d.Old), tellBan(d.Ban))
	case jail.IncreaseBan:
		s += fmt.Sprintf(" t=%s %s->%s (%s)", offset(d.Time), length(d.Old), length(d.Ban.Duration), tellHistory(d.Previous))
		if d.Err != nil {
			s += fmt.Sprintf(" error: %v", d.Err)
		}
	default:
		s += fmt.Sprintf(" t=%s %s", offset(d.Time), tellBan(d.Ban))
	}
	return s
}

func tellBan(b jail.Ban) string {
	s := "start=" + offset(b.Start) + " for=" + length(b.Duration)
	if end, permanent := b.End(); !permanent {
		s += " end=" + offset(end)
	}
	s += fmt.Sprintf(" count=%d failures=%d", b.Count, b.Failures)
	if b.Extended > 0 {
		s += " extended=" + b.Extended.String()
	}
	if b.Origin != jail.Local {
		s += " " + b.Origin.String()
	}
	if b.Restored {
		s += " restored"
	}
	return s + tellText(b.Lines, b.Data)
}

func tellText(lines []string, data map[string]string) string {
	s := ""
	if len(lines) > 0 {
		s += " lines=" + strings.Join(lines, ",")
	}
	if v, ok := data["user"]; ok {
		s += " user=" + v
	}
	return s
}

func tellTally(t jail.Tally) string {
	return fmt.Sprintf("first=%s last=%s weighted=%d failures=%d", offset(t.First), offset(t.Last), t.Weighted, t.Failures) +
		tellText(t.Lines, t.Data)
}

func tellHistory(h jail.History) string {
	return fmt.Sprintf("count=%d last=%s for=%s", h.Count, offset(h.Last), length(h.Duration))
}

func tellChanges(c jail.Changes) []string {
	var out []string
	for _, v := range c.Bans {
		out = append(out, fmt.Sprintf("put ban %s %s %s", v.Jail, v.ID, tellBan(v)))
	}
	for _, k := range c.Unbanned {
		out = append(out, fmt.Sprintf("del ban %s %s", k.Jail, k.ID))
	}
	for _, v := range c.Histories {
		out = append(out, fmt.Sprintf("put history %s %s %s", v.Jail, v.ID, tellHistory(v)))
	}
	for _, k := range c.Forgotten {
		out = append(out, fmt.Sprintf("del history %s %s", k.Jail, k.ID))
	}
	for _, v := range c.Tallies {
		out = append(out, fmt.Sprintf("put tally %s %s %s", v.Jail, v.ID, tellTally(v)))
	}
	for _, k := range c.Cleared {
		out = append(out, fmt.Sprintf("del tally %s %s", k.Jail, k.ID))
	}
	return out
}

// memoryStore holds what changes say, as a store does.
type memoryStore struct {
	bans      map[jail.Key]jail.Ban
	histories map[jail.Key]jail.History
	tallies   map[jail.Key]jail.Tally
}

func newMemoryStore() *memoryStore {
	return &memoryStore{map[jail.Key]jail.Ban{}, map[jail.Key]jail.History{}, map[jail.Key]jail.Tally{}}
}

func (m *memoryStore) write(c jail.Changes) {
	for _, v := range c.Bans {
		m.bans[v.Key] = v
	}
	for _, k := range c.Unbanned {
		delete(m.bans, k)
	}
	for _, v := range c.Histories {
		m.histories[v.Key] = v
	}
	for _, k := range c.Forgotten {
		delete(m.histories, k)
	}
	for _, v := range c.Tallies {
		m.tallies[v.Key] = v
	}
	for _, k := range c.Cleared {
		delete(m.tallies, k)
	}
}

func (m *memoryStore) snapshot() jail.Snapshot {
	var s jail.Snapshot
	for _, v := range m.bans {
		s.Bans = append(s.Bans, v)
	}
	for _, v := range m.histories {
		s.Histories = append(s.Histories, v)
	}
	for _, v := range m.tallies {
		s.Tallies = append(s.Tallies, v)
	}
	return s
}
