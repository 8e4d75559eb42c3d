package jail

import "time"

// Outcome is what became of an entry that was to be taken over.
type Outcome uint8

const (
	// Taken entries are new.
	Taken Outcome = iota
	// Known entries are there already: what the Book has is newer.
	Known
	// Over are bans that have ended, and histories that would be forgotten by now.
	Over
)

// Import takes over bans and histories of somewhere else while the Book is at work; of a Snapshot, these two
// only. What the Book holds already stays, but for the count of a history, of which the greater holds; so a
// second Import of the same changes nothing. It gives a Restore decision for every ban that is new and stands,
// as Restore does, and what became of each entry. With dry, nothing is changed, and there are no decisions.
func (b *Book) Import(s Snapshot, now time.Time, dry bool) (decisions []Decision, bans, histories []Outcome) {
	at := nanos(now)
	for _, v := range s.Histories {
		histories = append(histories, b.importHistory(v, at, dry))
	}
	jails := map[string]bool{}
	for _, v := range s.Bans {
		o := b.importBan(v, at, dry)
		bans = append(bans, o)
		jails[v.Jail] = jails[v.Jail] || o == Taken
	}
	if dry {
		return nil, bans, histories
	}
	for _, j := range b.chosen("") {
		if j.active && jails[j.name] {
			b.revive(j, at, func(d Decision) bool { decisions = append(decisions, d); return true })
		}
	}
	for i, v := range s.Bans { // a ban may be over by what its jail says
		if bans[i] == Taken && b.heldOf(v.Key) == nil {
			bans[i] = Over
		}
	}
	return decisions, bans, histories
}

func (b *Book) importBan(v Ban, now int64, dry bool) Outcome {
	switch {
	case b.heldOf(v.Key) != nil:
		return Known
	case v.ID.IsZero(), v.Duration >= 0 && endOf(nanos(v.Start), v.Duration) < now:
		return Over
	case dry:
		return Taken
	}
	b.restoreBan(v, now)
	h := b.heldOf(v.Key)
	if h == nil {
		return Over
	}
	h.stored = false
	b.changes.bans.touch(h)
	return Taken
}

func (b *Book) importHistory(v History, now int64, dry bool) Outcome {
	if r := b.historyOf(v.Key); r != nil {
		if v.Count <= r.count {
			return Known
		}
		if !dry {
			r.count = v.Count
			b.changes.records.touch(r)
		}
		return Taken
	}
	probe := record{count: v.Count, last: nanos(v.Last), duration: max(v.Duration, Permanent)}
	if v.Duration == UnknownDuration {
		probe.duration = 0
	}
	if v.ID.IsZero() || b.purgeTime(&probe) < now {
		return Over
	}
	if dry {
		return Taken
	}
	b.restoreHistory(v, now)
	r := b.historyOf(v.Key)
	if r == nil {
		return Over
	}
	r.stored = false
	b.changes.records.touch(r)
	return Taken
}
