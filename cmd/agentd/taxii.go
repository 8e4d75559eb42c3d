package main

import (
	"context"
	"net/http"
	"sync/atomic"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/export/taxii"
	"github.com/palisade-agent/palisade/internal/ident"
)

// collection shows our own bans over TAXII, if that is wished.
type collection struct {
	server  *taxii.Server
	on      atomic.Bool
	service atomic.Pointer[control.Service] // nil until there is one
}

func newCollection() *collection {
	c := &collection{}
	c.server = taxii.New(taxii.Options{Title: "Palisade: bans of this machine", Bans: c.bans})
	return c
}

// ServeHTTP implements http.Handler.
func (c *collection) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !c.on.Load() {
		http.Error(w, "there is no collection: write taxii = yes into [http]", http.StatusNotFound)
		return
	}
	c.server.ServeHTTP(w, r)
}

// bans are those that jails have made; what an operator or an import did is no indicator of anything.
func (c *collection) bans(ctx context.Context) ([]taxii.Ban, error) {
	service := c.service.Load()
	if service == nil {
		return nil, errNotReady
	}
	all, err := (*service).Banned(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	var out []taxii.Ban
	for _, b := range all.Bans {
		id := ident.Parse(b.ID)
		if !id.IsAddr() || b.Origin == "manual" || b.Origin == "imported" {
			continue
		}
		x := taxii.Ban{Prefix: id.Prefix(), Jail: b.Jail, Since: b.Since}
		if b.Until != nil {
			x.Until = *b.Until
		}
		out = append(out, x)
	}
	return out, nil
}
