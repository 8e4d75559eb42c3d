package agent

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
)

const (
	talliesShown = 1000 // of a jail, in its status
	// enforceWait is how long a ban by hand waits for the kernel and the disk before it answers that
	// one of them is still owing.
	enforceWait = 5 * time.Second
)

// service answers the control socket.
type service struct{ a *Agent }

var _ control.Service = service{}

// Service gives the agent's side of the control socket.
func (a *Agent) Service() control.Service { return service{a} }

func (s service) snapshot() Options {
	s.a.mu.Lock()
	defer s.a.mu.Unlock()
	return s.a.options
}

// Status tells how the daemon and its jails stand.
func (s service) Status(ctx context.Context) (control.Status, error) {
	o := s.snapshot()
	st := s.a.parts.About
	st.Started, st.Problems, st.Jails = s.a.started, o.Problems, []control.JailSummary{}
	st.Firewall = s.firewall()
	st.Reasons = s.a.reasons(o)
	st.Health = "ok"
	if len(st.Reasons) > 0 {
		st.Health = "degraded"
	}
	err := s.a.engine.do(ctx, func() {
		for _, j := range o.Jails {
			st.Jails = append(st.Jails, summary(j.Name(), s.a.engine.book.Counts(j.Name())))
		}
	})
	slices.SortFunc(st.Jails, func(a, b control.JailSummary) int { return cmp.Compare(a.Name, b.Name) })
	return st, err
}

func summary(name string, c jail.Counts) control.JailSummary {
	return control.JailSummary{
		Name: name, CurrentlyFailed: c.CurrentlyFailed, TotalFailed: c.TotalFailed,
		CurrentlyBanned: c.CurrentlyBanned, TotalBanned: c.TotalBanned,
	}
}

func (s service) firewall() control.FirewallState {
	f := s.a.parts.Firewall.Status()
	st := control.FirewallState{
		Backend: f.Backend, Elements: f.Elements, Desired: f.Desired, Pending: f.Pending, Rebuilt: f.Rebuilds, Notes: f.Notes,
	}
	if f.Err != nil {
		st.Error = f.Err.Error()
	}
	return st
}

func (s service) find(name string) (Jail, error) {
	for _, j := range s.snapshot().Jails {
		if j.Name() == name {
			return j, nil
		}
	}
	return Jail{}, fmt.Errorf("%w: %q", control.ErrNoJail, name)
}

// Jail tells about one jail.
func (s service) Jail(ctx context.Context, name string) (control.JailStatus, error) {
	j, err := s.find(name)
	if err != nil {
		return control.JailStatus{}, err
	}
	st := control.JailStatus{
		MaxRetry: j.Policy.MaxRetry, FindTime: seconds(j.Policy.FindTime), BanTime: seconds(j.Policy.BanTime),
		Files: s.a.source.status(j), Actions: s.actions(j), Bans: []control.Ban{},
	}
	if c := s.a.source.countsOf(name); c != nil {
		st.Lines, st.Matched, st.Ignored, st.GaveUp = c.lines.Load(), c.matched.Load(), c.ignored.Load(), c.gaveUp.Load()
		st.Slow = c.slow.list(j.Filter)
	}
	err = s.a.engine.do(ctx, func() {
		status := s.a.engine.book.Status(name)
		st.JailSummary = summary(name, status.Counts)
		for _, b := range status.Banned {
			st.Bans = append(st.Bans, ban(b))
		}
		for _, t := range s.a.engine.book.Tallies(name, talliesShown) {
			st.Tallies = append(st.Tallies, control.Tally{
				ID: t.ID.String(), Weighted: t.Weighted, Failures: t.Failures, First: t.First, Last: t.Last,
			})
		}
	})
	return st, err
}

// actions tells who does the actions of a jail, and how those that are scripts stand.
func (s service) actions(j Jail) []control.Action {
	list, stand := slices.Clone(j.Actions), s.a.script.status(j.Name())
	for i := range list {
		if st, runs := stand[list[i].Name]; runs && !list[i].Native {
			list[i].Script = scriptState(st)
		}
	}
	return list
}

func ban(b jail.Ban) control.Ban {
	c := control.Ban{
		Jail: b.Jail, ID: b.ID.String(), Since: b.BannedAt, Duration: seconds(b.Duration), Count: b.Count,
		Failures: b.Failures, Origin: b.Origin.String(), LastLines: b.Lines, Data: b.Data,
	}
	if end, permanent := b.End(); !permanent {
		c.Until = &end
	}
	return c
}

// Banned lists the bans in force.
func (s service) Banned(ctx context.Context, id string, limit int) (control.Banned, error) {
	out := control.Banned{Bans: []control.Ban{}}
	asked := ident.Parse(id)
	jails := s.snapshot().Jails
	err := s.a.engine.do(ctx, func() {
		for _, j := range jails {
			for _, b := range s.a.engine.book.Status(j.Name()).Banned {
				if id != "" && b.ID != asked && !b.ID.Contains(asked) {
					continue
				}
				out.Total++
				if limit > 0 && len(out.Bans) >= limit {
					continue
				}
				c := ban(b)
				if id == "" { // the lines of a million bans would be more than all the rest
					c.LastLines, c.Data = nil, nil
				}
				out.Bans = append(out.Bans, c)
			}
		}
	})
	return out, err
}

// Ban bans by hand.
func (s service) Ban(ctx context.Context, r control.BanRequest) (control.ChangeResult, error) {
	j, err := s.find(r.Jail)
	if err != nil {
		return control.ChangeResult{}, err
	}
	var duration *time.Duration
	if r.Seconds != nil {
		if *r.Seconds == 0 || *r.Seconds > int64(math.MaxInt64/time.Second) {
			return control.ChangeResult{}, fmt.Errorf("%w: a ban of %d seconds", control.ErrInvalid, *r.Seconds)
		}
		d := time.Duration(*r.Seconds) * time.Second
		if *r.Seconds < 0 {
			d = -time.Second
		}
		duration = &d
	}
	var result control.ChangeResult
	var ids []ident.ID
	for _, text := range r.IDs {
		id := ident.Parse(text)
		c := control.Change{Jail: r.Jail, ID: id.String()}
		switch reason := s.refusal(ctx, j, id, r.Force); {
		case reason != "":
			c.Error = reason
			result.Changes = append(result.Changes, c)
		default:
			ids = append(ids, id)
		}
	}
	err = s.change(ctx, &result, func(e *engine) {
		decisions := e.book.Ban(r.Jail, ids, duration, time.Now())
		e.enforce(decisions)
		for _, id := range ids {
			c := control.Change{Jail: r.Jail, ID: id.String()}
			c.Done = slices.ContainsFunc(decisions, func(d jail.Decision) bool { return d.ID == id && d.Kind == jail.BanStart })
			if !c.Done {
				c.Error = "already banned"
			}
			result.Changes = append(result.Changes, c)
		}
	})
	return result, err
}

// refusal says why an ID is not banned by hand, or nothing.
func (s service) refusal(ctx context.Context, j Jail, id ident.ID, force bool) string {
	if id.IsZero() {
		return "nothing to ban: give an address, a network or a name"
	}
	if p := id.Prefix(); id.IsAddr() && p.Bits() == 0 {
		return "a whole address family is never banned: give a longer prefix"
	}
	if force {
		return ""
	}
	if g := s.a.source.ignorerOf(j.Name()); g != nil {
		if by, ok := g.touches(ctx, id); ok {
			return fmt.Sprintf("the jail ignores it (%s); use --force to ban it all the same", by)
		}
	}
	return ""
}

// Unban lifts bans.
func (s service) Unban(ctx context.Context, r control.UnbanRequest) (control.ChangeResult, error) {
	if r.Jail != "" {
		if _, err := s.find(r.Jail); err != nil {
			return control.ChangeResult{}, err
		}
	}
	if !r.All && len(r.IDs) == 0 {
		return control.ChangeResult{}, fmt.Errorf("%w: name an address, or ask for all", control.ErrInvalid)
	}
	var ids []ident.ID
	if !r.All {
		for _, text := range r.IDs {
			ids = append(ids, ident.Parse(text))
		}
	}
	var result control.ChangeResult
	err := s.change(ctx, &result, func(e *engine) {
		decisions := e.book.Unban(r.Jail, ids, time.Now())
		e.enforce(decisions)
		for _, d := range decisions {
			if d.Kind == jail.Unban {
				result.Changes = append(result.Changes, control.Change{Jail: d.Jail, ID: d.ID.String(), Done: true})
			}
		}
		for _, id := range ids {
			if !slices.ContainsFunc(decisions, func(d jail.Decision) bool { return id.Contains(d.ID) }) {
				result.Changes = append(result.Changes, control.Change{ID: id.String(), Error: "not banned"})
			}
		}
	})
	return result, err
}

// change runs f in the engine, then waits until the kernel and the disk have what it did.
func (s service) change(ctx context.Context, result *control.ChangeResult, f func(*engine)) error {
	result.Changes = append([]control.Change{}, result.Changes...)
	var saved <-chan error
	if err := s.a.engine.do(ctx, func() { f(s.a.engine); saved = s.a.engine.durable() }); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, enforceWait)
	defer cancel()
	if err := s.a.parts.Firewall.Sync(ctx); err != nil {
		result.Owing = append(result.Owing, "firewall: "+err.Error())
	}
	select {
	case err := <-saved:
		if err != nil {
			result.Owing = append(result.Owing, "store: "+err.Error())
		}
	case <-ctx.Done():
		result.Owing = append(result.Owing, "store: the disk has not answered yet")
	}
	return nil
}

// Reload reads the configuration again.
func (s service) Reload(ctx context.Context) (control.ReloadResult, error) { return s.a.reload(ctx) }

// Stop begins the end.
func (s service) Stop(ctx context.Context, keep bool) error { return s.a.Stop(ctx, keep) }

// Events sends events until ctx ends.
func (s service) Events(ctx context.Context, each func(control.Event) error) error {
	return s.a.events.listen(ctx, each)
}

// status tells how a jail's files stand.
func (s *sources) status(j Jail) []control.File {
	s.mu.Lock()
	defer s.mu.Unlock()
	files := []control.File{}
	for key, r := range s.readers {
		if wants, _ := j.watches(key); !wants && key != journalKey(j.Name()) && key != OwnLogPath+" "+j.Name() {
			continue
		}
		f := r.status()
		if f.Lines = r.intake.lines.Load(); f.Error == "" {
			f.Error = r.failed.text()
		}
		files = append(files, f)
	}
	slices.SortFunc(files, func(a, b control.File) int { return cmp.Compare(a.Path, b.Path) })
	return files
}

func fileStatus(path string, st source.FileStatus) control.File {
	f := control.File{Path: path, State: st.State.String(), Offset: st.Pos.Offset, Size: st.Size}
	if st.Err != nil {
		f.Error = st.Err.Error()
	}
	return f
}

func (s *sources) countsOf(name string) *jailCounts {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.counts[name]
}

func (s *sources) ignorerOf(name string) *ignorer {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ignorers[name]
}
