package action

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Linux refuses a program an argument of more than 128 KiB, its final NUL included, and by default more than
// 2 MiB of arguments and environment together.
const (
	maxArgument  = 128<<10 - 1
	maxArguments = 1 << 20
	minValue     = 16 // a value is cut to no less: then it is the script that is too long
)

// ErrTooLong is for a script that is too long for the kernel whatever its values are.
var ErrTooLong = errors.New("the command is longer than 128 KiB")

// Command is what a shell is given, as in: sh -c Script Args[0] Args[1], and so on.
type Command struct {
	Script string
	// Args are the values that the first line of the script reads into variables: $0 is the first.
	Args []string
	// Cut is set if values were shortened, so that the kernel takes the command.
	Cut bool
}

// Tags gives the values that a text may ask for.
type Tags struct {
	// Value looks up a tag by its name without brackets; false leaves the tag in place.
	Value func(name string) (value string, ok bool)
	// Capture looks up <F-NAME> by the name in lower case, "id" and "port" as "fid" and "fport". What
	// nobody captured is empty.
	Capture func(name string) string
}

var (
	tagPattern     = regexp.MustCompile(`<([^ <>]+)>`)
	capturePattern = regexp.MustCompile(`<F-([A-Z0-9_\-]+)>`)
	notWord        = regexp.MustCompile(`[^\pL\pN_]`)
)

// shellSpecial are the characters that keep a value out of a script. They are fail2ban's.
const shellSpecial = "\\#&;`|*?~<>^()[]{}$'\"\n\r"

// Expand puts values into a script. A value without special characters stands in the script as it is, blanks
// included. Any other stays outside: a variable stands for it, f2bV_ and the tag's name (f2bV_F_ and the
// capture's), which the first line of the script sets from an argument. So within single quotes the
// variable's name shows, and without quotes its value is divided into words.
//
// The text is the same that fail2ban makes. Only from the eleventh variable on it says ${10}, where fail2ban
// says $10, which a shell reads as ${1}0. NUL bytes, which no program can be given, are dropped. Values are
// cut where the kernel would refuse the command.
func Expand(text string, tags Tags) (Command, error) {
	text = strings.ReplaceAll(text, "\x00", "")
	for limit := maxArgument; limit >= minValue; limit /= 2 {
		if c := expand(text, tags, limit); c.fits() {
			return c, nil
		}
	}
	return Command{}, ErrTooLong
}

// fits tells whether the kernel takes the command. Each argument costs a pointer and a NUL besides.
func (c Command) fits() bool {
	sum := len(c.Script)
	for _, a := range c.Args {
		if len(a) > maxArgument {
			return false
		}
		sum += len(a) + 9
	}
	return len(c.Script) <= maxArgument && sum <= maxArguments
}

// expand is Expand with values of at most limit bytes.
func expand(text string, tags Tags, limit int) Command {
	var c Command
	var names []string
	script := replaceTags(text, tags, func(name, value string) string {
		value = strings.ReplaceAll(value, "\x00", "")
		if len(value) > limit {
			c.Cut = true
			value = cutText(value, limit)
		}
		if !strings.ContainsAny(value, shellSpecial) {
			return value
		}
		name = "f2bV_" + notWord.ReplaceAllString(name, "_")
		if i := slices.Index(names, name); i >= 0 {
			c.Args[i] = value
			return "$" + name
		}
		names, c.Args = append(names, name), append(c.Args, value)
		return "$" + name
	})
	var head strings.Builder
	for i, name := range names {
		number := strconv.Itoa(i)
		if i > 9 {
			number = "{" + number + "}"
		}
		fmt.Fprintf(&head, "%s=$%s ", name, number)
	}
	if len(names) > 0 {
		head.WriteByte('\n')
	}
	c.Script = head.String() + script
	return c
}

// replaceTags replaces the tags of a text, once: what a value holds is never looked at, save that a capture
// may be named by a harmless value.
func replaceTags(text string, tags Tags, put func(name, value string) string) string {
	text = tagPattern.ReplaceAllStringFunc(text, func(tag string) string {
		name := tag[1 : len(tag)-1]
		if v, ok := tags.Value(name); ok {
			return put(name, v)
		}
		if v, ok := fixedTags[name]; ok {
			return v
		}
		return tag
	})
	return capturePattern.ReplaceAllStringFunc(text, func(tag string) string {
		name := strings.ToLower(tag[3 : len(tag)-1])
		switch name {
		case "id", "port":
			name = "f" + name
		}
		if v := tags.Capture(name); v != "" {
			return put("F_"+name, v)
		}
		return ""
	})
}

// fixedTags always mean the same.
var fixedTags = map[string]string{"br": "\n", "sp": " "}

// cutText shortens a text to at most n bytes, between characters.
func cutText(s string, n int) string {
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
