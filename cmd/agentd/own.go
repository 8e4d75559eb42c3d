package main

import (
	"bufio"
	endian "encoding/binary"
	"encoding/hex"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// ownEvery is how often the machine's addresses are looked at.
const ownEvery = 30 * time.Second

// hostsEvery is how often the addresses of names are asked for.
const hostsEvery = 5 * time.Minute

// ownAddresses are what no list may block, since the machine would cut itself off: its own addresses, its gateways
// and its resolvers.
type ownAddresses struct {
	mu    sync.Mutex // guards the fields below
	known cidr.Ranges
	at    time.Time
}

// ranges gives them, at most half a minute old.
func (o *ownAddresses) ranges() cidr.Ranges {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.at.IsZero() || time.Since(o.at) >= ownEvery {
		o.known, o.at = lookAtOwn("/proc/net/route", "/proc/net/ipv6_route", "/etc/resolv.conf"), time.Now()
	}
	return o.known
}

func lookAtOwn(route4, route6, resolv string) cidr.Ranges {
	var b cidr.Builder
	add := func(a netip.Addr) {
		a = a.Unmap().WithZone("")
		if a.IsValid() && !a.IsUnspecified() {
			b.AddRange(a, a)
		}
	}
	addrs, _ := net.InterfaceAddrs()
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				add(ip)
			}
		}
	}
	eachLine(route4, func(f []string) { // interface, destination, gateway, …, as numbers of this machine's byte order
		if len(f) < 3 {
			return
		}
		if raw, err := hex.DecodeString(f[2]); err == nil && len(raw) == 4 {
			var a [4]byte
			endian.NativeEndian.PutUint32(a[:], endian.BigEndian.Uint32(raw))
			add(netip.AddrFrom4(a))
		}
	})
	eachLine(route6, func(f []string) { // destination, length, source, length, next hop, …
		if len(f) < 5 {
			return
		}
		if raw, err := hex.DecodeString(f[4]); err == nil && len(raw) == 16 {
			add(netip.AddrFrom16([16]byte(raw)))
		}
	})
	eachLine(resolv, func(f []string) {
		if len(f) < 2 || f[0] != "nameserver" {
			return
		}
		if a, err := netip.ParseAddr(f[1]); err == nil {
			add(a)
		}
	})
	return b.Ranges()
}

// eachLine gives the words of the lines of a file, which need not be there.
func eachLine(path string, each func(fields []string)) {
	f, err := os.Open(path)
	if err != nil {
		return
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		each(strings.Fields(lines.Text()))
	}
}
