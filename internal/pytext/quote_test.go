package pytext

import (
	"encoding/json"
	"math/rand/v2"
	"os/exec"
	"strings"
	"testing"
)

// TestQuoteIsPythons, for texts of hostile characters by chance.
func TestQuoteIsPythons(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"a", "'", `"`, `\`, "\n", "\r", "\t", "\x00", "\x7f", "\u0085", "\u00a0", "é", "\u2028", "\u200b", "☃", "\U0001f600", "\U000e0001", " "}
	var texts []string
	for range 500 {
		var b strings.Builder
		for range r.IntN(8) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts = append(texts, b.String())
	}
	in, err := json.Marshal(texts)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(python, "-c", "import json, sys; json.dump([repr(s) for s in json.load(sys.stdin)], sys.stdout)")
	cmd.Stdin = strings.NewReader(string(in))
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(out, &want); err != nil {
		t.Fatal(err)
	}
	for i, s := range texts {
		if got := Quote(s); got != want[i] {
			t.Errorf("%q: %s, want %s", s, got, want[i])
		}
	}
	if got := Quote("a\xffb"); got != `'a\udcffb'` {
		t.Error(got)
	}
}
