package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/palisade-agent/palisade/internal/control"
)

// capabilities of Linux, by their bit; see capabilities(7).
const (
	capDACReadSearch = 2
	capNetAdmin      = 12
)

// rights looks at what this process may do.
func (x *exam) rights() {
	b, err := x.m.proc("self/status")
	if err != nil {
		x.warn(Finding{Check: "rights", Found: err.Error(), Next: "mount /proc"})
		return
	}
	var user string
	var caps uint64
	for line := range strings.Lines(string(b)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) > 2 && fields[0] == "Uid:":
			user = fields[2] // the effective one
		case len(fields) > 1 && fields[0] == "CapEff:":
			caps, _ = strconv.ParseUint(fields[1], 16, 64) // none, if it is no number
		}
	}
	has := func(bit int) bool { return caps>>bit&1 != 0 }
	x.root = user == "0"
	switch {
	case !x.root && has(capNetAdmin) && has(capDACReadSearch):
		x.ok(Finding{Check: "rights", Found: "not root, but with CAP_NET_ADMIN and CAP_DAC_READ_SEARCH"})
	case !x.root:
		x.warn(Finding{Check: "rights", Found: "not run as root: some of what follows cannot be seen", Next: "sudo agentctl doctor"})
	case !has(capNetAdmin):
		x.bad(Finding{
			Check: "rights", Found: "root without the capability CAP_NET_ADMIN, as in a container: nobody can be banned",
			Next: "give the container CAP_NET_ADMIN and the host's network, as docker run --cap-add NET_ADMIN --network host",
		})
	case !has(capDACReadSearch):
		x.warn(Finding{
			Check: "rights", Found: "root without the capability CAP_DAC_READ_SEARCH: logs of other users may not be readable",
			Next: "give the container CAP_DAC_READ_SEARCH",
		})
	default:
		x.ok(Finding{Check: "rights", Found: "root, with CAP_NET_ADMIN"})
	}
}

// runningAgent asks agentd, and looks at who else may.
func (x *exam) runningAgent(ctx context.Context) {
	f := Finding{Check: "agentd", About: x.o.Socket}
	client := control.NewClient(x.o.Socket)
	defer client.Close()
	asked, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	s, err := client.Status(asked)
	switch {
	case errors.Is(err, control.ErrNotRunning):
		f.Found, f.Next = "agentd does not run", "start it when nothing here is bad: systemctl enable --now agentd"
		x.warn(f)
		return
	case errors.Is(err, control.ErrPermission):
		f.Found = err.Error()
		x.forbidden(f)
		return
	case err != nil:
		f.Found, f.Next = err.Error(), "look into its log; start it again if it hangs"
		x.bad(f)
		return
	}
	x.agentd, x.daemon = true, s
	f.Found = fmt.Sprintf("agentd %s runs, process %d", s.Version, s.PID)
	x.ok(f)
	for _, reason := range s.Reasons {
		f.Found, f.Next = "its health is "+s.Health+": "+reason, "agentctl status says more"
		x.bad(f)
	}
	if s.Config != x.report.Config {
		f.Found, f.Next = "it runs with the configuration "+s.Config+", another than is examined here", "agentctl doctor -c "+s.Config
		x.warn(f)
	}
	x.socketModes()
}

// socketModes looks at who may steer agentd.
func (x *exam) socketModes() {
	f := Finding{Check: "agentd", About: x.o.Socket, Next: "chmod 600 the socket, or stop agentd, remove it and start agentd again"}
	st, err := os.Stat(x.o.Socket) // it has just answered
	if err == nil && st.Mode().Perm()&0o077 != 0 {
		f.Found = fmt.Sprintf("other users may steer agentd: its socket has the mode %04o", st.Mode().Perm())
		x.bad(f)
	}
	folder := filepath.Dir(x.o.Socket)
	st, err = os.Stat(folder)
	if err == nil && st.Mode()&0o022 != 0 && st.Mode()&fs.ModeSticky == 0 {
		x.bad(Finding{
			Check: "agentd", About: folder, Next: "chmod 755 " + folder,
			Found: fmt.Sprintf("other users may put a socket of their own in place of agentd's: the folder has the mode %04o", st.Mode().Perm()),
		})
	}
}

// runningFail2ban looks whether fail2ban's own server bans besides, or will after the next boot.
func (x *exam) runningFail2ban(ctx context.Context) {
	if x.o.Fail2banSocket == "" {
		return // the configuration, which would tell, cannot be read
	}
	f := Finding{Check: "fail2ban", About: x.o.Fail2banSocket}
	pid, err := peerOf(ctx, x.o.Fail2banSocket)
	switch {
	case errors.Is(err, fs.ErrPermission):
		f.Found = err.Error()
		x.forbidden(f)
	case err != nil:
		f.Found = "fail2ban does not run"
		x.ok(f)
	case x.agentd && pid == x.daemon.PID:
		f.Found = "agentd answers fail2ban's client in its place"
		x.ok(f)
	case x.agentd:
		x.fail2ban = true
		f.Found, f.Next = fmt.Sprintf("fail2ban runs beside agentd, process %d: both ban", pid), "systemctl disable --now fail2ban"
		x.bad(f)
	default:
		x.fail2ban = true
		f.Found, f.Next = fmt.Sprintf("fail2ban runs, process %d", pid), "before agentd is started: systemctl disable --now fail2ban"
		x.warn(f)
	}
	x.units(ctx)
	x.memory()
}

// memory looks for what fail2ban remembers, which nobody has taken over as long as agentd does not run.
func (x *exam) memory() {
	if x.config == nil || x.agentd {
		return
	}
	path := x.config.Global.DBFile
	if st, err := os.Stat(path); err == nil && st.Mode().IsRegular() {
		x.warn(Finding{
			Check: "fail2ban", About: path, Found: "fail2ban remembers its bans and offenders here",
			Next: "agentctl import " + path + " takes them over",
		})
	}
}

// units looks at what systemd starts at a boot.
func (x *exam) units(ctx context.Context) {
	enabled := func(unit string) (is, known bool) {
		out, err := x.m.run(ctx, "systemctl", "is-enabled", unit)
		state := strings.TrimSpace(out)
		return strings.HasPrefix(state, "enabled"), err == nil || state != ""
	}
	fail2ban, known := enabled("fail2ban.service")
	if !known {
		return // there is no systemd
	}
	ours, _ := enabled("agentd.service")
	switch {
	case fail2ban:
		x.warn(Finding{
			Check: "fail2ban", About: "fail2ban.service", Found: "fail2ban is started at each boot",
			Next: "when agentd takes over: systemctl disable fail2ban",
		})
	case !ours:
		x.warn(Finding{
			Check: "agentd", About: "agentd.service", Found: "neither agentd nor fail2ban is started by systemd at a boot",
			Next: "systemctl enable agentd",
		})
	default:
		x.ok(Finding{Check: "agentd", About: "agentd.service", Found: "agentd is started at each boot, fail2ban is not"})
	}
}

// peerOf names the process that answers on a socket; 0 where the kernel does not tell.
func peerOf(ctx context.Context, path string) (pid int, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	c, err := (&net.Dialer{}).DialContext(ctx, "unix", path)
	if err != nil {
		return 0, fmt.Errorf("reach fail2ban: %w", err)
	}
	defer c.Close()
	u, ok := c.(*net.UnixConn)
	if !ok {
		return 0, nil
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, nil // somebody answers, whoever it is
	}
	_ = raw.Control(func(fd uintptr) {
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			pid = int(cred.Pid)
		}
	})
	return pid, nil
}
