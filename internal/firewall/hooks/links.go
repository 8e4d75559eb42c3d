package hooks

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/netlink"
)

// Numbers of the kernel that golang.org/x/sys/unix does not have.
const (
	skipStatistics = 8 // RTEXT_FILTER_SKIP_STATS

	attrBridgeCalls4 = 36 // IFLA_BR_NF_CALL_IPTABLES
	attrBridgeCalls6 = 37 // IFLA_BR_NF_CALL_IP6TABLES

	sizeTc          = 20         // struct tcmsg
	ingressParent   = 0xfffffff2 // TC_H_CLSACT, TC_H_MIN_INGRESS
	attrActKind     = 1          // TCA_ACT_KIND
	attrActOptions  = 2          // TCA_ACT_OPTIONS
	attrMirred      = 2          // TCA_MIRRED_PARMS
	mirredAction    = 20         // where in struct tc_mirred the action stands, and behind it the device
	redirectsOut    = 1          // TCA_EGRESS_REDIR
	attrBPFName     = 7          // TCA_BPF_NAME
	attrBPFFlags    = 8          // TCA_BPF_FLAGS
	bpfDirectAction = 1          // TCA_BPF_FLAG_ACT_DIRECT
)

// maxDevices is how many devices are asked for their tc filters and bpf programs; each costs some 0.1 ms.
const maxDevices = 2048

// readLinks lists the network devices. Proc is where the kernel's settings are, /proc.
func readLinks(proc string) (links []link, err error) {
	request := make([]byte, unix.SizeofIfInfomsg, unix.SizeofIfInfomsg+8)
	request = binary.NativeEndian.AppendUint16(request, 8)
	request = binary.NativeEndian.AppendUint16(request, unix.IFLA_EXT_MASK)
	request = binary.NativeEndian.AppendUint32(request, skipStatistics)
	err = ask(unix.NETLINK_ROUTE, unix.RTM_GETLINK, request, func(payload []byte) {
		if l, ok := readLink(payload); ok {
			links = append(links, l)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("list the network devices: %w", err)
	}
	global := [2]bool{setting(proc, "bridge-nf-call-iptables"), setting(proc, "bridge-nf-call-ip6tables")}
	_, missing := os.Stat(filepath.Join(proc, "sys/net/bridge"))
	for i := range links {
		for v := range global {
			links[i].bridged[v] = missing == nil && (links[i].bridged[v] || global[v])
		}
	}
	return links, nil
}

// setting tells whether one of the bridge's settings is on.
func setting(proc, name string) bool {
	b, err := os.ReadFile(filepath.Join(proc, "sys/net/bridge", name))
	return err == nil && strings.TrimSpace(string(b)) == "1"
}

func readLink(payload []byte) (l link, ok bool) {
	if len(payload) < unix.SizeofIfInfomsg {
		return link{}, false
	}
	l.index = int(native(payload, 4))
	netlink.Attributes(payload[unix.SizeofIfInfomsg:], func(typ uint16, value []byte) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.name = netlink.Text(value)
		case unix.IFLA_MASTER:
			l.master = int(native(value, 0))
		case unix.IFLA_LINKINFO:
			l.kind = netlink.Text(netlink.Attribute(value, unix.IFLA_INFO_KIND))
			for v, typ := range []uint16{attrBridgeCalls4, attrBridgeCalls6} {
				on := netlink.Attribute(value, unix.IFLA_INFO_DATA, typ)
				l.bridged[v] = l.kind == "bridge" && len(on) == 1 && on[0] != 0
			}
		case unix.IFLA_XDP:
			if on := netlink.Attribute(value, unix.IFLA_XDP_ATTACHED); len(on) > 0 && on[0] != 0 {
				l.xdp = native(netlink.Attribute(value, unix.IFLA_XDP_PROG_ID), 0)
			}
		}
	})
	return l, true
}

// readFilters lists the tc filters that see what devices receive.
func readFilters() (filters []filter, err error) {
	var devices []int
	err = ask(unix.NETLINK_ROUTE, unix.RTM_GETQDISC, make([]byte, sizeTc), func(payload []byte) {
		if d, ok := readIngress(payload); ok && !slices.Contains(devices, d) && len(devices) <= maxDevices {
			devices = append(devices, d)
		}
	})
	for i, d := range devices {
		if i == maxDevices {
			return filters, fmt.Errorf("only the tc filters of the first %d devices: %w", maxDevices, errTooMuch)
		}
		request := make([]byte, sizeTc)
		binary.NativeEndian.PutUint32(request[4:], uint32(d))
		binary.NativeEndian.PutUint32(request[12:], ingressParent)
		failure := ask(unix.NETLINK_ROUTE, unix.RTM_GETTFILTER, request, func(payload []byte) {
			if f, ok := readFilter(payload); ok {
				f.device = d
				if !slices.Contains(filters, f) && len(filters) <= maxHooks {
					filters = append(filters, f)
				}
			}
		})
		if !absent(failure) { // the device may have gone by now
			err = errors.Join(err, failure)
		}
	}
	if err != nil && !absent(err) {
		return filters, fmt.Errorf("list the tc filters: %w", err)
	}
	return filters, nil
}

// readIngress tells whether a queueing discipline is the one that sees what a device receives.
func readIngress(payload []byte) (device int, ok bool) {
	if len(payload) < sizeTc {
		return 0, false
	}
	kind := netlink.Text(netlink.Attribute(payload[sizeTc:], unix.TCA_KIND))
	return int(native(payload, 4)), kind == "ingress" || kind == "clsact"
}

func readFilter(payload []byte) (f filter, ok bool) {
	if len(payload) < sizeTc {
		return filter{}, false
	}
	body := payload[sizeTc:]
	f.kind = netlink.Text(netlink.Attribute(body, unix.TCA_KIND))
	options := netlink.Attribute(body, unix.TCA_OPTIONS)
	if f.kind == "bpf" {
		f.name = netlink.Text(netlink.Attribute(options, attrBPFName))
		f.judges = native(netlink.Attribute(options, attrBPFFlags), 0)&bpfDirectAction != 0
	}
	// Where the list of actions stands among the options, by kind.
	acts := map[string]uint16{"basic": 3, "bpf": 1, "cgroup": 1, "flow": 9, "flower": 3, "fw": 4, "matchall": 2, "route": 6, "u32": 7}
	at, known := acts[f.kind]
	if !known || options == nil {
		return f, options != nil
	}
	netlink.Attributes(netlink.Attribute(options, at), func(_ uint16, act []byte) {
		if netlink.Text(netlink.Attribute(act, attrActKind)) != "mirred" {
			return
		}
		m := netlink.Attribute(act, attrActOptions, attrMirred)
		if native(m, mirredAction) == redirectsOut && f.sends == 0 {
			f.sends = int(native(m, mirredAction+4))
		}
	})
	return f, true
}
