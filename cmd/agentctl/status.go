package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// How much of what can be long is shown to people. With --json all of it is there.
const (
	problemsShown = 20
	bansShown     = 20 // of a jail's, the newest
	talliesShown  = 20
)

func status(ctx context.Context, c *call) error {
	if len(c.args) == 1 {
		return jailStatus(ctx, c)
	}
	s, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	if err := c.print(s, func(w io.Writer) { showStatus(w, s, c.now()) }); err != nil {
		return err
	}
	if s.Health != "ok" {
		return errFound
	}
	return nil
}

func showStatus(w io.Writer, s control.Status, now time.Time) {
	var f facts
	f.add("Health", append([]string{s.Health}, s.Reasons...)...)
	f.add("Up", fmt.Sprintf("%s, since %s (process %d, version %s)", span(now.Sub(s.Started)), stamp(s.Started, now), s.PID, s.Version))
	f.add("Firewall", append([]string{s.Firewall.Backend + ", " + elements(s.Firewall)}, s.Firewall.Notes...)...)
	f.add("Configuration", s.Config)
	f.add("Database", s.Database)
	f.write(w)
	fmt.Fprintln(w)
	if len(s.Jails) == 0 {
		fmt.Fprintln(w, "No jail is enabled.")
	} else {
		showJails(w, s.Jails)
	}
	showProblems(w, s.Problems, problemsShown)
}

func showJails(w io.Writer, jails []control.JailSummary) {
	t := newTable("JAIL", ">FAILING", ">FAILURES", ">BANNED", ">BANS")
	var sum control.JailSummary
	for _, j := range jails {
		t.add(j.Name, j.CurrentlyFailed, j.TotalFailed, j.CurrentlyBanned, j.TotalBanned)
		sum.CurrentlyFailed += j.CurrentlyFailed
		sum.TotalFailed += j.TotalFailed
		sum.CurrentlyBanned += j.CurrentlyBanned
		sum.TotalBanned += j.TotalBanned
	}
	if len(jails) > 1 {
		t.add(fmt.Sprintf("%d jails", len(jails)), sum.CurrentlyFailed, sum.TotalFailed, sum.CurrentlyBanned, sum.TotalBanned)
	}
	t.write(w)
}

// elements tells how far the kernel is.
func elements(f control.FirewallState) string {
	text := plural(f.Elements, "element", "elements")
	if f.Pending > 0 {
		text += fmt.Sprintf(", %d on the way to the kernel", f.Pending)
	}
	return text
}

// showProblems tells what is wrong with the configuration, at most so many of them (0: all). What many
// jails share is told once.
func showProblems(w io.Writer, problems []control.Problem, most int) {
	if len(problems) == 0 {
		return
	}
	shared := control.Share(problems)
	fmt.Fprintf(w, "\n%s of the configuration:\n", plural(len(shared), "problem", "problems"))
	for i, p := range shared {
		if most > 0 && i == most {
			fmt.Fprintf(w, "  … and %d more (agentd --check tells all)\n", len(shared)-i)
			return
		}
		jail := ""
		switch len(p.Jails) {
		case 0:
		case 1:
			jail = " in jail " + p.Jails[0]
		default:
			jail = " in jails " + strings.Join(p.Jails, ", ")
		}
		fmt.Fprintf(w, "  %s%s: %s\n", safe(p.Severity), safe(jail), safe(p.Message))
		if place := place(p.Problem); place != "" {
			fmt.Fprintf(w, "      at  %s\n", safe(place))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "      do  %s\n", safe(p.Hint))
		}
	}
}

func place(p control.Problem) string {
	text := p.File
	if p.Line > 0 {
		text += ":" + strconv.Itoa(p.Line)
	}
	if p.Section != "" {
		text += " [" + p.Section + "]"
	}
	if p.Key != "" {
		value := strings.Join(strings.Fields(p.Value), " ") // it may have lines
		if r := []rune(value); len(r) > 80 {
			value = string(r[:79]) + "…"
		}
		text += " " + p.Key + " = " + value
	}
	return text
}

func jailStatus(ctx context.Context, c *call) error {
	s, err := c.client.Jail(ctx, c.args[0])
	if err != nil {
		return err
	}
	return c.print(s, func(w io.Writer) { showJail(w, s, c.now()) })
}

func showJail(w io.Writer, s control.JailStatus, now time.Time) {
	lines := fmt.Sprintf("%d looked at, %d matched, %d ignored", s.Lines, s.Matched, s.Ignored)
	if s.GaveUp > 0 {
		lines += ", " + plural(s.GaveUp, "search given up at its limit", "searches given up at their limit")
	}
	var f facts
	f.add("Jail", s.Name)
	f.add("Rule", fmt.Sprintf("banned for %s after %s within %s", seconds(s.BanTime), plural(s.MaxRetry, "failure", "failures"), seconds(s.FindTime)))
	f.add("Failing", fmt.Sprintf("%d now, %s since the start", s.CurrentlyFailed, plural(s.TotalFailed, "failure", "failures")))
	f.add("Banned", fmt.Sprintf("%d now, %s since the start", s.CurrentlyBanned, plural(s.TotalBanned, "ban", "bans")))
	f.add("Lines", lines)
	f.write(w)
	for _, x := range s.Slow {
		fmt.Fprintf(w, "  given up %s: %s %d: %s\n", plural(x.Count, "time", "times"), safe(x.Option), x.Number, safe(x.Regex))
	}

	if len(s.Files) > 0 {
		fmt.Fprintln(w)
		t := newTable("FILE", "STATE", "READ", ">LINES", "ERROR")
		for _, f := range s.Files {
			t.add(f.Path, f.State, read(f), f.Lines, f.Error)
		}
		t.write(w)
	}
	if len(s.Actions) > 0 {
		fmt.Fprintln(w)
		t := newTable("ACTION", "DONE BY", "")
		for _, a := range s.Actions {
			by := "nobody"
			switch {
			case a.Native:
				by = "our firewall"
			case a.Script != nil:
				by = "a script"
			}
			t.add(a.Name, by, noteOf(a, now))
		}
		t.write(w)
	}
	if len(s.Bans) > 0 {
		fmt.Fprintln(w)
		showBans(w, newest(s.Bans), bansShown, false, now)
		if more := len(s.Bans) - bansShown; more > 0 {
			fmt.Fprintf(w, "… and %d older ones: agentctl banned --jail %s\n", more, safe(s.Name))
		}
	}
	if len(s.Tallies) > 0 {
		fmt.Fprintln(w)
		t := newTable("FAILING", ">COUNT", ">BAN AT", "FIRST", "LAST")
		for _, x := range s.Tallies[:min(len(s.Tallies), talliesShown)] {
			t.add(x.ID, x.Weighted, s.MaxRetry, ago(x.First, now), ago(x.Last, now))
		}
		t.write(w)
		if more := s.CurrentlyFailed - talliesShown; more > 0 && len(s.Tallies) > talliesShown {
			fmt.Fprintf(w, "… and %d more (the newest are shown)\n", more)
		}
	}
}

// read tells how much of a file has been read.
func read(f control.File) string {
	switch {
	case f.Size == 0 && f.Offset == 0:
		return ""
	case f.Offset >= f.Size:
		return "all of " + size(f.Offset)
	}
	return size(f.Offset) + " of " + size(f.Size)
}

// newest orders bans by their begin, the latest first.
func newest(bans []control.Ban) []control.Ban {
	sorted := slices.Clone(bans)
	slices.SortStableFunc(sorted, func(a, b control.Ban) int { return b.Since.Compare(a.Since) })
	return sorted
}

// scriptText tells how a script stands.
func scriptText(s *control.Script, now time.Time) string {
	if s == nil {
		return ""
	}
	var parts []string
	if s.Waiting > 0 {
		parts = append(parts, fmt.Sprintf("%d waiting", s.Waiting))
	}
	if s.Since != nil {
		parts = append(parts, fmt.Sprintf("%s runs for %s", safe(s.Running), span(now.Sub(*s.Since))))
	}
	parts = append(parts, fmt.Sprintf("%d done", s.Executed-s.Failed))
	for _, n := range []struct {
		count uint64
		what  string
	}{{s.Failed, "failed"}, {s.TimedOut, "of these took too long"}, {s.Dropped, "dropped"}} {
		if n.count > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n.count, n.what))
		}
	}
	if s.Error != "" {
		parts = append(parts, "last error: "+safe(s.Error))
	}
	return strings.Join(parts, ", ")
}

// noteOf is what there is to say of an action.
func noteOf(a control.Action, now time.Time) string {
	note, script := safe(a.Note), scriptText(a.Script, now)
	if note == "" || script == "" {
		return note + script
	}
	return note + "; " + script
}
