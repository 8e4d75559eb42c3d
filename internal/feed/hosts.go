package feed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
)

// maxHostAddrs bounds the addresses of one name.
const maxHostAddrs = 1000

// hosts asks for the addresses of names and writes a new copy. A name that cannot be asked for keeps those that
// it had; the error is of the first of them.
func (w *worker) hosts(ctx context.Context, old origin) (f fetched, err error) {
	now := w.now()
	f.origin = origin{Source: w.source.identity(), Fetched: now, Changed: now}
	g, err := w.gather()
	if err != nil {
		return f, err
	}
	before := make([][]Entry, len(w.source.Hosts))
	if old.Source == f.origin.Source {
		_, err := w.copies.read(w.source.Name, func(k kept) {
			if k.part >= 0 && k.part < len(before) {
				before[k.part] = append(before[k.part], k.Entry)
			}
		})
		if err != nil {
			before = make([][]Entry, len(w.source.Hosts))
		}
	}
	var failed error
	changed := old.Source != f.origin.Source
	for i, name := range w.source.Hosts {
		addrs, err := w.lookup(ctx, name)
		if err == nil && len(addrs) == 0 {
			err = errors.New("it has no address")
		}
		if ctx.Err() != nil {
			g.w.drop()
			return f, ctx.Err()
		}
		found := before[i]
		if err != nil {
			failed = cmp.Or(failed, fmt.Errorf("the addresses of %s: %w", name, err))
		} else {
			found = hostEntries(addrs)
		}
		changed = changed || !slices.Equal(found, before[i])
		for _, e := range found {
			g.take(i, e)
		}
		f.origin.Parts = append(f.origin.Parts, partTag{Lines: len(found)})
	}
	switch {
	case failed != nil && !changed:
		g.w.drop()
		return f, failed
	case !changed:
		g.w.drop()
		f.origin.Changed, f.origin.Sum, f.origin.Entries = old.Changed, old.Sum, old.Entries
		if err := w.copies.note(w.source.Name, f.origin); err != nil {
			return f, fmt.Errorf("keep a copy of the list: %w", err)
		}
		return f, errUnchanged
	}
	if failed != nil {
		f.notes = append(f.notes, failed.Error()+"; the last addresses that it had count")
	}
	if err := w.settle(g, &f, old); err != nil {
		return f, cmp.Or(failed, err)
	}
	return f, nil
}

// hostEntries makes entries of the addresses of a name, always in the same order.
func hostEntries(addrs []netip.Addr) (all []Entry) {
	addrs = slices.Clone(addrs[:min(len(addrs), maxHostAddrs)])
	for i := range addrs {
		addrs[i] = addrs[i].Unmap().WithZone("")
	}
	slices.SortFunc(addrs, netip.Addr.Compare)
	for _, a := range slices.Compact(addrs) {
		all = append(all, Entry{First: a, Last: a, Score: NoScore})
	}
	return all
}
