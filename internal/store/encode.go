package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// valueVersion is the first byte of every value. A reader knows all versions up to its own.
const valueVersion = 1

// A key is the jail's name, a zero byte, a mark that tells an address from raw text, and the ID. Jails
// have no zero byte in their names: it would have ended the line of the configuration. bbolt takes no key
// above 32 KiB, and what a filter takes from a line for an ID may be as long as the line; so of a long
// one the key has the hash, and the value begins with the ID.
const (
	markAddr = 'a'
	markRaw  = 'r'
	markHash = 'h'

	longestPlainID = 256
)

func itemKey(k jail.Key) []byte {
	id := k.ID.String()
	b := make([]byte, 0, len(k.Jail)+2+min(len(id), longestPlainID))
	b = append(b, k.Jail...)
	switch {
	case k.ID.IsAddr():
		b = append(b, 0, markAddr)
	case len(id) <= longestPlainID:
		b = append(b, 0, markRaw)
	default:
		sum := sha256.Sum256([]byte(id))
		return append(append(b, 0, markHash), sum[:]...)
	}
	return append(b, id...)
}

// newItem begins the value of an entry that itemKey names.
func newItem(id ident.ID) encoder {
	e := newEncoder()
	if text := id.String(); !id.IsAddr() && len(text) > longestPlainID {
		e.text(text)
	}
	return e
}

// item reads what itemKey and newItem have written.
func (d *decoder) item(names *interner, b []byte) jail.Key {
	name, id, ok := bytes.Cut(b, []byte{0})
	if !ok || len(id) < 2 {
		d.fail(errors.New("the key has no ID"))
		return jail.Key{}
	}
	k := jail.Key{Jail: names.intern(name)}
	switch mark := id[0]; mark {
	case markAddr:
		k.ID = ident.Parse(string(id[1:]))
		if !k.ID.IsAddr() {
			d.fail(errors.New("the key's ID is no address"))
		}
	case markRaw:
		k.ID = ident.Raw(string(id[1:]))
	case markHash:
		k.ID = ident.Raw(d.text())
		if sum := sha256.Sum256([]byte(k.ID.String())); !bytes.Equal(sum[:], id[1:]) {
			d.fail(errors.New("the key is not of the ID in the value"))
		}
	default:
		d.fail(fmt.Errorf("the key's ID is of unknown kind %q", mark))
	}
	return k
}

func positionKey(k PositionKey) []byte {
	return append(append([]byte(k.Jail), 0), k.Path...)
}

// interner keeps one copy of a jail's name for all entries of the jail, which lie together.
type interner struct{ last string }

func (n *interner) intern(name []byte) string {
	if n.last != string(name) {
		n.last = string(name)
	}
	return n.last
}

// encoder appends fields to a value.
type encoder []byte

func newEncoder() encoder { return append(make(encoder, 0, 128), valueVersion) }

func (e *encoder) uint(v uint64) { *e = binary.AppendUvarint(*e, v) }
func (e *encoder) int(v int64)   { *e = binary.AppendVarint(*e, v) }
func (e *encoder) text(s string) { e.uint(uint64(len(s))); *e = append(*e, s...) }
func (e *encoder) time(t time.Time) {
	e.int(t.Unix())
	e.uint(uint64(t.Nanosecond()))
}

func (e *encoder) lines(list []string) {
	e.uint(uint64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

func (e *encoder) data(m map[string]string) {
	e.uint(uint64(len(m)))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		e.text(k)
		e.text(m[k])
	}
}

// checksum is what every value ends with: of its key and of what is before it. bbolt has none, and a
// flipped bit in a time would be a ban for ever.
func checksum(key, value []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(key, table), table, value)
}

const checksumSize = 4

// sum ends a value.
func (e encoder) sum(key []byte) []byte {
	return binary.LittleEndian.AppendUint32(e, checksum(key, e))
}

var (
	errShort    = errors.New("the value is cut short")
	errChecksum = errors.New("the value's checksum is wrong")
)

// decoder takes fields from a value. After the first that is not there, all are zero and err is set.
type decoder struct {
	b   []byte
	err error
}

func newDecoder(key, v []byte) *decoder {
	n := len(v) - checksumSize
	switch {
	case n < 1:
		return &decoder{err: errShort}
	case v[0] != valueVersion:
		return &decoder{err: fmt.Errorf("unknown version %d of a value", v[0])}
	case binary.LittleEndian.Uint32(v[n:]) != checksum(key, v[:n]):
		return &decoder{err: errChecksum}
	}
	return &decoder{b: v[1:n]}
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail(errShort)
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// fail notes the damage; nothing more is read.
func (d *decoder) fail(err error) {
	d.b = nil
	if d.err == nil {
		d.err = err
	}
}

func (d *decoder) text() string { return string(d.bytes(d.uint())) }

func (d *decoder) time() time.Time {
	sec, nsec := d.int(), d.uint()
	if nsec >= uint64(time.Second) {
		d.fail(errShort)
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

// count reads a number of things of which each takes at least a byte.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail(errShort)
		return 0
	}
	return int(n)
}

func (d *decoder) lines() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	list := make([]string, 0, n)
	for range n {
		list = append(list, d.text())
	}
	return list
}

func (d *decoder) data() map[string]string {
	n := d.count()
	if n == 0 {
		return nil
	}
	m := make(map[string]string, n)
	for range n {
		k := d.text()
		m[k] = d.text()
	}
	return m
}

// end reports the first damage; bytes that are left over are one too.
func (d *decoder) end() error {
	if d.err == nil && len(d.b) > 0 {
		return errShort
	}
	return d.err
}

func encodeBan(b jail.Ban) encoder {
	e := newItem(b.ID)
	e.time(b.Start)
	e.int(int64(b.Duration))
	e.int(int64(b.Extended))
	e.int(int64(b.Count))
	e.int(int64(b.Failures))
	e.uint(uint64(b.Origin))
	e.time(b.BannedAt)
	e.lines(b.Lines)
	e.data(b.Data)
	return e
}

func decodeBan(names *interner, k, v []byte) (jail.Ban, error) {
	d := newDecoder(k, v)
	b := jail.Ban{
		Key: d.item(names, k), Start: d.time(), Duration: time.Duration(d.int()), Extended: time.Duration(d.int()),
		Count: int(d.int()), Failures: int(d.int()), Origin: jail.Origin(d.uint()), BannedAt: d.time(),
		Lines: d.lines(), Data: d.data(),
	}
	return b, d.end()
}

func encodeHistory(h jail.History) encoder {
	e := newItem(h.ID)
	e.int(int64(h.Count))
	e.time(h.Last)
	e.int(int64(h.Duration))
	return e
}

func decodeHistory(names *interner, k, v []byte) (jail.History, error) {
	d := newDecoder(k, v)
	h := jail.History{Key: d.item(names, k), Count: int(d.int()), Last: d.time(), Duration: time.Duration(d.int())}
	return h, d.end()
}

func encodeTally(t jail.Tally) encoder {
	e := newItem(t.ID)
	e.time(t.First)
	e.time(t.Last)
	e.int(int64(t.Weighted))
	e.int(int64(t.Failures))
	e.lines(t.Lines)
	e.data(t.Data)
	return e
}

func decodeTally(names *interner, k, v []byte) (jail.Tally, error) {
	d := newDecoder(k, v)
	t := jail.Tally{
		Key: d.item(names, k), First: d.time(), Last: d.time(), Weighted: int(d.int()), Failures: int(d.int()),
		Lines: d.lines(), Data: d.data(),
	}
	return t, d.end()
}

func encodePosition(p Position) encoder {
	e := newEncoder()
	e.uint(p.Device)
	e.uint(p.Inode)
	e.int(p.Offset)
	e = append(e, p.First[:]...)
	e.uint(p.Other.Device)
	e.uint(p.Other.Inode)
	e.int(p.Other.Offset)
	e = append(e, p.Other.First[:]...)
	if p.Cursor != "" { // of the journal; for files nothing follows
		e.text(p.Cursor)
	}
	return e
}

func decodePosition(names *interner, k, v []byte) (Position, error) {
	d := newDecoder(k, v)
	name, path, ok := bytes.Cut(k, []byte{0})
	if !ok {
		d.fail(errors.New("the key has no path"))
	}
	p := Position{Jail: names.intern(name)}
	p.Path = string(path)
	p.Device, p.Inode, p.Offset = d.uint(), d.uint(), d.int()
	copy(p.First[:], d.bytes(uint64(len(p.First))))
	p.Other.Device, p.Other.Inode, p.Other.Offset = d.uint(), d.uint(), d.int()
	copy(p.Other.First[:], d.bytes(uint64(len(p.Other.First))))
	if len(d.b) > 0 {
		p.Cursor = d.text()
	}
	return p, d.end()
}
