package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// backends are the names that fail2ban knows; all that watch files are one to us.
var backends = []string{"auto", "pyinotify", "gamin", "polling", "systemd"}

// usednsValues are what usedns may be.
var usednsValues = []string{"yes", "warn", "no", "raw"}

// check turns the commands into a Jail. ok is false if the jail has an error, found here or before;
// all errors of the jail are found.
func (a *assembly) check() (jail Jail, ok bool) {
	j := &Jail{
		Name: a.sec.name, Backend: a.backend, Filter: a.spec.Name, FilterSpec: a.spec, LogEncoding: "auto",
		MaxLines: 1, UseDNS: "warn", MaxRetry: defaultMaxRetry, FindTime: defaultFindTime,
		BanTime: defaultBanTime, MaxMatches: defaultMaxMatches, IgnoreSelf: true,
		origins: map[string]Origin{},
	}
	a.checkBackend(j)
	for _, key := range []string{"enabled", "backend", "filter", "logpath", "action"} {
		if at := a.ev.origin(a.sec.name, key); !at.IsZero() {
			j.origins[key] = at
		}
	}
	for _, c := range a.commands {
		j.origins[c.name] = c.at
		if msg, hint := a.apply(j, c); msg != "" {
			a.problems = append(a.problems, c.at.Problem(Error, j.Name, msg, hint))
		}
	}
	for _, p := range a.paths {
		j.LogPaths = append(j.LogPaths, p.LogPath)
	}
	for _, act := range a.actions {
		j.Actions = append(j.Actions, act.action)
	}
	return *j, !slices.ContainsFunc(a.problems, func(p Problem) bool { return p.Severity == Error })
}

func (a *assembly) checkBackend(j *Jail) {
	at := a.ev.origin(a.sec.name, "backend")
	at.Value = a.backend
	spec, err := ParseSpec(a.backend)
	if err != nil {
		a.problems = append(a.problems, at.Problem(Error, j.Name, "the backend cannot be read: "+err.Error(), specHint(err)))
		return
	}
	if !slices.Contains(backends, strings.ToLower(spec.Name)) {
		a.problems = append(a.problems, at.Problem(Error, j.Name, "unknown backend", "use one of "+strings.Join(backends, ", ")))
	}
	j.BackendSpec = spec
}

// warn reports what fail2ban puts up with, and so do we.
func (a *assembly) warn(c command, msg, hint string) {
	a.problems = append(a.problems, c.at.Problem(Warning, a.sec.name, msg, hint))
}

// apply stores one option in the jail; msg says what is wrong with it.
func (a *assembly) apply(j *Jail, c command) (msg, hint string) {
	switch c.name {
	case "prefregex":
		j.PrefRegex = c.value
	case "failregex":
		j.FailRegex = append(j.FailRegex, lines(c.value)...)
	case "ignoreregex":
		j.IgnoreRegex = append(j.IgnoreRegex, lines(c.value)...)
	case "datepattern":
		j.DatePattern = c.value
	case "journalmatch":
		for _, line := range lines(c.value) {
			match, err := shellWords(line)
			if err != nil {
				return err.Error(), "close it"
			}
			j.JournalMatch = append(j.JournalMatch, match)
		}
	case "usedns":
		a.applyUseDNS(j, c)
	case "maxlines":
		msg, hint = applyInt(&j.MaxLines, c.value)
		if j.MaxLines < 1 {
			j.MaxLines = 1
			return "less than 1", "write how many lines the failregexes see at once"
		}
		return msg, hint
	case "maxretry":
		return a.applyAtLeast(&j.MaxRetry, 1, c)
	case "maxmatches":
		return a.applyAtLeast(&j.MaxMatches, 0, c)
	case "findtime":
		return applyTime(&j.FindTime, c.value, 1)
	case "bantime":
		return applyTime(&j.BanTime, c.value, -MaxTime)
	case "ignoreip":
		j.IgnoreIP = words(c.value)
	case "ignoreself":
		j.IgnoreSelf = ParseBool(c.value)
	case "ignorecommand":
		j.IgnoreCommand = c.value
	case "ignorecache":
		j.IgnoreCache = c.value
	case "logtimezone":
		j.LogTimezone = c.value
	case "logencoding":
		j.LogEncoding = c.value
	default:
		return applyIncrement(&j.Increment, c)
	}
	return "", ""
}

func applyIncrement(inc *Increment, c command) (msg, hint string) {
	switch c.name {
	case "bantime.increment":
		inc.Enabled = ParseBool(c.value)
	case "bantime.factor":
		inc.Factor = c.value
	case "bantime.formula":
		inc.Formula = c.value
	case "bantime.multipliers":
		inc.Multipliers = c.value
	case "bantime.overalljails":
		inc.OverallJails = ParseBool(c.value)
	case "bantime.maxtime":
		return applyOptionalTime(&inc.MaxTime, c.value)
	case "bantime.rndtime":
		return applyOptionalTime(&inc.RndTime, c.value)
	}
	return "", ""
}

func (a *assembly) applyUseDNS(j *Jail, c command) {
	j.UseDNS = strings.ToLower(c.value)
	if !slices.Contains(usednsValues, j.UseDNS) {
		j.UseDNS = "no"
		a.warn(c, "unknown value; it counts as no", "use one of "+strings.Join(usednsValues, ", "))
	}
}

// applyAtLeast stores a number, or the least one that makes sense in place of a smaller one.
func (a *assembly) applyAtLeast(target *int, least int, c command) (msg, hint string) {
	msg, hint = applyInt(target, c.value)
	if msg == "" && *target < least {
		*target = least
		a.warn(c, fmt.Sprintf("less than %d; it counts as %d", least, least), "")
	}
	return msg, hint
}

func applyInt(target *int, v string) (msg, hint string) {
	n, err := parseInt(v)
	if err != nil {
		return err.Error(), intHint(v)
	}
	*target = n
	return "", ""
}

func applyTime(target *time.Duration, v string, least time.Duration) (msg, hint string) {
	d, err := ParseTime(v)
	switch {
	case err != nil:
		return "no time: " + err.Error(), timeHint(v)
	case d < least:
		return "the time must be above zero", "write seconds, or for example 10m"
	}
	*target = d
	return "", ""
}

func applyOptionalTime(target *time.Duration, v string) (msg, hint string) {
	if v == "" {
		return "", ""
	}
	return applyTime(target, v, 0)
}

// intHint and timeHint recognise the usual mistakes.
func intHint(v string) string {
	if strings.Contains(v, "#") {
		return "a comment behind a value begins with \" ;\", not with #"
	}
	return "write digits alone, as 5"
}

func timeHint(v string) string {
	if strings.Contains(v, "#") {
		return intHint(v)
	}
	return "write seconds, or for example 10m, 12h, 1d 12h; -1 in bantime is forever"
}
