package action

import (
	"container/list"
	"sync"

	"github.com/palisade-agent/palisade/internal/ident"
)

// wishKind is what is wished.
type wishKind uint8

const (
	wishStart wishKind = iota
	wishBan
	wishUnban
	wishProlong
	wishAgain
	wishFlush
	wishReload
	wishStop
)

// operations name the wishes that can be dropped.
var operations = map[wishKind]string{wishBan: opBan, wishUnban: opUnban, wishProlong: opProlong, wishAgain: opReban}

// wish is one thing to do.
type wish struct {
	kind    wishKind
	ticket  Ticket
	again   Again    // of wishAgain
	tickets []Ticket // of wishFlush: the bans that stand
	program *program // of wishReload
}

// entry is what waits for one ID: mostly one wish, or an unban and the ban after it.
type entry struct {
	id     ident.ID
	wishes []wish
}

// mailbox takes wishes without ever waiting. Wishes for one ID meet: what was wished and is no longer true is
// never done. It is safe for concurrent use.
type mailbox struct {
	notify chan struct{} // has a value when there may be something to do
	bound  int           // number of IDs that may wait

	mu       sync.Mutex // guards the fields below
	queue    list.List  // of *entry, and of *wish for all IDs
	byID     map[ident.ID]*list.Element
	closed   bool
	canceled uint64 // bans that ended before they were carried out
	dropped  uint64
}

func newMailbox(bound int) *mailbox {
	return &mailbox{notify: make(chan struct{}, 1), bound: bound, byID: map[ident.ID]*list.Element{}}
}

func (m *mailbox) wake() {
	select {
	case m.notify <- struct{}{}:
	default:
	}
}

// put takes a wish for an ID. It gives the wishes that were dropped for it.
func (m *mailbox) put(w wish) (dropped []wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil
	}
	id := w.ticket.ID
	e, waits := m.byID[id]
	if !waits {
		for len(m.byID) >= m.bound {
			dropped = append(dropped, m.dropOldest()...)
		}
		m.byID[id] = m.queue.PushBack(&entry{id: id, wishes: []wish{w}})
		m.wake()
		return dropped
	}
	held := e.Value.(*entry)
	held.wishes = m.join(held.wishes, w)
	if len(held.wishes) == 0 {
		m.remove(e, held)
	}
	return dropped
}

// join puts a new wish to those that wait for the same ID.
func (m *mailbox) join(waiting []wish, w wish) []wish {
	last := waiting[len(waiting)-1]
	switch {
	case w.kind == wishUnban && last.kind == wishBan:
		m.canceled++
		return waiting[:len(waiting)-1]
	case w.kind == wishBan && last.kind == wishUnban:
		return append(waiting, w) // the old ban is still in force, and its unban takes its old values
	case w.kind == wishProlong && last.kind == wishBan:
		last.ticket = w.ticket // the ban has not been carried out: it lasts longer at once
	case w.kind == wishAgain && last.kind != wishAgain, w.kind == wishProlong && last.kind == wishUnban:
		return waiting // what waits says more
	default:
		last = w
	}
	waiting[len(waiting)-1] = last
	return waiting
}

func (m *mailbox) remove(e *list.Element, held *entry) {
	m.queue.Remove(e)
	delete(m.byID, held.id)
}

// dropOldest drops what waits for the ID that waits longest.
func (m *mailbox) dropOldest() []wish {
	for e := m.queue.Front(); e != nil; e = e.Next() {
		if held, ok := e.Value.(*entry); ok {
			m.remove(e, held)
			m.dropped += uint64(len(held.wishes))
			return held.wishes
		}
	}
	return nil
}

// putAll takes a wish that is about all IDs. Of two of a kind behind each other the second joins the first.
func (m *mailbox) putAll(w wish) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return
	}
	m.closed = w.kind == wishStop
	if back := m.queue.Back(); back != nil {
		if last, ok := back.Value.(*wish); ok && last.kind == w.kind {
			last.program = w.program
			last.tickets = joinTickets(last.tickets, w.tickets)
			return
		}
	}
	m.queue.PushBack(&w)
	m.wake()
}

// joinTickets adds the tickets of IDs that are not there yet. Mostly there is nothing to add.
func joinTickets(to, more []Ticket) []Ticket {
	have := make(map[ident.ID]bool, len(to))
	for i := range to {
		have[to[i].ID] = true
	}
	for i := range more {
		if !have[more[i].ID] {
			to = append(to, more[i])
		}
	}
	return to
}

// flush takes the wish to end all bans. Bans that wait are not carried out. With whole, one command ends
// all; otherwise the bans of the tickets end one by one, save those that had not been carried out.
func (m *mailbox) flush(tickets []Ticket, whole bool) {
	m.mu.Lock()
	gone := map[ident.ID]bool{}
	for id, e := range m.byID {
		held := e.Value.(*entry)
		last := held.wishes[len(held.wishes)-1]
		switch {
		case whole:
			held.wishes = nil
		case last.kind == wishBan:
			held.wishes = held.wishes[:len(held.wishes)-1]
			gone[id] = true
		case last.kind == wishProlong || last.kind == wishAgain:
			held.wishes = nil
		}
		if last.kind == wishBan {
			m.canceled++
		}
		if len(held.wishes) == 0 {
			m.remove(e, held)
		}
	}
	m.mu.Unlock()
	w := wish{kind: wishFlush}
	for _, t := range tickets {
		if !whole && !gone[t.ID] {
			w.tickets = append(w.tickets, t)
		}
	}
	m.putAll(w)
}

// take gives what has waited longest.
func (m *mailbox) take() (wishes []wish, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.queue.Front()
	if e == nil {
		return nil, false
	}
	switch v := e.Value.(type) {
	case *entry:
		m.remove(e, v)
		wishes = v.wishes
	case *wish:
		m.queue.Remove(e)
		wishes = []wish{*v}
	}
	if m.queue.Len() > 0 {
		m.wake()
	}
	return wishes, true
}

// stops tells whether the end of all is wished.
func (m *mailbox) stops() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.closed
}

// figures gives the number of IDs and wishes for all that wait, of canceled bans and of dropped wishes.
func (m *mailbox) figures() (waiting int, canceled, dropped uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.queue.Len(), m.canceled, m.dropped
}
