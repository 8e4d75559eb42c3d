package feed

import (
	"errors"
	"fmt"
	"io"
	"strconv"
)

// drop reads Spamhaus' lists: objects one after the other, each with its network at "cidr", and at the end one
// that says how many there are.
func (p *parser) drop() error {
	s := p.scanner()
	var network, class, records, sbl []byte
	for {
		if _, err := s.kind(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		network, class, records, sbl = network[:0], class[:0], records[:0], sbl[:0]
		line := s.line
		err := s.texts(s.most, func(name string) *[]byte {
			switch name {
			case "cidr":
				return &network
			case "type":
				return &class
			case "records":
				return &records
			case "sblid":
				return &sbl
			}
			return nil
		})
		if err != nil {
			return err
		}
		if string(class) == "metadata" {
			if n, err := strconv.Atoi(string(records)); err == nil && n > p.Lines {
				return fmt.Errorf("%w: it has %d networks, and says in line %d that there are %d: it was cut", ErrNotAList, p.Lines, line, n)
			}
			continue
		}
		p.Lines++
		e, why := span(network)
		switch {
		case len(network) == 0:
			p.bad(line, nil, `there is no "cidr"`)
		case why != "":
			p.bad(line, network, why)
		default:
			e.Score, e.Line, e.Note = NoScore, line, bounded(sbl)
			p.entry(e)
		}
	}
}
