package setup

import (
	"path"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
)

// FilterReport is what there is to know of a filter.
type FilterReport struct {
	Name  string       `json:"name"`
	Stock bool         `json:"stock"` // it comes with the program, and the configuration has none of the name
	Files []string     `json:"files"`
	Brief string       `json:"brief,omitempty"` // the first line of its comment
	Modes []ModeReport `json:"modes"`           // one without a name where it has none
}

// ModeReport is a filter in one mode.
type ModeReport struct {
	Mode     string            `json:"mode,omitempty"`
	Default  bool              `json:"default"` // what it does if no mode is named
	Regexes  []RegexReport     `json:"regexes"`
	Problems []control.Problem `json:"problems,omitempty"`
}

// RegexReport is one regular expression of a filter.
type RegexReport struct {
	Role  string `json:"role"`  // prefregex, failregex or ignoreregex
	Regex string `json:"regex"` // with its tags filled in
	// Tier is the engine that runs it.
	Tier string `json:"tier"`
	// Literals says whether lines are looked through for texts that a matching one must hold, before the
	// regex itself runs.
	Literals bool `json:"literals"`
}

// FilterNames lists the filters that the configuration and the stock have.
func (l *Loader) FilterNames() ([]string, error) {
	known, err := config.FilterNames(l.options())
	if err != nil {
		return nil, err
	}
	var names []string
	for _, n := range known {
		names = append(names, n.Name)
	}
	return names, nil
}

// Filters tells about the filters that the configuration and the stock have, of all or of those named.
func (l *Loader) Filters(names ...string) ([]FilterReport, error) {
	o := l.options()
	known, err := config.FilterNames(o)
	if err != nil {
		return nil, err
	}
	var dates date.Compiler
	var all []FilterReport
	for _, n := range known {
		if len(names) > 0 && !slices.Contains(names, n.Name) {
			continue
		}
		r, err := reportFilter(o, n, &dates)
		if err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	if len(names) == 0 {
		all = slices.DeleteFunc(all, func(r FilterReport) bool { return r.broken() && included(r, all) })
	}
	return all, nil
}

// Filter reads one filter, of the configuration or of the stock, or of a file; see config.LoadFilter.
func (l *Loader) Filter(spec config.Spec, backend string) (*config.Filter, error) {
	return config.LoadFilter(l.options(), spec, backend)
}

// broken reports whether there is a mode in which the filter cannot be used.
func (r FilterReport) broken() bool {
	return slices.ContainsFunc(r.Modes, func(m ModeReport) bool { return len(m.Regexes) == 0 })
}

// included reports whether another filter includes this one: one that cannot be used and is included is a
// part, and nothing is wrong with it.
func included(r FilterReport, all []FilterReport) bool {
	if len(r.Files) == 0 {
		return false
	}
	file := r.Files[len(r.Files)-1]
	return slices.ContainsFunc(all, func(o FilterReport) bool { return o.Name != r.Name && slices.Contains(o.Files, file) })
}

func reportFilter(o config.Options, n config.FilterName, dates *date.Compiler) (FilterReport, error) {
	plain, err := config.LoadFilter(o, config.Spec{Name: n.Name}, "auto")
	if err != nil {
		return FilterReport{}, err
	}
	r := FilterReport{Name: n.Name, Stock: n.Stock, Files: plain.Files}
	own := func(file string) bool { return strings.TrimSuffix(path.Base(file), path.Ext(file)) == n.Name }
	if i := slices.IndexFunc(plain.Files, own); i >= 0 {
		r.Brief, _, _ = strings.Cut(config.Header(o, plain.Files[i]), "\n")
	}
	unnamed := reportMode(plain, "", dates)
	unnamed.Default = true
	for _, mode := range plain.Modes {
		f, err := config.LoadFilter(o, config.Spec{Name: n.Name, Params: []config.Param{{Name: "mode", Value: mode}}}, "auto")
		if err != nil {
			return r, err
		}
		m := reportMode(f, mode, dates)
		m.Default = mode == plain.Mode
		r.Modes = append(r.Modes, m)
	}
	if !slices.ContainsFunc(r.Modes, func(m ModeReport) bool { return m.Default }) {
		r.Modes = append([]ModeReport{unnamed}, r.Modes...)
	}
	return r, nil
}

func reportMode(f *config.Filter, mode string, dates *date.Compiler) ModeReport {
	r := ModeReport{Mode: mode, Regexes: []RegexReport{}}
	tell := func(problems []config.Problem) {
		for _, p := range problems {
			if p.Section != "" || p.Severity == config.Error { // what concerns the folder as a whole is not the filter's
				r.Problems = append(r.Problems, wireProblem(p))
			}
		}
	}
	tell(f.Problems)
	o, err := FilterOptions(&f.Jail)
	if err != nil || hasErrors(f.Problems) {
		return r
	}
	o.Dates = dates
	compiled, err := filter.New(o, time.Now())
	tell(FilterProblems(&f.Jail, err))
	if err != nil {
		return r
	}
	for _, x := range compiled.Regexes() {
		r.Regexes = append(r.Regexes, RegexReport{
			Role: x.Role.String(), Regex: x.Text, Tier: x.Tier.String(), Literals: x.Literals,
		})
	}
	return r
}
