package action

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
)

// What a family of an action can be.
const (
	started   = 1 << iota // its actionstart was executed
	contained             // and there were bans since the last flush
)

// The bounds of what is done for IDs that fail again while they are banned.
const (
	checkInterval = 3 * time.Second // between two checks, and between a ban and a failure that is odd; fail2ban's
	maxFresh      = 100_000         // IDs known to have been banned since the last repair
)

// errCommand is for a command that failed; what and how is in an event of its own.
var errCommand = errors.New("a command failed")

// sanity is what a check comes to.
type sanity int

const (
	broken  sanity = iota
	sane           // or nothing to check with, or repaired
	refused        // broken, and not to be repaired now
)

// machine does what fail2ban does with an action of commands. It belongs to the goroutine of Runner.Run.
type machine struct {
	program *program
	options *Options
	execute func(ctx context.Context, operation string, c Command, limit time.Duration) bool
	record  func(Event)

	families []familyState                // in the order in which they were first met
	executed map[string]map[string]string // by operation and family: the command that was executed last
	epoch    int                          // number of repairs
	fresh    map[ident.ID]struct{}        // banned since the last repair; nil before the first
	checked  time.Time                    // when a failure last led to a check
}

type familyState struct {
	name string
	bits int
}

func (m *machine) bits(family string) (bits int, known bool) {
	i := slices.IndexFunc(m.families, func(s familyState) bool { return s.name == family })
	if i < 0 {
		return 0, false
	}
	return m.families[i].bits, true
}

func (m *machine) setBits(family string, bits int) {
	i := slices.IndexFunc(m.families, func(s familyState) bool { return s.name == family })
	if i < 0 {
		m.families = append(m.families, familyState{family, bits})
		return
	}
	m.families[i].bits = bits
}

// with lists the families that have all of the bits.
func (m *machine) with(bits int) (names []string) {
	for _, f := range m.families {
		if f.bits&bits == bits {
			names = append(names, f.name)
		}
	}
	return names
}

// configure sets what the action is. What was executed before is no longer known, since its text may have
// changed; what is started stays so.
func (m *machine) configure(p *program) { m.program, m.executed = p, map[string]map[string]string{} }

// forFamilies executes an operation that is about families: once where two have the same text.
func (m *machine) forFamilies(ctx context.Context, op string, families []string, after func(family string, ok bool)) error {
	var failed error
	for _, f := range families {
		c := m.program.familyText(op, f)
		ok := true
		if text := c.Script; text != "" && !m.executedForOther(op, f, text) {
			ok = m.executeEmpty(ctx, op, f, c)
		}
		after(f, ok)
		if ok && c.Script != "" {
			m.remember(op, f, c.Script)
		} else {
			m.forget(op, f)
		}
		if !ok {
			failed = errCommand
		}
	}
	return failed
}

// executeEmpty executes a command that is about no ban: what tags are left get the values of an empty ticket.
func (m *machine) executeEmpty(ctx context.Context, op, family string, c Command) bool {
	filled, err := Expand(c.Script, m.values(m.program.emptyTicket(time.Now()), family, true))
	if err != nil {
		m.record(Event{Kind: Refused, Operation: op, Family: family, Err: err})
		return false
	}
	if len(c.Args) > 0 {
		filled = c
	}
	return m.run(ctx, op, filled)
}

// run executes a command. None is success.
func (m *machine) run(ctx context.Context, op string, c Command) bool {
	return c.Script == "" || m.execute(ctx, op, c, m.program.Timeout)
}

func (m *machine) executedForOther(op, family, text string) bool {
	for f, done := range m.executed[op] {
		if f != family && done == text {
			return true
		}
	}
	return false
}

func (m *machine) remember(op, family, text string) {
	if m.executed[op] == nil {
		m.executed[op] = map[string]string{}
	}
	m.executed[op][family] = text
}

// forget lets an operation be executed again for the family, and for those that share its command.
func (m *machine) forget(op, family string) {
	text, known := m.executed[op][family]
	if !known {
		return
	}
	for f, done := range m.executed[op] {
		if done == text {
			delete(m.executed[op], f)
		}
	}
}

// start is for the start of the jail. An action on demand waits for its first ban.
func (m *machine) start(ctx context.Context) error {
	if m.program.onDemand {
		return nil
	}
	return m.startFamilies(ctx, m.program.families)
}

func (m *machine) startFamilies(ctx context.Context, families []string) error {
	return m.forFamilies(ctx, opStart, families, func(f string, ok bool) {
		if ok {
			m.forget(opStop, f)
			m.setBits(f, started)
		}
	})
}

// startFamily starts one family; for what is no address it starts all.
func (m *machine) startFamily(ctx context.Context, family string) error {
	if family == noFamily {
		return m.startFamilies(ctx, m.program.families)
	}
	return m.startFamilies(ctx, []string{family})
}

// stop stops what is started, in the order in which it was.
func (m *machine) stop(ctx context.Context) error {
	families := m.startedFamilies()
	m.families = nil
	return m.stopFamilies(ctx, families)
}

// startedFamilies lists the families in use, as fail2ban sees it: it takes bans without a start for one.
func (m *machine) startedFamilies() (names []string) {
	for _, f := range m.families {
		if f.bits != 0 {
			names = append(names, f.name)
		}
	}
	return names
}

func (m *machine) stopFamilies(ctx context.Context, families []string) error {
	return m.forFamilies(ctx, opStop, families, func(f string, ok bool) {
		if ok {
			m.forget(opStart, f)
		}
	})
}

// stopFamily stops one family before it is started anew; for what is no address it stops all.
func (m *machine) stopFamily(ctx context.Context, family string) error {
	if family == noFamily {
		return m.stop(ctx)
	}
	if _, known := m.bits(family); !known {
		return nil
	}
	m.setBits(family, 0)
	return m.stopFamilies(ctx, []string{family})
}

// ban bans.
func (m *machine) ban(ctx context.Context, t Ticket) error {
	err := m.apply(ctx, t, opBan)
	m.freshen(t.ID) // also where it failed: the ban stands, and to ban again is for those before a repair
	return err
}

// apply executes actionban or actionreban, and actionstart before it where this is due.
func (m *machine) apply(ctx context.Context, t Ticket, op string) error {
	family := t.family()
	if bits, _ := m.bits(family); m.program.onDemand && bits == 0 {
		if err := m.startFamily(ctx, family); err != nil {
			return fmt.Errorf("start: %w", err)
		}
	}
	if err := m.process(ctx, op, t); err != nil {
		return err
	}
	bits, _ := m.bits(family)
	m.setBits(family, bits|started|contained)
	return nil
}

// freshen notes that an ID was banned since the last repair. Beyond the bound all are forgotten, and IDs that
// fail again are banned once more than needed.
func (m *machine) freshen(id ident.ID) {
	if m.fresh == nil {
		return
	}
	if len(m.fresh) >= maxFresh {
		clear(m.fresh)
	}
	m.fresh[id] = struct{}{}
}

// reban bans again what a repair may have lost.
func (m *machine) reban(ctx context.Context, t Ticket) error {
	op := opBan
	if m.program.has(opReban) {
		op = opReban
	}
	err := m.apply(ctx, t, op)
	if err == nil {
		m.freshen(t.ID)
	}
	return err
}

// again is for an ID that failed while it is banned: something may be amiss. It tells whether the ban was
// repeated.
func (m *machine) again(ctx context.Context, t Ticket, failure time.Time) (rebanned bool, err error) {
	if !m.stale(t.ID) && failure.Sub(t.Time) > checkInterval && time.Since(m.checked) > checkInterval {
		m.checked = time.Now()
		if err := m.consistent(ctx, ""); err != nil {
			return false, err
		}
	}
	if !m.stale(t.ID) {
		return false, nil
	}
	m.record(Event{Kind: Rebanned, Ticket: &t})
	return true, m.reban(ctx, t)
}

// stale tells whether an ID was banned before the last repair.
func (m *machine) stale(id ident.ID) bool {
	_, isFresh := m.fresh[id]
	return m.epoch > 0 && !isFresh
}

// unban executes actionunban, if the family holds bans.
func (m *machine) unban(ctx context.Context, t Ticket) error {
	delete(m.fresh, t.ID)
	if bits, _ := m.bits(t.family()); bits&contained == 0 {
		return nil
	}
	return m.process(ctx, opUnban, t)
}

func (m *machine) prolong(ctx context.Context, t Ticket) error {
	if !m.program.prolongs() {
		return nil
	}
	return m.process(ctx, opProlong, t)
}

// flush executes actionflush for the families that hold bans. fail2ban executes it only once where the
// families have the same text, and not at all when that happens again; here it is once each time.
func (m *machine) flush(ctx context.Context) error {
	delete(m.executed, opFlush)
	clear(m.fresh)
	return m.forFamilies(ctx, opFlush, m.with(started|contained), func(f string, ok bool) {
		if bits, _ := m.bits(f); ok {
			m.setBits(f, bits&^contained)
		}
	})
}

// reload executes actionreload for what is started.
func (m *machine) reload(ctx context.Context) error {
	return m.forFamilies(ctx, opReload, m.startedFamilies(), func(string, bool) {})
}

// process executes a command about a ban; where that fails it checks, repairs and tries once more.
func (m *machine) process(ctx context.Context, op string, t Ticket) error {
	family := t.family()
	tags := m.values(t, family, false)
	for try := 0; ; try++ {
		if try > 0 && m.program.has(opCheck) {
			var refuse string
			if op == opUnban && !isTrue(m.program.options["actionrepair_on_unban"]) {
				refuse = opUnban
			}
			found, err := m.check(ctx, family, refuse, op != opUnban)
			if err != nil {
				return err
			}
			if found != sane {
				return errCommand
			}
		}
		c, err := Expand(m.program.text(op, family), tags)
		if err != nil {
			return err
		}
		if m.run(ctx, op, c) {
			return nil
		}
		if try > 0 || ctx.Err() != nil {
			return errCommand
		}
	}
}

// check executes actioncheck and, where it fails, repairs. With refuse, the operation that does not warrant a
// repair, it only says so. Without force only a family that was met before is checked, and an action on
// demand is not started.
func (m *machine) check(ctx context.Context, family, refuse string, force bool) (sanity, error) {
	if _, known := m.bits(family); !force && family != noFamily && !known {
		return sane, nil
	}
	c := m.program.familyText(opCheck, family)
	if m.run(ctx, opCheck, c) {
		return sane, nil
	}
	if ctx.Err() != nil {
		return broken, nil //nolint:nilerr // it was ended, and says nothing
	}
	m.record(Event{Kind: CheckFailed, Operation: refuse, Family: family})
	if refuse != "" {
		return refused, nil
	}
	m.epoch++
	m.fresh = map[ident.ID]struct{}{}
	if repair := m.program.familyText(opRepair, family); repair.Script != "" {
		if !m.run(ctx, opRepair, repair) {
			m.setBits(family, 0)
			m.record(Event{Kind: NotRestored, Family: family})
			return broken, nil
		}
		m.setBits(family, started)
	} else {
		_ = m.stopFamily(ctx, family) // what is left of it may not let itself be stopped
		if err := m.restart(ctx, family, force); err != nil {
			return broken, fmt.Errorf("start: %w", err)
		}
	}
	if bits, _ := m.bits(family); bits != 0 && !m.run(ctx, opCheck, c) {
		m.record(Event{Kind: NotRestored, Family: family})
		return broken, nil
	}
	return sane, nil
}

// restart starts a family after it was stopped for a repair.
func (m *machine) restart(ctx context.Context, family string, force bool) error {
	if m.program.onDemand && !force {
		return nil
	}
	return m.startFamily(ctx, family)
}

// consistent checks all families in use, and repairs them unless refuse names an operation that does not
// warrant it.
func (m *machine) consistent(ctx context.Context, refuse string) error {
	if !m.program.has(opCheck) {
		return nil
	}
	for _, f := range m.startedFamilies() {
		found, err := m.check(ctx, f, refuse, true)
		if err != nil {
			return err
		}
		if found == broken {
			m.setBits(f, 0)
			m.forget(opStart, f)
		}
	}
	return nil
}

// values gives the tags of a ticket.
func (m *machine) values(t Ticket, family string, empty bool) Tags {
	k := &known{
		ticket: t, family: family, empty: empty, jail: m.program.Jail,
		host: func() string {
			if m.options.Host != nil && t.address().IsAddr() {
				if name := m.options.Host(t.address()); name != "" {
					return name
				}
			}
			return noFamily // Python's word for nothing
		},
		history: func(allJails bool) ([]string, int, bool) {
			if m.options.History == nil || empty {
				return nil, 0, false
			}
			return m.options.History(t.address(), allJails)
		},
		counts: func() Counts {
			if m.options.Counts == nil {
				return Counts{}
			}
			return m.options.Counts()
		},
	}
	return k.tags()
}
