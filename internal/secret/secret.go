// Package secret reads keys of other services from where a configuration says they are, and keeps them
// out of everything that is shown.
package secret

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"unicode"
)

// maxKey bounds a key, in bytes; those of the services known are below a hundred.
const maxKey = 8 << 10

// Where a key is, as a configuration writes it.
const (
	fromFile       = "file:"
	fromCredential = "cred:"
	fromEnv        = "env:"
)

// credentials is the variable by which systemd names the folder of a service's credentials.
const credentials = "CREDENTIALS_DIRECTORY"

// ErrMissing says that there is no key where one should be.
var ErrMissing = errors.New("there is no key")

// Ref says where a key is. It never shows the key, however it is printed. The zero value is no key.
type Ref struct{ text string }

// Parse takes where a key is: "file:PATH", "cred:NAME" (a credential of the systemd unit), "env:NAME", or the
// key itself.
func Parse(text string) Ref { return Ref{strings.TrimSpace(text)} }

// Given reports whether there is one.
func (r Ref) Given() bool { return r.text != "" }

// Inline reports whether the key itself stands in the configuration.
func (r Ref) Inline() bool {
	return r.Given() && !strings.HasPrefix(r.text, fromFile) && !strings.HasPrefix(r.text, fromCredential) && !strings.HasPrefix(r.text, fromEnv)
}

// Read gives the key. It is read anew each time, so that one that was exchanged counts at once. The error
// says where it was looked for and never holds the key.
func (r Ref) Read() (string, error) {
	kind, name, _ := strings.Cut(r.text, ":")
	var key string
	switch kind + ":" {
	case fromFile:
		if !filepath.IsAbs(name) {
			return "", fmt.Errorf("read the key from %q: write the whole path, as file:/etc/agentd/key", name)
		}
		b, err := readFile(name)
		if err != nil {
			return "", fmt.Errorf("read the key: %w", err)
		}
		key = b
	case fromCredential:
		dir := os.Getenv(credentials)
		switch {
		case dir == "":
			return "", fmt.Errorf("%w: credential %q: the service was given none; write LoadCredential=%s:PATH into its unit", ErrMissing, name, name)
		case name == "" || name != filepath.Base(name) || name == "." || name == "..":
			return "", fmt.Errorf("%w: %q is no name of a credential", ErrMissing, name)
		}
		b, err := readFile(filepath.Join(dir, name))
		if err != nil {
			return "", fmt.Errorf("read the key from the unit's credential %q: %w", name, err)
		}
		key = b
	case fromEnv:
		key = os.Getenv(name)
	default:
		key = r.text
	}
	key = strings.TrimSpace(key)
	switch {
	case key == "":
		return "", fmt.Errorf("%w in %s", ErrMissing, r)
	case len(key) > maxKey:
		return "", fmt.Errorf("the key in %s is longer than %d bytes", r, maxKey)
	case strings.ContainsFunc(key, unicode.IsControl):
		return "", fmt.Errorf("the key in %s has more than one line, or control characters", r)
	}
	return key, nil
}

func readFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return "", err
	}
	if !st.Mode().IsRegular() {
		return "", fmt.Errorf("%s is no file", path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	return string(b), err
}

// Open reports whether others than its owner and its group's may read the file that the key is in.
func (r Ref) Open() bool {
	path, ok := strings.CutPrefix(r.text, fromFile)
	if !ok {
		return false
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().Perm()&0o004 != 0
}

// String says where the key is, not what it is.
func (r Ref) String() string {
	switch {
	case !r.Given():
		return "(none)"
	case r.Inline():
		return "(a key)"
	}
	return r.text
}

// GoString implements fmt.GoStringer.
func (r Ref) GoString() string { return "secret.Ref" + r.String() }

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// LogValue implements slog.LogValuer.
func (r Ref) LogValue() slog.Value { return slog.StringValue(r.String()) }
