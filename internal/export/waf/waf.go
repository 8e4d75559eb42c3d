// Package waf keeps IP sets of AWS WAF in line with a list of addresses. It is linked by agent-aws alone.
//
// What AWS documents of IP sets: one family each, any prefix length but 0, at most 10,000 entries; an update replaces
// all of them and wants the lock token of the last reading; no more than one write a second for each account and
// region. A list with more entries is spread over sets NAME-v4, NAME-v4-2, NAME-v4-3 and so on.
package waf

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/wafv2"
	"github.com/aws/aws-sdk-go-v2/service/wafv2/types"
)

const (
	// MaxEntries is how many entries an IP set holds.
	MaxEntries = 10_000
	// writeEvery is the least time between two writes.
	writeEvery = time.Second
	// lockTries is how often a set is read anew because somebody else has written it in between.
	lockTries = 5
	maxSets   = 10_000
)

// API are the calls that are made; *wafv2.Client has them.
type API interface {
	ListIPSets(context.Context, *wafv2.ListIPSetsInput, ...func(*wafv2.Options)) (*wafv2.ListIPSetsOutput, error)
	GetIPSet(context.Context, *wafv2.GetIPSetInput, ...func(*wafv2.Options)) (*wafv2.GetIPSetOutput, error)
	CreateIPSet(context.Context, *wafv2.CreateIPSetInput, ...func(*wafv2.Options)) (*wafv2.CreateIPSetOutput, error)
	UpdateIPSet(context.Context, *wafv2.UpdateIPSetInput, ...func(*wafv2.Options)) (*wafv2.UpdateIPSetOutput, error)
}

// Options say which sets are kept.
type Options struct {
	Name     string // of the sets, before -v4 and -v6
	Scope    types.Scope
	Create   bool // sets that are not there are made
	Shards   int  // sets of a family, at most; 0 is one
	MayEmpty bool // sets with entries may become empty, though the list as a whole is
	// Wait waits between writes; nil waits for the time.
	Wait func(ctx context.Context, d time.Duration) error
}

// Errors that have a next step.
var (
	// ErrMissing says that a set is not there.
	ErrMissing = errors.New("there is no such IP set")
	// ErrEmpty says that the list is empty and the sets are not.
	ErrEmpty = errors.New("the list is empty")
)

// Change is what is to be done to one set.
type Change struct {
	Set    string `json:"set"`
	ID     string `json:"id,omitempty"`
	Create bool   `json:"create,omitempty"`
	Add    int    `json:"add"`
	Remove int    `json:"remove"`
	Holds  int    `json:"holds"` // entries, afterwards
	Done   bool   `json:"done"`
	Err    string `json:"error,omitempty"`

	want []string
	v6   bool
}

// Report is what a run found and did.
type Report struct {
	Changes []Change `json:"changes"`
	Same    int      `json:"unchanged"`
	Cut     int      `json:"cut"` // entries that there is no room for
}

// Keeper keeps sets. It is not safe for concurrent use.
type Keeper struct {
	api  API
	o    Options
	last time.Time // of the last write
}

// New makes a Keeper.
func New(api API, o Options) *Keeper {
	if o.Shards <= 0 {
		o.Shards = 1
	}
	if o.Wait == nil {
		o.Wait = func(ctx context.Context, d time.Duration) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(d):
				return nil
			}
		}
	}
	return &Keeper{api: api, o: o}
}

// wanted spreads a list over sets.
func (k *Keeper) wanted(list []netip.Prefix) (sets []Change, cut int) {
	for _, v6 := range []bool{false, true} {
		var all []string
		for _, p := range list {
			if p.IsValid() && p.Bits() > 0 && p.Addr().Is6() == v6 {
				all = append(all, p.Masked().String())
			}
		}
		slices.Sort(all)
		all = slices.Compact(all)
		for i := range k.o.Shards {
			n := min(len(all), MaxEntries)
			sets = append(sets, Change{Set: k.name(v6, i), want: all[:n:n], v6: v6})
			all = all[n:]
		}
		cut += len(all)
	}
	return sets, cut
}

func (k *Keeper) name(v6 bool, shard int) string {
	name := k.o.Name + "-v4"
	if v6 {
		name = k.o.Name + "-v6"
	}
	if shard > 0 {
		name += "-" + strconv.Itoa(shard+1)
	}
	return name
}

// Plan says what is to be done for a list, and does nothing.
func (k *Keeper) Plan(ctx context.Context, list []netip.Prefix) (r Report, err error) {
	ids, err := k.ids(ctx)
	if err != nil {
		return r, err
	}
	sets, cut := k.wanted(list)
	r.Cut = cut
	held := 0
	for _, c := range sets {
		id, there := ids[c.Set]
		c.ID, c.Create, c.Holds = id, !there, len(c.want)
		var has []string
		switch {
		case !there && len(c.want) == 0:
			continue // nothing would be in it
		case !there && !k.o.Create:
			return r, fmt.Errorf("%w: %s in scope %s: make it in the console, or let agent-aws with --create", ErrMissing, c.Set, k.o.Scope)
		case there:
			got, err := k.get(ctx, c.Set, id)
			if err != nil {
				return r, err
			}
			has = got.IPSet.Addresses
		}
		held += len(has)
		c.Add, c.Remove = differences(has, c.want)
		if c.Add+c.Remove == 0 && there {
			r.Same++
			continue
		}
		r.Changes = append(r.Changes, c)
	}
	if len(list) == 0 && held > 0 && !k.o.MayEmpty {
		return r, fmt.Errorf("%w, and the sets hold %d entries: they stay as they are; if that is right, use --allow-empty", ErrEmpty, held)
	}
	return r, nil
}

// Sync brings the sets in line with a list. A set that fails does not stop the others; the error joins what went
// wrong, and the report says which.
func (k *Keeper) Sync(ctx context.Context, list []netip.Prefix) (Report, error) {
	r, err := k.Plan(ctx, list)
	if err != nil {
		return r, err
	}
	for i := range r.Changes {
		c := &r.Changes[i]
		if e := k.change(ctx, c); e != nil {
			c.Err = e.Error()
			err = errors.Join(err, fmt.Errorf("IP set %s: %w", c.Set, e))
			if ctx.Err() != nil {
				break
			}
			continue
		}
		c.Done = true
	}
	return r, err
}

func (k *Keeper) change(ctx context.Context, c *Change) error {
	if c.Create {
		if err := k.pace(ctx); err != nil {
			return err
		}
		version := types.IPAddressVersionIpv4
		if c.v6 {
			version = types.IPAddressVersionIpv6
		}
		_, err := k.api.CreateIPSet(ctx, &wafv2.CreateIPSetInput{
			Name: &c.Set, Scope: k.o.Scope, IPAddressVersion: version, Addresses: append([]string{}, c.want...), Description: aws.String("kept by agent-aws of Palisade"),
		})
		return err
	}
	for try := 1; ; try++ {
		got, err := k.get(ctx, c.Set, c.ID)
		if err != nil {
			return err
		}
		if add, remove := differences(got.IPSet.Addresses, c.want); add+remove == 0 {
			return nil // somebody else did it
		}
		if err := k.pace(ctx); err != nil {
			return err
		}
		_, err = k.api.UpdateIPSet(ctx, &wafv2.UpdateIPSetInput{
			Name: &c.Set, Id: &c.ID, Scope: k.o.Scope, Addresses: append([]string{}, c.want...), LockToken: got.LockToken, Description: got.IPSet.Description,
		})
		if _, locked := errors.AsType[*types.WAFOptimisticLockException](err); !locked || try == lockTries {
			return err
		}
	}
}

func (k *Keeper) get(ctx context.Context, name, id string) (*wafv2.GetIPSetOutput, error) {
	got, err := k.api.GetIPSet(ctx, &wafv2.GetIPSetInput{Name: &name, Id: &id, Scope: k.o.Scope})
	if err != nil {
		return nil, fmt.Errorf("read IP set %s: %w", name, err)
	}
	if got.IPSet == nil {
		return nil, fmt.Errorf("read IP set %s: the answer has none", name)
	}
	return got, nil
}

// pace waits until the next write is allowed.
func (k *Keeper) pace(ctx context.Context) error {
	if wait := writeEvery - time.Since(k.last); !k.last.IsZero() && wait > 0 {
		if err := k.o.Wait(ctx, wait); err != nil {
			return err
		}
	}
	k.last = time.Now()
	return nil
}

// ids are those of all sets of the scope, by name.
func (k *Keeper) ids(ctx context.Context) (map[string]string, error) {
	ids := map[string]string{}
	var marker *string
	for {
		page, err := k.api.ListIPSets(ctx, &wafv2.ListIPSetsInput{Scope: k.o.Scope, Limit: aws.Int32(100), NextMarker: marker})
		if err != nil {
			return nil, fmt.Errorf("list the IP sets: %w", err)
		}
		for _, s := range page.IPSets {
			ids[aws.ToString(s.Name)] = aws.ToString(s.Id)
		}
		if len(page.IPSets) == 0 || aws.ToString(page.NextMarker) == "" || len(ids) > maxSets {
			return ids, nil
		}
		marker = page.NextMarker
	}
}

// differences counts what two lists do not share. AWS gives addresses back as it writes them.
func differences(has, want []string) (add, remove int) {
	set := map[string]bool{}
	for _, s := range has {
		if p, err := netip.ParsePrefix(s); err == nil {
			s = p.Masked().String()
		}
		set[s] = true
	}
	for _, s := range want {
		if set[s] {
			delete(set, s)
		} else {
			add++
		}
	}
	return add, len(set)
}
