package config

import (
	"fmt"
	"strings"
)

// Bounds of the replacement of tags in one value.
const (
	maxTagUses = 25       // times one tag is replaced, as in fail2ban
	maxTagWork = 64 << 20 // bytes looked at
)

// tagger replaces <tags> by what lookup knows of them.
type tagger struct {
	// lookup gives the text for a tag; ok is false for a tag that stays as it is.
	lookup func(tag string) (text string, ok bool, err error)
}

// tagError is a value whose tags cannot be replaced.
type tagError struct {
	tag string
	msg string
}

func (e *tagError) Error() string { return fmt.Sprintf("<%s> %s", e.tag, e.msg) }

// expand replaces the tags of a value: the innermost first, and again until nothing changes. self is
// the name of the value; a value that comes to contain its own name is an error.
func (t *tagger) expand(self, value string) (string, error) {
	uses := map[string]int{}
	work := 0
	for changed := true; changed; {
		changed = false
		for from := 0; ; {
			start, end := findTag(value, from)
			if start < 0 {
				work += len(value) - from
				break
			}
			work += end - from
			tag := value[start+1 : end-1]
			if tag == self {
				return "", &tagError{tag, "contains itself"}
			}
			text, ok, err := t.lookup(tag)
			if err != nil {
				return "", err
			}
			if !ok {
				from = end
				continue
			}
			if uses[tag]++; uses[tag] > maxTagUses || work > maxTagWork {
				return "", &tagError{tag, "is replaced again and again: values refer to each other in a circle"}
			}
			if size := len(value) + strings.Count(value, value[start:end])*(len(text)-(end-start)); size > maxValue {
				return "", &tagError{tag, fmt.Sprintf("makes the value longer than %d bytes", maxValue)}
			}
			value = strings.ReplaceAll(value, value[start:end], text)
			work += len(value)
			from = start
			changed = true
		}
	}
	return value, nil
}

// findTag finds the first innermost <tag> at or behind from: its text holds no blank and no angle
// bracket, and is not empty. start is -1 if there is none.
func findTag(s string, from int) (start, end int) {
	open := -1
	for i := from; i < len(s); i++ {
		switch s[i] {
		case '<':
			open = i
		case ' ':
			open = -1
		case '>':
			if open >= 0 && i > open+1 {
				return open, i + 1
			}
			open = -1
		}
	}
	return -1, -1
}
