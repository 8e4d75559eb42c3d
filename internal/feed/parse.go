package feed

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Why a document is no list.
var (
	ErrNotAList = errors.New("this is no list")
	ErrKind     = errors.New("no such format")
	// ErrFormat is that of what the configuration says of a format.
	ErrFormat = errors.New("the format cannot be read so")
)

const (
	defaultLine     = 16 << 10
	defaultBadShare = 0.2
	badBorne        = 10 // lines, whatever their share
	badShown        = 20
	badText         = 100
	maxID           = 200
)

// Parse reads a document as it comes and hands over its entries one by one. The error says why the document is
// none of the format, or cannot be read to its end: it wraps ErrNotAList, ErrEmpty (well-formed, and nothing in
// it), or is that of the reader. What was handed over before an error is not to be used.
func Parse(r io.Reader, f Format, l Limits, each func(Entry)) (Parsed, error) {
	if l.LineBytes == 0 {
		l.LineBytes = defaultLine
	}
	if l.BadShare == 0 {
		l.BadShare = defaultBadShare
	}
	p := &parser{limits: l, each: each, format: f, in: newReader(r)}
	if err := p.look(); err != nil {
		return p.Parsed, err
	}
	var err error
	switch f.Kind {
	case "plain":
		err = p.plain()
	case "csv":
		err = p.csv()
	case "json":
		err = p.json()
	case "drop":
		err = p.drop()
	case "stix", "taxii":
		err = p.stix()
	case "crowdsec":
		err = p.crowdsec()
	default:
		return p.Parsed, fmt.Errorf("%w: %q", ErrKind, f.Kind)
	}
	if err == nil {
		err = p.judge()
	}
	return p.Parsed, err
}

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReaderSize(r, 64<<10) }

// parser reads one document.
type parser struct {
	Parsed
	limits Limits
	each   func(Entry)
	format Format
	in     *bufio.Reader
}

// look tells what the document begins with: what is plainly no list is refused with its reason.
func (p *parser) look() error {
	head, err := p.in.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		_, _ = p.in.Discard(3)
		head = head[3:]
	}
	text := bytes.ToLower(bytes.TrimSpace(head))
	switch {
	case bytes.HasPrefix(text, []byte("<!doctype")), bytes.HasPrefix(text, []byte("<html")), bytes.HasPrefix(text, []byte("<?xml")), bytes.HasPrefix(text, []byte("<head")):
		return fmt.Errorf("%w: it is a page of the web (HTML or XML)", ErrNotAList)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")), bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return fmt.Errorf("%w: it is packed (gzip or zip)", ErrNotAList)
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")), bytes.IndexByte(head, 0) >= 0:
		return fmt.Errorf("%w: it is no text, or text in UTF-16", ErrNotAList)
	}
	return nil
}

// entry hands an entry over, if there is room for it.
func (p *parser) entry(e Entry) {
	if p.limits.Entries > 0 && p.Entries >= p.limits.Entries {
		p.Truncated = true
		return
	}
	p.Entries++
	p.each(e)
}

func (p *parser) bad(line int, text []byte, why string) {
	p.BadCount++
	if len(p.Bad) < badShown {
		p.Bad = append(p.Bad, Bad{line, string(text[:min(len(text), badText)]), why})
	}
}

// judge says whether it was a list at all.
func (p *parser) judge() error {
	good := p.Entries + p.Skipped
	switch all := good + p.BadCount; {
	case p.BadCount > badBorne && float64(p.BadCount) > p.limits.BadShare*float64(all), p.BadCount > 0 && good == 0:
		b := p.Bad[0]
		return fmt.Errorf("%w: %d of %d entries are none, the first in line %d: %q: %s", ErrNotAList, p.BadCount, all, b.Line, b.Text, b.Why)
	case p.Entries == 0 && !p.More: // there may be some on the next page
		return ErrEmpty
	}
	return nil
}

// line reads a line without its end. One that is too long is given cut, with long set, and read to its end.
func (p *parser) line() (b []byte, long bool, err error) {
	b, err = p.in.ReadSlice('\n')
	if err == nil {
		return p.cut(b[:len(b)-1])
	}
	if !errors.Is(err, bufio.ErrBufferFull) {
		if errors.Is(err, io.EOF) && len(b) > 0 {
			return p.cut(b)
		}
		return nil, false, err
	}
	b = bytes.Clone(b[:min(len(b), p.limits.LineBytes)])
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = p.in.ReadSlice('\n')
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, false, err
	}
	return b, true, nil
}

func (p *parser) cut(b []byte) ([]byte, bool, error) {
	if len(b) > p.limits.LineBytes {
		return b[:p.limits.LineBytes], true, nil
	}
	return bytes.TrimSuffix(b, []byte("\r")), false, nil
}
