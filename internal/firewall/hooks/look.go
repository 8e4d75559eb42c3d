package hooks

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// Look looks at the machine, more exactly at the network namespace of this process. It changes nothing and
// takes milliseconds. It needs CAP_NET_ADMIN, as nftables does even to be read; without it the error is
// unix.EPERM. What else cannot be looked at is named in Report.Unread.
func Look(ctx context.Context) (Report, error) {
	const proc = "/proc"
	var f facts
	n, err := readNftables()
	switch {
	case errors.Is(err, unix.EPERM):
		return Report{}, fmt.Errorf("look at nftables as root, or with CAP_NET_ADMIN: %w", err)
	case err == nil:
		n.facts(&f)
	case !absent(err):
		f.unread = append(f.unread, err.Error())
	}
	readLegacy(ctx, proc, &f)
	if f.links, err = readLinks(proc); err != nil {
		f.unread = append(f.unread, err.Error())
	}
	if f.filters, err = readFilters(); err != nil {
		f.unread = append(f.unread, err.Error())
	}
	programs, err := readPrograms(f.links)
	if f.filters = append(f.filters, programs...); err != nil {
		f.unread = append(f.unread, err.Error())
	}
	return evaluate(f), nil
}
