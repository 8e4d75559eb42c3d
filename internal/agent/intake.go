package agent

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf8"
	"unsafe"

	"golang.org/x/text/encoding"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/filter"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/source"
)

// quietInterval is how often a file without failures reports how far it has been read.
const quietInterval = time.Second

// intake turns the lines of one file into failures of the jails that watch it. Its deliver method is
// called by the file's reader, one call at a time.
type intake struct {
	path     string
	engine   *engine
	resolver *Resolver
	log      *slog.Logger
	daily    *daily
	jails    []*watch
	group    *filter.Group

	// owned by deliver
	decoder  *encoding.Decoder // nil: UTF-8
	position source.Position   // read up to here, not told to the engine yet
	pending  bool
	toldAt   time.Time

	// for status
	lines atomic.Int64
}

// watch is one jail's view of one file.
type watch struct {
	jail    Jail
	session *filter.Session
	ignorer *ignorer
	counts  *jailCounts
	resume  source.Position // the jail has seen the lines up to here
}

// jailCounts is what the intakes of a jail count for status.
type jailCounts struct {
	lines, matched, ignored, gaveUp atomic.Int64
	slow                            slowCounts
}

// slowRegex is one regex of a filter.
type slowRegex struct {
	role  filter.Role
	index int
}

// slowCounts counts, by regex, the searches that were given up.
type slowCounts struct {
	mu sync.Mutex // guards by
	by map[slowRegex]int64
}

func (c *slowCounts) add(r slowRegex) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[slowRegex]int64{}
	}
	c.by[r]++
}

// list tells which regexes of a filter gave up how often, the worst first.
func (c *slowCounts) list(f *filter.Filter) []control.SlowRegex {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []control.SlowRegex
	for r, n := range c.by {
		all = append(all, control.SlowRegex{Option: r.role.String(), Number: r.index + 1, Count: n, Regex: textOf(f, r)})
	}
	slices.SortFunc(all, func(a, b control.SlowRegex) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Option, b.Option), cmp.Compare(a.Number, b.Number))
	})
	return all
}

// textOf is a regex as it is searched; empty if a reload has taken it away.
func textOf(f *filter.Filter, r slowRegex) string {
	var list []string
	switch r.role {
	case filter.RolePref:
		return f.PrefRegex()
	case filter.RoleIgnore:
		list = f.IgnoreRegex()
	default:
		list = f.FailRegex()
	}
	if r.index >= len(list) {
		return ""
	}
	return list[r.index]
}

// deliver handles one block of lines. It waits where the engine is busy or a name must be resolved;
// the reader waits with it, and the file is the buffer.
func (in *intake) deliver(ctx context.Context, b source.Batch) error {
	var failures []observedFailure
	for _, line := range b.Lines {
		text, kept := in.decode(line.Text), false
		wanted, now := in.group.Scan(text), time.Now()
		for i, w := range in.jails {
			if w.resume.Covers(b.Pos, line.End) {
				continue
			}
			w.counts.lines.Add(1)
			if !wanted.Has(i) {
				w.session.Skip(filter.Line{Text: text}, now, b.InOperation)
				continue
			}
			if !kept { // filters keep lines, and the block that this one lies in will be read into again
				text, kept = strings.Clone(text), true
			}
			found, err := in.process(ctx, w, filter.Line{Text: text}, now, b.InOperation)
			if err != nil {
				return err
			}
			failures = append(failures, found...)
		}
	}
	in.lines.Add(int64(len(b.Lines)))
	in.position, in.pending = b.Pos, true
	if len(failures) == 0 && time.Since(in.toldAt) < quietInterval {
		return nil
	}
	return in.tell(ctx, failures)
}

// deliverJournal handles what came of the journal. A jail has its journal for itself: the entries of
// others do not come here.
func (in *intake) deliverJournal(ctx context.Context, b source.JournalBatch) error {
	if b.Pos == in.position {
		return nil
	}
	var failures []observedFailure
	w := in.jails[0]
	for _, entry := range b.Entries {
		now := time.Now()
		line := filter.Line{Text: entry.Text, Time: entry.Time, Stamp: journalStamp(entry.Time)}
		w.counts.lines.Add(1)
		if wanted := in.group.Scan(entry.Text); !wanted.Has(0) {
			w.session.Skip(line, now, b.InOperation)
			continue
		}
		found, err := in.process(ctx, w, line, now, b.InOperation)
		if err != nil {
			return err
		}
		failures = append(failures, found...)
	}
	in.lines.Add(int64(len(b.Entries)))
	in.position, in.pending = b.Pos, true
	if len(failures) == 0 && time.Since(in.toldAt) < quietInterval {
		return nil
	}
	return in.tell(ctx, failures)
}

// journalStamp is the date that fail2ban puts before an entry of the journal where its lines are shown.
func journalStamp(t time.Time) string {
	t = t.Local()
	if t.Nanosecond()/1000 == 0 {
		return t.Format("2006-01-02T15:04:05 ")
	}
	return t.Format("2006-01-02T15:04:05.000000 ")
}

// flush tells the engine of lines read but not told yet; called once, after the last deliver.
func (in *intake) flush(ctx context.Context) error {
	if !in.pending {
		return nil
	}
	return in.tell(ctx, nil)
}

func (in *intake) tell(ctx context.Context, failures []observedFailure) error {
	names := make([]string, 0, len(in.jails))
	for _, w := range in.jails {
		if in.position.Cursor != "" || !w.resume.Covers(in.position, in.position.Offset) {
			names = append(names, w.jail.Name())
		}
	}
	if err := in.engine.send(ctx, observed{failures, in.position, names}); err != nil {
		return err
	}
	in.pending, in.toldAt = false, time.Now()
	return nil
}

// process asks the jail's filter about a line and makes failures of what it says.
func (in *intake) process(ctx context.Context, w *watch, line filter.Line, now time.Time, inOperation bool) ([]observedFailure, error) {
	r := w.session.Examine(line, now, inOperation)
	for _, n := range r.Notices {
		if n.Kind == filter.NoticeGaveUp {
			w.counts.gaveUp.Add(1)
			w.counts.slow.add(slowRegex{n.Role, n.Regex})
		}
		in.daily.notice(in.log, w.jail.Name(), in.path, n)
	}
	switch r.Verdict {
	case filter.Matched:
		w.counts.matched.Add(1)
	case filter.Ignored:
		w.counts.ignored.Add(1)
	case filter.Missed, filter.TooOld:
	}
	var failures []observedFailure
	for _, m := range r.Matches {
		ids := []ident.ID{m.ID}
		if m.Host != "" {
			var err error
			if ids, err = in.resolve(ctx, w, m.Host); err != nil {
				return nil, err
			}
		}
		data := captured(m)
		for _, id := range ids {
			f := jail.Failure{ID: id, Time: m.Time, Attempts: m.Attempts, Lines: m.Lines, Data: data}
			by, ignored := w.ignorer.check(ctx, tagValues{id, m.IP, f.Time, f.Attempts, f.Lines, data})
			if ctx.Err() != nil {
				return nil, ctx.Err() // the answer may be wrong: the line will be read again
			}
			if ignored {
				in.engine.events.ignored(w.jail.Name(), id, by, f.Time)
				continue
			}
			in.suspect(w, &f)
			failures = append(failures, observedFailure{w.jail.Name(), f, max(m.Regex+1, 0)})
		}
	}
	return failures, nil
}

// suspect makes a failure enough for a ban if a list says that of its address.
func (in *intake) suspect(w *watch, f *jail.Failure) {
	if w.ignorer.lists == nil || !f.ID.IsAddr() {
		return
	}
	p := f.ID.Prefix()
	if !p.IsSingleIP() {
		return
	}
	if by := w.ignorer.lists.Suspect(p.Addr()); by != "" {
		f.Attempts = max(f.Attempts, w.jail.Policy.MaxRetry)
		in.log.Info("a list says that one failure is enough", "jail", w.jail.Name(), "addr", f.ID, "feed", by)
	}
}

// resolve turns a host name in a log line into the IDs to count.
func (in *intake) resolve(ctx context.Context, w *watch, host string) ([]ident.ID, error) {
	addrs, err := in.resolver.Lookup(ctx, host)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		in.log.Warn("cannot find an address for a name in the log", "jail", w.jail.Name(), "host", printable(host), "err", err)
		return nil, nil
	}
	ids := make([]ident.ID, len(addrs))
	for i, a := range addrs {
		ids[i] = ident.FromAddr(a)
	}
	if w.jail.UseDNS == filter.DNSWarn {
		in.log.Warn("took the address of a name in the log from DNS", "jail", w.jail.Name(), "host", printable(host), "addr", ids)
	}
	return ids, nil
}

// decode makes valid UTF-8 of a line's bytes; what has no meaning in the file's encoding becomes the
// replacement character, as fail2ban does it. The text is valid only as long as the bytes are: nearly
// all lines are valid, concern nobody, and need no copy.
func (in *intake) decode(b []byte) string {
	if in.decoder != nil {
		if s, err := in.decoder.Bytes(b); err == nil {
			b = s
		}
	}
	if len(b) == 0 {
		return ""
	}
	if utf8.Valid(b) {
		return unsafe.String(&b[0], len(b))
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// captured flattens a match's groups for storage and actions. Where the ID is not the address, "ip" is.
func captured(m filter.Match) map[string]string {
	if len(m.Captures) == 0 && m.IP.IsZero() {
		return nil
	}
	out := make(map[string]string, len(m.Captures)+1)
	for name, v := range m.Captures {
		out[name] = v.Text
	}
	if !m.IP.IsZero() {
		out["ip"] = m.IP.String()
	}
	return out
}

// printable makes text from a log fit for our own log: no control characters, no endless line.
func printable(s string) string {
	const longest = 200
	if len(s) > longest {
		s = s[:longest] + "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '\uFFFD'
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
