package nft

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// failed gives an error of a system call a reason and a hint.
func failed(op string, err error) error {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return explain(op, errno, err)
	}
	return &firewall.Error{Op: op, Err: err}
}

// refused gives the kernel's refusal a reason and a hint.
func refused(op string, r *refusal) error {
	err := error(r.errno)
	if r.text != "" {
		err = fmt.Errorf("%w: %s", r.errno, r.text)
	}
	return explain(op, r.errno, err)
}

func explain(op string, errno unix.Errno, err error) error {
	e := &firewall.Error{Op: op, Err: err}
	because := func(reason error, hint string) {
		e.Err, e.Hint = fmt.Errorf("%w: %w", reason, err), hint
	}
	switch errno {
	case unix.EPERM, unix.EACCES:
		because(firewall.ErrPermission, "run as root, or with the capability CAP_NET_ADMIN")
	case unix.ENOENT, unix.EEXIST:
		because(firewall.ErrLost, "")
	case unix.ENFILE:
		because(firewall.ErrFull, "lift bans, or ban networks instead of hosts")
	case unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT:
		because(firewall.ErrUnsupported, "load nf_tables with: modprobe nf_tables; in a container the host has to")
	case unix.ENOBUFS, unix.EMSGSIZE:
		e.Hint = "raise net.core.wmem_max and net.core.rmem_max, or give the daemon CAP_NET_ADMIN"
	case unix.ENOMEM:
		e.Hint = "the kernel is out of memory"
	default:
	}
	return e
}

// taken turns a refusal by the owner of a table into what it means.
func taken(err error) error {
	if e, ok := errors.AsType[*firewall.Error](err); ok && errors.Is(err, unix.EPERM) {
		return &firewall.Error{
			Op: e.Op, Err: fmt.Errorf("%w: %w", firewall.ErrOwned, unix.EPERM),
			Hint: "stop the other one; nft -t list table inet " + tableName + " names it",
		}
	}
	return err
}
