package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/replay"
	"github.com/palisade-agent/palisade/internal/source"
)

const (
	// tailBytes is how much of a log is read, from its end.
	tailBytes = 1 << 20
	// maxLine is how much of a line is looked at, as by the daemon.
	maxLine = 16 << 10
	// maxLogs is how many logs are read; further ones are only looked at. It bounds the memory.
	maxLogs = 100
	// maxMatches is how many files of one pattern are looked at.
	maxMatches = 1000
	// silence is after how long without a line a log may not be the one that is written any more: the
	// logs of most services have lines every day.
	silence = 3 * 24 * time.Hour
	// clockSlack is how far the times of files may be ahead.
	clockSlack = 5 * time.Minute
)

// tail is the end of a log.
type tail struct {
	path    string
	written time.Time
	lines   [][]byte // whole ones
}

// logs looks at the files that the jails read.
func (x *exam) logs(ctx context.Context) {
	for _, j := range x.jails {
		for _, p := range j.Files {
			paths := []string{p.Pattern}
			if source.HasMeta(p.Pattern) {
				var err error
				if paths, err = source.Match(p.Pattern); err != nil {
					x.forbidden(Finding{Check: "logs", About: p.Pattern, Jails: []string{j.Name()}, Found: err.Error(), Next: "let root read the folders"})
				}
				if len(paths) == 0 {
					x.warn(Finding{
						Check: "logs", About: p.Pattern, Jails: []string{j.Name()}, Found: "no file matches: there is nothing to read",
						Next: "check the pattern in logpath; files that appear are read",
					})
				}
				if len(paths) > maxMatches {
					x.report.Incomplete = true
					paths = paths[:maxMatches]
				}
			}
			for _, path := range paths {
				if ctx.Err() != nil {
					x.report.Incomplete = true
					return
				}
				x.log(path, j.Name())
			}
		}
	}
	for _, j := range x.past {
		for _, t := range x.tails {
			if j.Watches(t.path) {
				x.dates(t, j)
			}
		}
	}
}

// log looks at a file of a jail, and reads its end.
func (x *exam) log(path, jail string) {
	f := Finding{Check: "logs", About: path, Jails: []string{jail}}
	st, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Found, f.Next = "there is no such file: the jail sees nothing", "check logpath, or read the journal with backend = systemd"
		x.bad(f)
		return
	case err != nil:
		f.Found, f.Next = err.Error(), "let root read it"
		x.forbidden(f)
		return
	case !st.Mode().IsRegular():
		f.Found, f.Next = "it is no file", "name a file in logpath"
		x.bad(f)
		return
	}
	now := x.m.Now()
	age := now.Sub(st.ModTime())
	switch {
	case age < -clockSlack:
		f.Found, f.Next = fmt.Sprintf("it was written %v from now: a clock is or was wrong", -age.Round(time.Second)), "check the machine's clock"
		x.warn(f)
	case age > silence:
		f.Found = fmt.Sprintf("not written for %d days", int(age/(24*time.Hour)))
		f.Next = "see whether its service writes to another file, or to the journal (backend = systemd)"
		x.warn(f)
	}
	if x.tails[path] != nil {
		return
	}
	if len(x.tails) == maxLogs {
		x.report.Incomplete = true
		return
	}
	t, err := readTail(path)
	if err != nil {
		f.Found, f.Next = err.Error(), "let root read it"
		x.forbidden(f)
		return
	}
	x.tails[path] = t
	if len(t.lines) > 0 && age >= -clockSlack && age <= silence {
		x.ok(Finding{Check: "logs", About: path, Jails: f.Jails, Found: "readable and being written"})
	}
	if len(t.lines) == 0 && age <= silence {
		x.ok(Finding{Check: "logs", About: path, Jails: f.Jails, Found: "readable; there is no line in it yet"})
	}
}

// readTail reads the end of a log: whole lines, the last tailBytes of them.
func readTail(path string) (*tail, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe in its place must not hold us
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	t := &tail{path: path, written: st.ModTime()}
	from := max(0, st.Size()-tailBytes)
	b, err := io.ReadAll(io.NewSectionReader(f, from, tailBytes))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	t.lines = wholeLines(b, from > 0)
	return t, nil
}

// wholeLines cuts text into lines without their ends. The last is left out if it has no end, and the first
// if the text may begin within it.
func wholeLines(b []byte, within bool) [][]byte {
	if within {
		_, b, _ = bytes.Cut(b, []byte("\n"))
	}
	var lines [][]byte
	for {
		line, rest, whole := bytes.Cut(b, []byte("\n"))
		if !whole {
			return lines
		}
		line = bytes.TrimRight(line, "\r")
		lines, b = append(lines, line[:min(len(line), maxLine)]), rest
	}
}

const (
	// datedLines is how many lines are tried for a date: a message may have lines without one.
	datedLines = 200
	// zoneStep is what time zones differ by; exact is how exactly a line's time is that of its writing.
	zoneStep = 15 * time.Minute
	exact    = 10 * time.Second
	// farthest is how far two zones are apart at most.
	farthest = 26 * time.Hour
)

// dates compares the newest date in a log with the time at which the log was written. Lines that are dated in
// another zone are too old to count, or bans end at another time than they should.
func (x *exam) dates(t *tail, j replay.Jail) {
	s, d := j.Filter.NewSession(), decoder(j)
	f := Finding{Check: "dates", About: t.path, Jails: []string{j.Policy.Jail}}
	tried := 0
	for i := len(t.lines) - 1; i >= 0 && tried < datedLines; i-- {
		tried++
		at, ok := s.TimeOf(text(t.lines[i], d), t.written)
		if !ok {
			continue
		}
		off := at.Sub(t.written)
		away := off.Abs() - off.Abs().Round(zoneStep)
		switch {
		case off.Abs() >= zoneStep-exact && off.Abs() <= farthest && away.Abs() <= exact:
			f.Found = fmt.Sprintf("the newest line is dated %s and was written at %s: its zone is not the machine's, by %v",
				at.Format(time.DateTime), t.written.In(at.Location()).Format(time.DateTime), off.Round(zoneStep))
			f.Next = fmt.Sprintf("logtimezone = %s in the jail; if the dates name their zone, set the clock of who writes them", zoneOf(t.written, off))
			x.bad(f)
		case off > clockSlack:
			f.Found = fmt.Sprintf("the newest line is dated %v after it was written", off.Round(time.Second))
			f.Next = "see whether the clock of who writes it is right"
			x.warn(f)
		case off < -time.Hour:
			f.Found = fmt.Sprintf("the newest line with a date is %v older than the file", -off.Round(time.Second))
			f.Next = "nothing, if the file was copied or touched; else compare its dates with date"
			x.warn(f)
		default:
			f.Found = "the newest line is dated when it was written"
			x.ok(f)
		}
		return
	}
	if tried > 0 {
		f.Found = fmt.Sprintf("no date is found in its last %d lines", tried)
		f.Next = "give the jail a datepattern; agentctl regex tries one on the log"
		x.warn(f)
	}
}

// zoneOf names the zone in which the dates of a log are off by that much.
func zoneOf(at time.Time, off time.Duration) string {
	_, seconds := at.Local().Zone()
	minutes := seconds/60 + int(off.Round(zoneStep)/time.Minute)
	sign := '+'
	if minutes < 0 {
		sign, minutes = '-', -minutes
	}
	return fmt.Sprintf("UTC%c%02d%02d", sign, minutes/60, minutes%60)
}
