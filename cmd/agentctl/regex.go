package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/regextest"
	"github.com/palisade-agent/palisade/internal/setup"
	"github.com/palisade-agent/palisade/internal/source"
)

// linesShown is how many lines of a kind are shown unless all are asked for, or maxlines says otherwise.
const linesShown = 20

// regexRun is one run of the tool.
type regexRun struct {
	o        regexOptions
	stdout   io.Writer // buffered by the caller
	stderr   io.Writer
	stdin    io.Reader
	clock    func() time.Time
	terminal bool // stderr is one
	resolve  regextest.Resolver

	settings regextest.Settings
	fail     []string // as written
	ignore   []string
	keep     regextest.Keep
	matches  [][]string   // of the journal
	from     *config.Jail // that the filter comes from; nil for a regex itself
}

// errRegex marks an error that has been told.
var errRegex = errors.New("told")

// regex is agentctl regex.
func regex(ctx context.Context, c *call) error {
	args := c.args
	if c.named {
		args = append([]string{"-c", c.config}, args...)
	}
	if c.json {
		args = append([]string{"--json"}, args...)
	}
	o, err := parseRegex(args)
	if err != nil {
		return usagef("%v (see agentctl regex --help)", err)
	}
	if o.help {
		_, err := io.WriteString(c.stdout, regexHelp())
		return err
	}
	if err := o.check(); err != nil {
		return usagef("%v (see agentctl regex --help)", err)
	}
	r := &regexRun{o: o, stdout: c.stdout, stderr: c.stderr, stdin: c.stdin, clock: c.now, terminal: isTerminal(c.stderr), resolve: newResolver()}
	if err := r.run(ctx); errors.Is(err, errRegex) {
		return errFound
	} else if err != nil {
		return err
	}
	return nil
}

// answerAsRegex is main for the name fail2ban-regex.
func answerAsRegex(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parseRegex(args)
	if err != nil {
		fmt.Fprintf(stderr, "Usage: fail2ban-regex [OPTIONS] <LOG> <REGEX> [IGNOREREGEX]\n\nfail2ban-regex: error: %s\n", safe(err.Error()))
		return 2
	}
	switch {
	case o.help:
		fmt.Fprint(stdout, regexHelp())
		return 0
	case o.version != "":
		fmt.Fprintln(stdout, o.version)
		return 0
	}
	if err := o.check(); err != nil {
		fmt.Fprint(stdout, regexHelp())
		fmt.Fprintf(stderr, "\nERROR: %s\n", safe(err.Error()))
		return clientFailed
	}
	w := bufio.NewWriter(stdout)
	r := &regexRun{o: o, stdout: w, stderr: stderr, stdin: os.Stdin, clock: time.Now, terminal: isTerminal(stderr), resolve: newResolver()}
	err = r.run(ctx)
	if flushErr := w.Flush(); err == nil {
		err = flushErr
	}
	if err == nil {
		return 0
	}
	if !errors.Is(err, errRegex) {
		fmt.Fprintf(stderr, "fail2ban-regex: %s\n", safe(err.Error()))
	}
	return clientFailed
}

func (o *regexOptions) check() error {
	switch {
	case o.version != "":
		return nil
	case o.keep.noMissed && o.keep.allMissed:
		return errors.New("--print-no-missed and --print-all-missed are mutually exclusive.") //nolint:revive,staticcheck // as there
	case o.keep.noIgnored && o.keep.allIgnored:
		return errors.New("--print-no-ignored and --print-all-ignored are mutually exclusive.") //nolint:revive,staticcheck // as there
	case len(o.words) < 2 || len(o.words) > 3:
		return errors.New("provide both <LOG> and <REGEX>.") //nolint:revive,staticcheck // as there
	}
	return nil
}

// head writes a line of the part that comes before the results; programs get none.
func (r *regexRun) head(format string, args ...any) {
	if r.o.out == "" && !r.o.json {
		fmt.Fprintln(r.stdout, printable(fmt.Sprintf(format, args...)))
	}
}

// fails tells an error where fail2ban-regex does, among its output.
func (r *regexRun) fails(format string, args ...any) error {
	w := r.stdout
	if r.o.json {
		w = r.stderr
	}
	for line := range strings.SplitSeq(fmt.Sprintf(format, args...), "\n") {
		fmt.Fprintln(w, safe(line))
	}
	return errRegex
}

func (r *regexRun) run(ctx context.Context) error {
	o := &r.o
	if filepath.Base(o.config) == "filter.d" {
		o.config = filepath.Dir(o.config)
	}
	if o.version != "" {
		fmt.Fprintln(r.stdout, o.version)
		return nil
	}
	if r.o.out == "" && !r.o.json {
		fmt.Fprint(r.stdout, "\nRunning tests\n=============\n\n")
	}
	r.settings = regextest.Settings{
		Now: o.now, CheckTime: !o.now.IsZero() && !o.noFindTime, Years: r.clock(),
		FirstOnly: o.noCheckAll || o.out != "", Pending: o.out == "" && !o.json, Journal: o.stamped, Resolve: r.resolve,
	}
	if o.now.IsZero() {
		r.settings.Now = r.clock()
	}
	f := &r.settings.Filter
	f.Local, f.LogTimezone, f.MaxLines = time.Local, o.zone, o.maxLines
	dns, err := filter.ParseUseDNS(cmpOr(o.usedns, "warn"))
	if err != nil {
		return r.fails("ERROR: usedns: %v", err)
	}
	if f.UseDNS = dns; o.raw && dns != filter.DNSNo {
		f.UseDNS = filter.DNSRaw
	}
	if o.maxLines < 0 {
		return r.fails("ERROR: maxlines must be greater than zero")
	}
	if o.maxLines > 0 {
		r.head("Use         maxlines : %d", o.maxLines)
	}
	if o.datePattern != "" {
		f.DatePattern = o.datePattern
		r.head("Use      datepattern : %s : %s", o.datePattern, r.patternName())
	}
	if err := r.readFilter(o.words[1]); err != nil {
		return err
	}
	if len(o.words) == 3 {
		r.head("Use %11s line : %s", "ignoreregex", shortened(o.words[2]))
		r.ignore = []string{o.words[2]}
	}
	f.FailRegex, f.IgnoreRegex = r.fail, r.ignore
	t, err := regextest.New(r.settings)
	if err != nil {
		return r.compileError(err)
	}
	r.keep = regextest.Keep{
		Lines: linesShown, MaxLines: f.MaxLines, Detail: o.verbose != 0,
		AllMatched: o.keep.allMatched, AllMissed: o.keep.allMissed, AllIgnored: o.keep.allIgnored, NoMissed: o.keep.noMissed, NoIgnored: o.keep.noIgnored,
	}
	if o.maxLines > 0 {
		r.keep.Lines = o.maxLines
	}
	return r.process(ctx, t)
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// looksLikeFilter is fail2ban-regex's idea of a filter's name or path, with options.
var looksLikeFilter = regexp.MustCompile(`^/{0,3}[\w/\-.]+(?:\[(?s:.*)\])?$`)

// readFilter takes the second word: a filter, a jail, or a regex itself.
func (r *regexRun) readFilter(word string) error {
	backend := "auto"
	if isJournal(r.o.words[0]) || r.o.stamped {
		backend = "systemd"
	}
	if looksLikeFilter.MatchString(word) {
		spec, err := config.ParseSpec(word)
		if err != nil {
			return r.fails("ERROR: Wrong filter name or options: %v\n       while parsing: %s", err, word)
		}
		l := setup.New(r.o.config, r.o.named)
		found, err := l.Filter(spec, backend)
		if err == nil {
			return r.useFilter(word, spec, found)
		}
		if !errors.Is(err, config.ErrNoFilter) {
			return err
		}
		if jail, err := r.jail(l, spec); err == nil && jail != nil {
			r.head("Use             jail : %s", spec.Name)
			return r.useJail(jail)
		}
	}
	r.head("Use %11s line : %s", "failregex", shortened(word))
	r.fail = []string{word}
	return nil
}

// jail finds a jail of that name, also a disabled one.
func (r *regexRun) jail(l *setup.Loader, spec config.Spec) (*config.Jail, error) {
	c, err := l.Read(spec.Name)
	if err != nil {
		return nil, err
	}
	if j, ok := c.Jail(spec.Name); ok {
		return j, nil
	}
	for i := range c.Unsound { // what is wrong may not be its filter
		if c.Unsound[i].Name == spec.Name {
			return &c.Unsound[i], nil
		}
	}
	return nil, nil //nolint:nilnil // there is none, and nothing is wrong
}

func (r *regexRun) useFilter(word string, spec config.Spec, f *config.Filter) error {
	for _, p := range f.Problems {
		if p.Severity == config.Error {
			return r.fails("ERROR: failed to load filter %s\n%s", word, p.Error())
		}
	}
	if strings.Contains(spec.Name, "/") && !strings.Contains(spec.Name, "filter.d/") {
		r.head("Use %11s file : %s", "failregex", spec.Name)
	} else {
		r.head("Use %11s filter file : %s, basedir: %s", "failregex", f.Jail.Name, r.o.config)
	}
	if len(spec.Params) > 0 {
		var d pickle.Dict
		for _, p := range spec.Params {
			d = append(d, pickle.Item{Key: p.Name, Value: p.Value})
		}
		r.head("Use   filter options : %s", f2b.Repr(d))
	}
	if r.o.verbose > 1 {
		d := pickle.Dict{{Key: "logtype", Value: f.LogType}}
		if f.Jail.DatePattern != "" {
			d = append(d, pickle.Item{Key: "datepattern", Value: f.Jail.DatePattern})
		}
		for _, p := range f.Params {
			if p.Name != "logtype" && p.Name != "datepattern" {
				d = append(d, pickle.Item{Key: p.Name, Value: p.Value})
			}
		}
		r.head("Real  filter options : %s", f2b.Repr(d))
	}
	return r.useJail(&f.Jail)
}

func (r *regexRun) useJail(j *config.Jail) error {
	r.from = j
	f := &r.settings.Filter
	f.PrefRegex, r.fail, r.ignore = j.PrefRegex, j.FailRegex, j.IgnoreRegex
	if f.LogTimezone == "" {
		f.LogTimezone = j.LogTimezone
	}
	f.FindTime = j.FindTime
	if !j.Origin("maxlines").IsZero() && f.MaxLines == 0 {
		f.MaxLines = j.MaxLines
		r.head("Use         maxlines : %d", f.MaxLines)
	}
	if j.DatePattern != "" && f.DatePattern == "" {
		f.DatePattern = j.DatePattern
		r.head("Use      datepattern : %s : %s", j.DatePattern, r.patternName())
	}
	r.matches = j.JournalMatch
	return nil
}

// patternName is how a date pattern is called: by its template, or, if there are more than two, as the list
// of the default ones.
func (r *regexRun) patternName() string {
	o := r.settings.Filter
	o.FailRegex, o.PrefRegex, o.IgnoreRegex = []string{"<HOST>"}, "", nil
	t, err := regextest.New(regextest.Settings{Filter: o, Now: r.settings.Now})
	if err != nil {
		return ""
	}
	if names := t.Filter().Dates().Names(); len(names) == 1 || len(names) == 2 {
		return names[0]
	}
	return "Default Detectors"
}

// compileError tells why a filter cannot be tried.
func (r *regexRun) compileError(err error) error {
	if r.from != nil {
		for _, p := range setup.FilterProblems(r.from, err) {
			defer fmt.Fprintln(r.stderr, safe(p.Error()))
		}
	}
	for _, p := range setup.OptionErrors(err) {
		switch {
		case errors.Is(p.Err, filter.ErrNoID):
			err = r.fails("ERROR: No failure-id group in '%s'", p.Value)
		case strings.HasSuffix(p.Key, "regex"):
			err = r.fails("ERROR: Unable to compile regular expression '%s':\n%s", p.Value, p.Err)
		default:
			err = r.fails("ERROR: %s = %s: %s", p.Key, p.Value, p.Err)
		}
	}
	return err
}

func isJournal(log string) bool { return strings.HasPrefix(log, source.JournalPath) }

// shortened shortens a text for a headline as fail2ban-regex does.
func shortened(s string) string {
	const most = 53
	if r := []rune(s); len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return s
}

// process tries all lines and shows what became of them.
func (r *regexRun) process(ctx context.Context, t *regextest.Tester) error {
	each, done, err := r.input(ctx)
	if err != nil {
		return err
	}
	defer done()
	r.head("")
	began := time.Now()
	f := t.Filter()
	r.keep.Now = r.settings.Now
	tally := regextest.NewTally(f, r.keep)
	defer func() { _ = tally.Close() }()
	form := regextest.Form{Text: r.o.out, Invert: r.o.invert, Now: r.settings.Now, HostOf: func(id ident.ID) string { return hostOf(ctx, id) }}
	enc := json.NewEncoder(r.stdout)
	enc.SetEscapeHTML(false)
	err = each(func(l filter.Line, number int) error {
		var line regextest.Line
		if l.Time.IsZero() {
			line = t.Try(ctx, l.Text)
		} else {
			line = t.TryEntry(ctx, l)
		}
		switch {
		case r.o.json:
			if err := enc.Encode(regextest.ObjectOf(line, number)); err != nil {
				return fmt.Errorf("write: %w", err)
			}
		case r.o.out != "":
			for _, text := range form.Lines(line) {
				if _, err := fmt.Fprintln(r.stdout, printable(text)); err != nil {
					return fmt.Errorf("write: %w", err)
				}
			}
		case r.o.explain:
			r.explain(line, number)
		}
		tally.Add(line, l.Stamp+l.Text)
		return nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	interrupted := err != nil
	if r.o.out == "" && !r.o.json {
		report := regextest.Report{
			Filter: f, Fail: r.fail, Ignore: r.ignore, Dates: t.Dates(), Verbose: r.o.verbose != 0, VerboseDates: r.o.verboseDates,
			DebugURLs: r.o.debuggex, Elapsed: time.Since(began), Show: printable,
		}
		if err := report.Write(r.stdout, tally); err != nil {
			return fmt.Errorf("write: %w", err)
		}
	}
	if tally.GaveUp > 0 {
		fmt.Fprintf(r.stderr, "%s at the limit of a regex: such a line is no failure\n", plural(tally.GaveUp, "search was given up", "searches were given up"))
	}
	if interrupted {
		fmt.Fprintf(r.stderr, "interrupted after %s\n", plural(tally.Lines, "line", "lines"))
		return errRegex
	}
	return nil
}

// explain says of a line what became of it.
func (r *regexRun) explain(l regextest.Line, number int) {
	if l.Matched {
		for _, h := range l.Hits {
			if !h.NoFail {
				when := "at " + h.Time.Format(time.RFC3339)
				if h.Time.IsZero() {
					when = "without a date"
				}
				fmt.Fprintf(r.stdout, "%d: failure of %s %s, failregex %d\n", number, safe(h.ID.String()), when, h.Regex+1)
			}
		}
		return
	}
	fmt.Fprintf(r.stdout, "%d: %s: %s\n", number, l.Why(), safe(shortened(l.Text)))
	if !l.Ignored && !l.TooOld {
		fmt.Fprintf(r.stdout, "%*s  searched: \"%s\"\n", len(strconv.Itoa(number)), "", safe(l.Searched))
	}
}

// isTerminal reports whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
