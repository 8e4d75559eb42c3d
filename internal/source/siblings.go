package source

import (
	"bytes"
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// maxEntries bounds how much of a directory is looked at.
	maxEntries = 10_000
	// maxCopies bounds how many siblings are opened in search of a copy: logrotate makes the copy
	// that counts the newest of them.
	maxCopies = 4
)

// sibling is a file beside the one that is followed.
type sibling struct {
	path string
	id   fileID
	size int64
	mod  time.Time
	kind rotation
	age  int64  // of numbered files: the greater, the older
	date string // of dated files: the greater, the newer
}

// same reports whether s and t are the same file under the same name.
func (s sibling) same(t sibling) bool { return s.path == t.path && s.id == t.id }

// rotation says how a name tells that it is an earlier version of the file followed.
type rotation uint8

const (
	unrelated rotation = iota
	dated              // name-20260102, name-20260102.log
	numbered           // name.1
)

// classify reads the name of a file beside one that is called base. Compressed files are unrelated:
// they cannot be read on.
func classify(base, name string) (kind rotation, age int64, date string) {
	rest, ok := strings.CutPrefix(name, base)
	if !ok || rest == "" {
		ext := filepath.Ext(base)
		if rest, ok = strings.CutPrefix(name, strings.TrimSuffix(base, ext)); !ok || ext == "" {
			return unrelated, 0, ""
		}
		if rest, ok = strings.CutSuffix(rest, ext); !ok {
			return unrelated, 0, ""
		}
	}
	if len(rest) < 2 || !strings.ContainsRune(".-_", rune(rest[0])) {
		return unrelated, 0, ""
	}
	digits := strings.Map(func(r rune) rune {
		if strings.ContainsRune("-_.:T", r) {
			return -1
		}
		return r
	}, rest)
	n, err := strconv.ParseUint(digits, 10, 63)
	if err != nil {
		return unrelated, 0, ""
	}
	if rest[1:] == digits && len(digits) <= 5 {
		return numbered, int64(n), "" //nolint:gosec // at most 63 bits were parsed
	}
	return dated, 0, rest
}

// siblings lists the regular files beside path, and beside what it links to: first those that are no
// rotated versions of it, then rotated ones from the oldest to the newest.
func siblings(path string) []sibling {
	found := siblingsIn(filepath.Dir(path), filepath.Base(path))
	if target, err := filepath.EvalSymlinks(path); err == nil && filepath.Clean(path) != target {
		for _, s := range siblingsIn(filepath.Dir(target), filepath.Base(target)) {
			if !slices.ContainsFunc(found, func(f sibling) bool { return f.id == s.id && f.kind >= s.kind }) {
				found = append(found, s)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b sibling) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(b.age, a.age), cmp.Compare(a.date, b.date))
	})
	return found
}

func siblingsIn(dir, base string) []sibling {
	d, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.ReadDir(maxEntries) // what was read before an error counts
	var found []sibling
	for _, e := range entries {
		if e.Name() == base || e.Type()&^fs.ModeIrregular != 0 {
			continue
		}
		info, err := e.Info()
		if err != nil || !info.Mode().IsRegular() {
			continue
		}
		s := sibling{path: filepath.Join(dir, e.Name()), id: idOf(info), size: info.Size(), mod: info.ModTime()}
		s.kind, s.age, s.date = classify(base, e.Name())
		found = append(found, s)
	}
	return found
}

// newer returns the rotated versions that came after the file found[i], oldest first. slack is by
// how much files of one log may differ in the order of their last writes; a version last written
// before found[i] was is a stray, and reading it would bring up old lines.
func newer(found []sibling, i int, slack time.Duration) []sibling {
	base := found[i]
	if base.kind == unrelated {
		return nil
	}
	var out []sibling
	for _, s := range found[i+1:] {
		if s.kind == base.kind && !s.mod.Before(base.mod.Add(-slack)) {
			out = append(out, s)
		}
	}
	return out
}

// openSibling opens a file listed before, if it is still the same.
func openSibling(s sibling) (*handle, bool) {
	h, err := openHandle(s.path)
	if err != nil {
		return nil, false
	}
	if h.id != s.id {
		h.close()
		return nil, false
	}
	return h, true
}

// copyOf looks for a copy of the file that was h before it was truncated, and returns it standing
// where h stood, with its place among found.
func copyOf(h *handle, found []sibling) (*handle, int) {
	if len(h.head) == 0 {
		return nil, 0
	}
	tried := 0
	for i, s := range slices.Backward(found) {
		if s.kind == unrelated || tried == maxCopies {
			break
		}
		if s.id == h.id || s.size < h.read {
			continue
		}
		tried++
		c, ok := openSibling(s)
		if !ok {
			continue
		}
		back := make([]byte, len(h.back))
		n, _ := c.file.ReadAt(back, h.read-int64(len(back)))
		if n == len(back) && bytes.Equal(back, h.back) && c.standAt(Place{Offset: h.offset, First: h.first}) {
			c.offset, c.read, c.long, c.drop = h.offset, h.read, h.long, h.drop
			c.back = bytes.Clone(h.back)
			return c, i
		}
		c.close()
	}
	return nil, 0
}
