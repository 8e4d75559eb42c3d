package ipset

import (
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// commitment is what was found in force, and is to stay so.
type commitment struct {
	tables []table    // two for each program
	found  []standing // as the kernel has them; iptables may print a rule in other words than ours
	pulse  pulse
	looked time.Time // when the rules were read
}

// wanted renders a layout for all programs.
func (b *Backend) wanted(l firewall.Layout) *commitment {
	names := make(map[firewall.Set]string, len(b.sets))
	for s, v := range b.sets {
		names[s] = v.name
	}
	c := &commitment{}
	for _, p := range b.programs {
		tables := render(l, p.v6, names)
		c.tables = append(c.tables, tables[:]...)
	}
	return c
}

// inMangle tells whether there are rules of ours in the table mangle.
func (c *commitment) inMangle() bool {
	for _, t := range c.tables {
		if t.name == "mangle" && len(t.chains) > 0 {
			return true
		}
	}
	return false
}

// read looks what stands. The pulse is felt first: what is changed meanwhile is noticed later.
func (b *Backend) read(c *commitment) (err error) {
	c.looked = time.Now()
	if c.pulse, err = feelPulse(b.socket, b.programs, c.inMangle()); err != nil {
		return err
	}
	c.found = nil
	for i, t := range c.tables {
		st, err := b.programs[i/2].list(t.name)
		if err != nil {
			return err
		}
		c.found = append(c.found, st)
	}
	return nil
}

// Commit implements firewall.Backend. A table's rules are exchanged in one step, so that every packet meets
// either the old ones or the new ones; the sets of both stand meanwhile.
func (b *Backend) Commit(l firewall.Layout) error {
	const op = "put the rules in force"
	for _, s := range l.Sets {
		if b.sets[s] == nil {
			return &firewall.Error{Op: op, Err: fmt.Errorf("%w: no set %s", firewall.ErrLost, s)}
		}
	}
	b.rules = nil
	c := b.wanted(l)
	for i, t := range c.tables {
		if err := write(b.programs[i/2], t); err != nil {
			return err
		}
	}
	if err := b.read(c); err != nil {
		return err
	}
	for i, t := range c.tables {
		if what := c.found[i].differs(t); what != "" {
			return &firewall.Error{Op: op, Err: fmt.Errorf("%w: %s a moment after it was written", firewall.ErrLost, what)}
		}
	}
	keep := map[string]bool{}
	for _, s := range l.Sets {
		keep[b.sets[s].name] = true
	}
	maps.DeleteFunc(b.sets, func(_ firewall.Set, v *set) bool { return !keep[v.name] })
	if err := b.destroyOthers(keep); err != nil {
		return err
	}
	b.rules = c
	return nil
}

// write makes exactly a table of ours of what stands there.
func write(p program, t table) (err error) {
	for range commitTries {
		st, err := p.list(t.name)
		if err != nil {
			return err
		}
		script := st.script(t)
		if script == "" {
			return nil
		}
		// It is refused if somebody has changed in between what it goes by: once more then.
		err = p.restore(script)
		if err == nil || errors.Is(err, firewall.ErrLost) || errors.Is(err, firewall.ErrPermission) || errors.Is(err, firewall.ErrUnsupported) {
			return err
		}
	}
	return err
}

// destroyOthers removes our sets but those to keep.
func (b *Backend) destroyOthers(keep map[string]bool) error {
	names, err := readNames(b.socket)
	if err != nil {
		return err
	}
	deadline := time.Now().Add(destroyTime)
	stuck := map[string]bool{}
	defer func() { b.stuck = stuck }()
	for _, name := range names {
		if keep[name] {
			continue
		}
		err := destroy(b.socket, name)
		// nf_tables lets go of a set some time after the rules that used it are gone.
		for errors.Is(err, errBusy) && !b.stuck[name] && time.Now().Before(deadline) {
			time.Sleep(destroyPause)
			err = destroy(b.socket, name)
		}
		switch {
		case errors.Is(err, errBusy):
			if !b.stuck[name] {
				b.log.Warn("a set of ours stays, since rules of somebody else use it", "set", name)
			}
			stuck[name] = true
		case err != nil:
			return failed("remove the set "+name, err)
		}
	}
	return nil
}
