package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"
)

// compactBatch is how much goes into one transaction of compact, which bounds its memory.
const compactBatch = 1 << 20

// compact writes a sound file anew without its free room. The new one takes the old one's name when it
// is whole and on the disk; until then the old one is locked, so that nobody else does the same.
func compact(path string) (err error) {
	old, _, err := openBolt(path)
	if err != nil {
		return fmt.Errorf("make the database smaller: %w", err)
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	next := path + ".compact"
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a start that was killed
		return fmt.Errorf("make the database smaller: %w", err)
	}
	if err := copyInto(next, old); err != nil {
		return errors.Join(fmt.Errorf("make the database smaller: %w", err), os.Remove(next))
	}
	if err := os.Rename(next, path); err != nil {
		return errors.Join(fmt.Errorf("make the database smaller: %w", err), os.Remove(next))
	}
	return syncFolder(path)
}

func copyInto(next string, old *bbolt.DB) (err error) {
	db, err := bbolt.Open(next, 0o600, &bbolt.Options{NoFreelistSync: true, NoSync: true, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := bbolt.Compact(db, old, compactBatch); err != nil {
		return err
	}
	return db.Sync()
}
