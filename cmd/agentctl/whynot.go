package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/setup"
)

// zoneSlack is how far a line's time may be from now before its zone is suspected.
const zoneSlack = 5 * time.Minute

// step is where a line, or an ID, stopped on its way to a ban in one jail. The farther it came, the higher.
type step int

const (
	stepRegex step = iota // no failregex, or the prefregex, fits
	stepIgnoreRegex
	stepNoFail
	stepNames
	stepIgnoreIP
	stepOld
	stepCounted
	stepBanned
)

// String names the step for programs.
func (s step) String() string {
	return [...]string{
		stepRegex: "regex", stepIgnoreRegex: "ignoreregex", stepNoFail: "nofail", stepNames: "usedns", stepIgnoreIP: "ignoreip",
		stepOld: "findtime", stepCounted: "maxretry", stepBanned: "banned",
	}[s]
}

// notBanned is why a line, or an ID, led to no ban.
type notBanned struct {
	Asked   string      `json:"asked"`
	Verdict string      `json:"verdict"` // in a sentence
	Time    *time.Time  `json:"time,omitempty"`
	Notes   []string    `json:"notes,omitempty"` // of the log and the date
	Jails   []notInJail `json:"jails"`           // the farthest first
}

// notInJail is where it stopped in one jail.
type notInJail struct {
	Jail string `json:"jail"`
	Step string `json:"step"` // regex, ignoreregex, nofail, usedns, ignoreip, findtime, maxretry or banned
	Why  string `json:"why"`
	ID   string `json:"id,omitempty"`

	step step
}

// whyNot tells why a line of a log, or an address, did not lead to a ban.
func whyNot(ctx context.Context, c *call) error {
	asked := strings.Join(c.args, " ")
	var n notBanned
	var err error
	if strings.ContainsAny(strings.TrimSpace(asked), " \t") {
		n, err = c.whyNotLine(ctx, asked)
	} else {
		n, err = c.whyNotID(ctx, asked)
	}
	if err != nil {
		return err
	}
	slices.SortStableFunc(n.Jails, func(a, b notInJail) int { return cmp.Compare(b.step, a.step) })
	return c.print(n, func(w io.Writer) { showNotBanned(w, n) })
}

// whyNotID asks the daemon.
func (c *call) whyNotID(ctx context.Context, id string) (n notBanned, err error) {
	y, err := c.client.Why(ctx, id)
	if err != nil {
		return n, err
	}
	n.Asked = y.ID
	for _, name := range y.Jails {
		if jails := c.lists["jail"]; len(jails) > 0 && !slices.Contains(jails, name) {
			continue
		}
		n.add(knownIn(y, name, c.now()))
	}
	switch best := n.best(); {
	case best == nil:
		n.Verdict = "there is no such jail"
	case best.step == stepRegex:
		n.Verdict = "no failure of it has been counted: take a line of the log (agentctl why-not 'LINE')"
	default:
		n.Verdict = best.Why + " (" + best.Jail + ")"
	}
	return n, nil
}

// knownIn tells how an ID stands in a jail.
func knownIn(y control.Why, jail string, now time.Time) notInJail {
	j := notInJail{Jail: jail, ID: y.ID, Why: "no failure of it has been counted", step: stepRegex}
	for _, t := range y.Tallies {
		if t.Jail == jail {
			j.step = stepCounted
			j.Why = fmt.Sprintf("%d of %d failures are counted, the last %s; they are forgotten at %s unless there is another", t.Weighted, t.MaxRetry, ago(t.Last, now), stamp(t.Forgets, now))
		}
	}
	for _, i := range y.Ignored {
		if i.Jail == jail {
			j.step, j.Why = stepIgnoreIP, "ignoreip spares it ("+i.By+")"
		}
	}
	for _, b := range y.Bans {
		if b.Jail == jail {
			j.step, j.Why = stepBanned, "it is banned: agentctl why "+y.ID
		}
	}
	return j
}

func (n *notBanned) add(j notInJail) {
	j.Step = j.step.String()
	n.Jails = append(n.Jails, j)
}

// best is the jail in which it came farthest.
func (n *notBanned) best() *notInJail {
	if len(n.Jails) == 0 {
		return nil
	}
	best := &n.Jails[0]
	for i := range n.Jails {
		if n.Jails[i].step > best.step {
			best = &n.Jails[i]
		}
	}
	return best
}

// whyNotLine asks the filters of the configuration, and the daemon, if it runs, about those whom they find.
func (c *call) whyNotLine(ctx context.Context, line string) (n notBanned, err error) {
	n.Asked = line
	loader := setup.New(c.config, c.named)
	names := c.lists["jail"]
	made, err := loader.Replay(ctx, agent.NewOfflineResolver(), slog.New(slog.DiscardHandler), names...)
	for _, p := range made.Problems {
		if p.Severity == config.Error {
			c.talk("%s", p.Error())
		}
	}
	switch {
	case err != nil:
		return n, err
	case len(made.Jails) == 0:
		n.Verdict = "no jail is enabled in " + loader.Name()
		return n, nil
	}
	n.watched(c.values["log"], made.Jails)
	for _, j := range made.Jails {
		n.add(c.judge(ctx, j, line, &n))
	}
	n.verdict()
	return n, nil
}

// watched notes whether anybody reads a log.
func (n *notBanned) watched(log string, jails []replay.Jail) {
	if log == "" {
		return
	}
	var by []string
	for _, j := range jails {
		if j.Watches(log) {
			by = append(by, j.Policy.Jail)
		}
	}
	if len(by) == 0 {
		n.Notes = append(n.Notes, fmt.Sprintf("no jail reads %s: name it in a logpath", log))
	} else {
		n.Notes = append(n.Notes, fmt.Sprintf("%s is read by %s", log, strings.Join(by, ", ")))
	}
	if f, err := os.Open(log); err != nil {
		n.Notes = append(n.Notes, err.Error())
	} else {
		_ = f.Close()
	}
}

// judge asks one jail about the line.
func (c *call) judge(ctx context.Context, j replay.Jail, line string, n *notBanned) notInJail {
	v := notInJail{Jail: j.Policy.Jail}
	res := j.Filter.NewReplay(c.now()).Examine(filter.Line{Text: line}, time.Time{}, false)
	if !res.Time.IsZero() && n.Time == nil {
		at := res.Time
		n.Time = &at
		n.judgeTime(at, res.HasZone, c.now())
	}
	if len(res.Matches) == 0 {
		v.step, v.Why = missed(res)
		return v
	}
	m := res.Matches[0]
	found := fmt.Sprintf("failregex %d finds a failure", m.Regex+1)
	if m.Host != "" {
		v.step, v.ID = stepNames, m.Host
		v.Why = fmt.Sprintf("%s of the host %s, whose address has to be asked for (usedns)", found, m.Host)
		return v
	}
	v.ID = m.ID.String()
	found += " of " + v.ID
	age := c.now().Sub(res.Time)
	switch {
	case j.Ignored(ctx, m.ID):
		v.step, v.Why = stepIgnoreIP, found+", and ignoreip spares it"
	case !res.Time.IsZero() && age > j.Policy.FindTime:
		v.step, v.Why = stepOld, fmt.Sprintf("%s, %s ago: findtime is %s", found, span(age), span(j.Policy.FindTime))
	default:
		v.step = stepCounted
		v.Why = fmt.Sprintf("%s; it counts, and %d within %s are needed for a ban", found, j.Policy.MaxRetry, span(j.Policy.FindTime))
		c.standing(ctx, m.ID, &v)
	}
	return v
}

// standing adds what the daemon knows of an ID, if it runs.
func (c *call) standing(ctx context.Context, id ident.ID, v *notInJail) {
	y, err := c.client.Why(ctx, id.String())
	if err != nil {
		if !errors.Is(err, control.ErrNotRunning) {
			c.talk("%v", err)
		}
		return
	}
	if k := knownIn(y, v.Jail, c.now()); k.step > stepRegex {
		v.step, v.Why = k.step, k.Why
	}
}

// missed says where a line ended that is no failure.
func missed(res filter.Result) (step, string) {
	for _, note := range res.Notices {
		if note.Kind == filter.NoticeGaveUp {
			return stepRegex, "a regex needs too long for this line, and is given up"
		}
	}
	switch {
	case len(res.IgnoredBy) > 0:
		return stepIgnoreRegex, fmt.Sprintf("ignoreregex %d lets it off", res.IgnoredBy[0]+1)
	case res.Verdict == filter.Ignored:
		return stepNoFail, "it is no failure in itself: only remembered for lines of the same connection"
	case res.Pref == filter.PrefMissed:
		return stepRegex, "the prefregex does not fit"
	}
	return stepRegex, "no failregex fits"
}

// judgeTime notes what is odd about a line's time.
func (n *notBanned) judgeTime(at time.Time, zone bool, now time.Time) {
	ahead := at.Sub(now)
	if ahead > zoneSlack {
		text := fmt.Sprintf("its time is %s ahead of this machine's", span(ahead))
		if !zone {
			text += ": the log is written in another zone (logtimezone), or a clock is wrong"
		}
		n.Notes = append(n.Notes, text)
	}
	if behind := -ahead; !zone && behind > zoneSlack && nearHour(behind) {
		n.Notes = append(n.Notes, fmt.Sprintf("its time is %s behind this machine's: if it was written just now, its zone is another (logtimezone)", span(behind.Round(time.Hour/2))))
	}
}

// nearHour reports whether a time is about a whole number of half hours, and no more than zones are apart.
func nearHour(d time.Duration) bool {
	const widest = 26 * time.Hour
	rest := d % (30 * time.Minute)
	return d < widest && (rest < time.Minute || rest > 29*time.Minute)
}

// verdict says in a sentence what became of a line.
func (n *notBanned) verdict() {
	best := n.best()
	switch {
	case best.step > stepRegex:
		n.Verdict = best.Why + " (" + best.Jail + ")"
	case n.Time == nil:
		n.Verdict = "no date is found in it, and no jail's regex fits"
	default:
		n.Verdict = "no jail's regex fits: try them with agentctl regex 'LINE' FILTER"
	}
}

func showNotBanned(w io.Writer, n notBanned) {
	fmt.Fprintln(w, safe(n.Verdict))
	for _, note := range n.Notes {
		fmt.Fprintln(w, safe(note))
	}
	if n.Time != nil {
		fmt.Fprintf(w, "its time is %s\n", n.Time.Local().Format(time.DateTime))
	}
	t := newTable("JAIL", "ENDS AT", "")
	for _, j := range n.Jails {
		t.add(j.Jail, j.Step, j.Why)
	}
	if len(n.Jails) > 0 {
		t.write(w)
	}
}
