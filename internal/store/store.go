package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
)

var (
	// ErrLocked says that another process has the file open, most likely a running daemon.
	ErrLocked = errors.New("the database is in use")
	// ErrCorrupt says that the file is damaged, or is no database of ours.
	ErrCorrupt = errors.New("the database is damaged")
	// ErrNewer says that a newer release has written the file in a form that this one does not know.
	ErrNewer = errors.New("the database was written by a newer release")
)

// schema is the form of the file as a whole: its buckets and keys.
const schema = 1

// lockWait is how long Open waits for another process to let go, as in a restart.
const lockWait = 2 * time.Second

// The buckets.
var (
	bucketMeta      = []byte("meta")
	bucketBans      = []byte("bans")
	bucketHistory   = []byte("history")
	bucketTallies   = []byte("tallies")
	bucketPositions = []byte("positions")

	keySchema = []byte("schema")
)

// Options say how the file is opened. The zero Options are good.
type Options struct {
	// MoveCorrupt moves a damaged file aside, to PATH.corrupt-TIME, and begins a new one.
	MoveCorrupt bool
	// Now names the time in that name; nil is the clock's.
	Now func() time.Time
	// Log gets what could not be read; nil discards it.
	Log *slog.Logger
}

// Position is how far a jail has read a file.
type Position struct {
	Jail string
	source.Position
}

// Snapshot is all that the file holds.
type Snapshot struct {
	jail.Snapshot
	Positions []Position
}

// Batch is what one Commit writes.
type Batch struct {
	jail.Changes
	Positions []Position
}

// DB is an open database. Its methods are safe for concurrent use; commits go one after the other.
type DB struct {
	path string
	db   *bbolt.DB
	log  *slog.Logger

	fault func(point string) error // tests make commits fail with it
}

// Open opens the file at path, making it and its folder where there is none, readable by its owner
// alone. The errors that a caller may want to tell apart wrap ErrLocked, ErrCorrupt and ErrNewer.
func Open(path string, o Options) (*DB, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the database's folder: %w", err)
	}
	d, err := open(path, o)
	if !errors.Is(err, ErrCorrupt) || !o.MoveCorrupt {
		return d, err
	}
	aside := path + ".corrupt-" + o.Now().UTC().Format("20060102T150405Z")
	if err := os.Rename(path, aside); err != nil {
		return nil, fmt.Errorf("move the damaged database aside: %w", err)
	}
	o.Log.Warn("moved a damaged database aside", "file", aside, "err", err)
	return open(path, o)
}

func open(path string, o Options) (d *DB, err error) {
	defer rescue(&err)
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait,
		// The free list is made anew at the start instead of being written with every commit.
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
	})
	if err != nil {
		return nil, openError(path, err)
	}
	d = &DB{path: path, db: db, log: o.Log}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketMeta, bucketBans, bucketHistory, bucketTallies, bucketPositions} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		meta := tx.Bucket(bucketMeta)
		v := meta.Get(keySchema)
		switch {
		case v == nil:
			return meta.Put(keySchema, binary.BigEndian.AppendUint32(nil, schema))
		case len(v) != 4:
			return fmt.Errorf("%w: the schema number has %d bytes", ErrCorrupt, len(v))
		case binary.BigEndian.Uint32(v) > schema:
			return fmt.Errorf("%w (schema %d, known up to %d): upgrade, or move %s away to begin anew", ErrNewer, binary.BigEndian.Uint32(v), schema, path)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open %s: %w", path, err), db.Close())
	}
	return d, nil
}

// openError says in our words why bbolt did not open the file.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		by := "another process"
		if pid := lockHolder(path); pid != "" {
			by = "process " + pid
		}
		return fmt.Errorf("%w by %s: %s (is agentd running already?)", ErrLocked, by, path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum),
		errors.Is(err, bolterrors.ErrVersionMismatch), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to open the database: %w (run as root, or use --db)", err)
	}
	// bbolt reports a file too short for its pages without a sentinel.
	if st, statErr := os.Stat(path); statErr == nil && st.Mode().IsRegular() && st.Size() > 0 && !isSyscall(err) {
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

func isSyscall(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// lockHolder finds who has the file locked, in the kernel's list of locks; empty if that is not to be had.
func lockHolder(path string) string {
	st, err := os.Stat(path)
	if err != nil {
		return ""
	}
	sys, ok := st.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	locks, err := os.ReadFile("/proc/locks")
	if err != nil {
		return ""
	}
	inode := fmt.Sprintf(":%d", sys.Ino)
	for line := range strings.Lines(string(locks)) {
		// 1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF
		f := strings.Fields(line)
		if len(f) >= 6 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) {
			return f[4]
		}
	}
	return ""
}

// rescue turns a panic out of bbolt, which is how it meets a damaged page, into an error.
func rescue(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("%w: %v", ErrCorrupt, p)
	}
}

// Path is where the file is.
func (d *DB) Path() string { return d.path }

// Size is the size of the file in bytes.
func (d *DB) Size() (int64, error) {
	st, err := os.Stat(d.path)
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// Close closes the file. What was committed is durable already.
func (d *DB) Close() error {
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("close the database: %w", err)
	}
	return nil
}

// Load reads everything. A damaged value is logged with its key and left out. An error wraps
// ErrCorrupt where the file itself is damaged.
func (d *DB) Load() (s Snapshot, err error) {
	defer rescue(&err)
	err = d.db.View(func(tx *bbolt.Tx) error {
		s.Bans = read(d, tx, bucketBans, decodeBan)
		s.Histories = read(d, tx, bucketHistory, decodeHistory)
		s.Tallies = read(d, tx, bucketTallies, decodeTally)
		s.Positions = read(d, tx, bucketPositions, decodePosition)
		return nil
	})
	return s, err
}

func read[T any](d *DB, tx *bbolt.Tx, bucket []byte, decode func(k, v []byte) (T, error)) []T {
	var all []T
	c := tx.Bucket(bucket).Cursor()
	for k, v := c.First(); k != nil; k, v = c.Next() {
		x, err := decode(k, v)
		if err != nil {
			d.log.Error("a damaged entry of the database is left out", "bucket", string(bucket), "key", fmt.Sprintf("%q", k), "err", err)
			continue
		}
		all = append(all, x)
	}
	return all
}

// Commit writes a batch in one transaction. When it returns nil, all of it is on the disk; after an
// error, none of it is, and the same batch may be committed again.
func (d *DB) Commit(b Batch) (err error) {
	defer rescue(&err)
	err = d.db.Update(func(tx *bbolt.Tx) error {
		if err := d.at("begin"); err != nil {
			return err
		}
		w := writer{tx: tx}
		for _, x := range b.Bans {
			w.put(bucketBans, itemKey(x.Key), encodeBan(x))
		}
		for _, k := range b.Unbanned {
			w.del(bucketBans, itemKey(k))
		}
		for _, x := range b.Histories {
			w.put(bucketHistory, itemKey(x.Key), encodeHistory(x))
		}
		for _, k := range b.Forgotten {
			w.del(bucketHistory, itemKey(k))
		}
		for _, x := range b.Tallies {
			w.put(bucketTallies, itemKey(x.Key), encodeTally(x))
		}
		for _, k := range b.Cleared {
			w.del(bucketTallies, itemKey(k))
		}
		for _, p := range b.Positions {
			w.put(bucketPositions, positionKey(p), encodePosition(p))
		}
		if w.err != nil {
			return w.err
		}
		return d.at("end")
	})
	if err != nil {
		return fmt.Errorf("commit to %s: %w", d.path, err)
	}
	return nil
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

func (w *writer) put(bucket, key, value []byte) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Put(key, value)
	}
}

func (w *writer) del(bucket, key []byte) {
	if w.err == nil {
		w.err = w.tx.Bucket(bucket).Delete(key)
	}
}
