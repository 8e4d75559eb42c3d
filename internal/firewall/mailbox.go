package firewall

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// mailbox takes wishes and scopes in without ever waiting, and keeps the newest per owner and prefix.
type mailbox struct {
	notify chan struct{} // has a value when there is something new

	mu     sync.Mutex // guards the fields below
	mail   mail
	owners map[string]bool // of the newest scopes
}

// mail is what has come since the last time the mailbox was emptied.
type mail struct {
	wishes []Wish          // in the order in which their keys first came
	index  map[wishKey]int // where in wishes
	gone   map[string]bool
	scopes []Scope
	fresh  bool         // scopes are new
	allow  *cidr.Ranges // nil: as it was
}

type wishKey struct {
	owner  string
	prefix netip.Prefix
}

func newMailbox() *mailbox {
	return &mailbox{notify: make(chan struct{}, 1), owners: map[string]bool{}}
}

func (m *mailbox) wake() {
	select {
	case m.notify <- struct{}{}:
	default:
	}
}

func (m *mailbox) submit(wishes []Wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mail.index == nil {
		m.mail.index = make(map[wishKey]int, len(wishes))
	}
	for _, w := range wishes {
		k := wishKey{w.Owner, w.Prefix}
		if i, known := m.mail.index[k]; known {
			m.mail.wishes[i] = w
			continue
		}
		m.mail.index[k] = len(m.mail.wishes)
		m.mail.wishes = append(m.mail.wishes, w)
	}
	m.wake()
}

func (m *mailbox) setScopes(scopes []Scope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	owners := make(map[string]bool, len(scopes))
	for _, s := range scopes {
		owners[s.Owner] = true
	}
	for name := range m.owners {
		if owners[name] {
			continue
		}
		// What it has wished is void, even if it should come back before anybody looks.
		if m.mail.gone == nil {
			m.mail.gone = map[string]bool{}
		}
		m.mail.gone[name] = true
		m.mail.forget(name)
	}
	m.owners = owners
	m.mail.scopes, m.mail.fresh = slices.Clone(scopes), true
	m.wake()
}

func (m *mailbox) setAllow(allow cidr.Ranges) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mail.allow = &allow
	m.wake()
}

// forget drops the wishes of an owner.
func (m *mail) forget(owner string) {
	m.wishes = slices.DeleteFunc(m.wishes, func(w Wish) bool { return w.Owner == owner })
	clear(m.index)
	for i, w := range m.wishes {
		m.index[wishKey{w.Owner, w.Prefix}] = i
	}
}

// take empties the mailbox.
func (m *mailbox) take() mail {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.mail
	m.mail = mail{}
	return out
}

// size counts the wishes that nobody has taken yet.
func (m *mailbox) size() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mail.wishes)
}
