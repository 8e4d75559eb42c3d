package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

var eventHead = regexp.MustCompile(`^\{"schema":1,"time":"[^"]*","host":"[^"]*","kind":"`)

// TestWhatTheEventFileIsToldOf: each thing that may happen, and the line that follows without its head, or none.
func TestWhatTheEventFileIsToldOf(t *testing.T) {
	id := ident.Parse("192.0.2.1")
	at := time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)
	ban := jail.Ban{Start: at, Duration: jail.Permanent, Count: 4, Failures: 5, Origin: jail.Imported}
	decide := func(k jail.Kind, r jail.Reason) func(*eventFile) {
		return func(f *eventFile) {
			f.decision(jail.Decision{Kind: k, Key: jail.Key{Jail: "j", ID: id}, Ban: ban, Reason: r})
		}
	}
	act := func(e action.Event) func(*eventFile) {
		e.Jail, e.Action, e.Operation, e.Ticket = "j", "a", "actionban", &action.Ticket{ID: id}
		return func(f *eventFile) { f.action(e) }
	}
	const forever = `","jail":"j","id":"192.0.2.1","family":"inet4","since":"2026-11-23T09:00:00.000Z","duration":-1,"failures":5,"count":4,"origin":"imported"`
	const ofAction = `error","jail":"j","id":"192.0.2.1","family":"inet4","part":"action","action":"a","operation":"actionban","error":"`
	for name, c := range map[string]struct {
		do   func(*eventFile)
		want string
	}{
		"a permanent ban":           {decide(jail.BanStart, jail.NoReason), `ban` + forever + "}"},
		"a longer ban":              {decide(jail.Prolong, jail.NoReason), `prolong` + forever + "}"},
		"a restored ban":            {decide(jail.Restore, jail.NoReason), `restore` + forever + "}"},
		"a ban that made room":      {decide(jail.Unban, jail.NoRoom), `unban` + forever + `,"reason":"no-room"}`},
		"a ban whose time is over":  {decide(jail.Unban, jail.TimeOver), `unban` + forever + `,"reason":"time-over"}`},
		"a failure":                 {decide(jail.Found, jail.NoReason), ""},
		"one who is banned already": {decide(jail.Already, jail.NoReason), ""},
		"the escalation of a ban":   {decide(jail.IncreaseBan, jail.NoReason), ""},
		"a name has no family": {func(f *eventFile) {
			f.decision(jail.Decision{Kind: jail.BanStart, Key: jail.Key{Jail: "j", ID: ident.Raw("bob")}, Ban: jail.Ban{Start: at, Duration: time.Minute}})
		}, `ban","jail":"j","id":"bob","since":"2026-11-23T09:00:00.000Z","until":"2026-11-23T09:01:00.000Z","duration":60,"origin":"local"}`},
		"the firewall fails":            {func(f *eventFile) { f.trouble("firewall", errors.New("full")) }, `error","part":"firewall","error":"full"}`},
		"the database works again":      {func(f *eventFile) { f.trouble("store", nil) }, `repair","part":"store"}`},
		"an action fails":               {act(action.Event{Kind: action.Failed, Err: errors.New("exit 1")}), ofAction + `exit 1"}`},
		"an action fails without a why": {act(action.Event{Kind: action.Failed}), ofAction + `failed"}`},
		"an action is not repaired":     {act(action.Event{Kind: action.NotRestored}), ofAction + `the check fails, and so does its repair"}`},
		"an action is refused":          {act(action.Event{Kind: action.Refused, Err: errors.New("too long")}), ofAction + `not executed: too long"}`},
		"an action is dropped":          {act(action.Event{Kind: action.Dropped}), ofAction + `dropped, since too many wait"}`},
		"a command of an action":        {act(action.Event{Kind: action.Executed, Result: &action.Result{}}), ""},
		"a refused reload":              {func(f *eventFile) { f.configured(agent.Configuration{Reload: true, Err: errors.New("no folder")}) }, `configuration","reason":"reload","error":"no folder"}`},
		"a command that changes a jail": {func(f *eventFile) {
			f.configured(agent.Configuration{Options: agent.Options{Jails: []agent.Jail{{Policy: jail.Policy{Jail: "j"}}}}})
		}, `configuration","reason":"command","jails":["j"]}`},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "events")
			f, err := openEventFile(path, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			end := f.run(t.Context(), slog.New(slog.DiscardHandler))
			c.do(f)
			end()
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got := eventHead.ReplaceAllString(strings.TrimSuffix(string(text), "\n"), ""); got != c.want {
				t.Errorf("%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestWithoutAnEventFileNobodyIsTold, and nothing else happens.
func TestWithoutAnEventFileNobodyIsTold(t *testing.T) {
	f, err := openEventFile("", nil)
	if err != nil || f != nil {
		t.Fatalf("%v, %v", f, err)
	}
	end := f.run(t.Context(), nil)
	f.decision(jail.Decision{Kind: jail.BanStart})
	f.trouble("store", nil)
	f.action(action.Event{Kind: action.Failed})
	f.configured(agent.Configuration{Reload: true})
	f.started("v1", "c", agent.Options{})
	f.stopped("v1", errors.New("x"))
	if f.reasons() != nil || f.stats() != nil {
		t.Error("a file that is not there has a state")
	}
	end()
}

// TestMetricsThatEndEndNothingElse: the others go on until they are told to end.
func TestMetricsThatEndEndNothingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		broken := errors.New("broken")
		ended := make(chan error, 1)
		go func() {
			ended <- runServers(ctx, []runner{
				tolerated(runner{"metrics", func(context.Context) error { return broken }}, slog.New(slog.DiscardHandler)),
				{"socket", func(ctx context.Context) error { <-ctx.Done(); return nil }},
			})
		}()
		synctest.Wait()
		select {
		case err := <-ended:
			t.Fatalf("all has ended: %v", err)
		default:
		}
		cancel()
		if err := <-ended; !errors.Is(err, broken) {
			t.Errorf("%v", err)
		}
	})
}
