package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
)

func banned(ctx context.Context, c *call) error {
	if c.pages() {
		return blocked(ctx, c)
	}
	limit, err := c.limit(0)
	if err != nil {
		return err
	}
	id := ""
	if len(c.args) == 1 {
		id = c.args[0]
	}
	b, err := c.client.Banned(ctx, id, 0)
	if err != nil {
		return err
	}
	if jail, ok := c.values["jail"]; ok {
		if b, err = c.only(ctx, b, jail); err != nil {
			return err
		}
	}
	var listed []control.BlockedEntry
	if _, ok := c.values["jail"]; id != "" && !ok && ident.Parse(id).IsAddr() {
		x, err := c.client.Blocked(ctx, control.BlockedQuery{Owner: "feed:", Holds: id})
		if err != nil {
			return err
		}
		listed, b.Feeds = x.Entries, x.Entries
	}
	b.Bans = newest(b.Bans)
	if limit > 0 && limit < len(b.Bans) {
		b.Bans = b.Bans[:limit]
	}
	err = c.print(b, func(w io.Writer) {
		showFeeds(w, listed)
		switch {
		case b.Total == 0 && len(listed) > 0:
		case b.Total == 0 && id != "":
			fmt.Fprintf(w, "%s is not banned.\n", safe(id))
		case b.Total == 0:
			fmt.Fprintln(w, "Nobody is banned.")
		case id != "":
			for i, x := range b.Bans {
				if i > 0 {
					fmt.Fprintln(w)
				}
				showWhy(w, x, id, c.now())
			}
		default:
			showBans(w, b.Bans, len(b.Bans), true, c.now())
			if more := b.Total - len(b.Bans); more > 0 {
				fmt.Fprintf(w, "… and %d older ones\n", more)
			}
		}
	})
	if err == nil && id != "" && b.Total == 0 && len(listed) == 0 {
		return errFound
	}
	return err
}

// only leaves of the bans those of one jail.
func (c *call) only(ctx context.Context, b control.Banned, jail string) (control.Banned, error) {
	b.Bans = slices.DeleteFunc(b.Bans, func(x control.Ban) bool { return x.Jail != jail })
	b.Total = len(b.Bans)
	if b.Total > 0 {
		return b, nil
	}
	names, err := c.jails(ctx)
	if err == nil && !slices.Contains(names, jail) {
		err = fmt.Errorf("%w: %q", control.ErrNoJail, jail)
	}
	return b, err
}

// showBans shows the first of the bans as a table.
func showBans(w io.Writer, bans []control.Ban, most int, withJail bool, now time.Time) {
	head := []string{"BANNED", "JAIL", "SINCE", "TIME LEFT", ">FAILURES", ">TIMES", "BY"}
	if !withJail {
		head = slices.Delete(head, 1, 2)
	}
	t := newTable(head...)
	for _, b := range bans[:min(len(bans), most)] {
		row := []any{b.ID, b.Jail, ago(b.Since, now), left(b.Until, now), b.Failures, b.Count, origin(b.Origin)}
		if !withJail {
			row = slices.Delete(row, 1, 2)
		}
		t.add(row...)
	}
	t.write(w)
}

// origin tells how a ban came about; what is usual is not told.
func origin(o string) string {
	switch o {
	case "local":
		return ""
	case "manual":
		return "hand"
	case "imported":
		return "import"
	}
	return o
}

// showWhy tells everything about one ban.
func showWhy(w io.Writer, b control.Ban, asked string, now time.Time) {
	network := ""
	if ident.Parse(asked).String() != b.ID {
		network = ", which " + asked + " belongs to,"
	}
	fmt.Fprintf(w, "%s%s is banned in jail %s\n", safe(b.ID), safe(network), safe(b.Jail))
	var f facts
	f.add("  Since", fmt.Sprintf("%s (%s)", stamp(b.Since, now), ago(b.Since, now)))
	if b.Until == nil {
		f.add("  Until", "for ever")
	} else {
		f.add("  Until", fmt.Sprintf("%s (%s left of %s)", stamp(*b.Until, now), left(b.Until, now), seconds(b.Duration)))
	}
	why := plural(b.Failures, "failure", "failures")
	switch b.Origin {
	case "manual":
		why = "by hand"
	case "imported":
		why += ", taken over from fail2ban"
	}
	if b.Count > 1 {
		why += fmt.Sprintf(", ban number %d here", b.Count)
	}
	f.add("  Why", why)
	var data []string
	for k, v := range b.Data {
		data = append(data, k+" = "+v)
	}
	slices.Sort(data)
	f.add("  Data", data...)
	f.add("  Lines", b.LastLines...)
	f.write(w)
}

func ban(ctx context.Context, c *call) error {
	r := control.BanRequest{Jail: c.args[0], IDs: c.args[1:], Force: c.flags["force"]}
	if text, ok := c.values["time"]; ok {
		n, err := parseTime(text)
		if err != nil {
			return err
		}
		r.Seconds = &n
	}
	v, err := c.client.Ban(ctx, r)
	if err != nil {
		return err
	}
	return c.changed(v, "banned")
}

// parseTime reads how long a ban is to last, in seconds; -1 is for ever.
func parseTime(text string) (int64, error) {
	d, err := config.ParseTime(text)
	switch {
	case err != nil:
		return 0, usagef("--time %q is no time: %v (write 3600, 90m, 1d 12h, or -1 for ever)", text, err)
	case d < 0:
		return -1, nil
	case d < time.Second:
		return 0, usagef("--time %q is less than a second: nothing would be banned", text)
	}
	return int64(d / time.Second), nil
}

func unban(ctx context.Context, c *call) error {
	all := c.flags["all"]
	if all == (len(c.args) > 0) {
		return find("unban").misused()
	}
	v, err := c.client.Unban(ctx, control.UnbanRequest{Jail: c.values["jail"], IDs: c.args, All: all})
	if err != nil {
		return err
	}
	err = c.changed(v, "unbanned")
	for _, x := range v.Changes {
		if !x.Done {
			c.hintNetwork(ctx, x.ID)
		}
	}
	return err
}

// hintNetwork says of an address that is not banned itself which banned network keeps it out: who
// lifts a ban wants to let somebody in.
func (c *call) hintNetwork(ctx context.Context, id string) {
	b, err := c.client.Banned(ctx, id, 0)
	if err != nil {
		return // it was a courtesy
	}
	for _, x := range b.Bans {
		if x.ID != ident.Parse(id).String() {
			c.talk("%s is kept out by the ban of %s%s: agentctl unban %s", id, x.ID, in(x.Jail), x.ID)
		}
	}
}

// changed shows what a ban or unban did; what was not done is found wrong.
func (c *call) changed(v control.ChangeResult, done string) error {
	var notDone error
	err := c.print(v, func(w io.Writer) {
		if len(v.Changes) == 0 {
			fmt.Fprintln(w, "Nobody was banned.")
		}
		for _, x := range v.Changes {
			if x.Done {
				fmt.Fprintf(w, "%s %s%s\n", safe(x.ID), done, safe(in(x.Jail)))
			}
		}
	})
	for _, x := range v.Changes {
		switch {
		case !x.Done:
			notDone = errFound
			c.talk("%s%s: %s", x.ID, in(x.Jail), x.Error)
		case done == "banned" && !ident.Parse(x.ID).IsAddr():
			c.talk("%s%s: is no address and no network, so the firewall keeps nobody out for it", x.ID, in(x.Jail))
		}
	}
	for _, owing := range v.Owing {
		c.talk("done, but still owing: %s (it is tried again)", owing)
	}
	return errors.Join(err, notDone)
}

// in names a jail after what happened there.
func in(jail string) string {
	if jail == "" {
		return ""
	}
	return " in " + jail
}

func reload(ctx context.Context, c *call) error {
	v, err := c.client.Reload(ctx)
	if err != nil {
		return err
	}
	wrong := !v.Applied || slices.ContainsFunc(v.Problems, func(p control.Problem) bool { return p.Severity == "error" })
	err = c.print(v, func(w io.Writer) {
		switch {
		case !v.Applied:
			fmt.Fprintln(w, "Not reloaded: the configuration from before stays in force.")
		case len(v.Jails) == 0:
			fmt.Fprintln(w, "Reloaded: no jail is enabled.")
		default:
			fmt.Fprintf(w, "Reloaded: %s (%s).\n", plural(len(v.Jails), "jail", "jails"), safe(strings.Join(v.Jails, ", ")))
		}
		showProblems(w, v.Problems, 0)
	})
	if err == nil && wrong {
		return errFound
	}
	return err
}
