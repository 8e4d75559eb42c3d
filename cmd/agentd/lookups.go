package main

import (
	"fmt"
	"net/http"
	"net/netip"
	"sync/atomic"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/lookup"
	"github.com/palisade-agent/palisade/internal/setup"
)

// lookups ask services about addresses, for agentctl check.
type lookups struct {
	desk     *lookup.Desk
	services atomic.Pointer[[]lookup.Service] // those of the configuration in force
}

func openLookups(l *lists) *lookups {
	k := &lookups{desk: lookup.NewDesk(l.client.Load, nil)}
	k.services.Store(&[]lookup.Service{})
	return k
}

// apply brings what agent.conf says in force.
func (k *lookups) apply(c config.AgentConf) {
	all := setup.Lookups(c)
	k.services.Store(&all)
}

// routes answer on the control socket.
func (k *lookups) routes() []control.Route {
	return []control.Route{{Pattern: "GET /v1/lookup", Answer: func(r *http.Request) (any, error) {
		text := r.URL.Query().Get("ip")
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("%w: %.60q is no address", control.ErrInvalid, text)
		}
		out := control.Lookups{IP: a.Unmap().String(), Services: []control.Lookup{}}
		for _, x := range k.desk.Ask(r.Context(), *k.services.Load(), a) {
			out.Services = append(out.Services, control.Lookup(x))
		}
		return out, nil
	}}}
}
