package store_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/internal/store"
)

func open(tb testing.TB, path string) *store.DB {
	tb.Helper()
	d, err := store.Open(path, store.Options{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { d.Close() })
	return d
}

func load(tb testing.TB, d *store.DB) store.Snapshot {
	tb.Helper()
	s, err := d.Load()
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

var day = time.Date(2026, 11, 22, 12, 0, 0, 123456789, time.UTC)

func key(name, id string) jail.Key { return jail.Key{Jail: name, ID: ident.Parse(id)} }

// full is a batch with every field set, and the odd IDs.
func full() store.Batch {
	return store.Batch{
		Changes: jail.Changes{
			Bans: []jail.Ban{
				{Key: key("sshd", "192.0.2.1"), Start: day, Duration: time.Hour, Extended: time.Minute, Count: 3, Failures: 5, BannedAt: day.Add(time.Second), Lines: []string{"a line", ""}, Data: map[string]string{"user": "root", "": "x"}},
				{Key: key("sshd", "2001:db8::/64"), Start: day, Duration: jail.Permanent, Count: 1, Origin: jail.Manual, BannedAt: day},
				{Key: jail.Key{Jail: "web", ID: ident.Raw("192.0.2.1")}, Start: time.Unix(-1, 999).UTC(), Duration: 1, Origin: jail.Imported, BannedAt: day},
				{Key: key("web", "a name with \x00 and ü"), Start: day, Duration: time.Second, BannedAt: day},
			},
			Histories: []jail.History{{Key: key("sshd", "192.0.2.1"), Count: 3, Last: day, Duration: jail.Permanent}},
			Tallies:   []jail.Tally{{Key: key("sshd", "192.0.2.9"), First: day, Last: day.Add(time.Second), Weighted: 2, Failures: 4, Lines: []string{"x"}, Data: map[string]string{"k": "v"}}},
		},
		Positions: []store.Position{{Jail: "sshd", Position: source.Position{
			Path: "/var/log/auth.log", Device: 1, Inode: 1 << 63, Offset: 12345, First: [20]byte{1, 2, 3},
			Other: source.Place{Device: 2, Inode: 9, Offset: 7, First: [20]byte{9}},
		}}, {Jail: "sshd", Position: source.Position{Path: source.JournalPath, Cursor: "s=c63a;i=1;b=4d1b;m=4c4b40;t=64bf;x=4dcb"}}},
	}
}

func TestWhatIsCommittedIsLoaded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "new", "folder", "agentd.db")
	d := open(t, path)
	b := full()
	if err := d.Commit(b); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	s := load(t, d)
	if !reflect.DeepEqual(s.Bans, b.Bans) {
		t.Errorf("bans\n got %+v\nwant %+v", s.Bans, b.Bans)
	}
	if !reflect.DeepEqual(s.Histories, b.Histories) || !reflect.DeepEqual(s.Tallies, b.Tallies) || !reflect.DeepEqual(s.Positions, b.Positions) {
		t.Errorf("got  %+v\nwant %+v", s, b)
	}
	st, err := os.Stat(path)
	if size, sizeErr := d.Size(); sizeErr != nil || size != st.Size() || d.Path() != path {
		t.Errorf("%s has %d bytes, %v", d.Path(), size, sizeErr)
	}
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v: only the owner may read who is banned", st.Mode(), err)
	}
}

func TestANewerStateReplacesAndAnEndRemoves(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "db"))
	if err := d.Commit(full()); err != nil {
		t.Fatal(err)
	}
	second := store.Batch{Changes: jail.Changes{
		Bans:     []jail.Ban{{Key: key("sshd", "192.0.2.1"), Start: day, Duration: 2 * time.Hour, BannedAt: day}},
		Unbanned: []jail.Key{key("sshd", "2001:db8::/64"), key("web", "never banned")}, Forgotten: []jail.Key{key("sshd", "192.0.2.1")},
		Cleared: []jail.Key{key("sshd", "192.0.2.9")},
	}, Dropped: []store.PositionKey{{Jail: "sshd", Path: "/var/log/auth.log"}, {Jail: "sshd", Path: source.JournalPath}, {Jail: "sshd", Path: "/never"}}}
	if err := d.Commit(second); err != nil {
		t.Fatal(err)
	}
	s := load(t, d)
	if len(s.Bans) != 3 || s.Bans[0].Duration != 2*time.Hour || len(s.Histories) != 0 || len(s.Tallies) != 0 || len(s.Positions) != 0 {
		t.Errorf("%+v", s)
	}
}

func TestOpenTellsWhatIsWrong(t *testing.T) {
	t.Run("in use", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		open(t, path)
		_, err := store.Open(path, store.Options{})
		if !errors.Is(err, store.ErrLocked) || !strings.Contains(err.Error(), strconv.Itoa(os.Getpid())) {
			t.Errorf("%v: want it to name process %d", err, os.Getpid())
		}
	})
	t.Run("newer", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		if err := open(t, path).Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			return tx.Bucket([]byte("meta")).Put([]byte("schema"), binary.BigEndian.AppendUint32(nil, 2))
		})
		if _, err := store.Open(path, store.Options{MoveCorrupt: true}); !errors.Is(err, store.ErrNewer) {
			t.Errorf("%v", err)
		}
	})
	t.Run("no folder can be made", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Open(filepath.Join(file, "db"), store.Options{}); err == nil || errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%v", err)
		}
	})
	t.Run("in use by a process that ends", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "db")
		d := open(t, path)
		opened := make(chan error)
		go func() {
			d, err := store.Open(path, store.Options{})
			if err == nil {
				err = d.Close()
			}
			opened <- err
		}()
		select {
		case err := <-opened:
			t.Errorf("opened twice, %v", err)
		case <-time.After(100 * time.Millisecond): // let it wait for the lock
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-opened; err != nil {
			t.Errorf("once it was free: %v", err)
		}
	})
}

// TestAFileOfSomebodyElseIsLeftAlone: a slip of the hand in --db must not cost a log or a database.
func TestAFileOfSomebodyElseIsLeftAlone(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.db")
	db, err := bbolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket([]byte("theirs"))
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	bolt, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, contents := range map[string][]byte{
		"a log":                      []byte("Nov 22 12:00:00 host sshd[1]: a line\n"),
		"a long text":                []byte(strings.Repeat("ü", 300)),
		"a text that is cut":         []byte(strings.Repeat("ü", 255) + "x€€"),
		"an SQLite database":         append([]byte("SQLite format 3\x00\x10\x00"), make([]byte, 8192)...),
		"another program's database": bolt,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "db")
			if err := os.WriteFile(path, contents, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := store.Open(path, store.Options{MoveCorrupt: true})
			if !errors.Is(err, store.ErrForeign) || errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), path) {
				t.Errorf("%v", err)
			}
			if kept, err := os.ReadFile(path); err != nil || len(kept) < len(contents) {
				t.Errorf("%d bytes of %d, %v", len(kept), len(contents), err)
			}
			if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if _, err := store.Open(t.TempDir(), store.Options{MoveCorrupt: true}); err == nil || errors.Is(err, store.ErrCorrupt) {
			t.Errorf("%v", err)
		}
	})
}

// TestNoIDIsTooLong: what a filter takes for an ID may be a whole line, and bbolt's keys end at 32 KiB.
func TestNoIDIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	d := open(t, path)
	var b store.Batch
	for _, n := range []int{1, 255, 256, 257, 1000, 40_000} {
		k := jail.Key{Jail: "j", ID: ident.Raw(strings.Repeat("ü", n/2) + strings.Repeat("x", n-n/2*2))}
		b.Bans = append(b.Bans, jail.Ban{Key: k, Start: day, Duration: time.Hour, BannedAt: day})
		b.Histories = append(b.Histories, jail.History{Key: k, Count: n, Last: day})
		b.Tallies = append(b.Tallies, jail.Tally{Key: k, First: day, Last: day, Failures: n})
	}
	if err := errors.Join(d.Commit(b), d.Close()); err != nil {
		t.Fatal(err)
	}
	d = open(t, path)
	s := load(t, d)
	got := map[jail.Key]int{}
	for i := range s.Bans {
		got[s.Bans[i].Key]++
		got[s.Histories[i].Key] += s.Histories[i].Count
		got[s.Tallies[i].Key] += s.Tallies[i].Failures
	}
	for _, x := range b.Histories {
		if got[x.Key] != 1+2*x.Count {
			t.Errorf("the ID of %d bytes came back as %d", x.Count, got[x.Key])
		}
		b.Unbanned, b.Forgotten, b.Cleared = append(b.Unbanned, x.Key), append(b.Forgotten, x.Key), append(b.Cleared, x.Key)
	}
	if err := d.Commit(store.Batch{Changes: jail.Changes{Unbanned: b.Unbanned, Forgotten: b.Forgotten, Cleared: b.Cleared}}); err != nil {
		t.Fatal(err)
	}
	if s := load(t, d); len(s.Bans)+len(s.Histories)+len(s.Tallies) != 0 {
		t.Errorf("%d, %d and %d are left", len(s.Bans), len(s.Histories), len(s.Tallies))
	}
}

func TestEntriesLieInTheOrderOfJailAndID(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "db"))
	for _, k := range []jail.Key{key("web", "10.0.0.1"), key("ssh", "2001:db8::1"), key("ssh-ddos", "10.0.0.1"), key("ssh", "10.0.0.2"), key("ssh", "10.0.0.10")} {
		if err := d.Commit(store.Batch{Changes: jail.Changes{Bans: []jail.Ban{{Key: k, Start: day, Duration: time.Hour, BannedAt: day}}}}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, b := range load(t, d).Bans {
		got = append(got, b.Jail+" "+b.ID.String())
	}
	if want := []string{"ssh 10.0.0.10", "ssh 10.0.0.2", "ssh 2001:db8::1", "ssh-ddos 10.0.0.1", "web 10.0.0.1"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func edit(tb testing.TB, path string, f func(*bbolt.Tx) error) {
	tb.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		tb.Fatal(err)
	}
}
