package store_test

import (
	"bytes"
	"errors"
	"fmt"
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

// FuzzFile changes bytes of a file of 1 KiB pages, three bytes of the input each: where, and to what.
// What verify lets through, bbolt must read and write without ending the process.
func FuzzFile(f *testing.F) {
	sound := smallPages(f)
	f.Add([]byte{})
	f.Add([]byte{8, 0, 77, 8, 12, 1, 12, 16, 200})
	for at := 2048; at < len(sound); at += 1024 { // headers and tables of entries
		f.Add([]byte{byte(at >> 8), 8, 1, byte(at >> 8), 10, 2, byte(at >> 8), 16, 9, byte(at >> 8), 20, 9})
	}
	f.Fuzz(func(t *testing.T, changes []byte) {
		file := bytes.Clone(sound)
		for ; len(changes) >= 3; changes = changes[3:] {
			file[(int(changes[0])<<8|int(changes[1]))%len(file)] = changes[2]
		}
		if store.Verify(bytes.NewReader(file), int64(len(file))) != nil {
			return
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

// smallPages makes a file with a branch, leaves, a value over several pages and small buckets.
func smallPages(tb testing.TB) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: 1024})
	if err != nil {
		tb.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range []string{"history", "tallies", "positions"} {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta, err := tx.CreateBucket([]byte("meta"))
		if err != nil {
			return err
		}
		bans, err := tx.CreateBucket([]byte("bans"))
		if err != nil {
			return err
		}
		if err := errors.Join(meta.Put([]byte("schema"), []byte{0, 0, 0, 1}), bans.Put([]byte("j\x00rlong"), make([]byte, 3000))); err != nil {
			return err
		}
		for i := range 40 {
			if err := bans.Put(fmt.Appendf(nil, "j\x00r%d", i), make([]byte, 60)); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close()); err != nil {
		tb.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	file = file[:min(len(file), 18<<10)] // the rest is room to grow
	if err := store.Verify(bytes.NewReader(file), int64(len(file))); err != nil {
		tb.Fatal(err)
	}
	return file
}
