package cut

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// gather is how long bans are collected before they are cut together.
	gather = 50 * time.Millisecond
	// between is the least time from the start of one pass to that of the next: a pass looks at every
	// socket and flow of the machine.
	between = time.Second
	// rest is how many times as long as a pass took nothing is done after it: where there are very many
	// sockets and flows, a flood of bans still leaves three quarters of a core alone.
	rest = 3
	// queueMax is how many bans may wait; at about 100 bytes each.
	queueMax = 65_536
)

// Options are the settings of a Cutter; the zero value is ready to use.
type Options struct {
	Log *slog.Logger // nil logs nothing
}

// Status tells what a Cutter has done since it was made.
type Status struct {
	Passes   uint64 // looks at all sockets and flows
	Bans     uint64 // that were cut
	Sockets  uint64 // that were destroyed
	Flows    uint64 // that conntrack has forgotten
	Failures uint64 // sockets and flows that the kernel would not give up, and looks that failed
	Dropped  uint64 // bans that were not cut because too many waited
	Waiting  int    // bans
	// Missing tells what the kernel does not let us do, a sentence each.
	Missing []string
	Err     error // of the last pass, what is missing aside; nil if it went well
}

// kernel is what a Cutter asks to be done; both calls go over everything there is, once. Counts are of
// what was ended and of what could not be, and hold after an error, too.
type kernel interface {
	sockets(m *matcher) (ended, failed int, err error)
	flows(m *matcher) (ended, failed int, err error)
}

// Cutter ends the connections of those who are banned. Make one with New; it works while Run does. All
// methods are safe for use by several goroutines.
type Cutter struct {
	log    *slog.Logger
	kernel kernel
	own    func() ([]netip.Addr, error) // this host's addresses
	notify chan struct{}                // holds one

	mu     sync.Mutex // guards the fields below
	queue  []firewall.Ban
	off    bool
	status Status

	said map[string]bool // what is missing and was told; owned by Run
}

// New makes a Cutter for the network namespace of this process.
func New(o Options) *Cutter { return newCutter(o, netlinkKernel{roundMax}, ownAddresses) }

func newCutter(o Options, k kernel, own func() ([]netip.Addr, error)) *Cutter {
	c := &Cutter{log: o.Log, kernel: k, own: own, notify: make(chan struct{}, 1), said: map[string]bool{}}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	return c
}

// Cut hands over bans whose connections are to end. It never waits, and keeps the slices within the bans.
// Where more wait than there is room for, the oldest are given up.
func (c *Cutter) Cut(bans []firewall.Ban) {
	if len(bans) == 0 {
		return
	}
	c.mu.Lock()
	if c.off {
		c.mu.Unlock()
		return
	}
	if over := len(c.queue) + len(bans) - queueMax; over > 0 {
		c.status.Dropped += uint64(over)
		mine := min(over, len(c.queue))
		c.queue = c.queue[mine:]
		bans = bans[over-mine:]
	}
	c.queue = append(c.queue, bans...)
	c.mu.Unlock()
	select {
	case c.notify <- struct{}{}:
	default:
	}
}

// Enable switches the Cutter on, as it is at first, or off: what waits then is given up, and what is
// handed over is ignored.
func (c *Cutter) Enable(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.off = !on
	if c.off {
		c.queue = nil
		c.status.Missing, c.status.Err = nil, nil
	}
}

// Status tells what was done. It does not wait for the kernel.
func (c *Cutter) Status() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	st := c.status
	st.Missing, st.Waiting = slices.Clone(st.Missing), len(c.queue)
	return st
}

// Run cuts until ctx ends. Its error is always nil: what the kernel refuses is in Status. It is called
// once.
func (c *Cutter) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next time.Time // when the next pass may begin
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-c.notify:
		}
		timer.Reset(max(gather, time.Until(next)))
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := time.Now()
		c.pass()
		next = began.Add(max(between, (1+rest)*time.Since(began)))
	}
}

// pass cuts all that waits.
func (c *Cutter) pass() {
	c.mu.Lock()
	bans := c.queue
	c.queue = nil
	c.mu.Unlock()
	if len(bans) == 0 {
		return
	}
	own, err := c.own()
	m := newMatcher(bans, own)
	var missing []string
	failure := err
	// Sockets first: as long as its flow is known, the reset finds its way back through any translation.
	sockets, failed, err := c.kernel.sockets(m)
	missing, failure = c.judge(err, missing, failure)
	flows, failedFlows, err := c.kernel.flows(m)
	missing, failure = c.judge(err, missing, failure)
	failed += failedFlows
	if failure != nil {
		failed++
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	st := &c.status
	st.Passes++
	st.Bans += uint64(len(bans))
	st.Sockets += uint64(sockets)
	st.Flows += uint64(flows)
	st.Failures += uint64(failed)
	if c.off {
		return
	}
	if failure != nil && (st.Err == nil || st.Err.Error() != failure.Error()) {
		c.log.Warn("open connections of banned addresses could not be ended", "err", failure)
	}
	st.Missing, st.Err = missing, failure
	if sockets+flows > 0 {
		c.log.Debug("open connections of banned addresses are ended", "bans", len(bans), "sockets", sockets, "flows", flows)
	}
}

// judge tells what is missing, which is said once, from what failed.
func (c *Cutter) judge(err error, missing []string, failure error) ([]string, error) {
	lack, ok := errors.AsType[*lackError](err)
	if !ok {
		return missing, errors.Join(failure, err)
	}
	text := lack.Error()
	if !c.said[text] {
		c.said[text] = true
		c.log.Warn("open connections of banned addresses are not all ended", "err", lack)
	}
	return append(missing, text), failure
}

// ownAddresses lists this host's addresses.
func ownAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	var own []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if addr, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, addr.Unmap())
			}
		}
	}
	return own, err
}
