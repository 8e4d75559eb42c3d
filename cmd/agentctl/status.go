package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

func status(ctx context.Context, c *call) error {
	if len(c.args) == 1 {
		return jailStatus(ctx, c)
	}
	s, err := c.client.Status(ctx)
	if err != nil {
		return err
	}
	if err := c.print(s, func(w io.Writer) { showStatus(w, s, time.Now()) }); err != nil {
		return err
	}
	if s.Health != "ok" {
		return errFound
	}
	return nil
}

func showStatus(w io.Writer, s control.Status, now time.Time) {
	rows := [][]string{{"Health:", s.Health}}
	for _, r := range s.Reasons {
		rows = append(rows, []string{"", r})
	}
	fw := fmt.Sprintf("%s, %s in the kernel", s.Firewall.Backend, plural(s.Firewall.Elements, "element"))
	if s.Firewall.Pending > 0 {
		fw += fmt.Sprintf(", %d waiting", s.Firewall.Pending)
	}
	rows = append(rows,
		[]string{"Running:", fmt.Sprintf("%s, process %d, version %s", ago(s.Started, now), s.PID, s.Version)},
		[]string{"Firewall:", fw},
		[]string{"Configuration:", s.Config},
		[]string{"Database:", s.Database},
	)
	table(w, rows...)
	fmt.Fprintln(w)
	if len(s.Jails) == 0 {
		fmt.Fprintln(w, "No jail is enabled.")
	} else {
		jails := [][]string{{"JAIL", "FAILED NOW", "FAILED", "BANNED NOW", "BANNED"}}
		for _, j := range s.Jails {
			jails = append(jails, []string{j.Name, strconv.Itoa(j.CurrentlyFailed), strconv.Itoa(j.TotalFailed), strconv.Itoa(j.CurrentlyBanned), strconv.Itoa(j.TotalBanned)})
		}
		table(w, jails...)
	}
	showProblems(w, s.Problems)
}

func showProblems(w io.Writer, problems []control.Problem) {
	if len(problems) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s of the configuration:\n", strings.ToUpper(plural(len(problems), "problem")[:1])+plural(len(problems), "problem")[1:])
	for _, p := range problems {
		place := p.File
		if p.Line > 0 {
			place += ":" + strconv.Itoa(p.Line)
		}
		if p.Section != "" {
			place += " [" + p.Section + "]"
		}
		if p.Key != "" {
			place += fmt.Sprintf(" %s = %.80s", p.Key, p.Value)
		}
		jail := ""
		if p.Jail != "" {
			jail = " in jail " + p.Jail
		}
		fmt.Fprintf(w, "  %s%s: %s\n", safe(p.Severity), safe(jail), safe(p.Message))
		if place != "" {
			fmt.Fprintf(w, "      at  %s\n", safe(place))
		}
		if p.Hint != "" {
			fmt.Fprintf(w, "      do  %s\n", safe(p.Hint))
		}
	}
}

func jailStatus(ctx context.Context, c *call) error {
	s, err := c.client.Jail(ctx, c.args[0])
	if err != nil {
		return err
	}
	return c.print(s, func(w io.Writer) { showJail(w, s, time.Now()) })
}

func showJail(w io.Writer, s control.JailStatus, now time.Time) {
	lines := fmt.Sprintf("%d looked at, %d matched, %d ignored", s.Lines, s.Matched, s.Ignored)
	if s.GaveUp > 0 {
		lines += fmt.Sprintf(", %s that hit the time limit", plural(int(s.GaveUp), "search"))
	}
	rows := [][]string{
		{"Jail:", s.Name},
		{"Rule:", fmt.Sprintf("%s within %s: banned for %s", plural(s.MaxRetry, "failure"), seconds(s.FindTime), seconds(s.BanTime))},
		{"Failed:", fmt.Sprintf("%d now, %d since the start", s.CurrentlyFailed, s.TotalFailed)},
		{"Banned:", fmt.Sprintf("%d now, %d since the start", s.CurrentlyBanned, s.TotalBanned)},
		{"Lines:", lines},
	}
	for i, f := range s.Files {
		label := ""
		if i == 0 {
			label = "Files:"
		}
		text := fmt.Sprintf("%s (%s, %d of %d bytes)", f.Path, f.State, f.Offset, f.Size)
		if f.Error != "" {
			text += ": " + f.Error
		}
		rows = append(rows, []string{label, text})
	}
	for i, a := range s.Actions {
		label := ""
		if i == 0 {
			label = "Actions:"
		}
		by := "not run"
		if a.Native {
			by = "by our firewall"
		}
		text := a.Name + ": " + by
		if a.Note != "" {
			text += " (" + a.Note + ")"
		}
		rows = append(rows, []string{label, text})
	}
	table(w, rows...)
	if len(s.Bans) > 0 {
		fmt.Fprintln(w)
		showBans(w, s.Bans, now, false)
	}
	if len(s.Tallies) > 0 {
		fmt.Fprintln(w)
		tallies := [][]string{{"FAILED, NOT BANNED", "COUNT", "LAST"}}
		for _, t := range s.Tallies {
			tallies = append(tallies, []string{t.ID, fmt.Sprintf("%d of %d", t.Weighted, s.MaxRetry), ago(t.Last, now)})
		}
		table(w, tallies...)
	}
}
