package nft

import (
	"errors"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/netlink"
)

// Without makes a backend behave as on a kernel that lacks features.
func (b *Backend) Without(f Features) {
	b.features.Update = b.features.Update && !f.Update
	b.features.Destroy = b.features.Destroy && !f.Destroy
}

// Owned tells whether others are kept out of the table.
func (b *Backend) Owned() bool { return !b.plain }

// Vanish ends the backend as the death of its process would.
func (b *Backend) Vanish() error { return b.socket.close() }

// SmallBuffer takes from the socket what only privilege gave it.
func (b *Backend) SmallBuffer() error {
	return b.socket.conn.SetSendBuffer(50_000)
}

// ReadAll reads bytes in every way in which those of the kernel are read.
func ReadAll(data []byte) (total int) {
	_ = netlink.Messages(data, func(m netlink.Message) error {
		total += len(m.Payload)
		netlink.Attributes(m.Body(), func(_ uint16, value []byte) {
			total += len(netlink.Text(value)) + len(comment(value))
			_ = netlink.Number(value)
			netlink.Attributes(value, func(_ uint16, value []byte) { total += len(value) })
		})
		if r := parseRefusal(m); r != nil {
			total += len(r.text)
		}
		for _, v6 := range []bool{false, true} {
			if e, _, ok := readElement(firewall.Set{Group: "g", V6: v6, Bits: 24}, m.Body()); ok && e.Prefix.IsValid() {
				total++
			}
		}
		return nil
	})
	return total
}

// LeaveHalf ends the backend as the death of its process between the two halves of Commit would.
func (b *Backend) LeaveHalf(l firewall.Layout) error {
	r := render(l, b.features.Reject)
	err := b.socket.transact(func(m *batch) { _ = r.encode(m, tableName, otherSuffix(b.suffix)) })
	return errors.Join(err, b.Vanish())
}
