package main

import (
	"context"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall/hooks"
)

// lookAtHooks tells who handles packets on this machine, in the words of the control socket.
func lookAtHooks(ctx context.Context) ([]control.Hook, []string, error) {
	r, err := hooks.Look(ctx)
	if err != nil {
		return nil, nil, err
	}
	list := make([]control.Hook, 0, len(r.Hooks))
	for _, h := range r.Hooks {
		list = append(list, control.Hook{
			Where: h.Where, Family: h.Family, Priority: h.Priority, Device: h.Device, By: h.By, Effect: h.Effect, Ours: h.Ours,
		})
	}
	warnings := r.Warnings
	for _, u := range r.Unread {
		warnings = append(warnings, "not looked at: "+u)
	}
	return list, warnings, nil
}
