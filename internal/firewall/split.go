package firewall

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// split is a Backend of two. It has one user at a time, as they have.
type split struct {
	main, large Backend
	// active says that something may stand in large. What has nothing to do is not asked either: a look
	// at iptables' rules costs more than all the rest.
	active bool
}

// Split makes a Backend that keeps the sets of Large groups in one Backend and all others in another: in
// nftables a set of a million makes everybody's `nft list` take ten seconds, in ipset it does not.
func Split(main, large Backend) Backend { return &split{main: main, large: large} }

func (s *split) of(set Set) Backend {
	if strings.HasSuffix(set.Group, largeSuffix) {
		return s.large
	}
	return s.main
}

// part gives the layout of one of the two.
func part(l Layout, large bool) Layout {
	out := Layout{Sizes: map[Set]int{}}
	for _, g := range l.Groups {
		if g.Large == large {
			out.Groups = append(out.Groups, g)
		}
	}
	for _, set := range l.Sets {
		if strings.HasSuffix(set.Group, largeSuffix) == large {
			out.Sets = append(out.Sets, set)
			if n, ok := l.Sizes[set]; ok {
				out.Sizes[set] = n
			}
		}
	}
	return out
}

func hasLarge(l Layout) bool {
	return slices.ContainsFunc(l.Groups, func(g Group) bool { return g.Large })
}

// About implements Backend.
func (s *split) About() About {
	a, b := s.main.About(), s.large.About()
	a.CheckEvery = min(a.CheckEvery, b.CheckEvery)
	if s.active {
		a.Name += ", and " + b.Name + " for large feeds"
		a.Notes = append(slices.Clone(a.Notes), b.Notes...)
	}
	return a
}

// Survey implements Backend.
func (s *split) Survey(l Layout) (Standing, error) {
	a, err := s.main.Survey(part(l, false))
	if err != nil {
		return Standing{}, err
	}
	b, err := s.large.Survey(part(l, true))
	if err != nil && hasLarge(l) {
		return Standing{}, err
	}
	s.active = len(b.Sets) > 0 || b.Other || hasLarge(l)
	if !s.active {
		b.Rules = true
	}
	st := Standing{Sets: map[Set]int{}, Rules: a.Rules && b.Rules, Other: a.Other || b.Other}
	for _, x := range []struct {
		sets map[Set]int
		in   Backend
	}{{a.Sets, s.main}, {b.Sets, s.large}} {
		for set, n := range x.sets {
			if s.of(set) != x.in {
				st.Other = true // from a time when it was not split
				continue
			}
			st.Sets[set] = n
		}
	}
	return st, nil
}

// Prepare implements Backend.
func (s *split) Prepare(l Layout) error {
	if err := s.main.Prepare(part(l, false)); err != nil {
		return err
	}
	if s.active = s.active || hasLarge(l); !s.active {
		return nil
	}
	return s.large.Prepare(part(l, true))
}

// Apply implements Backend.
func (s *split) Apply(changes []Change) error {
	large := func(c Change) bool { return strings.HasSuffix(c.Set.Group, largeSuffix) }
	switch {
	case !slices.ContainsFunc(changes, large):
		return s.main.Apply(changes)
	case !slices.ContainsFunc(changes, func(c Change) bool { return !large(c) }):
		return s.large.Apply(changes)
	}
	var a, b []Change
	for _, c := range changes {
		if large(c) {
			b = append(b, c)
		} else {
			a = append(a, c)
		}
	}
	if err := s.main.Apply(a); err != nil {
		return err
	}
	return s.large.Apply(b)
}

// Commit implements Backend.
func (s *split) Commit(l Layout) error {
	if err := s.main.Commit(part(l, false)); err != nil {
		return err
	}
	if !s.active && !hasLarge(l) {
		return nil
	}
	if err := s.large.Commit(part(l, true)); err != nil {
		return err
	}
	s.active = hasLarge(l)
	return nil
}

// Inspect implements Backend.
func (s *split) Inspect(limit int) (View, error) {
	a, err := s.main.Inspect(limit)
	if err != nil {
		return View{}, err
	}
	if !s.active {
		return a, nil
	}
	if limit > 0 {
		limit -= len(a.Elements)
	}
	b, err := s.large.Inspect(limit)
	if err != nil {
		return View{}, err
	}
	v := View{Elements: append(a.Elements, b.Elements...), Memory: a.Memory + b.Memory}
	for _, counts := range []map[Set]int{a.Counts, b.Counts} {
		for set, n := range counts {
			if v.Counts == nil {
				v.Counts = map[Set]int{}
			}
			v.Counts[set] = n
		}
	}
	return v, nil
}

// Probe implements Backend.
func (s *split) Probe(set Set, prefixes []netip.Prefix) ([]Held, error) {
	return s.of(set).Probe(set, prefixes)
}

// Test implements Tester.
func (s *split) Test(set Set, prefixes []netip.Prefix) ([]Held, error) {
	b := s.of(set)
	if t, ok := b.(Tester); ok {
		return t.Test(set, prefixes)
	}
	return b.Probe(set, prefixes)
}

// Close implements Backend.
func (s *split) Close(keep bool) error { return errors.Join(s.main.Close(keep), s.large.Close(keep)) }
