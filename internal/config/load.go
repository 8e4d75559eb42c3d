package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// DefaultDir is where fail2ban keeps its configuration.
const DefaultDir = "/etc/fail2ban"

// Release selects whose rules are followed where two releases of fail2ban differ.
type Release uint8

const (
	// Release11 is fail2ban 1.1.
	Release11 Release = iota
	// Release10 is fail2ban 1.0: a plain parameter of an action leaves its per-family variants
	// alone, and nothing turns to the journal or is skipped when a log file is missing.
	Release10
)

// Options say what to load. The zero value reads /etc/fail2ban of this machine.
type Options struct {
	// Dir is the configuration folder; DefaultDir if empty. A relative one is taken from the
	// working directory.
	Dir string
	// Files is where Dir, absolute includes and log files are found: the whole machine, as seen
	// from "/". Links are followed if it follows them. os.DirFS("/") if nil.
	Files fs.FS
	// Stock are configuration folders that come with the program: jail.conf, filter.d/…,
	// action.d/…. Their jails serve where Dir has none, a filter or action of theirs where Dir has
	// none of that name.
	Stock []fs.FS
	// Glob finds the log files that a pattern means; nil looks into Files with fail2ban's rules.
	// It is asked for Stream and for warnings only: a Jail keeps the patterns.
	Glob func(pattern string) ([]string, error)
	// Enabled names jails that are enabled whatever the configuration says.
	Enabled []string
	// Release is whose rules are followed; fail2ban 1.1 if zero.
	Release Release
	// Version is what %(fail2ban_version)s means; "1.1.0" if empty.
	Version string
}

// Config is what a folder says.
type Config struct {
	Dir      string
	Global   Global
	Agent    AgentConf
	Jails    []Jail    // enabled and usable, in the order of the configuration
	Unsound  []Jail    // enabled, read, and not usable: what is wrong has its default here, so that more can be looked for
	Problems []Problem // all of them, in the order in which they were found
	stream   [][]any
}

// Jail finds a usable jail by name.
func (c *Config) Jail(name string) (*Jail, bool) {
	for i := range c.Jails {
		if c.Jails[i].Name == name {
			return &c.Jails[i], true
		}
	}
	return nil, false
}

// Stream gives the configuration as the commands that fail2ban's client sends to its server at a
// start, in their order: lists of strings, ints, bools, nil, maps and lists of these. A jail that cannot be
// used is a "config-error" command in its place.
func (c *Config) Stream() [][]any { return c.stream }

// Errors gives the problems that are no mere warnings.
func (c *Config) Errors() []Problem {
	var found []Problem
	for _, p := range c.Problems {
		if p.Severity == Error {
			found = append(found, p)
		}
	}
	return found
}

// maxProblems bounds Config.Problems; the last one then says how many were left out.
const maxProblems = 10_000

// loader is the state of one Load.
type loader struct {
	opts    Options
	files   *reader
	dropped int
	config  *Config
	jails   *fileSet
	starts  [][]any
}

// Load reads a configuration. The error is for a folder that cannot be read at all, or holds no
// configuration; everything else is in Config.Problems, and what is usable is used.
func Load(o Options) (*Config, error) {
	l, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l.config, nil
}

func newLoader(o Options) (*loader, error) {
	if o.Dir == "" {
		o.Dir = DefaultDir
	}
	if o.Version == "" {
		o.Version = "1.1.0"
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the configuration: %w", err)
	}
	if o.Files == nil {
		o.Files = os.DirFS("/")
	}
	l := &loader{opts: o, config: &Config{Dir: o.Dir}}
	l.files = &reader{
		user:   tree{fsys: o.Files, dir: cleanPath(filepath.ToSlash(dir)), label: "/"},
		parsed: map[string]*iniFile{}, expanded: map[string][]fileRef{}, report: l.report,
	}
	for _, fsys := range o.Stock {
		l.files.stock = append(l.files.stock, &tree{fsys: fsys, dir: ".", label: stockPrefix})
	}
	if l.opts.Glob == nil {
		l.opts.Glob = func(pattern string) ([]string, error) { return glob(o.Files, pattern) }
	}
	return l, l.checkDir()
}

// checkDir wants the configuration folder, or a stock in its place.
func (l *loader) checkDir() error {
	info, err := fs.Stat(l.opts.Files, l.files.user.dir)
	switch {
	case err == nil && !info.IsDir():
		return fmt.Errorf("read the configuration: %s is no folder", l.opts.Dir)
	case errors.Is(err, fs.ErrNotExist) && len(l.opts.Stock) > 0:
		l.report(Origin{File: l.opts.Dir}.Problem(Warning, "", "there is no such folder; the stock configuration is used", ""))
		return nil
	case err != nil:
		return fmt.Errorf("read the configuration: %s: %s", l.opts.Dir, reason(err))
	}
	return nil
}

func (l *loader) load() error {
	l.global()
	l.agentConf()
	set, found := l.files.load("jail")
	if !found {
		return fmt.Errorf("read the configuration: %s has no jail.conf", l.opts.Dir)
	}
	l.jails = set
	for key, value := range map[string]string{"fail2ban_version": l.opts.Version, "fail2ban_confpath": l.opts.Dir} {
		if _, set := l.jails.defaults.byKey[key]; !set {
			l.jails.defaults.set(key, entry{value: strings.ReplaceAll(value, "%", "%%")})
		}
	}
	for _, sec := range l.jails.sections {
		if sec.name != includesSection && !strings.HasPrefix(sec.name, knownPrefix) {
			l.jail(sec)
		}
	}
	l.misspelt()
	l.config.stream = append(l.config.stream, l.starts...)
	if l.dropped > 0 {
		l.config.Problems = append(l.config.Problems, Problem{
			Severity: Warning, Msg: fmt.Sprintf("%d more problems are not listed", l.dropped),
		})
	}
	return nil
}

func (l *loader) report(p Problem) {
	if InAgentConf(p.File) && hides(p.Key) {
		p.Value = notShown
	}
	switch {
	case slices.Contains(l.config.Problems, p):
	case len(l.config.Problems) >= maxProblems:
		l.dropped++
	default:
		l.config.Problems = append(l.config.Problems, p)
	}
}

func (l *loader) emit(command ...any) {
	l.config.stream = append(l.config.stream, command)
}

// Mount puts a file system below a folder, so that a folder of filters can serve as the filter.d of
// a stock: Mount("filter.d", filters).
func Mount(dir string, fsys fs.FS) fs.FS { return mounted{dir, fsys} }

type mounted struct {
	dir  string
	fsys fs.FS
}

// Open implements fs.FS.
func (m mounted) Open(name string) (fs.File, error) {
	if name == m.dir {
		return m.fsys.Open(".")
	}
	rel, ok := strings.CutPrefix(name, m.dir+"/")
	if !ok || !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "open", Path: path.Clean(name), Err: fs.ErrNotExist}
	}
	return m.fsys.Open(rel)
}
