package config

import (
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// flat gives the values of a file as section/key.
func flat(f *iniFile) map[string]string {
	m := map[string]string{}
	for _, s := range append([]*section{f.defaults}, f.sections...) {
		for _, k := range s.keys {
			m[s.name+"/"+k] = s.byKey[k].value
		}
	}
	return m
}

func TestINIValues(t *testing.T) {
	tests := map[string]struct {
		text string
		want map[string]string
	}{
		"equals or colon, whichever comes first":    {"[s]\na = 1:2\nb: 1=2\nc=\nd", map[string]string{"s/a": "1:2", "s/b": "1=2", "s/c": ""}},
		"keys are folded, sections are not":         {"[Sec]\nKey = V", map[string]string{"Sec/key": "V"}},
		"keys are folded as Go folds them":          {"[s]\nİA = 1\nΑΣ = 2", map[string]string{"s/ia": "1", "s/ασ": "2"}},
		"semicolon behind blank begins a comment":   {"[s]\na = x ; c\nb = x;c\nc = x\t;c\nd = ; c", map[string]string{"s/a": "x", "s/b": "x;c", "s/c": "x", "s/d": ""}},
		"number sign does so only at line start":    {"[s]\na = 5 # y\n  # gone\n#gone\nb = #kept", map[string]string{"s/a": "5 # y", "s/b": "#kept"}},
		"deeper lines continue":                     {"[s]\na = 1\n  2\n\t3\nb = 4", map[string]string{"s/a": "1\n2\n3", "s/b": "4"}},
		"comments inside a value vanish":            {"[s]\na = 1\n  ; gone\n# gone\n  2", map[string]string{"s/a": "1\n2"}},
		"blank lines inside a value stay":           {"[s]\na = 1\n\n  2\n\n\nb = 3", map[string]string{"s/a": "1\n\n2", "s/b": "3"}},
		"same indent is a new key":                  {"[s]\n  a = 1\n  b = 2\n", map[string]string{"s/a": "1", "s/b": "2"}},
		"indented option under another continues":   {"[s]\na = 1\n b = 2\n", map[string]string{"s/a": "1\nb = 2"}},
		"indented header under an option continues": {"[s]\na = 1\n [t]\n", map[string]string{"s/a": "1\n[t]"}},
		"header runs to the last bracket":           {"[a]b]\nk = 1\n[c] junk\nk = 2", map[string]string{"a]b/k": "1", "c/k": "2"}},
		"quotes stay":                               {"[s]\na = \"x\"", map[string]string{"s/a": "\"x\""}},
		"carriage returns end lines":                {"[s]\r\na = 1\r\n  2\rb = 3\n", map[string]string{"s/a": "1\n2", "s/b": "3"}},
		"defaults may come in pieces":               {"[DEFAULT]\na = 1\n[s]\n[DEFAULT]\nb = 2", map[string]string{"DEFAULT/a": "1", "DEFAULT/b": "2"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := flat(parseINI("f", tt.text)); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestINIProblemsNameTheirPlace(t *testing.T) {
	tests := map[string]struct {
		text string
		want string // the beginning of the problem
	}{
		"duplicate key":      {"[s]\na = 1\nb = 2\nA = 3\n", "f:4 [s] a = 3: this key was already set in line 2"},
		"duplicate section":  {"[s]\na = 1\n[t]\n[s]\nb = 2\n", "f:4 [s]: this section was already there in line 1"},
		"no equals sign":     {"[s]\nbantime 10m\n", "f:2 [s]: neither key = value nor a section: bantime 10m (indent"},
		"no key":             {"[s]\n= 1\n", "f:2 [s]: neither key"},
		"text before header": {"\nbantime = 1\n[s]\n", "f:2: text before the first [section]: bantime = 1 (put [DEFAULT]"},
		"not UTF-8":          {"[s]\na = \xff\n", "f:2 [s] a = \ufffd: the line is not UTF-8"},
		"byte order mark":    {"\ufeff[s]\na = 1\n", "f:1: the file begins with a byte order mark"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			f := parseINI("f", tt.text)
			if len(f.problems) != 1 || !strings.HasPrefix(f.problems[0].Error(), tt.want) {
				t.Errorf("got %v, want one that begins %q", f.problems, tt.want)
			}
		})
	}
}

func TestINIBytesThatAreNotUTF8DoNoHarmInComments(t *testing.T) {
	f := parseINI("f", "[s]\n# \xff\na = 1 ; \xe4\n")
	if len(f.problems) != 0 || flat(f)["s/a"] != "1" {
		t.Errorf("problems %v, values %q", f.problems, flat(f))
	}
}

func TestINIMarksWhatAStrayLineOfTheDefaultsMayMean(t *testing.T) {
	f := parseINI("f", "[DEFAULT]\nignoreip = 1\n10.0.0.1\nmaxretry = 3\nbantime 1h\n")
	for key, doubtful := range map[string]bool{"ignoreip": true, "maxretry": true, "bantime": true, "findtime": false} {
		if got := f.defaults.byKey[key].taint != nil; got != doubtful {
			t.Errorf("%s doubtful: %v, want %v", key, got, doubtful)
		}
	}
}

// iniScript parses texts with Python's own parser, set up as fail2ban does, and as it reads files: a
// lone CR ends a line.
const iniScript = `
import configparser, io, json, sys
out = []
for text in json.load(sys.stdin):
    p = configparser.ConfigParser(interpolation=None, inline_comment_prefixes=";")
    try:
        p.read_file(io.StringIO(text, newline=None))
    except configparser.Error as e:
        out.append(None)
        continue
    all = {"DEFAULT/" + k: v for k, v in p.defaults().items()}
    for s in p.sections():
        for k, v in p._sections[s].items():
            all[s + "/" + k] = v
    out.append(all)
json.dump(out, sys.stdout)
`

// The pieces hold no İ and no Σ: Python turns the first into two characters, and the second at the end
// of a word into another one than within it, where our keys have i and σ.
func TestINIEqualsPythons(t *testing.T) {
	pieces := []string{
		"[s]", "[t]", "[DEFAULT]", "[]", "[", "]", "a", "b", "c d", "=", ":", " = ", "1", "x y", ";", " ;", "#", " ", "  ", "\t",
		"\n", "\n", "\n", "\n  ", "\n\t", "\r\n", "\n\n", "\u00a0", "\x1c", "ü", "[s]\n", "a = 1\n", "b: 2\n", "  deeper\n", "c =\n",
		"\r", "\v", "\f", "\u2028", "\u3000", "ẞ", "\x00", "[s ;]", "[a][b]", "[DEFAULT] x\n", "%(a)s", "# no\n", "  ; no\n", "a;b", "\t[t]\n", "A = 2\n",
	}
	r := rand.New(rand.NewPCG(3, 4))
	texts := make([]string, 5000)
	for i := range texts {
		var b strings.Builder
		if r.IntN(8) > 0 {
			b.WriteString("[s]\n")
		}
		for range r.IntN(14) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts[i] = b.String()
	}
	var theirs []map[string]string
	oracle.JSON(t, iniScript, mustJSON(t, texts), &theirs)
	parsed := 0
	for i, want := range theirs {
		f := parseINI("f", texts[i])
		if want == nil {
			if len(f.problems) == 0 {
				t.Errorf("%q: Python refuses it, we do not", texts[i])
			}
			continue
		}
		parsed++
		if len(f.problems) > 0 {
			t.Errorf("%q: %v, Python takes it", texts[i], f.problems)
		}
		if got := flat(f); !reflect.DeepEqual(got, want) {
			t.Errorf("%q\n ours   %q\n python %q", texts[i], got, want)
		}
	}
	if parsed < len(texts)/4 {
		t.Errorf("Python takes only %d of %d texts: the test has become blind", parsed, len(texts))
	}
}
