package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// HasMeta reports whether pattern has wildcards: *, ? or [.
func HasMeta(pattern string) bool { return strings.ContainsAny(pattern, "*?[") }

// Matches reports whether path is one that pattern stands for. The rules are those of Python's glob,
// which fail2ban uses: * and ? match within a directory, [a-z] and [!a-z] one character, a [ that is
// not closed stands for itself, and so does a backslash; a name that begins with a dot is matched
// only by a pattern that does.
func Matches(pattern, path string) bool {
	p, s := strings.Split(filepath.Clean(pattern), "/"), strings.Split(filepath.Clean(path), "/")
	if len(p) != len(s) {
		return false
	}
	for i := range p {
		if !matchName(p[i], s[i]) {
			return false
		}
	}
	return true
}

// Match returns the regular files that pattern stands for at present, sorted; links to such files are
// among them. A directory that cannot be read is as good as empty, unless it is for lack of
// permission: then Match returns what it found and the error.
func Match(pattern string) ([]string, error) {
	if pattern == "" {
		return nil, nil
	}
	pattern = filepath.Clean(pattern)
	root := "."
	rest := pattern
	if filepath.IsAbs(pattern) {
		root, rest = "/", pattern[1:]
	}
	dirs := []string{root}
	var denied error
	names := strings.Split(rest, "/")
	for i, name := range names {
		last := i == len(names)-1
		var found []string
		for _, dir := range dirs {
			if !HasMeta(name) {
				found = append(found, filepath.Join(dir, name))
				continue
			}
			entries, err := os.ReadDir(dir)
			if err != nil && os.IsPermission(err) {
				denied = err
			}
			for _, e := range entries {
				if (last || e.IsDir() || e.Type()&fs.ModeSymlink != 0) && matchName(name, e.Name()) {
					found = append(found, filepath.Join(dir, e.Name()))
				}
			}
		}
		dirs = found
	}
	files := slices.DeleteFunc(dirs, func(path string) bool {
		info, err := os.Stat(path)
		return err != nil || !info.Mode().IsRegular()
	})
	slices.Sort(files)
	return files, denied
}

// matchName matches one component. It takes at most len(pattern)×len(name) steps.
func matchName(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	if !HasMeta(pattern) {
		return pattern == name
	}
	// After a mismatch the last * takes one character more; earlier ones need not be tried again.
	var star, retry string
	starred := false
	for {
		if strings.HasPrefix(pattern, "*") {
			pattern = strings.TrimLeft(pattern, "*")
			star, retry, starred = pattern, name, true
			continue
		}
		if name == "" && pattern == "" {
			return true
		}
		if rest, width, ok := matchOne(pattern, name); ok {
			pattern, name = rest, name[width:]
			continue
		}
		if !starred || retry == "" {
			return false
		}
		_, width := utf8.DecodeRuneInString(retry)
		retry = retry[width:]
		pattern, name = star, retry
	}
}

// matchOne matches the first character of name, and returns the pattern behind what matched it.
func matchOne(pattern, name string) (rest string, width int, ok bool) {
	if pattern == "" || name == "" {
		return "", 0, false
	}
	c, width := utf8.DecodeRuneInString(name)
	switch pattern[0] {
	case '?':
		return pattern[1:], width, true
	case '[':
		if in, rest, closed := matchClass(pattern, c); closed {
			return rest, width, in
		}
	}
	p, size := utf8.DecodeRuneInString(pattern)
	return pattern[size:], width, p == c && pattern[:size] == name[:width]
}

// matchClass reads the class that pattern begins with. closed is false if it is none.
func matchClass(pattern string, c rune) (in bool, rest string, closed bool) {
	body := pattern[1:]
	negated := strings.HasPrefix(body, "!")
	if negated {
		body = body[1:]
	}
	// A ] at the beginning is a member.
	if body == "" {
		return false, "", false
	}
	end := strings.IndexByte(body[1:], ']')
	if end < 0 {
		return false, "", false
	}
	set, rest := []rune(body[:end+1]), body[end+2:]
	for len(set) > 0 {
		low, high := set[0], set[0]
		if len(set) > 2 && set[1] == '-' {
			high = set[2]
			set = set[2:]
		}
		set = set[1:]
		in = in || low <= c && c <= high
	}
	return in != negated, rest, true
}
