package executor

import (
	"context"
	"slices"

	"github.com/palisade-agent/palisade/internal/control/f2b"
)

// backends are what a jail may be added with.
var backends = []string{"pyinotify", "systemd", "polling", "auto"}

// lifeOf answers add, start and stop.
func (h Handler) lifeOf(ctx context.Context, words []string) (any, error) {
	switch {
	case words[0] == "stop" && len(words) == 1:
		return nil, h.Service.Stop(ctx, false)
	case len(words) < 2:
		return nil, fewWords()
	case words[0] == "stop" && words[1] == "--all":
		return nil, h.stopAll(ctx)
	case words[0] == "stop":
		return nil, h.Jails.Stop(ctx, words[1])
	case words[0] == "start":
		return nil, h.Jails.Start(ctx, words[1])
	}
	return h.add(words[1:])
}

func (h Handler) stopAll(ctx context.Context) error {
	s, err := h.Service.Status(ctx)
	if err != nil {
		return err
	}
	return h.Jails.Stop(ctx, h.names(s)...)
}

// add adds a jail.
func (h Handler) add(words []string) (any, error) {
	name, backend := words[0], "auto"
	if name == "--all" {
		return nil, refused("Reserved name %s", f2b.Repr(name))
	}
	if len(words) > 1 {
		backend = words[1]
	}
	if _, _, err := h.Jails.Config(name); err == nil {
		return nil, &f2b.ExceptionError{Module: "fail2ban.exceptions", Class: "DuplicateJailException", Args: []any{name}}
	}
	if !slices.Contains(backends, backend) {
		return nil, exception("ValueError", "Unknown backend %s. Must be among ['pyinotify', 'polling', 'systemd'] or 'auto'", backend)
	}
	h.Jails.Add(name, backend)
	return name, nil
}
