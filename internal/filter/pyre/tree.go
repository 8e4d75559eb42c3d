package pyre

// op is the kind of a node.
type op uint8

const (
	opLiteral op = iota // one character: lit
	opSet               // one character of set
	opCat               // subs one after the other; none: the empty text
	opAlt               // the first of subs that leads to a match
	opRepeat            // subs[0] min to max times in the given mode
	opGroup             // subs[0], remembered as group index
	opAtomic            // subs[0], its first way only
	opLook              // subs[0] is (or, negate, is not) ahead (or, behind, right before)
	opRef               // the text of group index again, by flags
	opCond              // subs[0] if group index took part, else subs[1]
	opAssert            // a condition on the position: at
)

// mode is how a repeat chooses among its counts.
type mode uint8

const (
	greedy mode = iota
	lazy
	possessive
)

// place is a condition on a position.
type place uint8

const (
	atTextStart   place = iota // \A, and ^ of one line
	atLineStart                // ^ of several lines
	atLastLineEnd              // $ of one line: the end, or before a newline that is the last character
	atLineEnd                  // $ of several lines
	atTextEnd                  // \Z
	atBoundary                 // \b
	atNoBoundary               // \B: never in an empty text
)

// unlimited is the maximum of an open repeat, and the largest width; Python's MAXREPEAT.
const unlimited = 1<<32 - 1

// node is one construct of a pattern. Flags are resolved when it is built: a node says all about
// its meaning, except that a boundary and a reference look at ascii and fold.
type node struct {
	op     op
	mode   mode  // opRepeat
	at     place // opAssert
	lit    rune  // opLiteral
	set    *charset
	index  int    // opGroup (0, not remembered: only while parsing), opRef, opCond: the number of the group
	min    uint64 // opRepeat
	max    uint64 // opRepeat: unlimited for none
	ascii  bool   // opAssert's boundaries, opRef
	fold   bool   // opRef: ignore case; opSet: comes from a letter or set under ignore case
	behind bool   // opLook
	negate bool   // opLook
	width  int    // opLook behind: the width in characters
	subs   []*node
}

// span is the least and the greatest width of a construct, in characters.
type span struct{ lo, hi uint64 }

func (s span) plus(t span) span {
	return span{min(s.lo+t.lo, unlimited-1), min(s.hi+t.hi, unlimited)}
}

func (s span) or(t span) span {
	return span{min(s.lo, t.lo), max(s.hi, t.hi)}
}

// times cannot overflow: both factors are below 1<<32.
func (s span) times(lo, hi uint64) span {
	return span{min(s.lo*lo, unlimited-1), min(s.hi*hi, unlimited)}
}

// measure gives the width of a construct. groups has the widths of the groups closed so far; a
// reference is as wide as its group.
func (n *node) measure(groups []span) span {
	switch n.op {
	case opLiteral, opSet:
		return span{1, 1}
	case opCat:
		var s span
		for _, sub := range n.subs {
			s = s.plus(sub.measure(groups))
		}
		return s
	case opAlt, opCond:
		s := n.subs[0].measure(groups)
		for _, sub := range n.subs[1:] {
			s = s.or(sub.measure(groups))
		}
		return s
	case opRepeat:
		return n.subs[0].measure(groups).times(n.min, n.max)
	case opGroup, opAtomic:
		return n.subs[0].measure(groups)
	case opRef:
		return groups[n.index]
	case opLook, opAssert:
	}
	return span{}
}

// capturing reports whether the construct holds a group, or asks for one, so that the order in
// which its parts are tried can be seen from outside.
func (n *node) capturing() bool {
	switch n.op {
	case opRef, opCond:
		return true
	case opGroup:
		if n.index > 0 {
			return true
		}
	default: // holds what its parts hold
	}
	for _, sub := range n.subs {
		if sub.capturing() {
			return true
		}
	}
	return false
}

// simplify gives the same construct without brackets that mean nothing, sequences in sequences, and
// turns of exactly one.
func (n *node) simplify() *node {
	for i, sub := range n.subs {
		n.subs[i] = sub.simplify()
	}
	switch n.op {
	default: // is as simple as its parts
	case opGroup:
		if n.index == 0 {
			return n.subs[0]
		}
	case opCat:
		flat := make([]*node, 0, len(n.subs))
		for _, sub := range n.subs {
			switch {
			case sub.op == opCat:
				flat = append(flat, sub.subs...)
			case sub.op == opLook && !sub.negate && sub.subs[0].empty():
			default:
				flat = append(flat, sub)
			}
		}
		if len(flat) == 1 {
			return flat[0]
		}
		n.subs = flat
	case opAtomic:
		if n.subs[0].empty() {
			return n.subs[0]
		}
	case opRepeat:
		switch {
		case n.subs[0].empty():
			return n.subs[0]
		case n.min == 1 && n.max == 1 && n.mode == possessive:
			return &node{op: opAtomic, subs: n.subs}
		case n.min == 1 && n.max == 1:
			return n.subs[0]
		}
	}
	return n
}

func (n *node) empty() bool { return n.op == opCat && len(n.subs) == 0 }
