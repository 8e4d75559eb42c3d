package report

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/store"
)

// The bounds of what is kept for each destination.
const (
	MaxWaiting = 50_000 // reports; newer ones are not taken
	MaxHistory = 50_000 // reports that are done
	// historyTime is for how long a report that is done is remembered.
	historyTime = 30 * 24 * time.Hour
	// tooOld is how old a ban may be when it is reported.
	tooOld = 7 * 24 * time.Hour
)

// ErrNoReport says that there is no report, or no destination, of a name.
var ErrNoReport = errors.New("there is no such report")

// ErrNotAgain says that a report cannot be tried again.
var ErrNotAgain = errors.New("it cannot be tried again")

// Store keeps rows. Implemented by store.DB.
type Store interface {
	// Outbox gives all rows of a destination, or of all, in the order of destination and ID.
	Outbox(destination string, each func(store.OutboxRow) bool) error
	// OutboxFrom gives those of a destination from an ID on.
	OutboxFrom(destination string, from uint64, each func(store.OutboxRow) bool) error
	// CommitOutbox writes rows; when it returns nil they are on the disk.
	CommitOutbox(rows []store.OutboxRow) error
}

// Options are what a Desk needs. Store is required.
type Options struct {
	Store Store
	Log   *slog.Logger // nil logs nothing
	Now   func() time.Time
	Facts func() Facts // nil: there are none
}

// Setup is a destination with the rules for it.
type Setup struct {
	Rules
	Destination
	// Same is equal for destinations that are set up in the same way, so that a reload leaves them alone.
	Same string
	// Pace is the least time between two reports; 0 is a second.
	Pace time.Duration
}

// Desk owns the reports: those that wait, and what is remembered of those that are done. Its methods are safe for
// concurrent use.
type Desk struct {
	store Store
	log   *slog.Logger
	now   func() time.Time
	facts func() Facts

	mu    sync.Mutex // guards the fields below
	boxes map[string]*box
	order []string // of the configuration; boxes without a setup are not in it
	next  uint64   // ID of the next report
	runs  runs
}

// Counts are numbers of a destination since the start.
type Counts struct {
	Sent, Known, Refused, Failed, Cancelled uint64
}

// NewDesk makes a Desk without destinations; see Load and Set.
func NewDesk(o Options) *Desk {
	d := &Desk{store: o.Store, log: o.Log, now: o.Now, facts: o.Facts, boxes: map[string]*box{}, next: 1}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	if d.now == nil {
		d.now = time.Now
	}
	if d.facts == nil {
		d.facts = func() Facts { return Facts{} }
	}
	d.runs.workers = map[string]*run{}
	return d
}

// Load takes over what the last run has left. It is called once, before anything is staged.
func (d *Desk) Load() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.store.Outbox("", func(o store.OutboxRow) bool {
		b := d.box(o.Destination)
		d.next = max(d.next, o.ID+1)
		if o.ID == 0 {
			b.account = decodeAccount(o.Value)
			return true
		}
		r, err := decode(o)
		if err != nil {
			d.log.Error("a damaged report is left out", "err", err)
			return true
		}
		if r.State == Waiting {
			b.add(o.ID, &item{addr: r.Report.Addr, jail: r.Report.Jail, due: r.Due, banned: r.Report.Banned, tries: r.Tries, stored: true})
		} else {
			b.done[o.ID] = r.Done
		}
		if r.State != Cancelled && r.State != Dropped {
			b.last[r.Report.Addr] = later(b.last[r.Report.Addr], r.Report.Banned)
			if d.now().Sub(r.Report.Banned) < FloodTime {
				b.recent = append(b.recent, r.Report.Banned)
			}
		}
		return true
	})
}

// box gives what belongs to a destination. mu is held.
func (d *Desk) box(name string) *box {
	b := d.boxes[name]
	if b == nil {
		b = newBox(name)
		d.boxes[name] = b
	}
	return b
}

// Stage gives the rows that follow from a new ban. They are sent once Stored has been told of them.
func (d *Desk) Stage(bans []Ban) (rows []store.OutboxRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.order) == 0 || len(bans) == 0 {
		return nil
	}
	facts, now := d.facts(), d.now()
	for _, ban := range bans {
		for _, name := range d.order {
			b := d.boxes[name]
			if why := d.forbids(b, ban, facts); why != "" {
				continue
			}
			if len(b.waiting) >= MaxWaiting {
				if b.refused++; b.refused == 1 {
					d.log.Error("too many reports wait; newer ones are not taken", "report", name, "waiting", len(b.waiting))
				}
				continue
			}
			r := Row{Destination: name, Report: b.setup.Make(ban, facts), State: Waiting, Due: now.Add(b.setup.Hold).UTC()}
			r.Report.ID = d.next
			d.next++
			b.add(r.Report.ID, &item{addr: r.Report.Addr, jail: ban.Jail, due: r.Due, banned: r.Report.Banned})
			b.last[r.Report.Addr] = r.Report.Banned
			d.watchFlood(b, now)
			rows = append(rows, r.encode())
		}
	}
	return rows
}

// forbids says why a ban is not reported to a destination; empty if it is. mu is held.
func (d *Desk) forbids(b *box, ban Ban, facts Facts) string {
	if why := b.setup.Forbids(ban, facts); why != "" {
		return why
	}
	last, known := b.last[ban.Prefix.Addr().Unmap()]
	if known && b.setup.Dedupe > 0 && ban.Banned.Sub(last) < b.setup.Dedupe {
		return fmt.Sprintf("it was reported for a ban at %s, and again only %s later", last.UTC().Format(time.DateTime), b.setup.Dedupe)
	}
	return ""
}

// watchFlood sees whether there are too many. mu is held.
func (d *Desk) watchFlood(b *box, now time.Time) {
	if b.setup.Flood <= 0 {
		b.recent = nil
		return
	}
	b.recent = append(slices.DeleteFunc(b.recent, func(t time.Time) bool { return now.Sub(t) >= FloodTime }), now)
	if len(b.recent) <= b.setup.Flood {
		return
	}
	b.recent = b.recent[1:]
	if b.flood.IsZero() {
		d.log.Error("so many addresses were banned that nothing is reported until it is quiet: a regex may be wrong, or senders forged",
			"report", b.name, "more_than", b.setup.Flood, "within", FloodTime)
	}
	b.flood = now
}

// Cancel gives the rows that follow from the lifting of a ban: its reports that wait are not sent.
func (d *Desk) Cancel(jail string, p netip.Prefix) (rows []store.OutboxRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !p.IsValid() || !p.IsSingleIP() {
		return nil
	}
	a := p.Addr().Unmap()
	for _, b := range d.boxes {
		for _, id := range slices.Clone(b.at[a]) {
			i := b.waiting[id]
			switch {
			case i.jail != jail:
				continue
			case i.busy:
				i.lifted = true // if it cannot be sent now, it is not sent later
				continue
			}
			row := d.finish(b, id, Row{State: Cancelled, Detail: liftedDetail, Report: Report{Addr: a, Jail: jail, Banned: i.banned}})
			rows = append(rows, row)
			b.again(row)
			b.counts.Cancelled++
			b.forget(a, i.banned)
		}
	}
	return rows
}

const liftedDetail = "the ban was lifted"

// finish takes a report out of those that wait and gives its row. mu is held.
func (d *Desk) finish(b *box, id uint64, r Row) store.OutboxRow {
	b.remove(id)
	r.Destination, r.Report.ID, r.Done = b.name, id, d.now().UTC()
	b.done[id] = r.Done
	return r.encode()
}

// Stored is told that rows are on the disk, so that they may be sent.
func (d *Desk) Stored(rows []store.OutboxRow) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range rows {
		b := d.boxes[r.Destination]
		if b == nil {
			continue
		}
		if i := b.waiting[r.ID]; i != nil {
			i.stored = true
		}
		b.rouse()
	}
}

// prune gives the rows of reports that need not be remembered any more. mu is held.
func (d *Desk) prune(b *box, now time.Time) (rows []store.OutboxRow) {
	ids := slices.Sorted(maps.Keys(b.done))
	for n, id := range ids {
		if len(ids)-n <= MaxHistory && now.Sub(b.done[id]) < historyTime {
			continue
		}
		rows = append(rows, store.OutboxRow{Destination: b.name, ID: id})
		delete(b.done, id)
	}
	window := historyTime
	if b.setup != nil {
		window = max(b.setup.Dedupe, time.Hour)
	}
	maps.DeleteFunc(b.last, func(_ netip.Addr, t time.Time) bool { return now.Sub(t) >= window })
	return rows
}

// DestinationStatus is how a destination stands.
type DestinationStatus struct {
	Name       string
	Configured bool
	Waiting    int
	Due        time.Time // when the next is sent; zero: none waits
	Used       int       // today
	Budget     int
	Until      time.Time // nothing is taken before
	Trouble    string    // why nothing is sent; empty if nothing is wrong
	Lost       int       // reports that were not taken since too many waited
	Counts     Counts
}

// Status tells how the destinations stand: those of the configuration in their order, then those that are not in
// it any more and have reports.
func (d *Desk) Status() (all []DestinationStatus) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	for _, name := range slices.Sorted(maps.Keys(d.boxes)) {
		b := d.boxes[name]
		s := DestinationStatus{Name: name, Configured: b.setup != nil, Waiting: len(b.waiting), Used: b.account.used(now), Lost: b.refused, Counts: b.counts}
		if _, at := b.due(); len(b.waiting) > 0 {
			s.Due = at
		}
		if b.account.Until.After(now) {
			s.Until = b.account.Until
		}
		if b.setup != nil {
			s.Budget = b.setup.Budget
		}
		switch {
		case b.broken != "":
			s.Trouble = b.broken
		case b.flooding(now):
			s.Trouble = fmt.Sprintf("more than %d addresses within %s: nothing is reported until it is quiet; agentctl report retry --all goes on at once", b.setup.Flood, FloodTime)
		case len(b.unsaved) > 0:
			s.Trouble = "what became of a report cannot be saved: nothing is sent until it can"
		}
		if s.Configured || s.Waiting > 0 {
			all = append(all, s)
		}
	}
	slices.SortStableFunc(all, func(x, y DestinationStatus) int {
		return cmp.Compare(d.place(x.Name), d.place(y.Name))
	})
	return all
}

func (d *Desk) place(name string) int {
	if i := slices.Index(d.order, name); i >= 0 {
		return i
	}
	return len(d.order)
}
