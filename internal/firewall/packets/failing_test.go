package packets_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// atLeast is how often each kind of call to a flaky kernel fails before one goes well.
const atLeast = 2

// changing is the call that brings elements in and out.
const changing = "change elements"

// flaky is a kernel that fails by dice while it is ill: it refuses, forgets everything, or does a part and
// then refuses.
type flaky struct {
	*firewall.Memory

	mu       sync.Mutex // guards the fields below
	d        dice
	ill      bool
	forgets  bool           // everything, at times
	failures map[string]int // by call
}

func (f *flaky) health(ill, forgets bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ill, f.forgets, f.failures = ill, forgets, map[string]int{}
}

func (f *flaky) failed(op string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if op != "" {
		return f.failures[op]
	}
	all := 0
	for _, n := range f.failures {
		all += n
	}
	return all
}

// roll says how a call goes: how much of it is done before it fails, out of n, and why; nil is well.
func (f *flaky) roll(op string, n int) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.ill || f.failures[op] >= atLeast && f.d.IntN(2) == 0 {
		return n, nil
	}
	f.failures[op]++
	done := f.d.IntN(n + 1)
	e := &firewall.Error{Op: op}
	kinds := 4
	if f.forgets {
		kinds = 5
	}
	switch f.d.IntN(kinds) {
	case 4:
		f.Wipe()
		return 0, &firewall.Error{Op: op, Err: fmt.Errorf("%w: it is gone", firewall.ErrLost)}
	case 1:
		e.Err = fmt.Errorf("%w: %w", firewall.ErrFull, syscall.ENFILE)
	case 2:
		e.Err = syscall.ENOBUFS
	case 3:
		e.Err = fmt.Errorf("%w: %w", firewall.ErrPermission, syscall.EPERM)
	case 0:
		e.Err = syscall.ENOMEM
	}
	return done, e
}

func (f *flaky) Survey(l firewall.Layout) (firewall.Standing, error) {
	if _, err := f.roll("look", 0); err != nil {
		return firewall.Standing{}, err
	}
	return f.Memory.Survey(l)
}

func (f *flaky) Prepare(l firewall.Layout) error {
	n, err := f.roll("make sets", len(l.Sets))
	if err != nil {
		if n > 0 {
			l.Sets = l.Sets[:n]
			_ = f.Memory.Prepare(l)
		}
		return err
	}
	return f.Memory.Prepare(l)
}

func (f *flaky) Apply(changes []firewall.Change) error {
	n, err := f.roll(changing, len(changes))
	if err != nil {
		_ = f.Memory.Apply(changes[:n])
		return err
	}
	return f.Memory.Apply(changes)
}

func (f *flaky) Commit(l firewall.Layout) error {
	if _, err := f.roll("put the rules in force", 0); err != nil {
		return err
	}
	return f.Memory.Commit(l)
}

func (f *flaky) Inspect(limit int) (firewall.View, error) {
	if _, err := f.roll("look", 0); err != nil {
		return firewall.View{}, err
	}
	return f.Memory.Inspect(limit)
}

func (f *flaky) Probe(s firewall.Set, prefixes []netip.Prefix) ([]firewall.Held, error) {
	if _, err := f.roll("look elements up", 0); err != nil {
		return nil, err
	}
	return f.Memory.Probe(s, prefixes)
}

func TestWhatAFailingKernelMissedIsHeldInTheEnd(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	d := dice{rand.New(rand.NewPCG(seed, 2))}
	b := &flaky{Memory: firewall.NewMemory(), d: dice{rand.New(rand.NewPCG(seed, 3))}}
	k, _ := keep(t, b, firewall.KeeperOptions{})
	w := &world{}
	for i, s := range d.story() {
		b.health(true, i%2 == 1)
		w.tell(s, k)
		// What is new is tried soon, so that this need not wait for the keeper's patience.
		changes := len(s.wishes) > 0 // the others may have only whole sets go
		waitFor(t, s.name+" fails some times", func() bool {
			k.Submit(nil)
			return b.failed("") >= atLeast && (!changes || b.failed(changing) > atLeast)
		})
		b.health(false, false)
		waitFor(t, s.name+" is done", func() bool {
			k.Submit(nil)
			st := k.Status()
			return st.Pending == 0 && st.Err == nil
		})
		w.take(t, step{name: s.name, ends: s.ends}, k)
		before := time.Now()
		wrong := 0
		for _, p := range d.ask(w, 3000) {
			if !w.sure(p.From, before, time.Now()) {
				continue
			}
			want, got := w.closed(p.From, p.Proto, p.Port, before), remembered(b.Memory, p)
			if want != got {
				if wrong++; wrong <= 5 {
					t.Errorf("%s: protocol %d port %d from %s: blocked %v, want %v", s.name, p.Proto, p.Port, p.From, got, want)
				}
			}
		}
		if wrong > 0 {
			t.Fatalf("%s: %d wrong", s.name, wrong)
		}
	}
}

// broken is a kernel that can do nothing, and says why.
type broken struct {
	*firewall.Memory
	err error
}

func (b broken) Survey(firewall.Layout) (firewall.Standing, error) { return firewall.Standing{}, b.err }

func TestAKernelThatCannotIsToldOfOnceAndGivenUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		err  error
	}{
		{"no module", &firewall.Error{Op: "talk to nftables", Err: fmt.Errorf("%w: %w", firewall.ErrUnsupported, syscall.EPROTONOSUPPORT), Hint: "load nf_tables with: modprobe nf_tables"}},
		{"no privilege", &firewall.Error{Op: "make the table", Err: fmt.Errorf("%w: %w", firewall.ErrPermission, syscall.EPERM), Hint: "run as root"}},
		{"another's table", &firewall.Error{Op: "claim the table", Err: fmt.Errorf("%w: %w", firewall.ErrOwned, syscall.EPERM), Hint: "stop the other one"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log := &notebook{}
			told := make(chan error, 10)
			k := firewall.NewKeeper(broken{firewall.NewMemory(), c.err}, firewall.KeeperOptions{
				Log: log.logger(), Patience: time.Second, Trouble: func(err error) { told <- err },
			})
			ended := make(chan error, 1)
			go func() { ended <- k.Run(t.Context()) }()
			k.SetScopes(owners())
			k.Submit(bans("jail:sshd", "1.1.1.1/32"))
			// Health is degraded while it is borne.
			waitFor(t, "the trouble shows", func() bool { return k.Status().Err != nil })
			if st := k.Status(); st.Pending == 0 {
				t.Errorf("the ban does not wait: %+v", st)
			}
			err := <-ended
			if err == nil || err.Error() != c.err.Error() {
				t.Errorf("ended with %v, want %v", err, c.err)
			}
			if got := <-told; got.Error() != c.err.Error() || len(told) > 0 {
				t.Errorf("told %v, and %d more", got, len(told))
			}
			alarms := log.alarms()
			hint := c.err.(*firewall.Error).Hint //nolint:errorlint // made above
			if len(alarms) != 1 || !strings.Contains(alarms[0], hint) {
				t.Errorf("want one line with %q: %q", hint, alarms)
			}
		})
	}
}
