package store_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
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
		}}},
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
	s := load(t, open(t, path))
	if !reflect.DeepEqual(s.Bans, b.Bans) {
		t.Errorf("bans\n got %+v\nwant %+v", s.Bans, b.Bans)
	}
	if !reflect.DeepEqual(s.Histories, b.Histories) || !reflect.DeepEqual(s.Tallies, b.Tallies) || !reflect.DeepEqual(s.Positions, b.Positions) {
		t.Errorf("got  %+v\nwant %+v", s, b)
	}
	st, err := os.Stat(path)
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
	}}
	if err := d.Commit(second); err != nil {
		t.Fatal(err)
	}
	s := load(t, d)
	if len(s.Bans) != 3 || s.Bans[0].Duration != 2*time.Hour || len(s.Histories) != 0 || len(s.Tallies) != 0 || len(s.Positions) != 1 {
		t.Errorf("%+v", s)
	}
}

func TestAFailedCommitLeavesNothing(t *testing.T) {
	full1, broken := full(), errors.New("no space left on device")
	for _, point := range []string{"begin", "end"} {
		d := open(t, filepath.Join(t.TempDir(), "db"))
		d.Fail(func(at string) error {
			if at == point {
				return broken
			}
			return nil
		})
		if err := d.Commit(full1); !errors.Is(err, broken) {
			t.Fatalf("commit failing at its %s: %v", point, err)
		}
		if s := load(t, d); len(s.Bans)+len(s.Tallies)+len(s.Histories)+len(s.Positions) != 0 {
			t.Errorf("a commit that failed at its %s left %+v", point, s)
		}
		d.Fail(nil)
		if err := d.Commit(full1); err != nil {
			t.Errorf("the same batch must go through later: %v", err)
		}
		if s := load(t, d); len(s.Bans) != len(full1.Bans) {
			t.Errorf("%d bans", len(s.Bans))
		}
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
}

func edit(t *testing.T, path string, f func(*bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(f), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestADamagedFileIsMovedAside(t *testing.T) {
	good := filepath.Join(t.TempDir(), "db")
	d := open(t, good)
	if err := errors.Join(d.Commit(full()), d.Close()); err != nil {
		t.Fatal(err)
	}
	bytesOf, err := os.ReadFile(good)
	if err != nil {
		t.Fatal(err)
	}
	for name, damaged := range map[string][]byte{
		"text":             []byte("this is no database at all\n"),
		"zeros":            make([]byte, len(bytesOf)),
		"only a beginning": bytesOf[:5000],
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrCorrupt) {
				t.Fatalf("%v, want ErrCorrupt", err)
			}
			d, err := store.Open(path, store.Options{MoveCorrupt: true, Now: func() time.Time { return day }})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if s := load(t, d); len(s.Bans) != 0 {
				t.Errorf("%+v", s)
			}
			kept, err := os.ReadFile(path + ".corrupt-20261122T120000Z")
			if err != nil || !bytes.Equal(kept, damaged) {
				t.Errorf("the damaged file is not kept: %v", err)
			}
		})
	}
}

func TestADamagedValueIsLeftOutAndNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	d := open(t, path)
	if err := errors.Join(d.Commit(full()), d.Close()); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		bans := tx.Bucket([]byte("bans"))
		k, v := bans.Cursor().First()
		return errors.Join(
			bans.Put(k, v[:len(v)/2]),
			bans.Put([]byte("no id"), v),
			tx.Bucket([]byte("tallies")).Put([]byte("sshd\x00a192.0.2.200"), []byte{99, 1}),
			tx.Bucket([]byte("positions")).Put([]byte("sshd\x00/x"), nil),
		)
	})
	var log bytes.Buffer
	d, err := store.Open(path, store.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	s := load(t, d)
	if len(s.Bans) != 3 || len(s.Tallies) != 1 || len(s.Positions) != 1 {
		t.Errorf("%d bans, %d tallies, %d positions", len(s.Bans), len(s.Tallies), len(s.Positions))
	}
	if n := strings.Count(log.String(), "damaged entry"); n != 4 || !strings.Contains(log.String(), "no id") {
		t.Errorf("%d of 4 damaged entries named:\n%s", n, log.String())
	}
}

// TestCommitsSurviveKill lets a child commit numbered batches and kills it at a random moment: the file
// must hold the acknowledged batches, whole, and at most the one that was under way.
func TestCommitsSurviveKill(t *testing.T) {
	if path := os.Getenv("STORE_TEST_CHILD"); path != "" {
		commitForever(path)
		return
	}
	runs := 50
	if testing.Short() {
		runs = 5
	}
	path := filepath.Join(t.TempDir(), "db")
	rnd := rand.New(rand.NewPCG(1, 2))
	for run := range runs {
		cmd := exec.Command(os.Args[0], "-test.run=^TestCommitsSurviveKill$")
		cmd.Env = append(os.Environ(), "STORE_TEST_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		timer := time.AfterFunc(time.Duration(20+rnd.IntN(40))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		var acknowledged bytes.Buffer
		_, _ = acknowledged.ReadFrom(out)
		_ = cmd.Wait()
		timer.Stop()

		last := 0
		for line := range strings.Lines(acknowledged.String()) {
			if strings.HasSuffix(line, "\n") {
				if _, err := fmt.Sscanf(line, "done %d", &last); err != nil {
					t.Fatalf("%q: %v", line, err)
				}
			}
		}
		d, err := store.Open(path, store.Options{})
		if err != nil {
			t.Fatalf("run %d: %v", run, err)
		}
		s := load(t, d)
		n := len(s.Bans) / batchSize
		if len(s.Bans)%batchSize != 0 {
			t.Fatalf("run %d: half a batch: %d bans", run, len(s.Bans))
		}
		if last > 0 && (n < last || n > last+1) {
			t.Fatalf("run %d: %d batches in the file, %d acknowledged", run, n, last)
		}
		if n > 0 && (len(s.Positions) != 1 || s.Positions[0].Offset != int64(n)) {
			t.Fatalf("run %d: position %+v after %d batches", run, s.Positions, n)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

const batchSize = 7

func commitForever(path string) {
	d, err := store.Open(path, store.Options{})
	if err != nil {
		fmt.Println("failed", err)
		os.Exit(1)
	}
	s, err := d.Load()
	if err != nil {
		os.Exit(1)
	}
	for n := len(s.Bans)/batchSize + 1; ; n++ {
		var b store.Batch
		for i := range batchSize {
			b.Bans = append(b.Bans, jail.Ban{Key: key("j", fmt.Sprintf("10.%d.%d.%d", n>>8&255, n&255, i)), Start: day, Duration: time.Hour, BannedAt: day})
		}
		b.Positions = []store.Position{{Jail: "j", Position: source.Position{Path: "/log", Offset: int64(n)}}}
		if err := d.Commit(b); err != nil {
			os.Exit(1)
		}
		fmt.Println("done", n)
	}
}

func FuzzValues(f *testing.F) {
	d := open(f, filepath.Join(f.TempDir(), "db"))
	if err := d.Commit(full()); err != nil {
		f.Fatal(err)
	}
	f.Add([]byte("sshd\x00a192.0.2.1"), []byte{1, 0, 0})
	f.Add([]byte("\x00r"), []byte{1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1})
	f.Fuzz(func(t *testing.T, k, v []byte) {
		if len(k) == 0 || len(k) > 1000 || len(v) > 10000 {
			return
		}
		path := filepath.Join(t.TempDir(), "db")
		d, err := store.Open(path, store.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bbolt.Tx) error {
			for _, b := range []string{"bans", "history", "tallies", "positions"} {
				if err := tx.Bucket([]byte(b)).Put(k, v); err != nil {
					return err
				}
			}
			return nil
		})
		s := load(t, open(t, path))
		for _, b := range s.Bans { // what was accepted must survive a round
			if err := open(t, filepath.Join(t.TempDir(), "again")).Commit(store.Batch{Changes: jail.Changes{Bans: []jail.Ban{b}}}); err != nil && !errors.Is(err, fs.ErrInvalid) {
				t.Fatal(err)
			}
		}
	})
}

func BenchmarkLoad100k(b *testing.B) {
	d := open(b, filepath.Join(b.TempDir(), "db"))
	var batch store.Batch
	for i := range 100_000 {
		batch.Bans = append(batch.Bans, jail.Ban{
			Key: key("sshd", fmt.Sprintf("10.%d.%d.%d", i>>16, i>>8&255, i&255)), Start: day, Duration: time.Hour, Count: 1, Failures: 5, BannedAt: day,
			Lines: []string{"Nov 22 12:00:00 host sshd[123]: Failed password for root from 10.0.0.1 port 4242 ssh2"},
		})
	}
	if err := d.Commit(batch); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if s := load(b, d); len(s.Bans) != 100_000 {
			b.Fatal(len(s.Bans))
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{1, 256} {
		b.Run(strconv.Itoa(n), func(b *testing.B) {
			d := open(b, filepath.Join(b.TempDir(), "db"))
			i := 0
			for b.Loop() {
				var batch store.Batch
				for range n {
					i++
					batch.Bans = append(batch.Bans, jail.Ban{Key: key("sshd", fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255)), Start: day, Duration: time.Hour, BannedAt: day})
				}
				if err := d.Commit(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
