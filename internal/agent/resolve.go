package agent

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
)

// fail2ban keeps DNS answers, good and bad, for five minutes, and a thousand of them.
const (
	dnsCacheTime  = 5 * time.Minute
	dnsCacheSize  = 1000
	dnsTimeout    = 5 * time.Second
	ownRefresh    = 5 * time.Minute
	dnsMaxAnswers = 64 // a name with more addresses than this is somebody's attack or mistake
)

// Resolver looks up host names. It is safe for concurrent use, bounded in memory, and asks for a
// name at most once in five minutes.
type Resolver struct {
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	reverse func(ctx context.Context, addr string) ([]string, error)

	mu    sync.Mutex // guards the fields below
	cache map[string]answer
	names map[netip.Addr]nameOf
	own   []netip.Addr
	ownAt time.Time
}

type answer struct {
	addrs []netip.Addr
	err   error
	at    time.Time
}

// NewResolver makes a resolver that asks the system's.
func NewResolver() *Resolver {
	return &Resolver{
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
		reverse: net.DefaultResolver.LookupAddr,
		cache:   map[string]answer{}, names: map[netip.Addr]nameOf{},
	}
}

// errOffline is the answer of a resolver that asks nobody.
var errOffline = errors.New("host names are not looked up")

// NewOfflineResolver makes a resolver that asks nobody: it knows the machine's own addresses, and every name
// is an error.
func NewOfflineResolver() *Resolver {
	return &Resolver{
		lookup:  func(context.Context, string) ([]netip.Addr, error) { return nil, errOffline },
		reverse: func(context.Context, string) ([]string, error) { return nil, errOffline },
		cache:   map[string]answer{}, names: map[netip.Addr]nameOf{},
	}
}

// Lookup gives the addresses of a host name, IPv4-mapped ones unmapped. A name that has none is an
// error; errors are remembered like answers.
func (r *Resolver) Lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	r.mu.Lock()
	a, ok := r.cache[host]
	r.mu.Unlock()
	if ok && time.Since(a.at) < dnsCacheTime {
		return a.addrs, a.err
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	addrs, err := r.lookup(ctx, host)
	if errors.Is(ctx.Err(), context.Canceled) {
		return nil, ctx.Err() // we are ending: this says nothing about the name
	}
	if len(addrs) > dnsMaxAnswers {
		addrs = addrs[:dnsMaxAnswers]
	}
	for i, x := range addrs {
		addrs[i] = x.Unmap().WithZone("")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.cache) >= dnsCacheSize {
		r.evict()
	}
	r.cache[host] = answer{addrs, err, time.Now()}
	return addrs, err
}

// nameOf is the name of an address, empty if it has none.
type nameOf struct {
	host string
	at   time.Time
}

// Reverse gives the name of an address without its final dot, or nothing. Answers are remembered like those
// of Lookup.
func (r *Resolver) Reverse(ctx context.Context, addr netip.Addr) string {
	r.mu.Lock()
	n, ok := r.names[addr]
	r.mu.Unlock()
	if ok && time.Since(n.at) < dnsCacheTime {
		return n.host
	}
	ctx, cancel := context.WithTimeout(ctx, dnsTimeout)
	defer cancel()
	found, err := r.reverse(ctx, addr.String())
	if errors.Is(ctx.Err(), context.Canceled) {
		return ""
	}
	n = nameOf{at: time.Now()}
	if err == nil && len(found) > 0 {
		n.host = strings.TrimSuffix(found[0], ".")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.names) >= dnsCacheSize {
		clear(r.names) // they are asked for with a ban each, which costs more
	}
	r.names[addr] = n
	return n.host
}

// evict drops what is too old to serve, and if that is nothing, the oldest answer. Called with mu held.
func (r *Resolver) evict() {
	oldest, oldestAt := "", time.Time{}
	for host, a := range r.cache {
		if time.Since(a.at) >= dnsCacheTime {
			delete(r.cache, host)
		} else if oldest == "" || a.at.Before(oldestAt) {
			oldest, oldestAt = host, a.at
		}
	}
	if len(r.cache) >= dnsCacheSize {
		delete(r.cache, oldest)
	}
}

// Own gives the machine's own addresses, loopback and those of its interfaces, looked up again every
// five minutes. If they cannot be read the last ones stand.
func (r *Resolver) Own() []netip.Addr {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.ownAt.IsZero() && time.Since(r.ownAt) < ownRefresh {
		return r.own
	}
	r.ownAt = time.Now()
	nets, err := net.InterfaceAddrs()
	if err != nil {
		return r.own
	}
	// Loopback is ours even while its interface is down.
	own := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}
	for _, n := range nets {
		if p, err := netip.ParsePrefix(n.String()); err == nil {
			own = append(own, p.Addr().Unmap().WithZone(""))
		}
	}
	r.own = own
	return own
}
