package store_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/internal/store"
)

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
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestCommitsSurviveKill$")
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
