package regextest

import (
	"bufio"
	"errors"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
)

// MaxLine is how many bytes of a line are tried, as many as the daemon takes.
const MaxLine = 16 << 10

// Lines reads a log line by line, bounded, without line ends.
type Lines struct {
	in      *bufio.Reader
	decoder *encoding.Decoder // nil: UTF-8
	buf     []byte
	// Number is that of the last line, from 1; Bytes is how much has been read.
	Number int
	Bytes  int64
	// Cut counts lines that were longer than MaxLine.
	Cut int
	// Unfinished says that the last line has no end: the log's writer may not be done with it.
	Unfinished bool
}

// NewLines reads from r, in an encoding, or in UTF-8 if that is nil.
func NewLines(r io.Reader, e encoding.Encoding) *Lines {
	l := &Lines{in: bufio.NewReaderSize(r, 256<<10)}
	if e != nil {
		l.decoder = e.NewDecoder()
	}
	return l
}

// Next gives the next line; io.EOF is the end. What means nothing in the encoding becomes U+FFFD.
func (l *Lines) Next() (string, error) {
	l.buf = l.buf[:0]
	cut := false
	for {
		part, err := l.in.ReadSlice('\n')
		l.Bytes += int64(len(part))
		room := MaxLine - len(l.buf)
		if text := trimEnd(part); len(text) > room {
			l.buf, cut = append(l.buf, text[:room]...), true
		} else {
			l.buf = append(l.buf, text...)
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case errors.Is(err, io.EOF) && len(l.buf) == 0 && len(part) == 0:
			return "", io.EOF
		case err != nil && !errors.Is(err, io.EOF):
			return "", err
		}
		l.Number++
		l.Unfinished = err != nil
		if cut {
			l.Cut++
		}
		return l.decode(), nil
	}
}

func trimEnd(b []byte) []byte {
	if n := len(b); n > 0 && b[n-1] == '\n' {
		b = b[:n-1]
	}
	return b
}

func (l *Lines) decode() string {
	b := l.buf
	for len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	if l.decoder != nil {
		if s, err := l.decoder.Bytes(b); err == nil {
			b = s
		}
	}
	if utf8.Valid(b) {
		return string(b)
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// Skipped reports whether a line is none of the log: empty, or a comment as files of samples have them.
func Skipped(line string) bool { return line == "" || line[0] == '#' }
