package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the transcripts anew; read the diff before committing it")

// TestTranscripts replays testdata/*.txt. A line "$ agentctl …" is a command; what follows, up to the
// next command or comment (#), is what it says: lines of stderr begin with "! ", and an exit status
// other than 0 stands last as [exit N]. The name of the file says what the daemon is like.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no transcripts: %v", err)
	}
	for _, path := range paths {
		state := strings.TrimSuffix(filepath.Base(path), ".txt")
		t.Run(state, func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			golden, err := filepath.Abs(path)
			if err != nil {
				t.Fatal(err)
			}
			stage(t, state)
			got := playBack(t, string(text))
			if got == string(text) {
				return
			}
			if *rewrite {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("%s (-rewrite accepts what is new):\n%s", path, firstDifference(got, string(text)))
		})
	}
}

// stage goes to a folder where the socket is called agentd.sock, so that transcripts can name it.
func stage(t *testing.T, state string) {
	t.Helper()
	socket := ""
	switch state {
	case "stopped":
	case "wrong-socket":
		socket = filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(socket, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		socket = serve(t, state)
	}
	t.Chdir(t.TempDir())
	if socket == "" {
		return
	}
	if err := os.Symlink(socket, "agentd.sock"); err != nil {
		t.Fatal(err)
	}
}

// replay runs the commands of a transcript and gives it as it is now.
func playBack(t *testing.T, text string) string {
	t.Helper()
	var b strings.Builder
	inAnswer := false
	for line := range strings.Lines(text) {
		command, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "$ agentctl")
		switch {
		case ok:
			inAnswer = true
			code, out, talk := agentctl(t, append([]string{"-s", "agentd.sock"}, words(command)...)...)
			b.WriteString(line + out)
			for l := range strings.Lines(talk) {
				b.WriteString("! " + l)
			}
			if code != 0 {
				fmt.Fprintf(&b, "[exit %d]\n", code)
			}
			b.WriteString("\n")
		case strings.HasPrefix(line, "#"):
			inAnswer = false
			b.WriteString(line)
		case !inAnswer:
			b.WriteString(line)
		}
	}
	return b.String()
}

// words splits a command line at spaces outside of double quotes.
func words(s string) []string {
	var out []string
	for i, part := range strings.Split(s, `"`) {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return fmt.Sprintf("line %d\n got: %s\nwant: %s", i+1, g[i], w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}
