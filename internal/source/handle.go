package source

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // fail2ban's database holds SHA-1 of first lines
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"
	"time"
)

const (
	// backLen is how many bytes before the next read are remembered, to see that they are still
	// there: log lines of a second differ in fewer.
	backLen = 128
	// headLen is how much of the first line is remembered for the same reason.
	headLen = 512
	// firstMax bounds the first line that Position.First is made of.
	firstMax = 1 << 20
	// seekData is lseek's SEEK_DATA: it moves to the next byte outside of a hole.
	seekData = 3
)

// errReplaced says that a file no longer holds what was read of it: it was truncated, and perhaps
// has grown past the old offset again.
var errReplaced = errors.New("file content was replaced")

// errNotRegular says that a path names a directory, a pipe or a device.
var errNotRegular = errors.New("not a regular file")

// fileID tells files apart while they exist.
type fileID struct{ dev, ino uint64 }

func idOf(info os.FileInfo) fileID {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fileID{}
	}
	return fileID{uint64(st.Dev), st.Ino} //nolint:unconvert // Dev is narrower on some architectures
}

// handle is an open file and how far it has been read. It belongs to one goroutine.
type handle struct {
	file *os.File
	id   fileID

	offset int64  // behind the last line delivered
	read   int64  // looked at up to here; beyond offset only in a hole or a line longer than the bound
	back   []byte // the bytes before read
	long   []byte // the beginning of a line longer than the bound; nil outside of one
	drop   bool   // the line that read stands in is not delivered: its beginning is unknown

	first [20]byte // see Position.First; valid if head is not empty
	head  []byte   // the beginning of the first line

	quiet time.Time // of a rotated file: when its last line was read
}

// openHandle opens path for reading from its beginning.
func openHandle(path string) (*handle, error) {
	// Opening a pipe would wait for its writer.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("open %s: %w", path, errNotRegular)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return &handle{file: file, id: idOf(info)}, nil
}

func (h *handle) close() { h.file.Close() }

// size returns the file's present size, 0 if it cannot be told.
func (h *handle) size() int64 {
	info, err := h.file.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

func (h *handle) place() Place {
	return Place{Device: h.id.dev, Inode: h.id.ino, Offset: h.offset, First: h.first}
}

// restart forgets all that was read.
func (h *handle) restart() {
	*h = handle{file: h.file, id: h.id}
}

// startAt makes reading go on at offset, which must be the start of a line.
func (h *handle) startAt(offset int64) error {
	h.offset, h.read, h.long, h.drop = offset, offset, nil, false
	if offset > 0 {
		if err := h.identify(nil); err != nil {
			return err
		}
	}
	return h.remember()
}

// standAt makes reading go on at the place p, and reports whether the file is one that p can be a
// place in, whatever its inode: it begins with the same line, is long enough, and a line starts at
// the offset. If not, h must not be read before another call or restart.
func (h *handle) standAt(p Place) bool {
	h.restart()
	if p.Offset < 0 || h.identify(nil) != nil || h.first != p.First || p.Offset > h.size() {
		return false
	}
	// If the file is being truncated at this moment, then before the last of these or not yet.
	return h.startsLine(p.Offset) && h.startAt(p.Offset) == nil && h.intact()
}

// remember reads the bytes before h.read again.
func (h *handle) remember() error {
	h.back = make([]byte, min(backLen, h.read))
	if n, err := h.file.ReadAt(h.back, h.read-int64(len(h.back))); n < len(h.back) {
		h.back = nil
		if errors.Is(err, io.EOF) {
			return errReplaced
		}
		return err
	}
	return nil
}

// startsLine reports whether a line can begin at offset.
func (h *handle) startsLine(offset int64) bool {
	if offset == 0 {
		return true
	}
	var b [1]byte
	n, _ := h.file.ReadAt(b[:], offset-1)
	return n == 1 && (b[0] == '\n' || b[0] == 0)
}

// startAtEnd makes reading go on with the line that is being written, if any.
func (h *handle) startAtEnd(maxLine int) error {
	size := h.size()
	buf := make([]byte, min(size, int64(maxLine)+1))
	n, err := h.file.ReadAt(buf, size-int64(len(buf)))
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	buf = buf[:n]
	if i := bytes.LastIndexByte(buf, '\n'); i >= 0 || int64(len(buf)) == size {
		return h.startAt(size - int64(len(buf)) + int64(i) + 1)
	}
	if err := h.startAt(size); err != nil {
		return err
	}
	h.drop = true
	return nil
}

// intact reports whether the file begins as it did.
func (h *handle) intact() bool {
	if len(h.head) == 0 {
		return true
	}
	var buf [headLen]byte
	n, _ := h.file.ReadAt(buf[:len(h.head)], 0)
	return bytes.Equal(buf[:n], h.head)
}

// identify makes sure that first is known if the file has a first line. data, if not nil, is what the
// file begins with.
func (h *handle) identify(data []byte) error {
	if len(h.head) > 0 {
		return nil
	}
	if i := bytes.IndexByte(data, '\n'); i >= 0 && i < firstMax {
		h.first = sha1.Sum(data[:i+1]) //nolint:gosec // see the import
		h.head = bytes.Clone(data[:min(i+1, headLen)])
		return nil
	}
	sum := sha1.New() //nolint:gosec // see the import
	var head []byte
	buf := make([]byte, 4<<10)
	for at := int64(0); at < firstMax; {
		n, err := h.file.ReadAt(buf, at)
		piece := buf[:n]
		i := bytes.IndexByte(piece, '\n')
		piece = piece[:i+1]
		if i < 0 {
			piece = buf[:min(int64(n), firstMax-at)]
		}
		sum.Write(piece)
		head = append(head, piece[:min(len(piece), headLen-len(head))]...)
		at += int64(len(piece))
		if i >= 0 || at == firstMax {
			sum.Sum(h.first[:0])
			h.head = head
			return nil
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n < len(buf) {
			return nil // no whole line yet
		}
	}
	return nil
}

// block is the memory that a reader reads into. It belongs to one goroutine.
type block struct {
	size  int // of one read, without what is read again
	line  int // bound of a line
	buf   []byte
	lines []Line
}

// room returns n bytes. What it returned before becomes invalid.
func (b *block) room(n int) []byte {
	if cap(b.buf) < n {
		b.buf = make([]byte, n)
	}
	return b.buf[:n]
}

// shrink gives memory back that a quiet file does not need.
func (b *block) shrink() {
	const keep = 32 << 10
	if cap(b.buf) > keep {
		b.buf = nil
	}
	if cap(b.lines) > keep/64 {
		b.lines = nil
	}
}

// piece is what one read found and where the handle stands after it.
type piece struct {
	lines        []Line
	offset, read int64
	back, long   []byte
	drop         bool
	more         bool // there was more before the limit
}

// next reads what follows, up to the offset limit. It changes nothing in h but what it knows of the
// first line; accept does. It returns errReplaced if the file is not what it was.
func (h *handle) next(b *block, limit int64) (piece, error) {
	if h.read > h.offset && h.long == nil && !h.drop {
		if err := h.checkHole(); err != nil {
			return piece{}, err
		}
	}
	k := len(h.back)
	base := h.read - int64(k)
	buf := b.room(k + int(max(0, min(limit-h.read, int64(b.size)))))
	n, err := h.file.ReadAt(buf, base)
	if err != nil && !errors.Is(err, io.EOF) {
		return piece{}, fmt.Errorf("read %s: %w", h.file.Name(), err)
	}
	if n < k || !bytes.Equal(buf[:k], h.back) {
		return piece{}, errReplaced
	}
	data := buf[k:n]
	p := piece{
		lines: b.lines[:0], offset: h.offset, read: h.read, back: buf[:k], long: h.long, drop: h.drop,
		more: n == len(buf) && base+int64(n) < limit,
	}
	if len(data) == 0 {
		return p, nil
	}

	at := h.read
	if h.long != nil || h.drop {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			p.read, p.back = at+int64(len(data)), lastBytes(buf[:n])
			return p, nil
		}
		at += int64(i) + 1
		if !h.drop {
			line := newLine(h.long, at, b.line)
			line.Truncated = true
			p.lines = append(p.lines, line)
		}
		p.long, p.drop, p.offset = nil, false, at
		data = data[i+1:]
	} else if h.read > h.offset { // in a hole
		zeros := leadingNULs(data)
		if zeros == len(data) {
			p.read, p.back = at+int64(zeros), lastBytes(buf[:n])
			return p, nil
		}
	}
	var rest int
	var open bool
	p.lines, rest, open = split(p.lines, data, at, b.line)
	b.lines = p.lines
	left := data[rest:]
	if len(p.lines) > 0 || leadingNULs(left) < len(left) {
		p.offset = at + int64(rest)
	}
	p.read = at + int64(rest)
	switch zeros := leadingNULs(left); {
	case !open:
		p.more = p.more || len(left) > 0
	case len(left) > b.line && zeros == len(left):
		p.read = at + int64(rest+len(left))
	case len(left) > b.line:
		p.long = bytes.Clone(left[:b.line])
		p.read = at + int64(rest+len(left))
	}
	p.back = lastBytes(buf[:p.read-base])
	if len(p.lines) > 0 || p.offset > 0 {
		var start []byte
		if base == 0 {
			start = buf[:n]
		}
		err = h.identify(start)
	}
	return p, err
}

// checkHole looks at a hole that has been skipped: it is left where the next data is, and read again
// where somebody has filled it.
func (h *handle) checkHole() error {
	var b [1]byte
	if n, _ := h.file.ReadAt(b[:], h.offset); n == 1 && b[0] != 0 {
		return h.startAt(h.offset)
	}
	if to, err := h.file.Seek(h.read, seekData); err == nil && to > h.read {
		h.read = to
		return h.remember()
	}
	return nil
}

func lastBytes(b []byte) []byte { return b[max(0, len(b)-backLen):] }

// accept makes p the state of h: its lines are delivered.
func (h *handle) accept(p piece) {
	h.offset, h.read, h.long, h.drop = p.offset, p.read, p.long, p.drop
	h.back = append(h.back[:0], p.back...)
}
