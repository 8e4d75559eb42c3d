package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	// ErrLocked says that another process has the file open, most likely a running daemon. The text names it
	// where the kernel tells.
	ErrLocked = errors.New("the database is in use")
	// ErrCorrupt says that the file is damaged.
	ErrCorrupt = errors.New("the database is damaged")
	// ErrNewer says that a newer release has written the file in a form that this one does not know.
	ErrNewer = errors.New("the database was written by a newer release")
	// ErrForeign says that the file is something else, as a log or another program's database. It is never
	// written to and never moved.
	ErrForeign = errors.New("not a database of agentd")
)

// schema is the form of the file as a whole: its buckets and keys.
const schema = 1

// lockWait is how long Open waits for another process to let go, as in a restart; lockEvery is how often
// it looks.
const (
	lockWait  = 2 * time.Second
	lockEvery = 20 * time.Millisecond
)

// A file of sparseSize, of which less than one sparsePart-th is in use, is written anew by Open. A wave of
// attackers makes it grow, and bbolt gives nothing back.
const (
	sparseSize = 16 << 20
	sparsePart = 4
)

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

// Open opens the file at path, making it and its folder where there is none, readable by its owner
// alone. It reads the whole file once, so that damage is found here and not later. The errors that a
// caller may want to tell apart wrap ErrLocked, ErrCorrupt, ErrNewer and ErrForeign.
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
	fresh, sparse, err := examine(path, o)
	if err != nil {
		return nil, err
	}
	if sparse {
		if err := compact(path); err != nil { // as where the disk is full: it goes on as it is
			o.Log.Warn("the database keeps its size", "err", err)
		}
	}
	d, err := open(path, o)
	if errors.Is(err, ErrCorrupt) && o.MoveCorrupt {
		if err = moveAside(path, o, err); err != nil {
			return nil, err
		}
		fresh = true
		d, err = open(path, o)
	}
	if err != nil {
		return nil, err
	}
	if fresh {
		if err := syncFolder(path); err != nil {
			return nil, errors.Join(err, d.Close())
		}
	}
	return d, nil
}

// examine looks through the file before bbolt does, under its lock, and moves it aside if it is damaged
// and that is wished. fresh tells that there is no file now, or an empty one; sparse, that most of it is
// free room.
func examine(path string, o Options) (fresh, sparse bool, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, false, nil
	case err != nil:
		return false, false, openError(path, err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return false, false, openError(path, err)
	}
	if !st.Mode().IsRegular() {
		return false, false, fmt.Errorf("%w: %s is no regular file", ErrForeign, path)
	}
	if err := lock(f, path); err != nil {
		return false, false, err
	}
	if err := stillThere(f, path); err != nil {
		return false, false, err
	}
	if st, err = f.Stat(); err != nil {
		return false, false, openError(path, err)
	}
	if st.Size() == 0 {
		return true, false, nil
	}
	if what := foreign(f); what != "" {
		return false, false, fmt.Errorf("%w: %s is %s (name another path with --db)", ErrForeign, path, what)
	}
	used, damage := verify(f, st.Size())
	switch {
	case damage == nil:
		return false, st.Size() >= sparseSize && used < st.Size()/sparsePart, nil
	case !o.MoveCorrupt:
		return false, false, fmt.Errorf("%w: %s: %w", ErrCorrupt, path, damage)
	}
	return true, false, moveAside(path, o, damage)
}

func moveAside(path string, o Options, damage error) error {
	aside := freeName(path + ".corrupt-" + o.Now().UTC().Format("20060102T150405Z"))
	if err := os.Rename(path, aside); err != nil {
		return fmt.Errorf("move the damaged database aside: %w", err)
	}
	o.Log.Warn("moved a damaged database aside", "file", aside, "err", damage)
	return nil
}

// freeName is the name, or with a number after it if it is taken.
func freeName(name string) string {
	free := name
	for n := 2; ; n++ {
		if _, err := os.Lstat(free); err != nil {
			return free
		}
		free = fmt.Sprintf("%s.%d", name, n)
	}
}

// lock takes the file's lock, which ends with f.
func lock(f *os.File, path string) error {
	for wait := lockWait; ; wait -= lockEvery {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, syscall.EINTR):
			continue
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", path, err)
		case wait <= 0:
			return lockedError(path)
		}
		<-time.After(lockEvery)
	}
}

// open opens a file that is sound or not there.
func open(path string, o Options) (*DB, error) {
	db, file, err := openBolt(path)
	if err != nil {
		return nil, err
	}
	if err := prepare(db, path); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &DB{path: path, db: db, file: file, log: o.Log}, nil
}

// openBolt lets bbolt open and lock the file.
func openBolt(path string) (db *bbolt.DB, file *os.File, err error) {
	defer func() {
		if p := recover(); p != nil { // bbolt has left the file open, and so locked
			db, err = nil, errors.Join(fmt.Errorf("%w: %s: %v", ErrCorrupt, path, p), abandon(file))
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{
		Timeout: lockWait,
		// The free list is made anew at the start instead of being written with every commit.
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			var err error
			file, err = os.OpenFile(name, flag, mode)
			return file, err
		},
	})
	if err != nil {
		return nil, nil, openError(path, err)
	}
	if err := stillThere(file, path); err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return db, file, nil
}

// stillThere looks whether the path still names the file that has been locked: another daemon may have
// put another into its place meanwhile.
func stillThere(file *os.File, path string) error {
	opened, err := file.Stat()
	if err != nil {
		return openError(path, err)
	}
	if now, err := os.Stat(path); err != nil || !os.SameFile(opened, now) {
		return fmt.Errorf("%w: %s is being replaced (is agentd starting twice?)", ErrLocked, path)
	}
	return nil
}

// abandon closes bbolt's file behind its back. bbolt's map of the file stays, and keeps the lock alive, so
// that has to go by itself.
func abandon(file *os.File) error {
	if file == nil {
		return nil
	}
	return errors.Join(syscall.Flock(int(file.Fd()), syscall.LOCK_UN), file.Close())
}

// prepare makes the buckets of a new file and looks whether those of an old one are ours, and all there.
func prepare(db *bbolt.DB, path string) error {
	err := db.Update(func(tx *bbolt.Tx) error {
		if k, _ := tx.Cursor().First(); k == nil {
			return create(tx)
		}
		meta := tx.Bucket(bucketMeta)
		if meta == nil || meta.Get(keySchema) == nil {
			return fmt.Errorf("%w: another program's (name another path with --db)", ErrForeign)
		}
		known := meta.Get(keySchema)
		switch {
		case len(known) != 4:
			return fmt.Errorf("%w: the schema number has %d bytes", ErrCorrupt, len(known))
		case binary.BigEndian.Uint32(known) > schema:
			return fmt.Errorf("%w (schema %d, known up to %d): upgrade, or move the file away to begin anew",
				ErrNewer, binary.BigEndian.Uint32(known), schema)
		}
		for _, name := range [][]byte{bucketBans, bucketHistory, bucketTallies, bucketPositions} {
			if tx.Bucket(name) == nil {
				return fmt.Errorf("%w: the bucket %s is missing", ErrCorrupt, name)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	return nil
}

func create(tx *bbolt.Tx) error {
	for _, name := range [][]byte{bucketMeta, bucketBans, bucketHistory, bucketTallies, bucketPositions} {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	return tx.Bucket(bucketMeta).Put(keySchema, binary.BigEndian.AppendUint32(nil, schema))
}

// openError says in our words why the file did not open.
func openError(path string, err error) error {
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return lockedError(path)
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return fmt.Errorf("%w: %s: %w", ErrCorrupt, path, err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("no permission to open the database: %w (run as root, or name another path with --db)", err)
	case errors.Is(err, syscall.EROFS):
		return fmt.Errorf("open the database: %w (name a path with --db that can be written)", err)
	}
	return fmt.Errorf("open the database: %w", err)
}

func lockedError(path string) error {
	by := "another process"
	if pid := lockHolder(path); pid != "" {
		by = "process " + pid
	}
	return fmt.Errorf("%w by %s: %s (is agentd running already?)", ErrLocked, by, path)
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
		// 1: FLOCK  ADVISORY  WRITE 1234 fd:01:5678 0 EOF; the process is 0 or less if it is in
		// another container.
		f := strings.Fields(line)
		if len(f) >= 6 && f[1] == "FLOCK" && strings.HasSuffix(f[5], inode) && f[4] != "0" && f[4][0] != '-' {
			return f[4]
		}
	}
	return ""
}

// syncFolder makes the name of a new file durable, as its contents are.
func syncFolder(path string) error {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("make the database's name durable: %w", err)
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) { // some file systems cannot
		return fmt.Errorf("make the database's name durable: %w", err)
	}
	return nil
}
