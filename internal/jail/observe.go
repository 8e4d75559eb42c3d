package jail

import (
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// Observe counts a failure and bans when the count reaches maxretry. The caller has asked the ignore
// list before. A jail that does not exist, or an ID that names nothing, gives no decisions.
func (b *Book) Observe(jail string, f Failure, now time.Time) []Decision {
	j, ok := b.active(jail)
	if !ok || f.ID.IsZero() {
		return nil
	}
	nowNS := nanos(now)
	at := nowNS
	if !f.Time.IsZero() {
		at = min(nanos(f.Time), nowNS)
	}
	b.sweep(j, nowNS, sweepPerFailure)

	out := make([]Decision, 0, 1)
	t := j.tallies[f.ID.String()]
	if t != nil && j.outdated(t, at) {
		b.dropTally(t)
		t = nil
	}
	attempts := min(max(f.Attempts, 1), maxAttempts)
	if t == nil {
		out = b.makeRoomForTally(out)
		t = &tally{links: links{jail: j, id: own(f.ID)}, first: at, last: at, weighted: attempts, failures: attempts}
		t.data = b.keepData(f.Data)
		b.addTally(t)
	} else {
		t.count(at, j.policy.FindTime, attempts)
		j.recount(t)
		b.changes.tallies.touch(t)
	}
	t.lines = b.keepLines(t.lines, f.Lines, j.policy.MaxMatches)
	j.totalFailed++
	out = append(out, Decision{Kind: Found, Key: t.key(), Time: timeAt(at)})

	if t.weighted < j.policy.MaxRetry && j.policy.Increment.Enabled {
		out = b.weigh(out, t, at, nowNS)
	}
	if t.weighted < j.policy.MaxRetry {
		return out
	}
	lines, data := t.lines, t.data
	t.lines, t.data = nil, nil // they move to the ban, and so does their size
	b.dropTally(t)
	return b.enforce(out, candidate{
		jail: j, id: t.id, at: t.last, duration: j.policy.BanTime,
		failures: t.failures, lines: lines, data: data, origin: Local,
	}, nowNS)
}

// count adds failures at a time. The weighted count is an estimate from the rate: once the failures
// reach back further than the interval, it is scaled to what the interval would hold, rounded half to
// even, and the interval moves along. A failure that is not later than the last only adds.
func (t *tally) count(at int64, find time.Duration, attempts int) {
	if at > t.last {
		from := at - int64(find)
		if t.first < from {
			rate := float64(t.weighted) / time.Duration(at-t.first).Seconds()
			t.weighted = int(math.RoundToEven(rate * find.Seconds()))
			t.first = from
		}
		t.last = at
	}
	t.weighted += attempts
	t.failures += attempts
}

// weigh adds what a failure of a known offender weighs more than one. A failure that is not newer than
// the last ban belongs to what that ban was for.
func (b *Book) weigh(out []Decision, t *tally, at, now int64) []Decision {
	r := b.recordOf(t.jail, t.id, now)
	if r == nil || at <= r.last {
		return out
	}
	w, capped := weight(r.count, t.jail.policy.MaxRetry)
	if w <= 1 {
		return out
	}
	t.weighted += w - 1
	return append(out, Decision{
		Kind: FoundBad, Key: t.key(), Time: timeAt(at), Weight: float64(w), Capped: capped, Enough: w >= t.jail.policy.MaxRetry, Previous: r.history(),
	})
}

// outdated reports whether a failure at the time is too late to be counted together with the last one.
func (j *state) outdated(t *tally, at int64) bool { return after(t.last, j.policy.FindTime) <= at }

// sweep lets outdated tallies of a jail fade and forgets the faded ones, at most n in all, and tells how
// many. Log lines that are read late, after a restart, are as old as findtime at most: what was counted
// up to findtime before them may still matter, so a tally is forgotten after twice that time. In between
// it is faded: not shown, and counted on only by such lines.
func (b *Book) sweep(j *state, now int64, n int) int {
	done := 0
	for ; done < n; done++ {
		if t, _, ok := j.tallyOrder.first(); ok && j.outdated(t, now) {
			j.fade(t)
			continue
		}
		t, _, ok := j.fadedOrder.first()
		if !ok || !j.outdated(t, now-int64(j.policy.FindTime)) {
			break
		}
		b.dropTally(t)
	}
	return done
}

func (j *state) fade(t *tally) {
	j.tallyOrder.remove(t)
	j.fadedOrder.add(t, t.last)
	t.faded = true
}

// recount puts a tally where its last failure belongs.
func (j *state) recount(t *tally) {
	if !t.faded {
		j.tallyOrder.move(t, t.last)
		return
	}
	j.fadedOrder.remove(t)
	j.tallyOrder.add(t, t.last)
	t.faded = false
}

func (b *Book) makeRoomForTally(out []Decision) []Decision {
	for b.tallyCount >= b.cfg.MaxTallies {
		t := b.oldestTally()
		out = append(out, Decision{Kind: Evicted, Key: t.key(), Time: timeAt(t.last)})
		b.dropTally(t)
	}
	return out
}

// oldestTally compares the oldest of every jail; there is at least one tally.
func (b *Book) oldestTally() *tally {
	var oldest node[*tally]
	for _, j := range b.jails {
		for _, order := range [...]*timeline[*tally]{&j.fadedOrder, &j.tallyOrder} {
			if order.len() > 0 && (oldest.entry == nil || order.nodes[0].before(oldest)) {
				oldest = order.nodes[0]
			}
		}
	}
	return oldest.entry
}

func (b *Book) addTally(t *tally) {
	t.jail.tallies[t.id.String()] = t
	t.jail.tallyOrder.add(t, t.last)
	b.tallyCount++
	b.changes.tallies.touch(t)
}

func (b *Book) dropTally(t *tally) {
	delete(t.jail.tallies, t.id.String())
	if t.faded {
		t.jail.fadedOrder.remove(t)
	} else {
		t.jail.tallyOrder.remove(t)
	}
	b.tallyCount--
	b.release(t.lines, t.data)
	b.changes.tallies.end(t, true)
}

// dropTallies drops all tallies of a jail, without keeping their order meanwhile.
func (b *Book) dropTallies(j *state) {
	for _, t := range j.tallies {
		b.release(t.lines, t.data)
		b.changes.tallies.end(t, true)
	}
	b.tallyCount -= len(j.tallies)
	clear(j.tallies)
	j.tallyOrder, j.fadedOrder = timeline[*tally]{}, timeline[*tally]{}
}

// own makes sure that a raw ID does not keep the line alive that it was cut from.
func own(id ident.ID) ident.ID {
	if id.IsAddr() {
		return id
	}
	return ident.Raw(strings.Clone(id.String()))
}

// keepLines adds lines to those kept, holding to the last limit of them and to the bytes in all.
func (b *Book) keepLines(kept, more []string, limit int) []string {
	if len(more) > limit {
		more = more[len(more)-limit:]
	}
	if drop := len(kept) + len(more) - limit; drop > 0 {
		b.release(kept[:drop], nil)
		kept = slices.Delete(kept, 0, drop)
	}
	for _, line := range more {
		if b.lineBytes+len(line) <= b.cfg.MaxLineBytes {
			b.lineBytes += len(line)
			kept = append(kept, line)
		}
	}
	return kept
}

// keepData copies data if there is room for it.
func (b *Book) keepData(data map[string]string) map[string]string {
	n := sizeOf(nil, data)
	if len(data) == 0 || b.lineBytes+n > b.cfg.MaxLineBytes {
		return nil
	}
	b.lineBytes += n
	return maps.Clone(data)
}

// release gives back the room of lines and data.
func (b *Book) release(lines []string, data map[string]string) { b.lineBytes -= sizeOf(lines, data) }

func sizeOf(lines []string, data map[string]string) int {
	n := 0
	for _, l := range lines {
		n += len(l)
	}
	for k, v := range data {
		n += len(k) + len(v)
	}
	return n
}
