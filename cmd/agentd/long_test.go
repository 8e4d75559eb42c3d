package main

import (
	"encoding/json"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestDurationsAreWrittenAsByFail2ban, for the edges between units and for thousands by chance.
func TestDurationsAreWrittenAsByFail2ban(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	seconds := []int64{0, 1, 59, 60, 61, 119, 3590, 3594, 3595, 3599, 3600, 3601, 3605, 3615, 3660, 86394, 86395, 86399, 86400, 86430, 86490, 604769, 604770, 604799, 604800, 606600, 610200, 31535999, 31536000, 31579200, 31665600}
	for range 3000 {
		seconds = append(seconds, r.Int64N(int64(1)<<(1+r.IntN(32))))
	}
	in, err := json.Marshal(seconds)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	oracle.JSON(t, "import json, sys\nfrom fail2ban.server.mytime import MyTime\njson.dump([str(MyTime.seconds2str(s)) for s in json.load(sys.stdin)], sys.stdout)", in, &want)
	for i, s := range seconds {
		if got := long(time.Duration(s) * time.Second); got != want[i] {
			t.Errorf("%d s: %q, want %q", s, got, want[i])
		}
	}
}
