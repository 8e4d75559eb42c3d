package feed

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	// maxFiles bounds the files of a folder.
	maxFiles = 1000
	// settleTime is for how long a file must not have been written to, so that no half of it is read.
	settleTime = time.Second
)

// errUnsettled says that files are being written.
var errUnsettled = errors.New("a file is being written")

// localFiles are the files of a path: itself, or those of the folder that it is, in order, without those that
// editors and package managers leave.
func localFiles(path string) (files []string, state string, newest time.Time, err error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, "", newest, err
	}
	if !st.IsDir() {
		files = []string{path}
	} else {
		entries, err := os.ReadDir(path)
		if err != nil {
			return nil, "", newest, err
		}
		for _, e := range entries {
			name := e.Name()
			if strings.HasPrefix(name, ".") || strings.HasSuffix(name, "~") || strings.HasSuffix(name, ".swp") || strings.Contains(name, ".dpkg-") || e.IsDir() {
				continue
			}
			files = append(files, filepath.Join(path, name))
		}
	}
	if len(files) > maxFiles {
		return nil, "", newest, fmt.Errorf("%s has more than %d files", path, maxFiles)
	}
	var b strings.Builder
	for _, f := range files {
		st, err := os.Stat(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link to nowhere, or gone just now
		}
		if err != nil {
			return nil, "", newest, err
		}
		if !st.Mode().IsRegular() {
			return nil, "", newest, fmt.Errorf("%s is no file", f)
		}
		fmt.Fprintf(&b, "%s %d %d\n", f, st.Size(), st.ModTime().UnixNano())
		if st.ModTime().After(newest) {
			newest = st.ModTime()
		}
	}
	return files, b.String(), newest, nil
}

// local reads the files of a list of one's own and writes a new copy.
func (w *worker) local(old origin) (f fetched, err error) {
	now := w.now()
	f.origin = origin{Source: w.source.identity(), Fetched: now, Changed: now}
	files, state, newest, err := localFiles(w.source.Path)
	if err != nil {
		return f, err
	}
	if old.Source == f.origin.Source && len(old.Parts) == 1 && old.Parts[0].ETag == state {
		f.origin.Changed, f.origin.Sum, f.origin.Entries, f.origin.Parts = old.Changed, old.Sum, old.Entries, old.Parts
		return f, errUnchanged
	}
	if age := now.Sub(newest); age >= 0 && age < settleTime {
		return f, errUnsettled
	}
	g, err := w.gather()
	if err != nil {
		return f, err
	}
	tag := partTag{ETag: state}
	for _, name := range files {
		if err := w.file(name, g, &tag, &f); err != nil {
			g.w.drop()
			return f, err
		}
	}
	f.origin.Parts = []partTag{tag}
	return f, w.settle(g, &f, old)
}

func (w *worker) file(name string, g *gatherer, tag *partTag, f *fetched) error {
	file, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	p, err := Parse(io.LimitReader(file, w.source.MaxBytes), w.source.Format, w.limits(), func(e Entry) { g.take(0, e) })
	if err != nil && !errors.Is(err, ErrEmpty) {
		return fmt.Errorf("read %s: %w", name, err)
	}
	tag.Lines += p.Lines
	tag.BadCount += p.BadCount
	tag.Bad = append(tag.Bad, p.Bad[:min(len(p.Bad), max(20-len(tag.Bad), 0))]...)
	if p.Truncated {
		f.notes = append(f.notes, fmt.Sprintf("the list has more than %d entries; those beyond do not count", w.source.Guards.MaxEntries))
	}
	return nil
}
