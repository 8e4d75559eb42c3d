package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/feed/catalog"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/setup"
)

// countryType is the list of the catalog that is by country.
const countryType = "wayscloud-country"

func countryCommand() *command {
	return &command{
		name: "block-country", usage: "block-country CC [--yes] [--url URL]", min: 1, max: 1, options: []string{"yes", "url"}, run: blockCountry,
		brief: "block what WAYSCloud lists as the worst addresses of a country",
		more: "Asks for the list and tells what it would block. With --yes, writes a section [feed country-CC] into agent.d\n" +
			"beside jail.conf, and reloads. It is not the whole country, and nobody on it needs to have attacked you. Take\n" +
			"it back by removing the file and agentctl reload.",
		examples: []string{"agentctl block-country KP", "sudo agentctl block-country KP --yes"},
	}
}

// countryBlock is what a list of a country blocks.
type countryBlock struct {
	Country  string                `json:"country"`
	Source   string                `json:"source"`
	Entries  int                   `json:"entries"`
	Blocked  int                   `json:"blocked"` // ranges
	Examples []string              `json:"examples"`
	Refusals []control.FeedRefusal `json:"refusals"`
	File     string                `json:"file"`
	Written  bool                  `json:"written"`
	Reloaded bool                  `json:"reloaded"` // the daemon has read it
}

func blockCountry(ctx context.Context, c *call) error {
	code := strings.ToUpper(c.args[0])
	if len(code) != 2 || strings.Trim(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return usagef("block-country: %q is no country: name it by its two letters, as ISO 3166 has them", c.args[0])
	}
	l := setup.New(c.config, c.named)
	if _, err := l.Read(); err != nil {
		return err
	}
	a := l.Agent()
	name := "country-" + code
	if i := slices.IndexFunc(a.Feeds, func(f config.FeedConf) bool {
		return strings.EqualFold(f.Name, name) || f.Enabled && f.Type == countryType && f.Country == code
	}); i >= 0 {
		return fmt.Errorf("agent.conf has [feed %s] for it already: agentctl feed show %s", a.Feeds[i].Name, a.Feeds[i].Name)
	}
	r, err := c.country(ctx, l, code)
	if err != nil {
		return err
	}
	if c.flags["yes"] {
		if r.Blocked == 0 {
			return fmt.Errorf("the list of %s blocks nothing: nothing is written", code)
		}
		if err := r.write(c.config, c.values["url"]); err != nil {
			return err
		}
		reload, err := c.client.Reload(ctx)
		switch {
		case errors.Is(err, control.ErrNotRunning): // it reads it when it starts
		case err != nil:
			return fmt.Errorf("%s is written; the daemon has not read it yet: %w", r.File, err)
		case !reload.Applied:
			return fmt.Errorf("%s is written; the daemon goes on with the configuration it had: see agentctl check", r.File)
		default:
			r.Reloaded = true
		}
	}
	return c.print(r, func(w io.Writer) { r.show(w) })
}

// country looks at the list of a country, as a feed would take it.
func (c *call) country(ctx context.Context, l *setup.Loader, code string) (*countryBlock, error) {
	list, known := catalog.Find(catalog.Feeds(), countryType)
	if !known {
		return nil, errors.New("this version has no lists by country")
	}
	part := list.Parts[0]
	r := countryBlock{
		Country: code, Source: catalog.Fill(part.URL, map[string]string{"country": code}), Examples: []string{}, Refusals: []control.FeedRefusal{},
		File: filepath.Join(c.config, "agent.d", "country-"+code+".conf"),
	}
	if c.values["url"] != "" {
		r.Source = c.values["url"]
	}
	client, err := c.web(l)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	p, err := feed.Look(ctx, client, r.Source, feed.Format{Kind: part.Kind, Path: part.Path, ScorePath: part.Score}, feed.Guards{
		Allow: cidr.Of(l.Agent().Firewall.Allow...), Min4: 8, Min6: 19, MaxEntries: feed.DefaultEntries, MayShrink: 1,
		MinScore: list.MinScore, ShortScore: feed.NoScore, CountScore: feed.NoScore, Now: c.now(),
	})
	if err != nil {
		return nil, fmt.Errorf("the list of %s cannot be taken: %w", code, err)
	}
	r.Entries, r.Blocked = p.Parsed.Entries, p.Verdict.Block.Len()
	for x := range p.Verdict.Block.Prefixes() {
		if r.Examples = append(r.Examples, x.String()); len(r.Examples) == shownEntries {
			break
		}
	}
	for _, x := range p.Verdict.Refused {
		r.Refusals = append(r.Refusals, control.FeedRefusal(x))
	}
	return &r, nil
}

// write puts the section into the configuration, whole or not at all.
func (r *countryBlock) write(dir, address string) error {
	if st, err := os.Stat(dir); err != nil || !st.IsDir() {
		return fmt.Errorf("there is no folder %s to write [feed country-%s] into: name it by -c", dir, r.Country)
	}
	text := fmt.Sprintf("# Written by agentctl block-country. To take it back: remove this file, then agentctl reload.\n[feed country-%s]\ntype = %s\ncountry = %s\n", r.Country, countryType, r.Country)
	if address != "" {
		text += "url = " + strings.ReplaceAll(address, "%", "%%") + "\n"
	}
	if err := os.Mkdir(filepath.Dir(r.File), 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("write the section: %w", err)
	}
	// It gets its name, which ends in .conf, when all of it is there.
	f, err := os.OpenFile(r.File+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("write the section: %w", err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), r.File)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write the section: %w", err)
	}
	r.Written = true
	return nil
}

func (r *countryBlock) show(w io.Writer) {
	var f facts
	f.add("Country", r.Country)
	f.add("List", r.Source)
	f.add("Entries", strconv.Itoa(r.Entries))
	word := "Would block"
	if r.Written {
		word = "Blocks"
	}
	f.add(word, plural(r.Blocked, "range", "ranges")+" of addresses: "+strings.Join(r.Examples, ", "))
	f.write(w)
	showRefusals(w, r.Refusals, nil, 0)
	fmt.Fprintln(w, "\nThis is what WAYSCloud lists as the worst of the country, not all of it; nobody on it needs to have attacked you,\n"+
		"and customers, mail servers, mirrors and your own way in may be among them. Name those in allow of [firewall].")
	switch {
	case r.Reloaded:
		fmt.Fprintf(w, "\n%s is written and in force. agentctl feed show country-%s tells how it stands.\n", safe(r.File), r.Country)
	case r.Written:
		fmt.Fprintf(w, "\n%s is written. agentd does not run: it counts from its next start on.\n", safe(r.File))
	default:
		fmt.Fprintf(w, "\nNothing is blocked yet. To block them: agentctl block-country %s --yes\n", r.Country)
	}
}
