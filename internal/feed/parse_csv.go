package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxColumns bounds the columns of a line.
const maxColumns = 1000

// csv reads lines of columns. Lines with # before them are comments; the names of columns may stand in the first
// line, or in the last comment before it. A column may be quoted, a quote within it doubled; it has one line.
func (p *parser) csv() error {
	sep := p.format.Separator
	if sep == 0 {
		sep = ','
	}
	var names []string
	address, scores := -1, -1
	known := false // which columns are which
	for {
		b, long, err := p.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Lines++
		b = bytes.TrimSpace(b)
		if len(b) == 0 {
			continue
		}
		if b[0] == '#' {
			if !known {
				names = columns(bytes.TrimSpace(bytes.TrimLeft(b, "#")), sep)
			}
			continue
		}
		fields := columns(b, sep)
		if !known {
			known = true
			heading := false
			if address, scores, heading, err = p.which(fields, names); err != nil {
				return err
			}
			if heading {
				continue
			}
		}
		switch {
		case long:
			p.bad(p.Lines, b, "the line is too long")
			continue
		case address >= len(fields) || scores >= len(fields):
			p.bad(p.Lines, b, fmt.Sprintf("there are %d columns only", len(fields)))
			continue
		}
		e, why := span([]byte(strings.TrimSpace(fields[address])))
		if why != "" {
			p.bad(p.Lines, b, why)
			continue
		}
		e.Line, e.Score = p.Lines, NoScore
		if scores >= 0 {
			e.Score = Unscored
			if n, ok := score([]byte(fields[scores])); ok {
				e.Score = n
			}
		}
		p.entry(e)
	}
}

// which finds the columns, by their numbers or by the names in the first line or in the comment before it.
// Heading is set if the first line is of names.
func (p *parser) which(first, comment []string) (address, score int, heading bool, err error) {
	find := func(column string) (int, error) {
		if n, err := strconv.Atoi(column); err == nil {
			if n < 1 || n > maxColumns {
				return 0, fmt.Errorf("there is no column %d: they are counted from 1 on", n)
			}
			return n - 1, nil
		}
		for _, names := range [][]string{first, comment} {
			i := slices.IndexFunc(names, func(s string) bool { return strings.EqualFold(strings.TrimSpace(s), column) })
			if i >= 0 {
				return i, nil
			}
		}
		return 0, fmt.Errorf("%w: there is no column %q: there are %q", ErrNotAList, column, first)
	}
	score = -1
	if p.format.Column != "" {
		if address, err = find(p.format.Column); err != nil {
			return 0, 0, false, err
		}
	}
	if p.format.ScoreColumn != "" {
		if score, err = find(p.format.ScoreColumn); err != nil {
			return 0, 0, false, err
		}
	}
	if address < len(first) {
		_, why := span([]byte(strings.TrimSpace(first[address])))
		heading = why != "" && isHeading([]byte(first[address]))
	}
	return address, score, heading, nil
}

// columns splits a line.
func columns(b []byte, sep rune) (all []string) {
	s := string(b)
	for len(all) < maxColumns {
		t := strings.TrimLeft(s, " ")
		if !strings.HasPrefix(t, `"`) {
			field, rest, more := strings.Cut(s, string(sep))
			all = append(all, strings.TrimSpace(field))
			if !more {
				return all
			}
			s = rest
			continue
		}
		var field strings.Builder
		t = t[1:]
		for {
			before, after, closed := strings.Cut(t, `"`)
			field.WriteString(before)
			t = after
			if !closed || !strings.HasPrefix(t, `"`) {
				break
			}
			field.WriteByte('"')
			t = t[1:]
		}
		all = append(all, field.String())
		i := strings.IndexRune(t, sep)
		if i < 0 {
			return all
		}
		s = t[i+utf8.RuneLen(sep):]
	}
	return all
}
