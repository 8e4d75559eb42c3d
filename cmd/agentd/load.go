package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/htmlindex"

	"github.com/palisade-agent/palisade/filters"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/jails"
)

// loader turns the configuration folder into the agent's options: it reads it, compiles what must be
// compiled, and collects everything that is wrong.
type loader struct {
	dir     string
	must    bool            // the folder was there once, or was asked for: the stock does not serve for it
	running map[string]bool // the jails of the last load that can run, or go on as they were
	global  config.Global   // of the last load
}

func newLoader(f flags) *loader { return &loader{dir: f.config, must: f.configSet} }

// stock reports whether there is no configuration folder, so that the built-in one serves.
func (l *loader) stock() bool {
	_, err := os.Stat(l.dir)
	return errors.Is(err, fs.ErrNotExist)
}

// name says for status where the configuration comes from.
func (l *loader) name() string {
	if l.stock() {
		return "(stock)"
	}
	return l.dir
}

// load reads the configuration. The error is for one that cannot be read at all; a jail that cannot
// run is named in Broken, and why in Problems, errors first.
func (l *loader) load() (agent.Options, error) {
	if l.stock() && l.must {
		return agent.Options{}, fmt.Errorf("the configuration folder %s is not there (put it back, then reload; to be without jails, disable them)", l.dir)
	}
	c, err := config.Load(config.Options{
		Dir:   l.dir,
		Stock: []fs.FS{jails.FS, config.Mount("filter.d", filters.FS)},
		// A log that is not there yet is waited for, so the reader of the configuration takes every
		// plain path as it stands; checkLogs looks at the files themselves.
		Glob: func(pattern string) ([]string, error) {
			if !source.HasMeta(pattern) {
				return []string{pattern}, nil
			}
			return source.Match(pattern)
		},
	})
	if err != nil {
		return agent.Options{}, fmt.Errorf("read the configuration: %w", err)
	}
	l.global, l.must = c.Global, !l.stock()
	problems := c.Problems
	var o agent.Options
	var dates date.Compiler
	for i := range c.Jails {
		j, wrong := build(&c.Jails[i], &dates, time.Now())
		problems = append(problems, wrong...)
		if !hasErrors(wrong) {
			o.Jails = append(o.Jails, j)
		}
	}
	problems = append(problems, l.lost(o.Jails, problems)...)
	slices.SortStableFunc(problems, func(a, b config.Problem) int { return int(a.Severity) - int(b.Severity) })
	broken := map[string]bool{}
	for _, p := range problems {
		if p.Severity == config.Error && p.Jail != "" && !broken[p.Jail] {
			broken[p.Jail] = true
			o.Broken = append(o.Broken, p.Jail)
		}
		o.Problems = append(o.Problems, wireProblem(p))
	}
	running := map[string]bool{}
	for _, j := range o.Jails {
		running[j.Name()] = true
	}
	for name := range broken {
		running[name] = running[name] || l.running[name]
	}
	l.running = running
	return o, nil
}

// lost names the jails that ran and that the configuration has no more, if a line of the files where
// jails are written could not be understood: that line may have been the jail's, as a [section with its
// bracket missing is. To end such a jail would let in everybody whom it bans.
func (l *loader) lost(jails []agent.Jail, problems []config.Problem) []config.Problem {
	unclear := slices.IndexFunc(problems, func(p config.Problem) bool {
		folder := filepath.Base(filepath.Dir(p.File))
		return p.Severity == config.Error && p.Jail == "" && folder != "filter.d" && folder != "action.d"
	})
	if unclear < 0 {
		return nil
	}
	left := maps.Clone(l.running)
	for _, j := range jails {
		delete(left, j.Name())
	}
	for _, p := range problems {
		delete(left, p.Jail)
	}
	line := problems[unclear]
	at := config.Origin{File: line.File, Line: line.Line}
	var lost []config.Problem
	for _, name := range slices.Sorted(maps.Keys(left)) {
		lost = append(lost, at.Problem(config.Error, name, "the jail is gone, and a line here is not clear: it goes on as it was",
			"mend the line; if the jail is to end, it does at the next reload"))
	}
	return lost
}

// bookConfig is what fail2ban.conf says of the memory of bans.
func (l *loader) bookConfig() jail.Config {
	return jail.Config{PurgeAge: l.global.DBPurgeAge, MaxDBMatches: l.global.DBMaxMatches, Random: random}
}

func hasErrors(problems []config.Problem) bool {
	for _, p := range problems {
		if p.Severity == config.Error {
			return true
		}
	}
	return false
}

func wireProblem(p config.Problem) control.Problem {
	return control.Problem{
		Severity: p.Severity.String(), Jail: p.Jail, File: p.File, Line: p.Line, Section: p.Section, Key: p.Key,
		Value: p.Value, Message: p.Msg, Hint: p.Hint,
	}
}

// problemText is a problem on one line, for the log.
func problemText(p control.Shared) string {
	value := strings.Join(strings.Fields(p.Value), " ") // of several lines, as an action's, too
	text := config.Problem{File: p.File, Line: p.Line, Section: p.Section, Key: p.Key, Value: value, Msg: p.Message, Hint: p.Hint}.Error()
	if len(p.Jails) > 0 {
		text = "[" + strings.Join(p.Jails, ", ") + "] " + text
	}
	return text
}

// noJails says what to do where no jail is enabled. Only a folder with a jail.conf says more of a jail
// than that it is enabled.
func (l *loader) noJails() string {
	needs := "enabled = true"
	if _, err := os.Stat(filepath.Join(l.dir, "jail.conf")); err != nil {
		needs = "enabled = true, filter = sshd, its logpath, and action = nftables[port=ssh]"
	}
	return fmt.Sprintf("no jail is enabled, nobody is watched (write what you need into %s, as [sshd] and below it %s)", filepath.Join(l.dir, "jail.local"), needs)
}

// build makes a jail that can run of one that is written soundly, compiling what the reader of the
// configuration does not. All that is wrong is returned, not only the first.
func build(c *config.Jail, dates *date.Compiler, now time.Time) (agent.Jail, []config.Problem) {
	b := builder{c: c}
	j := agent.Jail{
		Policy:   b.policy(),
		Poll:     strings.HasPrefix(c.Backend, "polling"),
		Encoding: b.encoding(),
		Ignore:   b.ignore(),
	}
	b.filter(&j, dates, now)
	b.actions(&j)
	b.files(&j)
	return j, b.problems
}

// builder collects the problems of one jail.
type builder struct {
	c        *config.Jail
	problems []config.Problem
}

func (b *builder) wrong(key, hint string, err error) {
	b.problems = append(b.problems, b.c.Origin(key).Problem(config.Error, b.c.Name, err.Error(), hint))
}

func (b *builder) warn(at config.Origin, msg, hint string) {
	b.problems = append(b.problems, at.Problem(config.Warning, b.c.Name, msg, hint))
}

func (b *builder) policy() jail.Policy {
	c := b.c
	p := jail.Policy{
		Jail: c.Name, MaxRetry: c.MaxRetry, FindTime: c.FindTime, BanTime: c.BanTime, MaxMatches: c.MaxMatches,
		Increment: jail.Increment{
			Enabled: c.Increment.Enabled, MaxTime: c.Increment.MaxTime, RndTime: c.Increment.RndTime,
			OverallJails: c.Increment.OverallJails, Factor: 1,
		},
	}
	var err error
	if c.Increment.Factor != "" {
		if p.Increment.Factor, err = jail.ParseFactor(c.Increment.Factor); err != nil {
			b.wrong("bantime.factor", "write a number, as 1 or 24", err)
		}
	}
	if c.Increment.Formula != "" {
		if p.Increment.Formula, err = jail.ParseFormula(c.Increment.Formula); err != nil {
			b.wrong("bantime.formula", "use ban.Time, ban.Count, banFactor, numbers, + - * / ** and the functions of math", err)
		}
	}
	if c.Increment.Multipliers != "" {
		if p.Increment.Multipliers, err = jail.ParseMultipliers(c.Increment.Multipliers); err != nil {
			b.wrong("bantime.multipliers", "write numbers between blanks, as 1 2 4 8", err)
		}
	}
	return p
}

// encoding finds the character set of the jail's logs; nil is UTF-8.
func (b *builder) encoding() encoding.Encoding {
	name := strings.ToLower(b.c.LogEncoding)
	switch name {
	case "", "auto", "utf-8", "utf8", "ascii", "us-ascii":
		return nil
	}
	e, err := htmlindex.Get(name)
	if err != nil || strings.HasPrefix(strings.ReplaceAll(name, "-", ""), "utf16") || strings.HasPrefix(strings.ReplaceAll(name, "-", ""), "utf32") {
		b.wrong("logencoding", "use auto, utf-8 or a single-byte encoding, as latin1", errors.New("an unknown encoding, or one that lines cannot be read in"))
	}
	return e
}

func (b *builder) ignore() agent.Ignore {
	i := agent.Ignore{Entries: b.c.IgnoreIP, Self: b.c.IgnoreSelf, Command: b.c.IgnoreCommand}
	for _, entry := range b.c.IgnoreIP {
		if why := odd(entry); why != "" {
			at := b.c.Origin("ignoreip")
			at.Value = entry
			b.warn(at, why, "write addresses as 192.0.2.1, networks as 192.0.2.0/24 or 2001:db8::/32, and host names")
		}
	}
	if b.c.IgnoreCache != "" {
		cache, err := parseIgnoreCache(b.c.IgnoreCache)
		if err != nil {
			b.wrong("ignorecache", `write it as key="<ip>", max-count=100, max-time=5m`, err)
		}
		i.Cache = cache
	}
	return i
}

// odd says what is wrong with an entry of ignoreip that cannot mean what it was written for: a mistake
// here locks out those who were to be let in.
func odd(entry string) string {
	addr, bits, isNet := strings.Cut(entry, "/")
	id := ident.Parse(entry)
	switch {
	case strings.HasPrefix(entry, "file:"):
	case id.IsAddr():
		if n, err := strconv.Atoi(bits); isNet && err == nil && (n > 128 || n > 32 && !strings.Contains(addr, ":")) {
			return fmt.Sprintf("a prefix of %d bits is too long: it counts as %s", n, id)
		}
	case isNet, strings.Contains(entry, ":"), strings.Trim(entry, "0123456789.") == "":
		return "this is no address, no network and no host name: nobody is spared for it"
	}
	return ""
}

// parseIgnoreCache reads the options of ignorecache, which are written like those of a filter.
func parseIgnoreCache(text string) (*agent.IgnoreCache, error) {
	spec, err := config.ParseSpec("ignorecache[" + text + "]")
	if err != nil {
		return nil, err
	}
	c := &agent.IgnoreCache{MaxCount: 300, MaxTime: 5 * time.Minute}
	var ok bool
	if c.Key, ok = spec.Param("key"); !ok {
		return nil, errors.New("it has no key")
	}
	if text, ok := spec.Param("max-count"); ok {
		if _, err := fmt.Sscanf(text, "%d", &c.MaxCount); err != nil || c.MaxCount < 1 {
			return nil, fmt.Errorf("max-count %q is no number above 0", text)
		}
	}
	if text, ok := spec.Param("max-time"); ok {
		if c.MaxTime, err = config.ParseTime(text); err != nil {
			return nil, fmt.Errorf("max-time: %w", err)
		}
	}
	return c, nil
}

func (b *builder) filter(j *agent.Jail, dates *date.Compiler, now time.Time) {
	c := b.c
	if c.Journal() {
		b.wrong("backend", "name a log file with logpath and set backend = auto or polling", errors.New("this version does not read the journal"))
	}
	dns, err := filter.ParseUseDNS(c.UseDNS)
	if err != nil {
		b.wrong("usedns", "use yes, warn, no or raw", err)
	}
	o := filter.Options{
		PrefRegex: c.PrefRegex, FailRegex: c.FailRegex, IgnoreRegex: c.IgnoreRegex, MaxLines: c.MaxLines,
		DatePattern: c.DatePattern, LogTimezone: c.LogTimezone, UseDNS: dns, FindTime: c.FindTime, Local: time.Local,
	}
	j.UseDNS, j.FilterID = dns, fmt.Sprintf("%#v", o)
	o.Dates = dates // says how it is made, not what it is
	if len(o.FailRegex) == 0 {
		b.wrong("failregex", "name a filter that has failregexes with filter = NAME", errors.New("there is nothing to look for"))
		return
	}
	j.Filter, err = filter.New(o, now)
	for _, e := range optionErrors(err) {
		at := c.Origin(e.Key)
		at.Value = e.Value
		b.problems = append(b.problems, at.Problem(config.Error, c.Name, e.Err.Error(), filterHint(e)))
	}
}

// optionErrors takes the errors of a filter's options apart.
func optionErrors(err error) []*filter.OptionError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*filter.OptionError
		for _, e := range joined.Unwrap() {
			all = append(all, optionErrors(e)...)
		}
		return all
	}
	if one, ok := errors.AsType[*filter.OptionError](err); ok {
		return []*filter.OptionError{one}
	}
	if err != nil {
		return []*filter.OptionError{{Key: "filter", Err: err}}
	}
	return nil
}

func filterHint(e *filter.OptionError) string {
	switch {
	case errors.Is(e.Err, filter.ErrNoID):
		return "put <HOST>, <ADDR> or <F-ID>…</F-ID> where the offender stands"
	case e.Key == "datepattern":
		return "see datepattern in jail.conf(5); a % is doubled in a configuration file"
	case e.Key == "logtimezone":
		return "use a fixed offset, as UTC+0200"
	}
	return "mend the regular expression where the message points"
}

// files takes the log files over and looks whether they can be read.
func (b *builder) files(j *agent.Jail) {
	for _, p := range b.c.LogPaths {
		j.Files = append(j.Files, agent.Files{Pattern: p.Pattern, Tail: p.Tail})
		b.checkLog(p)
	}
	if len(j.Files) == 0 && !b.c.Journal() {
		b.wrong("logpath", "name the log with logpath = /var/log/…", errors.New("the jail has no log to read"))
	}
}

// checkLog warns of a log that cannot be read now. The jail runs: the log is waited for.
func (b *builder) checkLog(p config.LogPath) {
	found := []string{p.Pattern}
	if source.HasMeta(p.Pattern) {
		var err error
		if found, err = source.Match(p.Pattern); err != nil {
			b.warn(p.Origin, "cannot look for it: "+err.Error(), "check the permissions of the folders")
		}
		if len(found) == 0 {
			b.warn(p.Origin, "no file matches yet", "check the pattern; files that appear are read")
		}
	}
	for _, path := range found {
		st, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			b.warn(p.Origin, "there is no file "+path+" yet", "check the path; the file is read as soon as it is there")
		case err != nil:
			b.warn(p.Origin, "cannot look at it: "+err.Error(), "check its permissions; it is tried again")
		case st.IsDir():
			b.wrong("logpath", "name a file, or the files in it as "+strings.TrimSuffix(path, "/")+"/*.log", fmt.Errorf("%s is a folder", path))
		default:
			if f, err := os.Open(path); err != nil {
				b.warn(p.Origin, "cannot read it: "+err.Error(), "let agentd read it, as by running it as root; it is tried again")
			} else {
				f.Close()
			}
		}
	}
}

// check reads the configuration and says everything that is wrong with it.
func check(f flags, stdout, stderr io.Writer) int {
	l := newLoader(f)
	o, err := l.load()
	if err != nil {
		fmt.Fprintf(stderr, "agentd: %v\n", err)
		return 1
	}
	failed := false
	for _, p := range control.Share(o.Problems) {
		fmt.Fprintf(stdout, "%s: %s\n", p.Severity, problemText(p))
		failed = failed || p.Severity == config.Error.String()
	}
	if len(o.Jails)+len(o.Broken) == 0 {
		fmt.Fprintf(stdout, "%s: %s\n", l.name(), l.noJails())
	} else {
		fmt.Fprintf(stdout, "%s: %d of %d enabled jails can run\n", l.name(), len(o.Jails), len(o.Jails)+len(o.Broken))
	}
	if failed {
		return 1
	}
	return 0
}
