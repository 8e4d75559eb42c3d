package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// hosts calls f with n addresses in no order, the same for the same seed: those from 110.0.0.0 to
// 173.255.255.255, of which none is used otherwise. Few are the same twice.
func hosts(seed uint64, n int, f func(uint32)) {
	random := rand.New(rand.NewPCG(seed, 0))
	for range n {
		f(110<<24 + random.Uint32N(64<<24))
	}
}

// networks does so with networks of some lengths, as lists of the internet have them, from 1.0.0.0 to
// 64.255.255.255.
func networks(seed uint64, n int, f func(netip.Prefix)) {
	random := rand.New(rand.NewPCG(seed, 1))
	lengths := []int{24, 24, 24, 24, 23, 22, 22, 21, 20, 19, 18, 17, 16, 25, 27, 28, 29}
	for range n {
		f(cidr.Prefix4(1<<24+random.Uint32N(64<<24), lengths[random.IntN(len(lengths))]).Masked())
	}
}

func host(a uint32) netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], a)
	return netip.AddrFrom4(b)
}

// large is a feed that is read but not sorted.
func (r *rig) large() *cidr.Builder {
	b := &cidr.Builder{}
	hosts(1, r.sizes.Hosts, func(a uint32) { b.AddRange(host(a), host(a)) })
	networks(1, r.sizes.Networks, b.Add)
	return b
}

// measureFeed: a large feed into the kernel, and what it costs to have it there.
func measureFeed(r *rig) {
	var took, worked []float64
	empty := 0.0
	for i := range r.sizes.Rounds {
		k := r.start(firewall.KeeperOptions{})
		k.sync()
		before := 0.0
		if i == 0 {
			empty = idleCPU(r, r.sizes.Idle)
			before = kernelMemory(r)
		}
		contents := r.large()
		forgetPeak()
		begin, cpu := time.Now(), ownTime(r)
		k.Replace(feed, contents.Ranges())
		k.sync()
		took, worked = append(took, seconds(begin)), append(worked, (ownTime(r)-cpu).Seconds())
		if n := k.Status().Elements; n < r.sizes.Hosts*9/10 {
			r.Fatalf("the kernel holds %d elements", n)
		}
		if i == 0 {
			r.of("feed.peak", peakMemory(r)/megabyte)
			r.of("feed.kernel", (kernelMemory(r)-before)/megabyte)
			r.of("feed.after", usedMemory(r)/megabyte)
			r.of("idle", max(idleCPU(r, r.sizes.Idle)-empty, 0))
			r.of("idle.empty", empty)
		}
		k.end()
	}
	r.of("feed.time", median(took))
	r.of("feed.cpu", median(worked))
}

// measureMeanwhile: single bans while a large feed loads.
func measureMeanwhile(r *rig) {
	const pause = 500 * time.Microsecond
	acknowledged := make(chan struct{}, 1)
	var took []float64
	bans := 0
	for range r.sizes.Rounds {
		k := r.start(firewall.KeeperOptions{Banned: func([]firewall.Ban) { acknowledged <- struct{}{} }})
		k.sync()
		// What is banned before the Keeper has settled is not told: until then nothing can be timed.
		for told := false; !told; bans++ {
			k.Submit(wishes(bans, 1))
			k.sync()
			select {
			case <-acknowledged:
				told = true
			default:
			}
		}
		contents := r.large().Ranges()
		loaded := make(chan error, 1)
		k.Replace(feed, contents)
		go func() { loaded <- k.Sync(r.Context()) }()
		for loading := true; loading; {
			ban := wishes(bans, 1)
			bans++
			begin := time.Now()
			k.Submit(ban)
			select {
			case <-acknowledged:
			case <-time.After(time.Minute):
				r.Fatal("a ban is not acknowledged")
			}
			took = append(took, seconds(begin))
			select {
			case err := <-loaded:
				if err != nil {
					r.Fatal(err)
				}
				loading = false
			case <-time.After(pause):
			}
		}
		k.end()
	}
	r.of("meanwhile.median", median(took))
	r.of("meanwhile.p99", quantile(took, 0.99))
}

// version gives a feed of hosts that is read but not sorted: a twentieth of it is another in each version.
func (r *rig) version(v int) *cidr.Builder {
	b := &cidr.Builder{}
	add := func(a uint32) { b.AddRange(host(a), host(a)) }
	hosts(uint64(100+v), r.sizes.Delta/20, add)
	hosts(1, r.sizes.Delta-r.sizes.Delta/20, add)
	return b
}

// measureDelta: a new version of a feed.
func measureDelta(r *rig) {
	k := r.start(firewall.KeeperOptions{})
	defer k.end()
	k.Replace(feed, r.version(0).Ranges())
	k.sync()
	var took []float64
	for i := range r.sizes.Rounds {
		contents := r.version(i + 1)
		begin := time.Now()
		k.Replace(feed, contents.Ranges())
		k.sync()
		took = append(took, seconds(begin))
	}
	r.of("delta", median(took))
}

// measurePackets: whether sources get through that are blocked before and after a change.
func measurePackets(r *rig) {
	net := packets.New(r)
	to, port := netip.MustParseAddr(packets.Host4), uint16(9)
	var flood []packets.Packet
	hosts(1, 63, func(a uint32) { // the same in every version
		flood = append(flood, packets.Packet{At: packets.Peers, Proto: packets.UDP, From: host(a), To: to, Port: port})
	})
	// This one is blocked by nobody: it shows that packets arrive that may.
	flood = append(flood, packets.Packet{At: packets.Peers, Proto: packets.UDP, From: netip.MustParseAddr("109.0.0.1"), To: to, Port: port})

	k := r.start(firewall.KeeperOptions{})
	defer k.end()
	k.Replace(feed, r.version(0).Ranges())
	k.sync()
	f := net.Flood(flood...)
	arrives := func() bool { n, _ := f.Arrived(len(flood) - 1); return n > 0 }
	for end := time.Now().Add(time.Minute); !arrives() && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	for i := range max(6*r.sizes.Rounds, 2) {
		k.Replace(feed, r.version(i+1).Ranges())
		k.sync()
	}
	f.Stop(r)
	leaked := 0
	for i := range len(flood) - 1 {
		n, _ := f.Arrived(i)
		leaked += n
	}
	if !arrives() {
		r.Fatal("not even packets arrive that nobody blocks")
	}
	r.of("delta.leaked", float64(leaked))
	r.of("delta.sent", float64(f.Sent())*float64(len(flood)-1)/float64(len(flood)))
}
