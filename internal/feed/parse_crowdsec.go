package feed

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// crowdsec reads the answer of a CrowdSec LAPI to a bouncer: decisions that are new, and such that are no more. Of
// the new ones those count that ban addresses or ranges, and are not simulated.
func (p *parser) crowdsec() error {
	s := p.scanner()
	if _, err := s.kind(); errors.Is(err, io.EOF) {
		return nil
	} else if err != nil {
		return err
	}
	found := false
	var d decision
	err := s.object(func(name []byte) error {
		deleted := string(name) == "deleted"
		isList := deleted || string(name) == "new"
		b, err := s.kind()
		if err != nil {
			return s.ended(err)
		}
		if !isList || b != '[' {
			found = found || isList && b == 'n' // null: there are none
			return s.skip()
		}
		found = true
		return s.array(func() error { return p.decision(s, &d, deleted) })
	})
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: it has no decisions, neither new nor deleted", ErrNotAList)
	}
	return s.end()
}

// decision is what is kept of one. It is used again for each.
type decision struct {
	class, scope, value, duration, scenario, simulated []byte
}

func (d *decision) member(name string) *[]byte {
	switch name {
	case "type":
		return &d.class
	case "scope":
		return &d.scope
	case "value":
		return &d.value
	case "duration":
		return &d.duration
	case "scenario":
		return &d.scenario
	case "simulated":
		return &d.simulated
	}
	return nil
}

// decision takes one. An LAPI tells of the longest decision on an address, and when the last one is gone, which
// may be another: so it is the address, not the number of the decision, by which one takes the other back.
func (p *parser) decision(s *scanner, d *decision, deleted bool) error {
	p.Lines++
	b, err := s.kind()
	line := s.line
	if err != nil {
		return s.ended(err)
	}
	if b != '{' {
		p.bad(line, nil, "this is no decision")
		return s.skip()
	}
	for _, member := range []*[]byte{&d.class, &d.scope, &d.value, &d.duration, &d.scenario, &d.simulated} {
		*member = (*member)[:0]
	}
	if err := s.texts(s.most, d.member); err != nil {
		return err
	}
	scope := strings.ToLower(string(d.scope))
	if scope != "ip" && scope != "range" || !strings.EqualFold(string(d.class), "ban") || string(d.simulated) == "true" {
		p.Skipped++
		return nil
	}
	e, why := span(d.value)
	if why != "" {
		p.bad(line, d.value, why)
		return nil
	}
	e.ID, e.Score, e.Line, e.Note, e.Revoked = bounded(append([]byte(scope+" "), d.value...)), NoScore, line, bounded(d.scenario), deleted
	if !deleted && len(d.duration) > 0 {
		left, ok := length(d.duration)
		if !ok {
			p.bad(line, d.duration, "this is no duration")
			return nil
		}
		e.Until = p.limits.Now.Add(left)
	}
	p.entry(e)
	return nil
}

// length reads a duration such as 3h59m2.5s.
func length(b []byte) (time.Duration, bool) {
	d, err := time.ParseDuration(string(b))
	return d, err == nil
}
