package pickle

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// values are what fail2ban's client and server say to each other, and the corners of it, in Python and
// here. The texts are Python expressions.
func values() map[string]any {
	return map[string]any{
		`["ping"]`:                              List{"ping"},
		`("set", "sshd", "banip", "192.0.2.1")`: Tuple{"set", "sshd", "banip", "192.0.2.1"},
		`["set", "a", "bantime", 600, -1, 0, 255, 256, 65535, 65536, -2147483648, 2147483648, 9223372036854775807, -9223372036854775808]`: List{
			"set", "a", "bantime", int64(600), int64(-1), int64(0), int64(255), int64(256), int64(65535), int64(65536),
			int64(-2147483648), int64(2147483648), int64(math.MaxInt64), int64(math.MinInt64),
		},
		`[True, False, None, 1.5, -0.25, 1e300]`:                         List{true, false, nil, 1.5, -0.25, 1e300},
		`["", "a'b\"c\\d", "ü€😀", "line\nline\ttab\x00\x7f", "\\u0041"]`: List{"", `a'b"c\d`, "ü€😀", "line\nline\ttab\x00\x7f", `\u0041`},
		`{"name": "x", "timeout": 60, "n": [1, {"a": None}]}`: Dict{
			{"name", "x"}, {"timeout", int64(60)}, {"n", List{int64(1), Dict{{"a", nil}}}},
		},
		`[[], (), {}, (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]`: List{
			List{},
			Tuple{},
			Dict{},
			Tuple{int64(1)},
			Tuple{int64(1), int64(2)},
			Tuple{int64(1), int64(2), int64(3)},
			Tuple{int64(1), int64(2), int64(3), int64(4)},
		},
		`{"only"}`:                       Set{"only"},
		`frozenset(["only"])`:            Set{"only"},
		`[x, x]`:                         List{List{"shared"}, List{"shared"}},
		`"x" * 70000`:                    strings.Repeat("x", 70000),
		`(0, [("Jail list", "a, b")])`:   Tuple{int64(0), List{Tuple{"Jail list", "a, b"}}},
		`(1, UnknownJailException("x"))`: Tuple{int64(1), Exception{"fail2ban.exceptions", "UnknownJailException", []any{"x"}}},
		`(1, RegexException("bad"))`:     Tuple{int64(1), Exception{"fail2ban.server.failregex", "RegexException", []any{"bad"}}},
	}
}

const prelude = `
import base64, json, pickle, sys
from fail2ban.exceptions import UnknownJailException, DuplicateJailException
from fail2ban.server.failregex import RegexException
x = ["shared"]
`

// TestReadsWhatPythonWrites: every protocol that a client may speak.
func TestReadsWhatPythonWrites(t *testing.T) {
	var exprs []string
	for expr := range values() {
		exprs = append(exprs, expr)
	}
	script := prelude + `
exprs = json.load(sys.stdin)
json.dump({e: [base64.b64encode(pickle.dumps(eval(e), p)).decode() for p in range(6)] for e in exprs}, sys.stdout)
`
	var got map[string][]string
	oracle.JSON(t, script, jsonOf(t, exprs), &got)
	for expr, want := range values() {
		if len(got[expr]) != 6 {
			t.Fatalf("%s: %d pickles", expr, len(got[expr]))
		}
		for protocol, text := range got[expr] {
			data, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			v, err := Unmarshal(data)
			if err != nil || !reflect.DeepEqual(v, want) {
				t.Errorf("%.60s in protocol %d: %#v, %v", expr, protocol, v, err)
			}
		}
	}
}

// TestPythonReadsWhatWeWrite asks Python whether it gets the value that the expression means.
func TestPythonReadsWhatWeWrite(t *testing.T) {
	written := map[string]string{}
	for expr, v := range values() {
		if strings.HasPrefix(expr, "frozenset") { // is written as a set
			continue
		}
		data, err := Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		written[expr] = base64.StdEncoding.EncodeToString(data)
	}
	script := prelude + `
def same(a, b):
    if isinstance(a, tuple) and len(a) == 2 and isinstance(a[1], Exception):
        return a[0] == b[0] and type(a[1]) is type(b[1]) and a[1].args == b[1].args
    return type(a) is type(b) and a == b and repr(a) == repr(b)
json.dump({e: same(pickle.loads(base64.b64decode(b)), eval(e)) for e, b in json.load(sys.stdin).items()}, sys.stdout)
`
	var got map[string]bool
	oracle.JSON(t, script, jsonOf(t, written), &got)
	for expr := range written {
		if !got[expr] {
			t.Errorf("%.60s comes back as something else", expr)
		}
	}
}

// TestHostilePicklesAreRefused: what would be executed, what is damaged, and what is small but makes much.
func TestHostilePicklesAreRefused(t *testing.T) {
	bomb := []byte{'(', 'l', 'p', '0', '\n'} // each list holds the one before ten times
	for i := range 20 {
		bomb = append(bomb, '(')
		bomb = append(bomb, bytes.Repeat(fmt.Appendf(nil, "g%d\n", i), 10)...)
		bomb = fmt.Appendf(bomb, "lp%d\n", i+1)
	}
	bomb = append(bomb, '.')
	for name, data := range map[string][]byte{
		"a command":                 []byte("cos\nsystem\n(S'true'\ntR."),
		"a command, by the stack":   []byte("\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R."),
		"a class of Python's":       []byte("cbuiltins\ngetattr\n)R."),
		"str of what is no text":    []byte("cbuiltins\nstr\n(I1\ntR."),
		"a name as a value":         []byte("cbuiltins\nstr\n."),
		"a state put into a value":  []byte("cbuiltins\nValueError\n)R}b."),
		"an object":                 []byte("(cbuiltins\nlist\no."),
		"a persistent name":         []byte("Pname\n."),
		"an extension":              {0x82, 1, '.'},
		"nothing":                   {},
		"no end":                    []byte("(l"),
		"an end of nothing":         []byte("."),
		"two values":                []byte("NN."),
		"more after the end":        []byte("N.N"),
		"a text longer than all":    {'X', 0xff, 0xff, 0xff, 0x7f, 'a', '.'},
		"a text of 2^63 bytes":      {0x8d, 0, 0, 0, 0, 0, 0, 0, 0x80, 'a', '.'},
		"a wide number":             append(append([]byte{0x8a, 9}, make([]byte, 9)...), '.'),
		"protocol 6":                {0x80, 6, 'N', '.'},
		"a mark as a value":         []byte("(."),
		"a key without a value":     []byte("(Nd."),
		"a list that holds itself":  []byte("]q\x00h\x00a."),
		"a value that is not there": []byte("h\x07."),
		"a text that is filled":     []byte("\x8c\x01aNa."),
		"a bomb":                    bomb,
		"very deep":                 append(append(bytes.Repeat([]byte{']'}, 40), bytes.Repeat([]byte{'a'}, 39)...), '.'),
		"very many":                 append(append([]byte("]("), bytes.Repeat([]byte{'N'}, MaxValues)...), "e."...),
		"very long":                 append(bytes.Repeat([]byte{'N'}, MaxBytes), '.'),
	} {
		if v, err := Unmarshal(data); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %.100v, %v", name, v, err)
		}
	}
}

// TestAPickleTakesLittleMemory: the worst that a megabyte can ask for.
func TestAPickleTakesLittleMemory(t *testing.T) {
	for name, data := range map[string][]byte{
		"lists":  append(append([]byte("]("), bytes.Repeat([]byte{']'}, MaxBytes-4)...), "e."...),
		"marks":  bytes.Repeat([]byte{'('}, MaxBytes),
		"memo":   append([]byte{'N'}, bytes.Repeat([]byte{0x94}, MaxBytes-2)...),
		"tuples": append(append([]byte("N"), bytes.Repeat([]byte{0x85}, MaxBytes-2)...), '.'),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := Unmarshal(data); !errors.Is(err, ErrRefused) {
			t.Errorf("%s: %v", name, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > 64<<20 {
			t.Errorf("%s: %d MB were allocated", name, took>>20)
		}
	}
}

func TestUnknownTypesAreNotWritten(t *testing.T) {
	for _, v := range []any{struct{}{}, List{make(chan int)}, Dict{{"a", uint(1)}}} {
		if b, err := Marshal(v); err == nil {
			t.Errorf("%T: %q", v, b)
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, v := range values() {
		data, err := Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		if len(data) < 4096 {
			f.Add(data)
		}
	}
	f.Add([]byte("(lp0\nS'ping'\np1\na."))
	f.Add([]byte("\x80\x02]q\x00(U\x04pingq\x01K\x07M\x00\x01J\xff\xff\xff\xffe."))
	f.Add([]byte("ccopy_reg\n_reconstructor\n(c__main__\nX\nNtR."))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := Unmarshal(data)
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("%v", err)
			}
			return
		}
		again, err := Marshal(v)
		if err != nil {
			t.Fatalf("what was read cannot be written: %#v: %v", v, err)
		}
		if len(again) > MaxBytes {
			return
		}
		if w, err := Unmarshal(again); err != nil || fmt.Sprintf("%#v", w) != fmt.Sprintf("%#v", v) {
			t.Fatalf("%#v comes back as %#v, %v", v, w, err)
		}
	})
}

func jsonOf(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
