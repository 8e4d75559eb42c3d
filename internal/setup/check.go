package setup

import (
	"fmt"
	"strings"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
)

// Report is what a check of a configuration found.
type Report struct {
	Config   string           `json:"config"`  // the folder, or "(stock)"
	OK       bool             `json:"ok"`      // no error; warnings do not count
	Enabled  int              `json:"enabled"` // jails, those that cannot run included
	Jails    []string         `json:"jails"`   // those that can run, in the order of the configuration
	Broken   []string         `json:"broken"`  // those that cannot
	Problems []control.Shared `json:"problems"`
	Advice   string           `json:"advice,omitempty"`   // what to do where no jail is enabled
	Firewall *FirewallReport  `json:"firewall,omitempty"` // what agent.conf says of it, if it says anything
}

// FirewallReport is section [firewall] of agent.conf as it counts.
type FirewallReport struct {
	Backend string   `json:"backend"`
	Cut     bool     `json:"cut"`
	Hits    bool     `json:"hits"`
	Allow   []string `json:"allow"`
	Feeds   string   `json:"feeds"`
}

func firewallReport(a config.AgentConf) *FirewallReport {
	if !a.Given() {
		return nil
	}
	f := a.Firewall
	r := &FirewallReport{Backend: f.Backend, Cut: f.Cut, Hits: f.Hits, Allow: []string{}, Feeds: f.Feeds}
	for _, p := range f.Allow {
		r.Allow = append(r.Allow, ident.FromPrefix(p).String())
	}
	return r
}

// allowedShown is how many addresses and networks of an allowlist are shown to people.
const allowedShown = 20

func (r *FirewallReport) line() string {
	yes := map[bool]string{true: "yes", false: "no"}
	allow := strings.Join(r.Allow[:min(len(r.Allow), allowedShown)], " ")
	switch more := len(r.Allow) - allowedShown; {
	case more > 0:
		allow += fmt.Sprintf(" and %d more", more)
	case allow == "":
		allow = "nobody"
	}
	return fmt.Sprintf("agent.conf: [firewall] backend %s, cut %s, hits %s, feeds %s, allow %s", r.Backend, yes[r.Cut], yes[r.Hits], r.Feeds, allow)
}

// Check reads a configuration as the daemon does at its start, and tells everything that is wrong with
// it. The error is for one that cannot be read at all.
func (l *Loader) Check() (Report, error) {
	o, err := l.Load()
	if err != nil {
		return Report{}, err
	}
	r := Report{
		Config: l.Name(), OK: true, Enabled: len(o.Jails) + len(o.Broken),
		Jails: []string{}, Broken: append([]string{}, o.Broken...), Problems: control.Share(o.Problems),
	}
	r.Firewall = firewallReport(l.Agent())
	for _, j := range o.Jails {
		r.Jails = append(r.Jails, j.Name())
	}
	for _, p := range r.Problems {
		r.OK = r.OK && p.Severity != config.Error.String()
	}
	if r.Enabled == 0 {
		r.Advice = l.NoJails()
	}
	return r, nil
}

// Lines tells the report to people: a line per problem, errors first, and one that sums up. Text of the
// configuration stands in them as it was written.
func (r Report) Lines() []string {
	var lines []string
	for _, p := range r.Problems {
		lines = append(lines, p.Severity+": "+ProblemText(p))
	}
	if r.Firewall != nil {
		lines = append(lines, r.Firewall.line())
	}
	if r.Enabled == 0 {
		return append(lines, r.Config+": "+r.Advice)
	}
	return append(lines, fmt.Sprintf("%s: %d of %d enabled jails can run", r.Config, len(r.Jails), r.Enabled))
}
