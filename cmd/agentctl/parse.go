package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/control"
)

// option is what may stand on a command line besides words.
type option struct {
	name     string // without the dashes
	argument string // what its value is called; empty for a switch
	brief    string
}

// options are those of single commands; -s, -c, --json and -h are for all.
func options() []option {
	return []option{
		{"all", "", "all that there are"},
		{"follow", "", "go on until Ctrl-C"},
		{"force", "", "ban even what the jail ignores"},
		{"keep", "", "leave the bans in the kernel"},
		{"jail", "JAIL", "only in this jail"},
		{"kind", "KIND", "only events of this kind: " + strings.Join(control.EventKinds(), ", ")},
		{"diff", "DIR", "compare with what another configuration does"},
		{"dns", "", "look host names up"},
		{"log", "FILE", "tell whether a jail reads this log"},
		{"dry-run", "", "only tell what would be done"},
		{"db", "PATH", "agentd's database, where agentd does not run (default " + defaultDatabase + ")"},
		{"now", "TIME", "no line is later: seconds since 1970, or 2026-11-22T12:00:00Z (default: when the log was last written)"},
		{"release", "VERSION", "fail2ban's rules of 1.0 or 1.1 (default 1.1)"},
		{"limit", "N", "show at most so many; 0 shows all"},
		{"owner", "OWNER", "only what jail:NAME or feed:NAME wants; jail: and feed: are all of them"},
		{"within", "NETWORK", "only what is inside of this network"},
		{"after", "ENTRY", "go on behind this entry, as the page before says"},
		{"feeds", "", "also what feeds block"},
		{"to", "NAME", "only what goes to this destination"},
		{"state", "STATE", "only reports that are waiting, sent, known, refused, cancelled, dropped or too-old"},
		{"format", "FORMAT", "how the list is written: plain, csv, json, drop, stix, taxii or crowdsec; without it, what fits"},
		{"entries", "PATH", "where in the JSON the addresses are, as threats[].ip"},
		{"score", "PATH", "where an entry's score is: a path in JSON, a column in CSV"},
		{"column", "COLUMN", "the column of CSV with the addresses, by number or name"},
		{"name", "NAME", "who reports"},
		{"contact", "MAIL", "where they reach you"},
		{"domain", "DOMAIN", "a domain of yours"},
		{"intent", "TEXT", "what you report, and why"},
		{"source", "SOURCE", "how reports come about: automated (the default), hybrid or manual"},
		{"url", "URL", "the list is here instead"},
		{"yes", "", "do it without a question"},
		{"hits", "", "how often each was met, where the firewall counts (hits = yes in agent.conf)"},
		{"time", "TIME", "how long: 3600, 90m, 1d 12h, or -1 for ever"},
	}
}

func findOption(name string) (option, bool) {
	all := options()
	i := slices.IndexFunc(all, func(o option) bool { return o.name == name })
	if i < 0 {
		return option{}, false
	}
	return all[i], true
}

// parse finds the command and its options, which may stand before or after it. No command and no error
// mean that help was asked for and has been given.
func (c *call) parse(args []string) (*command, error) {
	words, help, err := c.split(args)
	if err != nil {
		return nil, err
	}
	if len(words) == 0 {
		if !help {
			return nil, usagef("no command (see agentctl --help)")
		}
		fmt.Fprint(c.stdout, overview())
		return nil, nil //nolint:nilnil // help has been given
	}
	cmd := find(words[0])
	switch {
	case cmd == nil:
		return nil, unknown(words[0])
	case help:
		fmt.Fprint(c.stdout, cmd.help())
		return nil, nil //nolint:nilnil // help has been given
	}
	c.args = words[1:]
	if n := len(c.args); n < cmd.min || cmd.max >= 0 && n > cmd.max {
		return nil, cmd.misused()
	}
	if slices.Contains(c.args, "") && !cmd.verbatim {
		return nil, usagef("an empty word (a variable that is not set?): agentctl %s", cmd.usage)
	}
	for _, o := range options() {
		_, valued := c.values[o.name]
		if (c.flags[o.name] || valued) && !slices.Contains(cmd.options, o.name) {
			return nil, usagef("%s does not take --%s (see agentctl %s --help)", cmd.name, o.name, cmd.name)
		}
	}
	return cmd, nil
}

// unknown is the error of a command that does not exist.
func unknown(word string) error {
	return usagef("unknown command %q%s (see agentctl --help)", word, suggestion(word, commandNames()))
}

// split takes the options out of the arguments.
func (c *call) split(args []string) (words []string, help bool, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			return append(words, args...), help, nil
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			words = append(words, arg)
			if cmd := find(words[0]); cmd != nil && cmd.own {
				return append(words, args...), help, nil
			}
			continue
		}
		name, value, has := strings.Cut(arg, "=")
		take := func() (string, error) {
			if has {
				return value, nil
			}
			if len(args) == 0 {
				return "", usagef("%s needs a value", name)
			}
			value, args = args[0], args[1:]
			return value, nil
		}
		o, known := findOption(strings.TrimPrefix(name, "--"))
		known = known && strings.HasPrefix(name, "--")
		switched := !known || o.argument == ""
		switch {
		case name == "-s" || name == "--socket":
			if c.socket, err = take(); err == nil && c.socket == "" {
				err = usagef("%s needs a path", name)
			}
		case name == "-c" || name == "--config":
			if c.config, err = take(); err == nil && c.config == "" {
				err = usagef("%s needs a folder", name)
			}
			c.named = true
		case has && switched && (known || name == "--json" || name == "--help"):
			err = usagef("%s takes no value", name)
		case name == "--json":
			c.json = true
		case name == "-h" || name == "--help":
			help = true
		case name == "-V" || name == "--version":
			words = append([]string{"version"}, words...)
		case !known:
			err = usagef("unknown option %s%s (see agentctl --help)", name, suggestion(name, optionNames()))
		case switched:
			c.flags[o.name] = true
		default:
			if c.values[o.name], err = take(); err == nil && c.values[o.name] == "" {
				err = usagef("%s needs a value", name)
			}
			c.lists[o.name] = append(c.lists[o.name], c.values[o.name])
		}
		if err != nil {
			return nil, false, err
		}
	}
	return words, help, nil
}

// limit reads --limit.
func (c *call) limit(otherwise int) (int, error) {
	text, ok := c.values["limit"]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, usagef("--limit %q is no number", text)
	}
	return n, nil
}

func optionNames() []string {
	names := []string{"--json", "--socket", "--config", "--help", "--version"}
	for _, o := range options() {
		names = append(names, "--"+o.name)
	}
	return names
}

// suggestion names the one that a mistyped word most likely meant.
func suggestion(word string, names []string) string {
	if best := nearest(word, names); best != "" {
		return fmt.Sprintf(": did you mean %q?", best)
	}
	return ""
}

// nearest gives the name that is most like a word, or nothing if all are far off.
func nearest(word string, names []string) string {
	if len(word) > 100 {
		return ""
	}
	best, at := "", min(3, 1+len(word)/2) // further off is no typing mistake
	for _, name := range names {
		if d := distance(word, name); d < at {
			best, at = name, d
		}
	}
	return best
}

// distance counts the letters to change, add or drop to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := diagonal
			if a[i] != b[j] {
				next = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

// listed joins names, the first of them if they are many.
func listed(names []string) string {
	const most = 10
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}
