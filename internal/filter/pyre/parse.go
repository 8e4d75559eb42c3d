package pyre

import (
	"slices"
	"strconv"
	"strings"
)

// Bounds of a pattern. Of the 579 stock regexes of fail2ban 1.0.2, expanded, the longest has 2,466
// characters, and the deepest tree has 14 levels.
const (
	maxPattern = 1 << 16 // characters
	maxDepth   = 200     // brackets within brackets; Python itself ends near 490
	maxGroups  = 1000
	maxWidth   = 1 << 20 // characters that any match must have at least
	maxRepeat  = 1 << 16 // highest minimum of one repeat
)

// parser builds the tree of one pattern. Errors leave it as panics of *SyntaxError.
type parser struct {
	src    *scanner
	flags  Flags          // of the whole pattern, those at its start included
	tmpl   bool           // the flag t, which forbids repeats
	words  bool           // the flag u was given at the start
	groups []string       // names by number; "" unnamed; 0 is the whole
	closed []bool         // by number
	widths []span         // by number, once closed
	names  map[string]int // numbers by name
	behind int            // number of groups when the outermost look-behind was opened; -1 outside

	forward []forwardRef // numbers in conditionals, checked at the end
	depth   int
}

type forwardRef struct{ group, offset int }

// parse gives the tree of a pattern, the names of its groups by number ("" for unnamed ones) and
// the flags that hold for all of it.
func parse(pattern string, flags Flags) (root *node, groups []string, all Flags, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *SyntaxError:
			root, err = nil, r
		default:
			panic(r)
		}
	}()
	if n := length(pattern); n > maxPattern {
		return nil, nil, 0, &SyntaxError{
			Pattern: pattern, Offset: maxPattern,
			Msg: "pattern of " + strconv.Itoa(n) + " characters is longer than " + strconv.Itoa(maxPattern),
		}
	}
	p := &parser{
		src: newScanner(pattern), flags: flags, behind: -1,
		groups: []string{""}, closed: []bool{false}, widths: []span{{}}, names: map[string]int{},
	}
	root = p.alternatives(flags, true)
	if p.words && p.flags&ASCII != 0 {
		p.src.failAt(-1, "ASCII and UNICODE flags are incompatible")
	}
	if p.src.next != none {
		p.src.fail(0, "unbalanced parenthesis")
	}
	for _, f := range p.forward {
		if f.group >= len(p.groups) {
			p.src.failAt(f.offset, "invalid group reference "+strconv.Itoa(f.group))
		}
	}
	p.check(root)
	root = root.simplify()
	if w := root.measure(p.widths); w.lo > maxWidth {
		p.src.failAt(-1, "pattern needs more than "+strconv.Itoa(maxWidth)+" characters to match")
	}
	return root, p.groups, p.flags, nil
}

// alternatives reads a|b|c up to a closing bracket or the end. Only the first branch of a whole
// pattern may set flags for all of it.
func (p *parser) alternatives(flags Flags, whole bool) *node {
	var branches []*node
	for {
		branches = append(branches, p.sequence(flags, whole && len(branches) == 0))
		if !p.src.match("|") {
			break
		}
		if whole {
			flags = p.flags
		}
	}
	if len(branches) == 1 {
		return branches[0]
	}
	return &node{op: opAlt, subs: branches}
}

// sequence reads one branch.
func (p *parser) sequence(flags Flags, first bool) *node {
	seq := &node{op: opCat}
	for p.src.next != none && p.src.next != "|" && p.src.next != ")" {
		token := p.src.get()
		if flags&Verbose != 0 {
			if len(token) == 1 && strings.IndexByte(" \t\n\r\v\f", token[0]) >= 0 {
				continue
			}
			if token == "#" {
				for t := p.src.get(); t != none && t != "\n"; {
					t = p.src.get()
				}
				continue
			}
		}
		switch token {
		case "[":
			seq.subs = append(seq.subs, p.class(flags))
		case "?", "*", "+", "{":
			p.quantifier(token, seq, flags)
		case ".":
			set := &charset{negate: true}
			if flags&DotAll == 0 {
				set.add(runeRange{'\n', '\n'})
			}
			seq.subs = append(seq.subs, &node{op: opSet, set: set})
		case "(":
			item := p.bracket(flags, first && len(seq.subs) == 0)
			if item != nil {
				seq.subs = append(seq.subs, item)
			} else if first {
				flags = p.flags
			}
		case "^":
			at := atTextStart
			if flags&Multiline != 0 {
				at = atLineStart
			}
			seq.subs = append(seq.subs, &node{op: opAssert, at: at})
		case "$":
			at := atLastLineEnd
			if flags&Multiline != 0 {
				at = atLineEnd
			}
			seq.subs = append(seq.subs, &node{op: opAssert, at: at})
		default:
			if token[0] == '\\' {
				seq.subs = append(seq.subs, p.escape(token, flags))
			} else {
				seq.subs = append(seq.subs, character([]rune(token)[0], flags))
			}
		}
	}
	return seq
}

// quantifier reads a repeat of the last item of the sequence; the token is taken.
func (p *parser) quantifier(token string, seq *node, flags Flags) {
	here := p.src.tell()
	var lo, hi uint64
	switch token {
	case "?":
		hi = 1
	case "*":
		hi = unlimited
	case "+":
		lo, hi = 1, unlimited
	case "{":
		var ok bool
		if lo, hi, ok = p.counts(here); !ok {
			seq.subs = append(seq.subs, character('{', flags))
			return
		}
	}
	back := p.src.tell() - here + 1
	if len(seq.subs) == 0 {
		p.src.fail(back, "nothing to repeat")
	}
	item := seq.subs[len(seq.subs)-1]
	switch item.op {
	case opAssert:
		p.src.fail(back, "nothing to repeat")
	case opRepeat:
		p.src.fail(back, "multiple repeat")
	default: // everything else can be repeated
	}
	repeat := &node{op: opRepeat, min: lo, max: hi, subs: []*node{item}}
	switch {
	case p.src.match("?"):
		repeat.mode = lazy
	case p.src.match("+"):
		repeat.mode = possessive
	}
	if lo > maxRepeat {
		p.src.fail(back, "repeat of more than "+strconv.Itoa(maxRepeat))
	}
	seq.subs[len(seq.subs)-1] = repeat
}

// counts reads what follows the brace of a repeat; what is no repeat is put back.
func (p *parser) counts(here int) (lo, hi uint64, ok bool) {
	if p.src.next == "}" {
		return 0, 0, false
	}
	low := p.src.while(len(p.src.runes), decimal)
	high := low
	if p.src.match(",") {
		high = p.src.while(len(p.src.runes), decimal)
	}
	if !p.src.match("}") {
		p.src.seek(here)
		return 0, 0, false
	}
	lo, hi = 0, unlimited
	if low != "" {
		lo = p.count(low)
	}
	if high != "" {
		if hi = p.count(high); hi < lo {
			p.src.fail(p.src.tell()-here, "min repeat greater than max repeat")
		}
	}
	return lo, hi, true
}

func (p *parser) count(text string) uint64 {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n >= unlimited {
		p.src.failAt(-1, "the repetition number is too large")
	}
	return n
}

// class reads a set in square brackets; the opening one is taken.
func (p *parser) class(flags Flags) *node {
	here := p.src.tell() - 1
	ascii := flags&ASCII != 0
	set := &charset{}
	set.negate = p.src.match("^")
	for first := true; ; first = false {
		token := p.src.get()
		if token == none {
			p.src.fail(p.src.tell()-here, "unterminated character set")
		}
		if token == "]" && !first {
			break
		}
		lo, class := p.member(token)
		if !p.src.match("-") {
			set.put(lo, class, ascii)
			continue
		}
		to := p.src.get()
		if to == none {
			p.src.fail(p.src.tell()-here, "unterminated character set")
		}
		if to == "]" {
			set.put(lo, class, ascii)
			set.put('-', false, ascii)
			break
		}
		hi, classTo := p.member(to)
		if class || classTo || hi < lo {
			p.src.fail(length(token)+1+length(to), "bad character range "+token+"-"+to)
		}
		set.add(runeRange{lo, hi})
	}
	set.ranges = merge(set.ranges)
	return p.simple(set, flags)
}

// member reads one end of a range, or the letter of a class.
func (p *parser) member(token string) (r rune, class bool) {
	if token[0] == '\\' {
		return p.classEscape(token)
	}
	return []rune(token)[0], false
}

func (c *charset) put(r rune, class, ascii bool) {
	if class {
		c.class(r, ascii)
	} else {
		c.add(runeRange{r, r})
	}
}

// simple folds a set if case is to be ignored, and makes a set of one character that character.
func (p *parser) simple(set *charset, flags Flags) *node {
	n := &node{op: opSet, set: set}
	if flags&IgnoreCase != 0 {
		n.fold = cases.fold(set, flags&ASCII != 0)
	}
	slices.Sort(set.categories)
	set.categories = slices.Compact(set.categories)
	if one := set.members(1); len(one) == 1 {
		return &node{op: opLiteral, lit: one[0]}
	}
	return n
}

// check looks at what can be judged only when the tree is whole.
func (p *parser) check(n *node) {
	switch n.op {
	case opRepeat:
		if p.tmpl {
			p.src.failAt(-1, "internal: unsupported template operator "+
				[...]string{greedy: "MAX_REPEAT", lazy: "MIN_REPEAT", possessive: "POSSESSIVE_REPEAT"}[n.mode])
		}
	case opLook:
		if n.behind {
			w := n.subs[0].measure(p.widths)
			if w.lo != w.hi {
				p.src.failAt(-1, "look-behind requires fixed-width pattern")
			}
			n.width = int(w.lo)
		}
	default: // was judged as it was read
	}
	for _, sub := range n.subs {
		p.check(sub)
	}
}
