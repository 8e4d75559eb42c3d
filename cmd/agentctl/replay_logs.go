package main

import (
	"compress/bzip2"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/replay"
)

// replayLogs are the logs to replay.
type replayLogs struct {
	list []replay.Log // without Open
	now  time.Time    // no line is later
	size int64        // of all of them, as they lie on the disk; 0 if that is not known
	read *int64       // so much of it has been read
}

// replayLogs finds the logs that were named.
func (c *call) replayLogs() (logs replayLogs, err error) {
	logs.now = c.now()
	text, given := c.values["now"]
	if given {
		if logs.now, err = moment(text); err != nil {
			return logs, usagef("--now: %v", err)
		}
	}
	known := true
	for _, name := range c.args {
		log := replay.Log{Name: name, Written: logs.now}
		if name == "-" {
			if _, twice := c.values["diff"]; twice {
				return logs, usagef("--diff reads the logs twice, and standard input can be read once")
			}
			known = false
		} else {
			if log.Name, err = filepath.Abs(name); err != nil {
				return logs, fmt.Errorf("find %s: %w", name, err)
			}
			st, err := os.Stat(log.Name)
			if err != nil {
				return logs, fmt.Errorf("read the log: %w", err)
			}
			if st.IsDir() {
				return logs, usagef("%s is a folder: name the logs in it", name)
			}
			if program := decompressor(name); program != "" {
				return logs, usagef("%s cannot be read as it is: %s %s | agentctl replay --jail JAIL -", name, program, name)
			}
			if !given {
				log.Written = st.ModTime()
			}
			known = known && st.Mode().IsRegular()
			logs.size += st.Size()
		}
		if slices.ContainsFunc(logs.list, func(l replay.Log) bool { return l.Name == log.Name }) {
			return logs, usagef("%s is named twice", name)
		}
		logs.list = append(logs.list, log)
	}
	if !known {
		logs.size = 0
	}
	return logs, nil
}

// decompressor names the program that reads a log that we cannot.
func decompressor(name string) string {
	switch filepath.Ext(name) {
	case ".xz":
		return "xzcat"
	case ".zst":
		return "zstdcat"
	}
	return ""
}

// share is how much has been read, for people, if it is known.
func (l *replayLogs) share() string {
	if l.size == 0 {
		return ""
	}
	return fmt.Sprintf("%3.0f %%, ", 100*float64(*l.read)/float64(l.size))
}

// opened are the logs, ready to be opened.
func (l *replayLogs) opened(ctx context.Context, stdin io.Reader) []replay.Log {
	list := slices.Clone(l.list)
	for i := range list {
		path := list[i].Name
		list[i].Open = func() (io.ReadCloser, error) {
			if path == "-" {
				return io.NopCloser(interruptible(ctx, stdin)), nil
			}
			return openLog(path, l.read)
		}
	}
	return list
}

// openLog opens a log, also one that logrotate has compressed, and counts what is read of the file.
func openLog(path string, read *int64) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	raw := &counted{f, read}
	switch {
	case strings.HasSuffix(path, ".gz"):
		z, err := gzip.NewReader(raw)
		if err != nil {
			_ = f.Close()
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		return &opened{z, f}, nil
	case strings.HasSuffix(path, ".bz2"):
		return &opened{bzip2.NewReader(raw), f}, nil
	}
	return &opened{raw, f}, nil
}

// opened reads from something that is not closed, and closes what that reads from.
type opened struct {
	io.Reader
	io.Closer
}

type counted struct {
	from io.Reader
	n    *int64
}

// Read implements io.Reader.
func (c *counted) Read(b []byte) (int, error) {
	n, err := c.from.Read(b)
	*c.n += int64(n)
	return n, err //nolint:wrapcheck // io.EOF must stay what it is
}
