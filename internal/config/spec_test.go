package config

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestParseSpec(t *testing.T) {
	tests := map[string]Spec{
		`sshd`:                            {Name: "sshd"},
		`sshd[mode=aggressive]`:           {"sshd", []Param{{"mode", "aggressive"}}},
		`a[port="ssh,22"][name=x, p='u']`: {"a", []Param{{"port", "ssh,22"}, {"name", "x"}, {"p", "u"}}},
		`a[b=c d]`:                        {"a", []Param{{"b", "c d"}}},
		`a[b=1][b=2]`:                     {"a", []Param{{"b", "2"}}},
		"a[b=1,\n c=2] [d=3]\n[e=4]":      {"a", []Param{{"b", "1"}, {"c", "2"}, {"d", "3"}, {"e", "4"}}},
		`a[b="]"]`:                        {"a", []Param{{"b", "]"}}},
		`a[b=, c=""]`:                     {"a", []Param{{"b", ""}, {"c", ""}}},
		`a[b=1,]`:                         {"a", []Param{{"b", "1"}}},
		`a[b=it's]`:                       {"a", []Param{{"b", "it's"}}},
		`a[b?family=inet6="x y"]`:         {"a", []Param{{"b?family=inet6", "x y"}}},
		`a[b=c=d]`:                        {"a", []Param{{"b", "c=d"}}},
		`a[]`:                             {Name: "a"},
		`a [b=1]`:                         {"a ", []Param{{"b", "1"}}},
	}
	for text, want := range tests {
		t.Run(text, func(t *testing.T) {
			got, err := ParseSpec(text)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %#v, %v; want %#v", got, err, want)
			}
		})
	}
}

func TestParseSpecSaysWhereItStopped(t *testing.T) {
	tests := map[string]int{
		`a[b]`:         3,
		`a[b = c]`:     3,
		`a[b="x" y]`:   7,
		`a[b=x]y`:      6,
		`a[b="c"d"]`:   7,
		`a[b=1,,c=2]`:  6,
		`a[b=1`:        4,
		`[b=1]`:        1,
		`a[][b=1]`:     4,
		`a[b?x=1]`:     7,
		`a[b?=1]`:      4,
		"a[b=\"1\" ] ": 7,
	}
	for text, offset := range tests {
		t.Run(text, func(t *testing.T) {
			_, err := ParseSpec(text)
			var se *SpecError
			if !errors.As(err, &se) || se.Offset != offset {
				t.Errorf("got %v (%+v), want offset %d", err, se, offset)
			}
		})
	}
}

func TestSplitSpecsSeparatesAtWhiteSpaceOutsideOfBrackets(t *testing.T) {
	got, err := SplitSpecs("\n one[a=\"1\n 2\"]\n\ttwo  three[b=1] [c=2] four\n")
	want := []Spec{
		{"one", []Param{{"a", "1\n 2"}}},
		{Name: "two"},
		{"three", []Param{{"b", "1"}, {"c", "2"}}},
		{Name: "four"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %#v, %v", got, err)
	}
}

func TestSplitSpecsOfNothing(t *testing.T) {
	if got, err := SplitSpecs(" \n "); len(got) != 0 || err != nil {
		t.Errorf("got %v, %v", got, err)
	}
}

const specScript = `
import json, sys
from fail2ban.helpers import extractOptions
out = []
for text in json.load(sys.stdin):
    try:
        name, options = extractOptions(text)
        out.append([name, options])
    except Exception:
        out.append(None)
json.dump(out, sys.stdout)
`

// An empty group that is not the last one of several commas is where the two differ: we read
// "[ ,]", fail2ban does not.
func TestParseSpecEqualsFail2bans(t *testing.T) {
	pieces := []string{`[`, `]`, `,`, `=`, `"`, `'`, `a`, `b.c-d`, ` `, `x y`, `[a=1]`, `[b="2,3"`, `'q]'`, `[c=`, `][`, `] [`, `, d=`, "\n", `<t>`}
	r := rand.New(rand.NewPCG(5, 6))
	texts := make([]string, 3000)
	for i := range texts {
		var b strings.Builder
		b.WriteString("n")
		for range r.IntN(9) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts[i] = strings.TrimSpace(b.String())
	}
	var theirs []json.RawMessage
	oracle.JSON(t, specScript, mustJSON(t, texts), &theirs)
	accepted := 0
	for i, raw := range theirs {
		got, err := ParseSpec(texts[i])
		if string(raw) == "null" {
			if err == nil && !strings.Contains(strings.ReplaceAll(texts[i], "\n", " "), "[ ,") {
				t.Errorf("%q: fail2ban refuses it, we read %#v", texts[i], got)
			}
			continue
		}
		accepted++
		var pair [2]json.RawMessage
		var name string
		options := map[string]string{}
		if json.Unmarshal(raw, &pair) != nil || json.Unmarshal(pair[0], &name) != nil || json.Unmarshal(pair[1], &options) != nil {
			t.Fatalf("oracle gave %s", raw)
		}
		ours := map[string]string{}
		for _, p := range got.Params {
			ours[p.Name] = p.Value
		}
		if err != nil || got.Name != name || !reflect.DeepEqual(ours, options) {
			t.Errorf("%q: ours %#v, %v; fail2ban's %s", texts[i], got, err, raw)
		}
	}
	if accepted < len(texts)/10 {
		t.Errorf("fail2ban takes only %d of %d specs: the test has become blind", accepted, len(texts))
	}
}
