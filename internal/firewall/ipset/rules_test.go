package ipset_test

import (
	"errors"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
)

func TestRulesOfALayout(t *testing.T) {
	l := layoutOf(t, []firewall.Group{
		all,
		{Name: "icmp.drop", Protocols: []uint8{1, 58}},
		{Name: "mixed.reject", Protocols: []uint8{1, 6}, Ports: []firewall.PortRange{{First: 22, Last: 22}, {First: 6000, Last: 6010}}, Verdict: firewall.Reject},
		feed, logs,
	}, "all.drop.v4", "all.drop.v6", "icmp.drop.v4", "mixed.reject.v4-24", "feed.drop.both.v4-8", "feed.log.v4.b")
	want := []string{
		"raw PALISADE -i lo -j RETURN",
		"raw PALISADE -m set --match-set pal-all.drop.v4 src -j DROP",
		"raw PALISADE -p icmp -m set --match-set pal-icmp.drop.v4 src -j DROP",
		"raw PALISADE -p ipv6-icmp -m set --match-set pal-icmp.drop.v4 src -j DROP",
		"raw PALISADE -p icmp -m set --match-set pal-mixed.reject.v4-24 src -j DROP",
		"raw PALISADE -p tcp -m multiport --dports 22,6000:6010 -m set --match-set pal-mixed.reject.v4-24 src -j DROP",
		"raw PALISADE -m set --match-set pal-feed.drop.both.v4-8 src -j DROP",
		`raw PALISADE -m set --match-set pal-feed.log.v4.b src -m limit --limit 10/sec --limit-burst 20 -j LOG --log-prefix "palisade feed: "`,
		"raw PALISADE-OUTPUT -o lo -j RETURN",
		"raw PALISADE-OUTPUT -m set --match-set pal-feed.drop.both.v4-8 dst -j DROP",
		"mangle PALISADE-FORWARD -m set --match-set pal-feed.drop.both.v4-8 dst -j DROP",
	}
	if got := ipset.Rules(l); !slices.Equal(got, want) {
		t.Errorf("rules\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestARuleHasFifteenPortsAtMostAndARangeIsTwoOfThem(t *testing.T) {
	g := firewall.Group{Name: "g", Protocols: []uint8{17}}
	for i := range uint16(16) {
		g.Ports = append(g.Ports, firewall.PortRange{First: 100 + 10*i, Last: 100 + 10*i + i%2})
	}
	var lists []string
	for _, r := range ipset.Rules(layoutOf(t, []firewall.Group{g}, "g.v4"))[1:] {
		lists = append(lists, strings.Fields(r)[7])
	}
	want := []string{"100,110:111,120,130:131,140,150:151,160,170:171,180,190:191", "200,210:211,220,230:231,240,250:251"}
	if !slices.Equal(lists, want) {
		t.Errorf("ports %v, want %v", lists, want)
	}
}

func TestNamesAreShortUniqueAndLeadBack(t *testing.T) {
	long := "tcp.22_80_443_8080_8443_9000-9100_10000.drop"
	l := firewall.Layout{Groups: []firewall.Group{all, feed, {Name: long}, {Name: long + ".hits"}, {Name: "12345678901234567"}, {Name: "123456789012345678"}}}
	seen := map[string]bool{}
	for _, g := range l.Groups {
		for _, s := range []firewall.Set{
			{Group: g.Name, Bits: 32},
			{Group: g.Name, Bits: 1, Gen: 1},
			{Group: g.Name, V6: true, Bits: 128},
			{Group: g.Name, V6: true, Bits: 127, Gen: 1},
		} {
			name := ipset.NameOf(s)
			if len(name)+len(".x") > 31 || seen[name] {
				t.Errorf("the name of %s is %s", s, name)
			}
			seen[name] = true
			for _, name := range []string{name, name + ".x"} {
				if back, ok := ipset.SetOf(name, l); !ok || back != s {
					t.Errorf("%s leads to %+v, %v instead of %s", name, back, ok, s)
				}
			}
		}
	}
	for _, other := range []string{"", "pal-", "pal-other.drop.v4", "all.drop.v4", "pal-all.drop", "pal-all.drop.v4-33", "pal-all.drop.v5"} {
		if s, ok := ipset.SetOf(other, l); ok {
			t.Errorf("%q leads to %s", other, s)
		}
	}
}

func TestErrorsSayWhyAndWhatToDo(t *testing.T) {
	exit := &exec.ExitError{}
	for _, c := range []struct {
		err    error
		reason error
		says   string
	}{
		{ipset.Explain("add", unix.EPERM), firewall.ErrPermission, "CAP_NET_ADMIN"},
		{ipset.Explain("add", unix.ENOENT), firewall.ErrLost, "add: "},
		{ipset.Explain("add", unix.Errno(4352)), firewall.ErrFull, "lift bans"},
		{ipset.Explain("add", unix.Errno(4099)), firewall.ErrFull, "max_sets"},
		{ipset.Explain("ask", unix.Errno(4098)), firewall.ErrUnsupported, "modprobe -a ip_set"},
		{ipset.Explain("remove", unix.Errno(4100)), unix.Errno(4100), "rules use the set"},
		{ipset.Explain("send", unix.ENOBUFS), unix.ENOBUFS, "wmem_max"},
		{ipset.Explain("send", unix.ENOMEM), unix.ENOMEM, "out of memory"},
		{ipset.Explain("read", errors.ErrUnsupported), errors.ErrUnsupported, "read: "},
		{ipset.Complain(exit, "iptables: Permission denied (you must be root)."), firewall.ErrPermission, "(you must be root)"},
		{ipset.Complain(exit, "iptables-restore v1.8.9 (nf_tables): Set pal-x doesn't exist.\n\nError occurred at line: 4\nTry `x -h'"), firewall.ErrLost, "Set pal-x doesn't exist.; Error occurred at line: 4"},
		{ipset.Complain(exit, "can't initialize iptables table `raw': Table does not exist (do you need to insmod?)"), firewall.ErrUnsupported, "modprobe -a xt_set"},
		{ipset.Complain(exit, "# Warning: tables present\nAnother app is currently holding the xtables lock."), exit, "fuser"},
		{ipset.Complain(exit, strings.Repeat("x", 10000)), exit, "xxx"},
	} {
		if !errors.Is(c.err, c.reason) || !strings.Contains(c.err.Error(), c.says) || len(c.err.Error()) > 600 || strings.Contains(c.err.Error(), "Warning") {
			t.Errorf("%v", c.err)
		}
	}
}

func TestNoProgramIsSaidWithItsPackage(t *testing.T) {
	_, err := ipset.New(ipset.Options{IPv4: "no-such-iptables"})
	if !errors.Is(err, firewall.ErrUnsupported) || !strings.Contains(err.Error(), "install the package iptables") {
		t.Errorf("without iptables: %v", err)
	}
}

func TestCountingTakesLittleOfTheTime(t *testing.T) {
	start := time.Unix(1000, 0)
	if got := ipset.NextCount(start, 2300*time.Microsecond).Sub(start); got > time.Second {
		t.Errorf("100,000 elements are counted again after %s", got)
	}
	if got := ipset.NextCount(start, 40*time.Millisecond).Sub(start); got < 12*time.Second {
		t.Errorf("a million elements are counted again after %s", got)
	}
}

// FuzzWire: whatever comes from the netlink socket is read without a panic.
func FuzzWire(f *testing.F) {
	for _, s := range []string{
		"", "\x00", "\x14\x00\x00\x00\x02\x06\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
		// An element with address, length and timeout.
		"\x34\x00\x00\x00\x07\x06\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00" +
			"\x0c\x00\x01\x80\x08\x00\x01\x40\xc0\x00\x02\x00\x05\x00\x03\x00\x18\x00\x00\x00\x08\x00\x06\x40\x00\x00\x0e\x10",
		// A header.
		"\x38\x00\x00\x00\x07\x06\x02\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00" +
			"\x0c\x00\x03\x00hash:ip\x00\x05\x00\x05\x00\x02\x00\x00\x00\x14\x00\x07\x80\x08\x00\x06\x40\x00\x00\x00\x00\x08\x00\x18\x40\x00\x00\x00\x05",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if n := ipset.ReadAll(data); n < 0 || n > 100*len(data)+100 {
			t.Errorf("%d bytes read of %d", n, len(data))
		}
	})
}

// FuzzListing: whatever iptables prints, the script that repairs it is either empty or a whole one, and no
// longer than what was printed allows.
func FuzzListing(f *testing.F) {
	for _, s := range []string{
		"", "-P PREROUTING ACCEPT\n-N PALISADE\n-A PREROUTING -j PALISADE\n-A PALISADE -i lo -j RETURN\n",
		"-A PREROUTING -s 192.0.2.1/32 -j ACCEPT\n-A PREROUTING -j PALISADE\n-A PREROUTING -j PALISADE\n",
		"-N PALISADE-OUTPUT\n-A PALISADE-OUTPUT -j ACCEPT\n-A OUTPUT -j PALISADE-OUTPUT\n-A x -g PALISADE\n",
	} {
		f.Add(s)
	}
	l := firewall.Layout{Groups: []firewall.Group{{Name: "all.drop"}}, Sets: []firewall.Set{{Group: "all.drop", Bits: 32}}}
	f.Fuzz(func(t *testing.T, text string) {
		script := ipset.ReadListing(text, l)
		if script != "" && (!strings.HasPrefix(script, "*raw\n:PALISADE - [0:0]\n") || !strings.HasSuffix(script, "\nCOMMIT\n")) || len(script) > 1000+40*len(text) {
			t.Errorf("a script %q", script)
		}
	})
}
