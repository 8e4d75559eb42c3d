package main

import (
	"context"
	"encoding/json"
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
	rows := [][]string{{"Backend:", f.Backend}}
	for _, n := range f.Notes {
		rows = append(rows, []string{"", n})
	}
	rows = append(rows, []string{"Elements:", fmt.Sprintf("%d in the kernel, %d waiting", f.Elements, f.Pending)})
	if f.Error != "" {
		rows = append(rows, []string{"Error:", f.Error})
	}
	table(w, rows...)
	if len(f.Contents) == 0 {
		return
	}
	fmt.Fprintln(w)
	elements := [][]string{{"SET", "ELEMENT", "EXPIRES"}}
	for _, e := range f.Contents {
		expires := "never"
		if e.Expires != nil {
			expires = "in " + seconds(*e.Expires)
		}
		elements = append(elements, []string{e.Set, e.Prefix, expires})
	}
	table(w, elements...)
	if f.Truncated {
		fmt.Fprintln(w, "… and more: use --limit 0 for all")
	}
}

func events(ctx context.Context, c *call) error {
	if !c.flags["follow"] {
		return usagef("agentctl events --follow (nothing is kept of what has happened; agentd's log has it)")
	}
	encode := json.NewEncoder(c.stdout)
	return c.client.Events(ctx, func(e control.Event) error {
		if c.json {
			return encode.Encode(e)
		}
		_, err := fmt.Fprintln(c.stdout, safe(describe(e)))
		return err
	})
}

// describe tells an event on one line.
func describe(e control.Event) string {
	who := fmt.Sprintf("%s  %-9s %-12s %s", e.Time.Local().Format(time.TimeOnly), e.Kind, e.Jail, e.ID)
	switch e.Kind {
	case "ban", "restore", "prolong":
		return fmt.Sprintf("%s  for %s, after %s, ban number %d", who, seconds(e.Duration), plural(e.Failures, "failure"), e.Count)
	case "ignored":
		return who + "  by " + e.By
	case "dropped":
		return fmt.Sprintf("%s  %s lost: this terminal is too slow", e.Time.Local().Format(time.TimeOnly), plural(e.Count, "event"))
	}
	return who
}

func stop(ctx context.Context, c *call) error {
	if err := c.client.Stop(ctx, c.flags["keep"]); err != nil {
		return err
	}
	return c.print(struct {
		Stopped bool `json:"stopped"`
	}{true}, func(w io.Writer) { fmt.Fprintln(w, "agentd has stopped.") })
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

func version(ctx context.Context, c *call) error {
	v := struct {
		Agentctl string `json:"agentctl"`
		Agentd   string `json:"agentd,omitempty"`
	}{Agentctl: "unknown"}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		v.Agentctl = info.Main.Version
	}
	s, err := c.client.Status(ctx)
	if err != nil && !errors.Is(err, control.ErrNotRunning) {
		return err
	}
	v.Agentd = s.Version
	return c.print(v, func(w io.Writer) {
		daemon := v.Agentd
		if daemon == "" {
			daemon = "not running"
		}
		table(w, []string{"agentctl", v.Agentctl}, []string{"agentd", daemon})
	})
}
