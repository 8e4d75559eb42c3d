package replay

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

const (
	// maxLine is how many bytes of a line are tried, as many as the daemon takes.
	maxLine = 16 << 10
	// blockSize is what is read at once; it holds a line of the longest kind many times.
	blockSize = 1 << 20
)

// lines reads a log line by line, without copying and without line ends, cut as the daemon cuts them.
type lines struct {
	in     *bufio.Reader
	number int64  // of the last line, from 1
	bytes  int64  // read so far
	long   []byte // the beginning of a line that is longer than a block
}

func newLines(r io.Reader) *lines { return &lines{in: bufio.NewReaderSize(r, blockSize)} }

// next gives the next line; it is valid until the next call. The end is io.EOF.
func (l *lines) next() ([]byte, error) {
	b, err := l.in.ReadSlice('\n')
	l.bytes += int64(len(b))
	for errors.Is(err, bufio.ErrBufferFull) && len(withoutHole(b)) == 0 {
		b, err = l.in.ReadSlice('\n')
		l.bytes += int64(len(b))
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		l.long = append(l.long[:0], b...)
		for errors.Is(err, bufio.ErrBufferFull) {
			b, err = l.in.ReadSlice('\n')
			l.bytes += int64(len(b))
		}
		b = l.long
	}
	if err != nil && (!errors.Is(err, io.EOF) || len(b) == 0) {
		return nil, err
	}
	l.number++
	b = withoutHole(bytes.TrimSuffix(b, []byte{'\n'}))
	b = b[:min(len(b), maxLine)]
	for len(b) > 0 && b[len(b)-1] == '\r' {
		b = b[:len(b)-1]
	}
	return b, nil
}

// withoutHole passes over NULs at the start, where a log was truncated under its writer.
func withoutHole(b []byte) []byte { return bytes.TrimLeft(b, "\x00") }
