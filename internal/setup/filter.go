package setup

import (
	"errors"
	"fmt"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/filter/date"
)

func (b *builder) filter(j *agent.Jail, dates *date.Compiler, now time.Time) {
	c := b.c
	o, err := FilterOptions(c)
	if err != nil {
		b.wrong("usedns", "use yes, warn, no or raw", err)
	}
	j.UseDNS, j.FilterID = o.UseDNS, fmt.Sprintf("%#v", o)
	if b.blind(o) {
		return
	}
	o.Dates = dates // says how it is made, not what it is
	j.Filter, err = filter.New(o, now)
	b.problems = append(b.problems, FilterProblems(c, err)...)
}

// blind reports whether there is nothing that a jail looks for, which is wrong.
func (b *builder) blind(o filter.Options) bool {
	if len(o.FailRegex) > 0 {
		return false
	}
	hint := "name a filter that has failregexes with filter = NAME"
	if at := b.c.Origin("failregex"); b.c.Filter != "" && at.Key != "" && at.Section != "Definition" {
		hint = "leave it out: it stands in place of what the filter " + b.c.Filter + " has"
	}
	b.wrong("failregex", hint, errors.New("there is nothing to look for"))
	return true
}

// FilterOptions are what a jail says of its filter, for filter.New. The error is for a usedns that means
// nothing.
func FilterOptions(c *config.Jail) (filter.Options, error) {
	dns, err := filter.ParseUseDNS(c.UseDNS)
	return filter.Options{
		PrefRegex: c.PrefRegex, FailRegex: c.FailRegex, IgnoreRegex: c.IgnoreRegex, MaxLines: c.MaxLines,
		DatePattern: c.DatePattern, LogTimezone: c.LogTimezone, UseDNS: dns, FindTime: c.FindTime, Local: time.Local,
	}, err
}

// FilterProblems takes the error of filter.New apart: each with its place in the configuration of the
// jail, and what to do. None for no error.
func FilterProblems(c *config.Jail, err error) []config.Problem {
	var problems []config.Problem
	for _, e := range OptionErrors(err) {
		at := c.Origin(e.Key)
		at.Value = e.Value
		problems = append(problems, at.Problem(config.Error, c.Name, e.Err.Error(), filterHint(e)))
	}
	return problems
}

// OptionErrors takes the error of filter.New apart; nil gives none.
func OptionErrors(err error) []*filter.OptionError {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []*filter.OptionError
		for _, e := range joined.Unwrap() {
			all = append(all, OptionErrors(e)...)
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
