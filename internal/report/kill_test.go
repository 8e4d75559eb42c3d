package report_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/report"
	"github.com/palisade-agent/palisade/internal/report/destination"
	"github.com/palisade-agent/palisade/internal/store"
)

// killedEnv makes the test's program be the one that is killed: it holds the database, and the URL to report to.
const killedEnv = "PALISADE_TEST_KILLED"

// killsEnv says how often; killsUsual is how often if it does not.
const (
	killsEnv   = "PALISADE_KILLS"
	killsUsual = 100
)

// TestAKillRepeatsOneReportAtMost kills a program that bans and reports, again and again, and looks at what the
// server got: every report that was promised once, or at most one per kill twice, and none that the rules forbid.
func TestAKillRepeatsOneReportAtMost(t *testing.T) {
	if spec := os.Getenv(killedEnv); spec != "" {
		beKilled(t, spec)
		return
	}
	kills := killsUsual
	if text := os.Getenv(killsEnv); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatal(err)
		}
		kills = n
	}
	var mu sync.Mutex
	got := map[string]int{}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		mu.Lock()
		got[string(b)]++
		mu.Unlock()
	}))
	defer server.Close()

	path := filepath.Join(t.TempDir(), "agentd.db")
	promised := map[string]bool{}
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	run := func(life int, limit time.Duration) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestAKillRepeatsOneReportAtMost$")
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %s %d", killedEnv, path, server.URL, life))
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		begun := false
		var timer *time.Timer
		for lines.Scan() {
			if addr, ok := strings.CutPrefix(lines.Text(), "promised "); ok {
				promised[addr] = true
			}
			if !begun && limit > 0 {
				begun = true
				timer = time.AfterFunc(limit, cancel)
			}
			if lines.Text() == "idle" && limit == 0 {
				cancel()
			}
		}
		_ = cmd.Wait()
		if timer != nil {
			timer.Stop()
		}
	}
	for life := range kills {
		run(life, time.Duration(rng.IntN(40_000))*time.Microsecond)
	}
	run(kills, 0) // in peace: what is left is sent

	twice, all := 0, 0
	mu.Lock()
	defer mu.Unlock()
	for addr := range promised {
		switch n := got[addr]; {
		case n == 0:
			t.Errorf("%s was never reported", addr)
		case n == 2:
			twice++
		case n > 2:
			twice += n - 1
		}
	}
	for addr, n := range got {
		all += n
		if strings.HasPrefix(addr, "10.") {
			t.Errorf("%s is forbidden and was reported", addr)
		}
	}
	if twice > kills {
		t.Errorf("%d reports came twice in %d kills", twice, kills)
	}
	t.Logf("%d kills: %d reports promised, %d received, %d of them twice", kills, len(promised), all, twice)
	if len(promised) < kills {
		t.Errorf("only %d reports in %d lives: nothing is shown", len(promised), kills)
	}
}

// beKilled bans and reports until it is killed. A ban is promised once it is on the disk, with its report.
func beKilled(t *testing.T, spec string) {
	t.Helper()
	f := strings.Fields(spec)
	db, err := store.Open(f[0], store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	client, err := outbound.New(outbound.Options{})
	if err != nil {
		t.Fatal(err)
	}
	to, err := destination.New(destination.Options{Name: "d", Type: "http", URL: f[1], Body: "{ip}", Headers: []string{"Content-Type: text/plain"}, Client: func() *outbound.Client { return client }})
	if err != nil {
		t.Fatal(err)
	}
	d := report.NewDesk(report.Options{Store: db})
	if err := d.Load(); err != nil {
		t.Fatal(err)
	}
	d.Set([]report.Setup{{Rules: report.Rules{Name: "d", Jails: []string{"*"}, Dedupe: time.Hour}, Destination: to, Pace: time.Microsecond}})
	go func() { _ = d.Run(t.Context()) }()
	life, err := strconv.Atoi(f[2])
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		good := netip.AddrFrom4([4]byte{20, byte(life >> 8), byte(life), byte(i)})
		forbidden := netip.AddrFrom4([4]byte{10, byte(life >> 8), byte(life), byte(i)})
		var bans []report.Ban
		for _, a := range []netip.Addr{good, forbidden} {
			bans = append(bans, report.Ban{Jail: "j", Prefix: netip.PrefixFrom(a, 32), Local: true, Banned: time.Now(), Last: time.Now(), Failures: 3})
		}
		rows := d.Stage(bans)
		if err := db.Commit(store.Batch{Outbox: rows}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("promised", good)
		d.Stored(rows)
	}
	for d.Status()[0].Waiting > 0 {
		time.Sleep(time.Millisecond)
	}
	b, err := json.Marshal(d.Status()[0].Counts)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(string(b))
	fmt.Println("idle")
	<-t.Context().Done()
	select {} // it is killed
}
