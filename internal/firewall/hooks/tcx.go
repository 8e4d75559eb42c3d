package hooks

import (
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// programQuery is what BPF_PROG_QUERY takes, union bpf_attr's member query. With no room for the numbers of
// programs the kernel only counts them.
type programQuery struct {
	device      uint32
	attachType  uint32
	queryFlags  uint32
	attachFlags uint32
	programs    uint64
	count       uint32
	_           uint32
	programFlag uint64
	links       uint64
	linkFlags   uint64
	revision    uint64
}

// readPrograms adds the bpf programs at devices that tc does not show, because they are no filters. The error is
// nil on a kernel without.
func readPrograms(links []link) (filters []filter, err error) {
	for i, l := range links {
		if i == maxDevices {
			return filters, fmt.Errorf("only the bpf programs of the first %d devices: %w", maxDevices, errTooMuch)
		}
		q := programQuery{device: uint32(l.index), attachType: unix.BPF_TCX_INGRESS}
		_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_QUERY, uintptr(unsafe.Pointer(&q)), unsafe.Sizeof(q))
		switch {
		case errno == 0 && q.count > 0:
			filters = append(filters, filter{device: l.index, kind: kindTCX, judges: true})
		case errors.Is(errno, unix.EINVAL), errors.Is(errno, unix.ENOSYS):
			return filters, nil // an old kernel
		case errno != 0 && errno != unix.ENODEV && errno != unix.ENOENT: // the device may have gone by now
			return filters, fmt.Errorf("list the bpf programs of devices: %w", errno)
		}
	}
	return filters, nil
}
