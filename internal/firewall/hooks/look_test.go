package hooks

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// run runs a command of the machine; a tool or feature that is missing skips the test.
func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := command(t, args...); err != nil {
		t.Skipf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func command(t *testing.T, args ...string) ([]byte, error) {
	t.Helper()
	return exec.CommandContext(t.Context(), args[0], args[1:]...).CombinedOutput()
}

func look(t *testing.T) Report {
	t.Helper()
	r, err := Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Unread) > 0 {
		t.Errorf("not everything was read: %q", r.Unread)
	}
	return r
}

// want compares hooks, and how warnings begin.
func want(t *testing.T, r Report, hooks []string, warnings ...string) {
	t.Helper()
	got := effects(r)
	for _, h := range hooks {
		if !slices.Contains(got, h) {
			t.Errorf("hook is missing: %s", h)
		}
	}
	bad := len(r.Warnings) != len(warnings)
	for _, w := range warnings {
		bad = bad || !slices.ContainsFunc(r.Warnings, func(g string) bool { return strings.HasPrefix(g, w) })
	}
	if bad {
		t.Errorf("warnings %q, want those that begin with %q", r.Warnings, warnings)
	}
	if t.Failed() {
		b, err := json.MarshalIndent(r, "", " ")
		t.Logf("%s, %v", b, err)
	}
}

// device makes a pair of devices.
func device(t *testing.T, name, other string) {
	t.Helper()
	run(t, "ip", "link", "add", name, "type", "veth", "peer", "name", other)
	run(t, "ip", "link", "set", name, "up")
	run(t, "ip", "link", "set", other, "up")
}

func TestKernelEmptyMachineHasNoHooks(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	r := look(t)
	if len(r.Hooks) > 0 || len(r.Warnings) > 0 {
		t.Errorf("found %v", r)
	}
}

func TestKernelChainsOfOthersAreFound(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	device(t, "out0", "far0")
	run(t, "nft", "add table inet palisade; add chain inet palisade prerouting { type filter hook prerouting priority -300; }")
	run(t, "nft", "add table ip early; add chain ip early c { type filter hook prerouting priority -400; }; add rule ip early c accept")
	run(t, "nft", "add table ip6 asleep { flags dormant; }; add chain ip6 asleep c { type filter hook prerouting priority -400; }")
	run(t, "nft", `add table netdev dev; add chain netdev dev in { type filter hook ingress device "out0" priority 5; }`)
	run(t, "nft", "add table bridge b; add chain bridge b c { type filter hook prerouting priority 0; }")
	run(t, "iptables-nft", "-N", "DOCKER-USER")
	run(t, "iptables-nft", "-A", "FORWARD", "-j", "DOCKER-USER")
	r := look(t)
	want(t, r, []string{
		"ingress 5 out0table netdev dev chain in: before our rules: can drop packets first, not accept them for us",
		"prerouting -400 table ip early chain c: before our rules: can drop packets first, not accept them for us",
		"* prerouting -300 table inet palisade chain prerouting: our rules",
		"bridge prerouting 0 table bridge b chain c: beside our rules: sees what a bridge passes on",
		"forward 0 table ip filter chain FORWARD (docker, iptables-nft): behind our rules: does not see what they drop",
	})
	if s := strings.Join(effects(r), "\n"); strings.Contains(s, "asleep") {
		t.Errorf("a dormant table sees nothing:\n%s", s)
	}
}

func TestKernelChainThatSendsPacketsAwayIsWarnedOf(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	device(t, "out0", "far0")
	run(t, "nft", `add table netdev dev; add chain netdev dev in { type filter hook ingress device "out0" priority 0; }; add chain netdev dev more; add rule netdev dev in jump more; add rule netdev dev more fwd to "far0"`)
	want(t, look(t), nil, "table netdev dev chain in sends packets straight out")
}

func TestKernelFlowtableIsWarnedOfOnceARuleUsesIt(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	device(t, "out0", "far0")
	run(t, "nft", "add table inet r; add flowtable inet r f { hook ingress priority 0; devices = { out0 }; }; add chain inet r c { type filter hook forward priority 0; }")
	want(t, look(t), []string{"ingress 0 out0flowtable f of table inet r: before our rules: no rule puts connections into it"})
	run(t, "nft", "add rule inet r c ip protocol tcp flow add @f")
	want(t, look(t), []string{"ingress 0 out0flowtable f of table inet r: passes by our rules: connections that it has taken over"}, "flowtable f of table inet r")
}

func TestKernelFilterThatRedirectsIsWarnedOf(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	device(t, "out0", "far0")
	run(t, "ip", "link", "add", "ifb0", "type", "ifb")
	run(t, "tc", "qdisc", "add", "dev", "out0", "clsact")
	run(t, "tc", "qdisc", "add", "dev", "far0", "ingress")
	run(t, "tc", "filter", "add", "dev", "far0", "parent", "ffff:", "protocol", "ip", "u32", "match", "u32", "0", "0", "action", "mirred", "egress", "redirect", "dev", "ifb0")
	want(t, look(t), []string{"tc ingress 0 far0tc filter u32: before our rules: packets come back from ifb0 and meet them"})
	run(t, "tc", "filter", "add", "dev", "out0", "ingress", "protocol", "ip", "u32", "match", "ip", "src", "192.0.2.1", "action", "mirred", "egress", "redirect", "dev", "far0")
	want(t, look(t), nil, "tc filter u32 on out0 sends packets straight out of far0")
}

// program loads a bpf program that returns a value, and skips the test where that is not possible.
func program(t *testing.T, typ uint32, value int32) (fd int) {
	t.Helper()
	// r0 = value; exit
	instructions := binary.NativeEndian.AppendUint32([]byte{0xb7, 0, 0, 0}, uint32(value))
	instructions = append(instructions, 0x95, 0, 0, 0, 0, 0, 0, 0)
	license := []byte("GPL\x00")
	attr := struct {
		typ, count            uint32
		instructions, license uint64
		rest                  [12]uint64
	}{
		typ: typ, count: 2,
		instructions: uint64(uintptr(unsafe.Pointer(&instructions[0]))), license: uint64(uintptr(unsafe.Pointer(&license[0]))),
	}
	n, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_LOAD, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(instructions)
	runtime.KeepAlive(license)
	if errno != 0 {
		t.Skipf("no bpf programs here: %v", errno)
	}
	t.Cleanup(func() { _ = unix.Close(int(n)) })
	return int(n)
}

func TestKernelXDPProgramIsWarnedOf(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	device(t, "out0", "far0")
	const pass, generic = 2, 2 // XDP_PASS, XDP_FLAGS_SKB_MODE
	fd := program(t, unix.BPF_PROG_TYPE_XDP, pass)
	l, err := netlink.LinkByName("out0")
	if err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkSetXdpFdWithFlags(l, fd, generic); err != nil {
		t.Skipf("no XDP programs here: %v", err)
	}
	want(t, look(t), nil, "XDP program ")
}

func TestKernelProgramThatIsNoFilterOfTCIsWarnedOf(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	device(t, "out0", "far0")
	fd := program(t, unix.BPF_PROG_TYPE_SCHED_CLS, -1) // TCX_NEXT
	l, err := netlink.LinkByName("far0")
	if err != nil {
		t.Fatal(err)
	}
	attach := struct {
		device, program, typ, flags uint32
		rest                        [12]uint64
	}{device: uint32(l.Attrs().Index), program: uint32(fd), typ: unix.BPF_TCX_INGRESS}
	if _, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_ATTACH, uintptr(unsafe.Pointer(&attach)), unsafe.Sizeof(attach)); errno != 0 {
		t.Skipf("no such programs here: %v", errno)
	}
	want(t, look(t), []string{"tc ingress 0 far0bpf program (tcx): passes by our rules: what it redirects itself"}, "bpf program (tcx) on far0 sees packets")
}

func TestKernelBridgeWithoutNetfilterIsWarnedOf(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	run(t, "ip", "link", "add", "br0", "type", "bridge")
	device(t, "guest0", "far0")
	run(t, "ip", "link", "set", "guest0", "master", "br0")
	run(t, "ip", "link", "add", "outside", "type", "ifb") // any kind but those of guests
	run(t, "ip", "link", "set", "outside", "master", "br0")
	shown := func(on string) {
		for _, name := range []string{"bridge-nf-call-iptables", "bridge-nf-call-ip6tables"} {
			if err := os.WriteFile("/proc/sys/net/bridge/"+name, []byte(on), 0o600); err != nil && on == "1" {
				t.Skip(err)
			}
		}
	}
	shown("0")
	want(t, look(t), nil, "bridge br0 passes packets on between guest0, outside without our rules")
	shown("1")
	want(t, look(t), nil)
}

func TestKernelAcceptInFrontOfOurChainOfIptablesIsWarnedOf(t *testing.T) {
	if !packets.Inside(t) {
		return
	}
	for _, tool := range []string{"iptables-nft", "ip6tables-nft", "iptables-legacy", "ip6tables-legacy"} {
		rule := func(args ...string) { run(t, append([]string{tool, "-t", "raw"}, args...)...) }
		rule("-N", "PALISADE")
		rule("-A", "PREROUTING", "-i", "lo", "-j", "ACCEPT")
		rule("-A", "PREROUTING", "-j", "PALISADE")
		rule("-A", "PREROUTING", "-j", "ACCEPT")
		want(t, look(t), nil)
		rule("-I", "PREROUTING", "-p", "tcp", "-j", "ACCEPT")
		family, variant, _ := strings.Cut(tool, "-")
		want(t, look(t), nil, "in chain PREROUTING of "+family+"'s table raw (iptables-"+variant+"), ACCEPT before our rules")
		rule("-F")
		rule("-X", "PALISADE")
	}
}
