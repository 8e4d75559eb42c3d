package replay

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
	"unsafe"

	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

const (
	// maxLine is how many bytes of a line are tried, as many as the daemon takes.
	maxLine = 16 << 10
	// blockSize is what is read at once; it holds a line of the longest kind many times.
	blockSize = 1 << 20
	// progressLines is how many lines pass between two looks at the clock and at ctx.
	progressLines = 1 << 14
)

// reader reads one log and makes failures of it.
type reader struct {
	run      *run
	log      Log
	in       *lines
	group    *filter.Group
	sessions []*filter.Session
	jails    []int   // index in Options.Jails, by session
	matched  []int64 // lines with a failure, by session

	ready []failure // of the next line that has any
	clock time.Time // the latest time in this log
}

func (x *reader) close() { _ = x.in.close() }

// fill reads up to the next line with failures. It reports false at the end of the log.
func (x *reader) fill(ctx context.Context) (bool, error) {
	for {
		text, err := x.in.next()
		if errors.Is(err, io.EOF) {
			return false, nil
		}
		if err != nil {
			return false, fmt.Errorf("read %s: %w", x.log.Name, err)
		}
		if x.in.number%progressLines == 0 {
			if ctx.Err() != nil {
				return false, ctx.Err()
			}
			if p := x.run.opts.Progress; p != nil {
				p(x.run.result.Bytes+x.in.bytes, x.run.result.Lines+x.in.number)
			}
		}
		if x.group == nil || text == "" {
			continue
		}
		if err := x.try(ctx, text); err != nil {
			return false, err
		}
		if len(x.ready) > 0 {
			return true, nil
		}
	}
}

// try asks the jails about a line.
func (x *reader) try(ctx context.Context, text string) error {
	wanted := x.group.Scan(text)
	kept := false
	for i, s := range x.sessions {
		if !wanted.Has(i) {
			s.Skip(filter.Line{Text: text}, x.log.Now, false)
			continue
		}
		if !kept { // filters keep lines, and the block that this one lies in is read into again
			text, kept = strings.Clone(text), true
		}
		res := s.Examine(filter.Line{Text: text}, x.log.Now, false)
		j := &x.run.result.Jails[x.jails[i]]
		for _, n := range res.Notices {
			if n.Kind == filter.NoticeGaveUp {
				j.GaveUp++
			}
		}
		failed := false
		for _, m := range res.Matches {
			failed = true
			if err := x.take(ctx, i, m, text); err != nil {
				return err
			}
		}
		if failed {
			x.matched[i]++
		}
	}
	return nil
}

// take makes failures of a match.
func (x *reader) take(ctx context.Context, session int, m filter.Match, text string) error {
	index := x.jails[session]
	j, opts := &x.run.result.Jails[index], x.run.opts.Jails[index]
	ids := []ident.ID{m.ID}
	if m.Host != "" {
		ids = nil
		if resolve := x.run.opts.Resolve; resolve != nil {
			var err error
			if ids, err = resolve(ctx, m.Host); ctx.Err() != nil {
				return ctx.Err()
			} else if err != nil {
				ids = nil
			}
		}
		if len(ids) == 0 {
			j.Names++
			return nil
		}
	}
	if m.Time.After(x.clock) {
		x.clock = m.Time
	}
	for _, id := range ids {
		if opts.Ignore != nil {
			if _, ignored := opts.Ignore.Find(id); ignored {
				j.Ignored++
				continue
			}
		}
		x.ready = append(x.ready, failure{
			jail:    index,
			Failure: jail.Failure{ID: id, Time: m.Time, Attempts: m.Attempts},
			place:   Place{Log: x.log.Name, Line: x.in.number, Text: text},
		})
	}
	return nil
}

// settle adds what was read to the result.
func (x *reader) settle() {
	r := x.run.result
	r.Lines += x.in.number
	r.Bytes += x.in.bytes
	for i, index := range x.jails {
		r.Jails[index].Lines += x.in.number
		r.Jails[index].Matched += x.matched[i]
	}
}

// lines reads a log line by line without copying.
type lines struct {
	from   io.ReadCloser
	in     *bufio.Reader
	number int64 // of the last line, from 1
	bytes  int64
	long   []byte // the beginning of a line that is longer than a block
}

func newLines(r io.ReadCloser) *lines {
	return &lines{from: r, in: bufio.NewReaderSize(r, blockSize)}
}

func (l *lines) close() error { return l.from.Close() }

// next gives the next line without its end; it is valid until the next call. What is longer than maxLine is
// cut.
func (l *lines) next() (string, error) {
	b, err := l.in.ReadSlice('\n')
	l.bytes += int64(len(b))
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], b[:maxLine]...)
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = l.in.ReadSlice('\n')
			l.bytes += int64(len(b))
		}
		b = l.long
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(b) == 0) {
		return "", err
	}
	l.number++
	for len(b) > 0 && (b[len(b)-1] == '\n' || b[len(b)-1] == '\r') {
		b = b[:len(b)-1]
	}
	if len(b) > maxLine {
		b = b[:maxLine]
	}
	switch {
	case len(b) == 0:
		return "", nil
	case utf8.Valid(b):
		return unsafe.String(&b[0], len(b)), nil
	}
	return strings.ToValidUTF8(string(b), "\uFFFD"), nil
}
