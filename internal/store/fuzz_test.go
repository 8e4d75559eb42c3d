package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// FuzzValues reads any value under any key, with a good checksum: no panic, no memory beyond the value's
// size, and what is accepted comes back the same from a second round.
func FuzzValues(f *testing.F) {
	f.Add([]byte("sshd\x00a192.0.2.1"), []byte{1, 0, 0})
	f.Add([]byte("\x00r"), []byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Add([]byte("sshd\x00hxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), []byte{1, 3, 'a', 'b', 'c'})
	for _, v := range store.Encoded(full()) {
		f.Add(v[0], v[1])
	}
	f.Fuzz(func(t *testing.T, k, v []byte) {
		s := store.Decoded(k, store.Sum(k, v))
		again := store.Encoded(store.Batch{Changes: jail.Changes{Bans: s.Bans, Histories: s.Histories, Tallies: s.Tallies}, Positions: s.Positions})
		var back store.Snapshot
		for _, x := range again {
			part := store.Decoded(x[0], x[1])
			// The same value may be one of several kinds: keep the kind that it was.
			if len(s.Bans) > len(back.Bans) {
				back.Bans = append(back.Bans, part.Bans...)
			}
			if len(s.Histories) > len(back.Histories) {
				back.Histories = append(back.Histories, part.Histories...)
			}
			if len(s.Tallies) > len(back.Tallies) {
				back.Tallies = append(back.Tallies, part.Tallies...)
			}
			if len(s.Positions) > len(back.Positions) {
				back.Positions = append(back.Positions, part.Positions...)
			}
		}
		if !reflect.DeepEqual(s, back) {
			t.Errorf("%q %q\n got %+v\nwant %+v", k, v, back, s)
		}
	})
}

// FuzzFile opens any bytes as a file: refused, or in order; never the end of the process.
func FuzzFile(f *testing.F) {
	empty := filepath.Join(f.TempDir(), "db")
	db, err := bbolt.Open(empty, 0o600, &bbolt.Options{PageSize: 1024})
	if err != nil {
		f.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"meta", "bans"} {
			b, err := tx.CreateBucketIfNotExists([]byte(name))
			if err != nil {
				return err
			}
			if err := b.Put([]byte("schema"), []byte{0, 0, 0, 1}); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		f.Fatal(err)
	}
	small, err := os.ReadFile(empty)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(small[:8192], 0, []byte{})
	f.Add(small[:8192], 4096, []byte{2, 0, 0, 0})
	f.Fuzz(func(t *testing.T, file []byte, at int, patch []byte) {
		if at >= 0 && at < len(file) {
			copy(file[at:], patch)
		}
		path := filepath.Join(t.TempDir(), "db")
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := store.Open(path, store.Options{})
		if err != nil {
			return
		}
		if _, err := d.Load(); err != nil {
			t.Errorf("it opened, and then: %v", err)
		}
		if err := errors.Join(d.Commit(full()), d.Close()); err != nil {
			t.Errorf("it opened, and then: %v", err)
		}
	})
}
