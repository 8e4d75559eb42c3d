package setup

import (
	"fmt"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
)

// Report is what a check of a configuration found.
type Report struct {
	Config   string           `json:"config"`  // the folder, or "(stock)"
	OK       bool             `json:"ok"`      // no error; warnings do not count
	Enabled  int              `json:"enabled"` // jails, those that cannot run included
	Jails    []string         `json:"jails"`   // those that can run, in the order of the configuration
	Broken   []string         `json:"broken"`  // those that cannot
	Problems []control.Shared `json:"problems"`
	Advice   string           `json:"advice,omitempty"` // what to do where no jail is enabled
}

// Check reads a configuration as the daemon does at its start, and tells everything that is wrong with
// it. The error is for one that cannot be read at all.
func (l *Loader) Check() (Report, error) {
	o, err := l.Load()
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Config: l.Name(), OK: true, Enabled: len(o.Jails) + len(o.Broken),
		Jails: []string{}, Broken: append([]string{}, o.Broken...), Problems: control.Share(o.Problems),
	}
	for _, j := range o.Jails {
		r.Jails = append(r.Jails, j.Name())
	}
	for _, p := range r.Problems {
		r.OK = r.OK && p.Severity != config.Error.String()
	}
	if r.Enabled == 0 {
		r.Advice = l.NoJails()
	}
	return r, nil
}

// Lines tells the report to people: a line per problem, errors first, and one that sums up. Text of the
// configuration stands in them as it was written.
func (r Report) Lines() []string {
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, p.Severity+": "+ProblemText(p))
	}
	if r.Enabled == 0 {
		return append(lines, r.Config+": "+r.Advice)
	}
	return append(lines, fmt.Sprintf("%s: %d of %d enabled jails can run", r.Config, len(r.Jails), r.Enabled))
}
