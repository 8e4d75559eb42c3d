package setup

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/filters"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
	"github.com/palisade-agent/palisade/jails"
)

// Loader turns the configuration folder into the agent's options: it reads it, compiles what must be
// compiled, and collects everything that is wrong. It remembers the last load for the next one, and
// belongs to one goroutine at a time.
type Loader struct {
	// Release is whose rules are followed; fail2ban 1.1 if zero.
	Release config.Release
	// LogTarget is where the daemon's log goes, by fail2ban's names; empty is where fail2ban.conf says, or
	// standard error. A jail that reads the daemon's log where it does not go is told from inside.
	LogTarget string
	// Backend is who keeps the banned out, by agent.conf's words; empty is what agent.conf says when it is
	// read first. With "script" the stock firewall actions are left to their scripts, too.
	Backend string

	dir     string
	must    bool                    // the folder was there once, or was asked for: the stock does not serve for it
	running map[string]bool         // the jails of the last load that can run, or go on as they were
	written map[string]*config.Jail // these jails, as they are written
	global  config.Global           // of the last load
	agent   config.AgentConf        // of the last reading
	chosen  bool                    // Backend is from agent.conf
	ownLog  string                  // the file that the daemon's log goes to, empty for none
}

// New makes a loader for a folder. Where there is no such folder, the stock that comes with the program
// serves; not so if the folder must be there, because somebody named it.
func New(dir string, must bool) *Loader { return &Loader{dir: dir, must: must} }

// Stock reports whether there is no configuration folder, so that the built-in one serves.
func (l *Loader) Stock() bool {
	_, err := os.Stat(l.dir)
	return errors.Is(err, fs.ErrNotExist)
}

// Name says where the configuration comes from: the folder, or "(stock)".
func (l *Loader) Name() string {
	if l.Stock() {
		return "(stock)"
	}
	return l.dir
}

// Read reads the configuration and compiles nothing. The jails named are enabled whatever the
// configuration says. The error is for one that cannot be read at all.
func (l *Loader) Read(enabled ...string) (*config.Config, error) {
	if l.Stock() && l.must {
		return nil, fmt.Errorf("the configuration folder %s is not there (put it back, then reload; to be without jails, disable them)", l.dir)
	}
	o := l.options()
	o.Enabled = enabled
	c, err := config.Load(o)
	if err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	l.agent = c.Agent
	switch wished := c.Agent.Firewall.Backend; {
	case l.Backend == "":
		l.Backend, l.chosen = wished, true
	case l.chosen && l.Backend != wished:
		at := c.Agent.Origin("firewall", "backend")
		c.Problems = append(c.Problems, at.Problem(config.Warning, "", "the firewall stays "+l.Backend+" while agentd runs", "restart it: systemctl restart agentd"))
	}
	return c, nil
}

// Agent is what agent.conf says, as of the last reading.
func (l *Loader) Agent() config.AgentConf { return l.agent }

// options say how the configuration is read.
func (l *Loader) options() config.Options {
	version := "" // of the release that %(fail2ban_version)s names
	if l.Release == config.Release10 {
		version = "1.0.2"
	}
	return config.Options{
		Dir: l.dir, Stock: Stock(), Release: l.Release, Version: version,
		// Without any of its logs, a jail reads the journal where it may, and else waits for them; checkLog
		// tells what is wrong with each.
		Glob: func(pattern string) ([]string, error) {
			if source.HasMeta(pattern) {
				return source.Match(pattern)
			}
			if _, err := os.Stat(pattern); errors.Is(err, fs.ErrNotExist) {
				return nil, nil
			}
			return []string{pattern}, nil
		},
	}
}

// Stock is the configuration that comes with the program, laid out like /etc/fail2ban: what
// config.Options.Stock wants.
func Stock() []fs.FS { return []fs.FS{jails.FS, config.Mount("filter.d", filters.FS)} }

// Load reads the configuration and makes it ready to run. The error is for one that cannot be read at
// all; a jail that cannot run is named in Broken, and why in Problems, errors first.
func (l *Loader) Load() (agent.Options, error) {
	c, err := l.Read()
	if err != nil {
		return agent.Options{}, err
	}
	l.global, l.must = c.Global, !l.Stock()
	l.ownLog = l.logFile()
	problems := c.Problems
	var o agent.Options
	var dates date.Compiler
	for i := range c.Jails {
		j, wrong := l.Build(&c.Jails[i], &dates, time.Now())
		problems = append(problems, wrong...)
		if !hasErrors(wrong) {
			o.Jails = append(o.Jails, j)
		}
		if j.OwnLog { // what is wrong with its log does not matter
			problems = slices.DeleteFunc(problems, func(p config.Problem) bool {
				return p.Jail == j.Name() && p.Severity == config.Warning && (p.Key == "logpath" || p.Key == "backend" || p.Key == "journalmatch")
			})
		}
	}
	for i := range c.Unsound { // all that is wrong is told at once
		_, wrong := l.Build(&c.Unsound[i], &dates, time.Now())
		problems = append(problems, wrong...)
	}
	problems = append(problems, l.lost(o.Jails, problems)...)
	slices.SortStableFunc(problems, func(a, b config.Problem) int { return int(a.Severity) - int(b.Severity) })
	broken := map[string]bool{}
	for _, p := range problems {
		if p.Severity == config.Error && p.Jail != "" && !broken[p.Jail] {
			broken[p.Jail] = true
			o.Broken = append(o.Broken, p.Jail)
		}
		o.Problems = append(o.Problems, wireProblem(p))
	}
	running, written := map[string]bool{}, map[string]*config.Jail{}
	for _, j := range o.Jails {
		running[j.Name()] = true
	}
	for i := range c.Jails {
		if name := c.Jails[i].Name; running[name] && !broken[name] {
			written[name] = &c.Jails[i]
		}
	}
	for name := range broken {
		running[name] = running[name] || l.running[name]
		if j := l.written[name]; j != nil {
			written[name] = j
		}
	}
	l.running, l.written = running, written
	return o, nil
}

// lost names the jails that ran and that the configuration has no more, if a line of the files where
// jails are written could not be understood: that line may have been the jail's, as a [section with its
// bracket missing is. To end such a jail would let in everybody whom it bans.
func (l *Loader) lost(jails []agent.Jail, problems []config.Problem) []config.Problem {
	unclear := slices.IndexFunc(problems, func(p config.Problem) bool {
		folder := filepath.Base(filepath.Dir(p.File))
		return p.Severity == config.Error && p.Jail == "" && folder != "filter.d" && folder != "action.d" && !config.InAgentConf(p.File)
	})
	if unclear < 0 {
		return nil
	}
	left := maps.Clone(l.running)
	for _, j := range jails {
		delete(left, j.Name())
	}
	for _, p := range problems {
		delete(left, p.Jail)
	}
	line := problems[unclear]
	at := config.Origin{File: line.File, Line: line.Line}
	var lost []config.Problem
	for _, name := range slices.Sorted(maps.Keys(left)) {
		lost = append(lost, at.Problem(config.Error, name, "the jail is gone, and a line here is not clear: it goes on as it was",
			"mend the line; if the jail is to end, it does at the next reload"))
	}
	return lost
}

// logFile is the file that the daemon's log goes to, empty if it goes elsewhere.
func (l *Loader) logFile() string {
	name := l.LogTarget
	if name == "" && !l.global.Origin("logtarget").IsZero() {
		name = l.global.LogTarget
	}
	if spec, err := config.ParseSpec(name); err == nil {
		name = spec.Name
	}
	if !filepath.IsAbs(name) {
		return ""
	}
	return name
}

// Fail2banSocket is where fail2ban.conf puts the socket of fail2ban's server, as of the last load.
func (l *Loader) Fail2banSocket() string { return l.global.Socket }

// BookConfig is what fail2ban.conf says of the memory of bans, as of the last load.
func (l *Loader) BookConfig() jail.Config {
	return jail.Config{PurgeAge: l.global.DBPurgeAge, MaxDBMatches: l.global.DBMaxMatches, Random: random}
}

// NoJails says what to do where no jail is enabled. Only a folder with a jail.conf says more of a jail
// than that it is enabled.
func (l *Loader) NoJails() string {
	needs := "enabled = true"
	if _, err := os.Stat(filepath.Join(l.dir, "jail.conf")); err != nil {
		needs = "enabled = true, filter = sshd, its logpath, and action = nftables[port=ssh]"
	}
	return fmt.Sprintf("no jail is enabled, nobody is watched (write what you need into %s, as [sshd] and below it %s)", filepath.Join(l.dir, "jail.local"), needs)
}
