package filter

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
)

// The stock filters and the sample lines that say what they are to do.
const (
	stockFilters = "../../filters"
	samples      = "../../testdata/logs"
)

// corpusNow is when the samples are read: their dates without a year mean the last one before it.
var corpusNow = time.Date(2026, 12, 31, 23, 59, 59, 0, time.UTC)

// annotation is the comment before a sample line: time, match, desc and constraint, and whatever else
// a match is to say.
type annotation map[string]any

// sample is an annotated line.
type sample struct {
	number int
	text   string
	expect annotation
}

// sampleBlock is a run of lines and the parameters of the filters that they are for.
type sampleBlock struct {
	options []map[string]any
	lines   []sample
}

var annotated = regexp.MustCompile(`^#+ ?(failJSON|filterOptions):(.+)$`)

func readSamples(t *testing.T, path string) []sampleBlock {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	blocks := []sampleBlock{{options: []map[string]any{{}}}}
	var expect annotation
	lines := bufio.NewScanner(file)
	for n := 1; lines.Scan(); n++ {
		text := lines.Text()
		m := annotated.FindStringSubmatch(text)
		switch {
		case m == nil && expect == nil:
			if text != "" && !strings.HasPrefix(text, "#") {
				t.Fatalf("%s:%d: a line without an annotation", path, n)
			}
		case m == nil:
			b := &blocks[len(blocks)-1]
			b.lines = append(b.lines, sample{n, text, expect})
			expect = nil
		case m[1] == "failJSON":
			if err := json.Unmarshal([]byte(m[2]), &expect); err != nil {
				t.Fatalf("%s:%d: %v", path, n, err)
			}
		default:
			var options []map[string]any
			if err := json.Unmarshal([]byte(m[2]), &options); err != nil {
				options = []map[string]any{{}}
				if err := json.Unmarshal([]byte(m[2]), &options[0]); err != nil {
					t.Fatalf("%s:%d: %v", path, n, err)
				}
			}
			blocks = append(blocks, sampleBlock{options: options})
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return blocks
}

// stockOptions gives the options of a stock filter with parameters, as a jail would have them.
func stockOptions(t *testing.T, filters fstest.MapFS, name string, parameters map[string]any) Options {
	t.Helper()
	var spec strings.Builder
	spec.WriteString(name)
	for _, key := range slices.Sorted(maps.Keys(parameters)) {
		if !strings.HasPrefix(key, "test.") {
			fmt.Fprintf(&spec, "[%s=%q]", key, parameters[key])
		}
	}
	files := maps.Clone(filters)
	files["etc/fail2ban/jail.local"] = &fstest.MapFile{Data: []byte("[corpus]\nenabled = true\nbackend = polling\nlogpath = /var/log/corpus\nfilter = " + spec.String() + "\n")}
	files["var/log/corpus"] = &fstest.MapFile{}
	c, err := config.Load(config.Options{Dir: "/etc/fail2ban", Files: files})
	if err != nil {
		t.Fatal(err)
	}
	j, ok := c.Jail("corpus")
	if !ok {
		t.Fatalf("filter %s cannot be used: %v", spec.String(), c.Problems)
	}
	return Options{
		PrefRegex: j.PrefRegex, FailRegex: j.FailRegex, IgnoreRegex: j.IgnoreRegex, MaxLines: j.MaxLines,
		DatePattern: j.DatePattern, UseDNS: DNSRaw, NoTimeCheck: true, Local: time.UTC,
	}
}

// corpusFilters reads a folder of filter definitions as the filter.d of a configuration.
func corpusFilters(t *testing.T, dir string) fstest.MapFS {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	filters := fstest.MapFS{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		filters["etc/fail2ban/filter.d/"+filepath.Base(path)] = &fstest.MapFile{Data: text}
	}
	return filters
}

// TestStockFiltersDoWhatTheirSamplesSay reads every sample line with the stock filter of the file's
// name and compares what it says with the annotation.
func TestStockFiltersDoWhatTheirSamplesSay(t *testing.T) {
	entries, err := os.ReadDir(samples)
	if errors.Is(err, fs.ErrNotExist) {
		t.Skip("there are no samples")
	}
	if err != nil {
		t.Fatal(err)
	}
	filters := corpusFilters(t, stockFilters)
	for _, e := range entries {
		if e.Name() == "README.md" {
			continue
		}
		t.Run(e.Name(), func(t *testing.T) {
			sessions := map[string]*corpusSession{}
			for _, block := range readSamples(t, filepath.Join(samples, e.Name())) {
				for _, parameters := range block.options {
					key := fmt.Sprint(parameters)
					if sessions[key] == nil && len(block.lines) > 0 {
						sessions[key] = newCorpusSession(t, stockOptions(t, filters, e.Name(), parameters), parameters)
					}
					for _, l := range block.lines {
						sessions[key].check(t, l)
					}
				}
			}
			for key, s := range sessions {
				if len(s.hit) == 0 {
					t.Errorf("with %s no line matches", key)
				}
			}
		})
	}
}

// corpusSession reads lines twice: with all regexes tried, so that two that match the same failure
// show, and as a jail does, so that the scan for literals has its say.
type corpusSession struct {
	all, first *Session
	journal    bool
	prefix     string
	hit        map[int]bool
}

func newCorpusSession(t *testing.T, o Options, parameters map[string]any) *corpusSession {
	t.Helper()
	first := mustNew(t, o)
	o.CheckAll = true
	prefix, _ := parameters["test.prefix-line"].(string)
	return &corpusSession{
		all: mustNew(t, o).NewSession(), first: first.NewSession(), hit: map[int]bool{},
		journal: parameters["logtype"] == "journal", prefix: prefix,
	}
}

func (c *corpusSession) check(t *testing.T, l sample) {
	t.Helper()
	line := Line{Text: l.text}
	if c.journal {
		line = Line{Text: c.prefix + l.text, Time: corpusNow, Stamp: corpusNow.Format(time.RFC3339)}
	}
	var found []Match
	for _, m := range c.all.Process(line, corpusNow, true).Matches {
		c.hit[m.Regex] = true
		if !m.NoFail && !m.Pending {
			found = append(found, m)
		}
	}
	usual := c.first.Process(line, corpusNow, true).Matches
	if len(usual) != len(found) {
		t.Errorf("line %d: %d matches, but %d with all regexes tried: %q", l.number, len(usual), len(found), l.text)
	}
	if want, _ := l.expect["match"].(bool); !want || len(found) != 1 {
		if want || len(found) > 0 {
			t.Errorf("line %d: %d matches, want match to be %v: %q %v", l.number, len(found), want, l.text, found)
		}
		return
	}
	for key, want := range l.expect {
		if got, ok := said(found[0], key); ok && !reflect.DeepEqual(got, want) {
			t.Errorf("line %d: %s is %v, want %v: %q", l.number, key, got, want, l.text)
		}
	}
}

// said gives what a match says under a key of an annotation; false for keys that are no matter of it.
func said(m Match, key string) (any, bool) {
	switch key {
	case "match", "desc", "constraint":
		return nil, false
	case "time":
		return m.Time.Format("2006-01-02T15:04:05"), true
	case "users":
		var users []any
		for _, u := range slices.Sorted(slices.Values(m.Captures["users"].Parts)) {
			users = append(users, u)
		}
		return users, true
	}
	if v, ok := m.Captures[key]; ok {
		return v.Text, true
	}
	switch key {
	case "host":
		return m.ID.String(), true
	case "attempts":
		return float64(len(m.Lines)), true
	}
	return nil, true
}
