package bench

import (
	"context"
	"net/netip"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

const (
	jail = "jail:bench"
	feed = "feed:bench"
	hour = time.Hour
)

func scopes() []firewall.Scope {
	return []firewall.Scope{
		{Owner: jail, Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 22, Last: 22}}},
		{Owner: feed, Feed: true},
	}
}

// banned gives the i-th address that is banned here. None is in a feed.
func banned(i int) netip.Prefix { return cidr.Prefix4(100<<24|64<<16+uint32(i), 32) }

func wishes(begin, n int) []firewall.Wish {
	until := time.Now().Add(hour)
	out := make([]firewall.Wish, n)
	for i := range out {
		out[i] = firewall.Wish{Owner: jail, Prefix: banned(begin + i), Until: until}
	}
	return out
}

// keeper is a Keeper that runs.
type keeper struct {
	*firewall.Keeper
	r    *rig
	stop context.CancelFunc
	done chan error
}

// start runs a Keeper from nothing.
func (r *rig) start(o firewall.KeeperOptions) *keeper {
	r.Helper()
	b, err := r.part.open()
	if err != nil {
		r.Skipf("no %s here: %v", r.part.backend, err)
	}
	o.LargeAt = r.part.largeAt
	k := &keeper{firewall.NewKeeper(b, o), r, nil, make(chan error, 1)}
	ctx, stop := context.WithCancel(r.Context())
	k.stop = stop
	k.SetScopes(scopes())
	go func() { k.done <- k.Run(ctx) }()
	return k
}

// sync waits until the kernel has everything.
func (k *keeper) sync() {
	k.r.Helper()
	if err := k.Sync(k.r.Context()); err != nil {
		k.r.Fatal(err)
	}
}

// holds demands that the kernel holds exactly n elements.
func (k *keeper) holds(n int) {
	k.r.Helper()
	if got := k.Status().Elements; got != n {
		k.r.Fatalf("the kernel holds %d elements, want %d", got, n)
	}
}

// end removes everything.
func (k *keeper) end() {
	k.r.Helper()
	k.stop()
	if err := <-k.done; err != nil {
		k.r.Fatal(err)
	}
	if err := k.Close(false); err != nil {
		k.r.Fatal(err)
	}
}

// seconds since a moment.
func seconds(begin time.Time) float64 { return time.Since(begin).Seconds() }

// measureSingle: one ban after the other, by the backend alone and by a Keeper.
func measureSingle(r *rig) {
	b, err := r.part.open()
	if err != nil {
		r.Skipf("no %s here: %v", r.part.backend, err)
	}
	t := firewall.NewTable()
	t.SetScopes(scopes()[:1])
	layout := t.Layout()
	if _, err := b.Survey(layout); err != nil {
		r.Fatal(err)
	}
	if err := b.Prepare(layout); err != nil {
		r.Fatal(err)
	}
	if err := b.Commit(layout); err != nil {
		r.Fatal(err)
	}
	set := layout.Sets[0]
	for _, s := range layout.Sets {
		if !s.V6 && s.Bits == 32 {
			set = s
		}
	}
	var took []float64
	for i := range r.sizes.Single {
		change := []firewall.Change{{Set: set, Prefix: banned(i), Timeout: hour, Fresh: true}}
		begin := time.Now()
		err := b.Apply(change)
		took = append(took, seconds(begin))
		if err != nil {
			r.Fatal(err)
		}
	}
	r.of("apply.median", median(took))
	r.of("apply.p99", quantile(took, 0.99))
	if err := b.Close(false); err != nil {
		r.Fatal(err)
	}

	k := r.start(firewall.KeeperOptions{})
	defer k.end()
	k.sync()
	took = took[:0]
	for i := range r.sizes.Single {
		ban := wishes(i, 1)
		begin := time.Now()
		k.Submit(ban)
		k.sync()
		took = append(took, seconds(begin))
	}
	k.holds(r.sizes.Single)
	r.of("ban.median", median(took))
	r.of("ban.p99", quantile(took, 0.99))
}

// measureMany: many bans at once, and very many from nothing.
func measureMany(r *rig) {
	var burst, restore []float64
	for range r.sizes.Rounds {
		k := r.start(firewall.KeeperOptions{})
		k.sync()
		bans := wishes(0, r.sizes.Burst)
		begin := time.Now()
		k.Submit(bans)
		k.sync()
		burst = append(burst, seconds(begin))
		k.holds(r.sizes.Burst)
		k.end()

		bans = wishes(0, r.sizes.Restore)
		b, err := r.part.open()
		if err != nil {
			r.Fatal(err)
		}
		begin = time.Now()
		k = &keeper{firewall.NewKeeper(b, firewall.KeeperOptions{}), r, nil, make(chan error, 1)}
		ctx, stop := context.WithCancel(r.Context())
		k.stop = stop
		k.SetScopes(scopes())
		k.Submit(bans)
		go func() { k.done <- k.Run(ctx) }()
		k.sync()
		restore = append(restore, seconds(begin))
		k.holds(r.sizes.Restore)
		k.end()
	}
	r.of("burst", median(burst))
	r.of("restore", median(restore))
}
