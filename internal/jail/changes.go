package jail

import (
	"cmp"
	"slices"
)

// Changes is what the store must write so that it holds what the Book holds. Every entry is the newest
// state of its key; no key is in both of Bans and Unbanned, Histories and Forgotten, Tallies and
// Cleared. Each list is sorted by jail and ID.
type Changes struct {
	Bans      []Ban
	Unbanned  []Key
	Histories []History
	Forgotten []Key
	Tallies   []Tally
	Cleared   []Key
}

// Empty reports whether there is nothing to write.
func (c Changes) Empty() bool {
	return len(c.Bans)+len(c.Unbanned)+len(c.Histories)+len(c.Forgotten)+len(c.Tallies)+len(c.Cleared) == 0
}

type changes struct {
	tallies changeLog[*tally]
	bans    changeLog[*held]
	records changeLog[*record]
}

// leastEnded is room for what ends between two commits, however small the bounds.
const leastEnded = 1024

func (c *changes) init(cfg Config) {
	c.tallies.limit = max(cfg.MaxTallies, leastEnded)
	c.bans.limit = max(cfg.MaxBans, leastEnded)
	c.records.limit = max(cfg.MaxHistory, leastEnded)
}

func (c *changes) len() int { return c.tallies.len() + c.bans.len() + c.records.len() }

// changeLog remembers which entries of a kind differ from the store: those that stand, and the names of
// those that ended though the store may hold them.
type changeLog[T linked] struct {
	dirty []T
	ended map[Key]struct{}
	// limit bounds ended, should the store be unable to write for long. What ended by itself is not
	// noted beyond it, since Restore finds out; what an operator ended has as much room again.
	limit int
}

func (c *changeLog[T]) len() int { return len(c.dirty) + len(c.ended) }

// touch notes that an entry is new or changed.
func (c *changeLog[T]) touch(e T) {
	if l := e.link(); l.mark == 0 {
		c.dirty = append(c.dirty, e)
		l.mark = int32(len(c.dirty))
	}
}

// end notes that an entry is gone; natural tells that no operator ended it.
func (c *changeLog[T]) end(e T, natural bool) {
	c.clean(e)
	if l := e.link(); l.stored {
		c.endKey(l.key(), natural)
	}
}

// clean takes an entry out of the log: the store holds it as it is.
func (c *changeLog[T]) clean(e T) {
	l := e.link()
	if l.mark == 0 {
		return
	}
	i, last := int(l.mark)-1, len(c.dirty)-1
	c.dirty[i] = c.dirty[last]
	c.dirty[i].link().mark = l.mark
	var none T
	c.dirty[last] = none
	c.dirty = c.dirty[:last]
	l.mark = 0
}

func (c *changeLog[T]) endKey(k Key, natural bool) {
	if n := len(c.ended); n >= 2*c.limit || natural && n >= c.limit {
		return
	}
	if c.ended == nil {
		c.ended = map[Key]struct{}{}
	}
	c.ended[k] = struct{}{}
}

// take empties the log. Names of ended entries that stand again are left out: their new state is dirty.
func (c *changeLog[T]) take(stands func(Key) bool) (dirty []T, ended []Key) {
	for k := range c.ended {
		if !stands(k) {
			ended = append(ended, k)
		}
	}
	slices.SortFunc(ended, compareKeys)
	dirty = c.dirty
	c.dirty, c.ended = nil, nil
	for _, e := range dirty {
		e.link().mark, e.link().stored = 0, true
	}
	slices.SortFunc(dirty, func(a, b T) int {
		x, y := a.link(), b.link()
		return cmp.Or(cmp.Compare(x.jail.name, y.jail.name), cmp.Compare(x.id.String(), y.id.String()))
	})
	return dirty, ended
}

func compareKeys(a, b Key) int {
	return cmp.Or(cmp.Compare(a.Jail, b.Jail), cmp.Compare(a.ID.String(), b.ID.String()))
}

// TakeChanges gives what differs from what was taken before, and counts on the caller to write it or to
// Return it.
func (b *Book) TakeChanges() Changes {
	var c Changes
	bans, unbanned := b.changes.bans.take(func(k Key) bool { return b.heldOf(k) != nil })
	records, forgotten := b.changes.records.take(func(k Key) bool { return b.historyOf(k) != nil })
	tallies, cleared := b.changes.tallies.take(func(k Key) bool { return b.tallyOf(k) != nil })
	c.Unbanned, c.Forgotten, c.Cleared = unbanned, forgotten, cleared
	c.Bans = slices.Grow(c.Bans, len(bans))
	for _, h := range bans {
		ban := h.ban()
		ban.Lines = lastLines(ban.Lines, b.cfg.MaxDBMatches)
		ban.Restored = false
		c.Bans = append(c.Bans, ban)
	}
	c.Histories = slices.Grow(c.Histories, len(records))
	for _, r := range records {
		c.Histories = append(c.Histories, r.history())
	}
	c.Tallies = slices.Grow(c.Tallies, len(tallies))
	for _, t := range tallies {
		v := t.tally()
		v.Lines = lastLines(v.Lines, b.cfg.MaxDBMatches)
		c.Tallies = append(c.Tallies, v)
	}
	return c
}

func lastLines(lines []string, n int) []string {
	switch {
	case n == 0:
		return nil
	case len(lines) > n:
		return lines[len(lines)-n:]
	}
	return lines
}

// Return takes back changes that could not be written, in whole or in part. What changed since is newer
// and wins: only the keys are noted, the next TakeChanges gives their state by then.
func (b *Book) Return(c Changes) {
	for _, v := range c.Bans {
		b.changes.bans.again(b.heldOf(v.Key))
	}
	for _, k := range c.Unbanned {
		b.changes.bans.endKey(k, false)
	}
	for _, v := range c.Histories {
		b.changes.records.again(b.historyOf(v.Key))
	}
	for _, k := range c.Forgotten {
		b.changes.records.endKey(k, false)
	}
	for _, v := range c.Tallies {
		b.changes.tallies.again(b.tallyOf(v.Key))
	}
	for _, k := range c.Cleared {
		b.changes.tallies.endKey(k, true)
	}
}

// again notes an entry that stood when it was taken. If it is nil it ended since, which was noted then.
func (c *changeLog[T]) again(e T) {
	var none T
	if e != none {
		c.touch(e)
	}
}

func (b *Book) tallyOf(k Key) *tally {
	return find(b, k, func(j *state) map[string]*tally { return j.tallies })
}

func (b *Book) heldOf(k Key) *held {
	return find(b, k, func(j *state) map[string]*held { return j.bans })
}

func (b *Book) historyOf(k Key) *record {
	return find(b, k, func(j *state) map[string]*record { return j.records })
}

func find[T any](b *Book, k Key, in func(*state) map[string]*T) *T {
	if j := b.jails[k.Jail]; j != nil {
		return in(j)[k.ID.String()]
	}
	return nil
}
