package executor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/setup"
)

// set answers set, without that word; command is the same with what is no text.
func (h Handler) set(ctx context.Context, words []string, command []any) (any, error) {
	if len(words) == 0 {
		return nil, fewWords()
	}
	if value, err, is := h.setGlobal(ctx, words, command); is {
		return value, err
	}
	if len(words) < 2 {
		return nil, fewWords()
	}
	name, option, rest := words[0], words[1], words[2:]
	if _, _, err := h.Jails.Config(name); err != nil && (settable(option) || strings.HasPrefix(option, "bantime.")) {
		return nil, err
	}
	switch option {
	case "banip":
		return h.banIP(ctx, name, rest)
	case "unbanip":
		return h.unbanIP(ctx, name, rest)
	case "attempt":
		if len(rest) == 0 {
			return nil, exception("TypeError", "Filter.addAttempt() missing 1 required positional argument: 'ip'")
		}
		return 1, h.Jails.Attempt(ctx, name, ident.Parse(rest[0]), rest[1:])
	case "idle":
		return h.idle(ctx, name, rest)
	case "addaction", "delaction", "action":
		return h.setAction(ctx, name, option, rest, command[2:])
	case "addignoreip":
		err := h.Jails.Edit(ctx, name, "ignoreip", nil, func(c *config.Jail) error { addIgnored(c, rest); return nil })
		return h.after(name, "ignoreip", err)
	case "addjournalmatch", "deljournalmatch":
		return h.setMatch(ctx, name, option, rest)
	}
	if !settable(option) && !strings.HasPrefix(option, "bantime.") {
		return nil, refused("Invalid command %s (no set action or not yet implemented)", f2b.Repr(option))
	}
	if len(rest) == 0 {
		return nil, fewWords()
	}
	return h.setOption(ctx, name, option, rest)
}

// settable reports whether set knows an option of a jail.
func settable(option string) bool {
	switch option {
	case "banip", "unbanip", "attempt", "idle", "addaction", "delaction", "action", "addignoreip", "addjournalmatch", "deljournalmatch",
		"maxretry", "findtime", "bantime", "maxmatches", "maxlines", "usedns", "logencoding", "logtimezone", "datepattern", "ignoreself",
		"delignoreip", "ignorecommand", "ignorecache", "prefregex", "addfailregex", "delfailregex", "addignoreregex", "delignoreregex",
		"addlogpath", "dellogpath":
		return true
	}
	return false
}

// after answers a change with what the option is now.
func (h Handler) after(name, option string, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	c, f, err := h.Jails.Config(name)
	if err != nil {
		return nil, err
	}
	value, _ := h.option(c, f, option)
	return value, nil
}

// setOption changes an option of a jail.
func (h Handler) setOption(ctx context.Context, name, option string, rest []string) (any, error) {
	value := rest[0]
	shown := option // what is answered with
	for _, prefix := range []string{"add", "del"} {
		if strings.HasSuffix(option, "regex") || strings.HasSuffix(option, "ip") {
			shown = strings.TrimPrefix(shown, prefix)
		}
	}
	if option == "addlogpath" || option == "dellogpath" {
		if err := h.setLogPath(ctx, name, option, rest); err != nil {
			return nil, err
		}
		return h.get(ctx, []string{name, "logpath"})
	}
	said := any(value)
	if option == "bantime.increment" {
		said = config.ParseBool(value)
	}
	if option == "bantime.maxtime" || option == "bantime.rndtime" {
		d, err := parseSeconds(value)
		if err != nil {
			return nil, err
		}
		said = seconds(d)
	}
	if strings.HasPrefix(option, "bantime.") && value == "" {
		said = nil
	}
	err := h.Jails.Edit(ctx, name, option, said, func(c *config.Jail) error { return assign(c, option, value) })
	if errors.Is(err, control.ErrNoJail) {
		return nil, err
	}
	return h.after(name, shown, err)
}

// assign changes one option.
func assign(c *config.Jail, option, value string) (err error) {
	switch option {
	case "maxretry":
		c.MaxRetry, err = parseInt(value)
	case "maxmatches":
		c.MaxMatches, err = parseInt(value)
	case "maxlines":
		if c.MaxLines, err = parseInt(value); err == nil && c.MaxLines <= 0 {
			err = exception("ValueError", "maxlines must be integer greater than zero")
		}
	case "findtime":
		c.FindTime, err = parseSeconds(value)
	case "bantime":
		c.BanTime, err = parseSeconds(value)
	case "usedns":
		if c.UseDNS = strings.ToLower(value); !slices.Contains([]string{"yes", "warn", "no", "raw"}, c.UseDNS) {
			c.UseDNS = "no"
		}
	case "logencoding":
		if _, err := setup.Encoding(value); err != nil {
			return exception("LookupError", "unknown encoding: %s", value)
		}
		c.LogEncoding = value
	case "logtimezone":
		c.LogTimezone = value
	case "datepattern":
		c.DatePattern = value
	case "ignoreself":
		c.IgnoreSelf = config.ParseBool(value)
	case "delignoreip":
		err = deleteIgnored(c, value)
	case "ignorecommand":
		c.IgnoreCommand = value
	case "ignorecache":
		c.IgnoreCache, err = value, checkCache(value)
	case "prefregex":
		c.PrefRegex = value
	case "addfailregex":
		c.FailRegex = append(c.FailRegex, value)
	case "addignoreregex":
		c.IgnoreRegex = append(c.IgnoreRegex, value)
	case "delfailregex":
		c.FailRegex, err = without(c.FailRegex, value)
	case "delignoreregex":
		c.IgnoreRegex, err = without(c.IgnoreRegex, value)
	default:
		err = assignIncrement(&c.Increment, strings.TrimPrefix(option, "bantime."), value)
	}
	return err
}

func assignIncrement(i *config.Increment, option, value string) (err error) {
	switch option {
	case "increment":
		i.Enabled = config.ParseBool(value)
	case "factor":
		i.Factor = value
	case "formula":
		i.Formula = value
	case "multipliers":
		i.Multipliers = value
	case "maxtime":
		i.MaxTime, err = parseSeconds(value)
	case "rndtime":
		i.RndTime, err = parseSeconds(value)
	case "overalljails":
		i.OverallJails = config.ParseBool(value)
	}
	return err
}

// without takes the item of an index out of a list. One that is not there changes nothing, as in fail2ban.
func without(list []string, index string) ([]string, error) {
	n, err := parseInt(index)
	if err != nil {
		return nil, err
	}
	if n < 0 {
		n += len(list)
	}
	if n < 0 || n >= len(list) {
		return list, nil
	}
	return slices.Delete(list, n, n+1), nil
}

// parseInt reads a whole number as Python's int does.
func parseInt(s string) (int, error) {
	n, err := strconv.Atoi(strings.ReplaceAll(strings.TrimSpace(s), "_", ""))
	if err != nil {
		return 0, exception("ValueError", "invalid literal for int() with base 10: %s", f2b.Repr(s))
	}
	return n, nil
}

// parseSeconds reads a time. What is none is told as the name that Python takes it for.
func parseSeconds(s string) (time.Duration, error) {
	d, err := config.ParseTime(s)
	if err != nil {
		return 0, exception("NameError", "name %s is not defined", f2b.Repr(s))
	}
	return d, nil
}

// setLogPath has a jail watch a file, or watch it no more.
func (h Handler) setLogPath(ctx context.Context, name, option string, rest []string) error {
	path := rest[0]
	if option == "dellogpath" {
		return h.Jails.Edit(ctx, name, "logpath", nil, func(c *config.Jail) error {
			c.LogPaths = slices.DeleteFunc(c.LogPaths, func(p config.LogPath) bool { return p.Pattern == path })
			return nil
		})
	}
	tail := false
	if len(rest) == 2 {
		switch strings.ToLower(rest[1]) {
		case "tail":
			tail = true
		case "head":
		default:
			return exception("ValueError", "File option must be 'head' or 'tail'")
		}
	}
	if len(rest) > 2 {
		return exception("ValueError", "Only one file can be added at a time")
	}
	if _, err := os.Stat(path); err != nil {
		return notOpened(path, err)
	}
	return h.Jails.Edit(ctx, name, "logpath", nil, func(c *config.Jail) error {
		if !slices.ContainsFunc(c.LogPaths, func(p config.LogPath) bool { return p.Pattern == path }) {
			c.LogPaths = append(c.LogPaths, config.LogPath{Pattern: path, Tail: tail})
		}
		return nil
	})
}

// notOpened is Python's error for a file that cannot be opened.
func notOpened(path string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return &f2b.ExceptionError{Module: "builtins", Class: "PermissionError", Args: []any{13, "Permission denied", path}}
	}
	return &f2b.ExceptionError{Module: "builtins", Class: "FileNotFoundError", Args: []any{2, "No such file or directory", path}}
}

// setMatch changes what of the journal a jail reads, if it reads the journal.
func (h Handler) setMatch(ctx context.Context, name, option string, words []string) (any, error) {
	c, _, err := h.Jails.Config(name)
	if err != nil {
		return nil, err
	}
	if !c.Journal() {
		return pickle.List{}, nil
	}
	err = h.Jails.Edit(ctx, name, "journalmatch", nil, func(c *config.Jail) error {
		if option == "addjournalmatch" {
			c.JournalMatch = append(c.JournalMatch, words)
			return nil
		}
		if len(words) == 0 {
			c.JournalMatch = nil
			return nil
		}
		at := slices.IndexFunc(c.JournalMatch, func(m []string) bool { return slices.Equal(m, words) })
		if at < 0 {
			return exception("ValueError", "Match %s not found", f2b.Repr(strings.Join(words, " ")))
		}
		c.JournalMatch = slices.Delete(c.JournalMatch, at, at+1)
		return nil
	})
	return h.after(name, "journalmatch", err)
}

func (h Handler) idle(ctx context.Context, name string, rest []string) (any, error) {
	if len(rest) == 0 {
		return nil, fewWords()
	}
	switch rest[0] {
	case "on", "off":
		return rest[0] == "on", h.Jails.SetIdle(ctx, name, rest[0] == "on")
	}
	return nil, refused("Invalid idle option, must be 'on' or 'off'")
}

func (h Handler) banIP(ctx context.Context, name string, ids []string) (any, error) {
	if len(ids) == 0 {
		return 0, nil
	}
	// fail2ban bans by hand whom the jail ignores, too: who asks knows best.
	v, err := h.Service.Ban(ctx, control.BanRequest{Jail: name, IDs: ids, Force: true})
	return done(v), err
}

func (h Handler) unbanIP(ctx context.Context, name string, ids []string) (any, error) {
	if len(ids) == 0 {
		return nil, fewWords()
	}
	report := ids[0] == "--report-absent"
	if report {
		ids = ids[1:]
	}
	if len(ids) == 0 {
		return 0, nil
	}
	v, err := h.Service.Unban(ctx, control.UnbanRequest{Jail: name, IDs: ids})
	var absent pickle.List
	for _, c := range v.Changes {
		if !c.Done {
			absent = append(absent, c.ID)
		}
	}
	if err == nil && report && len(absent) > 0 {
		return nil, exception("ValueError", "not banned: %s", f2b.Repr(absent))
	}
	return done(v), err
}

// setMany answers multi-set: several values of one option, or of one action.
func (h Handler) setMany(ctx context.Context, command []any) (any, error) {
	if len(command) < 3 {
		return nil, fewWords()
	}
	name, option := f2b.Str(command[0]), f2b.Str(command[1])
	if option == "action" {
		if len(command) < 4 {
			return nil, fewWords()
		}
		list, _ := command[3].(pickle.List)
		for _, x := range list {
			pair, _ := x.(pickle.List)
			if len(pair) != 2 {
				return nil, fewWords()
			}
			words := []string{f2b.Str(command[2]), f2b.Str(pair[0]), f2b.Str(pair[1])}
			if _, err := h.setAction(ctx, name, option, words, nil); err != nil {
				return nil, err
			}
		}
		return true, nil
	}
	values, is := command[2].(pickle.List)
	if !is {
		values = pickle.List{command[2]}
	}
	for _, v := range values {
		words := []string{name, option, f2b.Str(v)}
		if _, err := h.set(ctx, words, []any{name, option, v}); err != nil {
			return nil, err
		}
	}
	return true, nil
}

// setGlobal changes what concerns the whole server.
func (h Handler) setGlobal(ctx context.Context, words []string, command []any) (value any, err error, is bool) { //nolint:revive // the error belongs to the value
	switch words[0] {
	case "loglevel", "logtarget", "syslogsocket", "allowipv6", "thread", "dbfile", "dbmaxmatches", "dbpurgeage":
	default:
		return nil, nil, false
	}
	if len(words) < 2 {
		return nil, fewWords(), true
	}
	value, err = h.assignGlobal(ctx, words[0], words[1], command[1])
	return value, err, true
}

func (h Handler) assignGlobal(ctx context.Context, option, value string, raw any) (any, error) {
	g := h.Jails.Global()
	switch option {
	case "loglevel":
		if err := h.Log.SetLevel(value); err != nil {
			return nil, exception("ValueError", "Invalid log level %s", f2b.Repr(strings.ToUpper(value)))
		}
		return h.Log.Level(), nil
	case "logtarget":
		if err := h.Log.SetTarget(value); err != nil {
			return nil, refused("Failed to change log target")
		}
		return h.Log.Target(), nil
	case "syslogsocket":
		if err := h.Log.SetSocket(value); err != nil {
			return nil, refused("Failed to change syslog socket")
		}
		return h.Log.Socket(), nil
	case "allowipv6":
		return value, nil // both families are always served
	case "thread":
		if _, isDict := raw.(pickle.Dict); !isDict {
			return nil, exception("AttributeError", "'%s' object has no attribute 'items'", typeName(raw))
		}
		return nil, nil //nolint:nilnil // None
	case "dbfile":
		if value == h.Database {
			return value, nil
		}
		return nil, exception("RuntimeError", "Cannot change database when there are jails present")
	case "dbmaxmatches":
		n, err := parseInt(value)
		if err != nil {
			return nil, err
		}
		return n, h.Jails.SetPurge(ctx, g.DBPurgeAge, n)
	default:
		d, err := parseSeconds(value)
		if err != nil {
			return nil, err
		}
		return seconds(d), h.Jails.SetPurge(ctx, d, g.DBMaxMatches)
	}
}

// flushLogs opens the log anew, after it was rotated.
func (h Handler) flushLogs() (any, error) {
	file, err := h.Log.Flush()
	if err != nil {
		return nil, refused("%v", err)
	}
	if file {
		return "rolled over", nil
	}
	return "flushed", nil
}

// maxSleep is how long a command may sleep: a peer's answer takes no longer.
const maxSleep = 25 * time.Second

func sleep(ctx context.Context, words []string) error {
	if len(words) == 0 {
		return fewWords()
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(words[0]), 64)
	if err != nil {
		return exception("ValueError", "could not convert string to float: %s", f2b.Repr(words[0]))
	}
	if n < 0 || n > maxSleep.Seconds() {
		return exception("ValueError", "sleep takes at most %v", maxSleep)
	}
	timer := time.NewTimer(time.Duration(n * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sleep: %w", ctx.Err())
	}
}

// typeName is what Python calls the type of a value.
func typeName(v any) string {
	switch v.(type) {
	case string:
		return "str"
	case pickle.List:
		return "list"
	case pickle.Tuple:
		return "tuple"
	case bool:
		return "bool"
	case nil:
		return "NoneType"
	}
	return "int"
}
