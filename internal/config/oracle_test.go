package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// reprScript turns the lines that fail2ban-client prints, Python values, into JSON.
const reprScript = `
import ast, json, sys
out = []
for line in sys.stdin.buffer.read().decode("utf-8", "surrogateescape").splitlines():
    if line.startswith("["):
        out.append(ast.literal_eval(line))
json.dump(out, sys.stdout)
`

// oracleStream runs fail2ban's own client on a folder and gives the commands that it would send.
// ok is false if it refused the configuration as a whole; why is what it said.
func oracleStream(t *testing.T, dir string) (stream [][]any, why string, ok bool) {
	t.Helper()
	cmd := oracle.Program(t, "fail2ban-client", "-c", dir, "-d")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, stdout.String() + stderr.String(), false
	}
	oracle.JSON(t, reprScript, stdout.Bytes(), &stream)
	return stream, stderr.String(), true
}

// comparableStream writes commands one a line, for a comparison: as JSON, without the text of a
// config-error, which is ours, and with the log files of a jail in order, which fail2ban lists as
// the disk does.
func comparableStream(t *testing.T, stream [][]any) []string {
	t.Helper()
	var out []string
	for _, c := range stream {
		if c[0] == "config-error" {
			name, _, _ := strings.Cut(fmt.Sprint(c[1]), " skipped")
			out = append(out, name+" skipped")
			continue
		}
		var b strings.Builder
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(c); err != nil {
			t.Fatal(err)
		}
		out = append(out, strings.TrimSpace(b.String()))
	}
	isPath := func(s string) bool { return strings.Contains(s, `"addlogpath"`) }
	for i := 0; i < len(out); i++ {
		j := i
		for j < len(out) && isPath(out[j]) {
			j++
		}
		slices.Sort(out[i:j])
	}
	return out
}

// diff gives the lines that are in one list and not in the other, in order.
func diff(ours, theirs []string) []string {
	var d []string
	i, j := 0, 0
	for i < len(ours) || j < len(theirs) {
		switch {
		case i < len(ours) && j < len(theirs) && ours[i] == theirs[j]:
			i++
			j++
		case i < len(ours) && !slices.Contains(theirs[j:], ours[i]):
			d = append(d, "ours:   "+ours[i])
			i++
		case j < len(theirs) && !slices.Contains(ours[i:], theirs[j]):
			d = append(d, "theirs: "+theirs[j])
			j++
		default:
			d = append(d, "order:  "+ours[i])
			j += slices.Index(theirs[j:], ours[i]) + 1
			i++
		}
	}
	return d
}

// writeTree writes files, given by name, into a new folder.
func writeTree(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, files)
	return dir
}

func writeFiles(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// parseTree reads an archive: the text of each file stands below a line "-- name --"; what is above
// the first is a comment.
func parseTree(text string) map[string]string {
	files := map[string]string{}
	var name string
	for line := range strings.Lines(text) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "-- "); ok && strings.HasSuffix(n, " --") {
			name = strings.TrimSuffix(n, " --")
			files[name] = ""
		} else if name != "" {
			files[name] += line
		}
	}
	return files
}

// Every jail of Debian's package, enabled, with the longest of its standard actions.
func TestStreamOfDebiansJailsEqualsFail2bans(t *testing.T) {
	root := oracle.Fail2ban(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "etc/fail2ban"))); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "jail.local"), []byte("[DEFAULT]\nenabled = true\naction = %(action_mwl)s\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	sameStream(t, dir)
}

// What a Debian machine runs out of the box: sshd alone.
func TestStreamOfDebiansDefaultEqualsFail2bans(t *testing.T) {
	sameStream(t, filepath.Join(oracle.Fail2ban(t), "etc/fail2ban"))
}

// sameStream compares our commands for a folder with those of fail2ban's client.
func sameStream(t *testing.T, dir string) {
	t.Helper()
	theirs, why, ok := oracleStream(t, dir)
	if !ok {
		t.Fatalf("fail2ban refuses the configuration: %s", why)
	}
	c, err := Load(Options{Dir: dir, Release: Release10, Version: "1.0.2"})
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range diff(comparableStream(t, c.Stream()), comparableStream(t, theirs)) {
		t.Error(d)
	}
	if t.Failed() {
		for _, p := range c.Problems {
			t.Log(p)
		}
	}
}
