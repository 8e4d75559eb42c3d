package firewall

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// Verification is the kernel compared with what is wished.
type Verification struct {
	Wanted  int // elements that are wished
	Held    int // elements that the kernel holds; -1 if it does not count them
	Missing int // wished, and not in the kernel
	Strays  int // in the kernel, and not wished; -1 if that is not known
	// Examples are some of what is missing, "set prefix" each.
	Examples []string
	Rules    string // what is wrong with the rules; empty if nothing is
	Took     time.Duration
}

// Right tells whether the kernel holds what it should.
func (v Verification) Right() bool { return v.Missing == 0 && v.Strays <= 0 && v.Rules == "" }

const (
	// verified is how many elements are looked up before the Keeper may do something else: some
	// milliseconds.
	verified = 1000
	examples = 20
)

// Verify looks every element up that is wished, which takes some 5 µs each, and compares
// the kernel's numbers with ours: nothing is listed, which would take long in nf_tables. progress is told
// how far it is, from the goroutine of the caller; it may be nil. What comes and goes meanwhile may show
// up in numbers.
func (k *Keeper) Verify(ctx context.Context, progress func(done, total int)) (Verification, error) {
	begin := time.Now()
	if progress == nil {
		progress = func(int, int) {}
	}
	var v Verification
	var bySet map[Set][]netip.Prefix
	if err := k.Sync(ctx); err != nil {
		return v, err
	}
	if err := k.run(ctx, func() { bySet = k.table.wantedBySet(k.now()) }); err != nil {
		return v, err
	}
	sets := make([]Set, 0, len(bySet))
	for s, prefixes := range bySet {
		sets = append(sets, s)
		v.Wanted += len(prefixes)
	}
	slices.SortFunc(sets, compareSets)
	test := k.backend.Probe
	if t, ok := k.backend.(Tester); ok {
		test = t.Test
	}
	done := 0
	for _, s := range sets {
		for part := range slices.Chunk(bySet[s], verified) {
			var held []Held
			var failure error
			if err := k.run(ctx, func() { held, failure = test(s, part) }); err != nil {
				return v, err
			}
			if errors.Is(failure, ErrLost) {
				held, v.Rules = make([]Held, len(part)), failure.Error()
			} else if failure != nil {
				return v, failure
			}
			for i, h := range held {
				if h.Present || !k.stillWanted(ctx, s, part[i]) {
					continue
				}
				v.Missing++
				if len(v.Examples) < examples {
					v.Examples = append(v.Examples, fmt.Sprintf("%s %s", s, part[i]))
				}
			}
			done += len(part)
			progress(done, v.Wanted)
		}
	}
	var view View
	var failure error
	if err := k.run(ctx, func() { view, failure = k.backend.Inspect(0) }); err != nil {
		return v, err
	}
	switch {
	case errors.Is(failure, ErrLost):
		v.Rules = failure.Error()
	case failure != nil:
		return v, failure
	}
	v.Held, v.Strays = -1, -1
	if view.Counts != nil {
		v.Held = 0
		for _, n := range view.Counts {
			v.Held += n
		}
		// Elements that have expired are counted until the kernel sweeps them, within a minute or two; those
		// of feeds do not expire.
		v.Strays = 0
		if err := k.run(ctx, func() { v.Strays = k.table.strayCount(view.Counts) }); err != nil {
			return v, err
		}
	}
	v.Took = time.Since(begin)
	return v, nil
}

// stillWanted tells whether an element that the kernel does not hold is to be in it now.
func (k *Keeper) stillWanted(ctx context.Context, s Set, p netip.Prefix) (wanted bool) {
	err := k.run(ctx, func() { wanted = k.table.settledWith(s, p, k.now().Add(clockStep)) })
	return err != nil || wanted
}

// wantedBySet lists what the kernel is to hold.
func (t *Table) wantedBySet(now time.Time) map[Set][]netip.Prefix {
	bySet := map[Set][]netip.Prefix{}
	for k, e := range t.elements {
		if _, wanted := e.wanted(now.UnixNano()); wanted {
			s := t.sets[k.set]
			bySet[s] = append(bySet[s], k.prefix)
		}
	}
	for s, f := range t.feeds.sets {
		if f.known && !f.leaving {
			bySet[s] = f.keys.sample(f.keys.counts().desired, s.Bits)
		}
	}
	return bySet
}

// settledWith tells whether an element is wished until after a time, and was brought in.
func (t *Table) settledWith(s Set, p netip.Prefix, after time.Time) bool {
	if f := t.feeds.sets[s]; f != nil {
		return f.known && f.keys.inStage() == done && f.wanted(p)
	}
	id, ok := t.setIDs[s]
	if !ok {
		return false
	}
	e := t.elements[key{id, p}]
	return e != nil && e.state == present && e.queue == nil && e.kernel > after.UnixNano()
}

// strayCount counts what sets hold beyond what is known of them: in those of bans, elements that have
// expired are known for a while, too.
func (t *Table) strayCount(held map[Set]int) (n int) {
	for s, f := range t.feeds.sets {
		if f.known && f.keys.inStage() == done {
			n += max(held[s]-f.count(), 0)
		}
	}
	for id, s := range t.sets {
		n += max(held[s]-t.counts[id], 0)
	}
	return n
}
