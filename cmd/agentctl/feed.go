package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/setup"
)

func feedCommand() *command {
	return &command{
		name: "feed", usage: "feed [list] | feed show NAME | feed refresh [NAME…] | feed test URL|FILE [--format FORMAT] [--entries PATH] [--score PATH] [--column COLUMN]",
		max: -1, options: []string{"format", "entries", "score", "column"}, run: feeds,
		subs:  []string{"list\thow all lists stand", "show\teverything about one list", "refresh\task for lists now", "test\tlook at a list without taking it"},
		brief: "the lists that are blocked before they attack, and those that nothing blocks",
		more: "list exits with 1 if a list is not as it should be. refresh waits for the answer. test reads a list as a feed\n" +
			"would, says what of it would be blocked and why not the rest, and changes nothing; it needs no daemon.",
		examples: []string{
			"agentctl feed", "agentctl feed show spamhaus", "agentctl feed refresh spamhaus",
			"agentctl feed test https://lists.example.org/bad.txt", "agentctl feed test threats.json --entries 'threats[].ip' --score threat_score",
		},
	}
}

func feeds(ctx context.Context, c *call) error {
	word := "list"
	if len(c.args) > 0 {
		word = c.args[0]
	}
	switch {
	case word != "test" && len(c.values) > 0:
		return usagef("--format, --entries, --score and --column belong to feed test")
	case word == "list" && len(c.args) <= 1:
		return listFeeds(ctx, c)
	case word == "show" && len(c.args) == 2:
		return showFeed(ctx, c)
	case word == "refresh":
		return refreshFeeds(ctx, c)
	case word == "test" && len(c.args) == 2:
		return testFeed(ctx, c)
	case word == "show":
		return usagef("feed show NAME: name one list; agentctl feed tells them")
	case word == "test":
		return usagef("feed test URL|FILE: name one list")
	}
	return usagef("feed %s: there are feed list, show, refresh and test", word)
}

func listFeeds(ctx context.Context, c *call) error {
	var all control.Feeds
	if err := c.client.Get(ctx, "/v1/feeds", nil, &all); err != nil {
		return err
	}
	err := c.print(all, func(w io.Writer) {
		if len(all.Feeds) == 0 {
			fmt.Fprintln(w, "There are no lists. Write a section into agent.conf, beside jail.conf, and run agentctl reload:\n\n  [feed spamhaus]\n  type = spamhaus-drop")
			return
		}
		t := newTable("NAME", "STATE", ">ENTRIES", ">BLOCKED", ">REFUSED", "MODE", "FETCHED", "NEXT", "TYPE")
		for _, f := range all.Feeds {
			mode := f.Mode
			if f.Direction == "both" {
				mode += ", both ways"
			}
			if f.Use == "allow" {
				mode = "allow"
			}
			t.add(f.Name, f.State, f.Entries, f.Ranges, f.Refused+f.Bad, mode, agoOr(f.Fetched, "never", c.now()), inTime(f.Next, c.now()), f.Type)
		}
		t.write(w)
		for _, f := range all.Feeds {
			if f.Error != "" {
				fmt.Fprintf(w, "\n%s: %s\n", f.Name, safe(f.Error))
			}
		}
	})
	if err == nil && slices.ContainsFunc(all.Feeds, func(f control.FeedStatus) bool { return f.Error != "" || f.State == "expired" }) {
		err = errFound
	}
	return err
}

func agoOr(t *time.Time, otherwise string, now time.Time) string {
	if t == nil {
		return otherwise
	}
	return ago(*t, now)
}

func inTime(t *time.Time, now time.Time) string {
	if t == nil {
		return ""
	}
	if d := t.Sub(now).Round(time.Second); d > 0 {
		return "in " + span(d)
	}
	return "now"
}

func showFeed(ctx context.Context, c *call) error {
	var f control.FeedStatus
	if err := c.client.Get(ctx, "/v1/feeds/"+url.PathEscape(c.args[1]), nil, &f); err != nil {
		return err
	}
	return c.print(f, func(w io.Writer) {
		now := c.now()
		var facts facts
		facts.add("Name", f.Name)
		facts.add("Type", f.Type)
		facts.add("Where", strings.Fields(f.Where)...)
		facts.add("State", f.State)
		if f.Error != "" {
			facts.add("Error", f.Error)
			facts.add("", fmt.Sprintf("since %s, %s in a row", agoOr(f.Since, "now", now), plural(f.Failures, "try", "tries")))
		}
		facts.add("Notes", f.Notes...)
		if f.Use == "block" {
			facts.add("Mode", f.Mode+map[string]string{"both": ", also connections to them"}[f.Direction])
		}
		facts.add("Entries", fmt.Sprintf("%d, which are %s of addresses", f.Entries, plural(f.Ranges, "range", "ranges")))
		if f.Suspects > 0 {
			facts.add("Suspects", plural(f.Suspects, "range", "ranges")+", banned at the first failure")
		}
		facts.add("Fetched", agoOr(f.Fetched, "never", now))
		if f.Changed != nil {
			facts.add("Changed", ago(*f.Changed, now))
		}
		facts.add("Next", fmt.Sprintf("%s, every %s", inTime(f.Next, now), span(time.Duration(f.Interval*float64(time.Second)))))
		if f.Expires != nil {
			facts.add("Given up", inTime(f.Expires, now)+" without a good answer")
		}
		facts.write(w)
		showRefusals(w, f.Refusals, f.BadLines, f.Bad)
	})
}

func showRefusals(w io.Writer, refused []control.FeedRefusal, bad []control.FeedBad, badCount int) {
	if len(refused) > 0 {
		fmt.Fprintln(w)
		t := newTable(">NOT BLOCKED", "BECAUSE", "AS")
		for _, r := range refused {
			t.add(r.Entries, r.Why, strings.Join(r.Examples, ", "))
		}
		t.write(w)
	}
	if len(bad) > 0 {
		fmt.Fprintln(w)
		t := newTable(">LINE", "NO ENTRY BECAUSE", "TEXT")
		for _, b := range bad {
			t.add(b.Line, b.Why, b.Text)
		}
		t.write(w)
		if more := badCount - len(bad); more > 0 {
			fmt.Fprintf(w, "… and %d more\n", more)
		}
	}
}

func refreshFeeds(ctx context.Context, c *call) error {
	var r control.RefreshResult
	if err := c.client.Post(ctx, "/v1/feeds/refresh", control.RefreshRequest{Names: c.args[1:]}, &r); err != nil {
		return err
	}
	err := c.print(r, func(w io.Writer) {
		for _, f := range r.Feeds {
			if f.Error != "" {
				fmt.Fprintf(w, "%s: %s\n", f.Name, safe(f.Error))
			} else {
				fmt.Fprintf(w, "%s: %s\n", f.Name, plural(f.Entries, "entry", "entries"))
			}
		}
	})
	if err == nil && slices.ContainsFunc(r.Feeds, func(f control.Refreshed) bool { return f.Error != "" }) {
		err = errFound
	}
	return err
}

// testReport is what feed test tells.
type testReport struct {
	Where    string                `json:"where"`
	Format   string                `json:"format"`
	Bytes    int                   `json:"bytes"`
	Entries  int                   `json:"entries"`
	Blocked  int                   `json:"blocked"` // ranges
	Examples []string              `json:"examples"`
	Refusals []control.FeedRefusal `json:"refusals"`
	Bad      int                   `json:"bad"`
	BadLines []control.FeedBad     `json:"bad_lines"`
	Skipped  int                   `json:"skipped"` // objects that name no address by themselves
	More     bool                  `json:"more"`
}

// shownEntries is how many of the entries of a list are shown as examples.
const shownEntries = 5

func testFeed(ctx context.Context, c *call) error {
	l := setup.New(c.config, c.named)
	_, _ = l.Load() // what is wrong with it is no matter here
	a := l.Agent()
	client, err := outbound.New(outbound.Options{UserAgent: "palisade/" + buildVersion(), Proxy: a.HTTP.Proxy, CAFile: a.HTTP.CA, Timeout: a.HTTP.Timeout})
	if err != nil {
		return err
	}
	defer client.Close()
	sep, _ := utf8.DecodeRuneInString(",")
	f := feed.Format{Kind: c.values["format"], Path: c.values["entries"], Column: c.values["column"]}
	if f.Path != "" {
		f.ScorePath = c.values["score"]
	} else if f.ScoreColumn = c.values["score"]; f.ScoreColumn != "" || f.Column != "" {
		f.Separator = sep
	}
	p, err := feed.Look(ctx, client, c.args[1], f, feed.Guards{
		Allow: cidr.Of(a.Firewall.Allow...), Min4: 8, Min6: 19, MaxEntries: feed.DefaultEntries, MayShrink: 1, ShortScore: feed.NoScore, CountScore: feed.NoScore, Now: c.now(),
	})
	if err != nil {
		return fmt.Errorf("%s is no list that a feed can take: %w", c.args[1], err)
	}
	r := testReport{
		Where: c.args[1], Format: p.Kind, Bytes: p.Bytes, Entries: p.Parsed.Entries, Blocked: p.Verdict.Block.Len(), Examples: []string{},
		Refusals: []control.FeedRefusal{}, Bad: p.Parsed.BadCount, BadLines: []control.FeedBad{}, Skipped: p.Parsed.Skipped, More: p.Parsed.More,
	}
	for x := range p.Verdict.Block.Prefixes() {
		if r.Examples = append(r.Examples, x.String()); len(r.Examples) == shownEntries {
			break
		}
	}
	for _, x := range p.Verdict.Refused {
		r.Refusals = append(r.Refusals, control.FeedRefusal(x))
	}
	for _, x := range p.Parsed.Bad {
		r.BadLines = append(r.BadLines, control.FeedBad(x))
	}
	return c.print(r, func(w io.Writer) {
		var facts facts
		facts.add("Format", r.Format)
		facts.add("Size", size(int64(r.Bytes)))
		facts.add("Entries", strconv.Itoa(r.Entries))
		facts.add("Would block", plural(r.Blocked, "range", "ranges")+" of addresses: "+strings.Join(r.Examples, ", "))
		if r.Skipped > 0 {
			facts.add("Skipped", plural(r.Skipped, "object", "objects")+" that name no address by themselves")
		}
		if r.More {
			facts.add("More", "this is the first page only")
		}
		facts.write(w)
		showRefusals(w, r.Refusals, r.BadLines, r.Bad)
	})
}

// offerFeeds completes the name of a list.
func (c *call) offerFeeds(ctx context.Context, offer func(word, brief string)) error {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c.client = control.NewClient(c.socket)
	var all control.Feeds
	if err := c.client.Get(ctx, "/v1/feeds", nil, &all); err != nil {
		return err
	}
	for _, f := range all.Feeds {
		offer(f.Name, f.Type+", "+f.State)
	}
	return nil
}
