package firewall_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// fake is a Memory whose calls fail as scripted: with the error, before or after it was applied.
type fake struct {
	*firewall.Memory
	mu      sync.Mutex
	script  []failure
	refused netip.Prefix // a change of it is refused, with all that comes with it
	batches []int        // sizes of what Apply was given
	commits int          // calls of Commit
}

type failure struct {
	err     error
	applied bool
}

var errDisk = errors.New("no buffer space")

func (f *fake) next() failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.script) == 0 {
		return failure{}
	}
	n := f.script[0]
	f.script = f.script[1:]
	return n
}

func (f *fake) Apply(changes []firewall.Change) error {
	n := f.next()
	f.mu.Lock()
	f.batches = append(f.batches, len(changes))
	refused := f.refused
	f.mu.Unlock()
	for _, c := range changes {
		if c.Prefix == refused {
			return errors.New("invalid argument")
		}
	}
	if n.err == nil || n.applied {
		if err := f.Memory.Apply(changes); err != nil {
			return err
		}
	}
	return n.err
}

func (f *fake) Commit(l firewall.Layout) error {
	n := f.next()
	f.mu.Lock()
	f.commits++
	f.mu.Unlock()
	if n.err == nil || n.applied {
		if err := f.Memory.Commit(l); err != nil {
			return err
		}
	}
	return n.err
}

var ssh = firewall.Scope{Owner: "jail:sshd", Protocols: []firewall.Protocol{"tcp"}, Ports: []firewall.PortRange{{First: 22, Last: 22}}}

func ban(addr string, d time.Duration) firewall.Wish {
	w := firewall.Wish{Owner: "jail:sshd", Prefix: host(addr)}
	if d > 0 {
		w.Until = time.Now().Add(d)
	}
	return w
}

func unban(addr string) firewall.Wish {
	return firewall.Wish{Owner: "jail:sshd", Prefix: host(addr), Release: true}
}

func host(text string) netip.Prefix {
	if strings.Contains(text, "/") {
		return netip.MustParsePrefix(text)
	}
	a := netip.MustParseAddr(text)
	return netip.PrefixFrom(a, a.BitLen())
}

// start runs a Keeper until the test ends.
func start(t *testing.T, b firewall.Backend, o firewall.KeeperOptions) (*firewall.Keeper, <-chan error) {
	t.Helper()
	k := firewall.NewKeeper(b, o)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- k.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		synctest.Wait()
	})
	return k, ended
}

func contents(t *testing.T, b firewall.Backend) string {
	t.Helper()
	v, err := b.Inspect(-1)
	if err != nil {
		t.Fatal(err)
	}
	firewall.SortElements(v.Elements)
	var s []string
	for _, e := range v.Elements {
		s = append(s, fmt.Sprintf("%s %s %s", e.Set, e.Prefix, e.Timeout))
	}
	return strings.Join(s, "\n")
}

func wantContents(t *testing.T, b firewall.Backend, want ...string) {
	t.Helper()
	if got := contents(t, b); got != strings.Join(want, "\n") {
		t.Errorf("the kernel holds\n%s\nwant\n%s", got, strings.Join(want, "\n"))
	}
}

func TestKeeperBringsWishesToTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		k, _ := start(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.1", time.Hour), ban("2001:db8::1", 0), ban("198.51.100.7/24", time.Minute)})
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantContents(t, b,
			"tcp.22.drop.v4 192.0.2.1/32 1h0m0s",
			"tcp.22.drop.v4-24 198.51.100.0/24 1m0s",
			"tcp.22.drop.v6 2001:db8::1/128 0s")
		k.Submit([]firewall.Wish{unban("192.0.2.1")})
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantContents(t, b, "tcp.22.drop.v4-24 198.51.100.0/24 1m0s", "tcp.22.drop.v6 2001:db8::1/128 0s")
		st := k.Status()
		if st.Elements != 2 || st.Pending != 0 || st.Err != nil || st.Backend != "memory" {
			t.Errorf("status %+v", st)
		}
	})
}

func TestKeeperKeepsWhatFailed(t *testing.T) {
	for name, script := range map[string][]failure{
		"once":                     {{}, {err: errDisk}},
		"failed but applied":       {{}, {err: errDisk, applied: true}},
		"the layout":               {{err: errDisk}},
		"the layout, but applied":  {{err: errDisk, applied: true}},
		"many times":               {{}, {err: errDisk}, {err: errDisk}, {err: errDisk}, {err: errDisk}, {err: errDisk}},
		"changed by somebody else": {{}, {err: firewall.ErrLost}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &fake{Memory: firewall.NewMemory(), script: script}
				var told []error
				k, _ := start(t, b, firewall.KeeperOptions{Trouble: func(err error) { told = append(told, err) }})
				k.SetScopes([]firewall.Scope{ssh})
				synctest.Wait()
				k.Submit([]firewall.Wish{ban("192.0.2.1", 0), ban("192.0.2.2", 0)})
				synctest.Wait()
				k.Submit([]firewall.Wish{unban("192.0.2.2"), ban("192.0.2.3", 0)})
				time.Sleep(time.Hour) // in the bubble's time: all tries are over
				if err := k.Sync(t.Context()); err != nil {
					t.Fatal(err)
				}
				wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 0s", "tcp.22.drop.v4 192.0.2.3/32 0s")
				// One trouble and its end, however often it was tried.
				if len(told) != 2 || told[0] == nil || told[1] != nil {
					t.Errorf("told %v", told)
				}
				if st := k.Status(); st.Err != nil || st.Pending != 0 || st.Retries == 0 {
					t.Errorf("status %+v", st)
				}
			})
		})
	}
}

func TestKeeperOneBadElementDoesNotHoldUpTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory(), refused: host("192.0.2.77")}
		k, _ := start(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		synctest.Wait()
		var wishes []firewall.Wish
		for i := range 256 {
			wishes = append(wishes, ban(fmt.Sprintf("192.0.2.%d", i), 0))
		}
		k.Submit(wishes)
		begin := time.Now()
		if err := k.Sync(t.Context()); err == nil {
			t.Error("Sync said that the kernel has an element that it refuses")
		}
		time.Sleep(time.Second)
		v, _ := b.Inspect(0)
		if n := v.Counts[firewall.Set{Group: "tcp.22.drop", Bits: 32}]; n != 255 {
			t.Errorf("%d of 255 good elements after %s", n, time.Since(begin))
		}
		k.Submit([]firewall.Wish{ban("198.51.100.1", 0)})
		time.Sleep(time.Second)
		if !strings.Contains(contents(t, b), "198.51.100.1/32") {
			t.Error("a new ban waits behind a refused one")
		}
		if st := k.Status(); st.Err == nil || st.Pending != 1 {
			t.Errorf("status %+v", st)
		}
	})
}

func TestKeeperGivesUpWhereWaitingIsNoUse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refusal := failure{err: &firewall.Error{Op: "make the table", Err: firewall.ErrPermission, Hint: "run as root"}}
		script := make([]failure, 100)
		for i := range script {
			script[i] = refusal
		}
		begin := time.Now()
		_, ended := start(t, &fake{Memory: firewall.NewMemory(), script: script}, firewall.KeeperOptions{})
		err := <-ended
		if !errors.Is(err, firewall.ErrPermission) || time.Since(begin) < time.Minute || time.Since(begin) > 2*time.Minute {
			t.Errorf("ended with %v after %s", err, time.Since(begin))
		}
	})
}

func TestKeeperRepairsWhatSomebodyElseRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		var told []error
		k, _ := start(t, b, firewall.KeeperOptions{Trouble: func(err error) { told = append(told, err) }})
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.1", 0)})
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.Wipe()
		time.Sleep(2 * time.Minute)
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 0s")
		if err := b.Memory.Apply([]firewall.Change{{Set: firewall.Set{Group: "tcp.22.drop", Bits: 32}, Prefix: host("192.0.2.1"), Remove: true}}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 0s")
		if n := k.Status().Rebuilds; n != 2 {
			t.Errorf("%d rebuilds", n)
		}
		if len(told) != 4 || !errors.Is(told[0], firewall.ErrLost) || told[1] != nil || !errors.Is(told[2], firewall.ErrLost) || told[3] != nil {
			t.Errorf("told %v", told)
		}
	})
}

// earlier makes a Memory that an earlier process has filled.
func earlier(t *testing.T, scopes []firewall.Scope, wishes ...firewall.Wish) *fake {
	t.Helper()
	b := &fake{Memory: firewall.NewMemory()}
	k := firewall.NewKeeper(b, firewall.KeeperOptions{})
	k.SetScopes(scopes)
	k.Submit(wishes)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := k.Run(ctx); err != nil { // it brings in what waits
		t.Fatal(err)
	}
	b.commits, b.batches = 0, nil
	return b
}

func TestKeeperKeepsAnEarlierTable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := earlier(t, []firewall.Scope{ssh}, ban("203.0.113.9", 0), ban("192.0.2.1", 0))
		k := firewall.NewKeeper(b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.1", time.Hour), ban("192.0.2.2", 0)})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = k.Run(ctx) }()
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		// What nobody wants any more is left behind with the set that held it.
		wantContents(t, b, "tcp.22.drop.v4.b 192.0.2.1/32 1h0m0s", "tcp.22.drop.v4.b 192.0.2.2/32 0s")
		cancel()
		synctest.Wait()
	})
}

func TestKeeperAnEarlierTableThatIsRightIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := earlier(t, []firewall.Scope{ssh}, ban("192.0.2.1", 0))
		k := firewall.NewKeeper(b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.1", 0)})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = k.Run(ctx) }()
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 0s")
		if b.commits != 0 {
			t.Errorf("%d changes of the rules", b.commits)
		}
		cancel()
		synctest.Wait()
	})
}

var drop = firewall.Scope{Owner: "feed:drop", Feed: true}

func TestKeeperFeedsAndBansHaveSetsOfTheirOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		k, _ := start(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh, drop})
		k.Submit([]firewall.Wish{ban("192.0.2.1", 0)})
		k.Replace("feed:drop", cidr.Of(host("192.0.2.0/24"), host("198.51.100.7"), host("2001:db8::/32")))
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantContents(t, b,
			"feed.drop.v4 198.51.100.7/32 0s", "feed.drop.v4-24 192.0.2.0/24 0s", "feed.drop.v6-32 2001:db8::/32 0s",
			"tcp.22.drop.v4 192.0.2.1/32 0s")
		// Neither takes the other along.
		k.Replace("feed:drop", cidr.Of(host("198.51.100.7")))
		k.SetAllow(cidr.Of(host("198.51.100.0/24")))
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 0s")
	})
}

func TestKeeperFeedsOfAnEarlierRunStayUntilTheyAreReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		scopes := []firewall.Scope{ssh, drop}
		for run, list := range [][]netip.Prefix{
			{host("192.0.2.0/24"), host("198.51.100.7")},
			{host("192.0.2.0/24"), host("198.51.100.7")},
			{host("192.0.2.0/24"), host("198.51.100.8"), host("198.51.100.6")},
			{host("192.0.2.0/24"), host("198.51.100.8"), host("203.0.113.6")}, // as many, but others
		} {
			k := firewall.NewKeeper(b, firewall.KeeperOptions{})
			k.SetScopes(scopes)
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error)
			go func() { ended <- k.Run(ctx) }()
			time.Sleep(time.Minute)
			if run > 0 && !strings.Contains(contents(t, b), "192.0.2.0/24") {
				t.Errorf("run %d: before the feed has come the kernel holds\n%s", run, contents(t, b))
			}
			k.Replace("feed:drop", cidr.Of(list...))
			if err := k.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			for _, p := range list {
				if !strings.Contains(contents(t, b), p.String()) {
					t.Errorf("run %d: %s is not in\n%s", run, p, contents(t, b))
				}
			}
			if n := k.Status().Elements; n != len(list) || strings.Count(contents(t, b), "\n")+1 != len(list) {
				t.Errorf("run %d: %d elements, the kernel holds\n%s", run, n, contents(t, b))
			}
			cancel()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestKeeperRenewsTimeoutsWhenTheClockIsSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var ahead time.Duration
		now := func() time.Time { mu.Lock(); defer mu.Unlock(); return time.Now().Add(ahead) }
		b := &fake{Memory: firewall.NewMemory()}
		k, _ := start(t, b, firewall.KeeperOptions{Now: now})
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.1", 24*time.Hour)})
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		mu.Lock()
		ahead = -time.Hour // the clock was an hour fast
		mu.Unlock()
		time.Sleep(time.Minute + time.Second)
		synctest.Wait()
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 24h58m59s")
	})
}

// slow takes its time to say what it is, which is part of every Status.
type slow struct {
	*firewall.Memory
	quick atomic.Bool
}

func (s *slow) About() firewall.About {
	if !s.quick.Load() {
		time.Sleep(time.Millisecond)
	}
	return s.Memory.About()
}

func TestKeeperStatusKnowsWhatSyncHasWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &slow{Memory: firewall.NewMemory()}
		k, _ := start(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		for i := range 20 { // which of its news the Keeper looks at first is up to chance
			k.Submit([]firewall.Wish{ban(fmt.Sprintf("192.0.2.%d", i), 0)})
			if err := k.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n := k.Status().Elements; n != i+1 {
				t.Errorf("Status tells of %d bans instead of %d", n, i+1)
			}
		}
		b.quick.Store(true)
		time.Sleep(time.Second)
	})
}

func TestKeeperSendsBatches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		k, _ := start(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		synctest.Wait()
		var wishes []firewall.Wish
		for i := range 5000 {
			wishes = append(wishes, ban(fmt.Sprintf("10.1.%d.%d", i/256, i%256), 0))
		}
		k.Submit(wishes)
		if err := k.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(b.batches) != "[1000 1000 1000 1000 1000]" {
			t.Errorf("batches of %v", b.batches)
		}
	})
}

func TestKeeperBringsInWhatWaitsWhenItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		k := firewall.NewKeeper(b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		ctx, cancel := context.WithCancel(t.Context())
		k.Submit([]firewall.Wish{ban("192.0.2.1", 0)})
		cancel()
		if err := k.Run(ctx); err != nil {
			t.Fatal(err)
		}
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.1/32 0s")
		if err := k.Sync(t.Context()); !errors.Is(err, firewall.ErrEnded) {
			t.Errorf("Sync after the end: %v", err)
		}
		if _, err := k.Contents(t.Context(), 0); !errors.Is(err, firewall.ErrEnded) {
			t.Errorf("Contents after the end: %v", err)
		}
		if err := k.Close(false); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Inspect(0); !errors.Is(err, firewall.ErrLost) {
			t.Error("Close(false) left the table standing")
		}
	})
}

func TestKeeperWishesOfScopesThatAreGoneAreVoid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &fake{Memory: firewall.NewMemory()}
		k := firewall.NewKeeper(b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.1", 0)})
		k.SetScopes(nil)
		k.SetScopes([]firewall.Scope{ssh})
		k.Submit([]firewall.Wish{ban("192.0.2.2", 0)})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _ = k.Run(ctx) }()
		synctest.Wait()
		wantContents(t, b, "tcp.22.drop.v4 192.0.2.2/32 0s")
		k.SetScopes(nil)
		k.SetScopes([]firewall.Scope{ssh})
		synctest.Wait()
		wantContents(t, b)
		if n, err := k.Contents(t.Context(), 0); err != nil || len(n) != 0 {
			t.Errorf("%v, %v", n, err)
		}
		cancel()
		synctest.Wait()
	})
}

func TestKeeperSyncTellsWhatIsWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := make([]failure, 50)
		for i := range script {
			script[i] = failure{err: errDisk}
		}
		k, _ := start(t, &fake{Memory: firewall.NewMemory(), script: script}, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{ssh})
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		err := k.Sync(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, errDisk) {
			t.Errorf("Sync: %v", err)
		}
	})
}
