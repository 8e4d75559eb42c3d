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

// firewallLimit is how many elements are shown unless more are asked for: a full set is long.
const firewallLimit = 1000

func firewall(ctx context.Context, c *call) error {
	n, err := c.limit(firewallLimit)
	if err != nil {
		return err
	}
	f, err := c.client.Firewall(ctx, n)
	if err != nil {
		return err
	}
	return c.print(f, func(w io.Writer) { showFirewall(w, f) })
}

func showFirewall(w io.Writer, f control.Firewall) {
	var facts facts
	facts.add("Backend", append([]string{f.Backend}, f.Notes...)...)
	facts.add("Holds", elements(f.FirewallState))
	if f.Rebuilt > 0 {
		facts.add("Rebuilt", plural(f.Rebuilt, "time", "times")+" since the start, because somebody else had changed the table")
	}
	if f.Error != "" {
		facts.add("Error", f.Error)
	}
	facts.write(w)
	if len(f.Sets) > 0 {
		fmt.Fprintln(w)
		t := newTable("SET", ">ELEMENTS")
		for _, s := range f.Sets {
			t.add(s.Name, s.Count)
		}
		t.write(w)
	}
	if len(f.Contents) == 0 {
		return
	}
	fmt.Fprintln(w)
	t := newTable("ELEMENT", "SET", "TIME LEFT")
	for _, e := range f.Contents {
		left := "permanent"
		if e.Expires != nil {
			left = seconds(max(0, *e.Expires))
		}
		t.add(e.Prefix, e.Set, left)
	}
	t.write(w)
	if f.Truncated {
		fmt.Fprintln(w, "… perhaps more: --limit 0 shows all")
	}
}

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

// version tells both versions; that of agentctl is known even where the daemon is not to be reached.
func version(ctx context.Context, c *call) error {
	v := struct {
		Agentctl string `json:"agentctl"`
		Agentd   string `json:"agentd,omitempty"`
	}{Agentctl: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Agentctl = info.Main.Version
	}
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
