package source

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"time"
)

const (
	// probeLen is how much is read at one place of a file in search of a line with a time: some
	// lines of the longest length that is delivered.
	probeLen = 64 << 10
	// probeLines bounds the lines of one probe that are asked for their time.
	probeLines = 100
)

// search returns the start of the first line of h that is not older than since. Times must not
// decrease in the file; lines without one belong to the line before. The file is halved until one
// probe covers what is left, so it takes about log2(size/64 KiB) reads. Where no time can be told the
// search errs to the earlier side, and reads what it need not have read.
func search(h *handle, since time.Time, timeOf func([]byte) (time.Time, bool), maxLine int) (int64, error) {
	// The lines before lo are older, and lo starts a line. Those that start at or behind hi are not,
	// or nothing is known of them.
	lo, hi := int64(0), h.size()
	buf := make([]byte, 2*probeLen)
	for hi-lo > probeLen {
		mid := lo + (hi-lo)/2
		n, err := h.readAt(buf[:probeLen], mid)
		if err != nil {
			return 0, err
		}
		older, tried := false, 0
		skip := bytes.IndexByte(buf[:n], '\n') + 1
		for line := range linesOf(buf[skip:n], mid+int64(skip), maxLine) {
			if tried++; tried > probeLines || skip == 0 {
				break
			}
			if when, ok := timeOf(line.Text); ok {
				if older = when.Before(since); older {
					lo = line.End
				}
				break
			}
		}
		if !older {
			hi = mid
		}
	}
	n, err := h.readAt(buf, lo)
	if err != nil {
		return 0, err
	}
	start := lo
	for line := range linesOf(buf[:n], lo, maxLine) {
		if when, ok := timeOf(line.Text); ok {
			if !when.Before(since) {
				return start, nil
			}
			lo = line.End
		}
		start = line.End
	}
	return lo, nil
}

// readAt reads as much of b as the file has at offset.
func (h *handle) readAt(b []byte, offset int64) (int, error) {
	n, err := h.file.ReadAt(b, offset)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err
}

// linesOf cuts data, which starts a line at offset at, into its whole lines.
func linesOf(data []byte, at int64, maxLine int) iter.Seq[Line] {
	return func(yield func(Line) bool) {
		for {
			n := bytes.IndexByte(data, '\n')
			if n < 0 {
				return
			}
			at += int64(n) + 1
			if !yield(newLine(data[:n], at, maxLine)) {
				return
			}
			data = data[n+1:]
		}
	}
}
