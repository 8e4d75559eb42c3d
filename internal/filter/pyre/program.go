package pyre

import (
	"slices"
	"unicode"
	"unicode/utf8"
)

// instruction is the kind of an inst.
type instruction uint8

const (
	iChar   instruction = iota // one character: r
	iSet                       // one character of set
	iJump                      // go on at out
	iSplit                     // go on at out, and if that fails at alt
	iRun                       // min to max characters of set, by mode
	iSave                      // remember the position in slot
	iReset                     // the loop whose register is slot begins
	iTurn                      // the loop may turn once more: out is its body, alt what follows; see turn
	iLook                      // sub is, or, negate, is not, ahead, or, behind, width characters back
	iAtomic                    // sub, its first way only
	iRef                       // the text of group slot again
	iCond                      // out if group slot took part, else alt
	iAssert                    // a condition on the position: at
	iDone                      // the end of the pattern, or of a sub
)

// inst is one instruction. Unless it says otherwise, it goes on at out.
type inst struct {
	op       instruction
	mode     mode  // iRun, iTurn
	at       place // iAssert
	ascii    bool  // iAssert
	negate   bool  // iLook
	behind   bool  // iLook
	out, alt int32
	sub      int32 // iLook, iAtomic
	slot     int32
	memo     int32 // number among those that remember where they failed, from 1; 0: does not
	min, max int32 // iRun; max is runLimit for none
	width    int32 // iLook behind
	r        rune
	set      *runeSet
}

// runLimit is more than any text is long.
const runLimit = 1 << 30

// The bounds of a program. A pattern beyond them is left to regexp2.
const (
	maxProgram = 1 << 14
	maxTested  = 3 // groups that conditions ask for, in a program that remembers where it failed
)

// runeSet is a set of characters, ready to be asked.
type runeSet struct {
	low  [utf8.RuneSelf]bool
	wide *charset // for the others; nil if none is in it
}

func newRuneSet(c *charset) *runeSet {
	s := &runeSet{wide: c}
	for r := range rune(utf8.RuneSelf) {
		s.low[r] = c.has(r)
	}
	return s
}

func (s *runeSet) has(r rune) bool {
	if r < utf8.RuneSelf {
		return s.low[r]
	}
	return s.wide.has(r)
}

// has reports whether a character is in the set.
func (c *charset) has(r rune) bool {
	_, in := slices.BinarySearchFunc(c.ranges, r, func(x runeRange, r rune) int {
		switch {
		case x.hi < r:
			return -1
		case x.lo > r:
			return 1
		}
		return 0
	})
	for _, k := range c.categories {
		if in {
			break
		}
		in = k.has(r)
	}
	return in != c.negate
}

func (k category) has(r rune) bool {
	if k == words && r == '_' {
		return true
	}
	return unicode.In(r, tables[k]...)
}

// program is a pattern as instructions. It is immutable.
type program struct {
	insts []inst
	slots int // of groups: two each
	regs  int // of loops that can turn without taking anything
	// memos is how many instructions remember where they failed; 0 if that would not be sound.
	memos    int
	tested   []int32  // the groups that conditions ask for
	branches bool     // there are ways to go back to
	first    *runeSet // what a match can begin with; nil: anything, or nothing
	start    bool     // a match begins at the start of the text
}

// programmer compiles a tree.
type programmer struct {
	p       *program
	sets    map[*charset]*runeSet
	lits    map[rune]*runeSet
	refuses bool // the tree holds something that is left to regexp2
	unsound bool // to remember where it failed would not be sound
	nested  int  // within a look or an atomic group, which remember nothing
	fields  []span
}

// newProgram compiles a tree; nil if it is one for regexp2.
func newProgram(root *node, groups int) *program {
	c := &programmer{p: &program{slots: 2 * groups}, sets: map[*charset]*runeSet{}, lits: map[rune]*runeSet{}, fields: make([]span, groups)}
	root.widths(c.fields)
	c.emit(inst{op: iSave, slot: 0})
	c.node(root)
	c.emit(inst{op: iSave, slot: 1})
	c.emit(inst{op: iDone})
	if c.refuses {
		return nil
	}
	p := c.p
	p.branches = p.memos > 0 || c.unsound
	if c.unsound || len(p.tested) > maxTested {
		p.memos = 0
		for i := range p.insts {
			p.insts[i].memo = 0
		}
	}
	p.start = root.beginsText()
	p.first = root.firsts()
	return p
}

// widths notes how wide each group can be.
func (n *node) widths(groups []span) {
	for _, sub := range n.subs {
		sub.widths(groups)
	}
	if n.op == opGroup {
		groups[n.index] = n.subs[0].measure(groups)
	}
}

// emit adds an instruction that goes on behind it, and gives its number.
func (c *programmer) emit(i inst) int32 {
	if len(c.p.insts) >= maxProgram {
		c.refuses = true
		return 0
	}
	i.out = int32(len(c.p.insts)) + 1
	c.p.insts = append(c.p.insts, i)
	return i.out - 1
}

// next is the number of the instruction that will come.
func (c *programmer) next() int32 { return int32(len(c.p.insts)) }

// remembering gives an instruction its number among those that remember.
func (c *programmer) remembering(pc int32) {
	if c.nested == 0 {
		c.p.memos++
		c.p.insts[pc].memo = int32(c.p.memos)
	}
}

func (c *programmer) setOf(n *node) *runeSet {
	if n.op == opLiteral {
		s := c.lits[n.lit]
		if s == nil {
			s = newRuneSet(&charset{ranges: []runeRange{{n.lit, n.lit}}})
			c.lits[n.lit] = s
		}
		return s
	}
	s := c.sets[n.set]
	if s == nil {
		s = newRuneSet(&charset{ranges: merge(slices.Clone(n.set.ranges)), categories: n.set.categories, negate: n.set.negate})
		c.sets[n.set] = s
	}
	return s
}

func (c *programmer) node(n *node) {
	if c.refuses {
		return
	}
	switch n.op {
	case opLiteral:
		c.emit(inst{op: iChar, r: n.lit})
	case opSet:
		c.emit(inst{op: iSet, set: c.setOf(n)})
	case opCat:
		for _, sub := range n.subs {
			c.node(sub)
		}
	case opAlt:
		c.alternatives(n)
	case opRepeat:
		c.repeat(n)
	case opGroup:
		if n.index > 0 {
			c.emit(inst{op: iSave, slot: int32(2 * n.index)})
		}
		c.node(n.subs[0])
		if n.index > 0 {
			c.emit(inst{op: iSave, slot: int32(2*n.index + 1)})
		}
	case opAtomic:
		c.within(inst{op: iAtomic}, func() { c.node(n.subs[0]) })
	case opLook:
		c.within(inst{op: iLook, negate: n.negate, behind: n.behind, width: int32(min(n.width, runLimit))}, func() { c.node(n.subs[0]) })
	case opRef:
		if n.fold {
			c.refuses = true
		}
		c.unsound = true
		c.emit(inst{op: iRef, slot: int32(2 * n.index)})
	case opCond:
		c.condition(n)
	case opAssert:
		c.emit(inst{op: iAssert, at: n.at, ascii: n.ascii})
	}
}

func (c *programmer) alternatives(n *node) {
	var ends []int32
	for i, sub := range n.subs {
		last := i == len(n.subs)-1
		var split int32
		if !last {
			split = c.emit(inst{op: iSplit})
			c.remembering(split)
		}
		c.node(sub)
		if !last {
			ends = append(ends, c.emit(inst{op: iJump}))
			c.p.insts[split].alt = c.next()
		}
	}
	for _, pc := range ends {
		c.p.insts[pc].out = c.next()
	}
}

func (c *programmer) condition(n *node) {
	group := int32(2 * n.index)
	if !slices.Contains(c.p.tested, group) {
		c.p.tested = append(c.p.tested, group)
	}
	cond := c.emit(inst{op: iCond, slot: group})
	c.node(n.subs[0])
	jump := c.emit(inst{op: iJump})
	c.p.insts[cond].alt = c.next()
	c.node(n.subs[1])
	c.p.insts[jump].out = c.next()
}

// within puts a sub behind the instruction that runs it.
func (c *programmer) within(i inst, sub func()) {
	pc := c.emit(i)
	c.p.insts[pc].sub = c.next()
	c.nested++
	sub()
	c.nested--
	c.emit(inst{op: iDone})
	c.p.insts[pc].out = c.next()
}

func (c *programmer) repeat(n *node) {
	body := n.subs[0]
	if body.op == opLiteral || body.op == opSet {
		pc := c.emit(inst{op: iRun, mode: n.mode, set: c.setOf(body), min: int32(min(n.min, runLimit)), max: int32(min(n.max, runLimit))})
		c.remembering(pc)
		return
	}
	if n.mode == possessive {
		c.within(inst{op: iAtomic}, func() { c.turns(n, func() { c.within(inst{op: iAtomic}, func() { c.node(body) }) }) })
		return
	}
	c.turns(n, func() { c.node(body) })
}

// turns compiles a loop: the turns that must be one behind the other, then those that may be.
func (c *programmer) turns(n *node, body func()) {
	if n.min > maxProgram || n.max != unlimited && n.max > maxProgram {
		c.refuses = true
		return
	}
	for range n.min {
		if body(); c.refuses {
			return
		}
	}
	if n.max == n.min {
		return
	}
	// A loop whose turns can be empty notes where the last one began: it does not turn at the same place
	// again, but goes on behind itself.
	slot := int32(-1)
	if n.subs[0].measure(c.fields).lo == 0 {
		slot = int32(c.p.regs)
		c.p.regs++
		c.unsound = true
		c.emit(inst{op: iReset, slot: slot})
	}
	turn := func() int32 {
		pc := c.emit(inst{op: iTurn, mode: n.mode, slot: slot})
		c.remembering(pc)
		return pc
	}
	if n.max == unlimited {
		pc := turn()
		body()
		back := c.emit(inst{op: iJump})
		c.p.insts[back].out = pc
		c.p.insts[pc].alt = c.next()
		return
	}
	var turns []int32
	for range n.max - n.min {
		turns = append(turns, turn())
		if body(); c.refuses {
			return
		}
	}
	for _, pc := range turns {
		c.p.insts[pc].alt = c.next()
	}
}

// beginsText reports whether a match can begin only at the start of the text.
func (n *node) beginsText() bool {
	switch n.op {
	case opAssert:
		return n.at == atTextStart
	case opCat:
		return len(n.subs) > 0 && n.subs[0].beginsText()
	case opGroup, opAtomic:
		return n.subs[0].beginsText()
	case opAlt:
		for _, sub := range n.subs {
			if !sub.beginsText() {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// firsts is the set of the characters that a match can begin with; nil if it can begin with any, or be
// empty.
func (n *node) firsts() *runeSet {
	var c charset
	if !n.addFirsts(&c) {
		return nil
	}
	c.ranges = merge(c.ranges)
	return newRuneSet(&c)
}

// addFirsts adds what a construct can begin with, and reports whether it takes a character for sure.
func (n *node) addFirsts(c *charset) bool {
	switch n.op {
	case opLiteral:
		c.add(runeRange{n.lit, n.lit})
		return true
	case opSet:
		if n.set.negate {
			var ranges []runeRange
			ranges = append(ranges, n.set.ranges...)
			for _, k := range n.set.categories {
				ranges = append(ranges, k.spell()...)
			}
			c.add(complement(merge(ranges))...)
			return true
		}
		c.add(n.set.ranges...)
		c.categories = append(c.categories, n.set.categories...)
		return true
	case opCat:
		for _, sub := range n.subs {
			if sub.addFirsts(c) {
				return true
			}
		}
		return false
	case opAlt:
		sure := true
		for _, sub := range n.subs {
			sure = sub.addFirsts(c) && sure
		}
		return sure
	case opGroup, opAtomic:
		return n.subs[0].addFirsts(c)
	case opRepeat:
		return n.subs[0].addFirsts(c) && n.min > 0
	case opCond:
		a := n.subs[0].addFirsts(c)
		return n.subs[1].addFirsts(c) && a
	case opRef:
		c.add(runeRange{0, unicode.MaxRune})
		return false
	case opLook, opAssert:
	}
	return false
}
