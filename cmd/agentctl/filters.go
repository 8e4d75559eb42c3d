package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/setup"
)

// filters lists the filters, or shows some in full.
func filters(_ context.Context, c *call) error {
	all, err := setup.New(c.config, c.named).Filters(c.args...)
	if err != nil {
		return err
	}
	for _, name := range c.args {
		if !slices.ContainsFunc(all, func(r setup.FilterReport) bool { return r.Name == name }) {
			return unknownFilter(c, name)
		}
	}
	if all == nil {
		all = []setup.FilterReport{}
	}
	err = c.print(all, func(w io.Writer) {
		if len(c.args) > 0 {
			for _, r := range all {
				showFilter(w, r)
			}
			return
		}
		listFilters(w, all)
	})
	if err == nil && slices.ContainsFunc(all, broken) {
		err = errFound
	}
	return err
}

func broken(r setup.FilterReport) bool {
	return slices.ContainsFunc(r.Modes, func(m setup.ModeReport) bool { return wrong(m) != "" })
}

// wrong is the first error of a filter in a mode.
func wrong(m setup.ModeReport) string {
	for _, p := range m.Problems {
		if p.Severity == config.Error.String() {
			return setup.ProblemText(control.Shared{Problem: p})
		}
	}
	return ""
}

// unknownFilter names the filter that was most likely meant.
func unknownFilter(c *call, name string) error {
	names, err := setup.New(c.config, c.named).FilterNames()
	if err != nil {
		return err
	}
	return fmt.Errorf("there is no filter %q%s", name, suggestion(name, names))
}

func listFilters(w io.Writer, all []setup.FilterReport) {
	t := newTable("FILTER", "FROM", "REGEXES", "MODES", "")
	for _, r := range all {
		from := "configuration"
		if r.Stock {
			from = "built-in"
		}
		var modes []string
		regexes, note := "", r.Brief
		for _, m := range r.Modes {
			name := m.Mode
			if m.Default {
				regexes = strconv.Itoa(len(m.Regexes))
				if name != "" && len(r.Modes) > 1 {
					name += "*"
				}
			}
			if name != "" {
				modes = append(modes, name)
			}
			if text := wrong(m); text != "" {
				note = "cannot be used: " + text
			}
		}
		t.add(r.Name, from, regexes, strings.Join(modes, " "), note)
	}
	t.write(w)
	fmt.Fprintf(w, "\n%s; * is the mode where none is named.\n", plural(int64(len(all)), "filter", "filters"))
}

func showFilter(w io.Writer, r setup.FilterReport) {
	fmt.Fprintf(w, "%s: %s\nfrom %s\n", safe(r.Name), safe(r.Brief), safe(strings.Join(r.Files, ", ")))
	for _, m := range r.Modes {
		head := "\n"
		if m.Mode != "" {
			head = "\nmode = " + safe(m.Mode)
			if m.Default {
				head += " (if none is named)"
			}
			head += "\n"
		}
		fmt.Fprint(w, head)
		for _, p := range m.Problems {
			fmt.Fprintf(w, "  %s: %s\n", p.Severity, safe(setup.ProblemText(control.Shared{Problem: p})))
		}
		for _, x := range m.Regexes {
			screen := ""
			if x.Literals {
				screen = ", behind a search for literals"
			}
			fmt.Fprintf(w, "  %s, %s%s\n    %s\n", x.Role, x.Tier, screen, safe(x.Regex))
		}
	}
}
