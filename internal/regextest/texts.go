package regextest

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
)

// spool holds on disk what texts cannot keep in memory: a log may be larger than that. Its file has no name
// and is made when it is first needed. The first error stays.
type spool struct {
	file *os.File
	size int64
	err  error
}

// write appends a block and says where it is.
func (s *spool) write(b []byte) (at int64) {
	at = s.size
	if s.err != nil {
		return at
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "agentctl-regex-")
		if err == nil {
			s.file, err = f, os.Remove(f.Name())
		}
		if err != nil {
			s.err = err
			return at
		}
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	s.err = err
	return at
}

func (s *spool) close() error {
	if s.file == nil {
		return nil
	}
	return s.file.Close()
}

// textsInMemory is how many bytes of a list stay in memory; there may be a hundred lists, one for each regex.
const textsInMemory = 256 << 10

// texts is a list of any length.
type texts struct {
	spool  *spool
	blocks []block
	mem    []string // what came last
	bytes  int      // of mem
}

type block struct{ at, size int64 }

func (t *texts) add(s string) {
	t.mem = append(t.mem, s)
	if t.bytes += len(s); t.bytes > textsInMemory {
		t.flush(len(t.mem)/2 + 1)
	}
}

// flush moves the first n texts in memory to the disk.
func (t *texts) flush(n int) {
	var b []byte
	for _, s := range t.mem[:n] {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
		t.bytes -= len(s)
	}
	t.blocks = append(t.blocks, block{t.spool.write(b), int64(len(b))})
	t.mem = slices.Clone(t.mem[n:])
}

// remove takes a text out, the first such that is still in memory.
func (t *texts) remove(s string) {
	if i := slices.Index(t.mem, s); i >= 0 {
		t.mem = slices.Delete(t.mem, i, i+1)
		t.bytes -= len(s)
	}
}

// each goes through the list.
func (t *texts) each(f func(string) error) error {
	if t.spool.err != nil {
		return fmt.Errorf("keep lines on disk: %w", t.spool.err)
	}
	for _, b := range t.blocks {
		in := bufio.NewReader(io.NewSectionReader(t.spool.file, b.at, b.size))
		for {
			n, err := binary.ReadUvarint(in)
			if errors.Is(err, io.EOF) {
				break
			}
			text := make([]byte, n)
			if err == nil {
				_, err = io.ReadFull(in, text)
			}
			if err != nil {
				return fmt.Errorf("read lines kept on disk: %w", err)
			}
			if err := f(string(text)); err != nil {
				return err
			}
		}
	}
	for _, s := range t.mem {
		if err := f(s); err != nil {
			return err
		}
	}
	return nil
}
