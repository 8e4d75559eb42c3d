package ipset

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// countShare is what part of the time may be spent on counting elements: 0.3 %. The kernel counts by
	// looking at each, so every second is often enough up to some 100,000.
	countShare = 300
	// lookAgain is how often legacy rules are read although their table is as long as it was.
	lookAgain = 10 * time.Second
	// witnessMax is how many elements of each set are looked up between two counts.
	witnessMax = 3
	// doubtTime is for how long elements are counted at every look after it was asked what stands.
	doubtTime = 20 * time.Second
	// margin is how long before its end an element is no witness any more.
	margin = 2 * time.Second
)

// witness is an element that has to be there.
type witness struct {
	prefix netip.Prefix
	until  time.Time // zero: for ever
}

func (w witness) expired(now time.Time) bool { return !w.until.IsZero() && now.After(w.until) }

// witness remembers some of the elements that changes have brought in.
func (b *Backend) witness(changes []firewall.Change, now time.Time) {
	for _, c := range changes {
		v := b.sets[c.Set]
		if unspecified(c.Prefix) {
			v.remember(c, now)
			continue
		}
		if len(v.witnesses) == 0 && c.Remove {
			continue
		}
		v.witnesses = slices.DeleteFunc(v.witnesses, func(w witness) bool { return w.prefix == c.Prefix || w.expired(now) })
		if c.Remove || len(v.witnesses) == witnessMax || c.Timeout > 0 && c.Timeout <= margin {
			continue
		}
		w := witness{prefix: c.Prefix}
		if seconds(c.Timeout) > 0 {
			w.until = now.Add(c.Timeout - margin)
		}
		v.witnesses = append(v.witnesses, w)
	}
}

// schedule says when elements are counted.
type schedule struct {
	doubt time.Time // until then always
	next  time.Time
}

func (s *schedule) reset(now time.Time) { s.doubt = now.Add(doubtTime) }

func (s *schedule) due(now time.Time) bool { return now.Before(s.doubt) || !now.Before(s.next) }

func (s *schedule) took(start time.Time, d time.Duration) { s.next = start.Add(d * countShare) }

// Inspect implements firewall.Backend.
func (b *Backend) Inspect(limit int) (v firewall.View, err error) {
	if b.rules == nil {
		return v, lost("our rules are not in force")
	}
	if err := b.checkRules(); err != nil {
		return v, err
	}
	start := time.Now()
	counting := limit != 0 || b.count.due(start)
	for _, s := range sortedSets(b.sets) {
		err := b.checkSet(s, start)
		if err == nil && counting {
			err = b.countSet(s, &v)
		}
		if err != nil {
			return firewall.View{}, err
		}
	}
	if counting {
		b.count.took(start, time.Since(start))
	}
	if limit != 0 {
		err = b.list(limit, &v)
	}
	return v, err
}

// checkRules reads the rules only if something has changed since they were read last.
func (b *Backend) checkRules() error {
	p, err := feelPulse(b.socket, b.programs, b.rules.inMangle())
	if err != nil {
		return err
	}
	legacy := slices.ContainsFunc(b.programs, func(p program) bool { return p.legacy })
	if p == b.rules.pulse && (!legacy || time.Since(b.rules.looked) < lookAgain) {
		return nil
	}
	now := &commitment{tables: b.rules.tables}
	if err := b.read(now); err != nil {
		return err
	}
	for i, t := range now.tables {
		what := now.found[i].differs(t)
		if what == "" {
			what = now.found[i].changed(b.rules.found[i])
		}
		if what != "" {
			family := "IPv4"
			if t.v6 {
				family = "IPv6"
			}
			return lost("%s, in the table %s of %s", what, t.name, family)
		}
	}
	b.rules = now
	return nil
}

// countSet counts the elements of a set.
func (b *Backend) countSet(s firewall.Set, v *firewall.View) error {
	set := b.sets[s]
	h, err := readHeader(b.socket, set.name)
	switch {
	case errors.Is(err, unix.ENOENT):
		return lost("set %s is gone", set.name)
	case err != nil:
		return failed("count the elements of set "+set.name, err)
	case h.kind != set.kind:
		return lost("set %s was replaced", set.name)
	}
	if v.Counts == nil {
		v.Counts = make(map[firewall.Set]int, len(b.sets))
	}
	v.Counts[s] = h.count
	if _, there := set.remembered(time.Now()); there {
		v.Counts[s]++
	}
	v.Memory += h.memory
	return nil
}

// checkSet takes the kernel some microseconds, however large the set.
func (b *Backend) checkSet(s firewall.Set, now time.Time) error {
	set := b.sets[s]
	there, err := exists(b.socket, set.name)
	if err != nil {
		return failed("look at the set "+set.name, err)
	}
	if !there {
		return lost("set %s is gone", set.name)
	}
	for _, w := range set.witnesses {
		if w.expired(now) {
			continue
		}
		there, err := test(b.socket, set.name, w.prefix)
		if err != nil && !errors.Is(err, unix.ENOENT) {
			return failed("look at the set "+set.name, err)
		}
		if !there {
			return lost("%s is not in set %s any more", w.prefix, set.name)
		}
	}
	return nil
}

// list adds elements to a view, on a socket of its own, since it may end in the middle of an answer.
func (b *Backend) list(limit int, v *firewall.View) (err error) {
	s, err := openSocket()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	for _, set := range sortedSets(b.sets) {
		name := set.String()
		take := func(e entry) error {
			if limit > 0 && len(v.Elements) >= limit {
				return errStop
			}
			v.Elements = append(v.Elements, firewall.Element{Set: name, Prefix: e.prefix, Timeout: e.held.Timeout})
			return nil
		}
		err := readEntries(s, b.sets[set].name, take)
		if e, there := b.sets[set].remembered(time.Now()); there && err == nil {
			err = take(e)
		}
		if errors.Is(err, errStop) {
			return nil
		}
		if err != nil {
			return failed("list set "+name, err)
		}
	}
	return nil
}
