package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// firewallLimit is how many elements are shown unless more are asked for: a full set is long.
const firewallLimit = 20

func firewall(ctx context.Context, c *call) error {
	if len(c.args) == 1 {
		if c.args[0] != "verify" {
			return usagef("firewall %s: there is only firewall verify", c.args[0])
		}
		return verify(ctx, c)
	}
	n, err := c.limit(firewallLimit)
	if err != nil {
		return err
	}
	f, err := c.client.Firewall(ctx, n)
	if err != nil {
		return err
	}
	return c.print(f, func(w io.Writer) { showFirewall(w, f, c.now()) })
}

func showFirewall(w io.Writer, f control.Firewall, now time.Time) {
	var facts facts
	facts.add("Backend", append([]string{f.Backend}, f.Notes...)...)
	facts.add("Holds", elements(f.FirewallState))
	if f.Memory > 0 {
		facts.add("Memory", "about "+amount(f.Memory)+" of the kernel's")
	}
	if b := f.LastBatch; b != nil {
		took := time.Duration(b.Seconds * float64(time.Second)).Round(time.Microsecond)
		facts.add("Last change", fmt.Sprintf("%s in %s, %s", plural(b.Changes, "element", "elements"), took, ago(b.At, now)))
	}
	if f.Rebuilt > 0 {
		facts.add("Repaired", plural(f.Rebuilt, "time", "times")+" since the start, because somebody else had changed it")
	}
	if f.Error != "" {
		facts.add("Error", f.Error)
	}
	facts.write(w)
	if len(f.Sets) > 0 {
		fmt.Fprintln(w)
		t := newTable("SET", ">ELEMENTS", ">WISHED")
		for _, s := range f.Sets {
			t.add(s.Name, s.Count, s.Desired)
		}
		t.write(w)
	}
	showHooks(w, f)
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
		fmt.Fprintln(w, "… perhaps more: --limit 0 shows all, agentctl banned --feeds pages through them")
	}
}

// showHooks shows who handles packets, in the order in which one meets them.
func showHooks(w io.Writer, f control.Firewall) {
	if len(f.Hooks) > 0 {
		fmt.Fprintln(w)
		t := newTable("HOOK", ">PRIORITY", "WHOSE", "WHAT IT MEANS")
		for _, h := range f.Hooks {
			where := h.Where
			if h.Device != "" {
				where += " of " + h.Device
			}
			whose := h.By
			if h.Ours {
				whose = "* " + whose
			}
			t.add(where, h.Priority, whose, h.Effect)
		}
		t.write(w)
	}
	for _, x := range f.Warnings {
		fmt.Fprintf(w, "\nwarning: %s\n", safe(x))
	}
}

// amount tells of memory as people do.
func amount(n int64) string {
	switch {
	case n < 10<<10:
		return fmt.Sprintf("%d bytes", n)
	case n < 1<<20:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
}

// verify compares the kernel with what is wished.
func verify(ctx context.Context, c *call) error {
	shown := isTerminal(c.stderr)
	v, err := c.client.Verify(ctx, func(done, total int) {
		if shown && total > 0 {
			fmt.Fprintf(c.stderr, "\r%d of %d elements looked up", done, total)
		}
	})
	if shown {
		fmt.Fprint(c.stderr, "\r\x1b[K")
	}
	if err != nil {
		return err
	}
	if err := c.print(v, func(w io.Writer) { showVerification(w, v) }); err != nil {
		return err
	}
	if !v.Right {
		return errFound
	}
	return nil
}

func showVerification(w io.Writer, v control.Verification) {
	took := time.Duration(v.Seconds * float64(time.Second)).Round(time.Millisecond)
	if v.Right {
		fmt.Fprintf(w, "The kernel holds what it should: %s looked up in %s.\n", plural(v.Wanted, "element", "elements"), took)
		return
	}
	fmt.Fprintf(w, "The kernel does not hold what it should (%s looked up in %s).\n", plural(v.Wanted, "element", "elements"), took)
	var f facts
	if v.Rules != "" {
		f.add("Rules", v.Rules)
	}
	if v.Missing > 0 {
		f.add("Missing", append([]string{plural(v.Missing, "element", "elements")}, v.Examples...)...)
	}
	if v.Strays > 0 {
		f.add("Too many", plural(v.Strays, "element", "elements")+" that nobody wishes")
	}
	f.add("Next", "it is repaired within seconds: try again; if it stays so, agentctl status and the log say why")
	f.write(w)
}
