package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"

	"go.etcd.io/bbolt"
)

// bucketOutbox holds what is to be sent to others. It is made with its first row, so that a file without one
// stays as earlier releases know it.
var bucketOutbox = []byte("outbox")

// OutboxRow is something that is to be sent, or was, to a destination. The store does not look into it.
type OutboxRow struct {
	Destination string // without a zero byte
	ID          uint64 // grows with time; 0 is what is remembered of the destination itself
	Value       []byte // nil: the row is removed
}

func outboxKey(destination string, id uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte(destination), 0), id)
}

// outbox writes rows.
func (w *writer) outbox(rows []OutboxRow) {
	if len(rows) == 0 || w.err != nil {
		return
	}
	if _, w.err = w.tx.CreateBucketIfNotExists(bucketOutbox); w.err != nil {
		return
	}
	for _, r := range rows {
		key := outboxKey(r.Destination, r.ID)
		if r.Value == nil {
			w.del(bucketOutbox, key)
			continue
		}
		e := newEncoder()
		e.text(string(r.Value))
		w.put(bucketOutbox, key, e)
	}
}

// CommitOutbox writes rows in a transaction of their own. When it returns nil they are on the disk.
func (d *DB) CommitOutbox(rows []OutboxRow) error { return d.Commit(Batch{Outbox: rows}) }

// Outbox gives the rows of a destination, or of all if it is empty, in the order of destination and ID, until
// each returns false. A damaged row is logged and left out.
func (d *DB) Outbox(destination string, each func(OutboxRow) bool) error {
	return d.OutboxFrom(destination, 0, each)
}

// OutboxFrom gives the rows of a destination from an ID on.
func (d *DB) OutboxFrom(destination string, from uint64, each func(OutboxRow) bool) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return d.broken
	}
	defer d.rescue(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err = d.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketOutbox)
		if b == nil {
			return nil
		}
		c := b.Cursor()
		var begin []byte
		if destination != "" {
			begin = outboxKey(destination, from)
		}
		for k, v := c.Seek(begin); k != nil; k, v = c.Next() {
			r, err := decodeOutbox(k, v)
			if err != nil {
				d.log.Error("a damaged entry of the outbox is left out", "key", fmt.Sprintf("%.200q", k), "err", err)
				continue
			}
			if destination != "" && r.Destination != destination {
				return nil
			}
			if !each(r) {
				return nil
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the outbox of %s: %w", d.path, err)
	}
	return nil
}

func decodeOutbox(key, value []byte) (r OutboxRow, err error) {
	n := len(key) - 9
	if n < 1 || key[n] != 0 {
		return r, errors.New("its key is damaged")
	}
	r.Destination, r.ID = string(key[:n]), binary.BigEndian.Uint64(key[n+1:])
	d := newDecoder(key, value)
	text := d.text()
	if err := d.end(); err != nil {
		return r, err
	}
	r.Value = []byte(text)
	return r, nil
}
