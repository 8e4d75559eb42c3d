package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/palisade-agent/palisade/internal/doctor"
)

// examine looks at the machine.
func examine(ctx context.Context, c *call) error {
	o := doctor.Options{Config: c.config, Named: c.named, Socket: c.socket, Database: defaultDatabase}
	if db, named := c.values["db"]; named {
		o.Database = db
	}
	r := doctor.Examine(ctx, o)
	if err := c.print(r, func(w io.Writer) { showExamination(w, r) }); err != nil {
		return err
	}
	switch {
	case ctx.Err() != nil:
		return fmt.Errorf("interrupted: %w", ctx.Err())
	case !r.OK:
		return errFound
	}
	return nil
}

// showExamination tells what was found: what is bad first, each with its next step below it.
func showExamination(w io.Writer, r doctor.Report) {
	for _, level := range []doctor.Level{doctor.Bad, doctor.Warn, doctor.OK} {
		for _, f := range r.Findings {
			if f.Level != level {
				continue
			}
			about := f.About
			if len(f.Jails) > 0 {
				about = strings.TrimSpace(f.About + " [" + listed(f.Jails) + "]")
			}
			if about != "" {
				about += ": "
			}
			fmt.Fprintf(w, "%-4s  %-13s  %s\n", f.Level, f.Check, safe(about+f.Found))
			if f.Next != "" {
				fmt.Fprintf(w, "%21s→ %s\n", "", safe(f.Next))
			}
		}
	}
	fmt.Fprintf(w, "\n%s: %d bad, %s, %d fine\n", safe(r.Config), r.Bad, plural(r.Warnings, "warning", "warnings"), len(r.Findings)-r.Bad-r.Warnings)
	if r.Incomplete {
		fmt.Fprintln(w, "Not everything was looked at: there is too much of it, or something did not answer in time.")
	}
}
