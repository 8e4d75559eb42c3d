package feed

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// crowdsec reads the answer of a CrowdSec LAPI to a bouncer: decisions that are new, and such that are no more. Of
// the new ones those count that ban addresses or ranges, and are not simulated.
func (p *parser) crowdsec() error {
	found := false
	is := func(at []string) bool { return len(at) == 1 && (at[0] == "new" || at[0] == "deleted") }
	err := p.elements(is, func(at []string, element any) {
		if is(at) {
			p.decision(element, at[0] == "deleted")
		}
	}, func(at []string) { found = found || is(at) }, func(at []string, _ any) { found = found || is(at) }) // null: none
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("%w: it has no decisions, neither new nor deleted", ErrNotAList)
	}
	return nil
}

func (p *parser) decision(v any, deleted bool) {
	text := func(key string) string { s, _ := member(v, key); return asText(s) }
	id := bounded(cmp.Or(text("uuid"), text("id"), text("value")), maxID)
	if number := text("id"); number != "" && number != "0" {
		id = bounded(number, maxID)
	}
	if deleted {
		p.entry(Entry{Revoked: true, ID: id, Score: NoScore, Line: p.Lines})
		return
	}
	scope := strings.ToLower(text("scope"))
	if scope != "ip" && scope != "range" || strings.ToLower(text("type")) != "ban" || text("simulated") == "true" {
		return
	}
	e, why := span([]byte(text("value")))
	if why != "" {
		p.bad(p.Lines, []byte(text("value")), why)
		return
	}
	if d := text("duration"); d != "" {
		left, err := time.ParseDuration(d)
		if err != nil {
			p.bad(p.Lines, []byte(d), "this is no duration")
			return
		}
		e.Until = p.limits.Now.Add(left)
	}
	e.ID, e.Score, e.Line, e.Note = id, NoScore, p.Lines, bounded(text("scenario"), maxID)
	p.entry(e)
}
