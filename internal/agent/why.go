package agent

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/ident"
)

const (
	// whyEntries is how many entries of the firewall are named: there is one per prefix length at most.
	whyEntries = 200
	// whyLogs is how many logs of a jail are named.
	whyLogs = 20
)

// Why tells all that is known of an ID.
func (s service) Why(ctx context.Context, text string) (control.Why, error) {
	id := ident.Parse(text)
	if id.IsZero() {
		return control.Why{}, fmt.Errorf("%w: ask about an address, a network or a name", control.ErrInvalid)
	}
	w := control.Why{ID: id.String(), Bans: []control.WhyBan{}}
	jails := s.snapshot().Jails
	err := s.a.engine.do(ctx, func() {
		book := s.a.engine.book
		for _, j := range jails {
			w.Jails = append(w.Jails, j.Name())
			for _, b := range book.Status(j.Name()).Banned {
				if b.ID == id || b.ID.Contains(id) {
					w.Bans = append(w.Bans, whyBan(j, ban(b)))
				}
			}
		}
		for _, x := range book.Lookup(id) {
			policy, runs := book.Policy(x.Jail)
			if x.Tally != nil && x.Ban == nil && runs {
				w.Tallies = append(w.Tallies, control.WhyTally{
					Jail: x.Jail, MaxRetry: policy.MaxRetry, Forgets: x.Tally.Last.Add(policy.FindTime),
					Tally: control.Tally{ID: w.ID, Weighted: x.Tally.Weighted, Failures: x.Tally.Failures, First: x.Tally.First, Last: x.Tally.Last},
				})
			}
			if h := x.History; h != nil {
				w.Histories = append(w.Histories, control.WhyHistory{Jail: x.Jail, Count: h.Count, Last: h.Last, Duration: seconds(h.Duration)})
			}
		}
	})
	if err != nil {
		return w, err
	}
	slices.Sort(w.Jails)
	for i := range w.Bans {
		at := slices.IndexFunc(jails, func(j Jail) bool { return j.Name() == w.Bans[i].Jail })
		s.explain(&w.Bans[i], jails[at])
	}
	for _, j := range jails {
		if g := s.a.source.ignorerOf(j.Name()); g != nil {
			if by, ignored := g.listed(ctx, id); ignored {
				w.Ignored = append(w.Ignored, control.WhyIgnored{Jail: j.Name(), By: by})
			}
		}
	}
	s.inKernel(ctx, id, &w)
	return w, nil
}

func whyBan(j Jail, b control.Ban) control.WhyBan {
	return control.WhyBan{
		Ban: b, Lines: []control.WhyLine{}, BanTime: seconds(j.Policy.BanTime), Escalates: j.Policy.Increment.Enabled,
		MaxRetry: j.Policy.MaxRetry, FindTime: seconds(j.Policy.FindTime), Actions: j.Actions, Logs: []string{},
	}
}

// explain finds the regexes for the lines of a ban, by asking the filter again: nothing has to be remembered for
// it with every failure. What depends on lines that were not kept stays unknown.
func (s service) explain(b *control.WhyBan, j Jail) {
	for _, f := range s.a.source.status(j) {
		if len(b.Logs) < whyLogs {
			b.Logs = append(b.Logs, f.Path)
		}
	}
	var session *filter.Session
	var regexes []string
	if j.Filter != nil {
		session, regexes = j.Filter.NewReplay(b.Since), j.Filter.FailRegex()
	}
	for _, text := range b.LastLines {
		l := control.WhyLine{Text: text}
		if session != nil {
			// The clock is that of the ban, so that no line is too old.
			for _, m := range session.Examine(filter.Line{Text: text}, b.Since, true).Matches {
				if m.Regex >= 0 && m.Regex < len(regexes) {
					l.Regex, l.Found = m.Regex+1, regexes[m.Regex]
				}
			}
		}
		b.Lines = append(b.Lines, l)
	}
	b.LastLines = nil // they are in Lines
}

// inKernel looks what the firewall wants of an ID, and what the kernel holds of that.
func (s service) inKernel(ctx context.Context, id ident.ID, w *control.Why) {
	if !id.IsAddr() {
		return
	}
	b, err := s.a.parts.Firewall.Find(ctx, firewall.Query{Holds: id.Prefix(), Limit: whyEntries, Hits: true})
	if err != nil {
		w.Unsure = err.Error()
		return
	}
	for _, e := range b.Entries {
		text := ident.FromPrefix(e.Prefix).String()
		for _, o := range e.Owners {
			if feed, listed := strings.CutPrefix(o.Owner, "feed:"); listed {
				w.Feeds = append(w.Feeds, control.WhyFeed{Feed: feed, Entry: text})
			}
		}
		if e.Hits == nil || !e.Hits.Present {
			continue
		}
		for _, set := range e.Sets {
			c := control.Element{Set: set, Prefix: text}
			if e.Hits.Timeout > 0 {
				left := int64(e.Hits.Timeout / time.Second)
				c.Expires = &left
			}
			w.Kernel = append(w.Kernel, c)
		}
	}
}
