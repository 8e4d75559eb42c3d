package jail

import (
	"slices"

	"github.com/palisade-agent/palisade/internal/ident"
)

// Counts are the numbers of a jail's status.
type Counts struct {
	// CurrentlyFailed is the number of tallies, TotalFailed that of failures since the start.
	CurrentlyFailed, TotalFailed int
	// CurrentlyBanned is the number of bans, TotalBanned that of bans since the start, with restored ones.
	CurrentlyBanned, TotalBanned int
}

// JailStatus is what a jail's status shows.
type JailStatus struct {
	Counts
	// Banned are the bans in ban order.
	Banned []Ban
}

// Counts gives the numbers of a jail's status, in no time however large it is. They are zero if there is
// no jail of the name.
func (b *Book) Counts(jail string) Counts {
	j, ok := b.active(jail)
	if !ok {
		return Counts{}
	}
	return Counts{
		CurrentlyFailed: j.tallyOrder.len(), TotalFailed: j.totalFailed,
		CurrentlyBanned: len(j.bans) - j.sleeping, TotalBanned: j.totalBanned,
	}
}

// Status gives the state of a jail; it is zero if there is none of the name, which Policy tells.
func (b *Book) Status(jail string) JailStatus {
	j, ok := b.active(jail)
	if !ok {
		return JailStatus{}
	}
	s := JailStatus{Counts: b.Counts(jail)}
	for _, h := range j.ordered() {
		if !h.asleep {
			s.Banned = append(s.Banned, h.ban())
		}
	}
	return s
}

// Tallies gives the tallies of a jail whose last failures are the latest, latest first, at most limit.
func (b *Book) Tallies(jail string, limit int) []Tally {
	j, ok := b.active(jail)
	if !ok || limit < 1 {
		return nil
	}
	latest := make([]node[*tally], 0, min(limit, j.tallyOrder.len())+1)
	for _, n := range slices.Backward(j.tallyOrder.nodes) { // in a heap the later ones tend to be behind
		if len(latest) == limit && n.before(latest[limit-1]) {
			continue
		}
		i, _ := slices.BinarySearchFunc(latest, n, func(x, n node[*tally]) int {
			if n.before(x) {
				return -1
			}
			return 1
		})
		if latest = slices.Insert(latest, i, n); len(latest) > limit {
			latest = latest[:limit]
		}
	}
	out := make([]Tally, 0, len(latest))
	for _, n := range latest {
		out = append(out, n.entry.tally())
	}
	return out
}

// Standing is what a jail knows of an ID. What it does not know is nil.
type Standing struct {
	Jail    string
	Ban     *Ban
	Tally   *Tally
	History *History
}

// Lookup tells what the jails know of exactly this ID, sorted by the name of the jail. Jails that know
// nothing are left out.
func (b *Book) Lookup(id ident.ID) []Standing {
	var out []Standing
	for _, name := range b.Jails() {
		j, s := b.jails[name], Standing{Jail: name}
		if h := j.bans[id.String()]; h != nil && !h.asleep {
			v := h.ban()
			s.Ban = &v
		}
		if t := j.tallies[id.String()]; t != nil && !t.faded {
			v := t.tally()
			s.Tally = &v
		}
		if r := j.records[id.String()]; r != nil {
			v := r.history()
			s.History = &v
		}
		if s.Ban != nil || s.Tally != nil || s.History != nil {
			out = append(out, s)
		}
	}
	return out
}

// Sizes tells how much a Book holds, for metrics.
type Sizes struct {
	Tallies, Bans, Histories int
	// LineBytes is the text kept with tallies and bans.
	LineBytes int
	// Dirty is how many entries TakeChanges would give, at most.
	Dirty int
}

// Sizes tells how much the Book holds, sleeping bans included.
func (b *Book) Sizes() Sizes {
	return Sizes{
		Tallies: b.tallyCount, Bans: b.banOrder.len(), Histories: b.recordOrder.len(),
		LineBytes: b.lineBytes, Dirty: b.changes.len(),
	}
}
