package ipset

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// lockName is of the socket (abstract, so one for each network namespace) whose holder alone works on
	// our sets and rules.
	lockName = "\x00palisade/firewall/ipset"
	// destroyTime is how long it is waited for nf_tables to let go of a set whose rules are gone: it does
	// so behind our back.
	destroyTime, destroyPause = 2 * time.Second, 2 * time.Millisecond
	// commitTries is how often the rules are looked at and written when others change them in between.
	commitTries = 3
)

// Options are the settings of a Backend; the zero value is ready to use.
type Options struct {
	Log *slog.Logger // nil logs nothing
	// IPv4 and IPv6 are the names of the programs, "iptables" and "ip6tables" if they are empty.
	IPv4, IPv6 string
}

// Backend is the firewall's kernel side in ipsets and rules of iptables. It has one user at a time.
type Backend struct {
	log       *slog.Logger
	notes     []string
	revisions revisions
	programs  []program // IPv4, and IPv6 where the kernel has it

	socket *socket
	lock   int // the socket that is the lock; -1 is none
	sets   map[firewall.Set]*set
	rules  *commitment // as they were left; nil if it is not known what is in force
	count  schedule
	stuck  map[string]bool // sets that could not be removed, for which it is not waited again
}

// set is one of ours that stands.
type set struct {
	name string
	kind
	witnesses   []witness // what is looked up now and then
	unspecified *witness  // see there
}

var (
	_ firewall.Backend = (*Backend)(nil)
	_ firewall.Tester  = (*Backend)(nil)
)

// New looks what the kernel and iptables can do and makes a Backend. It changes nothing. The error tells
// why it cannot be: firewall.ErrPermission, firewall.ErrUnsupported.
func New(o Options) (*Backend, error) {
	b := &Backend{log: o.Log, lock: -1, sets: map[firewall.Set]*set{}}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if err := b.findPrograms(cmp.Or(o.IPv4, "iptables"), cmp.Or(o.IPv6, "ip6tables")); err != nil {
		return nil, err
	}
	s, err := openSocket()
	if err != nil {
		return nil, err
	}
	if err := checkProtocol(s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if b.revisions, err = chooseRevisions(s); err != nil {
		return nil, errors.Join(err, s.close())
	}
	b.socket = s
	b.notes = append(b.notes,
		"other programs can change our sets and rules; they are repaired within seconds",
		"what is to be rejected is dropped: iptables cannot reject before routing")
	b.log.Debug("ipset is ready", "iptables", b.programs[0].version)
	return b, nil
}

// Probe finds out whether there can be a Backend with the default iptables. The error tells why not.
func Probe() error {
	b, err := New(Options{})
	if err != nil {
		return err
	}
	return b.Close(true)
}

func (b *Backend) findPrograms(v4, v6 string) error {
	p, err := findProgram(v4, false)
	if err != nil {
		return err
	}
	b.programs = []program{p}
	if !haveIPv6() {
		b.notes = append(b.notes, "the kernel has no IPv6: there are no rules for it")
		return nil
	}
	if p, err = findProgram(v6, true); err != nil {
		return err
	}
	b.programs = append(b.programs, p)
	return nil
}

// haveIPv6 tells whether the kernel has IPv6.
func haveIPv6() bool {
	fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err == nil {
		_ = unix.Close(fd)
	}
	return !errors.Is(err, unix.EAFNOSUPPORT)
}

// About implements firewall.Backend.
func (b *Backend) About() firewall.About {
	return firewall.About{Name: "ipset", Notes: b.notes, CheckEvery: time.Second}
}

// acquire makes us the only process that works on the sets and rules of this network namespace.
func (b *Backend) acquire() error {
	if b.lock >= 0 {
		return nil
	}
	const op = "lock the firewall"
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return failed(op, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: lockName}); err != nil {
		_ = unix.Close(fd)
		if errors.Is(err, unix.EADDRINUSE) {
			return &firewall.Error{Op: op, Err: fmt.Errorf("%w: %w", firewall.ErrOwned, err), Hint: "stop the other one" + holder()}
		}
		return failed(op, err)
	}
	// Nobody is answered; but who connects is told whose it is.
	if err := unix.Listen(fd, 1); err != nil {
		return errors.Join(failed(op, err), unix.Close(fd))
	}
	b.lock = fd
	return nil
}

// holder names the process that has the lock, if the kernel tells.
func holder() string {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return ""
	}
	defer func() { _ = unix.Close(fd) }()
	if unix.Connect(fd, &unix.SockaddrUnix{Name: lockName}) != nil {
		return ""
	}
	who, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil || who.Pid <= 0 { // 0 is one of another namespace of processes
		return ""
	}
	return fmt.Sprintf("; it is process %d", who.Pid)
}

// Survey implements firewall.Backend.
func (b *Backend) Survey(l firewall.Layout) (firewall.Standing, error) {
	st := firewall.Standing{Sets: map[firewall.Set]int{}}
	if err := b.acquire(); err != nil {
		return st, err
	}
	before := b.sets
	b.rules, b.sets = nil, map[firewall.Set]*set{}
	names, err := readNames(b.socket)
	if err != nil {
		return st, err
	}
	if len(names) > 0 { // whoever takes them over compares their numbers
		b.count.reset(time.Now())
	}
	slices.Sort(names) // a set's own name comes before its second
	for _, name := range names {
		h, err := readHeader(b.socket, name)
		if errors.Is(err, unix.ENOENT) {
			continue // it has gone in the meantime
		}
		if err != nil {
			return st, failed("look at the set "+name, err)
		}
		s, ours := setOf(name, l)
		g, known := l.Group(s)
		if !ours || !known || h.kind != kindOf(s, g) || b.sets[s] != nil {
			st.Other = true
			continue
		}
		v := &set{name: name, kind: h.kind}
		if old := before[s]; old != nil && old.name == name {
			v.unspecified = old.unspecified
		}
		if _, there := v.remembered(time.Now()); there {
			h.count++
		}
		b.sets[s], st.Sets[s] = v, h.count
	}
	c := b.wanted(l)
	if err := b.read(c); err != nil {
		return st, err
	}
	exact := !slices.ContainsFunc(l.Sets, func(s firewall.Set) bool { return b.sets[s] == nil })
	for i, t := range c.tables {
		if !c.found[i].is(t) {
			exact = false
			st.Other = st.Other || len(c.found[i].chains) > 0
		}
	}
	if exact {
		b.rules, st.Rules = c, true
	}
	return st, nil
}

// Prepare implements firewall.Backend.
func (b *Backend) Prepare(l firewall.Layout) error {
	for _, s := range l.Sets {
		g, known := l.Group(s)
		if b.sets[s] != nil {
			continue
		}
		if !known {
			return &firewall.Error{Op: "make set " + s.String(), Err: errors.New("its group is not in the layout")}
		}
		if err := b.prepare(s, kindOf(s, g), l.Sizes[s]); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes one set, under the second name if the first one is taken. A set that was there already and
// is ours is emptied by making it anew.
func (b *Backend) prepare(s firewall.Set, k kind, size int) error {
	var failure error
	for _, name := range []string{nameOf(s), nameOf(s) + second} {
		err := destroy(b.socket, name)
		if err == nil {
			err = b.revisions.create(b.socket, name, k, size)
		}
		if err == nil {
			b.sets[s] = &set{name: name, kind: k}
			return nil
		}
		failure = failed("make set "+s.String(), err)
		if !errors.Is(err, errBusy) {
			break
		}
	}
	return failure
}

// Apply implements firewall.Backend: additions come before removals.
func (b *Backend) Apply(changes []firewall.Change) error {
	for _, c := range changes {
		if err := check(c); err != nil {
			return err
		}
		if b.sets[c.Set] == nil {
			return &firewall.Error{Op: "change elements", Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, c.Set)}
		}
	}
	target := func(s firewall.Set) (string, bool) { return b.sets[s].name, b.sets[s].timeouts }
	for _, cmd := range []uint8{cmdAdd, cmdDel} {
		if err := change(b.socket, cmd, changes, target); err != nil {
			return err
		}
	}
	b.witness(changes, time.Now())
	return nil
}

// Test implements firewall.Tester. It takes the kernel some 3 µs for each element.
func (b *Backend) Test(s firewall.Set, prefixes []netip.Prefix) ([]firewall.Held, error) {
	const op = "look elements up"
	v := b.sets[s]
	if v == nil {
		return nil, &firewall.Error{Op: op, Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, s)}
	}
	b.count.reset(time.Now()) // who looks so closely wants to know numbers as well
	held := make([]firewall.Held, len(prefixes))
	for i, p := range prefixes {
		if err := check(firewall.Change{Set: s, Prefix: p}); err != nil {
			return nil, err
		}
		if unspecified(p) {
			_, held[i].Present = v.remembered(time.Now())
			continue
		}
		there, err := test(b.socket, v.name, p)
		if err != nil {
			return nil, failed(op, err)
		}
		held[i].Present = there
	}
	return held, nil
}

// Probe implements firewall.Backend. The kernel tells of a single element only whether it is there; for
// timeouts and counters the set is listed, which takes it 0.5 s per million elements.
func (b *Backend) Probe(s firewall.Set, prefixes []netip.Prefix) ([]firewall.Held, error) {
	held, err := b.Test(s, prefixes)
	if err != nil {
		return nil, err
	}
	v := b.sets[s]
	places := make(map[netip.Prefix][]int, len(prefixes))
	for i, p := range prefixes {
		if held[i].Present {
			places[p] = append(places[p], i)
		}
	}
	if len(places) == 0 || !v.timeouts && !v.counters {
		return held, nil
	}
	for _, at := range places {
		for _, i := range at {
			held[i] = firewall.Held{} // what is not listed has expired since
		}
	}
	take := func(e entry) error {
		for _, i := range places[e.prefix] {
			held[i] = e.held
		}
		return nil
	}
	if e, there := v.remembered(time.Now()); there {
		_ = take(e)
	}
	if err := readEntries(b.socket, v.name, take); err != nil {
		return nil, failed("list set "+s.String(), err)
	}
	return held, nil
}

// Close implements firewall.Backend.
func (b *Backend) Close(keep bool) (err error) {
	defer func() {
		if b.lock >= 0 {
			err = errors.Join(err, os.NewSyscallError("close", unix.Close(b.lock)))
			b.lock = -1
		}
		err = errors.Join(err, b.socket.close())
	}()
	if keep {
		return nil
	}
	if err := b.acquire(); err != nil {
		return err
	}
	for _, p := range b.programs {
		for _, t := range []table{{v6: p.v6, name: "raw"}, {v6: p.v6, name: "mangle"}} {
			if err := write(p, t); err != nil {
				return err
			}
		}
	}
	return b.destroyOthers(nil)
}
