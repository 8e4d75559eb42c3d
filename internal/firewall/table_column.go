package firewall

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// column is what one set of a feed is to hold, and what the kernel has acknowledged, as ascending keys.
// First everything new is added, then what nobody wants is removed; whoever owns the column says when.
type column[K any] struct {
	compare func(a, b K) int
	prefix  func(k K, bits int) netip.Prefix

	stage     stage
	installed []K // when the stage began
	desired   []K
	i, j      int // how far both have been dealt with in this stage, acknowledged
	ni, nj    int // how far they will be when what was given last is acknowledged
	given     int // changes given last
	held      int // elements in the kernel
	adds      int // changes that are left
	removals  int
	maybe     []K // after errors: the kernel may have these or not
}

// stage is what is being done to a column.
type stage uint8

const (
	done     stage = iota // the kernel holds what is desired
	adding                // what is desired and not installed
	added                 // nothing is left to add
	removing              // what is installed and not desired
)

// next gives changes of the present stage, at most limit, behind out. If there are none the stage ends.
func (c *column[K]) next(out []Change, s Set, limit int) []Change {
	if c.stage == done || c.stage == added {
		return out
	}
	begin := len(out)
	i, j := c.i, c.j
	for len(out)-begin < limit {
		if c.stage == removing && i >= len(c.installed) || c.stage == adding && j >= len(c.desired) {
			break
		}
		order := 0
		switch {
		case i >= len(c.installed):
			order = 1
		case j >= len(c.desired):
			order = -1
		default:
			order = c.compare(c.installed[i], c.desired[j])
		}
		if order <= 0 {
			if order < 0 && c.stage == removing {
				out = append(out, Change{Set: s, Prefix: c.prefix(c.installed[i], s.Bits), Remove: true})
			}
			i++
		}
		if order >= 0 {
			if order > 0 && c.stage == adding {
				out = append(out, Change{Set: s, Prefix: c.prefix(c.desired[j], s.Bits), Fresh: len(c.maybe) == 0})
			}
			j++
		}
	}
	c.ni, c.nj, c.given = i, j, len(out)-begin
	if c.given == 0 {
		c.i, c.j = i, j
		if c.stage == adding {
			c.stage = added
		} else {
			c.finish()
		}
	}
	return out
}

// finish takes note that the kernel holds exactly what is desired.
func (c *column[K]) finish() {
	c.installed, c.held, c.stage = c.desired, len(c.desired), done
	c.i, c.j, c.ni, c.nj, c.given, c.adds, c.removals, c.maybe = 0, 0, 0, 0, 0, 0, 0, nil
}

// remove goes from the additions to the removals.
func (c *column[K]) remove() {
	if c.stage == added {
		c.stage = removing
		c.i, c.j, c.ni, c.nj, c.given = 0, 0, 0, 0, 0
	}
}

// rewind begins with additions again, in the middle of whatever stage.
func (c *column[K]) rewind() {
	if c.stage != adding || c.i+c.j > 0 {
		c.want(c.desired)
	}
}

// acknowledged takes note that the kernel has taken what next gave last.
func (c *column[K]) acknowledged() {
	c.i, c.j = c.ni, c.nj
	if c.stage == adding {
		c.held, c.adds = c.held+c.given, c.adds-c.given
	} else {
		c.held, c.removals = c.held-c.given, c.removals-c.given
	}
	c.given = 0
}

// failed takes note that the kernel may have taken what next gave last, or parts of it, or nothing.
func (c *column[K]) failed() {
	given := c.desired[c.j:max(c.nj, c.j)]
	if c.stage == removing {
		given = c.installed[c.i:max(c.ni, c.i)]
	}
	c.maybe = merge(c.maybe, given, c.compare)
}

// contents gives what the kernel holds by what it has acknowledged.
func (c *column[K]) contents() []K {
	switch c.stage {
	case adding, added:
		return merge(c.installed, c.desired[:c.j], c.compare)
	case removing:
		return merge(c.desired, c.installed[c.i:], c.compare)
	case done:
	}
	return c.desired
}

// want says what the kernel is to hold from now on, in the middle of a stage or not.
func (c *column[K]) want(keys []K) {
	held := c.contents()
	if len(c.maybe) > 0 {
		// What is wanted of it is brought in again, and what is not wanted is removed again.
		var strays []K
		for _, k := range c.maybe {
			if _, wanted := slices.BinarySearchFunc(keys, k, c.compare); !wanted {
				strays = append(strays, k)
			}
		}
		held = merge(without(held, c.maybe, c.compare), strays, c.compare)
	}
	c.installed, c.desired, c.held, c.stage = held, keys, len(held), adding
	c.i, c.j, c.ni, c.nj, c.given = 0, 0, 0, 0, 0
	common := 0
	for i, j := 0, 0; i < len(held) && j < len(keys); {
		switch order := c.compare(held[i], keys[j]); {
		case order < 0:
			i++
		case order > 0:
			j++
		default:
			i, j, common = i+1, j+1, common+1
		}
	}
	c.adds, c.removals = len(keys)-common, len(held)-common
}

// forget takes note that the kernel holds nothing.
func (c *column[K]) forget() {
	keys := c.desired
	c.desired = nil
	c.finish()
	c.want(keys)
}

// adopt takes note that the kernel holds what keys say.
func (c *column[K]) adopt(keys []K) {
	c.desired = keys
	c.finish()
}

func merge[K any](a, b []K, compare func(a, b K) int) []K {
	switch {
	case len(a) == 0:
		return b
	case len(b) == 0:
		return a
	}
	out := make([]K, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		order := compare(a[0], b[0])
		if order <= 0 {
			out, a = append(out, a[0]), a[1:]
		} else {
			out = append(out, b[0])
		}
		if order >= 0 {
			b = b[1:]
		}
	}
	return append(append(out, a...), b...)
}

func without[K any](a, b []K, compare func(a, b K) int) []K {
	if len(b) == 0 {
		return a
	}
	out := make([]K, 0, len(a))
	for _, k := range a {
		for len(b) > 0 && compare(b[0], k) < 0 {
			b = b[1:]
		}
		if len(b) == 0 || compare(b[0], k) != 0 {
			out = append(out, k)
		}
	}
	return out
}

// counts are the numbers of a column.
type counts struct{ held, desired, adds, removals int }

func (c *column[K]) counts() counts { return counts{c.held, len(c.desired), c.adds, c.removals} }

func (c *column[K]) inStage() stage { return c.stage }

// sample gives up to n of what is desired, spread evenly.
func (c *column[K]) sample(n, bits int) (out []netip.Prefix) {
	for x := range min(n, len(c.desired)) {
		out = append(out, c.prefix(c.desired[x*len(c.desired)/min(n, len(c.desired))], bits))
	}
	return out
}

// from gives the first of what is desired that lies behind p, in order, at most n.
func (c *column[K]) from(p K, inclusive bool, n, bits int) (out []netip.Prefix) {
	i, found := slices.BinarySearchFunc(c.desired, p, c.compare)
	if found && !inclusive {
		i++
	}
	for _, k := range c.desired[i:min(i+n, len(c.desired))] {
		out = append(out, c.prefix(k, bits))
	}
	return out
}

// keys is a column of either family.
type keys interface {
	next(out []Change, s Set, limit int) []Change
	remove()
	rewind()
	acknowledged()
	failed()
	forget()
	counts() counts
	inStage() stage
	sample(n, bits int) []netip.Prefix
}

func column4() *column[uint32] {
	return &column[uint32]{compare: cmp.Compare[uint32], prefix: cidr.Prefix4}
}

func column6() *column[cidr.Addr6] {
	return &column[cidr.Addr6]{compare: compare6, prefix: cidr.Prefix6}
}

func compare6(a, b cidr.Addr6) int { return cmp.Or(cmp.Compare(a.Hi, b.Hi), cmp.Compare(a.Lo, b.Lo)) }
