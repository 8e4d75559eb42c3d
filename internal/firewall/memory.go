package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a Backend that keeps everything in memory and stops nobody. It is as strict as the kernel
// about sets that do not exist and prefixes that do not belong in them.
type Memory struct {
	about About

	mu        sync.Mutex // guards the fields below
	layout    Layout
	committed bool
	sets      map[Set]map[netip.Prefix]time.Time // until when; zero for ever
	closed    bool
}

var _ Backend = (*Memory)(nil)

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return NewNamedMemory("memory", "bans are kept in memory only: nobody is kept out")
}

// NewNamedMemory makes an empty Memory that tells another name and note of itself: where somebody else
// keeps out who is banned.
func NewNamedMemory(name, note string) *Memory {
	return &Memory{about: About{Name: name, Notes: []string{note}, CheckEvery: time.Minute}}
}

// About implements Backend.
func (m *Memory) About() About { return m.about }

var errClosed = errors.New("the backend is closed")

// Survey implements Backend.
func (m *Memory) Survey(l Layout) (Standing, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return Standing{}, errClosed
	}
	st := Standing{Sets: map[Set]int{}}
	now := time.Now()
	for s, held := range m.sets {
		st.Sets[s] = len(held)
		for p, until := range held {
			if !until.IsZero() && !until.After(now) {
				delete(held, p)
				st.Sets[s]--
			}
		}
	}
	st.Rules = m.committed && reflect.DeepEqual(m.layout.Groups, l.Groups) && slices.Equal(m.layout.Sets, l.Sets)
	return st, nil
}

// Prepare implements Backend.
func (m *Memory) Prepare(l Layout) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	if m.sets == nil {
		m.sets = map[Set]map[netip.Prefix]time.Time{}
	}
	for _, s := range l.Sets {
		if m.sets[s] == nil {
			m.sets[s] = map[netip.Prefix]time.Time{}
		}
	}
	return nil
}

// Commit implements Backend.
func (m *Memory) Commit(l Layout) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	for _, s := range l.Sets {
		if m.sets[s] == nil {
			return &Error{Op: "put the rules in force", Err: fmt.Errorf("%w: no set %s", ErrLost, s)}
		}
	}
	for s := range m.sets {
		if !slices.Contains(l.Sets, s) {
			delete(m.sets, s)
		}
	}
	m.layout, m.committed = l, true
	return nil
}

// Probe implements Backend.
func (m *Memory) Probe(s Set, prefixes []netip.Prefix) ([]Held, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets[s] == nil {
		return nil, &Error{Op: "look elements up", Err: fmt.Errorf("%w: no set %s", ErrLost, s)}
	}
	now := time.Now()
	held := make([]Held, len(prefixes))
	for i, p := range prefixes {
		until, ok := m.sets[s][p]
		switch {
		case !ok:
		case until.IsZero():
			held[i] = Held{Present: true}
		case until.After(now):
			held[i] = Held{Present: true, Timeout: until.Sub(now)}
		}
	}
	return held, nil
}

// Verdict tells what would happen to a packet from an address to a port of this host: the verdict, or
// false if it would get through.
func (m *Memory) Verdict(source netip.Addr, protocol uint8, port uint16) (Verdict, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for _, g := range m.layout.Groups {
		if g.Verdict == Log || len(g.Protocols) > 0 && !slices.Contains(g.Protocols, protocol) {
			continue
		}
		inside := func(r PortRange) bool { return r.First <= port && port <= r.Last }
		if len(g.Ports) > 0 && HasPorts(protocol) && !slices.ContainsFunc(g.Ports, inside) {
			continue
		}
		for _, s := range m.layout.Sets {
			if s.Group != g.Name || s.V6 != source.Is6() {
				continue
			}
			p := netip.PrefixFrom(source, s.Bits).Masked()
			if until, ok := m.sets[s][p]; ok && (until.IsZero() || until.After(now)) {
				return g.Verdict, true
			}
		}
	}
	return 0, false
}

// Apply implements Backend.
func (m *Memory) Apply(changes []Change) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	for _, c := range changes {
		if err := fits(m.sets, c); err != nil {
			return err
		}
	}
	now := time.Now()
	for _, c := range changes {
		if err := change(m.sets, c, now); err != nil {
			return err
		}
	}
	return nil
}

func fits(sets map[Set]map[netip.Prefix]time.Time, c Change) error {
	switch {
	case sets[c.Set] == nil:
		return &Error{Op: "change elements", Err: fmt.Errorf("%w: no set %s", ErrLost, c.Set)}
	case c.Prefix.Addr().Is6() != c.Set.V6 || c.Prefix.Bits() != c.Set.Bits || c.Prefix != c.Prefix.Masked():
		return &Error{Op: "change elements", Err: fmt.Errorf("%s does not belong in set %s", c.Prefix, c.Set)}
	}
	return nil
}

func change(sets map[Set]map[netip.Prefix]time.Time, c Change, now time.Time) error {
	if err := fits(sets, c); err != nil {
		return err
	}
	switch {
	case c.Remove:
		delete(sets[c.Set], c.Prefix)
	case c.Timeout == 0:
		sets[c.Set][c.Prefix] = time.Time{}
	default:
		sets[c.Set][c.Prefix] = now.Add(c.Timeout)
	}
	return nil
}

// Inspect implements Backend.
func (m *Memory) Inspect(limit int) (View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.sets == nil || !m.committed {
		return View{}, ErrLost
	}
	now := time.Now()
	v := View{Counts: make(map[Set]int, len(m.sets))}
	for s, held := range m.sets {
		v.Counts[s] = 0
		for p, until := range held {
			e := Element{Set: s.String(), Prefix: p}
			if !until.IsZero() {
				if e.Timeout = until.Sub(now); e.Timeout <= 0 {
					delete(held, p)
					continue
				}
			}
			v.Counts[s]++
			if limit < 0 || len(v.Elements) < limit {
				v.Elements = append(v.Elements, e)
			}
		}
	}
	return v, nil
}

// Layout gives the layout that stands.
func (m *Memory) Layout() Layout {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.layout
}

// Wipe removes everything, as another program might.
func (m *Memory) Wipe() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.layout, m.sets, m.committed = Layout{}, nil, false
}

// Close implements Backend.
func (m *Memory) Close(keep bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !keep {
		m.layout, m.sets, m.committed = Layout{}, nil, false
	}
	m.closed = true
	return nil
}

// SortElements puts elements in the order of sets and addresses.
func SortElements(elements []Element) {
	slices.SortFunc(elements, func(a, b Element) int {
		return cmp.Or(strings.Compare(a.Set, b.Set), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Prefix.Bits(), b.Prefix.Bits()))
	})
}
