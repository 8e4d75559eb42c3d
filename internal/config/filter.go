package config

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// ErrNoFilter says that there is no filter of that name.
var ErrNoFilter = errors.New("no such filter")

// Filter is a filter as one jail would see it that says nothing of its own.
type Filter struct {
	// Jail has what the filter says; the rest is as fail2ban's server has it where nobody sets it.
	Jail Jail
	// Files are those that the filter was read from, in their order; of the stock with its prefix.
	Files []string
	// Modes are the values that its parameter mode has a meaning for, sorted; none if it has no such
	// parameter.
	Modes []string
	// Mode is the value that the parameter has now; "" if there is none.
	Mode string
	// LogType is what the filter was told about the lines: "file", "journal", or what a parameter or the
	// filter itself says.
	LogType string
	// Params are its parameters, first those of the spec, then those that its section [Init] has a value
	// for.
	Params []Param
	// Problems are what is wrong with it; with an error among them, the filter cannot be used.
	Problems []Problem
}

// LoadFilter reads one filter with the parameters of its spec, for logs that are read by a backend as
// "auto" or "systemd". The name is one of filter.d, or the path of a file, absolute or with a slash in it,
// which may lie anywhere. The error wraps ErrNoFilter if there is none.
func LoadFilter(o Options, spec Spec, backend string) (*Filter, error) {
	l, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	set, found := l.filterSet(spec.Name)
	if !found {
		return nil, fmt.Errorf("%w: %s", ErrNoFilter, spec.Name)
	}
	name := path.Base(strings.TrimSuffix(strings.TrimSuffix(spec.Name, ".conf"), ".local"))
	sec := newSection(name, Origin{})
	a := &assembly{loader: l, sec: sec, values: map[string]string{}, spec: spec, backend: backend}
	l.jails = newFileSet()
	a.ev = &evaluator{set: l.jails, doubt: a.doubt}
	f := &Filter{Files: set.files, Modes: modes(set)}
	if set.broken == nil {
		a.filter, err = a.evaluateFilter(filterPass, set, Origin{}, map[string]string{"enabled": "True", "backend": backend, "filter": ""})
	}
	switch {
	case err == nil && set.broken == nil:
		a.collectFilter()
		f.LogType = a.filter.tags[logTypeKey]
		for _, s := range slices.Concat(a.filter.settings, a.filter.params) {
			if s.name == "mode" {
				f.Mode = s.value
			}
		}
		for _, s := range a.filter.params {
			f.Params = append(f.Params, Param{s.name, s.value})
		}
		err = a.trusted()
	default:
		a.filter = nil
	}
	f.Jail, _ = a.check()
	if err != nil {
		fault := asFault(err)
		a.problems = append(a.problems, fault.at.Problem(Error, name, fault.msg, fault.hint))
	}
	l.flush(a)
	f.Problems = l.config.Problems
	return f, nil
}

// modeTag is how a filter chooses among its options by the mode: <prefix<mode>>.
var modeTag = regexp.MustCompile(`<([\w-]+)<mode>>`)

// modes finds the modes of a filter: what the names of its options add to the prefixes that a mode is put
// behind.
func modes(set *fileSet) []string {
	prefixes := map[string]bool{}
	var keys []string
	for _, name := range []string{definitionSection, initSection} {
		sec := set.byName[name]
		if sec == nil {
			continue
		}
		for _, key := range sec.keys {
			keys = append(keys, key)
			for _, found := range modeTag.FindAllStringSubmatch(sec.byKey[key].value, -1) {
				prefixes[strings.ToLower(found[1])] = true
			}
		}
	}
	var modes []string
	for _, key := range keys {
		for prefix := range prefixes {
			if mode, ok := strings.CutPrefix(key, prefix); ok && mode != "" && !strings.Contains(mode, "?") {
				modes = append(modes, mode)
			}
		}
	}
	slices.Sort(modes)
	modes = slices.Compact(modes)
	all := slices.Clone(modes)
	return slices.DeleteFunc(modes, func(mode string) bool { // an option of a mode is no mode
		return slices.ContainsFunc(all, func(of string) bool { return strings.HasPrefix(mode, of+"-") })
	})
}

// filterSet finds the files of a filter.
func (l *loader) filterSet(name string) (*fileSet, bool) {
	if !strings.Contains(name, "/") {
		base := strings.TrimSuffix(strings.TrimSuffix(name, ".conf"), ".local")
		return l.files.load("filter.d/" + base)
	}
	file, err := filepath.Abs(name)
	if err != nil {
		return nil, false
	}
	file = filepath.ToSlash(file)
	for _, candidate := range []string{file, file + ".conf", file + ".local"} {
		f := l.files.userFile(candidate)
		if !l.files.exists(f) {
			continue
		}
		// In a filter.d, the usual rules hold; elsewhere the file stands for itself, with what it includes.
		if path.Base(path.Dir(candidate)) == "filter.d" {
			dir := l.files.user.dir
			l.files.user.dir = cleanPath(path.Dir(path.Dir(candidate)))
			set, found := l.files.load("filter.d/" + strings.TrimSuffix(path.Base(candidate), path.Ext(candidate)))
			l.files.user.dir = dir
			return set, found
		}
		return l.files.loadFiles([]fileRef{f}), true
	}
	return nil, false
}

// FilterName is a filter that a configuration can name.
type FilterName struct {
	Name string
	// Stock is set for one that only the program brings.
	Stock bool
}

// FilterNames lists the filters of a folder and of the stock, sorted by name. Files that hold no
// [Definition] with a failregex, as those that others include, are left out.
func FilterNames(o Options) ([]FilterName, error) {
	l, err := newLoader(o)
	if err != nil {
		return nil, err
	}
	var all []FilterName
	for _, name := range l.files.names("filter.d") {
		set, found := l.files.load("filter.d/" + name)
		if !found {
			continue
		}
		sec := set.byName[definitionSection]
		if sec == nil {
			continue
		}
		if _, has := sec.byKey["failregex"]; !has {
			continue
		}
		own := len(l.files.candidates(&l.files.user, "filter.d/"+name)) > 0
		all = append(all, FilterName{Name: name, Stock: !own})
	}
	return all, nil
}

// Header gives the comment at the beginning of a file of a configuration, its lines without the mark. The
// file is named as in Filter.Files.
func Header(o Options, file string) string {
	l, err := newLoader(o)
	if err != nil {
		return ""
	}
	from := []fileRef{{&l.files.user, cleanPath(file)}}
	if name, stock := strings.CutPrefix(file, stockPrefix); stock {
		from = nil
		for _, t := range l.files.stock {
			from = append(from, fileRef{t, name})
		}
	}
	text := ""
	for _, f := range from {
		if text, err = readFile(f); err == nil {
			break
		}
	}
	if err != nil {
		return ""
	}
	var lines []string
	for line := range strings.Lines(text) {
		comment, is := strings.CutPrefix(strings.TrimSpace(line), "#")
		if !is {
			break
		}
		lines = append(lines, strings.TrimSpace(comment))
	}
	return strings.TrimSpace(strings.Join(lines, "\n"))
}
