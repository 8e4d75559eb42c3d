package action

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/palisade-agent/palisade/internal/ident"
)

// FuzzMailbox: whatever is wished and whenever wishes are carried out, in the end the action holds the bans
// that stand. No ban is carried out that is in force, none is ended that is not, and nobody's ban is ended
// who is to stay banned.
func FuzzMailbox(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 10, 4, 20, 30, 5, 40, 6, 50}, true)
	f.Add([]byte{0, 8, 16, 6, 0, 5, 0, 6, 7, 0, 6, 8, 6, 6, 4, 0, 12, 7, 3}, false)
	f.Fuzz(func(t *testing.T, ops []byte, whole bool) {
		m := newMailbox(1000)
		wished, held := map[ident.ID]Ticket{}, map[ident.ID]bool{}
		carryOut := func() bool {
			wishes, ok := m.take()
			for _, w := range wishes {
				switch w.kind {
				case wishBan:
					if held[w.ticket.ID] {
						t.Fatalf("%v is banned twice", w.ticket.ID)
					}
					held[w.ticket.ID] = true
				case wishUnban:
					if !held[w.ticket.ID] {
						t.Fatalf("%v is unbanned, and was not banned", w.ticket.ID)
					}
					delete(held, w.ticket.ID)
				case wishFlush:
					for _, tk := range w.tickets {
						if !held[tk.ID] {
							t.Fatalf("%v is unbanned for a flush, and was not banned", tk.ID)
						}
						delete(held, tk.ID)
					}
					if whole {
						clear(held)
					}
				case wishProlong, wishAgain:
					if !held[w.ticket.ID] && w.kind == wishProlong {
						t.Fatalf("%v lasts longer, and was not banned", w.ticket.ID)
					}
				}
			}
			return ok
		}
		for _, op := range ops {
			tk := Ticket{ID: ident.Parse(fmt.Sprintf("192.0.2.%d", op/8%8))}
			_, banned := wished[tk.ID]
			switch op % 8 {
			case 0, 1:
				if !banned {
					wished[tk.ID] = tk
					m.put(wish{kind: wishBan, ticket: tk})
				}
			case 2, 3:
				if banned {
					delete(wished, tk.ID)
					m.put(wish{kind: wishUnban, ticket: tk})
				}
			case 4:
				if banned {
					m.put(wish{kind: wishProlong, ticket: tk})
				}
			case 5:
				if banned {
					m.put(wish{kind: wishAgain, ticket: tk, again: Again{Ticket: tk}})
				}
			case 6:
				carryOut()
			case 7:
				if op/8%4 == 0 {
					m.flush(slices.Collect(maps.Values(wished)), whole)
					clear(wished)
				} else {
					m.putAll(wish{kind: wishReload})
				}
			}
			if len(m.byID) > m.queue.Len() {
				t.Fatalf("%d IDs in a queue of %d", len(m.byID), m.queue.Len())
			}
		}
		for carryOut() {
			continue
		}
		if len(held) != len(wished) {
			t.Fatalf("the action holds %v, wished is %v", held, wished)
		}
		for id := range wished {
			if !held[id] {
				t.Fatalf("%v is wished and not held", id)
			}
		}
	})
}

// TestWishesForAllDoNotPileUp behind a command that hangs: of two of a kind the newer counts.
func TestWishesForAllDoNotPileUp(t *testing.T) {
	m := newMailbox(10)
	one, two := &program{}, &program{}
	a, b := Ticket{ID: ident.Parse("192.0.2.1")}, Ticket{ID: ident.Parse("192.0.2.2")}
	for range 1000 {
		m.putAll(wish{kind: wishReload, program: one})
	}
	m.putAll(wish{kind: wishReload, program: two})
	for range 1000 {
		m.flush([]Ticket{a}, false)
	}
	m.flush([]Ticket{a, b}, false)
	first, _ := m.take()
	second, _ := m.take()
	if _, more := m.take(); more || first[0].program != two || len(second) != 1 || len(second[0].tickets) != 2 {
		t.Errorf("%+v, %+v", first, second)
	}
}
