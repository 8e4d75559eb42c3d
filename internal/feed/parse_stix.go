package feed

import (
	"fmt"
	"strings"
	"time"
)

// stix reads a bundle of STIX 2.1, or a page of TAXII 2.1, which has the same objects beside "more" and "next". Of
// the objects, indicators count whose pattern is of addresses alone; see addresses.
func (p *parser) stix() error {
	found := false
	var more bool
	var next string
	err := p.elements(func(at []string) bool { return len(at) == 1 }, func(at []string, element any) {
		if at = at[:min(len(at), 1)]; len(at) == 1 && at[0] == "objects" || len(at) == 0 {
			found = true
			p.indicator(element)
		}
	}, func(at []string) { found = found || len(at) == 0 || at[0] == "objects" }, func(at []string, v any) {
		if len(at) != 1 {
			return
		}
		switch at[0] {
		case "more":
			more, _ = v.(bool)
			found = true // an empty page may have no objects
		case "next":
			next = asText(v)
		case "type":
			found = found || v == "bundle"
		}
	})
	if err != nil {
		return err
	}
	p.More, p.Next = more, bounded(next, 4096)
	if !found {
		return fmt.Errorf("%w: it has no objects, as STIX and TAXII have", ErrNotAList)
	}
	return nil
}

// indicator takes an object of STIX.
func (p *parser) indicator(v any) {
	text := func(key string) string { s, _ := member(v, key); return asText(s) }
	if text("type") != "indicator" {
		return
	}
	id := bounded(text("id"), maxID)
	if text("revoked") == "true" {
		if id != "" {
			p.entry(Entry{Revoked: true, ID: id, Score: NoScore, Line: p.Lines})
		}
		return
	}
	if kind := text("pattern_type"); kind != "" && kind != "stix" {
		return // one of snort, yara and others, which tell nothing of addresses
	}
	from, okFrom := stixTime(text("valid_from"))
	until, okUntil := stixTime(text("valid_until"))
	pattern := text("pattern")
	all, why := addresses(pattern)
	switch {
	case !okFrom || !okUntil:
		p.bad(p.Lines, []byte(pattern), "valid_from or valid_until is no time")
		return
	case why != "":
		p.bad(p.Lines, []byte(pattern), why)
		return
	case from.After(p.limits.Now.Add(time.Hour)) && !p.limits.Now.IsZero():
		return // not yet
	}
	confidence, known := score(text("confidence"))
	if !known {
		confidence = NoScore
	}
	for _, e := range all {
		e.ID, e.Until, e.Score, e.Line, e.Note = id, until, confidence, p.Lines, bounded(text("name"), maxID)
		p.entry(e)
	}
}

func stixTime(s string) (time.Time, bool) {
	if s == "" {
		return time.Time{}, true
	}
	t, err := time.Parse(time.RFC3339, s)
	return t, err == nil
}

// maxPattern bounds a pattern, in bytes.
const maxPattern = 64 << 10

// addresses are those that a pattern of STIX names, where each of them is enough by itself: comparisons of
// ipv4-addr:value, ipv6-addr:value or an end of network-traffic with =, IN and ISSUBSET, joined by OR. Beside
// them may be comparisons of other things, since OR makes them no condition. Whatever else a pattern says (AND,
// NOT, FOLLOWEDBY, qualifiers) makes of an address a part of something, and of the pattern none of ours; a pattern
// of other things alone gives nothing, and is not bad.
func addresses(pattern string) (all []Entry, why string) {
	if len(pattern) > maxPattern {
		return nil, "the pattern is too long"
	}
	l := patternLexer{s: pattern}
	depth := 0
	expect := true // a comparison, or what opens one
	for {
		switch t := l.next(); {
		case t.kind == tokenEnd:
			if depth != 0 || expect {
				return nil, "the pattern is not whole"
			}
			return all, ""
		case t.kind == tokenOpen && expect:
			depth++
		case t.kind == tokenClose && !expect && depth > 0:
			depth--
		case t.kind == tokenWord && !expect && strings.EqualFold(t.text, "OR"):
			expect = true
		case t.kind == tokenWord && expect && strings.Contains(t.text, ":"):
			found, why := l.comparison(t.text)
			if why != "" {
				return nil, why
			}
			all = append(all, found...)
			expect = false
		case t.kind == tokenWord && !strings.Contains(t.text, ":"):
			return nil, fmt.Sprintf("a pattern with %.20q does not speak of an address alone", t.text)
		default:
			return nil, "this is no pattern"
		}
	}
}

// comparison reads what follows the path of one.
func (l *patternLexer) comparison(path string) (all []Entry, why string) {
	op := l.next()
	var values []string
	switch word := strings.ToUpper(op.text); {
	case op.kind != tokenWord && op.kind != tokenSign:
		return nil, "this is no pattern"
	case word == "=", word == "==", word == "ISSUBSET":
		v := l.next()
		if v.kind != tokenText && v.kind != tokenWord {
			return nil, "this is no pattern"
		}
		values = []string{v.text}
	case word == "IN":
		if t := l.next(); t.kind != tokenOpen {
			return nil, "this is no pattern"
		}
		for {
			v := l.next()
			if v.kind != tokenText && v.kind != tokenWord {
				return nil, "this is no pattern"
			}
			values = append(values, v.text)
			if t := l.next(); t.kind == tokenClose {
				break
			} else if t.kind != tokenSign || t.text != "," {
				return nil, "this is no pattern"
			}
		}
	default:
		return nil, fmt.Sprintf("a pattern with %.20q does not name addresses", op.text)
	}
	switch path {
	case "ipv4-addr:value", "ipv6-addr:value", "network-traffic:src_ref.value", "network-traffic:dst_ref.value":
	default:
		return nil, ""
	}
	for _, v := range values {
		e, why := span([]byte(v))
		if why != "" {
			return nil, why
		}
		all = append(all, e)
	}
	return all, ""
}

type tokenKind int

const (
	tokenEnd   tokenKind = iota
	tokenOpen            // [ or (
	tokenClose           // ] or )
	tokenText            // 'in quotes'
	tokenWord
	tokenSign // = and its like, and the comma
	tokenWrong
)

type token struct {
	kind tokenKind
	text string
}

// patternLexer splits a pattern into its tokens.
type patternLexer struct{ s string }

func (l *patternLexer) next() token {
	for {
		l.s = strings.TrimLeft(l.s, " \t\r\n")
		switch {
		case strings.HasPrefix(l.s, "/*"):
			_, rest, closed := strings.Cut(l.s[2:], "*/")
			if !closed {
				return token{kind: tokenWrong}
			}
			l.s = rest
			continue
		case strings.HasPrefix(l.s, "//"):
			_, l.s, _ = strings.Cut(l.s, "\n")
			continue
		}
		break
	}
	if l.s == "" {
		return token{kind: tokenEnd}
	}
	switch c := l.s[0]; c {
	case '[', '(':
		l.s = l.s[1:]
		return token{kind: tokenOpen}
	case ']', ')':
		l.s = l.s[1:]
		return token{kind: tokenClose}
	case '\'':
		return l.quoted()
	case '=', '!', '<', '>', ',':
		n := 1
		for c != ',' && n < len(l.s) && strings.IndexByte("=<>", l.s[n]) >= 0 {
			n++
		}
		t := token{tokenSign, l.s[:n]}
		l.s = l.s[n:]
		return t
	}
	n := strings.IndexAny(l.s, " \t\r\n[]()'=!<>,")
	if strings.HasPrefix(l.s, "]") || n == 0 {
		return token{kind: tokenWrong}
	}
	if n < 0 {
		n = len(l.s)
	}
	t := token{tokenWord, l.s[:n]}
	l.s = l.s[n:]
	return t
}

func (l *patternLexer) quoted() token {
	var b strings.Builder
	for i := 1; i < len(l.s); i++ {
		switch c := l.s[i]; {
		case c == '\\' && i+1 < len(l.s):
			i++
			b.WriteByte(l.s[i])
		case c == '\'':
			l.s = l.s[i+1:]
			return token{tokenText, b.String()}
		default:
			b.WriteByte(c)
		}
	}
	return token{kind: tokenWrong}
}
