package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// levelNotice lies between info and warning, where fail2ban logs its bans.
const levelNotice = slog.LevelInfo + 2

// logStyle says which parts of fail2ban's line a target gets.
type logStyle struct {
	date    bool // syslog and the journal put their own
	padding bool
}

// lineHandler is a slog.Handler that writes fail2ban's log lines, because so much reads them: its own
// recidive jail, logwatch, dashboards.
//
//	2026-11-22 13:26:14,668 fail2ban.actions        [12548]: NOTICE  [sshd] Ban 192.0.2.1
//
// Attributes follow the message as key=value, quoted where needed, so that no text from a log line
// can forge a line or a terminal escape.
type lineHandler struct {
	*logControl
	attrs  string
	logger string // the name in the second column
}

func newLineHandler(c *logControl) *lineHandler {
	return &lineHandler{logControl: c, logger: "fail2ban.server"}
}

// Enabled implements slog.Handler.
func (h *lineHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

// WithAttrs implements slog.Handler.
func (h *lineHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	for _, a := range attrs {
		c.attrs += attrText(a)
	}
	return &c
}

// WithGroup implements slog.Handler. Groups add nothing to a line that people read.
func (h *lineHandler) WithGroup(string) slog.Handler { return h }

// Handle implements slog.Handler.
func (h *lineHandler) Handle(_ context.Context, r slog.Record) error {
	var attrs strings.Builder
	r.Attrs(func(a slog.Attr) bool { attrs.WriteString(attrText(a)); return true })
	return h.line(r.Time, h.logger, r.Level, r.Message+h.attrs+attrs.String())
}

// line writes one line of the log.
func (h *lineHandler) line(t time.Time, logger string, level slog.Level, msg string) error {
	return h.write(entry{t, logger, level, msg})
}

// prose is the value of an attribute that is written for people: it stands in the line without its key
// and without quotes, which would double all that it quotes itself.
type prose string

func attrText(a slog.Attr) string {
	if text, ok := a.Value.Any().(prose); ok {
		return " " + oneLine(string(text))
	}
	v := a.Value.Resolve().String()
	if v == "" || strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r == '"' || r == '=' || r >= 0x7f }) {
		return fmt.Sprintf(" %s=%q", a.Key, v)
	}
	return " " + a.Key + "=" + v
}

func levelName(l slog.Level) string {
	switch {
	case l >= slog.LevelError+4:
		return "CRITICAL"
	case l >= slog.LevelError:
		return "ERROR"
	case l >= slog.LevelWarn:
		return "WARNING"
	case l >= levelNotice:
		return "NOTICE"
	case l >= slog.LevelInfo:
		return "INFO"
	default:
		return "DEBUG"
	}
}

// parseLevel reads a level by fail2ban's names.
func parseLevel(s string) (slog.Level, error) {
	switch strings.ToUpper(s) {
	case "CRITICAL":
		return slog.LevelError + 4, nil
	case "ERROR":
		return slog.LevelError, nil
	case "WARNING":
		return slog.LevelWarn, nil
	case "NOTICE":
		return levelNotice, nil
	case "INFO":
		return slog.LevelInfo, nil
	case "DEBUG", "TRACEDEBUG", "HEAVYDEBUG", "MSG":
		return slog.LevelDebug, nil
	}
	return 0, fmt.Errorf("unknown log level %q: use CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG", s)
}

// recorder writes decisions in fail2ban's words.
type recorder struct{ h *lineHandler }

const logTime = "2006-01-02 15:04:05"

// decision logs one decision of a jail.
func (r recorder) decision(d jail.Decision) {
	say := func(logger string, level slog.Level, format string, args ...any) {
		r.say(logger, level, "[%s] "+format, append([]any{d.Jail}, args...)...)
	}
	id := shown(d.ID)
	switch d.Kind {
	case jail.Found:
		say("fail2ban.filter", slog.LevelInfo, "Found %s - %s", id, d.Time.Local().Format(logTime))
	case jail.Attempt:
		say("fail2ban.filter", slog.LevelInfo, "Attempt %s - %s", id, d.Time.Local().Format(logTime))
	case jail.FoundBad:
		say("fail2ban.observer", slog.LevelInfo, "Found %s, bad - %s, %d # -> %s", id, d.Time.Local().Format(logTime), d.Previous.Count, weightText(d))
	case jail.BanStart:
		say("fail2ban.actions", levelNotice, "Ban %s", id)
	case jail.IncreaseBan:
		say("fail2ban.observer", slog.LevelInfo, "IP %s is bad: %d # last %s - incr %s to %s", id, d.Previous.Count, d.Previous.Last.Local().Format(logTime), long(d.Old), long(d.Ban.Duration))
		if d.Ban.Duration == d.Old {
			break
		}
		span, until := "permanent", "infinite"
		if end, permanent := d.Ban.End(); !permanent {
			span, until = long(d.Ban.Duration), end.Local().Format(logTime)
		}
		say("fail2ban.observer", levelNotice, "Increase Ban %s (%d # %s -> %s)", id, d.Ban.Count, span, until)
	case jail.Restore:
		say("fail2ban.actions", levelNotice, "Restore Ban %s", id)
	case jail.Unban:
		if d.Reason == jail.JailRemoved {
			say("fail2ban.actions", levelNotice, "Repeal Ban %s", id)
			break
		}
		say("fail2ban.actions", levelNotice, "Unban %s", id)
	case jail.Already:
		say("fail2ban.actions", alreadyLevel(d.Time.Sub(d.Ban.Start)), "%s already banned", id)
	case jail.Expired:
		say("fail2ban.actions", slog.LevelInfo, "Ignore %s, expired bantime", id)
	case jail.Prolong: // a detail of the decision before it
	case jail.Evicted:
		say("fail2ban.filter", slog.LevelWarn, "Forgot the failures of %s: too many addresses are being counted", id)
	}
}

// alreadyLevel is how loudly fail2ban says that somebody failed who is banned: soon after the ban that is only
// the delay of the log, later something is wrong.
func alreadyLevel(after time.Duration) slog.Level {
	switch {
	case after < 3*time.Second:
		return slog.LevelDebug
	case after < time.Minute:
		return levelNotice
	}
	return slog.LevelWarn
}

// weightText is what a failure counted as: a whole number where maxretry was the limit, and if it is enough for a
// ban.
func weightText(d jail.Decision) string {
	text := fmt.Sprintf("%.1f", d.Weight)
	if d.Capped {
		text = fmt.Sprintf("%.0f", d.Weight)
	}
	if d.Enough {
		text += ", Ban"
	}
	return text
}

// long writes a duration as fail2ban does: in three parts at most, rounded to a day from a year on, to an hour
// from a week on, to a minute from a day on, and to ten seconds from an hour on.
func long(d time.Duration) string {
	if d < 0 {
		return "-1s"
	}
	const day, week, year = 24 * time.Hour, 7 * 24 * time.Hour, 365 * 24 * time.Hour
	units := []struct {
		length time.Duration
		name   string
	}{{year, "y"}, {week, "w"}, {day, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}
	exact, first := time.Second, 4 // the last unit told, and the first
	switch {
	case d >= year:
		exact, first = day, 0
	case d >= week:
		exact, first = time.Hour, 1
	case d >= day:
		exact, first = time.Minute, 2
	case d >= time.Hour-5*time.Second:
		exact, first = 10*time.Second, 3
	}
	d = roundEven(d, exact)
	var parts []string
	for i, u := range units[first:] {
		n := d / u.length
		d -= n * u.length
		if n > 0 || i == 0 && first < 4 {
			if u.name == "s" && exact > time.Second {
				break
			}
			parts = append(parts, fmt.Sprintf("%d%s", n, u.name))
		}
	}
	if len(parts) == 0 {
		return "0"
	}
	return strings.Join(parts, " ")
}

// roundEven rounds halves to even numbers, as Python does.
func roundEven(d, to time.Duration) time.Duration {
	n, rest := d/to, d%to
	if 2*rest > to || 2*rest == to && n%2 == 1 {
		n++
	}
	return n * to
}

// ignored logs a failure that an ignore list took out.
func (r recorder) ignored(jailName string, id ident.ID, by string, _ time.Time) {
	r.say("fail2ban.filter", slog.LevelInfo, "[%s] Ignore %s by %s", jailName, shown(id), by)
}

// shown makes an ID fit for a line of the log: an address is, any other text comes from a log line and
// may hold control characters.
func shown(id ident.ID) string {
	if id.IsAddr() {
		return id.String()
	}
	return oneLine(id.String())
}

// oneLine takes the control characters out of a text that goes into the log as it is.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c >= 0x7f && c < 0xa0 {
			return '\uFFFD'
		}
		return c
	}, s)
}
