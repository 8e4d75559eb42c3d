package jail

import (
	"cmp"
	"iter"
	"slices"
	"time"
)

// Snapshot is what a store holds. The order of the lists does not matter.
type Snapshot struct {
	Bans      []Ban
	Histories []History
	Tallies   []Tally
}

// Restore takes over what the store holds: at the start, after SetJail for every jail and before
// anything else. The caller leaves out the bans of IDs that are ignored by now. It gives a Restore
// decision for every ban that stands, in the order of their starts.
//
// A ban is shortened or dropped as fail2ban does it, so that a shorter ban time in the configuration
// takes effect: see limit. Bans of jails that do not exist sleep until the jail is set and revived.
// What is dropped is part of the next Changes. Entries that the Book already has are newer and stay.
func (b *Book) Restore(s Snapshot, now time.Time) []Decision {
	return slices.Collect(b.Restoring(s, now))
}

// Restoring is Restore for many bans: the decisions come one by one, so that they need not all be there
// at once. What the store holds is taken over before the first of them; nothing else may be asked of the
// Book until the last has been taken, and all of them must be.
func (b *Book) Restoring(s Snapshot, now time.Time) iter.Seq[Decision] {
	at := nanos(now)
	for _, v := range s.Histories {
		b.restoreHistory(v, at)
	}
	for _, v := range s.Tallies {
		b.restoreTally(v, at)
	}
	bans := slices.Clone(s.Bans)
	slices.SortStableFunc(bans, func(x, y Ban) int {
		return cmp.Or(x.BannedAt.Compare(y.BannedAt), x.Start.Compare(y.Start), compareKeys(x.Key, y.Key))
	})
	for _, v := range bans {
		b.restoreBan(v, at)
	}
	return func(yield func(Decision) bool) {
		for _, j := range b.chosen("") {
			if j.active && !b.revive(j, at, yield) {
				return
			}
		}
	}
}

// Revive wakes the bans that are remembered of a jail that was removed and set again, or that was set
// for the first time since Restore read its bans. It gives a Restore decision for each, in ban order.
func (b *Book) Revive(jail string, now time.Time) []Decision {
	j, ok := b.active(jail)
	if !ok {
		return nil
	}
	var out []Decision
	b.revive(j, nanos(now), func(d Decision) bool { out = append(out, d); return true })
	return out
}

// revive wakes the bans of a jail; it reports false if yield wants no more.
func (b *Book) revive(j *state, now int64, yield func(Decision) bool) bool {
	if j.sleeping == 0 {
		return true
	}
	for _, h := range j.ordered() {
		if !h.asleep {
			continue
		}
		if !b.limit(h, now) {
			b.unban(nil, h, now, TimeOver) // asleep: in silence
			continue
		}
		h.asleep, h.restored = false, true
		j.sleeping--
		j.totalBanned++
		if !yield(Decision{Kind: Restore, Key: h.key(), Ban: h.ban(), Time: timeAt(now)}) {
			return false
		}
	}
	return true
}

// limit holds a ban to its jail's present configuration and reports whether it stands.
//
// Without escalation no ban lasts longer than the jail's ban time, counted from the failure that the
// end is counted from, unless that is permanent. With escalation the limit is maxtime and what chance
// may add, if there is a maxtime. What an operator asked for by hand is left alone.
func (b *Book) limit(h *held, now int64) bool {
	p := h.jail.policy
	given := h.duration // what the policy gave, without the extension
	if given >= 0 {
		given -= h.extended
	}
	most, chance := p.BanTime, time.Duration(0)
	if p.Increment.Enabled {
		most, chance = Permanent, p.Increment.RndTime
		if p.Increment.MaxTime > 0 {
			most = max(p.Increment.MaxTime, p.BanTime)
		}
	}
	switch {
	case h.duration == UnknownDuration:
		given = p.BanTime
	case h.origin == Manual || most <= 0:
	case given < 0, given > most && given-most > max(chance, 0):
		given = most
	}
	h.lengthTo(given, b)
	return h.end >= now
}

// lengthTo sets the part of the duration that the policy gave.
func (h *held) lengthTo(given time.Duration, b *Book) {
	d := given
	if d >= 0 {
		d = time.Duration(after(int64(d), h.extended))
	} else {
		h.extended = 0
	}
	if d == h.duration {
		return
	}
	h.duration, h.end = d, endOf(h.start, d)
	b.banOrder.move(h, h.end)
	b.changes.bans.touch(h)
}

func (b *Book) restoreBan(v Ban, now int64) {
	if v.ID.IsZero() || b.heldOf(v.Key) != nil {
		return
	}
	h := &held{
		links: links{jail: b.jail(v.Jail), id: own(v.ID), stored: true}, start: nanos(v.Start), bannedAt: nanos(v.BannedAt),
		duration: v.Duration, extended: min(max(v.Extended, 0), max(v.Duration, 0)), count: v.Count, failures: v.Failures,
		origin: v.Origin, restored: true, asleep: true,
	}
	if h.duration < 0 && h.duration != UnknownDuration {
		h.duration = Permanent
	}
	h.end = endOf(h.start, h.duration)
	if h.end < now {
		b.changes.bans.endKey(h.key(), true)
		b.forgetEmpty(h.jail)
		return
	}
	b.makeRoomForBan(nil, now)
	most := len(v.Lines)
	if h.jail.active {
		most = h.jail.policy.MaxMatches
	}
	h.lines = b.keepLines(nil, v.Lines, most)
	h.data = b.keepData(v.Data)
	h.jail.sleeping++
	b.addBan(h)
	b.changes.bans.clean(h)
}

func (b *Book) restoreHistory(v History, now int64) {
	if v.ID.IsZero() || b.historyOf(v.Key) != nil {
		return
	}
	r := &record{
		links: links{jail: b.jail(v.Jail), id: own(v.ID), stored: true},
		count: v.Count, last: nanos(v.Last), duration: v.Duration,
	}
	switch {
	case r.duration == UnknownDuration:
		r.duration = 0
	case r.duration < 0:
		r.duration = Permanent
	}
	if b.purgeTime(r) < now {
		b.changes.records.endKey(r.key(), true)
		b.forgetEmpty(r.jail)
		return
	}
	b.addRecord(r)
	b.changes.records.clean(r)
}

func (b *Book) restoreTally(v Tally, now int64) {
	j, ok := b.active(v.Jail)
	if !ok {
		b.changes.tallies.endKey(v.Key, true)
		return
	}
	if v.ID.IsZero() || b.tallyOf(v.Key) != nil {
		return
	}
	t := &tally{
		links: links{jail: j, id: own(v.ID), stored: true}, first: nanos(v.First), last: nanos(v.Last),
		weighted: min(max(v.Weighted, 0), maxAttempts), failures: min(max(v.Failures, 0), maxAttempts),
	}
	if t.last-t.first < 0 { // the wrong way round, or further apart than can be counted
		t.first = t.last
	}
	if j.outdated(t, now-int64(j.policy.FindTime)) {
		b.changes.tallies.endKey(v.Key, true)
		return
	}
	b.makeRoomForTally(nil)
	t.lines = b.keepLines(nil, v.Lines, j.policy.MaxMatches)
	t.data = b.keepData(v.Data)
	b.addTally(t)
	b.changes.tallies.clean(t)
	if j.outdated(t, now) {
		j.fade(t)
	}
}
