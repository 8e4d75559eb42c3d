package source

import "bytes"

// maxBatch bounds the lines of one batch, so that a block of empty lines costs no more memory than
// a block of long ones. 4,096 lines of 64 bytes fill a block.
const maxBatch = 4096

// split cuts data into lines and appends them to lines until maxBatch are there. at is the offset of
// data in its file, and data begins at the start of a line. NULs at the start of a line are skipped:
// truncating the file of a writer that does not append leaves a hole of them.
//
// rest is the index of the first byte that belongs to no line yet; NULs at it are passed over when
// something else follows them. open says that what remains has no newline.
func split(lines []Line, data []byte, at int64, maxLine int) (_ []Line, rest int, open bool) {
	for len(lines) < maxBatch {
		start := rest + leadingNULs(data[rest:])
		n := bytes.IndexByte(data[start:], '\n')
		if n < 0 {
			if start < len(data) {
				rest = start
			}
			return lines, rest, true
		}
		rest = start + n + 1
		lines = append(lines, newLine(data[start:start+n], at+int64(rest), maxLine))
	}
	return lines, rest, false
}

// newLine makes a line of its bytes before the newline.
func newLine(raw []byte, end int64, maxLine int) Line {
	cut := len(raw) > maxLine
	if cut {
		raw = raw[:maxLine]
	}
	for len(raw) > 0 && raw[len(raw)-1] == '\r' {
		raw = raw[:len(raw)-1]
	}
	return Line{Text: raw, End: end, Truncated: cut}
}

func leadingNULs(data []byte) int {
	for i, b := range data {
		if b != 0 {
			return i
		}
	}
	return len(data)
}
