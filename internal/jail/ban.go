package jail

import (
	"math"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// candidate is a ban that is asked for.
type candidate struct {
	jail     *state
	id       ident.ID
	at       int64 // the end is counted from here
	duration time.Duration
	fixed    bool // the duration was asked for and does not escalate
	failures int
	lines    []string // accounted for in Book.lineBytes, as data
	data     map[string]string
	origin   Origin
}

// Ban bans by hand, from now. With d nil a ban lasts the jail's ban time and escalates as any other; a
// negative *d is permanent. Ignored IDs are the caller's to refuse. The number of BanStart decisions is
// that of IDs that were not banned before.
func (b *Book) Ban(jail string, ids []ident.ID, d *time.Duration, now time.Time) []Decision {
	j, ok := b.active(jail)
	if !ok {
		return nil
	}
	at := nanos(now)
	var out []Decision
	for _, id := range ids {
		if id.IsZero() {
			continue
		}
		c := candidate{jail: j, id: own(id), at: at, duration: j.policy.BanTime, origin: Manual}
		if d != nil {
			c.fixed, c.duration = true, max(*d, Permanent)
			if *d < 0 {
				c.duration = Permanent
			}
		}
		out = b.enforce(out, c, at)
	}
	return out
}

// enforce turns a candidate into a ban, or says why not.
func (b *Book) enforce(out []Decision, c candidate, now int64) []Decision {
	if endOf(c.at, c.duration) < now {
		b.release(c.lines, c.data)
		h := c.held(now)
		return append(out, Decision{Kind: Expired, Key: h.key(), Ban: h.ban(), Time: timeAt(c.at)})
	}
	if h := c.jail.bans[c.id.String()]; h != nil {
		if !h.asleep && h.end >= now {
			b.release(c.lines, c.data)
			return b.again(out, h, c)
		}
		out = b.unban(out, h, now, TimeOver)
	}

	h := c.held(now)
	prev, escalated, err := b.escalate(h, c, now)
	out = b.makeRoomForBan(out, now)
	b.addBan(h)
	c.jail.totalBanned++
	// A ban for failures no newer than the last ban was remembered then. One that is over already, which
	// takes a factor below 1, leaves no history.
	if (!escalated || c.at > nanos(prev.Last)) && h.end >= now {
		b.remember(h)
	}
	out = append(out, Decision{Kind: BanStart, Key: h.key(), Ban: h.ban(), Time: timeAt(c.at)})
	if escalated {
		out = append(out, Decision{
			Kind: IncreaseBan, Key: h.key(), Ban: h.ban(), Old: c.duration, Time: timeAt(c.at), Previous: prev, Err: err,
		})
	}
	return out
}

func (c candidate) held(now int64) *held {
	return &held{
		links: links{jail: c.jail, id: c.id}, start: c.at, end: endOf(c.at, c.duration), bannedAt: now,
		duration: c.duration, count: 1, failures: c.failures, lines: c.lines, data: c.data, origin: c.origin,
	}
}

// escalate sets the count and the duration of a new ban from the history prev of the ID. Escalated is
// false if there is none, or if the ban has a time of its own or no end: these are only counted.
func (b *Book) escalate(h *held, c candidate, now int64) (prev History, escalated bool, err error) {
	inc := c.jail.policy.Increment
	if !inc.Enabled {
		return History{}, false, nil
	}
	escalated = !c.fixed && c.duration > 0
	prev, bad := b.previous(c.jail, c.id, escalated && inc.OverallJails, now)
	if !bad {
		return History{}, false, nil
	}
	h.count = max(prev.Count, 0) + 1
	if !escalated {
		return History{}, false, nil
	}
	h.duration, err = inc.lengthen(c.duration, prev.Count, b.cfg.Random)
	h.end = endOf(h.start, h.duration)
	return prev, true, err
}

// previous gives an ID's history in its jail or, overall, the counts and times of all jails in one:
// the sum of the counts and durations, the latest of the times.
func (b *Book) previous(j *state, id ident.ID, overall bool, now int64) (History, bool) {
	if !overall {
		if r := b.recordOf(j, id, now); r != nil {
			return r.history(), true
		}
		return History{}, false
	}
	found := false
	sum := record{links: links{jail: j, id: id}, last: earliest}
	for _, other := range b.jails {
		if r := b.recordOf(other, id, now); r != nil {
			found = true
			sum.count += r.count
			sum.last = max(sum.last, r.last)
			sum.duration += min(r.duration, math.MaxInt64-max(sum.duration, 0))
		}
	}
	return sum.history(), found
}

// again handles an ID that is banned: a later end prolongs the ban, so that it ends the ban time after
// the new failure.
func (b *Book) again(out []Decision, h *held, c candidate) []Decision {
	out = append(out, Decision{Kind: Already, Key: h.key(), Ban: h.ban(), Time: timeAt(c.at)})
	end := endOf(c.at, c.duration)
	if end <= h.end {
		return out
	}
	old := h.duration
	h.duration, h.extended = c.duration, 0
	if later := time.Duration(c.at - h.start); later > 0 && c.duration >= 0 {
		h.extended = later
		h.duration += min(later, math.MaxInt64-h.duration)
	}
	if c.fixed {
		h.origin = Manual
	}
	h.end = endOf(h.start, h.duration)
	b.banOrder.move(h, h.end)
	b.changes.bans.touch(h)
	return append(out, Decision{Kind: Prolong, Key: h.key(), Ban: h.ban(), Old: old, Time: timeAt(c.at)})
}

// Unban ends bans by hand, in a jail or, with jail empty, in all. A network ends the bans of everything
// that it contains; ids nil ends all. As in fail2ban, the histories of the IDs in these jails are
// forgotten, also where there is no ban, and tallies stay. The number of Unban decisions is that of
// bans that ended.
func (b *Book) Unban(jail string, ids []ident.ID, now time.Time) []Decision {
	at := nanos(now)
	var out []Decision
	for _, j := range b.chosen(jail) {
		if ids == nil {
			out = b.unbanAll(out, j, at)
			continue
		}
		for _, id := range ids {
			out = b.unbanID(out, j, id, at)
		}
	}
	return out
}

// chosen gives one jail, or all in the order of their names; the removed ones come too, to forget.
func (b *Book) chosen(jail string) []*state {
	if jail != "" {
		if j, ok := b.active(jail); ok {
			return []*state{j}
		}
		return nil
	}
	var all []*state
	for _, j := range b.jails {
		all = append(all, j)
	}
	slices.SortFunc(all, func(a, b *state) int {
		if a.name < b.name {
			return -1
		}
		return 1
	})
	return all
}

func (b *Book) unbanAll(out []Decision, j *state, now int64) []Decision {
	for _, h := range j.ordered() {
		out = b.unban(out, h, now, ByHand)
	}
	for _, r := range j.records {
		b.forget(r, false)
	}
	return out
}

func (b *Book) unbanID(out []Decision, j *state, id ident.ID, now int64) []Decision {
	if h := j.bans[id.String()]; h != nil {
		out = b.unban(out, h, now, ByHand)
	}
	if r := j.records[id.String()]; r != nil {
		b.forget(r, false)
	}
	if id.IsAddr() && id.Prefix().Bits() < id.Prefix().Addr().BitLen() {
		for _, h := range j.ordered() {
			if !id.Contains(h.id) {
				continue
			}
			if r := j.records[h.id.String()]; r != nil {
				b.forget(r, false)
			}
			out = b.unban(out, h, now, ByHand)
		}
	}
	return out
}

// Expire ends the bans that are over, earliest first, at most 4096 of them: call again while NextExpiry
// is not after now.
func (b *Book) Expire(now time.Time) []Decision {
	at := nanos(now)
	var out []Decision
	for range maxExpire {
		h, end, ok := b.banOrder.first()
		if !ok || end >= at {
			break
		}
		out = b.unban(out, h, at, TimeOver)
	}
	return out
}

// NextExpiry gives the earliest time at which Expire has something to do; ok is false if no ban will end.
func (b *Book) NextExpiry() (at time.Time, ok bool) {
	_, end, ok := b.banOrder.first()
	if !ok || end == never {
		return time.Time{}, false
	}
	return timeAt(end + 1), true // a ban lasts through its last moment
}

// Purge forgets outdated tallies and histories, a few thousand at most; more tells that there are more.
// Decisions do not depend on it: what is outdated does not count. It frees memory and the store.
func (b *Book) Purge(now time.Time) (more bool) {
	at, left := nanos(now), maxExpire
	for _, j := range b.jails {
		left -= b.sweep(j, at, left)
	}
	for left > 0 {
		r, purge, ok := b.recordOrder.first()
		if !ok || purge >= at {
			return false
		}
		b.forget(r, true)
		left--
	}
	return true
}

// unban ends a ban; one that sleeps ends in silence.
func (b *Book) unban(out []Decision, h *held, now int64, why Reason) []Decision {
	delete(h.jail.bans, h.id.String())
	b.banOrder.remove(h)
	b.release(h.lines, h.data)
	b.changes.bans.end(h, why != ByHand)
	b.forgetEmpty(h.jail)
	if h.asleep {
		h.jail.sleeping--
		return out
	}
	return append(out, Decision{Kind: Unban, Key: h.key(), Ban: h.ban(), Time: timeAt(now), Reason: why})
}

func (b *Book) makeRoomForBan(out []Decision, now int64) []Decision {
	for b.banOrder.len() >= b.cfg.MaxBans {
		h, _, _ := b.banOrder.first()
		out = b.unban(out, h, now, NoRoom)
	}
	return out
}

func (b *Book) addBan(h *held) {
	b.jails[h.jail.name] = h.jail // should making room have dropped it
	b.number++
	h.number = b.number
	h.jail.bans[h.id.String()] = h
	b.banOrder.add(h, h.end)
	b.changes.bans.touch(h)
}

// remember writes a ban into the history.
func (b *Book) remember(h *held) {
	r := h.jail.records[h.id.String()]
	if r == nil {
		r = &record{links: links{jail: h.jail, id: h.id}, count: h.count, last: h.start, duration: h.duration}
		b.addRecord(r)
		return
	}
	r.count, r.last, r.duration = h.count, h.start, h.duration
	b.recordOrder.move(r, b.purgeTime(r))
	b.changes.records.touch(r)
}

func (b *Book) addRecord(r *record) {
	for b.recordOrder.len() >= b.cfg.MaxHistory {
		first, _, _ := b.recordOrder.first()
		b.forget(first, true)
	}
	b.jails[r.jail.name] = r.jail // should making room have dropped it
	r.jail.records[r.id.String()] = r
	b.recordOrder.add(r, b.purgeTime(r))
	b.changes.records.touch(r)
}

// recordOf gives the history of an ID in a jail, unless it is outdated.
func (b *Book) recordOf(j *state, id ident.ID, now int64) *record {
	r := j.records[id.String()]
	if r != nil && b.purgeTime(r) < now {
		b.forget(r, true)
		return nil
	}
	return r
}

// purgeTime gives the last moment of a history: fail2ban's age after three times the ban.
func (b *Book) purgeTime(r *record) int64 {
	if r.duration < 0 {
		return never
	}
	at := r.last
	for range historyFactor {
		at = after(at, r.duration)
	}
	return after(at, b.cfg.PurgeAge)
}

// forget drops a history; natural tells that no operator wanted it.
func (b *Book) forget(r *record, natural bool) {
	delete(r.jail.records, r.id.String())
	b.recordOrder.remove(r)
	b.changes.records.end(r, natural)
	b.forgetEmpty(r.jail)
}
