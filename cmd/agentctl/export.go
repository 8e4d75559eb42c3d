package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/control"
	exporting "github.com/palisade-agent/palisade/internal/export"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/ident"
)

func exportCommand() *command {
	return &command{
		name: "export", max: -1, options: []string{"owner"}, run: exportsOf,
		usage: "export [list] | export show NAME | export write [NAME…] | export preview FORMAT [--owner OWNER]",
		subs: []string{
			"list\thow all exports stand", "show\teverything about one export", "write\twrite files now, and reload what reads them",
			"preview\twhat is blocked now, in a format",
		},
		brief: "what is blocked, for web servers, load balancers and other firewalls",
		more: "list exits with 1 if an export is not as it should be. preview writes to standard output what an export of this\n" +
			"format would hold: of everything, or of one owner, as jail:sshd or feed:drop. Formats: " + formatNames() + ".",
		examples: []string{"agentctl export", "agentctl export write nginx", "agentctl export preview nginx-deny > blocked.conf", "agentctl export preview plain --owner jail:sshd"},
	}
}

func formatNames() string {
	var all []string
	for _, f := range exporting.Formats() {
		all = append(all, string(f))
	}
	return strings.Join(all, ", ")
}

func exportsOf(ctx context.Context, c *call) error {
	word, rest := "list", c.args
	if len(rest) > 0 {
		word, rest = rest[0], rest[1:]
	}
	if word != "preview" && c.values["owner"] != "" {
		return usagef("--owner belongs to export preview")
	}
	switch {
	case word == "list" && len(rest) == 0:
		return listExports(ctx, c)
	case word == "show" && len(rest) == 1:
		return showExport(ctx, c, rest[0])
	case word == "write":
		return writeExports(ctx, c, rest)
	case word == "preview" && len(rest) == 1:
		return previewExport(ctx, c, rest[0])
	}
	return usagef("export %s: see agentctl help export", strings.Join(c.args, " "))
}

func listExports(ctx context.Context, c *call) error {
	var all control.Exports
	if err := c.client.Get(ctx, "/v1/exports", nil, &all); err != nil {
		return err
	}
	err := c.print(all, func(w io.Writer) {
		if len(all.Exports) == 0 {
			fmt.Fprintln(w, "Nothing is exported. Write a section into agent.conf, beside jail.conf, and run agentctl reload:\n\n  [export nginx]\n  format = nginx-deny\n  path = /etc/nginx/conf.d/blocked.conf\n  test = nginx -t\n  reload = systemctl reload nginx")
			return
		}
		t := newTable("NAME", "FORMAT", ">ENTRIES", ">CUT", "WRITTEN", "TO", "FETCHED")
		for _, e := range all.Exports {
			to := e.Path
			if e.Served {
				to = strings.TrimPrefix(to+" "+all.Served+"/"+e.Name+".txt", " ")
			}
			fetched := ""
			if e.Fetched != nil {
				fetched = ago(e.Fetched.At, c.now()) + " by " + e.Fetched.Peer
			}
			t.add(e.Name, e.Format, e.Entries, e.Cut, agoOr(e.Written, "", c.now()), to, fetched)
		}
		t.write(w)
		for _, e := range all.Exports {
			switch {
			case e.Error != "":
				fmt.Fprintf(w, "\n%s: %s\n", safe(e.Name), safe(e.Error))
			case e.Held:
				fmt.Fprintf(w, "\n%s: nothing is blocked; the list keeps what it had for ten minutes, since that is more often a mistake\n", safe(e.Name))
			}
		}
		if all.Trouble != "" {
			fmt.Fprintf(w, "\nlists over HTTP: %s\n", safe(all.Trouble))
		}
	})
	if err == nil && (all.Trouble != "" || slices.ContainsFunc(all.Exports, func(e control.ExportStatus) bool { return e.Error != "" })) {
		err = errFound
	}
	return err
}

func showExport(ctx context.Context, c *call, name string) error {
	var all control.Exports
	if err := c.client.Get(ctx, "/v1/exports", nil, &all); err != nil {
		return err
	}
	i := slices.IndexFunc(all.Exports, func(e control.ExportStatus) bool { return e.Name == name })
	if i < 0 {
		return fmt.Errorf("there is no export %q; agentctl export tells those there are", name)
	}
	e := all.Exports[i]
	return c.print(e, func(w io.Writer) {
		now := c.now()
		var facts facts
		facts.add("Name", e.Name)
		facts.add("Format", e.Format)
		if e.Path != "" {
			facts.add("File", e.Path)
			facts.add("Written", fmt.Sprintf("%s, %s since the start", agoOr(e.Written, "never", now), plural(int64(e.Writes), "change", "changes")))
		}
		if e.Served {
			facts.add("Served at", all.Served+"/"+e.Name+".txt", all.Served+"/"+e.Name+".v4.txt", all.Served+"/"+e.Name+".v6.txt")
		}
		if f := e.Fetched; f != nil {
			facts.add("Fetched", fmt.Sprintf("%s by %s, %s since the start", ago(f.At, now), f.Peer, plural(int64(f.Count), "time", "times")))
		}
		facts.add("Entries", fmt.Sprintf("%d, %s", e.Entries, size(int64(e.Bytes))))
		if e.Cut > 0 {
			facts.add("Left out", fmt.Sprintf("%d, for which max has no room", e.Cut))
		}
		if e.Error != "" {
			facts.add("Error", e.Error)
		}
		facts.write(w)
	})
}

func writeExports(ctx context.Context, c *call, names []string) error {
	var r control.ExportResult
	if err := c.client.Post(ctx, "/v1/exports/write", control.ExportRequest{Names: names}, &r); err != nil {
		return err
	}
	err := c.print(r, func(w io.Writer) {
		for _, e := range r.Exports {
			if e.Error != "" {
				fmt.Fprintf(w, "%s: %s\n", safe(e.Name), safe(e.Error))
			} else {
				fmt.Fprintf(w, "%s: %s\n", safe(e.Name), plural(e.Entries, "entry", "entries"))
			}
		}
	})
	if err == nil && slices.ContainsFunc(r.Exports, func(e control.ExportWritten) bool { return e.Error != "" }) {
		err = errFound
	}
	return err
}

// previewExport writes what is blocked now in a format.
func previewExport(ctx context.Context, c *call, format string) error {
	if !slices.Contains(exporting.Formats(), exporting.Format(format)) {
		return usagef("export preview %s: there is no such format: there are %s", format, formatNames())
	}
	if c.json {
		return usagef("export preview has no --json: agentctl banned --feeds --json has all there is to know")
	}
	var b cidr.Builder
	q := control.BlockedQuery{Owner: c.values["owner"], Limit: 10_000}
	for {
		page, err := c.client.Blocked(ctx, q)
		if err != nil {
			return err
		}
		for _, e := range page.Entries {
			if id := ident.Parse(e.Prefix); id.IsAddr() {
				b.Add(id.Prefix())
			}
		}
		if page.Next == "" {
			break
		}
		q.After = page.Next
	}
	_, err := exporting.Write(c.stdout, b.Ranges(), exporting.Format(format), exporting.Options{IPv4: true, IPv6: true})
	return err
}

// offerExports completes the name of an export.
func (c *call) offerExports(ctx context.Context, offer func(word, brief string)) error {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c.client = control.NewClient(c.socket)
	var all control.Exports
	if err := c.client.Get(ctx, "/v1/exports", nil, &all); err != nil {
		return err
	}
	for _, e := range all.Exports {
		offer(e.Name, e.Format)
	}
	return nil
}
