package main

import (
	"bytes"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/ident"
	"github.com/palisade-agent/palisade/internal/jail"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// daemonOf listens as a log daemon does.
func daemonOf(t *testing.T, path string) *net.UnixConn {
	t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return c
}

func datagram(t *testing.T, c *net.UnixConn) string {
	t.Helper()
	b := make([]byte, 64<<10)
	n, err := c.Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(string(b[:n]), "\x00")
}

// TestSyslogGetsTheLinesOfFail2ban, from fail2ban itself and from us.
func TestSyslogGetsTheLinesOfFail2ban(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	daemon := daemonOf(t, socket)
	oracle.Python(t, `
import sys
from fail2ban.server.server import Server
from fail2ban.helpers import getLogger
s = Server(daemon=False)
s.setLogLevel("INFO")
s.setSyslogSocket("`+socket+`")
s.setLogTarget("SYSLOG[facility=AUTH]")
getLogger("fail2ban.actions").notice("[sshd] Ban 192.0.2.1")
`, nil)
	theirs := datagram(t, daemon)
	for !strings.Contains(theirs, "Ban 192.0.2.1") {
		theirs = datagram(t, daemon)
	}
	c, err := newLogControl("SYSLOG[facility=AUTH]", socket, slog.LevelInfo, outputs{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	r := recorder{newLineHandler(c)}
	r.decision(jail.Decision{Kind: jail.BanStart, Key: jail.Key{Jail: "sshd", ID: ident.Parse("192.0.2.1")}})
	ours := datagram(t, daemon)
	if withoutPID(theirs) != withoutPID(ours) {
		t.Errorf("%q, fail2ban: %q", ours, theirs)
	}
}

func withoutPID(s string) string {
	before, rest, _ := strings.Cut(s, "[")
	_, after, _ := strings.Cut(rest, "]")
	return before + after
}

// TestALogDaemonThatIsStartedAnewGetsTheNextLine, and is told how many were lost.
func TestALogDaemonThatIsStartedAnewGetsTheNextLine(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "log")
	daemon := daemonOf(t, socket)
	c, err := newLogControl("SYSLOG", socket, slog.LevelInfo, outputs{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	log := slog.New(newLineHandler(c))
	log.Info("one")
	if got := datagram(t, daemon); !strings.HasSuffix(got, "INFO one") || !strings.HasPrefix(got, "<30>") {
		t.Error(got)
	}
	daemon.Close()
	if err := os.Remove(socket); err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	log.Info("two")
	log.Info("three")
	daemon = daemonOf(t, socket)
	log.Info("four")
	if got := datagram(t, daemon); !strings.Contains(got, "2 lines of this log were lost") {
		t.Error(got)
	}
	if got := datagram(t, daemon); !strings.HasSuffix(got, "four") {
		t.Error(got)
	}
}

func TestJournaldGetsFields(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "journal")
	daemon := daemonOf(t, socket)
	d, err := openDatagrams(socket)
	if err != nil {
		t.Fatal(err)
	}
	j := &journal{d}
	defer j.close()
	if err := j.write(entry{time.Now(), "fail2ban.actions", levelNotice, "two\nlines"}); err != nil {
		t.Fatal(err)
	}
	want := "MESSAGE\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\nPRIORITY=5\nSYSLOG_IDENTIFIER=fail2ban\nSYSLOG_PID="
	if got := datagram(t, daemon); !strings.HasPrefix(got, want) || !strings.HasSuffix(got, "\nLOGGER=fail2ban.actions\n") {
		t.Errorf("%q", got)
	}
}

// TestTheLogCanBeTurnedElsewhere while it is used: level, target and socket; a target that cannot be opened
// changes nothing.
func TestTheLogCanBeTurnedElsewhere(t *testing.T) {
	dir := t.TempDir()
	var out, errs bytes.Buffer
	c, err := newLogControl("stderr", "auto", slog.LevelInfo, outputs{&out, &errs})
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	log := slog.New(newLineHandler(c))
	log.Info("one")
	if err := c.SetLevel("notice"); err != nil || c.Level() != "NOTICE" {
		t.Errorf("%v, %s", err, c.Level())
	}
	log.Info("not this")
	if err := c.SetLevel("loud"); err == nil {
		t.Error("a level that is none is taken")
	}
	for _, wrong := range []string{dir + "/none/x.log", "SYSLOG"} {
		if err := c.SetSocket(dir + "/none"); err != nil {
			t.Fatal(err)
		}
		if err := c.SetTarget(wrong); err == nil || c.Target() != "stderr" {
			t.Errorf("%s: %v, %s", wrong, err, c.Target())
		}
	}
	if err := c.SetTarget("SYSOUT"); err != nil {
		t.Fatal(err)
	}
	log.Warn("two")
	if file, err := c.Flush(); file || err != nil {
		t.Errorf("%v, %v", file, err)
	}
	if err := c.SetTarget(dir + "/a.log[padding=off, datetime=off]"); err != nil {
		t.Fatal(err)
	}
	log.Warn("three")
	if file, err := c.Flush(); !file || err != nil {
		t.Errorf("%v, %v", file, err)
	}
	log.Warn("four")
	text, err := os.ReadFile(dir + "/a.log")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(errs.String(), "INFO    one\n") || !strings.HasPrefix(out.String(), "fail2ban.server ") || !strings.HasSuffix(out.String(), "WARNING two\n") ||
		withoutPID(strings.Split(string(text), "\n")[0]) != "fail2ban.server: WARNING three" || strings.Count(string(text), "\n") != 2 {
		t.Errorf("%q, %q, %q", errs.String(), out.String(), text)
	}
}

// TestTheLogIsWhereFail2banConfSays, unless the command line says otherwise.
func TestTheLogIsWhereFail2banConfSays(t *testing.T) {
	dir := tree(t, map[string]string{"fail2ban.conf": "[Definition]\nlogtarget = DIR/f2b.log\nloglevel = ERROR\n", "jail.conf": ""})
	c, err := config.Load(config.Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	var errs bytes.Buffer
	h, err := openLog(flags{}, c.Global, outputs{stderr: &errs})
	if err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if h.Target() != dir+"/f2b.log" || h.Level() != "ERROR" {
		t.Errorf("%s, %s", h.Target(), h.Level())
	}
	h2, err := openLog(flags{logTarget: "stderr", logLevel: "DEBUG"}, c.Global, outputs{stderr: &errs})
	if err != nil || h2.Target() != "stderr" || h2.Level() != "DEBUG" {
		t.Errorf("%v, %v", h2, err)
	}

	// Where that cannot be, the daemon runs all the same; what the command line says must be.
	wrong := c.Global
	wrong.LogTarget = dir + "/none/f2b.log"
	if h, err := openLog(flags{}, wrong, outputs{stderr: &errs}); err != nil || h.Target() != "stderr" || !strings.Contains(errs.String(), "cannot go where fail2ban.conf says") {
		t.Errorf("%v, %s", err, errs.String())
	}
	if _, err := openLog(flags{logTarget: wrong.LogTarget}, wrong, outputs{stderr: &errs}); err == nil {
		t.Error("a target of the command line that cannot be opened is taken")
	}
}
