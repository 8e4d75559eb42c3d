package source_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/oracle"
	"github.com/palisade-agent/palisade/internal/source"
)

func TestMatches(t *testing.T) {
	for _, tc := range []struct {
		pattern, path string
		want          bool
	}{
		{"/var/log/auth.log", "/var/log/auth.log", true},
		{"/var/log/auth.log", "/var/log/auth.log.1", false},
		{"/var/log//auth.log", "/var/log/./auth.log", true},
		{"/var/log/*.log", "/var/log/a.log", true},
		{"/var/log/*.log", "/var/log/.log", false},
		{"/var/log/*.log", "/var/log/.hidden.log", false},
		{"/var/log/.*.log", "/var/log/.hidden.log", true},
		{"/var/log/*.log", "/var/log/sub/a.log", false},
		{"/var/*/a.log", "/var/log/a.log", true},
		{"/var/**/a.log", "/var/log/sub/a.log", false},
		{"/var/**/a.log", "/var/log/a.log", true},
		{"/srv/*/logs/access*.log", "/srv/site/logs/access_ssl.log", true},
		{"a?c", "abc", true},
		{"a?c", "ac", false},
		{"a?c", "aéc", true},
		{"a*b*c", "aXbXbXc", true},
		{"a*b*c", "aXbXbX", false},
		{"[ab]x", "bx", true},
		{"[!ab]x", "bx", false},
		{"[!ab]x", "cx", true},
		{"[a-c]x", "bx", true},
		{"[a-]x", "-x", true},
		{"[]]x", "]x", true},
		{"[!]]x", "]x", false},
		{"[", "[", true},
		{"[a", "[a", true},
		{"a[b", "ab", false},
		{`a\*`, `a\b`, true},
		{`a\*`, `a*`, false},
		{"[^a]", "^", true},
		{"[^a]", "b", false},
		{"", "a", false},
	} {
		if got := source.Matches(tc.pattern, tc.path); got != tc.want {
			t.Errorf("Matches(%q, %q) = %v", tc.pattern, tc.path, got)
		}
	}
}

func TestMatchesAgreesWithPythonsGlob(t *testing.T) {
	type question struct{ Pattern, Name string }
	var asked []question
	patterns := []string{
		"*", "?", "??", "a*", "*a", "*a*b", "[a]", "[!a]", "[a-c]*", "[]a]", "[!]a]", "[a", "[", "[]", "[!]", "[a-]",
		"[-a]", "[^a]", "[c-a]", `\*`, `[\]`, "a[b]c", "*[0-9]", "[a-cx-z]", "[[]", "[a]]", "*.log", ".*", "[.]a", "?a",
		"**", "a**b", "[!a-c]?",
	}
	names := []string{
		"a", "b", "ab", "abc", "aXb", "]", "[", "[a", "-", "^", "!", `\`, `\a`, ".a", ".", "1", "x9", "z", "é", "éa", "a]",
		"a.log", ".log", "[]", "[!]", "[a]]",
	}
	for _, p := range patterns {
		for _, n := range names {
			asked = append(asked, question{p, n})
		}
	}
	input, err := json.Marshal(asked)
	if err != nil {
		t.Fatal(err)
	}
	// glob's own rule on hidden files, then the function that it asks for the rest.
	var want []bool
	oracle.JSON(t, `
import fnmatch, glob, json, sys
def matches(p, n):
    if not glob.has_magic(p):
        return p == n
    if n.startswith(".") and not p.startswith("."):
        return False
    return fnmatch.fnmatchcase(n, p)
print(json.dumps([matches(q["Pattern"], q["Name"]) for q in json.load(sys.stdin)]))
`, input, &want)
	for i, q := range asked {
		if got := source.Matches(q.Pattern, q.Name); got != want[i] && q.Name != "." {
			t.Errorf("Matches(%q, %q) = %v, Python says %v", q.Pattern, q.Name, got, want[i])
		}
	}
}

func TestMatchesTakesNoTimeForHostilePatterns(t *testing.T) {
	begin := time.Now()
	source.Matches(strings.Repeat("a*", 1000)+"b", strings.Repeat("a", 5000))
	if took := time.Since(begin); took > time.Second {
		t.Errorf("it took %v", took)
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("a*[b-d]?", "axcy")
	f.Add("[!", "\xff")
	f.Add("*\xff*", "a\xfe\xff")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		got := source.Matches(pattern, name)
		if !source.HasMeta(pattern) && got != (filepath.Clean(pattern) == filepath.Clean(name)) {
			t.Errorf("without wildcards, Matches(%q, %q) = %v", pattern, name, got)
		}
		if name != "" && !strings.ContainsAny(name, "./") && !source.Matches("*", name) {
			t.Errorf("* does not match %q", name)
		}
	})
}

func TestMatchFindsRegularFilesAndLinksToThem(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "b.log"), "")
	write(t, filepath.Join(dir, "a.log"), "")
	write(t, filepath.Join(dir, ".hidden.log"), "")
	write(t, filepath.Join(dir, "notes"), "")
	for _, sub := range []string{"dir.log", "sub"} {
		if err := os.Mkdir(filepath.Join(dir, sub), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "sub", "c.log"), "")
	for to, from := range map[string]string{"a.log": "link.log", "nowhere": "dangling.log", "sub": "linked"} {
		if err := os.Symlink(to, filepath.Join(dir, from)); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct{ pattern, want string }{
		{"*.log", "a.log b.log link.log"},
		{"a.log", "a.log"},
		{"missing.log", ""},
		{"missing/*.log", ""},
		{"*/*.log", "linked/c.log sub/c.log"},
		{"*/c.log", "linked/c.log sub/c.log"},
		{".h*", ".hidden.log"},
		{"[ab]*", "a.log b.log"},
	} {
		got, err := source.Match(filepath.Join(dir, tc.pattern))
		if err != nil {
			t.Errorf("%s: %v", tc.pattern, err)
		}
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], dir+"/")
		}
		if strings.Join(got, " ") != tc.want {
			t.Errorf("%s finds %q, want %s", tc.pattern, got, tc.want)
		}
	}
}

func TestMatchOfARelativePattern(t *testing.T) {
	t.Chdir(t.TempDir())
	write(t, "a.log", "")
	if got, err := source.Match("*.log"); err != nil || !slices.Equal(got, []string{"a.log"}) {
		t.Errorf("Match = %q, %v", got, err)
	}
}

func TestAGlobReportsFilesAsTheyAppear(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		dir := filepath.Dir(log)
		ctx, cancel := context.WithCancel(t.Context())
		var got []string
		done := make(chan error)
		go func() {
			done <- source.NewGlob(filepath.Join(dir, "*", "*.log"), nil).Run(ctx, func(_ context.Context, path string) error {
				got = append(got, strings.TrimPrefix(path, dir+"/"))
				return nil
			})
		}()
		expect := func(want ...string) {
			t.Helper()
			time.Sleep(1100 * time.Millisecond)
			synctest.Wait()
			if !slices.Equal(got, want) {
				t.Fatalf("reported %q, want %q", got, want)
			}
		}
		expect()
		mkdir := func(name string) {
			t.Helper()
			if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		mkdir("x")
		write(t, filepath.Join(dir, "x", "a.log"), "")
		write(t, filepath.Join(dir, "x", "a.txt"), "")
		expect("x/a.log")
		expect("x/a.log")
		mkdir("y")
		write(t, filepath.Join(dir, "y", "b.log"), "")
		expect("x/a.log", "y/b.log")
		rename(t, filepath.Join(dir, "x", "a.log"), filepath.Join(dir, "x", "a.log.1"))
		expect("x/a.log", "y/b.log")
		write(t, filepath.Join(dir, "x", "a.log"), "")
		expect("x/a.log", "y/b.log", "x/a.log")
		cancel()
		if err := <-done; !errors.Is(err, context.Canceled) {
			t.Errorf("Run returned %v", err)
		}
	})
}

func TestAGlobReportsWhatIsThereAtOnce(t *testing.T) {
	bubble(t, func(t bubbled, log string) {
		write(t, log, "")
		enough := errors.New("enough")
		for _, pattern := range []string{log, filepath.Join(filepath.Dir(log), "*.log")} {
			begin := time.Now()
			err := source.NewGlob(pattern, nil).Run(t.Context(), func(_ context.Context, path string) error {
				if path != log {
					t.Errorf("reported %s", path)
				}
				return enough
			})
			if !errors.Is(err, enough) || time.Since(begin) != 0 {
				t.Errorf("Run returned %v after %v", err, time.Since(begin))
			}
		}
	})
}
