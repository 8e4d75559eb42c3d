package main

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// logControl is where the log goes and what of it, which may change while the daemon runs. It is safe for
// concurrent use.
type logControl struct {
	level slog.LevelVar
	out   outputs

	mu     sync.Mutex // guards the fields below
	name   string     // of the target
	socket string     // of syslog, or auto
	target target
	lost   int // lines that could not be written since the last that could
}

// newLogControl opens a target.
func newLogControl(name, socket string, level slog.Level, out outputs) (*logControl, error) {
	c := &logControl{name: name, socket: socket, out: out}
	c.level.Set(level)
	var err error
	c.target, err = openTarget(name, socket, out)
	return c, err
}

// write writes a line. After lines that could not be written, the next says how many.
func (c *logControl) write(e entry) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost > 0 {
		gap := entry{e.time, "fail2ban.server", slog.LevelError, fmt.Sprintf("%d lines of this log were lost: they could not be written", c.lost)}
		if c.target.write(gap) == nil {
			c.lost = 0
		}
	}
	err := c.target.write(e)
	if err != nil {
		c.lost++
	}
	return err
}

func (c *logControl) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.target.close()
}

// Level gives the level by fail2ban's name.
func (c *logControl) Level() string { return levelName(c.level.Level()) }

// SetLevel changes the level; the name is fail2ban's, in any case.
func (c *logControl) SetLevel(name string) error {
	level, err := parseLevel(name)
	if err == nil {
		c.level.Set(level)
	}
	return err
}

// Target gives the name of the target, as it was given.
func (c *logControl) Target() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// SetTarget turns to another target. After an error the old one stays.
func (c *logControl) SetTarget(name string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.turn(name, c.socket)
}

// turn opens a target anew. Called with mu held.
func (c *logControl) turn(name, socket string) error {
	t, err := openTarget(name, socket, c.out)
	if err != nil {
		return err
	}
	c.target.close()
	c.target, c.name, c.socket = t, name, socket
	return nil
}

// Socket gives where syslog listens, or auto.
func (c *logControl) Socket() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.socket
}

// SetSocket changes where syslog listens.
func (c *logControl) SetSocket(path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !strings.HasPrefix(strings.ToUpper(c.name), "SYSLOG") {
		c.socket = path
		return nil
	}
	return c.turn(c.name, path)
}

// Flush opens the target anew, and reports whether it is a file.
func (c *logControl) Flush() (file bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s, isStream := c.target.(*stream)
	if isStream {
		_, file = s.w.(*logFile)
	}
	if !file {
		return false, nil
	}
	return true, c.turn(c.name, c.socket)
}
