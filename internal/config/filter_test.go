package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/palisade-agent/palisade/internal/oracle"
)

// TestAFilterAloneIsWhatAJailGetsOfIt: every filter of Debian's, against a jail that says nothing but its
// filter.
func TestAFilterAloneIsWhatAJailGetsOfIt(t *testing.T) {
	dir := filepath.Join(oracle.Fail2ban(t), "etc/fail2ban")
	names, err := FilterNames(Options{Dir: dir})
	if err != nil || len(names) < 90 {
		t.Fatalf("%d filters, %v", len(names), err)
	}
	var jails strings.Builder
	jails.WriteString("[DEFAULT]\nenabled = true\nbackend = polling\naction =\n")
	for _, n := range names {
		fmt.Fprintf(&jails, "[%s]\nfilter = %s[mode=normal]\n", n.Name, n.Name)
	}
	files := map[string]string{"jail.conf": jails.String()}
	copied := writeTree(t, files)
	c, err := Load(Options{Dir: copied, Stock: []fs.FS{os.DirFS(dir)}})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		want, ok := c.Jail(n.Name)
		f, err := LoadFilter(Options{Dir: dir}, Spec{Name: n.Name, Params: []Param{{"mode", "normal"}}}, "polling")
		if err != nil {
			t.Errorf("%s: %v", n.Name, err)
			continue
		}
		if !ok { // a part of others, not one for a jail
			if len(f.Problems) == 0 {
				t.Errorf("%s: a jail cannot use it, and nothing is wrong with it", n.Name)
			}
			continue
		}
		if got := f.Jail; got.PrefRegex != want.PrefRegex || !slices.Equal(got.FailRegex, want.FailRegex) || !slices.Equal(got.IgnoreRegex, want.IgnoreRegex) ||
			got.DatePattern != want.DatePattern || got.MaxLines != want.MaxLines || len(got.FailRegex) == 0 {
			t.Errorf("%s: %+v, want %+v", n.Name, got, want)
		}
	}
}

func TestFiltersAndTheirModes(t *testing.T) {
	dir := writeTree(t, map[string]string{
		"jail.conf":           "",
		"filter.d/a.conf":     "# A service.\n#   and more\n\n# not this\n[Definition]\nfailregex = <re-<mode>>\n    <more_<mode>>\nre-normal = ^n <HOST>\nre-Fierce = ^f <HOST>\nmore_normal =\nmode = normal\n",
		"filter.d/a.local":    "[Definition]\nre-own = ^o <HOST>\n",
		"filter.d/part.conf":  "[DEFAULT]\nx = y\n",
		"filter.d/bad.conf":   "[Definition]\nfailregex = a\nfailregex = b\n",
		"elsewhere/b.conf":    "[INCLUDES]\nbefore = c.conf\n[Definition]\nfailregex = ^%(x)s <HOST>\n",
		"elsewhere/c.conf":    "[DEFAULT]\nx = included\n",
		"elsewhere/b.local":   "[Definition]\nignoreregex = local\n",
		"o/filter.d/d.conf":   "[Definition]\nfailregex = ^d <HOST>\n",
		"o/filter.d/d.local":  "[Definition]\nignoreregex = local\n",
		"filter.d/empty.conf": "",
	})
	o := Options{Dir: dir, Stock: []fs.FS{Mount("filter.d", fstest.MapFS{"s.conf": {Data: []byte("# From the stock.\n[Definition]\nfailregex = ^s <HOST>\n")}, "a.conf": {Data: []byte("[Definition]\nfailregex = ^other <HOST>\n")}})}}
	names, err := FilterNames(o)
	if err != nil || fmt.Sprint(names) != "[{a false} {bad false} {s true}]" {
		t.Errorf("%v, %v", names, err)
	}
	for spec, want := range map[string]string{
		"a":                              "[^n <HOST>] []",
		"a[mode=own]":                    "[^o <HOST> <more_own>] []",
		"a.conf":                         "[^n <HOST>] []",
		"s":                              "[^s <HOST>] []",
		dir + "/elsewhere/b":             "[^included <HOST>] [local]",
		dir + "/elsewhere/b.conf":        "[^included <HOST>] [local]",
		dir + "/o/filter.d/d.conf":       "[^d <HOST>] [local]",
		dir + "/filter.d/a.conf[mode=x]": "[<re-x> <more_x>] []",
	} {
		parsed, err := ParseSpec(spec)
		if err != nil {
			t.Fatal(err)
		}
		f, err := LoadFilter(o, parsed, "auto")
		if err != nil || len(f.Problems) > 0 {
			t.Errorf("%s: %v, %v", spec, f, err)
			continue
		}
		if got := fmt.Sprint(f.Jail.FailRegex, f.Jail.IgnoreRegex); got != want {
			t.Errorf("%s: %s, want %s", spec, got, want)
		}
		if f.Jail.Filter == "a" && fmt.Sprint(f.Modes) != "[fierce normal own]" {
			t.Errorf("%s: %v", spec, f.Modes)
		}
		if want := map[string]string{"a": "normal", "a[mode=own]": "own"}[spec]; want != "" && f.Mode != want || f.Jail.Filter == "s" && f.Mode != "" {
			t.Errorf("%s: the mode is %q", spec, f.Mode)
		}
		if f.Jail.Filter == "a" && Header(o, f.Files[0]) != "A service.\nand more" {
			t.Errorf("%q", Header(o, f.Files[0]))
		}
	}
	if f, err := LoadFilter(o, Spec{Name: "s"}, "auto"); err != nil || Header(o, f.Files[0]) != "From the stock." {
		t.Errorf("%v", err)
	}
	if f, err := LoadFilter(o, Spec{Name: "bad"}, "auto"); err != nil || len(f.Problems) != 1 || f.Problems[0].Line != 3 || !strings.Contains(f.Problems[0].File, "bad.conf") {
		t.Errorf("%+v, %v", f, err)
	}
	if _, err := LoadFilter(o, Spec{Name: "none"}, "auto"); !errors.Is(err, ErrNoFilter) {
		t.Errorf("%v", err)
	}
}

// TestAFilterAloneTellsItsParameters: those of the spec, then those of [Init], and what it was told of the
// lines.
func TestAFilterAloneTellsItsParameters(t *testing.T) {
	dir := writeTree(t, map[string]string{"jail.conf": "", "filter.d/a.conf": "[Definition]\nfailregex = ^<word> <HOST>\n[Init]\nword = x\nother = <word>!\n"})
	for _, tt := range []struct{ spec, backend, want string }{
		{"a", "auto", "file [{word x} {other x!}]"},
		{"a[word=y,more=z]", "systemd", "journal [{word y} {more z} {other y!}]"},
		{"a[logtype=short]", "systemd", "short [{logtype short} {word x} {other x!}]"},
	} {
		spec, err := ParseSpec(tt.spec)
		if err != nil {
			t.Fatal(err)
		}
		f, err := LoadFilter(Options{Dir: dir}, spec, tt.backend)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%s %v", f.LogType, f.Params); got != tt.want {
			t.Errorf("%s: %s, want %s", tt.spec, got, tt.want)
		}
	}
}
