package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/control/f2b"
)

// levelCritical is fail2ban's highest.
const levelCritical = slog.LevelError + 4

// action logs what happens to an action, in fail2ban's words: logwatch and the like look for them.
func (r recorder) action(e action.Event) {
	switch e.Kind {
	case action.Executed:
		r.executed(e)
	case action.Failed:
		r.say("fail2ban.actions", slog.LevelError, "%s", failure(e))
	case action.CheckFailed:
		what := "Trying to restore a sane environment"
		if e.Operation != "" {
			what = strings.ToUpper(operation(e)[:1]) + operation(e)[1:] + " is impossible."
		}
		r.say("fail2ban.CommandAction", slog.LevelError, "Invariant check failed. %s", what)
	case action.NotRestored:
		r.say("fail2ban.CommandAction", levelCritical, "Unable to restore environment")
	case action.Flushing:
		r.say("fail2ban.actions", levelNotice, "[%s] Flush ticket(s) with %s", e.Jail, e.Action)
	case action.FlushFailed:
		r.say("fail2ban.actions", slog.LevelInfo, "No flush occurred, do consistency check")
	case action.Rebanned:
		r.say("fail2ban.actions", levelNotice, "[%s] Reban %s, action %q", e.Jail, ticketID(e), e.Action)
	case action.Refused:
		r.say("fail2ban.actions", slog.LevelError, "[%s] action %s: %s is not executed: %v", e.Jail, e.Action, operation(e), e.Err)
	case action.Dropped:
		r.say("fail2ban.actions", slog.LevelError, "[%s] action %s: %s of %s is dropped, since too many wait", e.Jail, e.Action, operation(e), ticketID(e))
	case action.Restarted:
		r.say("fail2ban.actions", slog.LevelWarn, "[%s] action %s: Python was started again: %v", e.Jail, e.Action, e.Err)
	}
}

// say writes a line if its level is wanted.
func (r recorder) say(logger string, level slog.Level, format string, args ...any) {
	if r.h.Enabled(context.Background(), level) {
		// A log that cannot be written has nowhere to say so.
		_ = r.h.line(time.Now(), logger, level, oneLine(fmt.Sprintf(format, args...)))
	}
}

// executed logs a command: one that failed with all that it printed, another only for those who debug.
func (r recorder) executed(e action.Event) {
	res := e.Result
	level, id := slog.LevelDebug, fmt.Sprintf("%s/%s %d", e.Jail, e.Action, res.Number)
	if !res.OK() {
		level = slog.LevelError
	}
	if !r.h.Enabled(context.Background(), level) {
		return
	}
	say := func(format string, args ...any) {
		r.say("fail2ban.utils", level, "%s -- %s", id, fmt.Sprintf(format, args...))
	}
	say("exec: %s", commandText(res.Command))
	for _, out := range []struct {
		name string
		action.Output
	}{{"stdout", res.Stdout}, {"stderr", res.Stderr}} {
		for _, line := range out.Lines() {
			say("%s: %s", out.name, f2b.Repr(line))
		}
		if out.More > 0 {
			say("%s: and %d bytes more", out.name, out.More)
		}
	}
	if res.TimedOut {
		say("timed out after %d seconds.", int64(res.Limit.Seconds()))
	}
	switch {
	case res.Err != nil:
		say("failed: %v", res.Err)
	case res.Signal != 0:
		say("killed with %s (return code: %d)", unix.SignalName(res.Signal), -int(res.Signal))
	case res.OK():
		say("returned successfully %d", res.Exit)
	default:
		say("returned %d", res.Exit)
	}
	if res.Exit == shellNotFound {
		r.say("fail2ban.utils", slog.LevelInfo, "HINT on 127: a program of this command is not there, or not in the PATH of agentd")
	}
}

// shellNotFound is what a shell exits with for a program that it does not find.
const shellNotFound = 127

// commandText shows a command as fail2ban does: as it is, or, if it has values, as a list.
func commandText(c action.Command) string {
	if len(c.Args) == 0 {
		return c.Script
	}
	shown := []string{f2b.Repr(c.Script)}
	for _, a := range c.Args {
		shown = append(shown, f2b.Repr(a))
	}
	return "[" + strings.Join(shown, ", ") + "]"
}

// failure says that an operation failed for good.
func failure(e action.Event) string {
	name := operation(e)
	switch {
	case e.Ticket != nil:
		doing := map[string]string{"ban": "banning", "unban": "unbanning", "reban": "banning", "prolong": "prolonging"}[name]
		return fmt.Sprintf("Failed to execute %s jail '%s' action '%s' info '%s': Error %s %s", name, e.Jail, e.Action, ticketID(e), doing, ticketID(e))
	case name == "flush":
		return fmt.Sprintf("Failed to flush bans in jail '%s' action '%s': Error flushing action %s/%s", e.Jail, e.Action, e.Jail, e.Action)
	}
	return fmt.Sprintf("Failed to %s jail '%s' action '%s': Error in %s of action %s/%s", name, e.Jail, e.Action, e.Operation, e.Jail, e.Action)
}

// operation names what was to be done, without the prefix that the configuration has for it.
func operation(e action.Event) string { return strings.TrimPrefix(e.Operation, "action") }

func ticketID(e action.Event) string {
	if e.Ticket == nil {
		return ""
	}
	return shown(e.Ticket.ID)
}
