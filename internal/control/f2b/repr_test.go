package f2b_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestReprIsPythons: values as pickles to Python, whose repr and str must be ours.
func TestReprIsPythons(t *testing.T) {
	values := []any{
		nil, true, false, 0, -1, int64(1) << 40, 0.0, 1.0, 0.1, -2.5, 1e15, 1e16, 1.5e300, 0.0001, 0.00001, 1792359205.0, 123456789.123,
		"", "plain", "it's", `say "x"`, `it's "x"`, `back\slash`, "tab\tnew\nline\r\x00\x1b\x7f", "ü€😀", "\u00a0\u00ad\u2028\u200b\ufeff\U000e0001\ue000",
		[]byte("ab'\\\x00\xff\n"), []byte(`'"`),
		pickle.List{},
		pickle.List{"a", 1, pickle.List{nil}},
		pickle.Tuple{},
		pickle.Tuple{"one"},
		pickle.Tuple{1, 2},
		pickle.Dict{},
		pickle.Dict{{Key: "stacksize", Value: 0}, {Key: 1, Value: pickle.List{"x"}}},
		pickle.Set{},
		pickle.Set{"a"},
		pickle.Exception{Module: "builtins", Class: "ValueError", Args: []any{"bad 'x'"}},
		pickle.Exception{Module: "builtins", Class: "ValueError", Args: []any{}},
		pickle.Exception{Module: "builtins", Class: "ValueError", Args: []any{1, "b"}},
	}
	r := rand.New(rand.NewPCG(1, 2))
	pieces := []string{"'", `"`, `\`, "\n", "a", "ü", "\x01", "\u2029", "😀", "\u0301", "%", "{", "\t"}
	for range 300 {
		var b strings.Builder
		for range r.IntN(8) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		values = append(values, b.String())
	}
	var in []string
	for _, v := range values {
		data, err := pickle.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		in = append(in, base64.StdEncoding.EncodeToString(data))
	}
	stdin, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	var want [][2]string
	oracle.JSON(t, `
import base64, json, pickle, sys
vs = [pickle.loads(base64.b64decode(x)) for x in json.load(sys.stdin)]
json.dump([[repr(v), str(v)] for v in vs], sys.stdout)
`, stdin, &want)
	for i, v := range values {
		if got := [2]string{f2b.Repr(v), f2b.Str(v)}; got != want[i] {
			t.Errorf("%s: %q, want %q", fmt.Sprintf("%#v", v), got, want[i])
		}
	}
}
