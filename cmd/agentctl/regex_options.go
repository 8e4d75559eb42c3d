package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
)

// regexOptions are the command line of agentctl regex and of fail2ban-regex.
type regexOptions struct {
	words []string // LOG, REGEX, IGNOREREGEX

	config       string
	named        bool // config was given
	datePattern  string
	zone         string
	encoding     string
	raw          bool
	usedns       string
	maxLines     int
	journal      string // journalmatch
	verbose      int
	verboseDates bool
	debuggex     bool
	invert       bool
	noCheckAll   bool
	out          string
	keep         struct{ noMissed, noIgnored, allMatched, allMissed, allIgnored bool }

	json       bool
	explain    bool
	now        time.Time // zero: the clock's
	noFindTime bool
	stamped    bool // --journal: lines have no date
	help       bool
	version    string // what -V or --version print
}

// regexOption is one option of it.
type regexOption struct {
	short, long []string
	argument    string // what its value is called; empty for a switch
	brief       string
	set         func(*regexOptions, string) error
}

// named reports whether a word is one of the option's names.
func (x regexOption) named(word string) bool {
	return slices.Contains(x.short, word) || slices.Contains(x.long, word)
}

func regexOptionTable() []regexOption {
	on := func(target func(*regexOptions) *bool) func(*regexOptions, string) error {
		return func(o *regexOptions, _ string) error { *target(o) = true; return nil }
	}
	text := func(target func(*regexOptions) *string) func(*regexOptions, string) error {
		return func(o *regexOptions, v string) error { *target(o) = v; return nil }
	}
	nothing := func(*regexOptions, string) error { return nil }
	return []regexOption{
		{[]string{"-c"}, []string{"--config"}, "DIR", "the configuration", func(o *regexOptions, v string) error { o.config, o.named = v, true; return nil }},
		{[]string{"-d"}, []string{"--datepattern"}, "PATTERN", "how dates are written", text(func(o *regexOptions) *string { return &o.datePattern })},
		{nil, []string{"--timezone", "--TZ", "--tz"}, "ZONE", "the zone of dates that name none, as UTC+0200", text(func(o *regexOptions) *string { return &o.zone })},
		{[]string{"-e"}, []string{"--encoding"}, "NAME", "the encoding of the log (default UTF-8)", text(func(o *regexOptions) *string { return &o.encoding })},
		{[]string{"-r"}, []string{"--raw"}, "", "names are not resolved", on(func(o *regexOptions) *bool { return &o.raw })},
		{nil, []string{"--usedns"}, "yes|warn|no|raw", "what becomes of names", text(func(o *regexOptions) *string { return &o.usedns })},
		{[]string{"-L"}, []string{"--maxlines"}, "N", "lines that a regex sees at once", func(o *regexOptions, v string) (err error) {
			o.maxLines, err = number(v)
			return err
		}},
		{[]string{"-m"}, []string{"--journalmatch"}, "MATCH", "what is read of the journal", text(func(o *regexOptions) *string { return &o.journal })},
		{[]string{"-l"}, []string{"--log-level"}, "LEVEL", "accepted, and not used", func(*regexOptions, string) error { return nil }},
		{[]string{"-V"}, nil, "", "print the version, short", func(o *regexOptions, _ string) error { o.version = clientVersion; return nil }},
		{nil, []string{"--version"}, "", "print the version", func(o *regexOptions, _ string) error { o.version = "fail2ban-regex " + clientVersion; return nil }},
		{[]string{"-v"}, []string{"--verbose"}, "", "also regexes without hits, and who was found", func(o *regexOptions, _ string) error { o.verbose++; return nil }},
		{nil, []string{"--verbosity"}, "N", "the same as so many -v", func(o *regexOptions, v string) (err error) {
			o.verbose, err = number(v)
			return err
		}},
		{nil, []string{"--verbose-date", "--VD"}, "", "also what the date templates look for", on(func(o *regexOptions) *bool { return &o.verboseDates })},
		{[]string{"-D"}, []string{"--debuggex"}, "", "addresses of debuggex.com for each regex and line", on(func(o *regexOptions) *bool { return &o.debuggex })},
		{nil, []string{"--no-check-all"}, "", "a line ends at the first regex that matches", on(func(o *regexOptions) *bool { return &o.noCheckAll })},
		{[]string{"-o"}, []string{"--out"}, "FORM", "print failures only: id, ip, msg, row, matches, a group's name, or a text with tags", text(func(o *regexOptions) *string { return &o.out })},
		{[]string{"-i"}, []string{"--invert"}, "", "with -o, print the lines that are no failure", on(func(o *regexOptions) *bool { return &o.invert })},
		{nil, []string{"--print-no-missed"}, "", "no missed lines", on(func(o *regexOptions) *bool { return &o.keep.noMissed })},
		{nil, []string{"--print-no-ignored"}, "", "no ignored lines", on(func(o *regexOptions) *bool { return &o.keep.noIgnored })},
		{nil, []string{"--print-all-matched"}, "", "all matched lines", on(func(o *regexOptions) *bool { return &o.keep.allMatched })},
		{nil, []string{"--print-all-missed"}, "", "all missed lines, however many", on(func(o *regexOptions) *bool { return &o.keep.allMissed })},
		{nil, []string{"--print-all-ignored"}, "", "all ignored lines, however many", on(func(o *regexOptions) *bool { return &o.keep.allIgnored })},
		{[]string{"-t"}, []string{"--log-traceback"}, "", "accepted, and not used", nothing},
		{nil, []string{"--full-traceback"}, "", "accepted, and not used", nothing},
		{[]string{"-h"}, []string{"--help"}, "", "this", on(func(o *regexOptions) *bool { return &o.help })},
		{nil, []string{"--json"}, "", "an object for each line", on(func(o *regexOptions) *bool { return &o.json })},
		{nil, []string{"--explain"}, "", "say of each line what became of it, and why", on(func(o *regexOptions) *bool { return &o.explain })},
		{nil, []string{"--now"}, "TIME", "try the lines as at that time: seconds since 1970, or 2026-11-22T12:00:00Z", func(o *regexOptions, v string) (err error) {
			o.now, err = moment(v)
			return err
		}},
		{nil, []string{"--no-findtime"}, "", "with --now: lines older than findtime count, too", on(func(o *regexOptions) *bool { return &o.noFindTime })},
		{nil, []string{"--journal"}, "", "lines have no date, as the journal's: they were written --now", on(func(o *regexOptions) *bool { return &o.stamped })},
	}
}

func number(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", v)
	}
	return n, nil
}

// moment reads a time: seconds since 1970, or RFC 3339.
func moment(v string) (time.Time, error) {
	if f, err := strconv.ParseFloat(v, 64); err == nil && f > -1e11 && f < 1e11 {
		return time.UnixMicro(int64(f * 1e6)), nil
	}
	t, err := time.Parse(time.RFC3339, v)
	if err != nil {
		return t, fmt.Errorf("%q is no time: use seconds since 1970, or 2026-11-22T12:00:00Z", v)
	}
	return t, nil
}

// parseRegex reads the options as fail2ban-regex does: they may stand anywhere, long ones may be shortened
// while they are clear, short ones may stand together.
func parseRegex(args []string) (regexOptions, error) {
	o := regexOptions{config: config.DefaultDir}
	table := regexOptionTable()
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		switch {
		case arg == "--":
			o.words = append(o.words, args...)
			return o, nil
		case strings.HasPrefix(arg, "--"):
			name, value, has := strings.Cut(arg, "=")
			opt, err := longOption(table, name)
			if err != nil {
				return o, err
			}
			if args, err = o.take(opt, name, value, has, args); err != nil {
				return o, err
			}
		case strings.HasPrefix(arg, "-") && arg != "-":
			rest := arg[1:]
			for rest != "" {
				name := "-" + rest[:1]
				rest = rest[1:]
				i := slices.IndexFunc(table, func(x regexOption) bool { return slices.Contains(x.short, name) })
				if i < 0 {
					return o, fmt.Errorf("no such option: %s", name)
				}
				var err error
				opt := table[i]
				if args, err = o.take(opt, name, rest, opt.argument != "" && rest != "", args); err != nil {
					return o, err
				}
				if opt.argument != "" {
					break
				}
			}
		default:
			o.words = append(o.words, arg)
		}
	}
	return o, nil
}

// take gives an option its value, which may be the next word.
func (o *regexOptions) take(opt regexOption, name, value string, has bool, args []string) ([]string, error) {
	switch {
	case opt.argument == "" && has:
		return nil, fmt.Errorf("%s option does not take a value", name)
	case opt.argument != "" && !has:
		if len(args) == 0 {
			return nil, fmt.Errorf("%s option requires 1 argument", name)
		}
		value, args = args[0], args[1:]
	}
	if err := opt.set(o, value); err != nil {
		return nil, fmt.Errorf("option %s: %w", name, err)
	}
	return args, nil
}

// longOption finds an option by its name, or by the beginning of it.
func longOption(table []regexOption, name string) (regexOption, error) {
	var found []regexOption
	var names []string
	for _, x := range table {
		for _, long := range x.long {
			if long == name {
				return x, nil
			}
			if strings.HasPrefix(long, name) {
				names = append(names, long)
				found = append(found, x)
			}
		}
	}
	switch len(found) {
	case 0:
		var all []string
		for _, x := range table {
			all = append(all, x.long...)
		}
		return regexOption{}, fmt.Errorf("no such option: %s%s", name, suggestion(name, all))
	case 1:
		return found[0], nil
	}
	slices.Sort(names)
	return regexOption{}, fmt.Errorf("ambiguous option: %s (%s?)", name, strings.Join(names, ", "))
}

func regexHelp() string {
	var b strings.Builder
	b.WriteString(`Usage: agentctl regex [OPTIONS] LOG REGEX [IGNOREREGEX]

Tries a filter on a log, as fail2ban-regex does: what matches, what is missed, by which regular expression
and date. Nothing is counted, nobody is banned. As there, a line's age does not matter; with --now it
does, as to the daemon when it starts: what is older than findtime is no failure.

LOG          a file, - for standard input, systemd-journal[OPTIONS], or a line itself
REGEX        a filter, with options if need be (sshd[mode=aggressive]), a file with one (./my.conf), a jail,
             or a failregex itself
IGNOREREGEX  an ignoreregex, in place of the filter's

Options:
`)
	t := newTable()
	for _, x := range regexOptionTable() {
		names := strings.Join(append(slices.Clone(x.short), x.long...), ", ")
		if len(x.short) == 0 {
			names = "    " + names
		}
		t.add("  "+strings.TrimSpace(names+" "+x.argument), x.brief)
	}
	t.write(&b)
	b.WriteString(`
Exit status: 0 also if nothing matches; 1 (as fail2ban-regex: 255) if the filter or the log cannot be used;
2 (255) for wrong usage.

Example:
  agentctl regex /var/log/auth.log 'sshd[mode=aggressive]'
  agentctl regex 'Nov 22 11:59:59 host app: failure from 192.0.2.1' '^ \S+ app: failure from <HOST>$'
  agentctl regex --json /var/log/auth.log sshd | jq 'select(.matched) | .failures[].id'
`)
	return b.String()
}
