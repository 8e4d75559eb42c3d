package config

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// randomTexts makes n texts of up to most of the pieces. The seed is fixed.
func randomTexts(seed uint64, n, most int, pieces ...string) []string {
	r := rand.New(rand.NewPCG(seed, 11))
	texts := make([]string, n)
	for i := range texts {
		var b strings.Builder
		for range r.IntN(most + 1) {
			b.WriteString(pieces[r.IntN(len(pieces))])
		}
		texts[i] = b.String()
	}
	return texts
}

const intScript = `
import json, sys
def read(text):
    try:
        return int(text)
    except ValueError:
        return None
json.dump([read(t) for t in json.load(sys.stdin)], sys.stdout)
`

func TestWholeNumbersEqualPythons(t *testing.T) {
	texts := randomTexts(1, 3000, 6, "0", "1", "7", "42", "_", "-", "+", " ", "\n", "\t", "\u00a0", "٣", "４", "५", "²", "x", ".", "e", "\x1f", "\U0001d7d8", "\U0001d7ff")
	var theirs []*int
	oracle.JSON(t, intScript, mustJSON(t, texts), &theirs)
	read := 0
	for i, want := range theirs {
		got, err := parseInt(texts[i])
		switch {
		case want == nil && err == nil:
			t.Errorf("%q: Python refuses it, we read %d", texts[i], got)
		case want != nil && (err != nil || got != *want):
			t.Errorf("%q: we read %d, %v; Python %d", texts[i], got, err, *want)
		case want != nil:
			read++
		}
	}
	if read < len(texts)/10 {
		t.Errorf("Python reads only %d of %d numbers: the test has become blind", read, len(texts))
	}
}

const shellScript = `
import json, shlex, sys
def split(text):
    try:
        return shlex.split(text)
    except ValueError:
        return None
json.dump([split(t) for t in json.load(sys.stdin)], sys.stdout)
`

func TestShellWordsEqualPythons(t *testing.T) {
	texts := randomTexts(2, 3000, 9, "a", "b=c", " ", "\t", "'", "\"", "\\", "\\\"", "\\'", "+", "#", "$x", "''", "\"\"", "ü", "\u00a0", "\v", "\r", "x y", "`")
	var theirs [][]string
	oracle.JSON(t, shellScript, mustJSON(t, texts), &theirs)
	split := 0
	for i, want := range theirs {
		got, err := shellWords(texts[i])
		switch {
		case want == nil && err == nil:
			t.Errorf("%q: Python refuses it, we split it into %q", texts[i], got)
		case want != nil && (err != nil || strings.Join(got, "\x00") != strings.Join(want, "\x00") || len(got) != len(want)):
			t.Errorf("%q: ours %q, %v; Python's %q", texts[i], got, err, want)
		case want != nil:
			split++
		}
	}
	if split < len(texts)/4 {
		t.Errorf("Python splits only %d of %d texts: the test has become blind", split, len(texts))
	}
}

const objectScript = `
import json, sys
json.dump([json.dumps({"a": t, t: "b"}) for t in json.load(sys.stdin)], sys.stdout)
`

func TestArgumentsOfPythonActionsEqualPythons(t *testing.T) {
	texts := randomTexts(3, 500, 5, "a", "b", "\"", "\\", "/", "<", "&", "\n", "\r", "\t", "\b", "\f", "\x00", "\x1f", "\x7f", "~", "ü", "\u2028", "😀", "\ufffd")
	var theirs []string
	oracle.JSON(t, objectScript, mustJSON(t, texts), &theirs)
	for i, want := range theirs {
		params := setParam([]Param{{"a", texts[i]}}, texts[i], "b")
		if got := jsonObject(params); got != want {
			t.Errorf("%q: ours %s, Python's %s", texts[i], got, want)
		}
	}
}

const globScript = `
import glob, json, os, sys
job = json.load(sys.stdin)
json.dump([sorted(p for p in glob.glob(job["dir"] + "/" + t) if os.path.exists(p)) for t in job["patterns"]], sys.stdout)
`

func TestPatternsOfLogsEqualPythons(t *testing.T) {
	dir := t.TempDir()
	files := map[string]string{}
	for _, name := range randomTexts(4, 150, 3, "a", "b", ".", "-", "[", "]", "!", "^", "ü", "log", "/", "1", " ", "*", "?") {
		if name = filepath.Clean("x" + name); name != "x" {
			files[name] = ""
		}
	}
	made := 0
	for name := range files { // a name may be a file and, of another, a folder: the first that comes has it
		path := filepath.Join(dir, name)
		if os.MkdirAll(filepath.Dir(path), 0o755) == nil && os.WriteFile(path, nil, 0o644) == nil {
			made++
		}
	}
	if err := os.Symlink(filepath.Join(dir, "nowhere"), filepath.Join(dir, "xdangling")); err != nil {
		t.Fatal(err)
	}
	if made < 50 {
		t.Fatalf("only %d files", made)
	}
	patterns := randomTexts(5, 1500, 5, "x", "*", "?", "[", "]", "[a-b]", "[!a]", "[^a]", "[]a]", "[a-]", "[b-a]", "a", "b", ".", "/", "ü", "log", "1", "-", "**", " ")
	for i, p := range patterns { // what has no pattern behind the last slash keeps its spelling, as it should
		if p = strings.Trim(p, "/"); p == "" || strings.Contains(p, "//") || strings.Contains(p, "./") || strings.HasSuffix(p, ".") {
			p = "x*"
		}
		patterns[i] = p
	}
	var theirs [][]string
	oracle.JSON(t, globScript, mustJSON(t, map[string]any{"dir": dir, "patterns": patterns}), &theirs)
	found := 0
	for i, want := range theirs {
		got, err := glob(os.DirFS("/"), dir+"/"+patterns[i])
		if err != nil {
			t.Fatal(err)
		}
		if len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("%s\n ours   %q\n python %q", patterns[i], got, want)
		}
		found += len(want)
	}
	if found < 1000 {
		t.Errorf("the patterns find only %d files: the test has become blind", found)
	}
}

// includeTree is a random graph of files that include each other. For each pair of them there is a key
// that both set: its value tells which one came later.
func includeTree(r *rand.Rand) map[string]string {
	names := []string{"jail.conf", "jail.local", "a.conf", "a.local", "b.conf", "b.local", "c.conf", "d.local"}
	files := map[string]string{}
	var all strings.Builder
	for i := range names {
		for j := range i {
			fmt.Fprintf(&all, "%%(p%d-%d)s ", j, i)
		}
	}
	for i, name := range names {
		if i > 0 && r.IntN(4) == 0 {
			continue
		}
		var b strings.Builder
		b.WriteString("[INCLUDES]\n")
		for _, key := range []string{"before", "after"} {
			b.WriteString(key + " =")
			for range max(0, r.IntN(5)-2) {
				b.WriteString("\n   " + names[r.IntN(len(names))])
			}
			b.WriteByte('\n')
		}
		b.WriteString("[DEFAULT]\n")
		for j := range names {
			switch {
			case j < i:
				fmt.Fprintf(&b, "p%d-%d = %d\n", j, i, i)
			case j > i:
				fmt.Fprintf(&b, "p%d-%d = %d\n", i, j, i)
			}
		}
		fmt.Fprintf(&b, "[j]\nlast = %d\n[only%d]\nenabled = true\n", i, i)
		files[name] = b.String()
	}
	var preset strings.Builder
	preset.WriteString("[j]\nenabled = true\nlast = x\nignorecommand = " + all.String() + "%(last)s %(known/last)s\n[DEFAULT]\n")
	for i := range names {
		for j := range i {
			fmt.Fprintf(&preset, "p%d-%d = -\n", j, i)
		}
	}
	files["jail.d/0.conf"] = preset.String()
	return files
}

func TestIncludesComeInFail2bansOrder(t *testing.T) {
	base := t.TempDir()
	var dirs []string
	for seed := range uint64(80) {
		dir := filepath.Join(base, strconv.FormatUint(seed, 10))
		writeFiles(t, dir, includeTree(rand.New(rand.NewPCG(seed, 21))))
		dirs = append(dirs, dir)
	}
	read := 0
	for i, theirs := range batch(t, dirs) {
		ours, err := Load(Options{Dir: dirs[i], Release: Release10, Version: "1.0.2"})
		if err != nil {
			t.Fatal(err)
		}
		if theirs.Stream == nil {
			continue // a circle by way of a .local: fail2ban follows it until Python ends it
		}
		read++
		for _, d := range diff(comparableStream(t, ours.Stream()), comparableStream(t, theirs.Stream)) {
			t.Errorf("seed %d: %s", i, d)
		}
	}
	if read < len(dirs)/2 {
		t.Errorf("fail2ban takes only %d of %d trees: the test has become blind", read, len(dirs))
	}
}
