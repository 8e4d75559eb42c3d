package main

import (
	"fmt"
	"log/slog"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/cut"
)

// cutting ends the open connections of those who are banned.
type cutting struct {
	cutter *cut.Cutter // nil where the firewall keeps nobody out by itself
}

// openCutting makes what ends connections beside a firewall of this kind.
func openCutting(kind string, log *slog.Logger) cutting {
	if kind == "memory" || kind == "script" {
		return cutting{}
	}
	return cutting{cut.New(cut.Options{Log: log})}
}

// banned takes what the kernel has newly closed.
func (c cutting) banned(bans []firewall.Ban) {
	if c.cutter != nil {
		c.cutter.Cut(bans)
	}
}

// enable switches it on or off.
func (c cutting) enable(on bool) {
	if c.cutter != nil {
		c.cutter.Enable(on)
	}
}

// runners is what has to run.
func (c cutting) runners(log *slog.Logger) []runner {
	if c.cutter == nil {
		return nil
	}
	return []runner{tolerated(runner{"the ending of open connections", c.cutter.Run}, log)}
}

// stats is for the metrics; nil if there is nothing to tell.
func (c cutting) stats() func() cut.Status {
	if c.cutter == nil {
		return nil
	}
	return c.cutter.Status
}

// reasons says what is wrong, for the health of the daemon. What this kernel cannot do was logged and is no
// reason: the bans hold all the same.
func (c cutting) reasons() []string {
	if c.cutter == nil {
		return nil
	}
	if err := c.cutter.Status().Err; err != nil {
		return []string{fmt.Sprintf("open connections: %v", err)}
	}
	return nil
}
