package nft

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// listMax is after how many bytes a list of elements ends, of 28 (IPv4) or 40 (IPv6) bytes each: it
	// is one attribute, whose length is 16 bits, and the kernel silently takes a longer one for a
	// shorter.
	listMax = 60_000
)

// Options are the settings of a Backend; the zero value is ready to use.
type Options struct {
	Log *slog.Logger // nil logs nothing
	// Plain does without the flags owner and persist even where the kernel has them, so that other
	// programs can change the table. It is repaired then.
	Plain bool
}

// Backend is the firewall's kernel side in nftables. It has one user at a time.
type Backend struct {
	log      *slog.Logger
	features Features
	notes    []string
	plain    bool

	socket   *socket               // the only one that writes
	sets     map[firewall.Set]bool // those that stand, and whether their elements have timeouts
	suffix   string                // of the chains that are in force
	chains   bool                  // there are such
	standing *ruleset              // as it was committed; nil if it is not known what is in force
	gen      uint32                // of the kernel's ruleset after our last change, as far as we know
}

var _ firewall.Backend = (*Backend)(nil)

// New looks what the kernel can do and makes a Backend. It changes nothing that lasts. The error tells
// why there is no nftables for us: firewall.ErrPermission, firewall.ErrUnsupported.
func New(o Options) (*Backend, error) {
	features, err := Probe()
	if err != nil {
		return nil, err
	}
	s, err := openSocket()
	if err != nil {
		return nil, err
	}
	b := &Backend{log: o.Log, features: features, plain: o.Plain || !features.Owner, socket: s}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.plain {
		b.notes = append(b.notes, "other programs can change our table; it is repaired within seconds")
	}
	if !features.Reject {
		b.notes = append(b.notes, "this kernel cannot reject before routing: packets are dropped instead")
	}
	b.log.Debug("nftables is ready", "owned", !b.plain, "features", fmt.Sprintf("%+v", features))
	return b, nil
}

// About implements firewall.Backend.
func (b *Backend) About() firewall.About {
	a := firewall.About{Name: "nftables", Notes: b.notes, CheckEvery: 10 * time.Second}
	if b.plain {
		a.CheckEvery = time.Second // a look at the generation takes some microseconds
	}
	return a
}

func (b *Backend) flags() uint32 {
	if b.plain {
		return 0
	}
	return flagOwner | flagPersist
}

// Survey implements firewall.Backend.
func (b *Backend) Survey(l firewall.Layout) (st firewall.Standing, err error) {
	st.Sets = map[firewall.Set]int{}
	b.sets, b.standing, b.chains, b.suffix = map[firewall.Set]bool{}, nil, false, ""
	t, err := b.look()
	if err != nil || !t.exists {
		return st, err
	}
	// A table whose owner has gone has lost that flag.
	if err := b.own(tableName, t); err != nil {
		return st, err
	}
	if t.flags|b.flags() != b.flags() || b.flags()&flagPersist != t.flags&flagPersist {
		// It is dormant, or of a kind that this process does not make.
		b.log.Warn("the table of an earlier run cannot be taken over; it is made anew", "flags", t.flags)
		return st, b.remove(tableName)
	}
	var found kernelView
	if err := reading(func(s *socket) (err error) { found, err = readTableContents(s); return err }); err != nil {
		return st, err
	}
	for name, v := range found.sets {
		s, ok := firewall.ParseSet(name)
		if !ok {
			st.Other = true
			continue
		}
		if g, ours := l.Group(s); ours && (v.timeouts == g.Lasting || v.counted != g.Counted) {
			b.log.Warn("the table of an earlier run cannot be taken over; it is made anew", "set", name)
			st.Sets = map[firewall.Set]int{}
			b.sets = map[firewall.Set]bool{}
			return st, b.remove(tableName)
		}
		st.Sets[s], b.sets[s] = v.count, v.timeouts
	}
	if found.hooks[baseChain] != 0 && found.hooks[baseChain+secondSuffix] != 0 {
		// Somebody was stopped between the two halves of Commit; both protect.
		if err := b.removeChains(found, secondSuffix); err != nil {
			return st, err
		}
	} else if found.hooks[baseChain+secondSuffix] != 0 {
		b.suffix = secondSuffix
	}
	b.chains = found.hooks[baseChain+b.suffix] != 0
	r := render(l, b.features.Reject)
	switch err := b.verify(r); {
	case err == nil:
		b.standing, st.Rules = r, true
	case !errors.Is(err, firewall.ErrLost):
		return st, err
	}
	return st, b.noteGeneration()
}

// remove takes a table away that is ours.
func (b *Backend) remove(name string) error {
	return taken(b.socket.transact(func(m *batch) { encodeRemoval(m, name) }))
}

// own makes us the owner of a table of an earlier run, if it is of the kind that has owners.
func (b *Backend) own(name string, t tableView) error {
	if t.flags&(flagOwner|flagPersist) == 0 || b.plain {
		return nil
	}
	return taken(b.socket.transact(func(m *batch) {
		m.add("claim the table", unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func(m *batch) {
			m.Text(unix.NFTA_TABLE_NAME, name)
			m.U32(unix.NFTA_TABLE_FLAGS, t.flags|flagOwner)
		})
	}))
}

// Prepare implements firewall.Backend.
func (b *Backend) Prepare(l firewall.Layout) error {
	var missing []firewall.Set
	for _, s := range l.Sets {
		if _, stands := b.sets[s]; !stands {
			missing = append(missing, s)
		}
	}
	err := taken(b.socket.transact(func(m *batch) {
		m.add("make the table", unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func(m *batch) {
			m.Text(unix.NFTA_TABLE_NAME, tableName)
			m.U32(unix.NFTA_TABLE_FLAGS, b.flags())
		})
		for i, s := range missing {
			g, _ := l.Group(s)
			encodeSet(m, tableName, s, g, uint32(i+1))
		}
	}))
	if err != nil {
		return err
	}
	for _, s := range missing {
		g, _ := l.Group(s)
		b.sets[s] = !g.Lasting
	}
	b.counted()
	return nil
}

// Commit implements firewall.Backend. A packet on its way through rules that a transaction removes may be
// looked up in maps that are gone already, and get through: of 8 million from one banned source 9 did in
// 600 changes. So the new chains are hooked in beside the old ones, which go in a transaction of their
// own; the sets are the same.
func (b *Backend) Commit(l firewall.Layout) error {
	for _, s := range l.Sets {
		if _, stands := b.sets[s]; !stands {
			return &firewall.Error{Op: "put the rules in force", Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, s)}
		}
	}
	if len(l.Sets) == 0 {
		// Nothing had to be prepared, and the table may not be there.
		if err := b.Prepare(l); err != nil {
			return err
		}
	}
	var found kernelView
	if err := reading(func(s *socket) (err error) { found, err = readTableContents(s); return err }); err != nil {
		return err
	}
	r := render(l, b.features.Reject)
	suffix := b.suffix
	if b.chains {
		suffix = otherSuffix(b.suffix)
	}
	// What stands under the new names was given up half-way.
	if err := b.removeChains(found, suffix); err != nil {
		return err
	}
	var failure error
	err := taken(b.socket.transact(func(m *batch) { failure = r.encode(m, tableName, suffix) }))
	if err = errors.Join(failure, err); err != nil {
		return err
	}
	b.standing = nil
	if b.chains {
		if err := b.removeChains(found, b.suffix); err != nil {
			return err
		}
	}
	b.suffix, b.chains = suffix, true
	if err := b.removeSets(l, found); err != nil {
		return err
	}
	b.standing = r
	return b.noteGeneration()
}

func otherSuffix(suffix string) string {
	if suffix == "" {
		return secondSuffix
	}
	return ""
}

// removeChains removes the chains with a suffix.
func (b *Backend) removeChains(found kernelView, suffix string) error {
	var names []string
	for name := range found.hooks {
		if strings.HasSuffix(name, secondSuffix) == (suffix == secondSuffix) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	// Those that are jumped to go last.
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Or(found.hooks[y]-found.hooks[x], -strings.Compare(x, y))
	})
	return taken(b.socket.transact(func(m *batch) {
		for _, name := range names {
			m.add("empty chain "+name, unix.NFT_MSG_DELRULE, 0, func(m *batch) {
				m.Text(unix.NFTA_RULE_TABLE, tableName)
				m.Text(unix.NFTA_RULE_CHAIN, name)
			})
		}
		for _, name := range names {
			m.add("remove chain "+name, unix.NFT_MSG_DELCHAIN, 0, func(m *batch) {
				m.Text(unix.NFTA_CHAIN_TABLE, tableName)
				m.Text(unix.NFTA_CHAIN_NAME, name)
			})
		}
	}))
}

// removeSets removes the sets that the layout does not have.
func (b *Backend) removeSets(l firewall.Layout, found kernelView) error {
	var names []string
	for name := range found.sets {
		if s, ok := firewall.ParseSet(name); !ok || !slices.Contains(l.Sets, s) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	err := taken(b.socket.transact(func(m *batch) {
		for _, name := range names {
			m.add("remove set "+name, unix.NFT_MSG_DELSET, 0, func(m *batch) {
				m.Text(unix.NFTA_SET_TABLE, tableName)
				m.Text(unix.NFTA_SET_NAME, name)
			})
		}
	}))
	if err != nil {
		return err
	}
	for _, name := range names {
		if s, ok := firewall.ParseSet(name); ok {
			delete(b.sets, s)
		}
	}
	return nil
}

func encodeRemoval(b *batch, name string) {
	b.add("remove table "+name, unix.NFT_MSG_DELTABLE, 0, func(b *batch) { b.Text(unix.NFTA_TABLE_NAME, name) })
}

// Apply implements firewall.Backend.
func (b *Backend) Apply(changes []firewall.Change) error {
	var last firewall.Set
	for i, c := range changes {
		if err := check(c); err != nil {
			return err
		}
		if i > 0 && c.Set == last {
			continue
		}
		if _, stands := b.sets[c.Set]; !stands {
			return &firewall.Error{Op: "change elements", Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, c.Set)}
		}
		last = c.Set
	}
	err := b.change(changes)
	if err == nil {
		b.counted()
		return nil
	}
	if errors.Is(err, unix.EMSGSIZE) && len(changes) > 1 {
		// Without privilege sockets are small.
		half := len(changes) / 2
		return errors.Join(b.Apply(changes[:half]), b.Apply(changes[half:]))
	}
	return err
}

// counted takes note that a change of ours has raised the ruleset's number.
func (b *Backend) counted() {
	if b.plain {
		b.gen++
	}
}

// change brings elements in and out. Deleting what is not there would undo the whole transaction, and
// before Linux 6.12 adding what is there does not touch its timeout; so where the kernel lacks the
// better way, an element that may or may not be there is added, deleted and added again.
func (b *Backend) change(changes []firewall.Change) error {
	if len(changes) == 0 {
		return nil
	}
	there, gone, adds := lists{timeouts: b.sets}, lists{timeouts: b.sets}, lists{timeouts: b.sets}
	for _, c := range changes {
		certain := c.Fresh || !c.Remove && b.features.Update
		if !certain {
			if !b.features.Destroy {
				there.add(firewall.Change{Set: c.Set, Prefix: c.Prefix})
			}
			gone.add(firewall.Change{Set: c.Set, Prefix: c.Prefix, Remove: true})
		}
		if !c.Remove {
			adds.add(c)
		}
	}
	del := uint16(unix.NFT_MSG_DELSETELEM)
	if b.features.Destroy {
		del = msgDestroySetElem
	}
	return taken(b.socket.transact(func(m *batch) {
		there.encode(m, "add elements", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE)
		gone.encode(m, "remove elements", del, 0)
		adds.encode(m, "add elements", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE)
	}))
}

// check refuses what would be encoded as something else.
func check(c firewall.Change) error {
	p := c.Prefix
	if p.Addr().Is6() != c.Set.V6 || p.Bits() != c.Set.Bits || p != p.Masked() || p.Bits() == 0 {
		return &firewall.Error{Op: "change elements", Err: fmt.Errorf("%s does not belong in set %s", p, c.Set)}
	}
	return nil
}

// lists are changes of one kind, by set.
type lists struct {
	sets []firewall.Set
	of   map[firewall.Set][]firewall.Change

	timeouts map[firewall.Set]bool // whose elements have some
}

func (l *lists) add(c firewall.Change) {
	if l.of == nil {
		l.of = map[firewall.Set][]firewall.Change{}
	}
	if l.of[c.Set] == nil {
		l.sets = append(l.sets, c.Set)
	}
	l.of[c.Set] = append(l.of[c.Set], c)
}

// encode writes messages of at most listMax bytes of elements.
func (l *lists) encode(b *batch, op string, typ, flags uint16) {
	for _, s := range l.sets {
		size := 28
		if s.V6 {
			size = 40
		}
		// Always with a timeout where elements with timeouts are added: 0 is for ever.
		timeouts := typ == unix.NFT_MSG_NEWSETELEM && l.timeouts[s]
		for part := range slices.Chunk(l.of[s], listMax/size) {
			b.add(op+" of set "+s.String(), typ, flags, func(b *batch) {
				b.Text(unix.NFTA_SET_ELEM_LIST_TABLE, tableName)
				b.Text(unix.NFTA_SET_ELEM_LIST_SET, s.String())
				b.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(b *batch) {
					for _, c := range part {
						appendElement(b, c.Prefix, uint64(c.Timeout/time.Millisecond), timeouts)
					}
				})
			})
		}
	}
}

// Close implements firewall.Backend.
func (b *Backend) Close(keep bool) (err error) {
	defer func() { err = errors.Join(err, b.socket.close()) }()
	if keep {
		return nil
	}
	t, err := b.look()
	if err != nil || !t.exists {
		return err
	}
	if err := b.own(tableName, t); err != nil {
		return err
	}
	return b.remove(tableName)
}
