package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/control"
)

// lateLine is how old a log line may be before its age is told.
const lateLine = 5 * time.Second

func events(ctx context.Context, c *call) error {
	if !c.flags["follow"] {
		return usagef("agentctl events --follow (nothing is kept of what has happened; agentd's log has it, and the file of agentd --event-file)")
	}
	wanted, err := c.wantedEvents(ctx)
	if err != nil {
		return err
	}
	columns := eventColumns{jail: 8, id: 15}
	err = c.client.Events(ctx, func(e control.Event) error {
		if !wanted(e) {
			return nil
		}
		if c.json {
			if err := c.printJSON(e, ""); err != nil {
				return err
			}
		} else {
			fmt.Fprintln(c.stdout, columns.line(e, c.now()))
		}
		return c.stdout.Flush()
	})
	switch {
	case err == nil:
		c.talk("agentd has ended, and with it its events")
	case errors.Is(err, context.Canceled):
		return nil // Ctrl-C is how it ends
	}
	return err
}

// wantedEvents reads --jail and --kind, each of which may come several times. That events were lost is always told.
func (c *call) wantedEvents(ctx context.Context) (func(control.Event) bool, error) {
	jails, kinds := c.lists["jail"], c.lists["kind"]
	for _, k := range kinds {
		if all := control.EventKinds(); !slices.Contains(all, k) {
			return nil, usagef("unknown kind of event %q%s (there are: %s)", k, suggestion(k, all), listed(all))
		}
	}
	if len(jails) > 0 {
		names, err := c.jails(ctx)
		if err != nil {
			return nil, err
		}
		for _, name := range jails {
			if !slices.Contains(names, name) {
				return nil, fmt.Errorf("%w: %q", control.ErrNoJail, name)
			}
		}
	}
	return func(e control.Event) bool {
		return e.Kind == "dropped" || (len(jails) == 0 || slices.Contains(jails, e.Jail)) && (len(kinds) == 0 || slices.Contains(kinds, e.Kind))
	}, nil
}

// eventColumns are the widths of columns that grow with what they hold, so that lines beneath each
// other line up.
type eventColumns struct{ jail, id int }

// The widest that a column gets by one long name.
const (
	widestJail = 24
	widestID   = 39 // an IPv6 address
)

// line tells an event on one line.
func (w *eventColumns) line(e control.Event, now time.Time) string {
	begin := fmt.Sprintf("%s  %-8s", stamp(e.Time, now), safe(e.Kind))
	if e.Kind == "dropped" {
		return begin + "  " + plural(e.Count, "event was", "events were") + " lost: this reader is too slow"
	}
	jail, id := safe(e.Jail), safe(e.ID)
	w.jail = min(max(w.jail, utf8.RuneCountInString(jail)), widestJail)
	w.id = min(max(w.id, utf8.RuneCountInString(id)), widestID)
	return strings.TrimRight(fmt.Sprintf("%s  %-*s  %-*s  %s", begin, w.jail, jail, w.id, id, safe(meaning(e))), " ")
}

// meaning tells what else is to be said of an event.
func meaning(e control.Event) string {
	switch e.Kind {
	case "found":
		if e.LogTime != nil && e.Time.Sub(*e.LogTime) > lateLine {
			return "logged " + ago(*e.LogTime, e.Time)
		}
	case "ban":
		text := fmt.Sprintf("for %s, after %s", seconds(e.Duration), plural(e.Failures, "failure", "failures"))
		if e.Failures == 0 {
			text = fmt.Sprintf("for %s, by hand", seconds(e.Duration))
		}
		return text + again(e)
	case "restore":
		return remaining(e) + again(e)
	case "prolong":
		return "now " + remaining(e) + again(e)
	case "already":
		return "banned already, " + remaining(e)
	case "ignored":
		return "by " + e.By
	case "unban":
		switch {
		case e.Duration == 0:
			return ""
		case e.Until != nil && !e.Until.After(e.Time):
			return "its time is over"
		}
		return "lifted before its time"
	case "expired":
		return "not banned: the ban would be over already"
	case "evicted":
		return "forgotten to make room for newer ones"
	}
	return ""
}

// again tells which ban of an ID it is, if it is not the first.
func again(e control.Event) string {
	if e.Count < 2 {
		return ""
	}
	return fmt.Sprintf(", ban number %d", e.Count)
}

// remaining tells how much of a ban was left at the time of an event.
func remaining(e control.Event) string {
	if e.Until == nil {
		return "for ever"
	}
	return left(e.Until, e.Time) + " left"
}
