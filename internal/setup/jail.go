package setup

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/text/encoding"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// Build makes a jail that can run of one that is written soundly, compiling what the reader of the
// configuration does not. All that is wrong is returned, not only the first; with an error among it, the
// jail cannot run. The date templates that filters share are kept in dates.
func (l *Loader) Build(c *config.Jail, dates *date.Compiler, now time.Time) (agent.Jail, []config.Problem) {
	b := builder{c: c, firewall: l.agent.Firewall, scripts: l.Backend == "script", ownLog: l.ownLog, fail2banLog: l.global.LogTarget}
	j := agent.Jail{
		Policy:   b.policy(),
		Poll:     strings.HasPrefix(c.Backend, "polling"),
		Encoding: b.encoding(),
		Ignore:   b.ignore(),
	}
	b.filter(&j, dates, now)
	b.actions(&j)
	b.files(&j)
	return j, b.problems
}

// builder collects the problems of one jail.
type builder struct {
	c      *config.Jail
	ownLog string // the file that the daemon's log goes to, empty for none
	// fail2banLog is where fail2ban.conf has fail2ban's log.
	fail2banLog string
	firewall    config.FirewallConf
	scripts     bool // also the stock firewall actions are run as scripts
	problems    []config.Problem
}

func (b *builder) wrong(key, hint string, err error) {
	b.problems = append(b.problems, b.c.Origin(key).Problem(config.Error, b.c.Name, err.Error(), hint))
}

func (b *builder) warn(at config.Origin, msg, hint string) {
	b.problems = append(b.problems, at.Problem(config.Warning, b.c.Name, msg, hint))
}

func (b *builder) policy() jail.Policy {
	c := b.c
	p := jail.Policy{
		Jail: c.Name, MaxRetry: c.MaxRetry, FindTime: c.FindTime, BanTime: c.BanTime, MaxMatches: c.MaxMatches,
		Increment: jail.Increment{
			Enabled: c.Increment.Enabled, MaxTime: c.Increment.MaxTime, RndTime: c.Increment.RndTime,
			OverallJails: c.Increment.OverallJails, Factor: 1,
		},
	}
	var err error
	if c.Increment.Factor != "" {
		if p.Increment.Factor, err = jail.ParseFactor(c.Increment.Factor); err != nil {
			b.wrong("bantime.factor", "write a number, as 1 or 24", err)
		}
	}
	if c.Increment.Formula != "" {
		if p.Increment.Formula, err = jail.ParseFormula(c.Increment.Formula); err != nil {
			b.wrong("bantime.formula", "use ban.Time, ban.Count, banFactor, numbers, + - * / ** and the functions of math", err)
		}
	}
	if c.Increment.Multipliers != "" {
		if p.Increment.Multipliers, err = jail.ParseMultipliers(c.Increment.Multipliers); err != nil {
			b.wrong("bantime.multipliers", "write numbers between blanks, as 1 2 4 8", err)
		}
	}
	return p
}

// encoding finds the character set of the jail's logs; nil is UTF-8.
func (b *builder) encoding() encoding.Encoding {
	e, err := Encoding(b.c.LogEncoding)
	if err != nil {
		b.wrong("logencoding", "use auto, utf-8 or a single-byte encoding, as latin1", err)
	}
	return e
}

func (b *builder) ignore() agent.Ignore {
	// Whom nothing may block is not banned in the first place, so that no script blocks him either.
	entries := slices.Clone(b.c.IgnoreIP)
	for _, p := range b.firewall.Allow {
		entries = append(entries, ident.FromPrefix(p).String())
	}
	i := agent.Ignore{Entries: entries, Self: b.c.IgnoreSelf, Command: b.c.IgnoreCommand}
	for _, entry := range b.c.IgnoreIP {
		if why := odd(entry); why != "" {
			at := b.c.Origin("ignoreip")
			at.Value = entry
			b.warn(at, why, "write addresses as 192.0.2.1, networks as 192.0.2.0/24 or 2001:db8::/32, and host names")
		}
	}
	if b.c.IgnoreCache != "" {
		cache, err := parseIgnoreCache(b.c.IgnoreCache)
		if err != nil {
			b.wrong("ignorecache", `write it as key="<ip>", max-count=100, max-time=5m`, err)
		}
		i.Cache = cache
	}
	return i
}

// odd says what is wrong with an entry of ignoreip that cannot mean what it was written for: a mistake
// here locks out those who were to be let in.
func odd(entry string) string {
	addr, bits, isNet := strings.Cut(entry, "/")
	id := ident.Parse(entry)
	switch {
	case strings.HasPrefix(entry, "file:"):
	case id.IsAddr():
		if n, err := strconv.Atoi(bits); isNet && err == nil && (n > 128 || n > 32 && !strings.Contains(addr, ":")) {
			return fmt.Sprintf("a prefix of %d bits is too long: it counts as %s", n, id)
		}
	case isNet, strings.Contains(entry, ":"), strings.Trim(entry, "0123456789.") == "":
		return "this is no address, no network and no host name: nobody is spared for it"
	}
	return ""
}

// parseIgnoreCache reads the options of ignorecache, which are written like those of a filter.
func parseIgnoreCache(text string) (*agent.IgnoreCache, error) {
	spec, err := config.ParseSpec("ignorecache[" + text + "]")
	if err != nil {
		return nil, err
	}
	c := &agent.IgnoreCache{MaxCount: 300, MaxTime: 5 * time.Minute}
	var ok bool
	if c.Key, ok = spec.Param("key"); !ok {
		return nil, errors.New("it has no key")
	}
	if text, ok := spec.Param("max-count"); ok {
		if _, err := fmt.Sscanf(text, "%d", &c.MaxCount); err != nil || c.MaxCount < 1 {
			return nil, fmt.Errorf("max-count %q is no number above 0", text)
		}
	}
	if text, ok := spec.Param("max-time"); ok {
		if c.MaxTime, err = config.ParseTime(text); err != nil {
			return nil, fmt.Errorf("max-time: %w", err)
		}
	}
	return c, nil
}
