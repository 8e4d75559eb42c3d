package replay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/encoding"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

const (
	// stopLines is how many lines pass between two looks at ctx.
	stopLines = 1 << 8
	// progressLines is how many lines pass between two reports, a multiple of stopLines.
	progressLines = 1 << 14
)

// reader reads one log and makes failures of it.
type reader struct {
	run   *run
	log   Log
	from  io.Closer
	in    *lines
	views []*view

	ready []failure // of the last line that was read, if it has any
	clock time.Time // the latest time in this log so far
}

// view is a log in one encoding, with the jails that read it so.
type view struct {
	encoding encoding.Encoding
	decoder  *encoding.Decoder // nil: UTF-8
	group    *filter.Group
	sessions []*filter.Session
	jails    []int // index in Options.Jails, by session
}

// open readies a log for the jails that watch it.
func (r *run) open(log Log) (*reader, error) {
	x := &reader{run: r, log: log}
	for i, j := range r.opts.Jails {
		if j.Watches != nil && !j.Watches(log.Name) {
			continue
		}
		v := x.view(j.Encoding)
		v.sessions = append(v.sessions, j.Filter.NewReplay(log.Written))
		v.jails = append(v.jails, i)
		r.result.Jails[i].Logs = append(r.result.Jails[i].Logs, log.Name)
	}
	for _, v := range x.views {
		filters := make([]*filter.Filter, len(v.sessions))
		for i, s := range v.sessions {
			filters[i] = s.Filter()
		}
		v.group = filter.NewGroup(filters)
	}
	in, err := log.Open()
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	x.from, x.in = in, newLines(in)
	return x, nil
}

// view gives the view in an encoding, made if there is none.
func (x *reader) view(e encoding.Encoding) *view {
	for _, v := range x.views {
		if v.encoding == e {
			return v
		}
	}
	v := &view{encoding: e}
	if e != nil {
		v.decoder = e.NewDecoder()
	}
	x.views = append(x.views, v)
	return v
}

// fill reads up to the next line with failures. It reports false at the end of the log.
func (x *reader) fill(ctx context.Context) (bool, error) {
	x.ready = x.ready[:0]
	for {
		line, err := x.in.next()
		if x.in.number%stopLines == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", x.log.Name, err)
		}
		if x.in.number%progressLines == 0 {
			x.run.progress()
		}
		for _, v := range x.views {
			if err := x.try(ctx, v, line); err != nil {
				return false, err
			}
		}
		if len(x.ready) > 0 {
			return true, nil
		}
	}
}

// decode makes text of a line, as the daemon does; it is valid as long as the bytes are.
func (v *view) decode(b []byte) string {
	if v.decoder != nil {
		if s, err := v.decoder.Bytes(b); err == nil {
			b = s
		}
	}
	switch {
	case len(b) == 0:
		return ""
	case utf8.Valid(b):
		return unsafe.String(&b[0], len(b))
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// try asks the jails of a view about a line.
func (x *reader) try(ctx context.Context, v *view, line []byte) error {
	text, kept := v.decode(line), false
	wanted := v.group.Scan(text)
	for i, s := range v.sessions {
		if !wanted.Has(i) {
			s.Skip(filter.Line{Text: text}, x.clock, false)
			continue
		}
		if !kept { // filters keep lines, and the block that this one lies in is read into again
			text, kept = strings.Clone(text), true
		}
		res := s.Examine(filter.Line{Text: text}, x.clock, false)
		if res.Time.After(x.clock) && !x.run.ahead(res.Time) {
			x.clock = res.Time
		}
		j := &x.run.result.Jails[v.jails[i]]
		for _, n := range res.Notices {
			if n.Kind == filter.NoticeGaveUp {
				j.GaveUp++
			}
		}
		if len(res.Matches) > 0 {
			j.Matched++
		}
		for _, m := range res.Matches {
			if err := x.take(ctx, v.jails[i], m, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// take makes failures of a match.
func (x *reader) take(ctx context.Context, index int, m filter.Match, text string) error {
	j, opts := &x.run.result.Jails[index], x.run.opts.Jails[index]
	ids := []ident.ID{m.ID}
	if m.Host != "" {
		ids = nil
		if resolve := x.run.opts.Resolve; resolve != nil {
			ids = resolve(ctx, m.Host)
		}
		if len(ids) == 0 {
			j.Names++
		}
	}
	at := m.Time
	if x.run.ahead(at) {
		j.Ahead++
		at = x.clock
	}
	if at.IsZero() { // the line has no date, nor has any before it
		at = x.clock
	}
	for _, id := range ids {
		if opts.Ignored != nil && opts.Ignored(ctx, id) {
			j.Ignored++
			continue
		}
		if at.IsZero() {
			j.Undated++
			continue
		}
		x.ready = append(x.ready, failure{
			jail:    index,
			Failure: jail.Failure{ID: id, Time: at, Attempts: m.Attempts},
			place:   Place{Log: x.log.Name, Line: x.in.number, Text: shortened(text)},
		})
	}
	return ctx.Err() // an answer may be wrong that came of the end
}

// maxText is how much of a line is shown with a ban, in bytes.
const maxText = 500

func shortened(text string) string {
	if len(text) <= maxText {
		return text
	}
	return strings.ToValidUTF8(text[:maxText], "") + "…"
}

// settle adds what was read to the result.
func (x *reader) settle() {
	r := x.run.result
	r.Lines += x.in.number
	r.Bytes += x.in.bytes
	for _, v := range x.views {
		for _, index := range v.jails {
			r.Jails[index].Lines += x.in.number
		}
	}
}
