package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/store"
)

// sound is a file with all kinds of pages: branches, leaves, small buckets, free ones.
func sound(tb testing.TB, bans int) []byte {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "db")
	d := open(tb, path)
	if err := d.Commit(full()); err != nil {
		tb.Fatal(err)
	}
	b := manyBans(bans)
	if err := d.Commit(b); err != nil {
		tb.Fatal(err)
	}
	var gone []jail.Key
	for _, x := range b.Bans[:bans/4] {
		gone = append(gone, x.Key)
	}
	if err := errors.Join(d.Commit(store.Batch{Changes: jail.Changes{Unbanned: gone}}), d.Close()); err != nil {
		tb.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return file
}

func TestADamagedFileIsMovedAside(t *testing.T) {
	file := sound(t, 2000)
	for name, damaged := range map[string][]byte{
		"zeros":              make([]byte, len(file)),
		"random bytes":       append([]byte{0xff, 0, 0xfe}, make([]byte, 9000)...),
		"a few bytes":        file[:100],
		"only a beginning":   file[:5000],
		"cut within a page":  file[:len(file)/2+77],
		"cut between pages":  file[:len(file)/8192*4096],
		"a hole of zeros":    append(append(bytes.Clone(file[:8192]), make([]byte, len(file)/2)...), file[8192+len(file)/2:]...),
		"both ends damaged":  append(make([]byte, 8192), file[8192:]...),
		"pages that changed": append(append(bytes.Clone(file[:8192]), file[16384:]...), file[8192:16384]...),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "db")
			if err := os.WriteFile(path, damaged, 0o600); err != nil {
				t.Fatal(err)
			}
			// Twice, as the daemon does it: to say it loudly, and then to begin anew.
			if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), path) {
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

func TestAFileWithoutABucketIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("bans")) })
	if _, err := store.Open(path, store.Options{}); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "bans") {
		t.Errorf("%v", err)
	}
	d, err := store.Open(path, store.Options{MoveCorrupt: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Commit(full()), d.Close()); err != nil {
		t.Error(err)
	}
	if list, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(list) != 1 {
		t.Errorf("%q, %v", list, err)
	}
}

func TestNoDamagedFileTakesThePlaceOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	for n := range 3 {
		if err := os.WriteFile(path, bytes.Repeat([]byte{0, byte(n)}, 5000), 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := store.Open(path, store.Options{MoveCorrupt: true, Now: func() time.Time { return day }})
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if list, err := filepath.Glob(path + ".corrupt-*"); err != nil || len(list) != 3 {
		t.Errorf("%q, %v", list, err)
	}
}

// TestEveryDamageIsFoundOrHarmless flips, zeroes and moves bytes all over a file. It must then be refused
// as damaged, or open and hold nothing but what was committed; it must never end the process.
func TestEveryDamageIsFoundOrHarmless(t *testing.T) {
	file := sound(t, 600)
	// If it is the newest description that is damaged, the state before the last commit stands again: the
	// bans that it lifted.
	original := map[jail.Key]string{}
	describe := func(b jail.Ban) string { return fmt.Sprintf("%+v", b) }
	path := filepath.Join(t.TempDir(), "db")
	for _, b := range append(full().Bans, manyBans(600).Bans...) {
		original[b.Key] = describe(b)
	}
	sum := len(original) - 600/4
	rounds := 500
	if testing.Short() {
		rounds = 100
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	refused, whole, partial := 0, 0, 0
	for round := range rounds {
		damaged := bytes.Clone(file)
		what := damage(rnd, damaged)
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		d, err := store.Open(path, store.Options{})
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) && !errors.Is(err, store.ErrForeign) {
				t.Fatalf("round %d, %s: %v", round, what, err)
			}
			refused++
			continue
		}
		s := load(t, d)
		for _, b := range s.Bans {
			if original[b.Key] != describe(b) {
				t.Fatalf("round %d, %s: a ban that nobody committed: %+v", round, what, b)
			}
		}
		if round%10 == 0 { // it waits for the disk
			if err := d.Commit(store.Batch{Changes: jail.Changes{Bans: []jail.Ban{{Key: key("sshd", "198.51.100.1"), Start: day, Duration: time.Hour, BannedAt: day}}}}); err != nil {
				t.Fatalf("round %d, %s: it opened, and then: %v", round, what, err)
			}
		}
		if err := d.Close(); err != nil {
			t.Fatalf("round %d, %s: %v", round, what, err)
		}
		if len(s.Bans) >= sum {
			whole++
		} else {
			partial++
		}
	}
	t.Logf("%d refused, %d unharmed, %d without the damaged entries", refused, whole, partial)
	if refused == 0 || whole == 0 || partial == 0 {
		t.Error("the damage is all of one kind")
	}
}

func damage(rnd *rand.Rand, b []byte) (what string) {
	pages := len(b) / 4096
	switch page := rnd.IntN(pages) * 4096; rnd.IntN(5) {
	case 0:
		at := rnd.IntN(len(b))
		b[at] ^= 1 << rnd.IntN(8)
		return fmt.Sprintf("a bit at %d", at)
	case 1: // where the page's header and its table of entries are
		at := page + rnd.IntN(256)
		b[at] ^= byte(1 + rnd.IntN(255))
		return fmt.Sprintf("a byte at %d", at)
	case 2:
		clear(b[page : page+4096])
		return fmt.Sprintf("zeros at %d", page)
	case 3:
		from := rnd.IntN(pages) * 4096
		copy(b[page:page+4096], b[from:from+4096])
		return fmt.Sprintf("page %d over page %d", from/4096, page/4096)
	default:
		n := 1 + rnd.IntN(64)
		at := rnd.IntN(len(b) - n)
		for i := range n {
			b[at+i] = byte(rnd.IntN(256))
		}
		return fmt.Sprintf("%d random bytes at %d", n, at)
	}
}

// TestAFileThatIsCutWhileItIsOpenEndsNothing: bbolt maps the file into memory, where a page that is gone
// is a fault of the process.
func TestAFileThatIsCutWhileItIsOpenEndsNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, sound(t, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if err := os.Truncate(path, 16<<10); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Load(); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("load: %v", err)
	}
	for range 2 {
		if err := d.Commit(full()); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("commit: %v", err)
		}
	}
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	d, err := store.Open(path, store.Options{MoveCorrupt: true})
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	if err := errors.Join(d.Commit(full()), d.Close()); err != nil {
		t.Error(err)
	}
}

func TestACutFileFailsACommitThatIsTheFirstToSeeIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := os.WriteFile(path, sound(t, 5000), 0o600); err != nil {
		t.Fatal(err)
	}
	d := open(t, path)
	if err := os.Truncate(path, 16<<10); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Commit(full()); !errors.Is(err, store.ErrCorrupt) {
			t.Errorf("commit: %v", err)
		}
	}
	if err := d.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	d, err := store.Open(path, store.Options{MoveCorrupt: true})
	if err != nil {
		t.Fatalf("open again: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
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
		flipped := bytes.Clone(v)
		flipped[3] ^= 1
		k, v = bytes.Clone(k), bytes.Clone(v)
		return errors.Join(
			bans.Put(k, flipped),
			bans.Put([]byte("no id"), v),
			bans.Put([]byte("sshd\x00a192.0.2.2"), v), // sound, and another's
			tx.Bucket([]byte("tallies")).Put([]byte("sshd\x00a192.0.2.200"), []byte{99, 1, 1, 1, 1, 1}),
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
	if len(s.Bans) != 3 || len(s.Tallies) != 1 || len(s.Positions) != 2 {
		t.Errorf("%d bans, %d tallies, %d positions", len(s.Bans), len(s.Tallies), len(s.Positions))
	}
	if n := strings.Count(log.String(), "damaged entry"); n != 5 || !strings.Contains(log.String(), "no id") {
		t.Errorf("%d of 5 damaged entries named:\n%s", n, log.String())
	}
}

func TestALotOfDamageIsSaidInFewLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "db")
	if err := open(t, path).Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, path, func(tx *bbolt.Tx) error {
		for i := range 1000 {
			if err := tx.Bucket([]byte("bans")).Put(fmt.Appendf(nil, "j\x00r%d", i), []byte("rubbish")); err != nil {
				return err
			}
		}
		return nil
	})
	var log bytes.Buffer
	d, err := store.Open(path, store.Options{Log: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	load(t, d)
	if n := strings.Count(log.String(), "\n"); n > 30 || !strings.Contains(log.String(), "entries=1000") {
		t.Errorf("%d lines:\n%.500s", n, log.String())
	}
}
