package hooks

import (
	"encoding/binary"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

func number(typ uint16, n uint32) []byte {
	b := binary.NativeEndian.AppendUint16(nil, 8)
	b = binary.NativeEndian.AppendUint16(b, typ)
	return binary.BigEndian.AppendUint32(b, n)
}

func nest(typ uint16, attrs ...[]byte) []byte {
	body := slices.Concat(attrs...)
	b := binary.NativeEndian.AppendUint16(nil, uint16(unix.SizeofNlAttr+len(body)))
	b = binary.NativeEndian.AppendUint16(b, typ|unix.NLA_F_NESTED)
	return append(b, body...)
}

// Not every kernel has flowtables to be asked for.
func TestFlowtablesAreRead(t *testing.T) {
	message := slices.Concat(header(unix.NFPROTO_INET),
		appendText(nil, attrFlowtableTable, "router"), appendText(nil, attrFlowtableName, "fast"), number(attrFlowtableUse, 2),
		nest(attrFlowtableHook, number(unix.NFTA_HOOK_HOOKNUM, 0), number(unix.NFTA_HOOK_PRIORITY, 0),
			nest(attrFlowtableDevices, appendText(nil, 1, "eth0"), appendText(nil, 1, "eth1"))))
	var n nftables
	n.flowtable(message)
	if len(n.flows) != 1 {
		t.Fatalf("read %+v", n.flows)
	}
	f := n.flows[0]
	if f.family != "inet" || f.table != "router" || f.name != "fast" || !f.used || !slices.Equal(f.devices, []string{"eth0", "eth1"}) {
		t.Errorf("read %+v", f)
	}
}

func TestAnAnswerIsReadToItsEndAndNoFurther(t *testing.T) {
	message := func(typ uint16, seq uint32, payload ...byte) []byte {
		b := binary.NativeEndian.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(payload)))
		b = binary.NativeEndian.AppendUint16(b, typ)
		b = binary.NativeEndian.AppendUint16(b, 0)
		b = binary.NativeEndian.AppendUint32(b, seq)
		b = binary.NativeEndian.AppendUint32(b, 0)
		return append(b, payload...)
	}
	refused := binary.NativeEndian.AppendUint32(nil, ^uint32(unix.EPERM)+1)
	for _, c := range []struct {
		name  string
		data  []byte
		count int
		done  bool
		bad   bool
	}{
		{"more to come", slices.Concat(message(100, 1, 1, 2, 3, 4), message(100, 1)), 2, false, false},
		{"the end", slices.Concat(message(100, 1), message(unix.NLMSG_DONE, 1, 0, 0, 0, 0), message(100, 1)), 1, true, false},
		{"of another question", message(100, 7), 0, false, false},
		{"refused", message(unix.NLMSG_ERROR, 1, refused...), 0, true, true},
		{"refused at the end", message(unix.NLMSG_DONE, 1, refused...), 0, true, true},
		{"cut off", message(100, 1, 1, 2, 3, 4)[:18], 0, true, true},
	} {
		count := 0
		done, err := messages(c.data, 1, func([]byte) { count++ })
		if count != c.count || done != c.done || (err != nil) != c.bad {
			t.Errorf("%s: %d messages, done %v, %v", c.name, count, done, err)
		}
	}
}
