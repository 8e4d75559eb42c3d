package feed

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
)

const (
	// maxColumns bounds the columns of a line.
	maxColumns = 1000
	// maxQuoted bounds the lines that one quote may go on over.
	maxQuoted = 50
)

// csv reads lines of columns. Lines with # before them are comments; the names of columns may stand in the first
// line, or in the last comment before it. A column may be quoted, with quotes in it doubled, and then may have line
// ends in it.
func (p *parser) csv() error {
	t := &table{separator: []byte(string(p.format.Separator))}
	if p.format.Separator == 0 {
		t.separator = []byte{','}
	}
	for known := false; ; {
		b, long, err := p.line()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		p.Lines++
		line := p.Lines
		if trimmed := bytes.TrimSpace(b); len(trimmed) == 0 || trimmed[0] == '#' {
			if !known && len(trimmed) > 0 {
				t.split(bytes.TrimSpace(bytes.TrimLeft(trimmed, "#")))
				t.comment = t.names()
			}
			continue
		}
		whole := t.split(b)
		for n := 1; !whole && !long && n < maxQuoted; n++ {
			if b, long, err = p.joined(b); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return err
			}
			whole = t.split(b)
		}
		if !known {
			known = true
			heading, err := t.find(p.format)
			if err != nil {
				return err
			}
			if heading {
				continue
			}
		}
		switch {
		case !whole && !long:
			p.bad(line, b, "a quote in it does not end")
		case t.address >= len(t.fields) || t.score >= len(t.fields):
			p.bad(line, b, fmt.Sprintf("there are %d columns only", len(t.fields)))
		default:
			p.row(t, b, line)
		}
	}
}

// joined is a line with the next one behind it. The line is one that p.line has given.
func (p *parser) joined(b []byte) (both []byte, long bool, err error) {
	both = bytes.Clone(b)
	next, long, err := p.line()
	if err != nil {
		return both, false, err
	}
	p.Lines++
	both = append(append(both, '\n'), next...)
	return both, long || len(both) > p.limits.LineBytes, nil
}

func (p *parser) row(t *table, b []byte, line int) {
	e, why := span(t.fields[t.address])
	if why != "" {
		p.bad(line, b, why)
		return
	}
	e.Line, e.Score = line, NoScore
	if t.score >= 0 {
		e.Score = Unscored
		if n, ok := score(t.fields[t.score]); ok {
			e.Score = n
		}
	}
	p.entry(e)
}

// table splits lines into columns, and knows which of them are wanted.
type table struct {
	separator      []byte
	address, score int      // columns, from 0; -1: none
	comment        []string // the columns of the last comment

	fields [][]byte // of a line, as long as that is valid
}

func (t *table) names() (all []string) {
	for _, f := range t.fields {
		all = append(all, string(f))
	}
	return all
}

// find finds the columns, by their numbers or by the names in the line that was split or in the comment before
// it. Heading is set if the line is of names.
func (t *table) find(f Format) (heading bool, err error) {
	t.score = -1
	if f.Column != "" {
		if t.address, heading, err = t.column(f.Column); err != nil {
			return false, err
		}
	}
	if f.ScoreColumn != "" {
		named := false
		if t.score, named, err = t.column(f.ScoreColumn); err != nil {
			return false, err
		}
		heading = heading || named
	}
	if t.address < len(t.fields) && !heading {
		_, why := span(t.fields[t.address])
		heading = why != "" && !bytes.ContainsAny(t.fields[t.address], ".:")
	}
	return heading, nil
}

// column gives the place of a column, and whether its name stands in the line that was split.
func (t *table) column(name string) (i int, here bool, err error) {
	if n, err := strconv.Atoi(name); err == nil {
		if n < 1 || n > maxColumns {
			return 0, false, fmt.Errorf("%w: there is no column %d: they are counted from 1 to %d", ErrFormat, n, maxColumns)
		}
		return n - 1, false, nil
	}
	first := t.names()
	is := func(s string) bool { return strings.EqualFold(s, name) }
	if i = slices.IndexFunc(first, is); i >= 0 {
		return i, true, nil
	}
	if i = slices.IndexFunc(t.comment, is); i >= 0 {
		return i, false, nil
	}
	for i := range first {
		first[i] = first[i][:min(len(first[i]), 40)]
	}
	return 0, false, fmt.Errorf("%w: there is no column %q: there are %q", ErrNotAList, name, first[:min(len(first), 12)])
}

// split splits a line, of which it keeps parts. It is false if a quote does not end; then the line goes on with
// the next one.
func (t *table) split(b []byte) (whole bool) {
	t.fields = t.fields[:0]
	for len(t.fields) < maxColumns {
		quoted := bytes.TrimLeft(b, " ")
		if len(quoted) == 0 || quoted[0] != '"' {
			field, rest, more := bytes.Cut(b, t.separator)
			t.fields = append(t.fields, bytes.TrimSpace(field))
			if !more {
				return true
			}
			b = rest
			continue
		}
		end := endOfQuote(quoted)
		if end < 0 {
			t.fields = append(t.fields, quoted[1:])
			return false
		}
		field := quoted[1:end]
		if bytes.IndexByte(field, '"') >= 0 {
			field = bytes.ReplaceAll(field, []byte(`""`), []byte(`"`))
		}
		t.fields = append(t.fields, bytes.TrimSpace(field))
		_, rest, more := bytes.Cut(quoted[end+1:], t.separator)
		if !more {
			return true
		}
		b = rest
	}
	return true
}

// endOfQuote gives the place of the quote that ends what the first byte begins; -1 if there is none.
func endOfQuote(b []byte) int {
	for i := 1; i < len(b); i++ {
		switch {
		case b[i] != '"':
		case i+1 < len(b) && b[i+1] == '"':
			i++
		default:
			return i
		}
	}
	return -1
}
