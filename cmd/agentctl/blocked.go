package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

const (
	// blockedPage is how many entries are asked for at once, and shown on a terminal.
	blockedPage  = 1000
	terminalPage = 100
)

// pages tells whether banned is asked for what the firewall blocks, by bans and by feeds, page by page.
func (c *call) pages() bool {
	for _, name := range []string{"owner", "within", "after"} {
		if _, ok := c.values[name]; ok {
			return true
		}
	}
	return c.flags["feeds"] || c.flags["hits"]
}

// blocked shows what the firewall blocks. Pages are asked for one after the other, so that neither side
// ever holds more than one.
func blocked(ctx context.Context, c *call) error {
	if _, ok := c.values["jail"]; ok {
		return usagef("--jail does not go with --owner, --within, --after, --feeds and --hits: use --owner jail:NAME")
	}
	otherwise := 0
	if isTerminal(c.stdout) {
		otherwise = terminalPage
	}
	limit, err := c.limit(otherwise)
	if err != nil {
		return err
	}
	q := control.BlockedQuery{Owner: c.values["owner"], Within: c.values["within"], After: c.values["after"], Hits: c.flags["hits"]}
	switch {
	case q.Owner != "" && !strings.HasPrefix(q.Owner, "jail:") && !strings.HasPrefix(q.Owner, "feed:"):
		return usagef("--owner %q: use jail:NAME, feed:NAME, or jail: or feed: for all of them", q.Owner)
	case q.Owner == "" && !c.flags["feeds"]:
		q.Owner = "jail:"
	}
	if len(c.args) == 1 {
		q.Holds = c.args[0]
	}
	if c.json {
		return c.blockedJSON(ctx, q, limit)
	}
	return c.blockedTable(ctx, q, limit)
}

// eachPage gives pages until there are no more, or limit entries have come (0: all). It returns what
// would come after them.
func (c *call) eachPage(ctx context.Context, q control.BlockedQuery, limit int, each func(control.Blocked) error) (next string, total *int, err error) {
	shown := 0
	for {
		q.Limit = blockedPage
		if limit > 0 {
			q.Limit = min(blockedPage, limit-shown)
		}
		b, err := c.client.Blocked(ctx, q)
		if err != nil {
			return "", nil, err
		}
		if shown == 0 {
			total = b.Total
		}
		shown += len(b.Entries)
		if err := each(b); err != nil {
			return "", nil, err
		}
		if b.Next == "" || limit > 0 && shown >= limit {
			return b.Next, total, nil
		}
		q.After = b.Next
	}
}

// blockedJSON writes one object, entry by entry as pages come.
func (c *call) blockedJSON(ctx context.Context, q control.BlockedQuery, limit int) error {
	first := true
	next, total, err := c.eachPage(ctx, q, limit, func(b control.Blocked) error {
		for _, e := range b.Entries {
			text, err := json.Marshal(e)
			if err != nil {
				return err
			}
			before := ",\n"
			if first {
				before = "{\"entries\":[\n"
			}
			first = false
			if _, err := fmt.Fprintf(c.stdout, "%s%s", before, plainJSON(text)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if first {
		fmt.Fprint(c.stdout, "{\"entries\":[")
	}
	end, err := json.Marshal(struct {
		Next  string `json:"next,omitempty"`
		Total *int   `json:"total"`
	}{next, total})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.stdout, "\n],%s\n", plainJSON(end[1:]))
	return err
}

func (c *call) blockedTable(ctx context.Context, q control.BlockedQuery, limit int) error {
	head := []string{"BLOCKED", "TIME LEFT", "BY"}
	if q.Hits {
		head = append(head, ">PACKETS", ">BYTES")
	}
	shown := 0
	next, total, err := c.eachPage(ctx, q, limit, func(b control.Blocked) error {
		if len(b.Entries) == 0 {
			return nil
		}
		t := newTable(head...)
		for _, e := range b.Entries {
			row := []any{e.Prefix, ownersLeft(e.Owners, c.now()), owners(e.Owners)}
			if q.Hits {
				row = append(row, hits(e.Hits)...)
			}
			t.add(row...)
		}
		t.write(c.stdout)
		shown += len(b.Entries)
		return nil
	})
	if err != nil {
		return err
	}
	switch {
	case shown == 0:
		fmt.Fprintln(c.stdout, "Nothing is blocked.")
	case next != "" && total != nil && q.After == "":
		fmt.Fprintf(c.stdout, "… %d more: --after %s, or --limit 0 for all\n", *total-shown, next)
	case next != "":
		fmt.Fprintf(c.stdout, "… more: --after %s, or --limit 0 for all\n", next)
	}
	return nil
}

func owners(list []control.BlockedOwner) string {
	names := make([]string, len(list))
	for i, o := range list {
		names[i] = o.Owner
	}
	return strings.Join(names, ", ")
}

// ownersLeft tells how long the longest claim lasts.
func ownersLeft(list []control.BlockedOwner, now time.Time) string {
	var longest *time.Time
	for _, o := range list {
		switch {
		case o.Until == nil && strings.HasPrefix(o.Owner, "feed:"):
			return "while listed"
		case o.Until == nil:
			return left(nil, now)
		case longest == nil || o.Until.After(*longest):
			longest = o.Until
		}
	}
	return left(longest, now)
}

func hits(h *control.Hits) []any {
	if h == nil || !h.Present {
		return []any{"-", "-"}
	}
	return []any{h.Packets, h.Bytes}
}

// showFeeds adds to the answer about one address the feeds that list it.
func showFeeds(w io.Writer, entries []control.BlockedEntry) {
	for _, e := range entries {
		for _, o := range e.Owners {
			if name, feed := strings.CutPrefix(o.Owner, "feed:"); feed {
				fmt.Fprintf(w, "%s is blocked because feed %s lists it\n", safe(e.Prefix), safe(name))
			}
		}
	}
}
