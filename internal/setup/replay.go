package setup

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/filter/date"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/source"
)

// ReplayJails are the enabled jails of the configuration, ready to be replayed, or those named, also if they
// are not enabled. What is wrong with others is in the problems; a jail that is named and cannot be used is
// an error. Lists of addresses and networks are ignored as by the daemon, and the machine's own addresses;
// host names and commands are not asked.
func (l *Loader) ReplayJails(names ...string) (jails []replay.Jail, book jail.Config, problems []config.Problem, err error) {
	c, err := l.Read(names...)
	if err != nil {
		return nil, book, nil, err
	}
	book = jail.Config{PurgeAge: c.Global.DBPurgeAge, MaxDBMatches: c.Global.DBMaxMatches}
	problems = c.Problems
	found := map[string]bool{}
	var dates date.Compiler
	for _, list := range [][]config.Jail{c.Jails, c.Unsound} {
		for i := range list {
			j := &list[i]
			if len(names) > 0 && !slices.Contains(names, j.Name) {
				continue
			}
			if made, ok := replayJail(j, &dates); ok {
				jails = append(jails, made)
				found[j.Name] = true
			}
		}
	}
	for _, name := range names {
		if !found[name] {
			return nil, book, problems, fmt.Errorf("there is no jail %q that can be used in %s", name, l.Name())
		}
	}
	return jails, book, problems, nil
}

// replayJail makes a jail ready. What is wrong with its actions or its logs does not matter here.
func replayJail(c *config.Jail, dates *date.Compiler) (replay.Jail, bool) {
	b := builder{c: c}
	policy := b.policy()
	if hasErrors(b.problems) || len(c.FailRegex) == 0 {
		return replay.Jail{}, false
	}
	var j agent.Jail
	b.filter(&j, dates, time.Now())
	if hasErrors(b.problems) {
		return replay.Jail{}, false
	}
	o, err := FilterOptions(c)
	if err != nil {
		return replay.Jail{}, false
	}
	return replay.Jail{
		Policy: policy, Filter: o, Ignore: ignoreList(c),
		Watches: func(path string) bool {
			for _, p := range c.LogPaths {
				if p.Pattern == path || source.HasMeta(p.Pattern) && source.Matches(p.Pattern, path) {
					return true
				}
			}
			return false
		},
	}, true
}

// ignoreList is whom a jail ignores, as far as it can be told without asking anybody.
func ignoreList(c *config.Jail) *jail.IgnoreList {
	var entries []string
	for _, e := range c.IgnoreIP {
		path, isFile := strings.CutPrefix(e, "file:")
		if !isFile {
			entries = append(entries, e)
			continue
		}
		text, err := os.ReadFile(strings.TrimPrefix(path, "//"))
		if err != nil {
			continue // the daemon says so; nobody is ignored by it
		}
		for line := range strings.Lines(string(text)) {
			line, _, _ = strings.Cut(line, "#")
			entries = append(entries, strings.Fields(line)...)
		}
	}
	list := jail.NewIgnoreList(entries)
	if c.IgnoreSelf {
		list.SetOwn(ownAddrs())
	}
	return list
}

func ownAddrs() []netip.Addr {
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	var own []netip.Addr
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			own = append(own, p.Addr())
		}
	}
	return own
}
