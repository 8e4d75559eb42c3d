package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/hooks"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

// patient is a machine to examine: at first one on which all is well, with agentd running.
type patient struct {
	t      *testing.T
	dir    string
	o      Options
	daemon control.Status // what agentd says; nothing if it has no PID
	mode   os.FileMode    // of agentd's socket, if it is not as agentd makes it
	socket bool           // somebody answers on fail2ban's socket
}

// client is whence the patient is looked at.
const client = "192.0.2.77"

func newPatient(t *testing.T) *patient {
	t.Helper()
	dir, err := os.MkdirTemp("", "doctor") //nolint:usetesting // the path of a socket must be short, and that of a case is long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p := &patient{t: t, dir: dir, socket: true}
	p.file("etc/fail2ban.conf", "[Definition]\nsocket = "+p.path("f2b.sock")+"\ndbfile = "+p.path("f2b.db")+"\n")
	p.file("etc/jail.local", p.jail(""))
	p.file("etc/filter.d/door.conf", "[Definition]\nfailregex = ^ refused <HOST>$\n")
	p.file("etc/action.d/tell.conf", "[Definition]\nactionban = echo <ip> | tell --now\n")
	p.log(time.Now(), "refused 192.0.2.1", "let in 192.0.2.2")
	p.file("proc/self/status", "Name:\tx\nUid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n")
	p.file("proc/self/stat", "9 (a (b) c) S 1 9 9 0 -1")
	p.file("proc/self/environ", "A=b\x00SSH_CONNECTION="+client+" 5000 192.0.2.9 22\x00")
	p.file("proc/sys/net/ipv6/conf/all/disable_ipv6", "0\n")
	p.program("tell", "")
	p.program("systemctl", `case $2 in agentd*) echo enabled;; *) echo disabled; exit 1;; esac`)
	p.program("nft", "echo table inet filter")
	p.daemon = control.Status{Version: "1", PID: os.Getpid(), Health: "ok", Config: p.path("etc"), Database: p.path("agentd.db")}
	p.o = Options{
		Config: p.path("etc"), Named: true, Socket: p.path("agentd.sock"), Database: p.path("agentd.db"),
		Machine: Machine{
			Proc: p.path("proc"), Path: p.path("bin"),
			Firewall:     func() (nft.Features, error) { return nft.Features{Owner: true, Reject: true}, nil },
			Ipset:        func() error { return firewall.ErrUnsupported },
			Hooks:        func(context.Context) (hooks.Report, error) { return hooks.Report{}, nil },
			Synchronised: func() (bool, time.Duration, error) { return true, time.Millisecond, nil },
			Free:         func(string) (int64, error) { return 1 << 40, nil },
			Resolver:     agent.NewOfflineResolver(),
			Own:          func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("127.0.0.1")} },
		},
	}
	return p
}

// jail is the one jail of the patient, with some lines more.
func (p *patient) jail(more string) string {
	return fmt.Sprintf("[DEFAULT]\nignoreip = 127.0.0.1 %s\n[door]\nenabled = true\nbackend = polling\nfilter = door\nlogpath = %s\naction = tell\n%s",
		client, p.path("door.log"), more)
}

// replaced is the jail with a line of it changed.
func (p *patient) replaced(line, by string) {
	p.t.Helper()
	text := p.jail("")
	if !strings.Contains(text, line) {
		p.t.Fatalf("the jail has no %q", line)
	}
	p.file("etc/jail.local", strings.Replace(text, line, by, 1))
}

func (p *patient) path(name string) string { return filepath.Join(p.dir, name) }

func (p *patient) file(name, text string) {
	p.t.Helper()
	if err := os.MkdirAll(filepath.Dir(p.path(name)), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(p.path(name), []byte(text), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// program makes one of the machine's programs, a shell script.
func (p *patient) program(name, script string) {
	p.t.Helper()
	p.file("bin/"+name, "#!/bin/sh\n"+script+"\n")
	if err := os.Chmod(p.path("bin/"+name), 0o755); err != nil {
		p.t.Fatal(err)
	}
}

// log writes the log: lines that are all dated at a time. It was last written at that time, too.
func (p *patient) log(at time.Time, lines ...string) {
	p.t.Helper()
	var b strings.Builder
	for _, l := range lines {
		fmt.Fprintf(&b, "%s %s\n", at.Format(time.DateTime), l)
	}
	p.file("door.log", b.String())
	p.written(at)
}

// written sets when the log was last written.
func (p *patient) written(at time.Time) {
	p.t.Helper()
	if err := os.Chtimes(p.path("door.log"), at, at); err != nil {
		p.t.Fatal(err)
	}
}

// service is agentd as far as it is asked.
type service struct {
	control.Service
	status control.Status
}

func (s service) Status(context.Context) (control.Status, error) { return s.status, nil }

// examine looks at the patient.
func (p *patient) examine() Report {
	p.t.Helper()
	ctx, cancel := context.WithCancel(p.t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	if p.daemon.PID != 0 {
		s, err := control.Listen(ctx, p.o.Socket, control.ServerOptions{Service: service{status: p.daemon}})
		if err != nil {
			p.t.Fatal(err)
		}
		if p.mode != 0 {
			chmod(p, "agentd.sock", p.mode)
		}
		running.Go(func() { _ = s.Run(ctx) })
	}
	if p.socket {
		l, err := (&net.ListenConfig{}).Listen(ctx, "unix", p.path("f2b.sock"))
		if err != nil {
			p.t.Fatal(err)
		}
		defer l.Close()
	}
	return Examine(ctx, p.o)
}

// mustFind checks that a report holds a finding, and gives it.
func mustFind(t *testing.T, r Report, level Level, check, found string) Finding {
	t.Helper()
	for _, f := range r.Findings {
		if f.Level == level && f.Check == check && strings.Contains(f.Found, found) {
			return f
		}
	}
	t.Errorf("no finding %s %s %q among %s", level, check, found, told(r))
	return Finding{}
}

func told(r Report) string {
	var b strings.Builder
	for _, f := range r.Findings {
		fmt.Fprintf(&b, "\n  %+v", f)
	}
	return b.String()
}
