package main

import (
	"bytes"
	stdbinary "encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
)

// entry is one line of the log.
type entry struct {
	time   time.Time
	logger string // the name in the second column
	level  slog.Level
	msg    string
}

// target is where the log goes. It is used by one goroutine at a time.
type target interface {
	write(e entry) error
	close()
}

// stream writes fail2ban's lines to a file or a terminal.
type stream struct {
	w     io.Writer
	pid   int
	style logStyle
}

func (s *stream) write(e entry) error {
	var b bytes.Buffer
	if s.style.date {
		b.WriteString(e.time.Local().Format("2006-01-02 15:04:05,000 "))
	}
	b.WriteString(s.style.text(e, s.pid))
	b.WriteByte('\n')
	_, err := s.w.Write(b.Bytes())
	return err
}

func (s *stream) close() {
	if f, ok := s.w.(*logFile); ok {
		f.close()
	}
}

// text is a line without its date and its end.
func (s logStyle) text(e entry, pid int) string {
	if s.padding {
		return fmt.Sprintf("%-24s[%d]: %-7s %s", e.logger, pid, levelName(e.level), e.msg)
	}
	return fmt.Sprintf("%s[%d]: %s %s", e.logger, pid, levelName(e.level), e.msg)
}

// The bounds of what is sent to a log daemon. One that does not listen costs this long, and the line.
const (
	maxDatagram  = 8 << 10
	datagramTime = 100 * time.Millisecond
)

// datagrams sends to a log daemon's socket, again after the daemon was started anew.
type datagrams struct {
	path string
	conn net.Conn
}

func openDatagrams(path string) (*datagrams, error) {
	d := &datagrams{path: path}
	return d, d.connect()
}

func (d *datagrams) connect() error {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: d.path, Net: "unixgram"})
	if err != nil {
		return fmt.Errorf("reach the log daemon: %w", err)
	}
	d.conn = conn
	return nil
}

func (d *datagrams) send(b []byte) error {
	for try := 0; ; try++ {
		if d.conn == nil {
			if err := d.connect(); err != nil {
				return err
			}
		}
		_ = d.conn.SetWriteDeadline(time.Now().Add(datagramTime)) // a socket has deadlines
		_, err := d.conn.Write(b)
		if err == nil {
			return nil
		}
		_ = d.conn.Close()
		d.conn = nil
		if try > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			return fmt.Errorf("tell the log daemon: %w", err)
		}
	}
}

func (d *datagrams) close() {
	if d.conn != nil {
		_ = d.conn.Close()
	}
}

// syslog writes to syslog's socket, with the lines that fail2ban writes there.
type syslog struct {
	*datagrams
	facility int
	pid      int
	style    logStyle
}

func (s *syslog) write(e entry) error {
	text := fmt.Sprintf("<%d>%s", s.facility*8+severity(e.level), s.style.text(e, s.pid))
	return s.send([]byte(text[:min(len(text), maxDatagram)]))
}

// severity is syslog's number for a level.
func severity(l slog.Level) int {
	switch levelName(l) {
	case "CRITICAL":
		return 2
	case "ERROR":
		return 3
	case "WARNING":
		return 4
	case "NOTICE":
		return 5
	case "INFO":
		return 6
	}
	return 7
}

// facilities are syslog's, by name.
var facilities = []string{
	"KERN", "USER", "MAIL", "DAEMON", "AUTH", "SYSLOG", "LPR", "NEWS", "UUCP", "CRON", "AUTHPRIV", "FTP", "", "", "", "",
	"LOCAL0", "LOCAL1", "LOCAL2", "LOCAL3", "LOCAL4", "LOCAL5", "LOCAL6", "LOCAL7",
}

// journal writes to journald: the message alone, the rest in fields.
type journal struct{ *datagrams }

func (j *journal) write(e entry) error {
	var b bytes.Buffer
	field := func(name, value string) {
		if !strings.Contains(value, "\n") {
			fmt.Fprintf(&b, "%s=%s\n", name, value)
			return
		}
		b.WriteString(name + "\n")
		_ = stdbinary.Write(&b, stdbinary.LittleEndian, uint64(len(value))) // to memory
		b.WriteString(value + "\n")
	}
	field("MESSAGE", e.msg[:min(len(e.msg), maxDatagram)])
	field("PRIORITY", strconv.Itoa(severity(e.level)))
	field("SYSLOG_IDENTIFIER", "fail2ban")
	field("SYSLOG_PID", strconv.Itoa(os.Getpid()))
	field("LOGGER", e.logger)
	return j.send(b.Bytes())
}

// Where the log daemons listen.
const (
	devLog        = "/dev/log"
	journalSocket = "/run/systemd/journal/socket"
)

// outputs are the standard ones.
type outputs struct{ stdout, stderr io.Writer }

// openTarget opens a target by fail2ban's name for it, with its options, or ours.
func openTarget(name, syslogSocket string, out outputs) (target, error) {
	spec, err := config.ParseSpec(name)
	if err != nil {
		spec = config.Spec{Name: name}
	}
	pid := os.Getpid()
	style := logStyle{date: true, padding: true}
	kind := strings.ToUpper(spec.Name)
	if kind == "SYSLOG" {
		style = logStyle{}
	}
	if kind == "SYSOUT" {
		style.date = false
	}
	if v, ok := spec.Param("datetime"); ok {
		style.date = config.ParseBool(v)
	}
	if v, ok := spec.Param("padding"); ok {
		style.padding = config.ParseBool(v)
	}
	switch kind {
	case "STDERR":
		return &stream{out.stderr, pid, style}, nil
	case "STDOUT", "SYSOUT":
		return &stream{out.stdout, pid, style}, nil
	case "SYSLOG":
		facility := 3
		if v, ok := spec.Param("facility"); ok && v != "" {
			if at := slices.Index(facilities, strings.ToUpper(v)); at >= 0 {
				facility = at
			}
		}
		if syslogSocket == "" || syslogSocket == "auto" {
			syslogSocket = devLog
		}
		d, err := openDatagrams(syslogSocket)
		if err != nil {
			return nil, err
		}
		return &syslog{d, facility, pid, style}, nil
	case "JOURNAL", "SYSTEMD-JOURNAL":
		d, err := openDatagrams(journalSocket)
		if err != nil {
			return nil, err
		}
		return &journal{d}, nil
	}
	file, err := openLogFile(spec.Name)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	return &stream{file, pid, style}, nil
}
