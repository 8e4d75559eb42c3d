package pyre

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// nothing matches the empty text anywhere, and keeps regexp2 from joining what stands before it with
// what stands behind it; (?:) and the like are removed before it looks.
const nothing = `(?:\z|)`

// emitter writes a tree in the dialect of regexp2, without any option: what a flag would say is
// spelled out. All groups are written unnamed, which keeps Python's numbers; regexp2 would number
// named groups after unnamed ones.
type emitter struct {
	b     strings.Builder
	ascii bool // the text is pure ASCII
}

// emit gives the pattern of regexp2 for pure ASCII texts or for any.
func emit(root *node, ascii bool) string {
	e := &emitter{ascii: ascii}
	if root.skips(false) {
		e.b.WriteString(nothing)
	}
	e.part(root)
	return e.b.String()
}

func (e *emitter) node(n *node) {
	switch n.op {
	case opLiteral:
		e.char(n.lit)
	case opSet:
		e.set(n.set)
	case opCat:
		for _, sub := range n.subs {
			e.part(sub)
		}
	case opAlt:
		for i, sub := range n.subs {
			if i > 0 {
				e.b.WriteByte('|')
			}
			e.node(sub)
		}
	case opRepeat:
		e.repeat(n)
	case opGroup:
		e.wrap("(", n.subs[0])
	case opAtomic:
		e.wrap("(?>", n.subs[0])
	case opLook:
		e.look(n)
	case opRef:
		// The brackets keep a digit after it out of the number.
		if n.fold {
			fmt.Fprintf(&e.b, `(?i:\%d)`, n.index)
		} else {
			fmt.Fprintf(&e.b, `(?:\%d)`, n.index)
		}
	case opCond:
		fmt.Fprintf(&e.b, "(?(%d)", n.index)
		e.part(n.subs[0])
		e.b.WriteByte('|')
		e.part(n.subs[1])
		e.b.WriteByte(')')
	case opAssert:
		e.assert(n)
	}
}

// part writes a construct so that an alternation in it stays in it.
func (e *emitter) part(n *node) {
	if n.op == opAlt {
		e.wrap("(?:", n)
		return
	}
	e.node(n)
}

func (e *emitter) wrap(open string, n *node) {
	e.b.WriteString(open)
	e.node(n)
	e.b.WriteByte(')')
}

func (e *emitter) repeat(n *node) {
	body := n.subs[0]
	if n.mode == possessive {
		// Each turn is final for itself, and so is their number.
		e.b.WriteString("(?>")
		if body.finalLoop(true) {
			e.b.WriteString("(?:")
			e.wrap("(?>", body)
			e.b.WriteString(nothing + ")")
		} else {
			e.wrap("(?>", body)
		}
		e.counts(n)
		e.b.WriteByte(')')
		return
	}
	switch {
	case body.finalLoop(false):
		// regexp2 v2.12 joins (?>a*) with a repeat around it and loses the turns of the repeat.
		e.b.WriteString("(?:")
		e.part(body)
		e.b.WriteString(nothing + ")")
	case body.op == opLiteral || body.op == opSet || body.op == opGroup:
		e.node(body)
	default:
		e.wrap("(?:", body)
	}
	e.counts(n)
	if n.mode == lazy {
		e.b.WriteByte('?')
	}
}

// finalLoop reports whether the construct is a repeat of one character that is never gone back into:
// in an atomic group, or for itself if it stands in one.
func (n *node) finalLoop(atomic bool) bool {
	switch n.op {
	case opAtomic:
		return n.subs[0].finalLoop(true)
	case opRepeat:
		return (atomic || n.mode == possessive) && n.subs[0].oneCharacter()
	default:
		return false
	}
}

// oneCharacter reports whether regexp2 takes the construct for one character, or for a repeat of one.
func (n *node) oneCharacter() bool {
	switch n.op {
	case opLiteral, opSet:
		return true
	case opAlt, opAtomic, opRepeat:
		for _, sub := range n.subs {
			if !sub.oneCharacter() {
				return false
			}
		}
		return true
	default:
		return false
	}
}

// skips reports whether the construct begins with an open lazy repeat of one character inside of an
// atomic group. regexp2 v2.12 then begins its next try behind what the repeat has taken, though it
// has not tried all that the repeat could take.
func (n *node) skips(atomic bool) bool {
	switch n.op {
	case opAtomic:
		return n.subs[0].skips(true)
	case opCat:
		return len(n.subs) > 0 && n.subs[0].skips(atomic)
	case opRepeat:
		return atomic && n.mode == lazy && n.max == unlimited && n.subs[0].oneCharacter() ||
			n.mode == possessive && n.subs[0].skips(true)
	default:
		return false
	}
}

func (e *emitter) counts(n *node) {
	switch {
	case n.min == 0 && n.max == 1:
		e.b.WriteByte('?')
	case n.min == 0 && n.max == unlimited:
		e.b.WriteByte('*')
	case n.min == 1 && n.max == unlimited:
		e.b.WriteByte('+')
	case n.max == unlimited:
		fmt.Fprintf(&e.b, "{%d,}", n.min)
	default:
		// More than any text is long is as good as no limit, and in regexp2's range.
		fmt.Fprintf(&e.b, "{%d,%d}", n.min, min(n.max, 1<<31-1))
	}
}

func (e *emitter) look(n *node) {
	sign := "="
	if n.negate {
		sign = "!"
	}
	switch {
	case !n.behind:
		e.wrap("(?"+sign, n.subs[0])
	case !n.subs[0].capturing():
		e.wrap("(?<"+sign, n.subs[0])
	default:
		// Python steps back by the fixed width and matches forwards; regexp2 matches backwards, which
		// shows in what groups hold. So step back over anything and look ahead from there.
		e.wrap("(?<"+sign+"(?=", n.subs[0])
		fmt.Fprintf(&e.b, "(?s:.{%d}))", n.width)
	}
}

func (e *emitter) assert(n *node) {
	switch n.at {
	case atTextStart:
		e.b.WriteString(`\A`)
	case atLineStart:
		e.b.WriteString(`(?m:^)`)
	case atLastLineEnd:
		e.b.WriteString(`\Z`)
	case atLineEnd:
		e.b.WriteString(`(?m:$)`)
	case atTextEnd:
		e.b.WriteString(`\z`)
	case atBoundary, atNoBoundary:
		e.boundary(n)
	}
}

// boundary spells \b and \B out unless the text is ASCII, where both engines agree what a word is.
// In an empty text Python's \B does not hold.
func (e *emitter) boundary(n *node) {
	no := n.at == atNoBoundary
	if no {
		e.b.WriteString(`(?!\A\z)`)
	}
	if e.ascii {
		if no {
			e.b.WriteString(`\B`)
		} else {
			e.b.WriteString(`\b`)
		}
		return
	}
	word := &emitter{}
	word.set(oneClass('w', n.ascii))
	w := word.b.String()
	if no {
		e.b.WriteString("(?:(?<=" + w + ")(?=" + w + ")|(?<!" + w + ")(?!" + w + "))")
	} else {
		e.b.WriteString("(?:(?<=" + w + ")(?!" + w + ")|(?<!" + w + ")(?=" + w + "))")
	}
}

func (e *emitter) set(c *charset) {
	ranges, categories := c.ranges, c.categories
	if e.ascii {
		ranges, categories = c.asciiOnly(), nil
	}
	everything := len(ranges) == 1 && ranges[0] == runeRange{0, unicode.MaxRune} ||
		e.ascii && len(ranges) == 1 && ranges[0] == runeRange{0, utf8.RuneSelf - 1}
	empty := len(ranges) == 0 && len(categories) == 0
	switch {
	case everything && !c.negate, empty && c.negate:
		e.b.WriteString(`(?s:.)`)
		return
	case everything, empty:
		e.b.WriteString(`(?!)`)
		return
	}
	e.b.WriteByte('[')
	if c.negate {
		e.b.WriteByte('^')
	}
	for _, r := range ranges {
		e.member(r.lo)
		if r.hi > r.lo {
			if r.hi > r.lo+1 {
				e.b.WriteByte('-')
			}
			e.member(r.hi)
		}
	}
	if slices.Contains(categories, words) {
		e.b.WriteString(`\p{L}\p{N}_`)
	}
	if slices.Contains(categories, digits) {
		e.b.WriteString(`\p{Nd}`)
	}
	e.b.WriteByte(']')
}

// char writes one character outside of sets; all that might mean something goes as its number.
func (e *emitter) char(r rune) {
	switch {
	case plain(r) || strings.ContainsRune(` !"%&',/:;<=>@_~-`, r) || r == '`':
		e.b.WriteRune(r)
	case strings.ContainsRune(`\*+?|{}[]()^$.#`, r):
		e.b.WriteByte('\\')
		e.b.WriteRune(r)
	default:
		e.number(r)
	}
}

// member writes one character of a set.
func (e *emitter) member(r rune) {
	if plain(r) {
		e.b.WriteRune(r)
	} else {
		e.number(r)
	}
}

func (e *emitter) number(r rune) {
	switch {
	case r <= 0xff:
		fmt.Fprintf(&e.b, `\x%02X`, r)
	case r <= 0xffff:
		fmt.Fprintf(&e.b, `\u%04X`, r)
	default:
		e.b.WriteString(`\x{` + strconv.FormatInt(int64(r), 16) + `}`)
	}
}

func plain(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}
