package firewall

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// lost takes note that it has to be looked at what stands.
func (k *Keeper) lost() {
	if k.table.Standing() {
		k.rebuilds++
	}
	k.table.Invalidate()
}

// settled is called when nothing is left to bring in. It looks whether what an earlier process has left
// is what it should be, and is true if there is more to do.
func (k *Keeper) settled() (more bool) {
	if !k.table.Standing() {
		return k.table.Next() != NeedElements
	}
	if adopted := k.table.Adopted(); len(adopted) > 0 {
		if err := k.examine(adopted); err != nil {
			return k.outcome(err, nil)
		}
		return true
	}
	if s, sample, ok := k.table.Unverified(sampled); ok {
		held, err := k.backend.Probe(s, sample)
		if err != nil {
			return k.outcome(err, nil)
		}
		if slices.ContainsFunc(held, func(h Held) bool { return !h.Present }) {
			k.log.Info("a feed's set of an earlier run is made anew", "set", s.String())
			k.table.Renew(s)
		}
		k.table.Trust(s)
		return true
	}
	if k.table.Pending() > 0 {
		return true
	}
	k.settledOnce = true
	if k.troubled {
		k.tell(nil)
	}
	if k.err != nil {
		k.log.Info("the firewall holds what it should again", "rebuilds", k.rebuilds)
		k.err = nil
	}
	return false
}

// examine decides about sets with elements that an earlier process has left: what is wished has been
// brought into them by now. If they hold more than that, others take their place.
func (k *Keeper) examine(sets []Set) error {
	v, err := k.backend.Inspect(0)
	if err != nil {
		return err
	}
	ours := k.table.Lasting(k.now())
	for _, s := range sets {
		n, counted := v.Counts[s]
		if counted && n <= ours[s] || !k.table.Renew(s) {
			k.table.Trust(s)
		}
	}
	return nil
}

// clockOffset is how far the wall clock is ahead of the clock that only ticks.
func (k *Keeper) clockOffset(start time.Time) time.Duration {
	ticked := time.Since(start)
	return k.now().Round(0).Sub(start.Round(0)) - ticked
}

// check looks whether all is as it was left.
func (k *Keeper) check(start time.Time) {
	if offset := k.clockOffset(start); (offset - k.offset).Abs() > clockStep {
		k.log.Info("the clock was set: the timeouts of all bans are renewed", "by", offset-k.offset)
		k.offset = offset
		k.table.Rearm()
	}
	if time.Since(k.lastSweep) >= expireEvery {
		k.lastSweep = time.Now()
		k.table.Expire(k.now())
	}
	if !k.table.Standing() {
		return
	}
	err := k.verify()
	switch {
	case err == nil:
	case errors.Is(err, ErrLost):
		k.log.Warn("somebody else has changed the firewall: it is repaired", "err", err)
		k.tell(err)
		k.lost()
	default:
		k.log.Warn("the firewall could not be inspected", "err", err)
	}
}

// verify compares the kernel's counts with ours.
func (k *Keeper) verify() error {
	v, err := k.backend.Inspect(0)
	if err != nil {
		return err
	}
	k.memory = v.Memory
	if v.Counts == nil {
		return nil
	}
	var lasting map[Set]int
	var others []string
	var feeds []Set // of others
	for s, n := range k.table.Counts() {
		held, counted := v.Counts[s]
		feed := k.table.feeds.sets[s] != nil
		if !counted || held == n || held > n && !feed {
			continue
		}
		if lasting == nil {
			// What is about to expire may have done so already: the two clocks are not the same.
			lasting = k.table.Lasting(k.now().Add(5 * clockStep))
		}
		wanted, sure := lasting[s]
		if !sure || !feed && held >= wanted {
			continue
		}
		others = append(others, fmt.Sprintf("set %s holds %d elements instead of %d", s, held, wanted))
		if feed {
			feeds = append(feeds, s)
		}
	}
	if len(others) == 0 {
		return nil
	}
	err = fmt.Errorf("%w: %s", ErrLost, some(others))
	if len(feeds) < len(others) || slices.ContainsFunc(feeds, func(s Set) bool { return !k.table.Renew(s) }) {
		return err
	}
	k.log.Warn("somebody else has changed the sets of feeds: they are made anew", "err", err)
	k.tell(err)
	k.rebuilds++
	k.mailbox.wake()
	return nil
}

// some puts sentences into one line, which stays short however many sets somebody has emptied.
func some(sentences []string) string {
	const most = 3
	slices.Sort(sentences)
	if more := len(sentences) - most; more > 0 {
		sentences = append(sentences[:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(sentences, "; ")
}
