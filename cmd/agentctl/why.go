package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// why tells all that is known of an address.
func why(ctx context.Context, c *call) error {
	w, err := c.client.Why(ctx, c.args[0])
	if err != nil {
		return err
	}
	if err := c.print(w, func(out io.Writer) { showReasons(out, w, c.now()) }); err != nil {
		return err
	}
	if len(w.Bans) == 0 {
		return errFound // as agentctl banned does
	}
	return nil
}

func showReasons(w io.Writer, y control.Why, now time.Time) {
	id := safe(y.ID)
	if len(y.Bans) == 0 {
		fmt.Fprintf(w, "%s is not banned\n", id)
		showListed(w, y)
		if len(y.Feeds) > 0 {
			showKernel(w, y)
		}
		showNot(w, y, now)
		return
	}
	for i, b := range y.Bans {
		if i > 0 {
			fmt.Fprintln(w)
		}
		showWhyBan(w, y, b, now)
	}
	fmt.Fprintln(w)
	showListed(w, y)
	showKernel(w, y)
	showNot(w, y, now)
}

// showWhyBan tells one ban: for how long, what for, and who enforces it.
func showWhyBan(w io.Writer, y control.Why, b control.WhyBan, now time.Time) {
	what := "is banned"
	if b.ID != y.ID {
		what = "is banned with " + safe(b.ID)
	}
	until := "for ever"
	if b.Until != nil {
		until = fmt.Sprintf("until %s (%s)", stamp(*b.Until, now), left(b.Until, now))
	}
	fmt.Fprintf(w, "%s %s in %s since %s, %s\n", safe(y.ID), what, safe(b.Jail), stamp(b.Since, now), until)
	f := &facts{}
	switch b.Origin {
	case "manual":
		f.add("by", "hand")
	case "imported":
		f.add("by", "fail2ban, and taken over")
	default:
		f.add("failures", fmt.Sprintf("%d (the jail bans after %d in %s)", b.Failures, b.MaxRetry, seconds(b.FindTime)))
	}
	length := seconds(b.Duration)
	if b.Escalates && b.Count > 1 {
		length = fmt.Sprintf("%s, as ban %d; the first is %s", length, b.Count, seconds(b.BanTime))
	}
	f.add("for", length)
	if len(b.Logs) > 0 {
		f.add("logs", safe(strings.Join(b.Logs, ", ")))
	}
	for _, a := range b.Actions {
		by := "a script"
		if a.Native {
			by = "our firewall: " + safe(a.Note)
		}
		f.add("action", safe(a.Name)+", by "+by)
	}
	f.write(w)
	if len(b.Lines) == 0 {
		return
	}
	fmt.Fprintln(w, "for these lines (the last ones):")
	regex := ""
	for _, l := range b.Lines {
		fmt.Fprintf(w, "  %s\n", safe(l.Text))
		if l.Found != "" && l.Found != regex {
			regex = l.Found
			fmt.Fprintf(w, "    failregex %d: %s\n", l.Regex, safe(l.Found))
		}
	}
}

// showListed tells which feeds block it.
func showListed(w io.Writer, y control.Why) {
	for _, f := range y.Feeds {
		fmt.Fprintf(w, "blocked by feed %s, which lists %s\n", safe(f.Feed), safe(f.Entry))
	}
}

// showKernel tells whether the ban is in force.
func showKernel(w io.Writer, y control.Why) {
	for _, e := range y.Kernel {
		left := "for ever"
		if e.Expires != nil {
			left = seconds(*e.Expires) + " left"
		}
		fmt.Fprintf(w, "in the kernel: %s in set %s, %s\n", safe(e.Prefix), safe(e.Set), left)
	}
	switch {
	case y.Unsure != "":
		fmt.Fprintf(w, "in the kernel: not known: %s\n", safe(y.Unsure))
	case len(y.Kernel) == 0 && len(y.Ignored) > 0:
		fmt.Fprintln(w, "in the kernel: nothing: it is on a list of those who are never blocked")
	case len(y.Kernel) == 0:
		fmt.Fprintln(w, "in the kernel: nothing (scripts enforce it, or nobody: see the actions)")
	}
}

// showNot tells what else is known: counts that are not enough, bans that are over, who spares it.
func showNot(w io.Writer, y control.Why, now time.Time) {
	for _, t := range y.Tallies {
		fmt.Fprintf(w, "in %s: %d of %d failures, the last %s; forgotten at %s unless there is another\n", safe(t.Jail), t.Weighted, t.MaxRetry, ago(t.Last, now), stamp(t.Forgets, now))
	}
	for _, h := range y.Histories {
		if slices.ContainsFunc(y.Bans, func(b control.WhyBan) bool { return b.Jail == h.Jail && b.ID == y.ID && b.Count >= h.Count }) {
			continue // that is the ban in force
		}
		fmt.Fprintf(w, "in %s: banned %s in all, last at %s for %s\n", safe(h.Jail), plural(h.Count, "time", "times"), stamp(h.Last, now), seconds(h.Duration))
	}
	for _, i := range y.Ignored {
		fmt.Fprintf(w, "in %s: never banned, by ignoreip (%s)\n", safe(i.Jail), safe(i.By))
	}
	if len(y.Bans)+len(y.Tallies)+len(y.Histories)+len(y.Ignored) == 0 {
		fmt.Fprintf(w, "nothing is known of it in any of %s; try a line of the log: agentctl why-not 'LINE'\n", plural(len(y.Jails), "jail", "jails"))
	}
}
