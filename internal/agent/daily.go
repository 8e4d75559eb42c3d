package agent

import (
	"log/slog"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/filter"
)

// dailyLimit bounds the warnings remembered; beyond it they are repeated rather than kept.
const dailyLimit = 10_000

// daily lets each kind of warning about a jail's log through once a day, as fail2ban does, so that a
// log in a wrong time zone does not fill ours. It is safe for concurrent use.
type daily struct {
	mu   sync.Mutex // guards the field below
	last map[dailyKey]time.Time
}

type dailyKey struct {
	jail, path string
	kind       filter.NoticeKind
	regex      int
}

func newDaily() *daily { return &daily{last: map[dailyKey]time.Time{}} }

// notice logs what a filter noticed, unless the same was logged within a day.
func (d *daily) notice(log *slog.Logger, jail, path string, n filter.Notice) {
	key := dailyKey{jail, path, n.Kind, n.Regex}
	d.mu.Lock()
	if at, ok := d.last[key]; ok && time.Since(at) < 24*time.Hour {
		d.mu.Unlock()
		return
	}
	if len(d.last) >= dailyLimit {
		clear(d.last)
	}
	d.last[key] = time.Now()
	d.mu.Unlock()
	log.Warn("the log looks odd; this is said once a day", "jail", jail, "notice", n.Kind.String(), "detail", printable(n.Text))
}
