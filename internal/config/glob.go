package config

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"
)

// maxGlob bounds the files that one pattern may find and the folders that it looks into.
const maxGlob = 10_000

// magic are the characters that make a path a pattern.
const magic = "*?["

// glob finds the files that a pattern with *, ? and […] means, as fail2ban's client does: a leading
// dot is matched only by a dot, "**" is no more than "*". The result is sorted. A pattern without
// these characters finds the file of its name if it exists, and calls it by that name.
func glob(fsys fs.FS, pattern string) ([]string, error) {
	if !path.IsAbs(pattern) {
		return nil, nil
	}
	if !strings.ContainsAny(pattern, magic) {
		if _, err := fs.Stat(fsys, cleanPath(pattern)); err == nil {
			return []string{pattern}, nil
		}
		return nil, nil
	}
	found := []string{"."}
	parts := strings.Split(strings.Trim(path.Clean(pattern), "/"), "/")
	for i, part := range parts {
		var next []string
		for _, dir := range found {
			next = append(next, globOne(fsys, dir, part, i == len(parts)-1)...)
			if len(next) > maxGlob {
				next = next[:maxGlob]
				break
			}
		}
		found = next
	}
	for i := range found {
		found[i] = "/" + found[i]
	}
	slices.Sort(found)
	return found, nil
}

// globOne matches one part of a path inside a folder.
func globOne(fsys fs.FS, dir, part string, last bool) []string {
	if !strings.ContainsAny(part, magic) {
		name := path.Join(dir, part)
		if last && !fs.ValidPath(name) {
			return nil
		}
		if _, err := fs.Stat(fsys, name); err != nil {
			return nil
		}
		return []string{name}
	}
	entries, err := fs.ReadDir(fsys, dir)
	if err != nil {
		return nil
	}
	var found []string
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") && !strings.HasPrefix(part, ".") {
			continue
		}
		if !matchName(part, name) {
			continue
		}
		name = path.Join(dir, name)
		if _, err := fs.Stat(fsys, name); err == nil { // no dangling link
			found = append(found, name)
		}
	}
	return found
}

// matchName matches a name against a pattern of *, ?, [abc], [a-c] and [!abc]; a bracket that is
// never closed is a plain character. Its time is bounded by the product of both lengths.
func matchName(pattern, name string) bool {
	star, mark := -1, 0 // where to go on if the part behind the last star fails
	p, n := 0, 0
	for n < len(name) {
		r, size := utf8.DecodeRuneInString(name[n:])
		if p < len(pattern) && pattern[p] == '*' {
			star, mark = p, n
			p++
			continue
		}
		if width, ok := matchRune(pattern[p:], r); ok {
			p += width
			n += size
			continue
		}
		if star < 0 {
			return false
		}
		_, size = utf8.DecodeRuneInString(name[mark:])
		mark += size
		p, n = star+1, mark
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchRune matches the first element of a pattern, which is no star, and gives its width.
func matchRune(pattern string, r rune) (width int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	first, size := utf8.DecodeRuneInString(pattern)
	switch first {
	case '?':
		return size, true
	case '[':
		if set, width := cutSet(pattern); width > 0 {
			return width, inSet(set, r)
		}
	}
	return size, first == r
}

// cutSet gives the inside of a bracket expression and its width; width is 0 if it is never closed.
func cutSet(pattern string) (set string, width int) {
	from := 1
	if strings.HasPrefix(pattern[from:], "!") {
		from++
	}
	if strings.HasPrefix(pattern[from:], "]") {
		from++
	}
	end := strings.IndexByte(pattern[from:], ']')
	if end < 0 {
		return "", 0
	}
	return pattern[1 : from+end], from + end + 1
}

func inSet(set string, r rune) bool {
	set, negated := strings.CutPrefix(set, "!")
	runes := []rune(set)
	for i := 0; i < len(runes); i++ {
		low, high := runes[i], runes[i]
		if i+2 < len(runes) && runes[i+1] == '-' {
			high = runes[i+2]
			i += 2
		}
		if low <= r && r <= high {
			return !negated
		}
	}
	return negated
}
