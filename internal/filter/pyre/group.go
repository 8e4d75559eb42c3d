package pyre

import (
	"strconv"
	"strings"
	"unicode"

	"github.com/palisade-agent/palisade/internal/pytext"
)

// bracket reads what an opening bracket begins; the bracket is taken. It gives nil for a comment
// and for flags of the whole pattern, which only the first item of it (first) may set.
func (p *parser) bracket(flags Flags, first bool) *node {
	start := p.src.tell() - 1
	p.depth++
	if p.depth > maxDepth {
		p.src.fail(1, "brackets nested deeper than "+strconv.Itoa(maxDepth))
	}
	defer func() { p.depth-- }()
	if !p.src.match("?") {
		return p.capture("", start, flags)
	}
	char := p.src.get()
	switch char {
	case none:
		p.src.fail(0, "unexpected end of pattern")
	case "P":
		return p.python(start, flags)
	case ":":
		return p.brackets(start, flags)
	case "#":
		for p.src.next != none {
			if p.src.get() == ")" {
				return nil
			}
		}
		p.src.fail(p.src.tell()-start, "missing ), unterminated comment")
	case "=", "!", "<":
		return p.look(char, start, flags)
	case "(":
		return p.conditional(start, flags)
	case ">":
		return &node{op: opAtomic, subs: []*node{p.inner(start, flags)}}
	}
	if char != "-" && !isFlag(char) {
		p.src.fail(length(char)+1, "unknown extension ?"+char)
	}
	on, off, global := p.inlineFlags(char)
	if global {
		if !first {
			p.src.fail(p.src.tell()-start, "global flags not at the start of the expression")
		}
		return nil
	}
	return p.brackets(start, on.over(flags)&^off)
}

// inner reads the content of a group up to and with its closing bracket.
func (p *parser) inner(start int, flags Flags) *node {
	sub := p.alternatives(flags, false)
	if !p.src.match(")") {
		p.src.fail(p.src.tell()-start, "missing ), unterminated subpattern")
	}
	return sub
}

// brackets reads a group that is not remembered.
func (p *parser) brackets(start int, flags Flags) *node {
	return &node{op: opGroup, subs: []*node{p.inner(start, flags)}}
}

// capture reads a group that is remembered.
func (p *parser) capture(name string, start int, flags Flags) *node {
	index := len(p.groups)
	if index > maxGroups {
		p.src.fail(0, "too many groups")
	}
	if old, ok := p.names[name]; ok {
		p.src.fail(length(name)+1, "redefinition of group name "+pytext.Quote(name)+" as group "+
			strconv.Itoa(index)+"; was group "+strconv.Itoa(old))
	}
	if name != "" {
		p.names[name] = index
	}
	p.groups = append(p.groups, name)
	p.closed = append(p.closed, false)
	p.widths = append(p.widths, span{})
	sub := p.inner(start, flags)
	p.closed[index] = true
	p.widths[index] = sub.measure(p.widths)
	return &node{op: opGroup, index: index, subs: []*node{sub}}
}

// python reads the named groups and references; the P is taken.
func (p *parser) python(start int, flags Flags) *node {
	switch {
	case p.src.match("<"):
		name := p.src.until(">", "group name")
		p.checkName(name)
		return p.capture(name, start, flags)
	case p.src.match("="):
		name := p.src.until(")", "group name")
		p.checkName(name)
		return p.reference(p.named(name), length(name)+1, flags)
	}
	char := p.src.get()
	if char == none {
		p.src.fail(0, "unexpected end of pattern")
	}
	p.src.fail(length(char)+2, "unknown extension ?P"+char)
	return nil
}

func (p *parser) checkName(name string) {
	if !isIdentifier(name) {
		p.src.fail(length(name)+1, "bad character in group name "+pytext.Quote(name))
	}
}

func (p *parser) named(name string) int {
	index, ok := p.names[name]
	if !ok {
		p.src.fail(length(name)+1, "unknown group name "+pytext.Quote(name))
	}
	return index
}

// look reads a look-ahead or look-behind; its first character is taken.
func (p *parser) look(char string, start int, flags Flags) *node {
	n := &node{op: opLook, behind: char == "<"}
	outer := p.behind
	if n.behind {
		if char = p.src.get(); char == none {
			p.src.fail(0, "unexpected end of pattern")
		}
		if char != "=" && char != "!" {
			p.src.fail(length(char)+2, "unknown extension ?<"+char)
		}
		if p.behind < 0 {
			p.behind = len(p.groups)
		}
	}
	n.negate = char == "!"
	sub := p.alternatives(flags, false)
	p.behind = outer
	if !p.src.match(")") {
		p.src.fail(p.src.tell()-start, "missing ), unterminated subpattern")
	}
	n.subs = []*node{sub}
	return n
}

// checkLookBehind refuses references from within a look-behind to what is not known before it.
func (p *parser) checkLookBehind(group int) {
	if p.behind < 0 {
		return
	}
	if group >= len(p.groups) || !p.closed[group] {
		p.src.fail(0, "cannot refer to an open group")
	}
	if group >= p.behind {
		p.src.fail(0, "cannot refer to group defined in the same lookbehind subpattern")
	}
}

// conditional reads (?(group)yes|no); the second bracket is taken.
func (p *parser) conditional(start int, flags Flags) *node {
	name := p.src.until(")", "group name")
	group, isNumber := groupNumber(name)
	switch {
	case isIdentifier(name):
		group = p.named(name)
	case !isNumber:
		p.src.fail(length(name)+1, "bad character in group name "+pytext.Quote(name))
	case group == 0:
		p.src.fail(length(name)+1, "bad group number")
	case group >= unlimited/4: // Python's MAXGROUPS
		p.src.fail(length(name)+1, "invalid group reference "+strconv.Itoa(group))
	default:
		p.forward = append(p.forward, forwardRef{group, p.src.tell() - length(name) - 1})
	}
	p.checkLookBehind(group)
	n := &node{op: opCond, index: group, subs: []*node{p.sequence(flags, false), {op: opCat}}}
	if p.src.match("|") {
		n.subs[1] = p.sequence(flags, false)
		if p.src.next == "|" {
			p.src.fail(0, "conditional backref with more than two branches")
		}
	}
	if !p.src.match(")") {
		p.src.fail(p.src.tell()-start, "missing ), unterminated subpattern")
	}
	return n
}

// groupNumber reads a number as Python's int does: blanks around it, a plus sign and underscores
// between digits are allowed.
func groupNumber(text string) (int, bool) {
	text = strings.TrimPrefix(strings.TrimSpace(text), "+")
	if text == "" || strings.HasPrefix(text, "_") || strings.HasSuffix(text, "_") || strings.Contains(text, "__") {
		return 0, false
	}
	text = strings.ReplaceAll(text, "_", "")
	if strings.Trim(text, decimal) != "" {
		return 0, false
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return unlimited, true
	}
	return n, true
}

// isIdentifier is str.isidentifier.
func isIdentifier(s string) bool {
	for i, r := range s {
		start := r == '_' || unicode.In(r, unicode.L, unicode.Nl, unicode.Other_ID_Start)
		more := unicode.In(r, unicode.Mn, unicode.Mc, unicode.Nd, unicode.Pc, unicode.Other_ID_Continue)
		if !start && (i == 0 || !more) {
			return false
		}
	}
	return s != ""
}
