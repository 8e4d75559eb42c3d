package main

import (
	"net/netip"
	"slices"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// firewallWishes is what agent.conf says of the firewall that can change while it runs. It belongs to one
// goroutine at a time: the start, then one reload after the other.
type firewallWishes struct {
	keeper  *firewall.Keeper
	cutting cutting
	allow   []netip.Prefix // in force
}

// apply brings it in force.
func (w *firewallWishes) apply(c config.FirewallConf) {
	w.cutting.enable(c.Cut)
	if !slices.Equal(w.allow, c.Allow) {
		w.allow = c.Allow
		w.keeper.SetAllow(cidr.Of(c.Allow...))
	}
}
