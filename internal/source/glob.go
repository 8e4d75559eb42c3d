package source

import (
	"context"
	"log/slog"
	"time"
)

// globInterval is how often a Glob looks. fail2ban looks for files of a pattern only when it starts,
// so nobody relies on less; reading the directories costs about 1 µs per name.
const globInterval = time.Second

// Glob looks for files that match a pattern.
type Glob struct {
	pattern string
	log     *slog.Logger
}

// NewGlob returns a Glob for pattern; see Matches for its rules. A pattern without wildcards is one
// like others, whose only file is reported when it exists: for a single path a File, which waits for
// its file itself, needs no Glob. A nil log is for nothing to be logged.
func NewGlob(pattern string, log *slog.Logger) *Glob {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Glob{pattern, log}
}

// Run calls found for each file that matches, those that exist and those that appear, within a second
// and in the order of their names. A path is reported once as long as a file is there, and again when
// it was gone and has come back. Run returns when ctx ends or found fails, with that error; a
// directory that is missing or cannot be read is looked at again.
func (g *Glob) Run(ctx context.Context, found func(ctx context.Context, path string) error) error {
	known := map[string]bool{}
	troubled := false
	ticker := time.NewTicker(globInterval)
	defer ticker.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		paths, err := Match(g.pattern)
		if (err != nil) != troubled {
			troubled = err != nil
			if troubled {
				g.log.Warn("cannot look for log files", "source", g.pattern, "err", err)
			} else {
				g.log.Info("looking for log files works again", "source", g.pattern)
			}
		}
		now := make(map[string]bool, len(paths))
		for _, path := range paths {
			now[path] = true
			if known[path] {
				continue
			}
			if err := found(ctx, path); err != nil {
				return err
			}
		}
		known = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}
