package cut

import (
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// BenchmarkPass looks for one banned address among 100,000 flows of others.
func BenchmarkPass(b *testing.B) {
	if !packets.Inside(b) {
		return
	}
	const flows = 100_000
	h, err := netlink.NewHandle(unix.NETLINK_NETFILTER)
	if err != nil {
		b.Skip(err)
	}
	defer h.Close()
	to := net.IPv4(192, 0, 2, 254).To4()
	for n := range flows {
		from, port := net.IPv4(198, 18, byte(n>>8), byte(n)).To4(), uint16(1024+n>>16)
		err := h.ConntrackCreate(netlink.ConntrackTable, unix.AF_INET, &netlink.ConntrackFlow{
			FamilyType: unix.AF_INET, TimeOut: 600,
			Forward:   netlink.IPTuple{SrcIP: from, DstIP: to, SrcPort: port, DstPort: 22, Protocol: unix.IPPROTO_TCP},
			Reverse:   netlink.IPTuple{SrcIP: to, DstIP: from, SrcPort: 22, DstPort: port, Protocol: unix.IPPROTO_TCP},
			ProtoInfo: &netlink.ProtoInfoTCP{State: 3},
		})
		if err != nil {
			b.Skipf("flow %d: %v", n, err)
		}
	}
	c := New(Options{})
	for b.Loop() {
		c.Cut([]firewall.Ban{ssh("203.0.113.1/32")})
		c.pass()
	}
	if st := c.Status(); st.Err != nil || len(st.Missing) > 0 || st.Flows > 0 {
		b.Fatalf("%+v", st)
	}
	b.StopTimer()
	c.Cut([]firewall.Ban{ssh("198.18.0.0/15")})
	c.pass()
	if st := c.Status(); st.Flows != flows {
		b.Errorf("not all flows were there: %+v", st)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/flows, "ns/flow")
}
