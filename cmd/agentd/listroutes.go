package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall"
)

// refreshTime bounds how long somebody waits for lists that are asked for; they go on being read.
const refreshTime = 50 * time.Second

// routes answer for lists on the control socket.
func (l *lists) routes() []control.Route {
	return []control.Route{
		{Pattern: "GET /v1/feeds", Answer: func(*http.Request) (any, error) {
			all := control.Feeds{Feeds: []control.FeedStatus{}}
			for _, s := range l.runner.Status() {
				all.Feeds = append(all.Feeds, l.status(s, false))
			}
			return all, nil
		}},
		{Pattern: "GET /v1/feeds/{name}", Answer: func(r *http.Request) (any, error) {
			s, err := l.find(r.PathValue("name"))
			if err != nil {
				return nil, err
			}
			return l.status(s, true), nil
		}},
		{Pattern: "POST /v1/feeds/refresh", Answer: l.refresh},
	}
}

func (l *lists) find(name string) (feed.Status, error) {
	all := l.runner.Status()
	i := slices.IndexFunc(all, func(s feed.Status) bool { return s.Source.Name == name })
	if i < 0 {
		names := strings.Join(l.runner.Names(), ", ")
		if names == "" {
			return feed.Status{}, fmt.Errorf("%w: there are no lists: write [feed NAME] into agent.conf, then agentctl reload", control.ErrInvalid)
		}
		return feed.Status{}, fmt.Errorf("%w: there is no list %.60q: there are %s", control.ErrInvalid, name, names)
	}
	return all[i], nil
}

// refresh asks for lists at the same time.
func (l *lists) refresh(r *http.Request) (any, error) {
	req, err := control.Body[control.RefreshRequest](r)
	if err != nil {
		return nil, err
	}
	names := req.Names
	if len(names) == 0 {
		names = l.runner.Names()
	}
	for _, name := range names {
		if _, err := l.find(name); err != nil {
			return nil, err
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), refreshTime)
	defer cancel()
	out := control.RefreshResult{Feeds: make([]control.Refreshed, len(names))}
	var group sync.WaitGroup
	for i, name := range names {
		group.Go(func() {
			out.Feeds[i].Name = name
			if err := l.runner.Refresh(ctx, name); err != nil {
				out.Feeds[i].Error = err.Error()
			}
			if s, err := l.find(name); err == nil {
				out.Feeds[i].Entries = s.Entries
			}
		})
	}
	group.Wait()
	if err := l.Sync(ctx); err != nil { // who asks wants to see it in the kernel
		return nil, fmt.Errorf("the lists are read, and the firewall is not yet in line with them: %w", err)
	}
	return out, nil
}

// status is a list's for the wire.
func (l *lists) status(s feed.Status, details bool) control.FeedStatus {
	out := control.FeedStatus{
		Name: s.Source.Name, Use: "block", Type: s.Source.Type, Where: s.Source.Where(), State: string(s.State), Entries: s.Entries, Ranges: s.Blocked,
		Suspects: s.Counted, Bad: s.BadCount, Fetched: moment(s.Fetched), Changed: moment(s.Changed), Next: moment(s.Next),
		Interval: s.Source.Interval.Seconds(), Failures: s.Failures, Notes: s.Notes, Since: moment(s.Since),
	}
	if s.Err != nil {
		out.Error = s.Err.Error()
	}
	if !s.Fetched.IsZero() && s.Source.Expires > 0 {
		out.Expires = moment(s.Fetched.Add(s.Source.Expires))
	}
	for _, r := range s.Refused {
		out.Refused += r.Entries
		if details {
			out.Refusals = append(out.Refusals, control.FeedRefusal(r))
		}
	}
	if details {
		for _, b := range s.Bad {
			out.BadLines = append(out.BadLines, control.FeedBad(b))
		}
	}
	if s.Source.Use == feed.ForAllowing {
		out.Use = "allow"
		return out
	}
	scope := l.scopeOf(feedOwner(s.Source.Name))
	out.Mode, out.Direction = "drop", "in"
	switch scope.Verdict {
	case firewall.Reject:
		out.Mode = "reject"
	case firewall.Log:
		out.Mode = "log"
	case firewall.Drop:
	}
	if scope.Both {
		out.Direction = "both"
	}
	return out
}

func (l *lists) scopeOf(owner string) firewall.Scope {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.scope(firewall.Scope{Owner: owner})
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
