package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAKeyIsReadFromWhereItIs(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "key")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(file, "  k-1\n")
	write(filepath.Join(dir, "two"), "a\nb\n")
	write(filepath.Join(dir, "empty"), "\n")
	write(filepath.Join(dir, "long"), strings.Repeat("x", maxKey+1))
	t.Setenv(credentials, dir)
	t.Setenv("A_KEY", "k-2")
	for _, c := range []struct{ ref, want, wrong string }{
		{"file:" + file, "k-1", ""},
		{"cred:key", "k-1", ""},
		{"env:A_KEY", "k-2", ""},
		{" wayscloud_ip_x ", "wayscloud_ip_x", ""},
		{"with:colon", "with:colon", ""},
		{"file:relative", "", "whole path"},
		{"file:" + filepath.Join(dir, "none"), "", "no such file"},
		{"file:" + dir, "", "is no file"},
		{"file:" + filepath.Join(dir, "two"), "", "more than one line"},
		{"file:" + filepath.Join(dir, "empty"), "", "there is no key"},
		{"file:" + filepath.Join(dir, "long"), "", "longer than"},
		{"cred:../key", "", "no name of a credential"},
		{"env:NO_SUCH_KEY", "", "there is no key in env:NO_SUCH_KEY"},
		{"", "", "there is no key"},
	} {
		got, err := Parse(c.ref).Read()
		switch {
		case c.wrong == "" && (err != nil || got != c.want):
			t.Errorf("%q: %q, %v", c.ref, got, err)
		case c.wrong != "" && (err == nil || !strings.Contains(err.Error(), c.wrong)):
			t.Errorf("%q: %v, want an error with %q", c.ref, err, c.wrong)
		}
	}
	write(file, "k-3")
	if got, err := Parse("file:" + file).Read(); got != "k-3" {
		t.Errorf("a key that was exchanged is read as %q, %v", got, err)
	}
	t.Setenv(credentials, "")
	if _, err := Parse("cred:key").Read(); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "LoadCredential=key:") {
		t.Errorf("without credentials: %v", err)
	}
}

func TestAKeyIsNeverShown(t *testing.T) {
	r := Parse("a-very-secret-key")
	j, err := json.Marshal(map[string]any{"key": r, "in": struct{ Key Ref }{r}})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", r, "in", struct{ Key Ref }{r})
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "key", r, "in", struct{ Key Ref }{r})
	for _, shown := range []string{r.String(), fmt.Sprintf("%v %+v %#v %s %q", r, r, r, r, r), fmt.Sprintf("%+v %#v", struct{ Key Ref }{r}, &struct{ Key Ref }{r}), string(j), log.String()} {
		if strings.Contains(shown, "secret-key") {
			t.Errorf("shown: %s", shown)
		}
	}
	if !r.Given() || !r.Inline() || Parse("").Given() || Parse("file:/x").Inline() {
		t.Error("what is given is not told from what is not")
	}
}

func TestAFileThatEverybodyMayReadIsTold(t *testing.T) {
	file := filepath.Join(t.TempDir(), "key")
	for mode, open := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o644: true} {
		if err := errors.Join(os.WriteFile(file, []byte("k"), mode), os.Chmod(file, mode)); err != nil {
			t.Fatal(err)
		}
		if Parse("file:"+file).Open() != open {
			t.Errorf("mode %o: open is %v", mode, !open)
		}
	}
}
