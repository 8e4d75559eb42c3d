package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/palisade-agent/palisade/internal/store"
)

func rows(t *testing.T, db *store.DB, destination string, from uint64) string {
	t.Helper()
	var b bytes.Buffer
	err := db.OutboxFrom(destination, from, func(r store.OutboxRow) bool {
		fmt.Fprintf(&b, "%s/%d=%s ", r.Destination, r.ID, r.Value)
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTheOutboxKeepsRowsInOrder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agentd.db")
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := rows(t, db, "", 0); got != "" {
		t.Errorf("a new one holds %s", got)
	}
	row := func(d string, id uint64, v string) store.OutboxRow {
		return store.OutboxRow{Destination: d, ID: id, Value: []byte(v)}
	}
	if err := db.CommitOutbox([]store.OutboxRow{row("b", 300, "x"), row("a", 2, "y"), row("a", 256, "z"), row("a", 0, "state"), row("ab", 1, "w")}); err != nil {
		t.Fatal(err)
	}
	if err := db.CommitOutbox([]store.OutboxRow{{Destination: "ab", ID: 1}, row("a", 2, "new")}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if db, err = store.Open(path, store.Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, c := range []struct {
		destination string
		from        uint64
		want        string
	}{
		{"", 0, "a/0=state a/2=new a/256=z b/300=x "}, {"a", 0, "a/0=state a/2=new a/256=z "}, {"a", 3, "a/256=z "}, {"b", 0, "b/300=x "}, {"ab", 0, ""}, {"c", 0, ""},
	} {
		if got := rows(t, db, c.destination, c.from); got != c.want {
			t.Errorf("%q from %d: %q, not %q", c.destination, c.from, got, c.want)
		}
	}
	n := 0
	if err := db.Outbox("", func(store.OutboxRow) bool { n++; return n < 2 }); err != nil || n != 2 {
		t.Errorf("%d rows, %v", n, err)
	}
}

// TestAReportIsWrittenWithItsBanOrNotAtAll: both are in one transaction.
func TestAReportIsWrittenWithItsBanOrNotAtAll(t *testing.T) {
	path := filepath.Join(t.TempDir(), "agentd.db")
	db, err := store.Open(path, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	fails := errors.New("on purpose")
	db.Fail(func(point string) error {
		if point == "end" {
			return fails
		}
		return nil
	})
	batch := store.Batch{Outbox: []store.OutboxRow{{Destination: "a", ID: 1, Value: []byte("x")}}}
	if err := db.Commit(batch); !errors.Is(err, fails) {
		t.Errorf("%v", err)
	}
	if got := rows(t, db, "", 0); got != "" {
		t.Errorf("after a failure it holds %s", got)
	}
	db.Fail(nil)
	if err := db.Commit(batch); err != nil || rows(t, db, "", 0) != "a/1=x " {
		t.Errorf("%v, %s", err, rows(t, db, "", 0))
	}
}
