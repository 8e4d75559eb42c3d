package store

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
)

// Position is how far a jail has read a file.
type Position struct {
	Jail string
	source.Position
}

// PositionKey names a Position.
type PositionKey struct {
	Jail, Path string
}

// Snapshot is all that the file holds, each list in the order of jail and ID, or path.
type Snapshot struct {
	jail.Snapshot
	Positions []Position
}

// Batch is what one Commit writes. Where a key is both written and removed, it is removed.
type Batch struct {
	jail.Changes
	Positions []Position
	Dropped   []PositionKey // positions that nobody needs any more
	Outbox    []OutboxRow   // of one key, the last counts
}

// DB is an open database. Its methods are safe for concurrent use; commits go one after the other.
type DB struct {
	path string
	log  *slog.Logger
	file *os.File // bbolt's own

	mu     sync.Mutex // held by Commit and Close; guards the fields below
	db     *bbolt.DB
	broken error // bbolt has met damage and is in no state to go on

	fault func(point string) error // tests make commits fail with it
}

// Path is where the file is.
func (d *DB) Path() string { return d.path }

// Size is the size of the file in bytes. It does not shrink: room that is free again is used again.
func (d *DB) Size() (int64, error) {
	st, err := os.Stat(d.path)
	if err != nil {
		return 0, fmt.Errorf("look at the database: %w", err)
	}
	return st.Size(), nil
}

// Close closes the file. What was committed is durable already.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	closeFile := d.db.Close
	if d.broken != nil { // bbolt may still hold its locks, and would wait for them
		closeFile = func() error { return abandon(d.file) }
	}
	if err := closeFile(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// rescue turns a panic out of bbolt into an error, for this call and all that come: that is how bbolt
// meets a page that was damaged since Open, or is not there any more. mu is held.
func (d *DB) rescue(err *error) {
	if p := recover(); p != nil {
		d.broken = fmt.Errorf("%w: %s: %v", ErrCorrupt, d.path, p)
		*err = d.broken
	}
}

// shownDamage is how many damaged entries of a bucket are logged one by one.
const shownDamage = 20

// Load reads everything. A damaged value is logged with its key and left out. An error wraps
// ErrCorrupt where the file itself is damaged.
func (d *DB) Load() (s Snapshot, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return s, d.broken
	}
	defer d.rescue(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	err = d.db.View(func(tx *bbolt.Tx) error {
		var names interner
		s.Bans = load(d, tx, bucketBans, &names, decodeBan)
		s.Histories = load(d, tx, bucketHistory, &names, decodeHistory)
		s.Tallies = load(d, tx, bucketTallies, &names, decodeTally)
		s.Positions = load(d, tx, bucketPositions, &names, decodePosition)
		return nil
	})
	if err != nil {
		return s, fmt.Errorf("load %s: %w", d.path, err)
	}
	return s, nil
}

func load[T any](d *DB, tx *bbolt.Tx, bucket []byte, names *interner, decode func(*interner, []byte, []byte) (T, error)) []T {
	b := tx.Bucket(bucket)
	n := b.Stats().KeyN
	if n == 0 {
		return nil
	}
	all, damaged := make([]T, 0, n), 0
	c := b.Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		x, err := decode(names, k, v)
		if err == nil {
			all = append(all, x)
			continue
		}
		if damaged++; damaged <= shownDamage {
			d.log.Error("a damaged entry of the database is left out", "bucket", string(bucket), "key", fmt.Sprintf("%.200q", k), "err", err)
		}
	}
	if damaged > shownDamage {
		d.log.Error("damaged entries of the database are left out", "bucket", string(bucket), "entries", damaged, "of", n)
	}
	return all
}

// Commit writes a batch in one transaction. When it returns nil, all of it is on the disk. After an
// error the file holds all of it or (nearly always) none, and the same batch may be committed again,
// with what has changed since.
func (d *DB) Commit(b Batch) (err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.broken != nil {
		return d.broken
	}
	defer d.rescue(&err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	if err := d.commit(b); err != nil {
		return fmt.Errorf("commit to %s: %w", d.path, err)
	}
	return nil
}

// commit does without bbolt's Update, which rolls back after a panic: that reads the damaged file again,
// in a goroutine where nobody can catch the next one.
func (d *DB) commit(b Batch) error {
	tx, err := d.db.Begin(true)
	if err != nil {
		return err
	}
	w := writer{tx: tx, err: d.at("begin")}
	w.all(b)
	if w.err == nil {
		w.err = d.at("end")
	}
	if w.err != nil {
		return errors.Join(w.err, tx.Rollback())
	}
	if err := tx.Commit(); err != nil {
		return err // and rolled back
	}
	return d.at("done")
}

func (d *DB) at(point string) error {
	if d.fault == nil {
		return nil
	}
	return d.fault(point)
}

// writer puts into a transaction until something fails.
type writer struct {
	tx  *bbolt.Tx
	err error
}

func (w *writer) all(b Batch) {
	for _, x := range b.Bans {
		w.put(bucketBans, itemKey(x.Key), encodeBan(x))
	}
	w.delAll(bucketBans, b.Unbanned)
	for _, x := range b.Histories {
		w.put(bucketHistory, itemKey(x.Key), encodeHistory(x))
	}
	w.delAll(bucketHistory, b.Forgotten)
	for _, x := range b.Tallies {
		w.put(bucketTallies, itemKey(x.Key), encodeTally(x))
	}
	w.delAll(bucketTallies, b.Cleared)
	for _, p := range b.Positions {
		w.put(bucketPositions, positionKey(PositionKey{p.Jail, p.Path}), encodePosition(p))
	}
	for _, k := range b.Dropped {
		w.del(bucketPositions, positionKey(k))
	}
	w.outbox(b.Outbox)
}

// put writes a value with its checksum.
func (w *writer) put(bucket, key []byte, value encoder) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Put(key, value.sum(key))
	}
}

func (w *writer) del(bucket, key []byte) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Delete(key)
	}
}

func (w *writer) delAll(bucket []byte, keys []jail.Key) {
	for _, k := range keys {
		w.del(bucket, itemKey(k))
	}
}
