package jail

import (
	"maps"
	"slices"
	"time"
)

// Defaults of Config.
const (
	// DefaultMaxEntries bounds tallies, bans and histories each. A million tallies with a line of 100
	// bytes each were measured to take 350 MB, as many bans with their histories 415 MB.
	DefaultMaxEntries = 1_000_000
	// DefaultMaxLineBytes bounds the text kept with tallies and bans: 256 MiB.
	DefaultMaxLineBytes = 256 << 20
	// DefaultPurgeAge is fail2ban's dbpurgeage.
	DefaultPurgeAge = 24 * time.Hour
	// DefaultMaxDBMatches is fail2ban's dbmaxmatches.
	DefaultMaxDBMatches = 10
)

const (
	// maxAttempts is the most that one failure counts as. Any maxretry is far below.
	maxAttempts = 1 << 20
	// sweepPerFailure is how many outdated tallies a failure clears on its way: more than the one it
	// may add, so that they shrink without anybody calling Purge.
	sweepPerFailure = 2
	// maxExpire bounds what one Expire or Purge does, so that the owner can answer in between.
	maxExpire = 4096
	// historyFactor is fail2ban's: a history lives until three times the ban time after the ban.
	historyFactor = 3
)

// Config bounds a Book. Zero values mean the defaults.
type Config struct {
	// MaxTallies bounds the tallies of all jails; the one whose last failure is oldest goes first.
	MaxTallies int
	// MaxBans bounds the bans; the one that ends first goes first, permanent ones last.
	MaxBans int
	// MaxHistory bounds the histories; the one that would be purged first goes first.
	MaxHistory int
	// MaxLineBytes bounds the lines and data kept with tallies and bans. Beyond it failures count, but
	// their lines are not kept.
	MaxLineBytes int
	// PurgeAge is how long a history lives at least (fail2ban's dbpurgeage): it is forgotten when that
	// time has passed since three times the ban time after the last ban. Permanent bans are not forgotten.
	PurgeAge time.Duration
	// MaxDBMatches is how many lines per entry Changes carry; negative is none.
	MaxDBMatches int
	// Random gives numbers from 0 up to, not including, 1. Nil gives 0: nothing is left to chance.
	Random func() float64
}

// Book holds all tallies, bans and histories. It is not safe for concurrent use.
type Book struct {
	cfg    Config
	jails  map[string]*state // also those that are removed and still remembered
	number uint64            // of the last ban, for the ban order

	banOrder    timeline[*held]
	recordOrder timeline[*record]
	tallyCount  int
	lineBytes   int

	changes changes
}

// state is a jail. One that is not active was removed, or is only known from the store: its bans
// sleep, nothing is counted, and its histories still weigh in other jails' escalation.
type state struct {
	name   string
	policy Policy
	active bool

	tallies    map[string]*tally // by the text of the ID
	bans       map[string]*held
	records    map[string]*record
	tallyOrder timeline[*tally] // those that are shown
	fadedOrder timeline[*tally] // the others, see sweep

	sleeping                 int // of the bans
	totalFailed, totalBanned int
}

// tally is the count of one ID.
type tally struct {
	links
	first, last        int64
	weighted, failures int
	lines              []string
	data               map[string]string
	faded              bool
}

// held is a ban.
type held struct {
	links
	start, end, bannedAt int64
	number               uint64
	duration, extended   time.Duration
	count, failures      int
	lines                []string
	data                 map[string]string
	origin               Origin
	restored, asleep     bool
}

// record is a history.
type record struct {
	links
	count    int
	last     int64
	duration time.Duration
}

// NewBook makes an empty Book.
func NewBook(c Config) *Book {
	c = c.withDefaults()
	b := &Book{cfg: c, jails: map[string]*state{}}
	b.changes.init(c)
	return b
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxTallies, DefaultMaxEntries)
	setDefault(&c.MaxBans, DefaultMaxEntries)
	setDefault(&c.MaxHistory, DefaultMaxEntries)
	setDefault(&c.MaxLineBytes, DefaultMaxLineBytes)
	if c.PurgeAge <= 0 {
		c.PurgeAge = DefaultPurgeAge
	}
	switch {
	case c.MaxDBMatches == 0:
		c.MaxDBMatches = DefaultMaxDBMatches
	case c.MaxDBMatches < 0:
		c.MaxDBMatches = 0
	}
	if c.Random == nil {
		c.Random = noRandom
	}
	return c
}

func setDefault(n *int, value int) {
	if *n <= 0 {
		*n = value
	}
}

// SetJail adds a jail or changes its policy. A running jail keeps its tallies, bans and histories; the
// new policy applies to what comes. Bans that are remembered of an earlier jail of the name sleep until
// Revive or Restore.
func (b *Book) SetJail(p Policy) {
	p.MaxRetry = max(p.MaxRetry, 1)
	p.FindTime = max(p.FindTime, 0)
	p.MaxMatches = max(p.MaxMatches, 0)
	if p.BanTime < 0 {
		p.BanTime = Permanent
	}
	j := b.jail(p.Jail)
	j.policy, j.active = p, true
}

// SetPurge changes how long histories live and how many lines Changes carry, as Config says.
func (b *Book) SetPurge(age time.Duration, maxDBMatches int) {
	c := Config{PurgeAge: age, MaxDBMatches: maxDBMatches}.withDefaults()
	b.cfg.MaxDBMatches = c.MaxDBMatches
	if b.cfg.PurgeAge == c.PurgeAge {
		return
	}
	b.cfg.PurgeAge = c.PurgeAge
	for _, j := range b.jails {
		for _, r := range j.records {
			b.recordOrder.move(r, b.purgeTime(r))
		}
	}
}

// jail gives the state of a name, made if there is none.
func (b *Book) jail(name string) *state {
	j := b.jails[name]
	if j == nil {
		j = &state{name: name, tallies: map[string]*tally{}, bans: map[string]*held{}, records: map[string]*record{}}
		b.jails[name] = j
	}
	return j
}

// active gives a jail that runs.
func (b *Book) active(name string) (*state, bool) {
	j := b.jails[name]
	return j, j != nil && j.active
}

// Jails gives the names of the jails, sorted.
func (b *Book) Jails() []string {
	var names []string
	for name, j := range b.jails {
		if j.active {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// Policy gives the policy of a jail.
func (b *Book) Policy(jail string) (Policy, bool) {
	j, ok := b.active(jail)
	if !ok {
		return Policy{}, false
	}
	return j.policy, true
}

// RemoveJail ends a jail: its tallies are forgotten, and every ban is an Unban, in ban order. As with
// fail2ban, the store keeps the bans, and they are restored if the jail returns in time.
func (b *Book) RemoveJail(jail string, now time.Time) []Decision {
	j, ok := b.active(jail)
	if !ok {
		return nil
	}
	b.dropTallies(j)
	out := make([]Decision, 0, len(j.bans)-j.sleeping)
	for _, h := range j.ordered() {
		if !h.asleep {
			out = append(out, Decision{Kind: Unban, Key: h.key(), Ban: h.ban(), Time: timeAt(nanos(now)), Reason: JailRemoved})
			h.asleep, h.restored = true, true
			j.sleeping++
		}
	}
	j.active = false
	j.totalFailed, j.totalBanned = 0, 0
	b.forgetEmpty(j)
	return out
}

// forgetEmpty drops a jail that nothing is remembered of.
func (b *Book) forgetEmpty(j *state) {
	if !j.active && len(j.bans) == 0 && len(j.records) == 0 {
		delete(b.jails, j.name)
	}
}

// ordered gives a jail's bans, also sleeping ones, in ban order.
func (j *state) ordered() []*held {
	return slices.SortedFunc(maps.Values(j.bans), func(a, b *held) int {
		if a.number < b.number {
			return -1
		}
		return 1
	})
}

func (h *held) ban() Ban {
	return Ban{
		Key: h.key(), Start: timeAt(h.start), Duration: h.duration, Extended: h.extended, Count: h.count,
		Failures: h.failures, Lines: slices.Clone(h.lines), Data: maps.Clone(h.data), Origin: h.origin,
		Restored: h.restored, BannedAt: timeAt(h.bannedAt),
	}
}

func (t *tally) tally() Tally {
	return Tally{
		Key: t.key(), First: timeAt(t.first), Last: timeAt(t.last), Weighted: t.weighted, Failures: t.failures,
		Lines: slices.Clone(t.lines), Data: maps.Clone(t.data),
	}
}

func (r *record) history() History {
	return History{Key: r.key(), Count: r.count, Last: timeAt(r.last), Duration: r.duration}
}
