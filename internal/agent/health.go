package agent

import (
	"log/slog"
	"maps"
	"slices"
	"sync"
)

// healthStore is the part whose state health tells; the firewall tells its own.
const healthStore = "store"

// health collects what is wrong at present, per part, and logs when that changes. It is safe for
// concurrent use.
type health struct {
	log  *slog.Logger
	tell func(part string, err error) // of a change; may be nil

	mu     sync.Mutex // guards the field below
	broken map[string]string
}

func newHealth(log *slog.Logger, tell func(part string, err error)) *health {
	return &health{log: log, tell: tell, broken: map[string]string{}}
}

// set notes that the part works (err is nil) or why it does not.
func (h *health) set(part string, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was, broken := h.broken[part]
	switch {
	case err == nil && broken:
		delete(h.broken, part)
		h.log.Info("works again", "part", part)
	case err != nil && was != err.Error():
		h.broken[part] = err.Error()
		h.log.Error("degraded", "part", part, "err", err)
	default:
		return
	}
	if h.tell != nil {
		h.tell(part, err)
	}
}

// reasons lists what is wrong, one line per part, in order; empty means that all is well.
func (h *health) reasons() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []string
	for _, part := range slices.Sorted(maps.Keys(h.broken)) {
		out = append(out, part+": "+h.broken[part])
	}
	return out
}
