package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// limit reads --limit.
func (c *call) limit(otherwise int) (int, error) {
	text, ok := c.values["limit"]
	if !ok {
		return otherwise, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, usagef("--limit %q is no number", text)
	}
	return n, nil
}

func banned(ctx context.Context, c *call) error {
	n, err := c.limit(0)
	if err != nil {
		return err
	}
	id := ""
	if len(c.args) == 1 {
		id = c.args[0]
	}
	b, err := c.client.Banned(ctx, id, n)
	if err != nil {
		return err
	}
	err = c.print(b, func(w io.Writer) {
		switch {
		case b.Total == 0 && id != "":
			fmt.Fprintf(w, "%s is not banned.\n", safe(id))
		case b.Total == 0:
			fmt.Fprintln(w, "Nobody is banned.")
		case id != "":
			for _, x := range b.Bans {
				showWhy(w, x, time.Now())
			}
		default:
			showBans(w, b.Bans, time.Now(), true)
			if more := b.Total - len(b.Bans); more > 0 {
				fmt.Fprintf(w, "… and %d more\n", more)
			}
		}
	})
	if err == nil && id != "" && b.Total == 0 {
		return errFound
	}
	return err
}

func showBans(w io.Writer, bans []control.Ban, now time.Time, withJail bool) {
	head := []string{"BANNED", "SINCE", "UNTIL", "FAILURES", "TIMES", "ORIGIN"}
	if withJail {
		head = append([]string{"JAIL"}, head...)
	}
	rows := [][]string{head}
	for _, b := range bans {
		row := []string{b.ID, ago(b.Since, now), left(b.Until, now), strconv.Itoa(b.Failures), strconv.Itoa(b.Count), b.Origin}
		if withJail {
			row = append([]string{b.Jail}, row...)
		}
		rows = append(rows, row)
	}
	table(w, rows...)
}

// showWhy tells everything about one ban.
func showWhy(w io.Writer, b control.Ban, now time.Time) {
	until := "for ever"
	if b.Until != nil {
		until = fmt.Sprintf("until %s (%s)", stamp(*b.Until), left(b.Until, now))
	}
	reason := plural(b.Failures, "failure")
	if b.Origin != "local" {
		reason = b.Origin
	}
	fmt.Fprintf(w, "%s is banned in jail %s since %s, %s: %s, ban number %d.\n", safe(b.ID), safe(b.Jail), stamp(b.Since), until, reason, b.Count)
	for _, l := range b.LastLines {
		fmt.Fprintf(w, "    %s\n", safe(l))
	}
}

func ban(ctx context.Context, c *call) error {
	r := control.BanRequest{Jail: c.args[0], IDs: c.args[1:], Force: c.flags["force"]}
	if text, ok := c.values["time"]; ok {
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return usagef("--time %q is no number of seconds", text)
		}
		r.Seconds = &n
	}
	v, err := c.client.Ban(ctx, r)
	if err != nil {
		return err
	}
	return c.changed(v, "banned")
}

func unban(ctx context.Context, c *call) error {
	all := c.flags["all"]
	if all == (len(c.args) > 0) {
		return usagef("agentctl unban IP… | --all (see agentctl unban --help)")
	}
	v, err := c.client.Unban(ctx, control.UnbanRequest{Jail: c.values["jail"], IDs: c.args, All: all})
	if err != nil {
		return err
	}
	return c.changed(v, "unbanned")
}

// changed shows what a ban or unban did; what was not done is found wrong.
func (c *call) changed(v control.ChangeResult, done string) error {
	var notDone error
	for _, x := range v.Changes {
		if !x.Done {
			notDone = errFound
		}
	}
	err := c.print(v, func(w io.Writer) {
		for _, x := range v.Changes {
			jail := ""
			if x.Jail != "" {
				jail = " in " + x.Jail
			}
			if x.Done {
				fmt.Fprintf(w, "%s %s%s\n", safe(x.ID), done, safe(jail))
			} else {
				fmt.Fprintf(c.stderr, "agentctl: %s%s: %s\n", safe(x.ID), safe(jail), safe(x.Error))
			}
		}
		if len(v.Changes) == 0 {
			fmt.Fprintln(w, "Nobody was banned.")
		}
	})
	for _, owing := range v.Owing {
		fmt.Fprintf(c.stderr, "agentctl: done, but still owing: %s (it is tried again)\n", safe(owing))
	}
	return errors.Join(err, notDone)
}

func reload(ctx context.Context, c *call) error {
	v, err := c.client.Reload(ctx)
	if err != nil {
		return err
	}
	wrong := !v.Applied
	for _, p := range v.Problems {
		wrong = wrong || p.Severity == "error"
	}
	err = c.print(v, func(w io.Writer) {
		if v.Applied {
			fmt.Fprintf(w, "Reloaded: %s (%s)\n", plural(len(v.Jails), "jail"), safe(strings.Join(v.Jails, ", ")))
		} else {
			fmt.Fprintln(w, "Not reloaded: the configuration from before stays in force.")
		}
		showProblems(w, v.Problems)
	})
	if err == nil && wrong {
		return errFound
	}
	return err
}
