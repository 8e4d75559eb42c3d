package feed

import (
	"slices"
	"strings"
)

const (
	// maxPattern bounds a pattern of STIX, in bytes: some name thousands of addresses.
	maxPattern = 256 << 10
	// maxParens bounds how deep a pattern is nested.
	maxParens = 32
)

// patternAddresses are those that a pattern of STIX names, where each of them is enough by itself: in tests of an
// address with =, IN and ISSUBSET, joined by OR. What AND, NOT, FOLLOWEDBY or a qualifier makes of them is more
// than an address, and gives none; so do tests of other things. Why says what is no pattern, or no address; then
// there are none.
func patternAddresses(pattern string) (all []Entry, why string) {
	p := &patternParser{rest: pattern}
	p.next()
	p.observations()
	if p.kind != 0 {
		p.wrong()
	}
	if p.why != "" {
		return nil, p.why
	}
	return p.out, ""
}

// patternParser reads a pattern by descent. After an error it goes on with the end.
type patternParser struct {
	rest  string
	kind  byte   // of the token: 0 end, one of [ ] ( ) , : . * for itself, '=' a comparison, 'w' a word, 't' a text
	text  string // of a word in capitals, of a comparison, or of a text
	word  string // as it came
	depth int
	out   []Entry
	why   string
}

func (p *patternParser) fail(why string) {
	if p.why == "" {
		p.why = why
	}
	p.kind, p.rest = 0, ""
}

func (p *patternParser) wrong() { p.fail("this is no pattern of STIX") }

func (p *patternParser) next() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \t\r\n")
		if comment, ok := strings.CutPrefix(p.rest, "/*"); ok {
			_, after, closed := strings.Cut(comment, "*/")
			if !closed {
				p.wrong()
				return
			}
			p.rest = after
			continue
		}
		if !strings.HasPrefix(p.rest, "//") {
			break
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
	if p.rest == "" {
		p.kind = 0
		return
	}
	switch c := p.rest[0]; {
	case strings.IndexByte("[](),:.*", c) >= 0:
		p.kind, p.rest = c, p.rest[1:]
	case c == '\'':
		p.quoted()
	case strings.IndexByte("=!<>", c) >= 0:
		n := 1
		for n < len(p.rest) && (p.rest[n] == '=' || p.rest[n] == '>') {
			n++
		}
		p.kind, p.text, p.rest = '=', p.rest[:n], p.rest[n:]
	default:
		n := strings.IndexAny(p.rest, " \t\r\n[](),:.*'=!<>")
		if n < 0 {
			n = len(p.rest)
		}
		p.kind, p.word, p.rest = 'w', p.rest[:n], p.rest[n:]
		p.text = strings.ToUpper(p.word)
	}
}

// quoted reads a text, in which a backslash takes what follows as it is.
func (p *patternParser) quoted() {
	var b strings.Builder
	for i := 1; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '\'':
			p.kind, p.text, p.rest = 't', b.String(), p.rest[i+1:]
			return
		case c == '\\' && i+1 < len(p.rest):
			i++
			c = p.rest[i]
			fallthrough
		default:
			b.WriteByte(c)
		}
	}
	p.wrong()
}

func (p *patternParser) is(word string) bool { return p.kind == 'w' && p.text == word }

// eat consumes a token of a kind that has to be there.
func (p *patternParser) eat(kind byte) {
	if p.kind != kind {
		p.wrong()
		return
	}
	p.next()
}

// joined reads parts with a word between them. If it is not OR, no part is enough by itself.
func (p *patternParser) joined(word string, part func()) {
	from := len(p.out)
	part()
	for p.is(word) {
		p.next()
		part()
		if word != "OR" {
			p.out = p.out[:from]
		}
	}
}

// enclosed reads what is in parentheses or brackets.
func (p *patternParser) enclosed(end byte, inner func()) {
	if p.depth++; p.depth > maxParens {
		p.fail("the pattern is nested too deep")
		return
	}
	p.next()
	inner()
	p.eat(end)
	p.depth--
}

func (p *patternParser) observations() {
	p.joined("FOLLOWEDBY", func() {
		p.joined("OR", func() { p.joined("AND", p.observation) })
	})
}

// observation reads a test in brackets, or several in parentheses, and what qualifies them.
func (p *patternParser) observation() {
	from := len(p.out)
	switch p.kind {
	case '[':
		p.enclosed(']', p.comparisons)
	case '(':
		p.enclosed(')', p.observations)
	default:
		p.wrong()
	}
	for p.is("WITHIN") || p.is("REPEATS") || p.is("START") || p.is("STOP") {
		p.next()
		if p.is("T") { // a time: t'2026-01-01T00:00:00Z'
			p.next()
			p.eat('t')
		} else {
			p.number()
		}
		if p.is("SECONDS") || p.is("TIMES") {
			p.next()
		}
		p.out = p.out[:min(from, len(p.out))]
	}
}

// number reads one, perhaps with a fraction.
func (p *patternParser) number() {
	p.eat('w')
	if p.kind == '.' {
		p.next()
		p.eat('w')
	}
}

func (p *patternParser) comparisons() {
	p.joined("OR", func() { p.joined("AND", p.comparison) })
}

func (p *patternParser) comparison() {
	if p.kind == '(' {
		p.enclosed(')', p.comparisons)
		return
	}
	if p.is("EXISTS") || p.is("NOT") {
		not := p.is("NOT")
		p.next()
		if not && !p.is("EXISTS") {
			p.wrong()
			return
		}
		if !not || p.is("EXISTS") {
			if not {
				p.next()
			}
			p.path()
			return
		}
	}
	path := p.path()
	not := p.is("NOT")
	if not {
		p.next()
	}
	op := p.text
	if p.kind != '=' && !slices.Contains([]string{"IN", "LIKE", "MATCHES", "ISSUBSET", "ISSUPERSET"}, op) {
		p.wrong()
		return
	}
	p.next()
	values := p.values(op == "IN")
	if not || p.why != "" || !slices.Contains([]string{"=", "==", "IN", "ISSUBSET"}, op) {
		return
	}
	switch path {
	case "ipv4-addr:value", "ipv6-addr:value", "network-traffic:src_ref.value", "network-traffic:dst_ref.value":
	default:
		return
	}
	for _, v := range values {
		e, why := span([]byte(strings.TrimSpace(v)))
		if why != "" {
			p.fail(why)
			return
		}
		p.out = append(p.out, e)
	}
}

// path reads where in an observation something is, such as file:hashes.'SHA-256' or a:b[*].c. It gives all but
// what is in brackets.
func (p *patternParser) path() string {
	var b strings.Builder
	b.WriteString(p.word + ":")
	p.eat('w')
	p.eat(':')
	for {
		switch p.kind {
		case 'w':
			b.WriteString(p.word)
		case 't':
			b.WriteString("'" + p.text + "'")
		default:
			p.wrong()
			return ""
		}
		p.next()
		for p.kind == '[' {
			b.WriteString("[]")
			p.next()
			if p.kind != 'w' && p.kind != '*' {
				p.wrong()
				return ""
			}
			p.next()
			p.eat(']')
		}
		if p.kind != '.' {
			return b.String()
		}
		b.WriteByte('.')
		p.next()
	}
}

// values reads what is compared with: one, or a set of them.
func (p *patternParser) values(set bool) (all []string) {
	if set {
		p.eat('(')
		if p.kind == ')' {
			p.next()
			return nil
		}
	}
	for {
		switch {
		case p.kind == 't':
			all = append(all, p.text)
			p.next()
		case (p.is("T") || p.is("H") || p.is("B")) && strings.HasPrefix(p.rest, "'"): // a time, hex or binary
			p.next()
			p.eat('t')
		default:
			p.number()
		}
		if !set {
			return all
		}
		if p.kind != ',' {
			p.eat(')')
			return all
		}
		p.next()
	}
}
