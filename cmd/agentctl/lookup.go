package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/lookup"
	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/setup"
)

// lookedUp is what is known of an address, here and elsewhere.
type lookedUp struct {
	control.Lookups
	Daemon string                 `json:"daemon,omitempty"` // why it was not asked
	Bans   []control.Ban          `json:"bans"`             // null: the daemon was not asked
	Feeds  []control.BlockedEntry `json:"feeds"`            // null: the daemon was not asked
}

// lookAt tells what is known of an address.
func lookAt(ctx context.Context, c *call, word string) error {
	a, err := netip.ParseAddr(word)
	if err != nil || a.Zone() != "" {
		return usagef("check: %q is no address; without one, agentctl check looks at the configuration", word)
	}
	var r lookedUp
	err = c.client.Get(ctx, "/v1/lookup", url.Values{"ip": {a.String()}}, &r.Lookups)
	switch {
	case errors.Is(err, control.ErrNotRunning), errors.Is(err, control.ErrPermission), errors.Is(err, control.ErrNoAnswer):
		r.Daemon = err.Error()
		r.Lookups, err = c.lookWithout(ctx, a)
	case err == nil:
		r.Bans, r.Feeds, err = c.holds(ctx, r.IP)
	}
	if err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) { showLookups(w, c, r) })
}

// holds is what the daemon itself has of an address.
func (c *call) holds(ctx context.Context, ip string) ([]control.Ban, []control.BlockedEntry, error) {
	b, err := c.client.Banned(ctx, ip, 0)
	if err != nil {
		return nil, nil, err
	}
	x, err := c.client.Blocked(ctx, control.BlockedQuery{Owner: "feed:", Holds: ip})
	if err != nil {
		return nil, nil, err
	}
	return append([]control.Ban{}, b.Bans...), append([]control.BlockedEntry{}, x.Entries...), nil
}

// lookWithout asks the services that agent.conf names by itself.
func (c *call) lookWithout(ctx context.Context, a netip.Addr) (out control.Lookups, err error) {
	l := setup.New(c.config, c.named)
	if _, err := l.Read(); err != nil {
		return out, err
	}
	client, err := c.web(l)
	if err != nil {
		return out, err
	}
	defer client.Close()
	out = control.Lookups{IP: a.Unmap().String(), Services: []control.Lookup{}}
	desk := lookup.NewDesk(func() *outbound.Client { return client }, c.now)
	for _, x := range desk.Ask(ctx, setup.Lookups(l.Agent()), a) {
		out.Services = append(out.Services, control.Lookup(x))
	}
	return out, nil
}

// web is a client for other machines, as [http] of a configuration that has been read wants it.
func (c *call) web(l *setup.Loader) (*outbound.Client, error) {
	h := l.Agent().HTTP
	return outbound.New(outbound.Options{UserAgent: "palisade/" + buildVersion() + " (+https://github.com/palisade-agent/palisade)", Proxy: h.Proxy, CAFile: h.CA, Timeout: h.Timeout})
}

func showLookups(w io.Writer, c *call, r lookedUp) {
	var here facts
	here.add("Address", r.IP)
	switch {
	case r.Daemon != "":
		here.add("Banned", "not known: "+r.Daemon)
	case len(r.Bans) == 0:
		here.add("Banned", "no")
	}
	for _, b := range r.Bans {
		here.add("Banned", fmt.Sprintf("by jail %s since %s", b.Jail, stamp(b.Since, c.now())))
	}
	if r.Daemon == "" {
		var lists []string
		for _, e := range r.Feeds {
			for _, o := range e.Owners {
				if name, ok := strings.CutPrefix(o.Owner, "feed:"); ok {
					lists = append(lists, fmt.Sprintf("%s (%s)", name, e.Prefix))
				}
			}
		}
		if len(lists) == 0 {
			lists = []string{"none"}
		}
		here.add("On lists", lists...)
	}
	here.write(w)
	fmt.Fprintln(w)
	if len(r.Services) == 0 {
		fmt.Fprintln(w, "No service is asked. Write a section into agent.conf, beside jail.conf, and run agentctl reload:\n\n  [check abuseipdb]\n  type = abuseipdb\n  apikey = file:/etc/agentd/abuseipdb.key")
		return
	}
	t := newTable("SERVICE", ">SCORE", "LEVEL", ">REPORTS", "LAST", "COUNTRY", "OWNER", "NETWORK")
	for _, s := range r.Services {
		t.add(s.Type, known(s.Score), s.Level, known(s.Reports), agoOr(s.Last, "", c.now()), s.Country, s.Owner, s.Network)
	}
	t.write(w)
	for _, s := range r.Services {
		var more facts
		say := func(label string, values ...string) {
			if values = slices.DeleteFunc(values, func(v string) bool { return v == "" }); len(values) > 0 {
				more.add(label, values...)
			}
		}
		say("No answer", s.Error)
		say("Categories", strings.Join(s.Categories, ", "))
		say("It is", strings.Join(s.Flags, ", "))
		say("Name", s.Hostname)
		say("Notes", s.Notes...)
		say("More", s.Page)
		if s.Cached {
			say("Asked", agoOr(&s.Asked, "", c.now()))
		}
		if len(more.table.rows) > 0 {
			fmt.Fprintf(w, "\n%s\n", safe(s.Service))
			more.write(w)
		}
	}
}

// known shows what may be unknown.
func known(n *int) string {
	if n == nil {
		return "-"
	}
	return strconv.Itoa(*n)
}
