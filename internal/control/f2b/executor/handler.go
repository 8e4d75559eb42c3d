// Package executor executes fail2ban's commands on a daemon of ours: the words that fail2ban-client sends,
// with the values that fail2ban's server answers with. It asks the daemon's control service, in the same
// process or over its socket.
package executor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/source"
)

// Version is the release of fail2ban whose commands these are.
const Version = "1.1.0"

// Handler executes commands. The zero Handler has no daemon and must not be used.
type Handler struct {
	// Service is the daemon.
	Service control.Service
}

var _ f2b.Handler = Handler{}

// Handle executes a command.
func (h Handler) Handle(ctx context.Context, command []any) (any, error) {
	words := make([]string, len(command))
	for i, w := range command {
		words[i] = f2b.Str(w)
	}
	value, err := h.answer(ctx, words, command)
	if errors.Is(err, control.ErrNoJail) && len(words) > 1 {
		jail := words[1]
		return nil, &f2b.ExceptionError{Module: "fail2ban.exceptions", Class: "UnknownJailException", Args: []any{jail}}
	}
	if errors.Is(err, control.ErrInvalid) {
		return nil, &f2b.ExceptionError{Module: "builtins", Class: "ValueError", Args: []any{err.Error()}}
	}
	return value, err
}

// fewWords is the error of a command that lacks words.
func fewWords() error {
	return &f2b.ExceptionError{Module: "builtins", Class: "IndexError", Args: []any{"list index out of range"}}
}

// refused is the error of a command that agentd cannot do, or not yet.
func refused(format string, args ...any) error {
	return &f2b.ExceptionError{Module: "builtins", Class: "Exception", Args: []any{fmt.Sprintf(format, args...)}}
}

func (h Handler) answer(ctx context.Context, words []string, command []any) (any, error) {
	switch words[0] {
	case "ping":
		return "pong", nil
	case "version":
		return Version, nil
	case "server-status":
		return "Server ready", nil
	case "echo":
		return pickle.List(command[1:]), nil
	case "status":
		if len(words) > 1 {
			return h.jail(ctx, words[1])
		}
		return h.status(ctx)
	case "banned":
		return h.banned(ctx, words[1:])
	case "unban":
		if len(words) < 2 {
			return nil, fewWords()
		}
		return h.unban(ctx, "", words[1:])
	case "reload":
		return h.reload(ctx, command)
	case "stop":
		if len(words) == 1 {
			return nil, h.Service.Stop(ctx, false)
		}
	case "get", "set":
		if len(words) < 3 {
			return nil, fewWords()
		}
		return h.jailCommand(ctx, words)
	}
	return nil, refused("%s is not part of this version of Palisade (see agentctl --help)", strings.Join(words[:min(2, len(words))], " "))
}

func (h Handler) status(ctx context.Context) (any, error) {
	s, err := h.Service.Status(ctx)
	if err != nil {
		return nil, err
	}
	names := jailNames(s)
	return pickle.List{pickle.Tuple{"Number of jail", len(names)}, pickle.Tuple{"Jail list", strings.Join(names, ", ")}}, nil
}

// jailNames lists the jails that run, sorted.
func jailNames(s control.Status) []string {
	var names []string
	for _, j := range s.Jails {
		names = append(names, j.Name)
	}
	slices.Sort(names)
	return names
}

func (h Handler) jail(ctx context.Context, name string) (any, error) {
	s, err := h.Service.Jail(ctx, name)
	if err != nil {
		return nil, err
	}
	files, journal := pickle.List{}, false
	for _, f := range s.Files {
		if f.Path == source.JournalPath {
			journal = true
			continue
		}
		files = append(files, f.Path)
	}
	what := pickle.Tuple{"File list", files}
	if journal && len(files) == 0 {
		what = pickle.Tuple{"Journal matches", pickle.List{}} // which of them, the socket does not tell
	}
	return pickle.List{
		pickle.Tuple{"Filter", pickle.List{
			pickle.Tuple{"Currently failed", s.CurrentlyFailed}, pickle.Tuple{"Total failed", s.TotalFailed}, what,
		}},
		pickle.Tuple{"Actions", pickle.List{
			pickle.Tuple{"Currently banned", s.CurrentlyBanned},
			pickle.Tuple{"Total banned", s.TotalBanned},
			pickle.Tuple{"Banned IP list", idsOf(s.Bans)},
		}},
	}, nil
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
	for _, name := range jailNames(s) {
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

// jailCommand gets or sets something of a jail.
func (h Handler) jailCommand(ctx context.Context, words []string) (any, error) {
	jail, rest := words[1], words[3:]
	switch words[0] + " " + words[2] {
	case "set banip":
		if len(rest) == 0 {
			return 0, nil
		}
		// fail2ban bans by hand whom the jail ignores, too: who asks knows best.
		v, err := h.Service.Ban(ctx, control.BanRequest{Jail: jail, IDs: rest, Force: true})
		return done(v), err
	case "set unbanip":
		report := len(rest) > 0 && rest[0] == "--report-absent"
		if report {
			rest = rest[1:]
		}
		if len(rest) == 0 {
			return 0, nil
		}
		v, err := h.Service.Unban(ctx, control.UnbanRequest{Jail: jail, IDs: rest})
		var absent pickle.List
		for _, c := range v.Changes {
			if !c.Done {
				absent = append(absent, c.ID)
			}
		}
		if err == nil && report && len(absent) > 0 {
			return nil, &f2b.ExceptionError{Module: "builtins", Class: "ValueError", Args: []any{"not banned: " + f2b.Repr(absent)}}
		}
		return done(v), err
	}
	if words[0] == "set" {
		return nil, refused("set %s %s is not part of this version of Palisade: write it into jail.local and reload", jail, words[2])
	}
	s, err := h.Service.Jail(ctx, jail)
	if err != nil {
		return nil, err
	}
	switch words[2] {
	case "banip":
		if len(rest) > 0 && rest[0] == "--with-time" {
			return timesOf(s.Bans), nil
		}
		return idsOf(s.Bans), nil
	case "banned":
		return bannedOf(s.Bans, rest), nil
	case "maxretry":
		return s.MaxRetry, nil
	case "findtime":
		return s.FindTime, nil
	case "bantime":
		return s.BanTime, nil
	case "logpath":
		files := pickle.List{}
		for _, f := range s.Files {
			if f.Path != source.JournalPath {
				files = append(files, f.Path)
			}
		}
		return files, nil
	case "actions":
		names := pickle.List{}
		for _, a := range s.Actions {
			names = append(names, a.Name)
		}
		return names, nil
	}
	return nil, refused("get %s %s is not part of this version of Palisade (agentctl status %s shows more)", jail, words[2], jail)
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

// forEver stands for the end of a ban that has none, as in fail2ban.
const forEver = "9999-12-31 23:59:59"

// timesOf lists who is banned, since when and until when, those first whose bans end first.
func timesOf(bans []control.Ban) pickle.List {
	bans = slices.Clone(bans)
	slices.SortStableFunc(bans, func(a, b control.Ban) int {
		switch {
		case a.Until == nil || b.Until == nil:
			return cmp.Compare(never(a), never(b))
		default:
			return a.Until.Compare(*b.Until)
		}
	})
	lines := pickle.List{}
	for _, b := range bans {
		end := forEver
		if b.Until != nil {
			end = b.Until.Local().Format(time.DateTime)
		}
		lines = append(lines, fmt.Sprintf("%s \t%s + %d = %s", b.ID, b.Since.Local().Format(time.DateTime), b.Duration, end))
	}
	return lines
}

// never is 1 for a ban without an end.
func never(b control.Ban) int {
	if b.Until == nil {
		return 1
	}
	return 0
}
