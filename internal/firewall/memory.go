package firewall

import (
	"cmp"
	"errors"
	"fmt"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// Memory is a Backend that keeps everything in memory and stops nobody. It is as strict as the kernel
// about sets that do not exist and prefixes that do not belong in them.
type Memory struct {
	about About

	mu     sync.Mutex // guards the fields below
	layout Layout
	sets   map[Set]map[netip.Prefix]time.Time // until when; zero for ever
	closed bool
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

// Replace implements Backend.
func (m *Memory) Replace(l Layout, elements iter.Seq[Change]) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errClosed
	}
	sets := make(map[Set]map[netip.Prefix]time.Time, len(l.Sets))
	for _, s := range l.Sets {
		sets[s] = map[netip.Prefix]time.Time{}
	}
	now := time.Now()
	for c := range elements {
		if err := change(sets, c, now); err != nil {
			return err
		}
	}
	m.layout, m.sets = l, sets
	return nil
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
	case setOf(c.Set.Group, c.Prefix) != c.Set || c.Prefix != c.Prefix.Masked():
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
	if m.sets == nil {
		return View{}, ErrLost
	}
	now := time.Now()
	v := View{Counts: make(map[Set]int, len(m.sets))}
	for s, held := range m.sets {
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
	m.layout, m.sets = Layout{}, nil
}

// Close implements Backend.
func (m *Memory) Close(keep bool) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !keep {
		m.layout, m.sets = Layout{}, nil
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
