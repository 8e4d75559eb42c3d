package packets_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// to is a datagram from the host or the container to an address outside.
func to(at packets.Place, a string) packets.Packet {
	p := packets.Packet{At: at, Proto: packets.UDP, To: addr(a), Port: 443}
	switch {
	case at == packets.Host && p.To.Is4():
		p.From = addr(packets.Host4)
	case at == packets.Host:
		p.From = addr(packets.Host6)
	case p.To.Is4():
		p.From = addr(packets.Inner4)
	default:
		p.From = addr(packets.Inner6)
	}
	return p
}

func TestPacketAFeedClosesBothDirectionsOnlyWhereItIsTold(t *testing.T) {
	eachKind(t, func(x trial) {
		t, n, b := x.t, x.network, x.backend
		k, _ := keep(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{
			{Owner: "feed:in", Feed: true},
			{Owner: "feed:both", Feed: true, Both: true},
			{Owner: "feed:refuse", Feed: true, Both: true, Verdict: firewall.Reject},
			{Owner: "jail:all", AllPorts: true},
		})
		k.Replace("feed:in", ranges("198.18.1.0/24", "198.18.9.1/32", "2001:db8:8001::/64"))
		k.Replace("feed:both", ranges("198.18.2.0/24", "198.18.9.2/32", "2001:db8:8002::/64", "2001:db8:8009::2/128"))
		k.Replace("feed:refuse", ranges("198.18.3.0/24", "2001:db8:8003::/64"))
		k.Submit(bans("jail:all", "198.18.4.4/32", "2001:db8:8004::4/128"))
		synced(t, k)
		var cases []wantPlace
		for _, c := range []struct {
			addr    string
			out, in packets.Place
		}{
			{"198.18.1.1", packets.Peers, packets.Nowhere},
			{"198.18.9.1", packets.Peers, packets.Nowhere},
			{"2001:db8:8001::1", packets.Peers, packets.Nowhere},
			{"198.18.2.1", packets.Nowhere, packets.Nowhere},
			{"198.18.2.255", packets.Nowhere, packets.Nowhere},
			{"198.18.9.2", packets.Nowhere, packets.Nowhere},
			{"2001:db8:8002::1", packets.Nowhere, packets.Nowhere},
			{"2001:db8:8009::2", packets.Nowhere, packets.Nowhere},
			{"198.18.3.3", packets.Nowhere, packets.Nowhere},
			{"2001:db8:8003::3", packets.Nowhere, packets.Nowhere},
			{"198.18.4.4", packets.Peers, packets.Nowhere}, // what a jail bans may be called
			{"2001:db8:8004::4", packets.Peers, packets.Nowhere},
			{"198.18.5.5", packets.Peers, packets.Host},
			{"2001:db8:8005::5", packets.Peers, packets.Host},
		} {
			cases = append(cases, wantPlace{to(packets.Host, c.addr), c.out}, wantPlace{to(packets.Inner, c.addr), c.out}, wantPlace{from(c.addr, 22), c.in})
		}
		wantPlaces(t, n, cases...)

		// What a feed lets go goes out again.
		k.Replace("feed:both", ranges("198.18.2.128/25"))
		synced(t, k)
		wantPlaces(t, n, wantPlace{to(packets.Host, "198.18.2.1"), packets.Peers}, wantPlace{to(packets.Host, "198.18.2.129"), packets.Nowhere},
			wantPlace{to(packets.Inner, "2001:db8:8002::1"), packets.Peers})
	})
}

func TestPacketAFeedThatOnlyLogsStopsNothing(t *testing.T) {
	eachKind(t, func(x trial) {
		t, n, b := x.t, x.network, x.backend
		k, _ := keep(t, b, firewall.KeeperOptions{})
		k.SetScopes([]firewall.Scope{
			{Owner: "feed:watch", Feed: true, Verdict: firewall.Log},
			{Owner: "feed:watchboth", Feed: true, Verdict: firewall.Log, Both: true},
			{Owner: "jail:all", AllPorts: true},
		})
		k.Replace("feed:watch", ranges("198.18.1.0/24", "2001:db8:8001::/64"))
		k.Replace("feed:watchboth", ranges("198.18.2.0/24"))
		k.Submit(bans("jail:all", "198.18.1.9/32"))
		synced(t, k)
		wantPlaces(t, n,
			wantPlace{from("198.18.1.1", 22), packets.Host},
			wantPlace{from("2001:db8:8001::1", 22), packets.Host},
			wantPlace{from("198.18.2.1", 22), packets.Host},
			wantPlace{to(packets.Host, "198.18.1.1"), packets.Peers},
			wantPlace{to(packets.Host, "198.18.2.1"), packets.Peers},
			wantPlace{to(packets.Inner, "198.18.2.1"), packets.Peers},
			wantPlace{from("198.18.1.9", 22), packets.Nowhere}, // a ban counts all the same
		)
		// Namespaces have no kernel log of their own: that the rules which write to it were met is what can
		// be seen.
		var rules strings.Builder
		met := `@%s counter packets [1-9]\d* bytes \d+ limit rate .* log prefix "palisade`
		if b.About().Name == "ipset" {
			met = `\[[1-9]\d*:\d+\] -A PALISADE -m set --match-set pal-%s src .* -j LOG --log-prefix "palisade`
			for _, program := range []string{"iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy"} {
				rules.WriteString(tool(t, "", program+"-save", "-c"))
			}
		} else {
			rules.WriteString(tool(t, "", "nft", "list", "ruleset"))
		}
		for _, set := range []string{"feed.log.v4-24", "feed.log.v6-64", "feed.log.both.v4-24"} {
			if !regexp.MustCompile(fmt.Sprintf(met, regexp.QuoteMeta(set))).MatchString(rules.String()) {
				t.Errorf("no packet from %s was logged:\n%s", set, rules.String())
			}
		}
	})
}
