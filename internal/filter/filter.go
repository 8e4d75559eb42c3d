package filter

import (
	"errors"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/filter/pyre"
)

// Filter is a filter's definition, compiled. It is immutable and safe for concurrent use; what
// changes from line to line lives in its Sessions.
type Filter struct {
	pref   *rule // nil: none
	fail   []*rule
	ignore []*rule
	// ignoreFirst: the ignoreregexes are tried on the whole line, before prefregex. fail2ban does so
	// where they are fewer than the failregexes by more than two, to save time.
	ignoreFirst bool

	maxLines      int
	dns           UseDNS
	findTime      time.Duration
	checkAll      bool
	reportPending bool
	checkTime     bool
	detail        bool

	dates *date.Templates
	needs needs  // what a line must hold to matter
	scan  *Group // of this filter alone
}

// New compiles a filter. The year of now decides which years a date may have. The error joins an
// *OptionError for each option that is wrong.
func New(o Options, now time.Time) (*Filter, error) {
	f := &Filter{
		maxLines: max(o.MaxLines, 1), dns: o.UseDNS, findTime: o.FindTime,
		checkAll: o.CheckAll, reportPending: o.ReportPending, checkTime: !o.NoTimeCheck, detail: o.Detail,
		ignoreFirst: len(o.IgnoreRegex) > 0 && len(o.IgnoreRegex) < len(o.FailRegex)-2,
	}
	if f.findTime == 0 {
		f.findTime = defaultFindTime
	}
	var errs []error
	wrong := func(key string, index int, value string, err error) {
		errs = append(errs, &OptionError{key, index, value, err})
	}
	if o.MaxLines < 0 {
		wrong("maxlines", 0, "", errors.New("must be greater than zero"))
	}
	f.compileRegexes(o, wrong)
	local := o.Local
	if local == nil {
		local = time.UTC
	}
	var err error
	if _, err = date.ParseZone(o.LogTimezone); o.LogTimezone != "" && err != nil {
		wrong("logtimezone", 0, o.LogTimezone, err)
		o.LogTimezone = ""
	}
	f.dates, err = date.Compile(date.Options{
		Pattern: o.DatePattern, LogTimezone: o.LogTimezone, Local: local, AllYears: o.AllYears, Compiler: o.Dates,
	}, now)
	if err != nil {
		wrong("datepattern", 0, o.DatePattern, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	f.needs = f.findNeeds(o)
	f.scan = NewGroup([]*Filter{f})
	return f, nil
}

// compileRegexes compiles all regexes. Only the failregexes of a filter with maxlines see more than
// one line start: fail2ban compiles the others without the flag, whatever maxlines is.
func (f *Filter) compileRegexes(o Options, wrong func(string, int, string, error)) {
	if o.PrefRegex != "" {
		r, err := compileRule(o.PrefRegex, RolePref, 0, o.UseDNS, 0)
		if err != nil {
			wrong("prefregex", 0, o.PrefRegex, err)
		}
		f.pref = r
	}
	var flags pyre.Flags
	if f.maxLines > 1 {
		flags = pyre.Multiline
	}
	for i, regex := range o.FailRegex {
		r, err := compileRule(regex, RoleFail, i, o.UseDNS, flags)
		if err == nil && !r.has(idGroups) && !f.pref.has(idGroups) {
			err = &noIDError{r.re.String()}
		}
		if err != nil {
			wrong("failregex", i, regex, err)
			continue
		}
		f.fail = append(f.fail, r)
	}
	for i, regex := range o.IgnoreRegex {
		r, err := compileRule(regex, RoleIgnore, i, o.UseDNS, 0)
		if err != nil {
			wrong("ignoreregex", i, regex, err)
			continue
		}
		f.ignore = append(f.ignore, r)
	}
}

// noIDError carries the expanded regex, which fail2ban's text of the error shows.
type noIDError struct{ regex string }

func (e *noIDError) Error() string { return ErrNoID.Error() + " in '" + e.regex + "'" }
func (e *noIDError) Unwrap() error { return ErrNoID }

// FailRegex gives the failregexes as they are searched, tags expanded.
func (f *Filter) FailRegex() []string { return patterns(f.fail) }

// IgnoreRegex gives the ignoreregexes as they are searched, tags expanded.
func (f *Filter) IgnoreRegex() []string { return patterns(f.ignore) }

// PrefRegex gives the prefregex as it is searched, tags expanded; empty if there is none.
func (f *Filter) PrefRegex() string {
	if f.pref == nil {
		return ""
	}
	return f.pref.re.String()
}

// Dates gives the date templates.
func (f *Filter) Dates() *date.Templates { return f.dates }

func patterns(rules []*rule) []string {
	p := make([]string, len(rules))
	for i, r := range rules {
		p[i] = r.re.String()
	}
	return p
}

// Regex tells about one regular expression of a filter.
type Regex struct {
	Role Role
	Text string // as it is searched, tags expanded
	// Tier is the engine that runs it.
	Tier pyre.Tier
	// Literals says that texts are known which any match must hold, so that other lines are passed over
	// without a search.
	Literals bool
}

// Regexes lists the regular expressions of a filter: prefregex, failregexes, ignoreregexes.
func (f *Filter) Regexes() []Regex {
	var all []Regex
	add := func(r *rule) {
		all = append(all, Regex{r.role, r.re.String(), r.re.Tier(), len(r.re.Literals()) > 0})
	}
	if f.pref != nil {
		add(f.pref)
	}
	for _, r := range f.fail {
		add(r)
	}
	for _, r := range f.ignore {
		add(r)
	}
	return all
}

// groups names the groups of a failregex behind those of the prefregex, no one twice, without the one
// that only cuts the line.
func (f *Filter) groups(r *rule) []string {
	var names []string
	for _, r := range []*rule{f.pref, r} {
		if r == nil {
			continue
		}
		for _, g := range r.groups {
			if !slices.Contains(names, g.name) && (g.name != "content" || r != f.pref) {
				names = append(names, g.name)
			}
		}
	}
	return names
}
