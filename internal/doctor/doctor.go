package doctor

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/setup"
)

const (
	// wholeTime bounds an examination: somebody waits for it.
	wholeTime = 2 * time.Minute
	// answerTime is how long one peer or program may take to answer.
	answerTime = 5 * time.Second
	// maxFindings bounds the report, should a configuration have very many logs.
	maxFindings = 2000
)

// Level says how bad a finding is.
type Level string

// The levels. Bad means that somebody is not kept out, or that the wrong one is.
const (
	OK   Level = "ok"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// Finding is what one check found. Found and About may hold text that somebody else chose.
type Finding struct {
	Level Level    `json:"level"`
	Check string   `json:"check"`           // as "fail2ban", "nftables", "logs"
	About string   `json:"about,omitempty"` // a file, socket or program
	Jails []string `json:"jails,omitempty"` // whom it concerns
	Found string   `json:"found"`
	Next  string   `json:"next,omitempty"` // what to do; empty if all is well
}

// Report is what an examination found.
type Report struct {
	OK       bool      `json:"ok"` // nothing is bad
	Config   string    `json:"config"`
	Bad      int       `json:"bad"` // how many findings are
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"`
	// Incomplete says that time or room ran out before everything was looked at.
	Incomplete bool `json:"incomplete,omitempty"`
}

// Options say what is examined.
type Options struct {
	Config   string // the configuration folder
	Named    bool   // somebody named it, so that it must be there
	Socket   string // agentd's control socket
	Database string // agentd's, if it does not run; else it says where it is
	// Fail2banSocket is that of fail2ban's server; what fail2ban.conf says if empty.
	Fail2banSocket string
	Machine        Machine
}

// exam is one examination. It belongs to the goroutine of Examine.
type exam struct {
	o      Options
	m      Machine
	report Report

	root     bool // nothing is forbidden to us
	daemon   control.Status
	agentd   bool // it answers, and daemon is what it said
	fail2ban bool // its server answers

	config *config.Config // as it is written; nil if it cannot be read
	jails  []agent.Jail   // that can run
	past   []replay.Jail  // the same, ready for old lines
	client clientOf
	tails  map[string]*tail // of the logs that can be read
}

// Examine looks at everything. It takes two minutes at most, mostly seconds; ctx ends it sooner, and what was
// found by then is told.
func Examine(ctx context.Context, o Options) Report {
	ctx, cancel := context.WithTimeout(ctx, wholeTime)
	defer cancel()
	x := &exam{o: o, m: o.Machine.whole(), report: Report{Findings: []Finding{}}, tails: map[string]*tail{}}
	loader := setup.New(o.Config, o.Named)
	x.report.Config = loader.Name()
	x.rights()
	x.runningAgent(ctx)
	x.load(ctx, loader)
	for _, check := range []func(context.Context){
		x.runningFail2ban, x.kernel, x.passing, x.leftovers, x.logs, x.journals, x.filters, x.lockout, x.actions, x.ipv6, x.database, x.clock,
	} {
		if ctx.Err() != nil {
			x.report.Incomplete = true
			break
		}
		check(ctx)
	}
	r := &x.report
	for _, f := range r.Findings {
		switch f.Level {
		case Bad:
			r.Bad++
		case Warn:
			r.Warnings++
		case OK:
		}
	}
	r.OK = r.Bad == 0
	return *r
}

// load reads the configuration, once as the daemon does and once for old lines.
func (x *exam) load(ctx context.Context, l *setup.Loader) {
	options, err := l.Load()
	if err == nil {
		x.config, err = l.Read()
	}
	if err != nil {
		x.bad(Finding{Check: "configuration", About: x.report.Config, Found: err.Error(), Next: "put it right, and look again"})
		return
	}
	if x.o.Fail2banSocket == "" {
		x.o.Fail2banSocket = l.Fail2banSocket()
	}
	x.jails = options.Jails
	names := make([]string, 0, len(x.jails))
	for _, j := range x.jails {
		names = append(names, j.Name())
	}
	if len(names) > 0 {
		resolve, cancel := context.WithTimeout(ctx, answerTime)
		defer cancel()
		past, err := l.Replay(resolve, x.m.Resolver, slog.New(slog.DiscardHandler), names...)
		if err != nil {
			x.warn(Finding{Check: "configuration", About: x.report.Config, Found: err.Error(), Next: "agentctl check says more"})
		}
		x.past = past.Jails
	}
	x.configuration(l, options)
}

func (x *exam) ok(f Finding)   { x.add(OK, f) }
func (x *exam) warn(f Finding) { x.add(Warn, f) }
func (x *exam) bad(f Finding)  { x.add(Bad, f) }

// add notes a finding. What differs from an earlier one only in its jails is added to that.
func (x *exam) add(l Level, f Finding) {
	f.Level = l
	for i := range x.report.Findings {
		g := &x.report.Findings[i]
		if g.Level != f.Level || g.Check != f.Check || g.About != f.About || g.Found != f.Found || g.Next != f.Next {
			continue
		}
		for _, j := range f.Jails {
			if !slices.Contains(g.Jails, j) {
				g.Jails = append(g.Jails, j)
			}
		}
		return
	}
	if len(x.report.Findings) == maxFindings {
		x.report.Incomplete = true
		return
	}
	x.report.Findings = append(x.report.Findings, f)
}

// forbidden notes something that is bad unless it is only this user to whom it is forbidden.
func (x *exam) forbidden(f Finding) {
	if x.root {
		x.bad(f)
		return
	}
	f.Next = "look again as root"
	x.warn(f)
}
