package agent

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/ident"
)

// Firewall tells how the firewall stands.
func (s service) Firewall(ctx context.Context, limit int) (control.Firewall, error) {
	out := control.Firewall{FirewallState: s.firewall(), Sets: []control.Set{}, Contents: []control.Element{}, Hooks: []control.Hook{}}
	st := s.a.parts.Firewall.Status()
	out.Memory = st.Memory
	if !st.Last.At.IsZero() {
		out.LastBatch = &control.Batch{Changes: st.Last.Changes, Seconds: st.Last.Took.Seconds(), At: st.Last.At}
	}
	for _, set := range st.Sets {
		out.Sets = append(out.Sets, control.Set{Name: set.Name, Count: set.Count, Desired: set.Desired})
	}
	if s.a.parts.Hooks != nil {
		hooks, warnings, err := s.a.parts.Hooks(ctx)
		if err != nil {
			warnings = append(warnings, fmt.Sprintf("what else handles packets here could not be read: %v", err))
		}
		out.Hooks, out.Warnings = append(out.Hooks, hooks...), warnings
	}
	if limit < 0 {
		return out, nil
	}
	elements, err := s.a.parts.Firewall.Contents(ctx, limit)
	if err != nil {
		return out, fmt.Errorf("read the kernel's sets: %w", err)
	}
	for _, e := range elements {
		c := control.Element{Set: e.Set, Prefix: ident.FromPrefix(e.Prefix).String()}
		if e.Timeout > 0 {
			left := int64(e.Timeout / time.Second)
			c.Expires = &left
		}
		out.Contents = append(out.Contents, c)
	}
	out.Truncated = limit > 0 && len(elements) >= limit
	return out, nil
}

// Blocked gives a page of what is blocked.
func (s service) Blocked(ctx context.Context, q control.BlockedQuery) (control.Blocked, error) {
	f := firewall.Query{Owner: q.Owner, After: q.After, Limit: q.Limit, Hits: q.Hits}
	for _, x := range []struct {
		name, text string
		p          *netip.Prefix
	}{{"within", q.Within, &f.Within}, {"holds", q.Holds, &f.Holds}} {
		if x.text == "" {
			continue
		}
		id := ident.Parse(x.text)
		if !id.IsAddr() {
			return control.Blocked{}, fmt.Errorf("%w: %s %.100q is no address and no network", control.ErrInvalid, x.name, x.text)
		}
		*x.p = id.Prefix()
	}
	page, err := s.a.parts.Firewall.Find(ctx, f)
	if errors.Is(err, firewall.ErrQuery) {
		err = fmt.Errorf("%w: %w", control.ErrInvalid, err)
	}
	if err != nil {
		return control.Blocked{}, err
	}
	out := control.Blocked{Entries: make([]control.BlockedEntry, 0, len(page.Entries)), Next: page.Next}
	if page.Total >= 0 {
		out.Total = &page.Total
	}
	for _, e := range page.Entries {
		c := control.BlockedEntry{Prefix: ident.FromPrefix(e.Prefix).String(), Sets: e.Sets, Owners: []control.BlockedOwner{}}
		for _, o := range e.Owners {
			owner := control.BlockedOwner{Owner: o.Owner}
			if !o.Until.IsZero() {
				owner.Until = &o.Until
			}
			c.Owners = append(c.Owners, owner)
		}
		if e.Hits != nil {
			c.Hits = &control.Hits{Present: e.Hits.Present, Packets: e.Hits.Packets, Bytes: e.Hits.Bytes}
		}
		out.Entries = append(out.Entries, c)
	}
	return out, nil
}

// Verify compares the kernel with what is wished.
func (s service) Verify(ctx context.Context, progress func(done, total int)) (control.Verification, error) {
	v, err := s.a.parts.Firewall.Verify(ctx, progress)
	return control.Verification{
		Right: err == nil && v.Right(), Wanted: v.Wanted, Held: v.Held, Missing: v.Missing, Strays: v.Strays,
		Examples: v.Examples, Rules: v.Rules, Seconds: v.Took.Seconds(),
	}, err
}
