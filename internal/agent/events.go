package agent

import (
	"context"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// eventBuffer is how many events a listener may be behind before it loses some.
const eventBuffer = 1024

// events tells listeners what was decided. Nobody waits for a listener: one that is too slow loses
// events and is told how many. It is safe for concurrent use.
type events struct {
	record func(jail.Decision)                                        // the log; may be nil
	ignore func(jailName string, id ident.ID, by string, t time.Time) // the log; may be nil

	mu        sync.Mutex // guards the field below
	listeners map[*listener]struct{}
}

// listener is one who listens. Its fields are guarded by events.mu.
type listener struct {
	queue   chan control.Event
	dropped int
}

func newEvents(record func(jail.Decision), ignore func(string, ident.ID, string, time.Time)) *events {
	return &events{record: record, ignore: ignore, listeners: map[*listener]struct{}{}}
}

// publish tells of decisions, in order.
func (e *events) publish(decisions []jail.Decision) {
	now, heard := time.Now(), e.heard()
	for _, d := range decisions {
		if e.record != nil {
			e.record(d)
		}
		if !heard {
			continue
		}
		if kind := eventKind(d.Kind); kind != "" {
			e.send(event(now, kind, d))
		}
	}
}

// ignored tells of a failure that an ignore list took out.
func (e *events) ignored(jailName string, id ident.ID, by string, t time.Time) {
	if e.ignore != nil {
		e.ignore(jailName, id, by, t)
	}
	e.send(control.Event{Time: time.Now(), Kind: "ignored", Jail: jailName, ID: id.String(), LogTime: &t, By: by})
}

// heard reports whether anybody listens.
func (e *events) heard() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.listeners) > 0
}

func (e *events) send(ev control.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for l := range e.listeners {
		if l.dropped > 0 {
			select {
			case l.queue <- control.Event{Time: ev.Time, Kind: "dropped", Count: l.dropped}:
				l.dropped = 0
			default:
			}
		}
		select {
		case l.queue <- ev:
		default:
			l.dropped++
		}
	}
}

// listen calls each for every event from now on, until ctx ends or each fails.
func (e *events) listen(ctx context.Context, each func(control.Event) error) error {
	l := &listener{queue: make(chan control.Event, eventBuffer)}
	e.mu.Lock()
	e.listeners[l] = struct{}{}
	e.mu.Unlock()
	defer func() {
		e.mu.Lock()
		delete(e.listeners, l)
		e.mu.Unlock()
	}()
	for {
		select {
		case ev := <-l.queue:
			if err := each(ev); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// eventKind names a decision for those who listen; "" for what is only a detail of another.
func eventKind(k jail.Kind) string {
	switch k {
	case jail.Found, jail.Attempt:
		return "found"
	case jail.BanStart:
		return "ban"
	case jail.Restore:
		return "restore"
	case jail.Already:
		return "already"
	case jail.Prolong:
		return "prolong"
	case jail.Unban:
		return "unban"
	case jail.Expired:
		return "expired"
	case jail.Evicted:
		return "evicted"
	default:
		return ""
	}
}

func event(now time.Time, kind string, d jail.Decision) control.Event {
	ev := control.Event{Time: now, Kind: kind, Jail: d.Jail, ID: d.ID.String()}
	if !d.Time.IsZero() {
		t := d.Time
		ev.LogTime = &t
	}
	if d.Ban.Start.IsZero() {
		return ev
	}
	ev.Duration, ev.Failures, ev.Count = seconds(d.Ban.Duration), d.Ban.Failures, d.Ban.Count
	if end, permanent := d.Ban.End(); !permanent {
		ev.Until = &end
	}
	return ev
}

// seconds tells a duration in whole seconds; a negative one, which is for ever, as -1.
func seconds(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64(d / time.Second)
}
