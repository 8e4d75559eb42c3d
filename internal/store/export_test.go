package store

import (
	"io"
	"os"
)

// Verify is what Open reads a file through with.
func Verify(r io.ReaderAt, size int64) error {
	_, err := verify(r, size)
	return err
}

// Fail makes commits fail at a point as long as f gives an error: "begin" or "end" of the transaction, or
// "done", when it is on the disk already.
func (d *DB) Fail(f func(point string) error) { d.fault = f }

// Encoded gives what Commit would put, as pairs of key and value.
func Encoded(b Batch) [][2][]byte {
	var all [][2][]byte
	add := func(k []byte, v encoder) { all = append(all, [2][]byte{k, v.sum(k)}) }
	for _, x := range b.Bans {
		add(itemKey(x.Key), encodeBan(x))
	}
	for _, x := range b.Histories {
		add(itemKey(x.Key), encodeHistory(x))
	}
	for _, x := range b.Tallies {
		add(itemKey(x.Key), encodeTally(x))
	}
	for _, p := range b.Positions {
		add(positionKey(PositionKey{p.Jail, p.Path}), encodePosition(p))
	}
	return all
}

// Sum ends a value with the checksum that it should have.
func Sum(k, v []byte) []byte { return encoder(append([]byte(nil), v...)).sum(k) }

// Decoded gives all that an entry can be read as.
func Decoded(k, v []byte) (s Snapshot) {
	var names interner
	if x, err := decodeBan(&names, k, v); err == nil {
		s.Bans = append(s.Bans, x)
	}
	if x, err := decodeHistory(&names, k, v); err == nil {
		s.Histories = append(s.Histories, x)
	}
	if x, err := decodeTally(&names, k, v); err == nil {
		s.Tallies = append(s.Tallies, x)
	}
	if x, err := decodePosition(&names, k, v); err == nil {
		s.Positions = append(s.Positions, x)
	}
	return s
}

// StillThere is what is asked once the lock has been waited for.
func StillThere(file *os.File, path string) error { return stillThere(file, path) }
