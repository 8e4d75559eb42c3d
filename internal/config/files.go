package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of what is read. They are far above any real configuration and below what could hurt.
const (
	maxFileSize     = 4 << 20 // bytes of one file
	maxFiles        = 10_000  // files opened or listed by one Load
	maxIncludeDepth = 32
)

// stockPrefix marks the names of files that come from Options.Stock.
const stockPrefix = "stock:"

// tree is one configuration folder.
type tree struct {
	fsys  fs.FS
	dir   string // inside fsys
	label string // what is put before a path inside fsys to show it
}

// fileRef names one file; its path is clean and inside fsys.
type fileRef struct {
	tree *tree
	path string
}

func (f fileRef) String() string { return f.tree.label + f.path }

// rel is the path below the tree's folder, or "" outside it.
func (f fileRef) rel() string {
	if f.tree.dir == "." {
		return f.path
	}
	rel, ok := strings.CutPrefix(f.path, f.tree.dir+"/")
	if !ok {
		return ""
	}
	return rel
}

// reader finds, reads and parses files, each once.
type reader struct {
	user   tree // the administrator's folder
	stock  []*tree
	parsed map[string]*iniFile // by name; nil for a file that cannot be opened
	// expanded holds what lists of files came to with their includes, by their names. Where files
	// include each other in a circle this depends on which of them was met first, as in fail2ban.
	expanded map[string][]fileRef
	opened   int
	report   func(Problem)
}

// userFile names a file by an absolute or relative slash path, relative to the user's folder.
func (r *reader) userFile(name string) fileRef {
	if path.IsAbs(name) {
		return fileRef{&r.user, cleanPath(name)}
	}
	return fileRef{&r.user, path.Join(r.user.dir, name)}
}

// cleanPath turns an absolute path into one that an fs.FS of the whole machine takes.
func cleanPath(name string) string {
	if p := strings.TrimPrefix(path.Clean("/"+name), "/"); p != "" {
		return p
	}
	return "."
}

// exists reports whether a file can be opened as one: it follows links, and a folder is none.
func (r *reader) exists(f fileRef) bool {
	if !fs.ValidPath(f.path) {
		return false
	}
	info, err := fs.Stat(f.tree.fsys, f.path)
	return err == nil && !info.IsDir()
}

// list gives the names in a folder that end in ext, sorted; hidden ones are left out.
func (r *reader) list(t *tree, dir, ext string) []fileRef {
	entries, err := fs.ReadDir(t.fsys, dir)
	if err != nil {
		return nil // no such folder
	}
	var files []fileRef
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ext) && !strings.HasPrefix(name, ".") {
			files = append(files, fileRef{t, path.Join(dir, name)})
		}
	}
	slices.SortFunc(files, func(a, b fileRef) int { return strings.Compare(a.path, b.path) })
	return files
}

// candidates are the files that make up a configuration name ("jail", "filter.d/sshd") in one tree:
// NAME.conf, NAME.d/*.conf, NAME.local, NAME.d/*.local, as far as they exist.
func (r *reader) candidates(t *tree, name string) []fileRef {
	base := path.Join(t.dir, name)
	var files []fileRef
	for _, ext := range []string{".conf", ".local"} {
		if f := (fileRef{t, base + ext}); r.exists(f) {
			files = append(files, f)
		}
		files = append(files, r.list(t, base+".d", ext)...)
	}
	return files
}

// load merges all files of a configuration name. The user's folder comes first; the stock is asked
// only for what the user's folder does not have. found is false if nobody has it.
func (r *reader) load(name string) (set *fileSet, found bool) {
	for _, t := range r.trees() {
		files := r.candidates(t, name)
		if len(files) == 0 {
			continue
		}
		return r.loadFiles(files), true
	}
	return nil, false
}

// loadFiles merges files with all that they include.
func (r *reader) loadFiles(files []fileRef) *fileSet {
	x := expansion{reader: r}
	set := newFileSet()
	for _, f := range x.expand(files, nil) {
		if ini := r.parse(f); ini != nil {
			set.merge(ini)
		}
	}
	if x.failed != nil {
		r.report(*x.failed)
		set.broken = x.failed
	}
	return set
}

func (r *reader) trees() []*tree {
	return append([]*tree{&r.user}, r.stock...)
}

// names lists what exists of "filter.d" or "action.d": names without extension, sorted.
func (r *reader) names(dir string) []string {
	var names []string
	for _, t := range r.trees() {
		for _, ext := range []string{".conf", ".local"} {
			for _, f := range r.list(t, path.Join(t.dir, dir), ext) {
				names = append(names, strings.TrimSuffix(path.Base(f.path), ext))
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// expansion puts the includes of files around them.
type expansion struct {
	reader *reader
	total  int
	failed *Problem
}

// expand gives the files to read for a list of files: for each, the files that it includes before
// it, itself, those after it. A file's sibling with the extension .local follows it, unless the list
// has it already. A file on the way to itself is left out.
func (x *expansion) expand(files []fileRef, way []string) []fileRef {
	withLocal := make([]fileRef, 0, 2*len(files))
	for _, f := range files {
		withLocal = append(withLocal, f)
		local := fileRef{f.tree, strings.TrimSuffix(f.path, path.Ext(f.path)) + ".local"}
		if !slices.Contains(files, local) && x.reader.exists(local) {
			withLocal = append(withLocal, local)
		}
	}
	var key strings.Builder
	for _, f := range withLocal {
		key.WriteString(f.String() + "\x00")
	}
	all, known := x.reader.expanded[key.String()]
	if known {
		x.count(files[0], len(all), way)
		return all
	}
	for _, f := range withLocal {
		all = append(all, x.expandOne(f, way)...)
	}
	if x.failed == nil {
		x.reader.expanded[key.String()] = slices.Clip(all)
	}
	return all
}

// count adds to the number of files and reports whether there may be so many, so deep.
func (x *expansion) count(f fileRef, n int, way []string) bool {
	x.total += n
	if x.failed == nil && (x.total > maxFiles || len(way) >= maxIncludeDepth) {
		problem := Origin{File: f.String()}.Problem(Error, "", fmt.Sprintf(
			"too many includes: more than %d files, or %d deep", maxFiles, maxIncludeDepth), "look for files that include each other")
		x.failed = &problem
	}
	return x.failed == nil
}

func (x *expansion) expandOne(f fileRef, way []string) []fileRef {
	if x.failed != nil {
		return nil
	}
	ini := x.reader.parse(f)
	if ini == nil || !x.count(f, 1, way) {
		return nil
	}
	before := x.included(ini, f, "before", way)
	after := x.included(ini, f, "after", way)
	return slices.Concat(before, []fileRef{f}, after)
}

// included expands what one key of a file's INCLUDES section names.
func (x *expansion) included(ini *iniFile, f fileRef, key string, way []string) []fileRef {
	sec := ini.section(includesSection)
	if sec == nil {
		return nil
	}
	alone := newFileSet()
	alone.merge(ini)
	value, err := (&evaluator{set: alone}).get(includesSection, key)
	if errors.Is(err, errUnset) {
		return nil
	}
	if err != nil {
		problem := asFault(err).at.Problem(Error, "", asFault(err).msg, asFault(err).hint)
		x.failed = &problem
		return nil
	}
	var all []fileRef
	for name := range strings.SplitSeq(value, "\n") {
		if name == "" {
			continue
		}
		target := x.reader.resolve(f, name)
		if slices.Contains(way, target.String()) {
			continue
		}
		all = append(all, x.expand([]fileRef{target}, append(slices.Clip(way), f.String()))...)
	}
	return all
}

// resolve finds an included file: absolute, or beside the including one, or, for parts of filters
// and actions that the user's folder does not have, at the same place in the stock.
func (r *reader) resolve(f fileRef, name string) fileRef {
	if path.IsAbs(name) {
		return fileRef{&r.user, cleanPath(name)}
	}
	target := fileRef{f.tree, path.Join(path.Dir(f.path), name)}
	if r.exists(target) {
		return target
	}
	rel := target.rel()
	if !strings.HasPrefix(rel, "filter.d/") && !strings.HasPrefix(rel, "action.d/") {
		return target
	}
	for _, t := range r.stock {
		if s := (fileRef{t, path.Join(t.dir, rel)}); r.exists(s) {
			return s
		}
	}
	return target
}

// parse reads and parses a file, or gives nil if there is no such file.
func (r *reader) parse(f fileRef) *iniFile {
	name := f.String()
	if ini, known := r.parsed[name]; known {
		return ini
	}
	ini := r.parseNew(f, name)
	r.parsed[name] = ini
	if ini != nil {
		for _, p := range ini.problems {
			r.report(p)
		}
	}
	return ini
}

func (r *reader) parseNew(f fileRef, name string) *iniFile {
	if !r.exists(f) {
		return nil
	}
	r.opened++
	if r.opened > maxFiles {
		return unreadable(name, fmt.Errorf("it is one of more than %d files", maxFiles))
	}
	text, err := readFile(f)
	if err != nil {
		return unreadable(name, err)
	}
	return parseINI(name, text)
}

// unreadable stands for a file that exists and cannot be read.
func unreadable(name string, err error) *iniFile {
	ini := parseINI(name, "")
	ini.problems = append(ini.problems, Origin{File: name}.Problem(Error, "", "not read: "+reason(err),
		"what the file says is missing from the configuration"))
	return ini
}

// reason is an error without the path that the problem names anyway.
func reason(err error) string {
	if perr, ok := errors.AsType[*fs.PathError](err); ok {
		return perr.Err.Error()
	}
	return err.Error()
}

func readFile(f fileRef) (string, error) {
	info, err := fs.Stat(f.tree.fsys, f.path)
	if err != nil {
		return "", err
	}
	switch {
	case info.Mode()&fs.ModeCharDevice != 0:
		return "", nil // a file masked by a link to /dev/null
	case !info.Mode().IsRegular():
		return "", errors.New("not a regular file")
	}
	file, err := f.tree.fsys.Open(f.path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }() // only read
	data, err := io.ReadAll(io.LimitReader(file, maxFileSize+1))
	if err != nil {
		return "", err
	}
	if len(data) > maxFileSize {
		return "", fmt.Errorf("larger than %d bytes", maxFileSize)
	}
	return string(data), nil
}
