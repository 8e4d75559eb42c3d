package ipset

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/firewall"
)

// Errors of ipset's own, numbered above the system's.
const (
	errFindType = unix.Errno(4098) // no such type of sets, or not in this revision
	errMaxSets  = unix.Errno(4099)
	errBusy     = unix.Errno(4100) // rules use the set; of destroy
	errExist    = unix.Errno(4103) // the element is not there; of tests
	errHashFull = unix.Errno(4352)
)

// failed gives an error of the kernel a reason and a hint.
func failed(op string, err error) error {
	e := &firewall.Error{Op: op, Err: err}
	errno, ok := errors.AsType[unix.Errno](err)
	if !ok {
		return e
	}
	because := func(reason error, hint string) {
		e.Err, e.Hint = fmt.Errorf("%w: %w", reason, err), hint
	}
	switch errno {
	case unix.EPERM, unix.EACCES:
		because(firewall.ErrPermission, "run as root, or with the capability CAP_NET_ADMIN")
	case unix.ENOENT:
		because(firewall.ErrLost, "")
	case errHashFull:
		because(firewall.ErrFull, "lift bans, or ban networks instead of hosts")
	case errMaxSets:
		because(firewall.ErrFull, "raise the limit of sets with: modprobe ip_set max_sets=1024")
	case errFindType, unix.EOPNOTSUPP, unix.EPROTONOSUPPORT, unix.EAFNOSUPPORT:
		because(firewall.ErrUnsupported, "load ipset with: modprobe -a ip_set ip_set_hash_ip ip_set_hash_net; in a container the host has to")
	case errBusy:
		e.Err = fmt.Errorf("rules use the set: %w", err)
	case unix.ENOBUFS, unix.EMSGSIZE:
		e.Hint = "raise net.core.wmem_max and net.core.rmem_max, or give the daemon CAP_NET_ADMIN"
	case unix.ENOMEM:
		e.Hint = "the kernel is out of memory"
	default:
	}
	return e
}

// lost says in words what is not as it was left.
func lost(format string, args ...any) error {
	return &firewall.Error{Op: "look at the firewall", Err: fmt.Errorf("%w: %s", firewall.ErrLost, fmt.Sprintf(format, args...))}
}
