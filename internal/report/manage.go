package report

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/store"
)

// Query says which reports are meant. Zero fields are not asked for.
type Query struct {
	Destination string
	State       State
	Addr        netip.Addr
	Limit       int // at most so many, the newest; 0: all
}

// listPage is how many rows are read at a time: the store is held up meanwhile.
const listPage = 1000

// List gives reports, the newest first.
func (d *Desk) List(q Query) (all []Row, err error) {
	d.mu.Lock()
	names := slices.Sorted(maps.Keys(d.boxes))
	d.mu.Unlock()
	for _, name := range names {
		if q.Destination != "" && q.Destination != name {
			continue
		}
		for from := uint64(1); from != 0; {
			var page []store.OutboxRow
			err := d.store.OutboxFrom(name, from, func(o store.OutboxRow) bool {
				page = append(page, o)
				return len(page) < listPage
			})
			if err != nil {
				return nil, err
			}
			all = append(all, q.among(page)...)
			if q.Limit > 0 && len(all) > 4*q.Limit {
				all = newest(all, q.Limit)
			}
			from = 0
			if len(page) == listPage {
				from = page[listPage-1].ID + 1
			}
		}
	}
	return newest(all, q.Limit), nil
}

// among gives those of a page that are meant. Damaged ones were told of when they were loaded.
func (q Query) among(page []store.OutboxRow) (all []Row) {
	for _, o := range page {
		r, err := decode(o)
		if err == nil && (q.State == "" || r.State == q.State) && (!q.Addr.IsValid() || r.Report.Addr == q.Addr) {
			all = append(all, r)
		}
	}
	return all
}

func newest(all []Row, limit int) []Row {
	slices.SortFunc(all, func(a, b Row) int {
		switch {
		case a.Report.ID > b.Report.ID:
			return -1
		case a.Report.ID < b.Report.ID:
			return 1
		}
		return 0
	})
	if limit > 0 && len(all) > limit {
		all = all[:limit:limit]
	}
	return all
}

// Show gives one report.
func (d *Desk) Show(id uint64) (Row, error) {
	d.mu.Lock()
	var destination string
	for _, b := range d.boxes {
		if _, done := b.done[id]; done || b.waiting[id] != nil {
			destination = b.name
		}
	}
	d.mu.Unlock()
	if destination == "" {
		return Row{}, fmt.Errorf("%w: %d; agentctl report tells those there are", ErrNoReport, id)
	}
	return d.row(destination, id)
}

// Retry has reports that wait tried at once, and those that were refused tried again; without IDs, all that wait. It
// also goes on where a destination was broken, or there was a flood. It gives how many are tried.
func (d *Desk) Retry(ids []uint64) (n int, err error) {
	again, err := d.again(ids)
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now().UTC()
	for _, b := range d.boxes {
		var rows []store.OutboxRow
		for _, r := range again {
			if r.Destination != b.name {
				continue
			}
			id := r.Report.ID
			if b.waiting[id] == nil {
				delete(b.done, id)
				b.add(id, &item{addr: r.Report.Addr, jail: r.Report.Jail, banned: r.Report.Banned, stored: true})
				r.State, r.Done = Waiting, time.Time{}
				r.Due = now
				rows = append(rows, r.encode())
			}
			b.waiting[id].due = now
			n++
		}
		if len(ids) == 0 {
			for _, i := range b.waiting {
				i.due = now
				n++
			}
		}
		if len(rows) > 0 || len(ids) == 0 {
			b.broken, b.flood, b.recent, b.pause = "", time.Time{}, nil, time.Time{}
			b.unsaved = append(b.unsaved, rows...)
		}
		b.pause = time.Time{}
		b.rouse()
	}
	return n, nil
}

// again reads the reports that are to be tried again.
func (d *Desk) again(ids []uint64) (all []Row, err error) {
	for _, id := range ids {
		r, err := d.Show(id)
		if err != nil {
			return nil, err
		}
		switch r.State {
		case Waiting, IsRefused:
		case IsSent, IsKnown:
			return nil, fmt.Errorf("%w: report %d has been sent: it is not sent twice", ErrNotAgain, id)
		default:
			return nil, fmt.Errorf("%w: report %d is %s (%s): only those that wait or were refused are tried again", ErrNotAgain, id, r.State, r.Detail)
		}
		all = append(all, r)
	}
	return all, nil
}

// Drop has reports that wait never sent; without IDs all of a destination, or of all of them if it is empty. It
// gives how many were dropped.
func (d *Desk) Drop(ids []uint64, destination string) (n int, err error) {
	var rows []store.OutboxRow
	only := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		only[id] = true
	}
	d.mu.Lock()
	for _, b := range d.boxes {
		if destination != "" && b.name != destination {
			continue
		}
		for id, i := range b.waiting {
			// One whose row is on its way to the disk, or to the destination, cannot be taken back any more.
			if i.busy || !i.stored || len(only) > 0 && !only[id] {
				continue
			}
			row := d.finish(b, id, Row{State: Dropped, Detail: "by an operator", Report: Report{Addr: i.addr, Jail: i.jail, Banned: i.banned}})
			rows = append(rows, row)
			b.again(row)
			b.forget(i.addr, i.banned)
		}
	}
	d.mu.Unlock()
	if len(rows) == 0 {
		if len(ids) > 0 {
			return 0, fmt.Errorf("%w that waits among %v", ErrNoReport, ids)
		}
		return 0, nil
	}
	return len(rows), d.store.CommitOutbox(rows)
}

// Preview is what a ban would mean for a destination.
type Preview struct {
	Destination string
	Why         string // it is not reported because; empty: it is
	Report      Report
	Due         time.Time
	Request     string // as it would be sent, without keys
}

// Preview tells what a ban would be reported as, and where not and why.
func (d *Desk) Preview(ban Ban) (all []Preview) {
	d.mu.Lock()
	defer d.mu.Unlock()
	facts := d.facts()
	for _, name := range d.order {
		b := d.boxes[name]
		p := Preview{Destination: name, Why: d.forbids(b, ban, facts), Report: b.setup.Make(ban, facts), Due: d.now().Add(b.setup.Hold).UTC()}
		if x, can := b.setup.Destination.(Previewer); can {
			p.Request = x.Preview(p.Report)
		}
		all = append(all, p)
	}
	return all
}

// Retracted is what a destination says to the taking back of reports.
type Retracted struct {
	Destination string
	Detail      string
	Err         error
}

// Retract takes back, where that can be done, what was said of an address, and cancels what waits.
func (d *Desk) Retract(ctx context.Context, a netip.Addr) (all []Retracted, err error) {
	a = a.Unmap()
	var ids []uint64
	to := map[string]Destination{}
	d.mu.Lock()
	for _, name := range d.order {
		to[name] = d.boxes[name].setup.Destination
	}
	for _, b := range d.boxes {
		ids = append(ids, b.at[a]...)
	}
	order := slices.Clone(d.order)
	d.mu.Unlock()
	if len(ids) > 0 {
		if _, err := d.Drop(ids, ""); err != nil && !errors.Is(err, ErrNoReport) {
			return nil, err
		}
	}
	sent, err := d.List(Query{Addr: a})
	if err != nil {
		return nil, err
	}
	for _, name := range order {
		if !slices.ContainsFunc(sent, func(r Row) bool { return r.Destination == name && (r.State == IsSent || r.State == IsKnown) }) {
			continue
		}
		r, can := to[name].(Retractor)
		if !can {
			all = append(all, Retracted{name, "", fmt.Errorf("nothing can be taken back there by itself: ask %s to delist %s", strings.ToUpper(name[:1])+name[1:], a)})
			continue
		}
		detail, err := r.Retract(ctx, a)
		all = append(all, Retracted{name, detail, err})
	}
	return all, nil
}
