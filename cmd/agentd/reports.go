package main

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/report"
	"github.com/palisade-agent/palisade/internal/report/destination"
	"github.com/palisade-agent/palisade/internal/store"
)

// reports tell others of bans. They are the agent's Outbox.
type reports struct {
	desk  *report.Desk
	lists *lists
	log   *slog.Logger
	names []string

	mu    sync.Mutex // guards the fields below
	jails map[string]jailFacts
	types map[string]string // by destination
	// setups are those in force, so that one that was broken by a reload goes on.
	setups map[string]report.Setup
	// built is what those were made of, and made counts them.
	built map[string]built
	made  int
}

// built is a destination as it was configured, without the rules for it, and the number that it got.
type built struct {
	conf   config.ReportConf
	number int
}

// jailFacts are what a report needs to know of a jail.
type jailFacts struct {
	filter   string
	port     uint16
	protocol string
	maxRetry int
}

// openReports takes over what the last run has left to send.
func openReports(db *store.DB, l *lists, log *slog.Logger) (*reports, error) {
	r := &reports{lists: l, log: log, names: ownNames(), jails: map[string]jailFacts{}, types: map[string]string{}, setups: map[string]report.Setup{}, built: map[string]built{}}
	r.desk = report.NewDesk(report.Options{Store: db, Log: log, Facts: func() report.Facts {
		return report.Facts{Allow: *l.allowed.Load(), Own: l.own.ranges(), Names: r.names}
	}})
	if err := r.desk.Load(); err != nil {
		return nil, err
	}
	return r, nil
}

// ownNames are the names of this machine, the longest first.
func ownNames() []string {
	set := map[string]bool{}
	host, _ := os.Hostname()
	mail, _ := os.ReadFile("/etc/mailname")
	for _, name := range []string{host, strings.TrimSpace(string(mail))} {
		if name == "" || name == "localhost" {
			continue
		}
		set[name] = true
		if first, domain, ok := strings.Cut(name, "."); ok {
			set[first] = true
			if strings.Contains(domain, ".") {
				set[domain] = true
			}
		}
	}
	return slices.SortedFunc(maps.Keys(set), func(a, b string) int { return len(b) - len(a) })
}

// apply brings what agent.conf says in force. Filter names the filter of a jail.
func (r *reports) apply(c config.AgentConf, o agent.Options, filter func(jail string) string) {
	facts := map[string]jailFacts{}
	for _, j := range o.Jails {
		f := jailFacts{filter: filter(j.Name()), maxRetry: j.Policy.MaxRetry}
		for _, s := range j.Scopes {
			if len(s.Ports) == 1 && s.Ports[0].First == s.Ports[0].Last {
				f.port = s.Ports[0].First
			}
			if len(s.Protocols) == 1 {
				f.protocol = string(s.Protocols[0])
			}
		}
		facts[j.Name()] = f
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, name := range o.Broken {
		if old, had := r.jails[name]; had {
			facts[name] = old // it goes on as it was
		}
	}
	r.jails = facts
	var all []report.Setup
	setups := map[string]report.Setup{}
	for _, conf := range c.Reports {
		if !conf.Enabled {
			continue
		}
		s, err := r.setup(conf)
		if old, had := r.setups[conf.Name]; (conf.Broken || err != nil) && had {
			s, err = old, nil
		} else if conf.Broken {
			continue
		}
		if err != nil {
			r.log.Error("nothing is reported there", "report", conf.Name, "err", err)
			continue
		}
		r.types[conf.Name] = conf.Type
		setups[conf.Name] = s
		all = append(all, s)
	}
	r.setups = setups
	gone := func(name string) bool { _, there := setups[name]; return !there }
	maps.DeleteFunc(r.built, func(name string, _ built) bool { return gone(name) })
	maps.DeleteFunc(r.types, func(name, _ string) bool { return gone(name) })
	r.desk.Set(all)
}

func (r *reports) setup(c config.ReportConf) (report.Setup, error) {
	o := destination.Options{
		Name: c.Name, Type: c.Type, Client: r.lists.client.Load, Agent: "palisade/" + version(), User: c.User, URL: c.URL, Method: c.Method, Headers: c.Headers, Body: c.Body,
		Success: c.Success, Known: c.Known, Organisation: c.Organisation, Contact: c.Contact, Domain: c.Domain,
	}
	if c.Key.Given() {
		o.Key = c.Key.Read
	}
	if c.Password.Given() {
		o.Password = c.Password.Read
	}
	d, err := destination.New(o)
	if err != nil {
		return report.Setup{}, err
	}
	return report.Setup{
		Rules: report.Rules{
			Name: c.Name, Jails: c.Jails, Hold: c.Hold, Dedupe: c.Dedupe, MinFailures: c.MinFailures, Budget: c.Budget, Flood: c.Flood,
			Category: report.Category(c.Category), Lines: c.Lines,
		},
		Destination: d, Pace: c.Pace,
		Same: r.same(c),
	}, nil
}

// same is equal for as long as a destination is configured in the same way. Its rules may change: they are asked
// anew for each report. mu is held.
func (r *reports) same(c config.ReportConf) string {
	c.Jails, c.Hold, c.Dedupe, c.Pace, c.Budget, c.MinFailures, c.Flood, c.Category, c.Lines = nil, 0, 0, 0, 0, 0, 0, "", false
	if b, had := r.built[c.Name]; !had || !reflect.DeepEqual(b.conf, c) { // keys given in the file are compared, too
		r.made++
		r.built[c.Name] = built{c, r.made}
	}
	return strconv.Itoa(r.built[c.Name].number)
}

// Stage implements agent.Outbox.
func (r *reports) Stage(decisions []jail.Decision) (rows []store.OutboxRow) {
	for _, d := range decisions {
		switch {
		case d.Kind == jail.BanStart && d.ID.IsAddr():
			rows = append(rows, r.desk.Stage([]report.Ban{r.ban(d.Ban)})...)
		case d.Kind == jail.Unban && d.Reason != jail.TimeOver && d.ID.IsAddr():
			rows = append(rows, r.desk.Cancel(d.Jail, d.ID.Prefix())...)
		}
	}
	return rows
}

// Stored implements agent.Outbox.
func (r *reports) Stored(rows []store.OutboxRow) { r.desk.Stored(rows) }

func (r *reports) ban(b jail.Ban) report.Ban {
	r.mu.Lock()
	f := r.jails[b.Jail]
	r.mu.Unlock()
	return report.Ban{
		Jail: b.Jail, Filter: f.filter, Prefix: b.ID.Prefix(), Local: b.Origin == jail.Local, Restored: b.Restored, Banned: b.BannedAt, Last: b.Start,
		Failures: b.Failures, Lines: b.Lines, Data: b.Data, Port: f.port, Protocol: f.protocol,
	}
}

// runners is what has to run.
func (r *reports) runners(log *slog.Logger) []runner {
	return []runner{tolerated(runner{"the reports", r.desk.Run}, log)}
}

// reasons says what is wrong, for the health of the daemon.
func (r *reports) reasons() (all []string) {
	for _, s := range r.desk.Status() {
		switch {
		case s.Trouble != "" && s.Configured:
			all = append(all, "report "+s.Name+": "+s.Trouble)
		case !s.Configured && s.Waiting > 0:
			all = append(all, fmt.Sprintf("report %s: %d wait and it is not in agent.conf any more: agentctl report drop --all --to %s", s.Name, s.Waiting, s.Name))
		}
	}
	return all
}

// routes answer for reports on the control socket.
func (r *reports) routes() []control.Route {
	return []control.Route{
		{Pattern: "GET /v1/reports", Answer: r.list},
		{Pattern: "GET /v1/reports/{id}", Answer: func(q *http.Request) (any, error) {
			id, err := strconv.ParseUint(q.PathValue("id"), 10, 64)
			if err != nil {
				return nil, fmt.Errorf("%w: %.40q is no number of a report", control.ErrInvalid, q.PathValue("id"))
			}
			row, err := r.desk.Show(id)
			return wireReport(row), asked(err)
		}},
		{Pattern: "GET /v1/reports/preview", Answer: r.preview},
		{Pattern: "POST /v1/reports/retry", Answer: func(q *http.Request) (any, error) {
			req, err := control.Body[control.ReportRequest](q)
			if err != nil {
				return nil, err
			}
			n, err := r.desk.Retry(req.IDs)
			return control.ReportResult{Reports: n}, asked(err)
		}},
		{Pattern: "POST /v1/reports/drop", Answer: func(q *http.Request) (any, error) {
			req, err := control.Body[control.ReportRequest](q)
			if err != nil {
				return nil, err
			}
			n, err := r.desk.Drop(req.IDs, req.Destination)
			return control.ReportResult{Reports: n}, asked(err)
		}},
		{Pattern: "POST /v1/reports/retract", Answer: func(q *http.Request) (any, error) {
			req, err := control.Body[control.RetractRequest](q)
			if err != nil {
				return nil, err
			}
			a, err := netip.ParseAddr(req.IP)
			if err != nil {
				return nil, fmt.Errorf("%w: %.60q is no address", control.ErrInvalid, req.IP)
			}
			all, err := r.desk.Retract(q.Context(), a)
			out := control.RetractResult{Destinations: []control.Retracted{}}
			for _, x := range all {
				w := control.Retracted{Destination: x.Destination, Detail: x.Detail}
				if x.Err != nil {
					w.Error = x.Err.Error()
				}
				out.Destinations = append(out.Destinations, w)
			}
			return out, err
		}},
	}
}

// asked is an error that is the asker's fault.
func asked(err error) error {
	if errors.Is(err, report.ErrNoReport) || errors.Is(err, report.ErrNotAgain) {
		return fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	return err
}

func (r *reports) list(q *http.Request) (any, error) {
	v := q.URL.Query()
	query := report.Query{Destination: v.Get("to"), State: report.State(v.Get("state"))}
	if text := v.Get("ip"); text != "" {
		a, err := netip.ParseAddr(text)
		if err != nil {
			return nil, fmt.Errorf("%w: %.60q is no address", control.ErrInvalid, text)
		}
		query.Addr = a.Unmap()
	}
	if text := v.Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			return nil, fmt.Errorf("%w: limit=%.20q is no number", control.ErrInvalid, text)
		}
		query.Limit = n
	}
	out := control.Reports{Destinations: []control.ReportDestination{}, Reports: []control.Report{}}
	r.mu.Lock()
	types := maps.Clone(r.types)
	r.mu.Unlock()
	for _, s := range r.desk.Status() {
		out.Destinations = append(out.Destinations, control.ReportDestination{
			Name: s.Name, Type: types[s.Name], Configured: s.Configured, Waiting: s.Waiting, Next: moment(s.Due), Used: s.Used, Budget: s.Budget, Until: moment(s.Until),
			Trouble: s.Trouble, Lost: s.Lost, Sent: s.Counts.Sent, Known: s.Counts.Known, Refused: s.Counts.Refused, Failed: s.Counts.Failed, Cancelled: s.Counts.Cancelled,
		})
	}
	rows, err := r.desk.List(query)
	for _, row := range rows {
		w := wireReport(row)
		w.Lines = nil
		out.Reports = append(out.Reports, w)
	}
	return out, err
}

func wireReport(r report.Row) control.Report {
	return control.Report{
		ID: r.Report.ID, Destination: r.Destination, State: string(r.State), IP: r.Report.Addr.String(), Jail: r.Report.Jail, Category: string(r.Report.Category),
		Banned: moment(r.Report.Banned), Due: moment(r.Due), Done: moment(r.Done), Tries: r.Tries, Status: r.Status, Detail: r.Detail, Receipt: r.Receipt,
		Failures: r.Report.Failures, Comment: r.Report.Comment, Lines: r.Report.Lines,
	}
}

// preview tells what a ban that follows now from as many failures as the jail wants would be reported as.
func (r *reports) preview(q *http.Request) (any, error) {
	name, text := q.URL.Query().Get("jail"), q.URL.Query().Get("ip")
	a, err := netip.ParseAddr(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %.60q is no address", control.ErrInvalid, text)
	}
	r.mu.Lock()
	f, known := r.jails[name]
	r.mu.Unlock()
	if !known {
		return nil, fmt.Errorf("%w: %q", control.ErrNoJail, name)
	}
	now := time.Now()
	all := r.desk.Preview(report.Ban{
		Jail: name, Filter: f.filter, Prefix: netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), Local: true, Banned: now, Last: now, Failures: f.maxRetry, Port: f.port, Protocol: f.protocol,
	})
	out := control.ReportPreviews{Previews: []control.ReportPreview{}}
	for _, p := range all {
		out.Previews = append(out.Previews, control.ReportPreview{
			Destination: p.Destination, Because: p.Why, Due: moment(p.Due), Comment: p.Report.Comment, Request: p.Request,
		})
	}
	return out, nil
}
