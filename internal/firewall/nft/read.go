package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/netlink"
)

// reading runs f with a socket of its own: everybody may read, and a dump that is given up half-way
// ends with its socket.
func reading(f func(*socket) error) error {
	s, err := openSocket()
	if err != nil {
		return err
	}
	return errors.Join(f(s), s.close())
}

// tableView is our table as others see it.
type tableView struct {
	exists bool
	flags  uint32
}

func (b *Backend) look() (v tableView, err error) {
	err = reading(func(s *socket) error { v, err = readTable(s, tableName); return err })
	return v, err
}

func readTable(s *socket, name string) (v tableView, err error) {
	err = s.query("read the table", unix.NFT_MSG_GETTABLE, 0, func(b *batch) { b.Text(unix.NFTA_TABLE_NAME, name) }, func(m netlink.Message) error {
		v.exists = true
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			if typ == unix.NFTA_TABLE_FLAGS {
				v.flags = uint32(netlink.Number(value))
			}
		})
		return nil
	})
	if errors.Is(err, unix.ENOENT) {
		return tableView{}, nil
	}
	return v, err
}

// verify tells whether the ruleset is in force as we made it, or gives an ErrLost that says what is wrong.
func (b *Backend) verify(r *ruleset) error {
	lost := func(format string, args ...any) error {
		return &firewall.Error{Op: "verify the table", Err: fmt.Errorf("%w: %s", firewall.ErrLost, fmt.Sprintf(format, args...))}
	}
	return reading(func(s *socket) error {
		t, err := readTable(s, tableName)
		switch {
		case err != nil:
			return err
		case !t.exists:
			return lost("it is gone")
		case t.flags&^(flagOwner|flagPersist) != 0:
			return lost("it is dormant")
		}
		notes, err := readNotes(s)
		if err != nil {
			return err
		}
		want := r.notes(b.suffix)
		slices.Sort(want)
		slices.Sort(notes)
		if !slices.Equal(notes, want) {
			return lost("%d rules instead of %d, or others", len(notes), len(want))
		}
		v, err := readTableContents(s)
		if err != nil {
			return err
		}
		for _, c := range r.chains {
			if v.hooks[c.name+b.suffix] != c.hook {
				return lost("chain %s does not see packets", c.name+b.suffix)
			}
		}
		for _, set := range r.layout.Sets {
			if _, ok := v.sets[set.String()]; !ok {
				return lost("set %s is gone", set)
			}
		}
		return nil
	})
}

// readNotes gives the comments of all rules as "chain comment". A rule of others has none of ours.
func readNotes(s *socket) (notes []string, err error) {
	fill := func(b *batch) { b.Text(unix.NFTA_RULE_TABLE, tableName) }
	err = s.query("read the rules", unix.NFT_MSG_GETRULE, unix.NLM_F_DUMP, fill, func(m netlink.Message) error {
		var table, chain, note string
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			switch typ {
			case unix.NFTA_RULE_TABLE:
				table = netlink.Text(value)
			case unix.NFTA_RULE_CHAIN:
				chain = netlink.Text(value)
			case unix.NFTA_RULE_USERDATA:
				note = comment(value)
			}
		})
		// Kernels that do not filter send the rules of all tables.
		if table == tableName && inet(m) {
			notes = append(notes, chain+" "+note)
		}
		return nil
	})
	return notes, err
}

// comment reads the comment out of a rule's user data: type, length, value, and so on.
func comment(data []byte) string {
	for len(data) >= 2 {
		n := min(2+int(data[1]), len(data))
		if data[0] == 0 {
			return netlink.Text(data[2:n])
		}
		data = data[n:]
	}
	return ""
}

func inet(m netlink.Message) bool { return len(m.Payload) > 0 && m.Payload[0] == family }

// kernelView is what is in our table besides rules and elements.
type kernelView struct {
	sets  map[string]setView
	hooks map[string]int // of all chains, by name: 0 for none, else see hookOf
}

// setView is one of our sets; count is -1 if the kernel does not tell.
type setView struct {
	count    int
	timeouts bool
	counted  bool
}

func readTableContents(s *socket) (v kernelView, err error) {
	if v.sets, err = readSets(s); err == nil {
		v.hooks, err = readHooks(s)
	}
	return v, err
}

// readHooks reads where the chains of our table are hooked.
func readHooks(s *socket) (map[string]int, error) {
	hooks := map[string]int{}
	fill := func(b *batch) { b.Text(unix.NFTA_CHAIN_TABLE, tableName) }
	err := s.query("read the chains", unix.NFT_MSG_GETCHAIN, unix.NLM_F_DUMP, fill, func(m netlink.Message) error {
		var table, name string
		hook := 0
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			switch typ {
			case unix.NFTA_CHAIN_TABLE:
				table = netlink.Text(value)
			case unix.NFTA_CHAIN_NAME:
				name = netlink.Text(value)
			case unix.NFTA_CHAIN_HOOK:
				netlink.Attributes(value, func(typ uint16, value []byte) {
					if typ == unix.NFTA_HOOK_HOOKNUM {
						hook = hookOf(int(netlink.Number(value)))
					}
				})
			}
		})
		if table == tableName && inet(m) {
			hooks[name] = hook
		}
		return nil
	})
	return hooks, err
}

func readSets(s *socket) (map[string]setView, error) {
	sets := map[string]setView{}
	fill := func(b *batch) { b.Text(unix.NFTA_SET_TABLE, tableName) }
	err := s.query("read the sets", unix.NFT_MSG_GETSET, unix.NLM_F_DUMP, fill, func(m netlink.Message) error {
		var table, name string
		v := setView{count: -1}
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			switch typ {
			case unix.NFTA_SET_TABLE:
				table = netlink.Text(value)
			case unix.NFTA_SET_NAME:
				name = netlink.Text(value)
			case unix.NFTA_SET_FLAGS:
				v.timeouts = netlink.Number(value)&unix.NFT_SET_TIMEOUT != 0
			case attrSetExpr, attrSetExpressions:
				v.counted = true
			case attrSetCount:
				v.count = int(netlink.Number(value))
			}
		})
		if table == tableName && inet(m) && !strings.HasPrefix(name, "__") {
			sets[name] = v
		}
		return nil
	})
	return sets, err
}

// Bytes of the kernel's memory that an element takes, measured with a million of each on Linux 6.18;
// the kernel does not tell.
const (
	timeoutBytes4, timeoutBytes6 = 90, 140
	plainBytes4, plainBytes6     = 70, 120
)

// Inspect implements firewall.Backend. Where the kernel does not count elements, View.Counts is nil. Sets
// of feeds that would take long to read are not listed.
func (b *Backend) Inspect(limit int) (firewall.View, error) {
	r := b.standing
	if r == nil {
		return firewall.View{}, &firewall.Error{Op: "inspect the table", Err: firewall.ErrLost}
	}
	if b.plain {
		if err := b.watch(r); err != nil {
			return firewall.View{}, err
		}
	}
	v := firewall.View{Counts: map[firewall.Set]int{}}
	var sets map[string]setView
	if err := reading(func(s *socket) (err error) { sets, err = readSets(s); return err }); err != nil {
		return firewall.View{}, err
	}
	for _, set := range r.layout.Sets {
		held, ok := sets[set.String()]
		switch {
		case !ok:
			return firewall.View{}, &firewall.Error{Op: "inspect the table", Err: fmt.Errorf("%w: set %s is gone", firewall.ErrLost, set)}
		case held.count < 0:
			v.Counts = nil
		case v.Counts != nil:
			v.Counts[set] = held.count
			v.Memory += memory(set, held)
		}
	}
	if limit == 0 {
		return v, nil
	}
	for _, set := range r.layout.Sets {
		room := -1
		if limit > 0 {
			room = limit - len(v.Elements)
		}
		held := sets[set.String()]
		if room == 0 || !held.timeouts && held.count > feedListMax {
			continue
		}
		elements, err := readSet(tableName, set, held.count, room)
		if v.Elements = append(v.Elements, elements...); err != nil {
			return v, err
		}
	}
	return v, nil
}

// feedListMax is the largest set of a feed that is read: 20,000 elements take about 50 ms, 500,000 take 13
// seconds.
const feedListMax = 20_000

func memory(s firewall.Set, v setView) int64 {
	per := plainBytes4
	switch {
	case s.V6 && v.timeouts:
		per = timeoutBytes6
	case s.V6:
		per = plainBytes6
	case v.timeouts:
		per = timeoutBytes4
	}
	return int64(v.count) * int64(per)
}

// probed is how many elements are asked for at once: more answers than fit into a small buffer would be
// lost.
const probed = 100

// Probe implements firewall.Backend.
func (b *Backend) Probe(set firewall.Set, prefixes []netip.Prefix) ([]firewall.Held, error) {
	if _, stands := b.sets[set]; !stands {
		return nil, &firewall.Error{Op: "look elements up", Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, set)}
	}
	held := make([]firewall.Held, len(prefixes))
	err := reading(func(s *socket) error {
		for i := 0; i < len(prefixes); {
			end := min(i+probed, len(prefixes))
			at := i
			err := s.query("look elements up in set "+set.String(), unix.NFT_MSG_GETSETELEM, 0, func(b *batch) {
				b.Text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
				b.Text(unix.NFTA_SET_ELEM_LIST_SET, set.String())
				b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b *batch) {
					for _, p := range prefixes[i:end] {
						appendElement(b, p, 0, false)
					}
				})
			}, func(m netlink.Message) error {
				netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
					if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
						return
					}
					netlink.Attributes(value, func(_ uint16, value []byte) {
						e, h, ok := readElement(set, value)
						if at < end && e.Prefix == prefixes[at] {
							h.Present = ok
							held[at] = h
							at++
						}
					})
				})
				return nil
			})
			switch {
			case err == nil:
				at = end
			case errors.Is(err, unix.ENOENT) && at < end:
				at++ // the kernel stops at one that it does not have
			default:
				return err
			}
			i = at
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return held, nil
}

// rereads is how often a set is read at most, to find what a walk through it has missed.
const rereads = 20

// readSet gives the elements of a set that have not expired: at most limit, if that is not below 0. The
// kernel's walk through a set misses elements while their hash table grows, which it does for some
// milliseconds after many have come, and says nothing of it. So it is read again until nothing new is
// found, and at least count, if that is not below 0, elements have been seen.
func readSet(table string, set firewall.Set, count, limit int) ([]firewall.Element, error) {
	seen := map[netip.Prefix]bool{}
	var elements []firewall.Element
	for n := range rereads {
		before := len(seen)
		err := reading(func(s *socket) (err error) {
			elements, err = readElements(s, table, set, seen, elements, limit)
			return err
		})
		switch {
		case errors.Is(err, errStop):
			return elements, nil
		case err != nil:
			return elements, err
		case count >= 0 && len(seen) >= count, count < 0 && n > 0 && len(seen) == before:
			return elements, nil
		case n > 0:
			time.Sleep(time.Duration(n) * time.Millisecond)
		}
	}
	return elements, nil
}

// readElements appends the elements of a set that have not expired and were not seen before, and notes all
// that it meets. If limit is not below 0 and there would be more, the error is errStop. The kernel's walk
// through a set costs time with the square of its size: 100,000 take half a second.
func readElements(s *socket, table string, set firewall.Set, seen map[netip.Prefix]bool, elements []firewall.Element, limit int) ([]firewall.Element, error) {
	fill := func(b *batch) {
		b.Text(unix.NFTA_SET_ELEM_LIST_TABLE, table)
		b.Text(unix.NFTA_SET_ELEM_LIST_SET, set.String())
	}
	err := s.query("read set "+set.String(), unix.NFT_MSG_GETSETELEM, unix.NLM_F_DUMP, fill, func(m netlink.Message) error {
		var failure error
		netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
			if typ != unix.NFTA_SET_ELEM_LIST_ELEMENTS {
				return
			}
			netlink.Attributes(value, func(_ uint16, value []byte) {
				e, _, ok := readElement(set, value)
				if seen[e.Prefix] {
					return // while others come and go an element may be met twice
				}
				seen[e.Prefix] = true
				switch {
				case !ok:
				case limit >= 0 && len(elements) >= limit:
					failure = errStop
				default:
					elements = append(elements, e)
				}
			})
		})
		return failure
	})
	return elements, err
}

// readElement reads one element; it is false if it has expired, or is no such element.
func readElement(set firewall.Set, data []byte) (e firewall.Element, h firewall.Held, ok bool) {
	var timeout, left uint64
	e.Set = set.String()
	netlink.Attributes(data, func(typ uint16, value []byte) {
		switch typ {
		case unix.NFTA_SET_ELEM_KEY:
			netlink.Attributes(value, func(typ uint16, value []byte) {
				if addr, is := netip.AddrFromSlice(value); typ == unix.NFTA_DATA_VALUE && is {
					e.Prefix = netip.PrefixFrom(addr, set.Bits)
					ok = addr.Is6() == set.V6
				}
			})
		case unix.NFTA_SET_ELEM_TIMEOUT:
			timeout = netlink.Number(value)
		case unix.NFTA_SET_ELEM_EXPIRATION:
			left = netlink.Number(value)
		case unix.NFTA_SET_ELEM_EXPR:
			readCounter(value, &h)
		}
	})
	e.Timeout = time.Duration(left) * time.Millisecond
	h.Timeout = e.Timeout
	return e, h, ok && (timeout == 0 || left > 0)
}

func readCounter(data []byte, h *firewall.Held) {
	netlink.Attributes(data, func(typ uint16, value []byte) {
		if typ != unix.NFTA_EXPR_DATA {
			return
		}
		netlink.Attributes(value, func(typ uint16, value []byte) {
			switch typ {
			case unix.NFTA_COUNTER_BYTES:
				h.Bytes = netlink.Number(value)
			case unix.NFTA_COUNTER_PACKETS:
				h.Packets = netlink.Number(value)
			}
		})
	})
}

// watch finds out whether somebody else has changed a table that is not protected.
func (b *Backend) watch(r *ruleset) error {
	gen, err := readGeneration()
	if err != nil || gen == b.gen {
		return err
	}
	// Most likely a change of something that is not ours.
	if err := b.verify(r); err != nil {
		return err
	}
	b.gen = gen
	return nil
}

// noteGeneration remembers the ruleset's number after a change of ours.
func (b *Backend) noteGeneration() (err error) {
	if b.plain {
		b.gen, err = readGeneration()
	}
	return err
}

func readGeneration() (gen uint32, err error) {
	err = reading(func(s *socket) error {
		return s.query("read the ruleset's generation", unix.NFT_MSG_GETGEN, 0, func(*batch) {}, func(m netlink.Message) error {
			netlink.Attributes(m.Body(), func(typ uint16, value []byte) {
				if typ == unix.NFTA_GEN_ID {
					gen = uint32(netlink.Number(value))
				}
			})
			return nil
		})
	})
	return gen, err
}
