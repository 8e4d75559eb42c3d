package filters_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/filters"
)

// samples are the annotated log lines, one file per filter; their form is in the README.md there.
const samples = "../testdata/logs"

// shared are the files that filters include; they are no filters themselves.
var shared = map[string]bool{"common.conf": true}

// definitions gives the text of every embedded file by its name.
func definitions(t *testing.T) map[string]string {
	t.Helper()
	paths, err := fs.Glob(filters.FS, "*.conf")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 8 {
		t.Fatalf("%d definitions are embedded", len(paths))
	}
	texts := map[string]string{}
	for _, path := range paths {
		text, err := fs.ReadFile(filters.FS, path)
		if err != nil {
			t.Fatal(err)
		}
		texts[path] = string(text)
	}
	return texts
}

// TestDefinitionsReadAsFail2banReadsThem looks for what is fatal for a whole configuration under
// fail2ban: text before the first section, a section or a key given twice, a line that is neither. It
// looks as well for a blank before a semicolon, which cuts a value off there.
func TestDefinitionsReadAsFail2banReadsThem(t *testing.T) {
	for name, text := range definitions(t) {
		t.Run(name, func(t *testing.T) {
			section, seen := "", map[string]bool{}
			once := func(line int, what string) {
				if seen[what] {
					t.Errorf("line %d: %s is there twice", line, what)
				}
				seen[what] = true
			}
			for i, line := range strings.Split(text, "\n") {
				words := strings.TrimSpace(line)
				if words == "" || words[0] == '#' {
					continue
				}
				if strings.Contains(line, " ;") {
					t.Errorf("line %d: a blank before a semicolon: %s", i+1, line)
				}
				key, _, isOption := strings.Cut(line, "=")
				switch {
				case line[0] == '[':
					section = words
					once(i+1, section)
				case section == "":
					t.Errorf("line %d: before the first section: %s", i+1, line)
				case line[0] == ' ':
				case isOption:
					once(i+1, section+" "+strings.ToLower(strings.TrimSpace(key)))
				default:
					t.Errorf("line %d: neither a section nor an option: %s", i+1, line)
				}
			}
			if !shared[name] && (!seen["[Definition]"] || !seen["[Definition] failregex"]) {
				t.Error("there is no failregex in [Definition]")
			}
		})
	}
}

// TestPercentSignsAreDoubled finds the lone percent sign that fail2ban refuses the configuration for.
func TestPercentSignsAreDoubled(t *testing.T) {
	fine := regexp.MustCompile(`%%|%\([a-z_]+\)s`)
	for name, text := range definitions(t) {
		for i, line := range strings.Split(text, "\n") {
			if !strings.HasPrefix(line, "#") && strings.Contains(fine.ReplaceAllString(line, ""), "%") {
				t.Errorf("%s:%d: a single %%: %s", name, i+1, line)
			}
		}
	}
}

// TestEveryFilterSaysWhatItIsFor wants a comment first: the service and the lines.
func TestEveryFilterSaysWhatItIsFor(t *testing.T) {
	for name, text := range definitions(t) {
		if !strings.HasPrefix(text, "# ") {
			t.Errorf("%s does not begin with a comment", name)
		}
	}
}

// sampleFile is what a file of samples holds.
type sampleFile struct {
	annotations []map[string]any
	lines       []string // the line of each annotation
}

func readSamples(t *testing.T, name string) sampleFile {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(samples, name))
	if err != nil {
		t.Fatalf("a filter without samples: %v", err)
	}
	var f sampleFile
	lines := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		switch {
		case len(f.lines) < len(f.annotations):
			f.lines = append(f.lines, line)
		case strings.HasPrefix(line, "# failJSON:"):
			var a map[string]any
			if err := json.Unmarshal([]byte(strings.TrimPrefix(line, "# failJSON:")), &a); err != nil {
				t.Fatalf("%s:%d: %v", name, n, err)
			}
			f.annotations = append(f.annotations, a)
		case line != "" && line[0] != '#':
			t.Errorf("%s:%d: a line without an annotation: %s", name, n, line)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	if len(f.lines) != len(f.annotations) {
		t.Fatalf("%s: the last annotation has no line", name)
	}
	return f
}

// TestEveryFilterHasSamples wants enough of them: lines that match, with addresses of both families,
// and lines that must not.
func TestEveryFilterHasSamples(t *testing.T) {
	for name := range definitions(t) {
		if shared[name] {
			continue
		}
		t.Run(name, func(t *testing.T) {
			f := readSamples(t, strings.TrimSuffix(name, ".conf"))
			var matching, refused, v4, v6 int
			for _, a := range f.annotations {
				if a["match"] != true {
					refused++
					continue
				}
				matching++
				host, _ := a["host"].(string)
				if host == "" {
					t.Errorf("a match without a host: %v", a)
				}
				if addr, err := netip.ParseAddr(host); err == nil && addr.Is4() {
					v4++
				} else if err == nil {
					v6++
				}
			}
			if len(f.lines) < 12 || refused < 2 || v4 == 0 || v6 == 0 {
				t.Errorf("%d lines, of which %d match (IPv4 %d, IPv6 %d) and %d must not", len(f.lines), matching, v4, v6, refused)
			}
		})
	}
}

// TestSamplesNameNobody keeps real addresses out of the samples.
func TestSamplesNameNobody(t *testing.T) {
	var documentation []netip.Prefix
	for _, p := range []string{"192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "0.0.0.0/32", "127.0.0.1/32"} {
		documentation = append(documentation, netip.MustParsePrefix(p))
	}
	quad := regexp.MustCompile(`\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}\b`)
	for name := range definitions(t) {
		if shared[name] {
			continue
		}
		for _, line := range readSamples(t, strings.TrimSuffix(name, ".conf")).lines {
			for _, text := range quad.FindAllString(line, -1) {
				if addr, err := netip.ParseAddr(text); err == nil && !contains(documentation, addr) {
					t.Errorf("%s: %s is somebody's address: %s", name, text, line)
				}
			}
		}
	}
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
