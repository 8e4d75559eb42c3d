package ipset

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// messageMax is after how many bytes of elements a message ends. They are one attribute, whose length
	// is 16 bits; an element takes 56 bytes at most.
	messageMax = 48_000
	// sendMax is after how many bytes messages are sent.
	sendMax = 512 << 10
)

// check refuses what would be encoded as something else.
func check(c firewall.Change) error {
	p := c.Prefix
	if p.Addr().Is6() != c.Set.V6 || p.Addr().Is4In6() || p.Bits() != c.Set.Bits || p != p.Masked() || p.Bits() <= 0 {
		return &firewall.Error{Op: "change elements", Err: fmt.Errorf("%s does not belong in set %s", p, c.Set)}
	}
	return nil
}

// seconds gives a timeout as the kernel wants it, not shorter than asked for. What is longer than the
// kernel can count stays until it is removed, as 0 does.
func seconds(timeout time.Duration) uint32 {
	if timeout > timeoutMax {
		return 0
	}
	return uint32((timeout + time.Second - 1) / time.Second)
}

// batch encodes changes to the elements of one set and sends them.
type batch struct {
	socket *socket
	w      *writer
	cmd    uint8
	set    firewall.Set
	name   string

	open  bool
	outer int // where the message begins
	inner int // where its elements do
}

// change brings elements in (cmdAdd) or out (cmdDel). What is there already, or gone already, is fine. After
// an error, which names the set, others may have been brought in nevertheless.
func change(s *socket, cmd uint8, changes []firewall.Change, target func(firewall.Set) (name string, timeouts bool)) error {
	var sets []firewall.Set
	for _, c := range changes {
		if c.Remove == (cmd == cmdDel) && !slices.Contains(sets, c.Set) {
			sets = append(sets, c.Set)
		}
	}
	for _, set := range sets {
		name, timeouts := target(set)
		b := batch{socket: s, w: s.writer(), cmd: cmd, set: set, name: name}
		for _, c := range changes {
			if c.Set == set && c.Remove == (cmd == cmdDel) && !unspecified(c.Prefix) {
				if err := b.add(c, timeouts && !c.Remove); err != nil {
					return err
				}
			}
		}
		if err := b.flush(); err != nil {
			return err
		}
	}
	return nil
}

func (b *batch) add(c firewall.Change, timeout bool) error {
	if b.open && len(b.w.Buf)-b.inner > messageMax {
		b.close()
		if len(b.w.Buf) > sendMax {
			if err := b.flush(); err != nil {
				return err
			}
		}
	}
	if !b.open {
		b.open = true
		b.outer = b.w.command(b.cmd, unix.NLM_F_ACK, familyOf(b.set.V6))
		b.w.Text(attrSetName, b.name)
		b.w.number(attrLine, 0)
		b.inner = b.w.Nest(attrADT)
	}
	data := b.w.Nest(attrData)
	b.w.element(c.Prefix)
	if timeout {
		b.w.number(attrTimeout, seconds(c.Timeout))
	}
	b.w.EndNest(data)
	return nil
}

func (b *batch) close() {
	b.w.EndNest(b.inner)
	b.w.End(b.outer)
	b.open = false
}

func (b *batch) flush() error {
	if b.open {
		b.close()
	}
	if len(b.w.Buf) == 0 {
		return nil
	}
	err := b.socket.send(b.w)
	b.w = b.socket.writer()
	if err == nil {
		return nil
	}
	op := "add elements to"
	if b.cmd == cmdDel {
		op = "remove elements from"
	}
	return failed(op+" set "+b.set.String(), err)
}
