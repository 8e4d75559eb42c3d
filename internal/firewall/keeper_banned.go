package firewall

import (
	"context"
	"slices"
	"strings"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Banned gives what owners have wished and what is not over: those that are named, or, where a name ends with a
// colon, all that begin with it. It takes about 10 ms for 100,000 bans, during which no other is brought in.
func (k *Keeper) Banned(ctx context.Context, owners []string) (cidr.Ranges, error) {
	var b cidr.Builder
	err := k.run(ctx, func() {
		now := k.now().UnixNano()
		wanted := map[int32]bool{}
		for id, o := range k.table.byID {
			wanted[id] = slices.ContainsFunc(owners, func(name string) bool {
				return o.name == name || strings.HasSuffix(name, ":") && strings.HasPrefix(o.name, name)
			})
		}
		for at, e := range k.table.elements {
			if slices.ContainsFunc(e.claims, func(c claim) bool { return wanted[c.owner] && c.until > now }) {
				b.Add(at.prefix)
			}
		}
	})
	return b.Ranges(), err
}
