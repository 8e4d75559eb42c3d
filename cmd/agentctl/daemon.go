package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

func stop(ctx context.Context, c *call) error {
	keep := c.flags["keep"]
	if err := c.client.Stop(ctx, keep); err != nil {
		return err
	}
	return c.print(struct {
		Stopped bool `json:"stopped"`
		Kept    bool `json:"kept"` // the bans, in the kernel
	}{true, keep}, func(w io.Writer) {
		if keep {
			fmt.Fprintln(w, "agentd has stopped. The kernel keeps its bans until their time is over or agentd is back.")
		} else {
			fmt.Fprintln(w, "agentd has stopped and taken its bans out of the kernel. The next start restores them.")
		}
	})
}

func ping(ctx context.Context, c *call) error {
	begin := time.Now()
	if err := c.client.Ping(ctx); err != nil {
		return err
	}
	took := time.Since(begin)
	return c.print(struct {
		Ping         string `json:"ping"`
		Microseconds int64  `json:"microseconds"`
	}{"pong", took.Microseconds()}, func(w io.Writer) { fmt.Fprintf(w, "agentd answers (in %v).\n", took.Round(10*time.Microsecond)) })
}

func buildVersion() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

// version tells both versions; that of agentctl is known even where the daemon is not to be reached.
func version(ctx context.Context, c *call) error {
	v := struct {
		Agentctl string `json:"agentctl"`
		Agentd   string `json:"agentd,omitempty"`
	}{Agentctl: buildVersion()}
	s, err := c.client.Status(ctx)
	if errors.Is(err, context.Canceled) {
		return err
	}
	v.Agentd = s.Version
	return c.print(v, func(w io.Writer) {
		daemon := v.Agentd
		switch {
		case errors.Is(err, control.ErrNotRunning):
			daemon = "not running"
		case err != nil:
			daemon = fmt.Sprintf("unknown: %v", err)
		}
		t := newTable()
		t.add("agentctl", v.Agentctl)
		t.add("agentd", daemon)
		t.write(w)
	})
}
