package main

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"os"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/eventlog"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
)

// eventFile tells the event file what happens. A nil one tells nobody.
type eventFile struct{ file *eventlog.File }

// openEventFile opens the file that --event-file names; nil if it names none.
func openEventFile(path string, log *slog.Logger) (*eventFile, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // nobody is told
	}
	host, _ := os.Hostname() // without one the lines do not say where they come from
	file, err := eventlog.Open(path, eventlog.Options{Host: host, Log: log})
	if err != nil {
		return nil, err
	}
	return &eventFile{file}, nil
}

// run writes the file until end is called, and then what is left.
func (f *eventFile) run(ctx context.Context, log *slog.Logger) (end func()) {
	if f == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- f.file.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			log.Error("the event file has ended", "err", err)
		}
	}
}

func (f *eventFile) add(r eventlog.Record) {
	if f != nil {
		f.file.Add(r)
	}
}

// reopen has the file opened anew, after a rotation.
func (f *eventFile) reopen() {
	if f != nil {
		f.file.Reopen()
	}
}

// reasons says what is wrong with the file, for the health of the daemon.
func (f *eventFile) reasons() []string {
	if f == nil {
		return nil
	}
	st := f.file.Stats()
	if st.Err == nil {
		return nil
	}
	text := fmt.Sprintf("event file: %v; %d bytes of events wait in memory", st.Err, st.Waiting)
	if st.Lost > 0 {
		text += fmt.Sprintf(", %d events are lost", st.Lost)
	}
	return []string{text}
}

// stats is how the file stands, for metrics; nil if there is none.
func (f *eventFile) stats() func() eventlog.Stats {
	if f == nil {
		return nil
	}
	return f.file.Stats
}

// decision tells of a ban and its end.
func (f *eventFile) decision(d jail.Decision) {
	if f == nil {
		return
	}
	r := eventlog.Record{Jail: d.Jail, Family: family(d.ID)}
	switch d.Kind {
	case jail.BanStart:
		r.Kind, r.Log, r.Regex = eventlog.Ban, d.Source, d.Regex
	case jail.Restore:
		r.Kind = eventlog.Restore
	case jail.Prolong:
		r.Kind = eventlog.Prolong
	case jail.Unban:
		r.Kind, r.Reason = eventlog.Unban, d.Reason.String()
	default:
		return
	}
	r.ID, r.Origin = d.ID.String(), d.Ban.Origin.String()
	r.Since, r.Duration, r.Failures, r.Count = d.Ban.Start, d.Ban.Duration, d.Ban.Failures, d.Ban.Count
	if end, permanent := d.Ban.End(); !permanent {
		r.Until = end
	}
	f.add(r)
}

// family is that of an address or a network, and empty for anything else.
func family(id ident.ID) string {
	if !id.IsAddr() {
		return ""
	}
	return id.Family()
}

// trouble tells of a part of the daemon that does not work, or works again.
func (f *eventFile) trouble(part string, err error) {
	r := eventlog.Record{Kind: eventlog.Repair, Part: part}
	if err != nil {
		r.Kind, r.Error = eventlog.Trouble, err.Error()
	}
	f.add(r)
}

// action tells of an action that could not do what it should.
func (f *eventFile) action(e action.Event) {
	r := eventlog.Record{Kind: eventlog.Trouble, Part: "action", Jail: e.Jail, Action: e.Action, Operation: e.Operation}
	switch e.Kind {
	case action.Failed: // Err says all
	case action.NotRestored:
		r.Error = "the check fails, and so does its repair"
	case action.Refused:
		r.Error = "not executed"
	case action.Dropped:
		r.Error = "dropped, since too many wait"
	default: // is part of one of the above, or no trouble
		return
	}
	switch {
	case e.Err == nil:
		r.Error = cmp.Or(r.Error, "failed")
	case r.Error == "":
		r.Error = e.Err.Error()
	default:
		r.Error += ": " + e.Err.Error()
	}
	if e.Ticket != nil {
		r.ID, r.Family = e.Ticket.ID.String(), family(e.Ticket.ID)
	}
	f.add(r)
}

// configured tells of a change of the configuration.
func (f *eventFile) configured(c agent.Configuration) {
	r := eventlog.Record{Kind: eventlog.Configuration, Reason: "command", Problems: len(c.Options.Problems)}
	if c.Reload {
		f.reopen()
		r.Reason = "reload"
	}
	if c.Err != nil {
		r.Error = c.Err.Error()
	}
	for _, j := range c.Options.Jails {
		r.Jails = append(r.Jails, j.Name())
	}
	f.add(r)
}

// started tells that the daemon has begun.
func (f *eventFile) started(version, config string, o agent.Options) {
	r := eventlog.Record{Kind: eventlog.Start, Version: version, PID: os.Getpid(), Config: config, Problems: len(o.Problems)}
	for _, j := range o.Jails {
		r.Jails = append(r.Jails, j.Name())
	}
	f.add(r)
}

// stopped tells that the daemon ends, and why if nobody asked for it.
func (f *eventFile) stopped(version string, err error) {
	r := eventlog.Record{Kind: eventlog.Stop, Version: version, PID: os.Getpid()}
	if err != nil {
		r.Error = err.Error()
	}
	f.add(r)
}

// flushedLogs is the daemon's log for fail2ban's commands; flushlogs opens the event file anew, too.
type flushedLogs struct {
	*logControl
	events *eventFile
}

// Flush opens the log anew, and reports whether it is a file.
func (l flushedLogs) Flush() (file bool, err error) {
	l.events.reopen()
	return l.logControl.Flush()
}

// tolerated is a server without which the daemon goes on: that it has ended is told and ends nothing else.
func tolerated(r runner, log *slog.Logger) runner {
	return runner{r.name, func(ctx context.Context) error {
		err := r.run(ctx)
		if ctx.Err() == nil {
			log.Error("it has ended; the daemon goes on without", "part", r.name, "err", err)
			<-ctx.Done()
		}
		return err
	}}
}
