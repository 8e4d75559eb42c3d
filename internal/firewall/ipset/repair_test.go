package ipset_test

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

func TestSurveyTakesOverWhatAnEarlierProcessHasLeft(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			long := firewall.Group{Name: "tcp.22_80_443_1000-2000_3000.drop", Protocols: []uint8{6}, Ports: []firewall.PortRange{{First: 22, Last: 22}}}
			l := layoutOf(t, []firewall.Group{all, long, feed, logs}, "all.drop.v4", "all.drop.v6-64", long.Name+".v6-127.b", "feed.drop.both.v4", "feed.log.v4-24.b")
			if st := lay(t, b, l, add(t, "all.drop.v4", "192.0.2.1/32", time.Hour), add(t, "feed.drop.both.v4", "192.0.2.2/32", 0)); len(st.Sets) > 0 || st.Rules || st.Other {
				t.Errorf("in an empty kernel there is %+v", st)
			}
			must(t, b.Close(true))

			b = open(t, o)
			st, err := b.Survey(l)
			must(t, err)
			if !st.Rules || st.Other || len(st.Sets) != len(l.Sets) || st.Sets[l.Sets[0]] != 1 || st.Sets[l.Sets[1]] != 0 {
				t.Errorf("exactly the layout stands, but it is %+v", st)
			}
			holds(t, b, "all.drop.v4 192.0.2.1/32 1h0m0s", "feed.drop.both.v4 192.0.2.2/32")
			must(t, b.Close(true))

			// Of another layout with the same groups, the sets stand, also those that it does not have.
			b = open(t, o)
			other := layoutOf(t, []firewall.Group{all, feed}, "all.drop.v4", "feed.drop.both.v4-24")
			st, err = b.Survey(other)
			must(t, err)
			if st.Rules || !st.Other || len(st.Sets) != 3 || st.Sets[set(t, "feed.drop.both.v4")] != 1 {
				t.Errorf("of another layout there is %+v", st)
			}
			if _, err := b.Inspect(0); !errors.Is(err, firewall.ErrLost) {
				t.Errorf("before its Commit: %v", err)
			}
			must(t, b.Prepare(other))
			must(t, b.Commit(other))
			holds(t, b, "all.drop.v4 192.0.2.1/32 1h0m0s")
			if out := tool(t, "", "ipset", "list", "-name"); strings.Count(out, "\n") != 2 {
				t.Errorf("there are the sets %s", out)
			}

			// Two processes do not work on the same sets.
			second := open(t, o)
			if _, err := second.Survey(other); !errors.Is(err, firewall.ErrOwned) || !strings.Contains(err.Error(), fmt.Sprintf("it is process %d", os.Getpid())) {
				t.Errorf("a second process: %v", err)
			}
			must(t, second.Close(true))
			holds(t, b, "all.drop.v4 192.0.2.1/32 1h0m0s")
			must(t, b.Close(false))
		})
	}
}

func TestASetOfAnotherKindIsReplacedWithoutAGap(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			// What an earlier version may have left: another type, without timeouts, and in force.
			tool(t, "", "ipset", "create", "pal-all.drop.v4", "hash:net")
			tool(t, "*raw\n:PALISADE - [0:0]\n-I PREROUTING 1 -j PALISADE\n-A PALISADE -m set --match-set pal-all.drop.v4 src -j DROP\nCOMMIT\n", o.IPv4+"-restore", "--noflush")
			l := layoutOf(t, []firewall.Group{all}, "all.drop.v4")
			for range 2 { // under the second name; and under the first one again
				b := open(t, o)
				st, err := b.Survey(l)
				must(t, err)
				if len(st.Sets) > 0 || st.Rules || !st.Other {
					t.Errorf("of a set of another kind it is said %+v", st)
				}
				must(t, b.Prepare(l))
				if out := tool(t, "", o.IPv4, "-t", "raw", "-S", "PALISADE"); !strings.Contains(out, "--match-set") {
					t.Errorf("Prepare has changed the rules: %s", out)
				}
				must(t, b.Apply([]firewall.Change{add(t, "all.drop.v4", "192.0.2.1/32", time.Hour)}))
				must(t, b.Commit(l))
				holds(t, b, "all.drop.v4 192.0.2.1/32 1h0m0s")
				if out := tool(t, "", "ipset", "list", "-name"); strings.Count(out, "\n") != 1 {
					t.Errorf("there are the sets %s", out)
				}
				must(t, b.Close(true))
				all := firewall.Group{Name: "all.drop", Counted: true}
				l = layoutOf(t, []firewall.Group{all}, "all.drop.v4")
			}
			b := open(t, o)
			must(t, b.Close(false))
		})
	}
}

// damage is what somebody else does to us; IPTABLES stands for the program, RESTORE for its other half.
type damage struct {
	name    string
	input   string
	command string
	says    string // in the error of Inspect
}

func TestInspectNoticesWhatOthersChangeAndItIsRepaired(t *testing.T) {
	damages := []damage{
		{"a flushed table", "", "IPTABLES -t raw -F", "PREROUTING that leads to PALISADE is gone"},
		{"a flushed chain", "", "IPTABLES -t raw -F PALISADE", "rules of the chain PALISADE were changed"},
		{"a lost hook", "", "IPTABLES -t raw -D PREROUTING -j PALISADE", "PREROUTING that leads to PALISADE is gone"},
		{"a lost hook of OUTPUT", "", "IPTABLES -t raw -D OUTPUT -j PALISADE-OUTPUT", "OUTPUT that leads to PALISADE-OUTPUT is gone"},
		{"a lost hook of FORWARD", "", "IPTABLES -t mangle -D FORWARD -j PALISADE-FORWARD", "FORWARD that leads to PALISADE-FORWARD is gone"},
		{"a lost rule", "", "IPTABLES -t raw -D PALISADE 2", "rules of the chain PALISADE were changed"},
		{"a rule more", "", "IPTABLES -t raw -I PALISADE 1 -s 192.0.2.1 -j ACCEPT", "rules of the chain PALISADE were changed"},
		{"an ACCEPT before us", "", "IPTABLES -t raw -I PREROUTING 1 -s 192.0.2.1 -j ACCEPT", `"-s 192.0.2.1/32 -j ACCEPT" comes before ours`},
		{"a second hook", "", "IPTABLES -t raw -A PREROUTING -j PALISADE", "more than once"},
		{"another way to us", "", "IPTABLES -t raw -A OUTPUT -j PALISADE", "-A OUTPUT -j PALISADE"},
		{"an empty table", "*raw\nCOMMIT\n", "RESTORE", "chain PALISADE is gone"},
		{"a flushed set", "", "ipset flush pal-all.drop.v4", "192.0.2.1/32 is not in set pal-all.drop.v4 any more"},
		{"flushed sets", "", "ipset flush", "is not in set pal-"},
		{"a lost element", "", "ipset del pal-all.drop.v4 192.0.2.1", "192.0.2.1/32 is not in set"},
		{"a swapped set", "create mine hash:ip timeout 0\nswap pal-all.drop.v4 mine\ndestroy mine\n", "ipset restore", "192.0.2.1/32 is not in set"},
	}
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			l := layoutOf(t, []firewall.Group{all, feed}, "all.drop.v4", "all.drop.v6-64", "feed.drop.both.v4", "feed.drop.both.v6")
			fill := []firewall.Change{
				add(t, "all.drop.v4", "192.0.2.1/32", time.Hour), add(t, "all.drop.v6-64", "2001:db8::/64", time.Hour), add(t, "feed.drop.both.v4", "192.0.2.2/32", 0),
			}
			want := []string{"all.drop.v4 192.0.2.1/32 1h0m0s", "all.drop.v6-64 2001:db8::/64 1h0m0s", "feed.drop.both.v4 192.0.2.2/32"}
			lay(t, b, l, fill...)
			for _, program := range []string{o.IPv4, o.IPv6} {
				for _, d := range damages {
					words := strings.Fields(strings.NewReplacer("IPTABLES", program, "RESTORE", program+"-restore").Replace(d.command))
					if program == o.IPv6 {
						if words[0] == "ipset" {
							continue
						}
						d.says = strings.ReplaceAll(d.says, "192.0.2.1/32", "2001:db8::1/128")
						for i, w := range words {
							words[i] = strings.ReplaceAll(w, "192.0.2.1", "2001:db8::1")
						}
					}
					holds(t, b, want...) // and now nothing is counted for a while
					if _, err := b.Inspect(0); err != nil {
						t.Fatalf("%s: before: %v", d.name, err)
					}
					tool(t, d.input, words...)
					_, err := b.Inspect(0)
					if !errors.Is(err, firewall.ErrLost) || !strings.Contains(err.Error(), d.says) {
						t.Errorf("%s of %s: noticed %v", d.name, program, err)
					}
					if st := lay(t, b, l, fill...); st.Rules && words[0] != "ipset" {
						t.Errorf("%s of %s: it is said that the rules stand", d.name, program)
					}
					if _, err := b.Inspect(0); err != nil {
						t.Errorf("%s of %s is not repaired: %v", d.name, program, err)
					}
				}
			}
			// What does not concern us is none of our business.
			for _, words := range []string{"-t raw -A PREROUTING -s 203.0.113.1 -j ACCEPT", "-t raw -I PREROUTING 1 -s 203.0.113.1 -j DROP", "-t filter -A INPUT -j ACCEPT"} {
				tool(t, "", append([]string{o.IPv4}, strings.Fields(words)...)...)
				if _, err := b.Inspect(0); err != nil {
					t.Errorf("%s: %v", words, err)
				}
			}
			if out, err := try(t, "", "ipset", "destroy", "pal-all.drop.v4"); err == nil {
				t.Errorf("a set in use can be destroyed: %s", out)
			}
			must(t, b.Close(false))
			out := tool(t, "", o.IPv4, "-t", "raw", "-S")
			for _, theirs := range []string{"-A PREROUTING -s 203.0.113.1/32 -j ACCEPT", "-A PREROUTING -s 203.0.113.1/32 -j DROP"} {
				if !strings.Contains(out, theirs) {
					t.Errorf("the rules of others have gone: %s", out)
				}
			}
			tool(t, "", o.IPv4, "-t", "raw", "-F")
			tool(t, "", o.IPv6, "-t", "raw", "-F")
		})
	}
}

func TestASetThatIsGoneBeforeItIsInUseIsLost(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			b := open(t, o)
			l := layoutOf(t, []firewall.Group{all}, "all.drop.v4", "all.drop.v6")
			_, err := b.Survey(l)
			must(t, err)
			if err := b.Commit(l); !errors.Is(err, firewall.ErrLost) {
				t.Errorf("rules for sets that were never made: %v", err)
			}
			must(t, b.Prepare(l))
			tool(t, "", "ipset", "destroy", "pal-all.drop.v4")
			ban := []firewall.Change{add(t, "all.drop.v4", "192.0.2.1/32", time.Hour), add(t, "all.drop.v6", "2001:db8::1/128", 0)}
			if err := b.Apply(ban); !errors.Is(err, firewall.ErrLost) {
				t.Errorf("elements for a set that is gone: %v", err)
			}
			if err := b.Commit(l); !errors.Is(err, firewall.ErrLost) {
				t.Errorf("rules for a set that is gone: %v", err)
			}
			if _, err := b.Probe(l.Sets[0], []netip.Prefix{ban[0].Prefix}); !errors.Is(err, firewall.ErrLost) {
				t.Errorf("a look into a set that is gone: %v", err)
			}
			if st := lay(t, b, l, ban...); len(st.Sets) != 1 {
				t.Errorf("there are %v", st.Sets)
			}
			holds(t, b, "all.drop.v4 192.0.2.1/32 1h0m0s", "all.drop.v6 2001:db8::1/128")
			must(t, b.Close(false))
		})
	}
}

func TestALegacyRuleThatIsExchangedForOneOfItsLengthIsNoticedInTheEnd(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, o := range variants() {
		t.Run(o.IPv4, func(t *testing.T) {
			need(t, o)
			if o.IPv4 != "iptables-legacy" {
				t.Skip("nftables tells of every change")
			}
			b := open(t, o)
			lay(t, b, layoutOf(t, []firewall.Group{all}, "all.drop.v4"), add(t, "all.drop.v4", "192.0.2.1/32", time.Hour))
			tool(t, "", o.IPv4, "-t", "raw", "-R", "PALISADE", "2", "-m", "set", "--match-set", "pal-all.drop.v4", "src", "-j", "ACCEPT")
			b.LookAgain()
			if _, err := b.Inspect(0); !errors.Is(err, firewall.ErrLost) {
				t.Errorf("noticed %v", err)
			}
			must(t, b.Close(false))
		})
	}
}

func TestBothKindsOfIptablesMayBeMixed(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	o := variants()[0]
	o.IPv6 = variants()[1].IPv6
	need(t, o)
	b := open(t, o)
	l := layoutOf(t, []firewall.Group{all}, "all.drop.v4", "all.drop.v6")
	lay(t, b, l)
	for _, program := range []string{o.IPv4, o.IPv6} {
		if _, err := b.Inspect(0); err != nil {
			t.Error(err)
		}
		tool(t, "", program, "-t", "raw", "-F", "PALISADE")
		if _, err := b.Inspect(0); !errors.Is(err, firewall.ErrLost) {
			t.Errorf("a chain emptied by %s: %v", program, err)
		}
		lay(t, b, l)
	}
	must(t, b.Close(false))
}
