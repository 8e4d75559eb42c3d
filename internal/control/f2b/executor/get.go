package executor

import (
	"context"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/filter"
)

// get answers get, without that word.
func (h Handler) get(ctx context.Context, words []string) (any, error) {
	if len(words) == 0 {
		return nil, fewWords()
	}
	switch g := h.Jails.Global(); words[0] {
	case "loglevel":
		return h.Log.Level(), nil
	case "logtarget":
		return h.Log.Target(), nil
	case "syslogsocket":
		return h.Log.Socket(), nil
	case "thread":
		return pickle.Dict{{Key: "stacksize", Value: g.StackSize}}, nil
	case "dbfile":
		return h.Database, nil
	case "dbmaxmatches":
		return g.DBMaxMatches, nil
	case "dbpurgeage":
		return seconds(g.DBPurgeAge), nil
	}
	if len(words) < 2 {
		return nil, fewWords()
	}
	c, f, err := h.Jails.Config(words[0])
	if err != nil && known(words[1]) {
		return nil, err
	}
	name, option, rest := words[0], words[1], words[2:]
	switch option {
	case "banned", "banip", "logpath":
		s, err := h.about(ctx, name)
		if err != nil {
			return nil, err
		}
		switch {
		case option == "logpath":
			return filesOf(c, s), nil
		case option == "banned":
			return bannedOf(s.Bans, rest), nil
		case len(rest) > 0 && rest[0] == "--with-time":
			return timesOf(s.Bans), nil
		}
		return idsByEnd(s.Bans), nil
	case "action", "actionproperties", "actionmethods":
		return getAction(c, option, rest)
	}
	if value, ok := h.option(c, f, option); ok {
		return value, nil
	}
	return nil, refused("Invalid command (no get action or not yet implemented)")
}

// known reports whether an option of a jail is one that can be got.
func known(option string) bool {
	switch option {
	case "banned", "banip", "logpath", "action", "actionproperties", "actionmethods":
		return true
	}
	_, ok := Handler{}.option(config.Jail{}, nil, option)
	return ok
}

// seconds is a duration as fail2ban has it: whole seconds, -1 for ever.
func seconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64(d / time.Second)
}

// option gives an option of a jail, as get and set answer it.
func (h Handler) option(c config.Jail, f *filter.Filter, option string) (value any, ok bool) {
	switch option {
	case "logencoding":
		if strings.EqualFold(c.LogEncoding, "auto") {
			return "UTF-8", true
		}
		return c.LogEncoding, true
	case "journalmatch":
		return matchesOf(c), true
	case "ignoreself":
		return c.IgnoreSelf, true
	case "ignoreip":
		return ignored(c.IgnoreIP), true
	case "ignorecommand":
		if said, changed := h.said(c.Name, option); changed {
			return said, true
		}
		return orFalse(c.IgnoreCommand), true
	case "ignorecache":
		return cacheOf(c.IgnoreCache), true
	case "prefregex":
		if f == nil {
			return c.PrefRegex, true
		}
		return f.PrefRegex(), true
	case "failregex", "ignoreregex":
		return regexesOf(f, option), true
	case "usedns":
		return c.UseDNS, true
	case "findtime":
		return seconds(c.FindTime), true
	case "bantime":
		return seconds(c.BanTime), true
	case "datepattern":
		return datePattern(f), true
	case "logtimezone":
		return orNone(c.LogTimezone), true
	case "maxmatches":
		return c.MaxMatches, true
	case "maxretry":
		return c.MaxRetry, true
	case "maxlines":
		return c.MaxLines, true
	case "actions":
		names := pickle.List{}
		for _, a := range c.Actions {
			names = append(names, a.Name)
		}
		return names, true
	}
	if increment, is := strings.CutPrefix(option, "bantime."); is {
		return h.increment(c, increment), true
	}
	return nil, false
}

// said gives what a jail was told of an option by hand.
func (h Handler) said(name, option string) (any, bool) {
	if h.Jails == nil {
		return nil, false
	}
	return h.Jails.Said(name, option)
}

func orFalse(s string) any {
	if s == "" {
		return false
	}
	return s
}

func orNone(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// increment gives an option of escalation: what was said by hand, or what is written; else None.
func (h Handler) increment(c config.Jail, name string) any {
	if value, ok := h.said(c.Name, "bantime."+name); ok {
		return value
	}
	if c.Origin("bantime." + name).IsZero() {
		return nil
	}
	switch i := c.Increment; name {
	case "increment":
		return i.Enabled
	case "factor":
		return i.Factor
	case "formula":
		return i.Formula
	case "multipliers":
		return i.Multipliers
	case "maxtime":
		return seconds(i.MaxTime)
	case "rndtime":
		return seconds(i.RndTime)
	case "overalljails":
		return i.OverallJails
	}
	return nil
}

// regexesOf lists regexes as they are searched.
func regexesOf(f *filter.Filter, option string) pickle.List {
	all := pickle.List{}
	if f == nil {
		return all
	}
	list := f.FailRegex()
	if option == "ignoreregex" {
		list = f.IgnoreRegex()
	}
	for _, r := range list {
		all = append(all, r)
	}
	return all
}

// datePattern is how a jail's dates are written: a pair of pattern and name.
func datePattern(f *filter.Filter) any {
	if f == nil {
		return pickle.Tuple{nil, "Default Detectors"}
	}
	list := f.Dates().NewDetector().Hits()
	if len(list) == 0 || len(list) > 2 {
		return pickle.Tuple{nil, "Default Detectors"}
	}
	return pickle.Tuple{orNone(list[0].Pattern), list[0].Template}
}
