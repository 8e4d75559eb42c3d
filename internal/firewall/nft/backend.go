package nft

import (
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// listMax is after how many bytes a list of elements ends, of 28 (IPv4) or 40 (IPv6) bytes each: it
	// is one attribute, whose length is 16 bits, and the kernel silently takes a longer one for a
	// shorter.
	listMax = 60_000
	// refillMax is how many elements go into a transaction where sockets are small: the default of
	// 212,992 bytes holds 5,000 of IPv6, and others are smaller.
	refillMax = 2000
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

	socket   *socket // the only one that writes
	standing *ruleset
	gen      uint32 // of the ruleset after our last change, as far as we know
}

var (
	_ firewall.Backend = (*Backend)(nil)
	_ firewall.Claimer = (*Backend)(nil)
)

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

// Claim implements firewall.Claimer.
func (b *Backend) Claim(l firewall.Layout) (bool, error) {
	v, err := b.look()
	// A table whose owner has gone has lost that flag.
	if err != nil || !v.exists || (v.flags|b.flags()&flagOwner) != b.flags() {
		return false, err
	}
	if err := b.own(tableName, v); err != nil {
		return false, err
	}
	r := render(l, b.features.Reject)
	// Looked at again: until now somebody else may have changed it.
	if err := b.verify(r); err != nil {
		if errors.Is(err, firewall.ErrLost) {
			b.log.Info("the table of an earlier run is replaced", "err", err)
			return false, nil
		}
		return false, err
	}
	if err := b.dropSpare(); err != nil {
		return false, err
	}
	b.standing = r
	return true, b.noteGeneration()
}

// own makes us the owner of a table of an earlier run, if it is of the kind that has owners.
func (b *Backend) own(name string, t tableView) error {
	if t.flags&(flagOwner|flagPersist) == 0 {
		return nil
	}
	return taken(b.socket.transact(func(m *batch) {
		m.add("claim the table", unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, func(m *batch) {
			m.str(unix.NFTA_TABLE_NAME, name)
			m.u32(unix.NFTA_TABLE_FLAGS, t.flags|flagOwner)
		})
	}))
}

// Replace implements firewall.Backend: one transaction takes the old table away and puts the new one
// in its place. A packet on its way through the rules at that moment may be looked up in the old rules
// and the new sets, and get through: of 8 million from one banned source 9 did in 600 replacements. So
// while there is an old table, a spare with the new contents stands beside it during the change.
func (b *Backend) Replace(l firewall.Layout, elements iter.Seq[firewall.Change]) error {
	old, err := b.look()
	if err != nil {
		return err
	}
	if old.exists {
		if err := b.own(tableName, old); err != nil {
			return err
		}
	}
	if err := b.dropSpare(); err != nil {
		return err
	}
	r := render(l, b.features.Reject)
	err = b.replace(old.exists, r, elements)
	if errors.Is(err, unix.EMSGSIZE) {
		// All at once is too much for a socket without privilege: rules first, then what they look up.
		b.log.Warn("the bans are too many for one transaction: there is a short gap", "err", err)
		if err = b.replace(old.exists, r, func(func(firewall.Change) bool) {}); err == nil {
			err = b.refill(elements)
		}
	}
	if err != nil {
		b.standing = nil
		return err
	}
	b.standing = r
	return b.noteGeneration()
}

func (b *Backend) replace(remove bool, r *ruleset, elements iter.Seq[firewall.Change]) error {
	var failure error
	lists := map[firewall.Set]*list{}
	for c := range elements {
		if err := check(c); err != nil {
			return err
		}
		add(lists, c)
	}
	fill := func(m *batch, name string) {
		failure = errors.Join(failure, r.encode(m, name, b.flags()))
		encodeLists(m, name, "add elements", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, lists)
	}
	if remove {
		if err := b.socket.transact(func(m *batch) { fill(m, spareName) }); err != nil || failure != nil {
			return errors.Join(failure, taken(err), b.dropSpare())
		}
	}
	err := b.socket.transact(func(m *batch) {
		if remove {
			encodeRemoval(m, tableName)
		}
		fill(m, tableName)
	})
	if remove {
		err = errors.Join(err, b.dropSpare())
	}
	return errors.Join(failure, taken(err))
}

// dropSpare removes the spare table, which an earlier process may have left in the middle of a change.
func (b *Backend) dropSpare() error {
	var t tableView
	err := reading(func(s *socket) (err error) { t, err = readTable(s, spareName); return err })
	if err != nil || !t.exists {
		return err
	}
	if err := b.own(spareName, t); err != nil {
		return err
	}
	return taken(b.socket.transact(func(m *batch) { encodeRemoval(m, spareName) }))
}

func encodeRemoval(b *batch, name string) {
	b.add("remove table "+name, unix.NFT_MSG_DELTABLE, 0, func(b *batch) { b.str(unix.NFTA_TABLE_NAME, name) })
}

func (b *Backend) refill(elements iter.Seq[firewall.Change]) error {
	var part []firewall.Change
	for c := range elements {
		if part = append(part, c); len(part) == refillMax {
			if err := b.change(part); err != nil {
				return err
			}
			part = part[:0]
		}
	}
	return b.change(part)
}

// Apply implements firewall.Backend.
func (b *Backend) Apply(changes []firewall.Change) error {
	if b.standing == nil {
		return &firewall.Error{Op: "change elements", Err: firewall.ErrLost}
	}
	for _, c := range changes {
		if err := check(c); err != nil {
			return err
		}
		if !slices.Contains(b.standing.layout.Sets, c.Set) {
			return &firewall.Error{Op: "change elements", Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, c.Set)}
		}
	}
	if err := b.change(changes); err != nil {
		return err
	}
	if b.plain {
		b.gen++
	}
	return nil
}

// change brings elements in and out. Deleting what is not there would undo the whole transaction, and
// before Linux 6.12 adding what is there does not touch its timeout; so where the kernel lacks the
// better way, an element that may or may not be there is added, deleted and added again.
func (b *Backend) change(changes []firewall.Change) error {
	if len(changes) == 0 {
		return nil
	}
	there, gone, adds := map[firewall.Set]*list{}, map[firewall.Set]*list{}, map[firewall.Set]*list{}
	for _, c := range changes {
		certain := c.Fresh || !c.Remove && b.features.Update
		if !certain {
			if !b.features.Destroy {
				add(there, firewall.Change{Set: c.Set, Prefix: c.Prefix})
			}
			add(gone, firewall.Change{Set: c.Set, Prefix: c.Prefix, Remove: true})
		}
		if !c.Remove {
			add(adds, c)
		}
	}
	del := uint16(unix.NFT_MSG_DELSETELEM)
	if b.features.Destroy {
		del = msgDestroySetElem
	}
	return taken(b.socket.transact(func(m *batch) {
		encodeLists(m, tableName, "add elements", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, there)
		encodeLists(m, tableName, "remove elements", del, 0, gone)
		encodeLists(m, tableName, "add elements", unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, adds)
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

// list is elements of one set, encoded; ends are where messages are cut.
type list struct {
	batch batch
	ends  []int
	last  int // of ends
}

func add(lists map[firewall.Set]*list, c firewall.Change) {
	l := lists[c.Set]
	if l == nil {
		l = &list{}
		lists[c.Set] = l
	}
	// Always with a timeout where elements are added: 0 is for ever.
	appendElement(&l.batch, c.Prefix, uint64(c.Timeout/time.Millisecond), !c.Remove)
	if n := len(l.batch.buf); n-l.last >= listMax {
		l.ends, l.last = append(l.ends, n), n
	}
}

func encodeLists(b *batch, table, op string, typ, flags uint16, lists map[firewall.Set]*list) {
	for s, l := range lists {
		op := op + " of set " + s.String()
		begin := 0
		for _, end := range append(l.ends, len(l.batch.buf)) {
			if begin == end {
				continue
			}
			b.add(op, typ, flags, func(b *batch) {
				b.str(unix.NFTA_SET_ELEM_LIST_TABLE, table)
				b.str(unix.NFTA_SET_ELEM_LIST_SET, s.String())
				b.attr(unix.NFTA_SET_ELEM_LIST_ELEMENTS|unix.NLA_F_NESTED, l.batch.buf[begin:end]...)
			})
			begin = end
		}
	}
}

// Close implements firewall.Backend.
func (b *Backend) Close(keep bool) (err error) {
	defer func() { err = errors.Join(err, b.socket.close()) }()
	if keep {
		return nil
	}
	if err := b.dropSpare(); err != nil {
		return err
	}
	t, err := b.look()
	if err != nil || !t.exists {
		return err
	}
	if err := b.own(tableName, t); err != nil {
		return err
	}
	return taken(b.socket.transact(func(m *batch) { encodeRemoval(m, tableName) }))
}
