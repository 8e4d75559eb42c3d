// Package executor executes fail2ban's commands on a daemon of ours: the words that fail2ban-client sends,
// with the values that fail2ban's server answers with. It asks the daemon's control service, in the same
// process or over its socket.
package executor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
)

// Version is the release of fail2ban whose commands these are.
const Version = "1.1.0"

// Jails are the jails in force, with what is changed by hand until the next reload. Implemented by setup.Live.
// An unknown jail is a control.ErrNoJail.
type Jails interface {
	// Config is what a jail is made of, and its filter; nil if there is nothing that it looks for.
	Config(name string) (config.Jail, *filter.Filter, error)
	// Pending lists the jails that were added and not started, sorted.
	Pending() []string
	// Edit changes a jail; Said gives the value from then on. What cannot be changes nothing.
	Edit(ctx context.Context, name, option string, value any, change func(*config.Jail) error) error
	Said(name, option string) (value any, ok bool)
	// SetIdle stops the reading of a jail's logs, or lets it go on where it stopped.
	SetIdle(ctx context.Context, name string, idle bool) error
	// Add adds a jail that has nothing yet, Start runs it, Stop ends jails with their bans.
	Add(name, backend string)
	Start(ctx context.Context, name string) error
	Stop(ctx context.Context, names ...string) error
	// Attempt counts a failure of an ID, or as many as it has lines.
	Attempt(ctx context.Context, name string, id ident.ID, lines []string) error
	// Global are the options of fail2ban.conf; SetPurge changes two of them.
	Global() config.Global
	SetPurge(ctx context.Context, age time.Duration, maxMatches int) error
}

// Log is the daemon's log. Names of levels and targets are fail2ban's.
type Log interface {
	Level() string
	// SetLevel takes any case; an error is for a name that is none.
	SetLevel(name string) error
	Target() string
	// SetTarget turns to another target; after an error the old one stays.
	SetTarget(name string) error
	Socket() string
	SetSocket(path string) error
	// Flush opens a file anew, and reports whether the target is one.
	Flush() (file bool, err error)
}

// Handler executes commands. The zero Handler has no daemon and must not be used.
type Handler struct {
	// Service is the daemon, Jails what it runs, Log where it writes.
	Service control.Service
	Jails   Jails
	Log     Log
	// Database is the file where bans are kept.
	Database string
}

var _ f2b.Handler = Handler{}

// Handle executes a command.
func (h Handler) Handle(ctx context.Context, command []any) (any, error) {
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = f2b.Str(w)
	}
	value, err := h.answer(ctx, words, command)
	if err == nil {
		return value, nil
	}
	if e, is := errors.AsType[*f2b.ExceptionError](err); is {
		return nil, e
	}
	switch {
	case errors.Is(err, control.ErrNoJail) && len(words) > 1:
		return nil, &f2b.ExceptionError{Module: "fail2ban.exceptions", Class: "UnknownJailException", Args: []any{jailOf(words)}}
	case errors.Is(err, control.ErrInvalid):
		return nil, exception("ValueError", "%v", err)
	}
	if e, is := errors.AsType[*filter.OptionError](err); is {
		return nil, refusedOption(e)
	}
	return nil, err
}

// jailOf is the word of a command that names its jail.
func jailOf(words []string) string {
	switch words[0] {
	case "reload", "restart":
		for _, w := range words[1:] {
			if w != "--all" {
				return w
			}
		}
	}
	return words[1]
}

// exception is an error as one of Python's own classes.
func exception(class, format string, args ...any) error {
	return &f2b.ExceptionError{Module: "builtins", Class: class, Args: []any{fmt.Sprintf(format, args...)}}
}

// fewWords is the error of a command that lacks words.
func fewWords() error { return exception("IndexError", "list index out of range") }

// refused is the error of a command that cannot be done.
func refused(format string, args ...any) error { return exception("Exception", format, args...) }

// refusedOption is the error for an option of a filter that cannot be, in fail2ban's words.
func refusedOption(e *filter.OptionError) error {
	switch e.Key {
	case "failregex", "ignoreregex", "prefregex":
		text := "Unable to compile regular expression '" + e.Value + "':\n" + e.Err.Error()
		if errors.Is(e.Err, filter.ErrNoID) {
			text = "No failure-id group in '" + e.Value + "'"
		}
		return &f2b.ExceptionError{Module: "fail2ban.server.failregex", Class: "RegexException", Args: []any{text}}
	case "datepattern":
		return exception("ValueError", "Failed to set datepattern %s (may be an invalid format or unescaped percent char): %v", f2b.Repr(e.Value), e.Err)
	case "logtimezone":
		return exception("ValueError", "Unknown or unsupported time zone: %s", f2b.Repr(e.Value))
	}
	return exception("ValueError", "%v", e)
}

func (h Handler) answer(ctx context.Context, words []string, command []any) (any, error) {
	if len(words) == 0 {
		return nil, fewWords()
	}
	switch words[0] {
	case "ping":
		return "pong", nil
	case "version":
		return Version, nil
	case "server-status":
		return "Server ready", nil
	case "echo":
		return pickle.List(command[1:]), nil
	case "sleep":
		return nil, sleep(ctx, words[1:])
	case "status":
		return h.statusOf(ctx, words[1:])
	case "stats", "statistic", "statistics":
		return h.statistics(ctx)
	case "banned":
		return h.banned(ctx, words[1:])
	case "unban":
		if len(words) < 2 {
			return nil, refused("Invalid command")
		}
		return h.unban(ctx, "", words[1:])
	case "reload":
		return h.reload(ctx, command)
	case "flushlogs":
		return h.flushLogs()
	case "add", "start", "stop":
		return h.lifeOf(ctx, words)
	case "get":
		return h.get(ctx, words[1:])
	case "set":
		return h.set(ctx, words[1:], command[1:])
	case "multi-set":
		return h.setMany(ctx, command[1:])
	case "server-stream":
		return nil, refused("the configuration is read by the server itself: use reload")
	case "config-error":
		if len(words) < 2 {
			return nil, fewWords()
		}
		return nil, nil //nolint:nilnil // None
	}
	return nil, refused("Invalid command")
}

// idsOf lists who is banned, in the order of the bans.
func idsOf(bans []control.Ban) pickle.List {
	bans = slices.Clone(bans)
	slices.SortStableFunc(bans, func(a, b control.Ban) int { return a.Since.Compare(b.Since) })
	ids := pickle.List{}
	for _, b := range bans {
		ids = append(ids, b.ID)
	}
	return ids
}

// banned lists who is banned by jail; of single IDs, by which jails.
func (h Handler) banned(ctx context.Context, ids []string) (any, error) {
	if len(ids) > 0 {
		all := pickle.List{}
		for _, id := range ids {
			b, err := h.Service.Banned(ctx, id, 0)
			if err != nil {
				return nil, err
			}
			jails := pickle.List{}
			for _, x := range b.Bans {
				jails = append(jails, x.Jail)
			}
			all = append(all, jails)
		}
		return all, nil
	}
	s, err := h.Service.Status(ctx)
	if err != nil {
		return nil, err
	}
	b, err := h.Service.Banned(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	byJail := map[string][]control.Ban{}
	for _, x := range b.Bans {
		byJail[x.Jail] = append(byJail[x.Jail], x)
	}
	all := pickle.List{}
	for _, name := range h.names(s) {
		all = append(all, pickle.Dict{{Key: name, Value: idsOf(byJail[name])}})
	}
	return all, nil
}

// unban lifts bans, of one jail or (empty) of all, and counts them.
func (h Handler) unban(ctx context.Context, jail string, ids []string) (any, error) {
	r := control.UnbanRequest{Jail: jail, IDs: ids}
	if ids[0] == "--all" {
		r.All, r.IDs = true, nil
	}
	v, err := h.Service.Unban(ctx, r)
	return done(v), err
}

// done counts the changes that were made.
func done(v control.ChangeResult) (n int) {
	for _, c := range v.Changes {
		if c.Done {
			n++
		}
	}
	return n
}

// reload has agentd read its configuration; what the command carries of it is not used.
func (h Handler) reload(ctx context.Context, command []any) (any, error) {
	jail, unban := "", false
	for i, v := range command[1:] {
		options, isList := v.(pickle.List)
		switch {
		case i == 0 && f2b.Str(v) != "--all":
			jail = f2b.Str(v)
		case i == 1 && isList:
			unban = slices.Contains(options, any("--unban"))
		}
	}
	if unban {
		if _, err := h.Service.Unban(ctx, control.UnbanRequest{Jail: jail, All: true}); err != nil {
			return nil, err
		}
	}
	r, err := h.Service.Reload(ctx)
	if err != nil {
		return nil, err
	}
	if !r.Applied {
		for _, p := range r.Problems {
			if p.Severity == config.Error.String() {
				return nil, refused("the configuration is not in force: %s", p.Message)
			}
		}
		return nil, refused("the configuration is not in force")
	}
	return "OK", nil
}

// bannedOf lists who is banned; of IDs that are named, 1 for those that are and 0 for others.
func bannedOf(bans []control.Ban, ids []string) any {
	if len(ids) == 0 {
		return idsOf(bans)
	}
	is := pickle.List{}
	for _, id := range ids {
		n := 0
		if slices.ContainsFunc(bans, func(b control.Ban) bool { return b.ID == id }) {
			n = 1
		}
		is = append(is, n)
	}
	if len(is) == 1 {
		return is[0]
	}
	return is
}
