package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/palisade-agent/palisade/internal/control"
)

// reportLimit is how many reports are listed unless more are asked for.
const reportLimit = 20

func reportCommand() *command {
	return &command{
		name: "report", max: -1, options: append([]string{"limit", "to", "state", "all"}, reporterOptions()...), run: reportsOf,
		usage: "report [list] [IP] [--to NAME] [--state STATE] [--limit N] | report show ID | report preview JAIL IP | report retry ID…|--all | report drop ID…|--all [--to NAME] | report retract IP | " +
			"report register [--name NAME] [--contact MAIL] [--domain DOMAIN] [--intent TEXT] [--source SOURCE] [--to NAME] [--db PATH] [--yes] | report verify [--to NAME] [--db PATH] [--yes]",
		subs: []string{
			"list\twho is told, and of whom", "show\teverything about one report", "preview\twhat would be reported, and where not and why", "retry\ttry again at once",
			"drop\tnever send it", "retract\ttake back what was said of an address",
			"register\tbecome a reporter of WAYSCloud", "verify\tprove to WAYSCloud whose domain it is",
		},
		brief: "what others are told of bans: what waits, what was sent, and what they said",
		more: "Nothing is reported unless a section [report NAME] of agent.conf names the jail. A report waits for some\n" +
			"minutes, and is not sent if the ban is lifted meanwhile. preview shows what would be sent, word by word. list\n" +
			"exits with 1 if something keeps reports from being sent.\n" +
			"register tells WAYSCloud who reports, once, with the key of [report NAME] (--name, --contact, --domain, --intent,\n" +
			"--source); verify raises its trust. Both show what they send and ask first. What they call you is kept beside the\n" +
			"database (--db). They need no daemon.",
		examples: []string{
			"agentctl report", "agentctl report list 192.0.2.1", "agentctl report preview sshd 192.0.2.1", "agentctl report retry --all",
			"agentctl report drop 17", "agentctl report retract 192.0.2.1",
			"sudo agentctl report register --name 'Example Ltd' --contact abuse@example.org --domain example.org",
		},
	}
}

func reportsOf(ctx context.Context, c *call) error {
	word, rest := "list", c.args
	if len(rest) > 0 {
		word, rest = rest[0], rest[1:]
	}
	if word != "list" && (c.values["limit"] != "" || c.values["state"] != "") {
		return usagef("--limit and --state belong to report list")
	}
	if word != "register" && word != "verify" {
		for _, name := range reporterOptions() {
			if c.flags[name] || c.values[name] != "" {
				return usagef("--%s belongs to report register and report verify", name)
			}
		}
	}
	switch {
	case word == "register" && len(rest) == 0:
		return registerReporter(ctx, c)
	case word == "verify" && len(rest) == 0:
		return verifyReporter(ctx, c)
	case word == "list" && len(rest) <= 1:
		return listReports(ctx, c, rest)
	case word == "show" && len(rest) == 1:
		return showReport(ctx, c, rest[0])
	case word == "preview" && len(rest) == 2:
		return previewReport(ctx, c, rest[0], rest[1])
	case word == "retry" || word == "drop":
		return changeReports(ctx, c, word, rest)
	case word == "retract" && len(rest) == 1:
		return retractReports(ctx, c, rest[0])
	}
	return usagef("report %s: see agentctl help report", strings.Join(c.args, " "))
}

func listReports(ctx context.Context, c *call, words []string) error {
	n, err := c.limit(reportLimit)
	if err != nil {
		return err
	}
	q := url.Values{"limit": {strconv.Itoa(n)}, "to": {c.values["to"]}, "state": {c.values["state"]}}
	if len(words) == 1 {
		q.Set("ip", words[0])
	}
	var all control.Reports
	if err := c.client.Get(ctx, "/v1/reports", q, &all); err != nil {
		return err
	}
	err = c.print(all, func(w io.Writer) { showReports(w, c, all, n) })
	if err == nil && slices.ContainsFunc(all.Destinations, func(d control.ReportDestination) bool { return d.Trouble != "" }) {
		err = errFound
	}
	return err
}

func showReports(w io.Writer, c *call, all control.Reports, limit int) {
	now := c.now()
	if len(all.Destinations) == 0 {
		fmt.Fprintln(w, "Nobody is told of bans. Write a section into agent.conf, beside jail.conf, and run agentctl reload:\n\n  [report abuseipdb]\n  type = abuseipdb\n  apikey = file:/etc/agentd/abuseipdb.key\n  jails = sshd")
	} else {
		t := newTable("DESTINATION", ">WAITING", "NEXT", ">TODAY", ">SENT", ">KNOWN", ">REFUSED", ">CANCELLED", "TYPE")
		for _, d := range all.Destinations {
			today := strconv.Itoa(d.Used)
			if d.Budget > 0 {
				today += "/" + strconv.Itoa(d.Budget)
			}
			next := inTime(d.Next, now)
			if d.Until != nil && d.Waiting > 0 {
				next = inTime(d.Until, now)
			}
			t.add(d.Name, d.Waiting, next, today, d.Sent, d.Known, d.Refused, d.Cancelled, d.Type)
		}
		t.write(w)
		for _, d := range all.Destinations {
			if d.Trouble != "" {
				fmt.Fprintf(w, "\n%s: %s\n", safe(d.Name), safe(d.Trouble))
			}
		}
	}
	if len(all.Reports) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable(">ID", "ADDRESS", "JAIL", "TO", "STATE", "WHEN", "THEY SAID")
	for _, r := range all.Reports {
		when := agoOr(r.Done, "", now)
		if r.Done == nil {
			when = inTime(r.Due, now)
		}
		t.add(r.ID, r.IP, r.Jail, r.Destination, r.State, when, r.Detail)
	}
	t.write(w)
	if limit > 0 && len(all.Reports) == limit {
		fmt.Fprintln(w, "… perhaps more: --limit 0 shows all")
	}
}

func showReport(ctx context.Context, c *call, id string) error {
	var r control.Report
	if err := c.client.Get(ctx, "/v1/reports/"+url.PathEscape(id), nil, &r); err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) {
		now := c.now()
		var facts facts
		facts.add("Report", strconv.FormatUint(r.ID, 10))
		facts.add("To", r.Destination)
		facts.add("Address", r.IP)
		facts.add("Jail", r.Jail)
		if r.Category != "" {
			facts.add("Category", r.Category)
		}
		facts.add("State", r.State)
		if r.Banned != nil {
			facts.add("Banned", stamp(*r.Banned, now))
		}
		if r.Done != nil {
			facts.add("Done", stamp(*r.Done, now))
		} else {
			facts.add("Next try", inTime(r.Due, now))
		}
		if r.Tries > 0 {
			facts.add("Tries", strconv.Itoa(r.Tries))
		}
		if r.Detail != "" || r.Status != 0 {
			facts.add("They said", strings.TrimSpace(fmt.Sprintf("%s %s", statusText(r.Status), r.Detail)))
		}
		if r.Receipt != "" {
			facts.add("They call it", r.Receipt)
		}
		if r.Comment != "" {
			facts.add("Comment", r.Comment)
		}
		facts.add("Lines", r.Lines...)
		facts.write(w)
	})
}

func statusText(status int) string {
	if status == 0 {
		return ""
	}
	return strconv.Itoa(status)
}

func previewReport(ctx context.Context, c *call, jail, ip string) error {
	var all control.ReportPreviews
	if err := c.client.Get(ctx, "/v1/reports/preview", url.Values{"jail": {jail}, "ip": {ip}}, &all); err != nil {
		return err
	}
	return c.print(all, func(w io.Writer) {
		if len(all.Previews) == 0 {
			fmt.Fprintln(w, "Nobody is told of bans: agent.conf has no section [report NAME].")
		}
		for i, p := range all.Previews {
			if i > 0 {
				fmt.Fprintln(w)
			}
			if p.Because != "" {
				fmt.Fprintf(w, "%s: not reported, because %s\n", safe(p.Destination), safe(p.Because))
				continue
			}
			fmt.Fprintf(w, "%s: reported %s, unless the ban is lifted:\n", safe(p.Destination), inTime(p.Due, c.now()))
			for line := range strings.SplitSeq(strings.TrimRight(p.Request, "\n"), "\n") {
				fmt.Fprintf(w, "  %s\n", safe(line))
			}
		}
	})
}

func changeReports(ctx context.Context, c *call, word string, rest []string) error {
	req := control.ReportRequest{IDs: []uint64{}, Destination: c.values["to"]}
	for _, text := range rest {
		id, err := strconv.ParseUint(text, 10, 64)
		if err != nil {
			return usagef("report %s: %q is no number of a report", word, text)
		}
		req.IDs = append(req.IDs, id)
	}
	switch {
	case len(req.IDs) == 0 && !c.flags["all"]:
		return usagef("report %s: name reports by their numbers, or --all", word)
	case len(req.IDs) > 0 && c.flags["all"]:
		return usagef("report %s: either numbers or --all", word)
	case word == "retry" && req.Destination != "":
		return usagef("--to belongs to report list and report drop")
	}
	var r control.ReportResult
	if err := c.client.Post(ctx, "/v1/reports/"+word, req, &r); err != nil {
		return err
	}
	return c.print(r, func(w io.Writer) {
		done := map[string]string{"retry": "will be tried at once", "drop": "will not be sent"}[word]
		fmt.Fprintf(w, "%s %s.\n", plural(r.Reports, "report", "reports"), done)
	})
}

func retractReports(ctx context.Context, c *call, ip string) error {
	var r control.RetractResult
	if err := c.client.Post(ctx, "/v1/reports/retract", control.RetractRequest{IP: ip}, &r); err != nil {
		return err
	}
	err := c.print(r, func(w io.Writer) {
		if len(r.Destinations) == 0 {
			fmt.Fprintf(w, "Nobody was told of %s; what waited is not sent.\n", safe(ip))
		}
		for _, d := range r.Destinations {
			fmt.Fprintf(w, "%s: %s\n", safe(d.Destination), safe(d.Detail+d.Error))
		}
	})
	if err == nil && slices.ContainsFunc(r.Destinations, func(d control.Retracted) bool { return d.Error != "" }) {
		err = errFound
	}
	return err
}

// reportStates are the words of --state.
func reportStates() []string {
	return []string{"waiting", "sent", "known", "refused", "cancelled", "dropped", "too-old"}
}

// offerReports completes what follows report: states, destinations, jails, and the numbers of reports that a command
// is for.
func (c *call) offerReports(ctx context.Context, words []string, last string, offer func(word, brief string)) error {
	ctx, cancel := context.WithTimeout(ctx, completionTime)
	defer cancel()
	c.client = control.NewClient(c.socket)
	fits := map[string][]string{"show": reportStates(), "retry": {"waiting", "refused"}, "drop": {"waiting"}}
	switch {
	case last == "--state":
		for _, s := range reportStates() {
			offer(s, "")
		}
		return nil
	case last != "--to" && len(words) == 1 && words[0] == "preview":
		names, err := c.jails(ctx)
		for _, name := range names {
			offer(name, "jail")
		}
		return err
	case last != "--to" && (len(words) == 0 || fits[words[0]] == nil):
		return nil
	}
	var all control.Reports
	if err := c.client.Get(ctx, "/v1/reports", url.Values{"limit": {"100"}}, &all); err != nil {
		return err
	}
	if last == "--to" {
		for _, d := range all.Destinations {
			offer(d.Name, d.Type)
		}
		return nil
	}
	for _, r := range all.Reports {
		if slices.Contains(fits[words[0]], r.State) {
			offer(strconv.FormatUint(r.ID, 10), r.IP+" to "+r.Destination+", "+r.State)
		}
	}
	return nil
}
