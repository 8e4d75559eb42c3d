package export

import (
	"context"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// Selection says what of all that is blocked is exported.
type Selection struct {
	Bans, Feeds bool
	Jails       []string // none: all
	FeedNames   []string // none: all
}

// Source tells what is blocked.
type Source interface {
	// Version is another number when what is blocked may be something else.
	Version() uint64
	// Blocked gives it. An error says why it is not known, as before the firewall is ready.
	Blocked(ctx context.Context, s Selection) (cidr.Ranges, error)
}

// The times of exports that say no others.
const (
	DefaultEvery = 10 * time.Second
	// DefaultEmptyAfter is for how long a list must have been empty before an empty one takes the place of one
	// with entries.
	DefaultEmptyAfter = 10 * time.Minute
	// HookTime bounds a test or a reload.
	HookTime = 30 * time.Second
)

// Export is a list that is written to a file, or served.
type Export struct {
	Name string
	Selection
	Format Format
	Options

	Path string // of the file; empty: it is served only
	Mode uint32 // of a new file; 0 is 0644
	// Test, after a new file is in its place, says whether what reads it can; if not, the old one comes back.
	// Reload is run after that. Both are commands of a shell.
	Test, Reload string
	// MayEmpty lets an empty list take the place of one with entries at once.
	MayEmpty bool
	Every    time.Duration // at most so often

	Serve bool // over HTTP, too

	// Target is a list elsewhere that is kept in line, too; nil is none. TargetKey is equal for equal ones.
	Target    Target
	TargetKey string
}

// Target is a list elsewhere.
type Target interface {
	// Put brings it in line with a set; it takes what time it takes, and may be called again after an error.
	Put(ctx context.Context, set cidr.Ranges) error
}

// guard holds an empty list back, as long as there are entries in what was given before.
type guard struct {
	last    cidr.Ranges // what was given last
	given   bool
	earlier bool      // nothing was given yet, and an earlier run has left entries
	since   time.Time // when it has become empty; zero: it is not
}

// take says what is to be given now that something is blocked. If that is held back, hold is for how long, and use
// is what was given before; stays is set if that is not known, being of an earlier run.
func (g *guard) take(set cidr.Ranges, mayEmpty bool, now time.Time) (use cidr.Ranges, hold time.Duration, stays bool) {
	entries := g.given && !g.last.Empty() || !g.given && g.earlier
	if set.Empty() && !mayEmpty && entries {
		if g.since.IsZero() {
			g.since = now
		}
		if hold = g.since.Add(DefaultEmptyAfter).Sub(now); hold > 0 {
			return g.last, hold, !g.given
		}
	}
	g.last, g.given, g.since = set, true, time.Time{}
	return set, 0, false
}
