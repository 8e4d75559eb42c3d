package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// valueVersion is the first byte of every value. A reader knows all versions up to its own.
const valueVersion = 1

// A key is the jail's name, a zero byte, a mark that tells an address from raw text, and the ID. Jails
// have no zero byte in their names: it would have ended the line of the configuration.
const (
	markAddr = 'a'
	markRaw  = 'r'
)

func itemKey(k jail.Key) []byte {
	mark := byte(markRaw)
	if k.ID.IsAddr() {
		mark = markAddr
	}
	b := make([]byte, 0, len(k.Jail)+2+len(k.ID.String()))
	b = append(b, k.Jail...)
	b = append(b, 0, mark)
	return append(b, k.ID.String()...)
}

func parseItemKey(b []byte) (jail.Key, error) {
	name, id, ok := bytes.Cut(b, []byte{0})
	if !ok || len(id) < 2 {
		return jail.Key{}, errors.New("the key has no ID")
	}
	k := jail.Key{Jail: string(name)}
	switch id[0] {
	case markAddr:
		k.ID = ident.Parse(string(id[1:]))
		if !k.ID.IsAddr() {
			return k, errors.New("the key's ID is no address")
		}
	case markRaw:
		k.ID = ident.Raw(string(id[1:]))
	default:
		return k, fmt.Errorf("the key's ID is of unknown kind %q", id[0])
	}
	return k, nil
}

func positionKey(p Position) []byte {
	return append(append([]byte(p.Jail), 0), p.Path...)
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

var errShort = errors.New("the value is cut short or damaged")

// decoder takes fields from a value. After the first that is not there, all are zero and err is set.
type decoder struct {
	b   []byte
	err error
}

func newDecoder(v []byte) *decoder {
	switch {
	case len(v) == 0:
		return &decoder{err: errShort}
	case v[0] != valueVersion:
		return &decoder{err: fmt.Errorf("unknown version %d of a value", v[0])}
	}
	return &decoder{b: v[1:]}
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	b := d.b[:n]
	d.b = d.b[n:]
	return b
}

// fail notes the damage; nothing more is read.
func (d *decoder) fail() {
	d.b = nil
	if d.err == nil {
		d.err = errShort
	}
}

func (d *decoder) text() string { return string(d.bytes(d.uint())) }

func (d *decoder) time() time.Time {
	sec, nsec := d.int(), d.uint()
	if nsec >= uint64(time.Second) {
		d.fail()
		return time.Time{}
	}
	return time.Unix(sec, int64(nsec)).UTC()
}

// count reads a number of things of which each takes at least a byte.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.fail()
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

func encodeBan(b jail.Ban) []byte {
	e := newEncoder()
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

func decodeBan(k, v []byte) (jail.Ban, error) {
	key, err := parseItemKey(k)
	d := newDecoder(v)
	b := jail.Ban{
		Key: key, Start: d.time(), Duration: time.Duration(d.int()), Extended: time.Duration(d.int()),
		Count: int(d.int()), Failures: int(d.int()), Origin: jail.Origin(d.uint()), BannedAt: d.time(),
		Lines: d.lines(), Data: d.data(),
	}
	return b, errors.Join(err, d.end())
}

func encodeHistory(h jail.History) []byte {
	e := newEncoder()
	e.int(int64(h.Count))
	e.time(h.Last)
	e.int(int64(h.Duration))
	return e
}

func decodeHistory(k, v []byte) (jail.History, error) {
	key, err := parseItemKey(k)
	d := newDecoder(v)
	h := jail.History{Key: key, Count: int(d.int()), Last: d.time(), Duration: time.Duration(d.int())}
	return h, errors.Join(err, d.end())
}

func encodeTally(t jail.Tally) []byte {
	e := newEncoder()
	e.time(t.First)
	e.time(t.Last)
	e.int(int64(t.Weighted))
	e.int(int64(t.Failures))
	e.lines(t.Lines)
	e.data(t.Data)
	return e
}

func decodeTally(k, v []byte) (jail.Tally, error) {
	key, err := parseItemKey(k)
	d := newDecoder(v)
	t := jail.Tally{
		Key: key, First: d.time(), Last: d.time(), Weighted: int(d.int()), Failures: int(d.int()),
		Lines: d.lines(), Data: d.data(),
	}
	return t, errors.Join(err, d.end())
}

func encodePosition(p Position) []byte {
	e := newEncoder()
	e.uint(p.Device)
	e.uint(p.Inode)
	e.int(p.Offset)
	e = append(e, p.First[:]...)
	e.uint(p.Other.Device)
	e.uint(p.Other.Inode)
	e.int(p.Other.Offset)
	return append(e, p.Other.First[:]...)
}

func decodePosition(k, v []byte) (Position, error) {
	name, path, ok := bytes.Cut(k, []byte{0})
	if !ok {
		return Position{}, errors.New("the key has no path")
	}
	p := Position{Jail: string(name)}
	p.Path = string(path)
	d := newDecoder(v)
	p.Device, p.Inode, p.Offset = d.uint(), d.uint(), d.int()
	copy(p.First[:], d.bytes(uint64(len(p.First))))
	p.Other.Device, p.Other.Inode, p.Other.Offset = d.uint(), d.uint(), d.int()
	copy(p.Other.First[:], d.bytes(uint64(len(p.Other.First))))
	return p, d.end()
}
