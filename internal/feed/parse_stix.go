package feed

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// maxNext bounds the token of a page, in bytes.
const maxNext = 4096

// early is how far our clock may be behind a publisher's.
const early = time.Hour

// stix reads a bundle of STIX 2.1, a list of its objects, or a page of TAXII 2.1, which has the same objects beside
// "more" and "next". Of the objects, indicators count whose pattern is of addresses; see patternAddresses.
func (p *parser) stix() error {
	s := p.scanner()
	first, err := s.kind()
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err != nil {
		return err
	}
	var o indicator
	object := func() error { return p.indicator(s, &o) }
	if first == '[' {
		if err := s.array(object); err != nil {
			return err
		}
		return s.end()
	}
	found, members := false, 0
	err = s.object(func(name []byte) error {
		members++
		member := string(name)
		first, err := s.kind()
		if err != nil {
			return s.ended(err)
		}
		switch {
		case member == "objects" && first == '[':
			found = true
			return s.array(object)
		case member == "objects" && first != 'n', first == '[', first == '{':
			return s.skip()
		}
		b, cut, err := s.scalar(maxNext)
		if err != nil {
			return err
		}
		switch member {
		case "objects":
			found = true // null
		case "more":
			p.More = string(b) == "true"
			found = true // an empty page may have no objects
		case "next":
			if cut {
				return fmt.Errorf("%w: the place of the next page has more than %d bytes", ErrNotAList, maxNext)
			}
			if string(b) != "null" {
				p.Next = string(b)
			}
		case "type":
			found = found || string(b) == "bundle"
		}
		return nil
	})
	switch {
	case err != nil:
		return err
	case !found && (members > 0 || p.format.Kind != "taxii"): // {} is a page of TAXII without anything
		return fmt.Errorf("%w: it has no objects, as STIX and TAXII have", ErrNotAList)
	}
	return s.end()
}

// texts reads an object of which some members are kept, as the bytes of their text or number. Into gives where to
// put a member, cut to most bytes; nil does not keep it. Null, lists and objects are as if they were not there.
func (s *scanner) texts(most int, into func(name string) *[]byte) error {
	return s.object(func(name []byte) error {
		to := into(string(name))
		b, err := s.kind()
		if err != nil {
			return s.ended(err)
		}
		if to == nil || b == '{' || b == '[' {
			return s.skip()
		}
		text, _, err := s.scalar(most)
		if *to = (*to)[:0]; b != 'n' {
			*to = append(*to, text...)
		}
		return err
	})
}

// indicator is what is kept of an object of STIX. It is used again for each.
type indicator struct {
	class, id, name, pattern, language, from, until, revoked, confidence []byte
}

func (o *indicator) member(name string) *[]byte {
	switch name {
	case "type":
		return &o.class
	case "id":
		return &o.id
	case "name":
		return &o.name
	case "pattern":
		return &o.pattern
	case "pattern_type":
		return &o.language
	case "valid_from":
		return &o.from
	case "valid_until":
		return &o.until
	case "revoked":
		return &o.revoked
	case "confidence":
		return &o.confidence
	}
	return nil
}

// indicator takes an object of STIX.
func (p *parser) indicator(s *scanner, o *indicator) error {
	p.Lines++
	b, err := s.kind()
	line := s.line
	if err != nil {
		return s.ended(err)
	}
	if b != '{' {
		p.bad(line, nil, "this is no object of STIX")
		return s.skip()
	}
	for _, member := range []*[]byte{&o.class, &o.id, &o.name, &o.pattern, &o.language, &o.from, &o.until, &o.revoked, &o.confidence} {
		*member = (*member)[:0]
	}
	if err := s.texts(maxPattern, o.member); err != nil {
		return err
	}
	switch {
	case string(o.class) != "indicator":
		return nil
	case string(o.revoked) == "true":
		p.withdraw(o.id, line)
		return nil
	case len(o.language) > 0 && string(o.language) != "stix":
		p.Skipped++ // snort, yara and others, which are not of addresses
		return nil
	}
	from, okFrom := stixTime(o.from)
	until, okUntil := stixTime(o.until)
	found, why := patternAddresses(string(o.pattern))
	switch {
	case why != "":
		p.bad(line, o.pattern, why)
	case !okFrom || !okUntil:
		p.bad(line, o.id, "valid_from or valid_until is no time")
	case len(found) == 0, !p.limits.Now.IsZero() && from.After(p.limits.Now.Add(early)):
		p.Skipped++
		if strings.Contains(string(o.pattern), "-addr:value") {
			p.withdraw(o.id, line) // an older version may have been of addresses, or of now
		}
	default:
		for _, e := range found {
			e.ID, e.Note, e.Until, e.Line = bounded(o.id), bounded(o.name), until, line
			e.Score = NoScore // a confidence that is not given is not one of 0
			if n, ok := score(o.confidence); ok {
				e.Score = n
			}
			p.entry(e)
		}
	}
	return nil
}

// withdraw hands over that what had an ID is not there any more.
func (p *parser) withdraw(id []byte, line int) {
	if name := bounded(id); name != "" {
		p.entry(Entry{Revoked: true, ID: name, Score: NoScore, Line: line})
	}
}

// stixTime reads a time, which may be missing.
func stixTime(b []byte) (time.Time, bool) {
	if len(b) == 0 {
		return time.Time{}, true
	}
	t, err := time.Parse(time.RFC3339, string(b))
	return t, err == nil
}

// bounded is the beginning of a text, as valid UTF-8.
func bounded(b []byte) string { return strings.ToValidUTF8(string(b[:min(len(b), maxID)]), "") }
