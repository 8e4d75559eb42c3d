package pyre

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"
)

// generator makes patterns by a small grammar of Python's dialect, most of them valid, and texts
// that a tree could match. Its alphabet is small so that things meet.
type generator struct {
	r      *rand.Rand
	groups int
	open   []int // numbers of the groups that are not closed
}

func (g *generator) pick(choices ...string) string { return choices[g.r.IntN(len(choices))] }

func (g *generator) pattern() string {
	g.groups, g.open = 0, nil
	prefix := ""
	if g.r.IntN(6) == 0 {
		prefix = g.pick("(?i)", "(?m)", "(?s)", "(?x)", "(?a)", "(?im)", "(?ai)", "(?ms)")
	}
	return prefix + g.alternatives(3)
}

func (g *generator) alternatives(depth int) string {
	n := 1
	if g.r.IntN(3) == 0 {
		n += g.r.IntN(3)
	}
	branches := make([]string, n)
	for i := range branches {
		branches[i] = g.sequence(depth)
	}
	return strings.Join(branches, "|")
}

func (g *generator) sequence(depth int) string {
	var b strings.Builder
	for range g.r.IntN(4) {
		b.WriteString(g.item(depth))
	}
	return b.String()
}

func (g *generator) item(depth int) string {
	if g.r.IntN(7) == 0 {
		return g.pick("^", "$", `\A`, `\Z`, `\b`, `\B`)
	}
	atom := g.atom(depth)
	if g.r.IntN(5) < 2 {
		atom += g.pick("*", "+", "?", "{2}", "{,2}", "{1,}", "{1,2}", "{0}", "{,}") + g.pick("", "", "", "?", "+")
	}
	return atom
}

func (g *generator) atom(depth int) string {
	if depth == 0 || g.r.IntN(2) == 0 {
		return g.char()
	}
	depth--
	switch g.r.IntN(12) {
	case 0, 1, 2:
		return "(?:" + g.alternatives(depth) + ")"
	case 3, 4, 5:
		g.groups++
		n := g.groups
		g.open = append(g.open, n)
		inner := g.alternatives(depth)
		g.open = g.open[:len(g.open)-1]
		if g.r.IntN(2) == 0 {
			return fmt.Sprintf("(?P<g%d>%s)", n, inner)
		}
		return "(" + inner + ")"
	case 6:
		return g.pick("(?=", "(?!") + g.alternatives(depth) + ")"
	case 7:
		return g.pick("(?<=", "(?<!") + g.fixed(depth) + ")"
	case 8:
		return "(?>" + g.alternatives(depth) + ")"
	case 9:
		return g.pick("(?i:", "(?-i:", "(?m:", "(?s:", "(?a:", "(?u:", "(?x:") + g.alternatives(depth) + ")"
	case 10:
		if g.groups > 0 {
			return fmt.Sprintf(`(?:\%d)`, 1+g.r.IntN(g.groups))
		}
	case 11:
		if g.groups > 0 {
			return fmt.Sprintf("(?(%d)%s|%s)", 1+g.r.IntN(g.groups), g.sequence(depth), g.sequence(depth))
		}
	}
	return g.char()
}

// fixed is mostly of one width.
func (g *generator) fixed(depth int) string {
	if g.r.IntN(8) == 0 {
		return g.alternatives(depth)
	}
	one := func() string {
		if g.r.IntN(4) == 0 {
			g.groups++
			return "(" + g.char() + ")"
		}
		return g.char()
	}
	return g.pick(one(), one()+one(), one()+"|"+one(), "^"+one())
}

func (g *generator) char() string {
	return g.pick("a", "a", "b", "b", "c", "A", "é", "É", "ß", "ſ", "s", "_", "1", "-", " ", ".", `\.`, `\d`, `\w`, `\W`, `\s`, `\S`,
		`\D`, `\n`, `\x61`, `\u00e9`, "[ab]", "[^a]", "[a-c]", `[\w-]`, `[^\W1]`, "[]a]", "[^]a]", `[\d_]`, "[[a]", "[é-ü]", `[\s.]`, "{", "k", "K")
}

// broken makes a pattern that may not be one: a part is cut out, doubled or changed.
func (g *generator) broken(pattern string) string {
	runes := []rune(pattern)
	if len(runes) == 0 {
		return g.pick("(", ")", "[", "*", `\`, "(?", "a**", "(?P<")
	}
	i := g.r.IntN(len(runes))
	switch g.r.IntN(4) {
	case 0:
		return string(runes[:i])
	case 1:
		return string(runes[:i]) + string(runes[i+1:])
	case 2:
		return string(runes[:i]) + g.pick("(", ")", "[", "]", "*", "+", "?", "{", "}", "|", `\`, "-", "^", "#", "\n", "(?P", "(?P<a>", "(?P=a)",
			"(?i)", "(?<", "(?#", "{2,1}", "{3}", `\q`, `\8`, `\x1`, "(?z)", "(?i-", "(?-:", "(?(", "(?(9)", "(?au)", "(?L)", "(?P>", "<", ">", "(?<=a*)",
			`\777`, `[\8]`, `[z-a]`, `[\d-z]`, "(?P<1>", `\u12`, "(?i-i:a)", "(?P=", "(?:", "++", "??", "*?+", "(?t)", "é", `\é`, `\N`) + string(runes[i:])
	}
	return string(runes[:i]) + string(runes[i:min(i+3, len(runes))]) + string(runes[i:])
}

// text makes a line of the small alphabet.
func (g *generator) text() string {
	var b strings.Builder
	for range g.r.IntN(9) {
		b.WriteString(g.pick("a", "a", "b", "b", "c", "A", "B", "1", "_", "-", " ", ".", "s"))
	}
	if g.r.IntN(3) == 0 {
		b.WriteString(g.pick("é", "É", "ß", "ſ", "ẞ", "٣", "\u2028", "\n", "\u00a0", "K", "\x1f", "𝐀"))
		for range g.r.IntN(4) {
			b.WriteString(g.pick("a", "b", "é", "1", " "))
		}
	}
	if g.r.IntN(8) == 0 {
		b.WriteByte('\n')
	}
	return b.String()
}

// sample makes a text that the tree would match, were it not for look-around, anchors and the like.
func (g *generator) sample(root *node) string {
	var b strings.Builder
	g.write(&b, root, map[int]string{})
	return b.String()
}

func (g *generator) write(b *strings.Builder, n *node, groups map[int]string) {
	if b.Len() > 2000 {
		return
	}
	switch n.op {
	case opLiteral:
		b.WriteRune(n.lit)
	case opSet:
		b.WriteRune(g.member(n.set))
	case opCat:
		for _, sub := range n.subs {
			g.write(b, sub, groups)
		}
	case opAlt:
		g.write(b, n.subs[g.r.IntN(len(n.subs))], groups)
	case opRepeat:
		times := n.min
		if n.max > n.min {
			times += uint64(g.r.IntN(int(min(n.max-n.min, 4)) + 1))
		}
		for range min(times, 50) {
			g.write(b, n.subs[0], groups)
		}
	case opGroup:
		start := b.Len()
		g.write(b, n.subs[0], groups)
		groups[n.index] = b.String()[start:]
	case opAtomic:
		g.write(b, n.subs[0], groups)
	case opRef:
		b.WriteString(groups[n.index])
	case opCond:
		if _, ok := groups[n.index]; ok {
			g.write(b, n.subs[0], groups)
		} else {
			g.write(b, n.subs[1], groups)
		}
	case opLook:
		if !n.negate && !n.behind && g.r.IntN(4) == 0 {
			g.write(b, n.subs[0], groups)
		}
	case opAssert:
	}
}

func (g *generator) member(c *charset) rune {
	if !c.negate {
		if n := len(c.ranges) + len(c.categories); n > 0 {
			if i := g.r.IntN(n); i < len(c.ranges) {
				r := c.ranges[i]
				return r.lo + rune(g.r.IntN(int(min(r.hi-r.lo, 30))+1))
			}
			if c.categories[0] == digits {
				return g.rune("0123456789٣")
			}
			return g.rune("abcxyzABC0129_é")
		}
		return 'x'
	}
	for range 50 {
		r := g.rune("abcxyz ABC0129_.:-/[]()<>=,;\"'é\t%@")
		if c.contains(r) {
			return r
		}
	}
	return 'x'
}

func (g *generator) rune(choices string) rune {
	runes := []rune(choices)
	return runes[g.r.IntN(len(runes))]
}

// spoil changes a text a little.
func (g *generator) spoil(text string) string {
	runes := []rune(text)
	if len(runes) == 0 {
		return g.text()
	}
	i := g.r.IntN(len(runes))
	switch g.r.IntN(5) {
	case 0:
		return string(runes[:i]) + string(runes[i+1:])
	case 1:
		return string(runes[:i]) + g.pick(" ", "a", ":", "é", "192.0.2.1 ", "\n", "]") + string(runes[i:])
	case 2:
		runes[i] = unicode.ToUpper(runes[i])
		return string(runes)
	case 3:
		return g.pick(" ", "x ", "é") + text
	}
	return text + g.pick(" ", "\n", "x", "\n\n", "é")
}
