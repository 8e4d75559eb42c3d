package jails_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/jails"
)

// sections splits jail.conf into its sections.
func sections(t *testing.T) map[string]string {
	t.Helper()
	text, err := fs.ReadFile(jails.FS, "jail.conf")
	if err != nil {
		t.Fatal(err)
	}
	found, name := map[string]string{}, ""
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "[") {
			name = strings.Trim(strings.TrimSpace(line), "[]")
			if _, twice := found[name]; twice {
				t.Errorf("section %s is there twice", name)
			}
			found[name] = ""
		} else if name != "" && line[0] != '#' {
			found[name] += line
		}
	}
	return found
}

func TestNoJailIsEnabled(t *testing.T) {
	on := regexp.MustCompile(`(?im)^\s*enabled\s*[=:]\s*(1|on|true|yes)\s*$`)
	for name, text := range sections(t) {
		if on.MatchString(text) {
			t.Errorf("jail %s is enabled", name)
		}
	}
}

// TestEveryJailHasAFilterAndALog also wants a jail for every filter.
func TestEveryJailHasAFilterAndALog(t *testing.T) {
	named := regexp.MustCompile(`(?m)^filter = ([\w-]+)`)
	used := map[string]bool{"common": true}
	for name, text := range sections(t) {
		if name == "DEFAULT" {
			continue
		}
		filter := name
		if m := named.FindStringSubmatch(text); m != nil {
			filter = m[1]
		}
		used[filter] = true
		if _, err := os.Stat(filepath.Join("../filters", filter+".conf")); err != nil {
			t.Errorf("jail %s: %v", name, err)
		}
		if !strings.Contains(text, "logpath = ") {
			t.Errorf("jail %s has no logpath", name)
		}
	}
	paths, err := filepath.Glob("../filters/*.conf")
	if err != nil || len(paths) == 0 {
		t.Fatalf("filters: %v, %v", paths, err)
	}
	for _, path := range paths {
		if name := strings.TrimSuffix(filepath.Base(path), ".conf"); !used[name] {
			t.Errorf("filter %s has no jail", name)
		}
	}
}

func TestTheDefaultActionIsThere(t *testing.T) {
	text, err := fs.ReadFile(jails.FS, "action.d/nftables.conf")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"actionstart", "actionstop", "actionflush", "actioncheck", "actionban", "actionunban"} {
		if !strings.Contains(string(text), "\n"+key+" = ") {
			t.Errorf("there is no %s", key)
		}
	}
	if !strings.Contains(sections(t)["DEFAULT"], "\nbanaction = nftables\n") {
		t.Error("nftables is not the banaction")
	}
}
