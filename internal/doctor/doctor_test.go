package doctor

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
	"github.com/palisade-agent/palisade/internal/firewall/hooks"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

// TestNothingIsWrongWithAMachineThatIsWell: no warning is raised where nothing is the matter.
func TestNothingIsWrongWithAMachineThatIsWell(t *testing.T) {
	p := newPatient(t)
	r := p.examine()
	if !r.OK || r.Bad != 0 || r.Warnings != 0 || r.Incomplete || r.Config != p.o.Config {
		t.Errorf("%+v%s", r, told(r))
	}
	for check, found := range map[string]string{
		"rights": "root", "agentd": "agentd 1 runs", "configuration": "enabled jails: 1", "fail2ban": "in its place", "nftables": "usable",
		"coexistence": "nothing lets packets pass by",
		"leftovers":   "nothing", "logs": "being written", "dates": "when it was written", "filters": "1 of the last 2 lines",
		"lockout": "no jail bans it", "actions": "are there", "ipv6": "on", "database": "is writable", "clock": "synchronised",
	} {
		mustFind(t, r, OK, check, found)
	}
}

// illness is something that is wrong with a machine, and how it is told.
type illness struct {
	name   string
	change func(p *patient)
	level  Level
	check  string
	found  string
	next   string
}

// TestEachIllnessIsFoundWithItsNextStep: every check goes bad on a machine that has what it looks for.
func TestEachIllnessIsFoundWithItsNextStep(t *testing.T) {
	for _, i := range append(append(illnesses(), illnessesOfLogs()...), illnessesOfTheMachine()...) {
		t.Run(i.name, func(t *testing.T) {
			p := newPatient(t)
			i.change(p)
			r := p.examine()
			f := mustFind(t, r, i.level, i.check, i.found)
			if i.level != OK && (f.Next == "" || !strings.Contains(f.Next, i.next)) {
				t.Errorf("the next step is %q, want %q", f.Next, i.next)
			}
			if r.OK != (r.Bad == 0) || i.level == Bad && r.OK {
				t.Errorf("ok %v with %d bad", r.OK, r.Bad)
			}
		})
	}
}

func illnesses() []illness {
	return []illness{
		{"fail2ban runs beside agentd", func(p *patient) { p.daemon.PID++ }, Bad, "fail2ban", "both ban", "systemctl disable --now fail2ban"},
		{"fail2ban runs, agentd not yet", func(p *patient) { p.daemon.PID = 0 }, Warn, "fail2ban", "fail2ban runs", "systemctl disable --now fail2ban"},
		{
			"nobody runs", func(p *patient) { p.daemon.PID, p.socket = 0, false },
			OK, "fail2ban", "does not run", "",
		},
		{"fail2ban has bans to take over", func(p *patient) { p.daemon.PID = 0; p.file("f2b.db", "") }, Warn, "fail2ban", "remembers", "agentctl import"},
		{"agentd does not run", func(p *patient) { p.daemon.PID = 0 }, Warn, "agentd", "does not run", "systemctl enable --now agentd"},
		{"fail2ban comes back with the next boot", func(p *patient) { p.program("systemctl", "echo enabled") }, Warn, "fail2ban", "at each boot", "systemctl disable fail2ban"},
		{"nobody comes back with the next boot", func(p *patient) { p.program("systemctl", "echo disabled; exit 1") }, Warn, "agentd", "neither", "systemctl enable agentd"},
		{"agentd is not well", func(p *patient) { p.daemon.Health, p.daemon.Reasons = "degraded", []string{"store: full"} }, Bad, "agentd", "degraded: store: full", "agentctl status"},
		{"agentd has another configuration", func(p *patient) { p.daemon.Config = "/srv/other" }, Warn, "agentd", "/srv/other", "agentctl doctor -c /srv/other"},
		{
			"something else is at agentd's socket", func(p *patient) { p.daemon.PID = 0; p.file("agentd.sock", "") },
			Bad, "agentd", "not agentd's socket", "log",
		},
		{"others may steer agentd", func(p *patient) { p.mode = 0o666 }, Bad, "agentd", "has the mode 0666", "chmod 600"},
		{"others may replace the socket", func(p *patient) { chmod(p, "", 0o777) }, Bad, "agentd", "socket of their own", "chmod 755"},
		{"the configuration is missing", func(p *patient) { p.o.Config = p.path("none") }, Bad, "configuration", "is not there", "put it right"},
		{"a jail is broken", func(p *patient) { p.file("etc/jail.local", p.jail("maxretry = many\n")) }, Bad, "configuration", "1 of 1 enabled jails cannot run", "agentctl check"},
		{"a jail is odd", func(p *patient) { p.file("etc/jail.local", p.jail("findtme = 10m\n")) }, Warn, "configuration", "findtme", "agentctl check"},
		{"no jail is enabled", func(p *patient) { p.replaced("enabled = true", "") }, Bad, "configuration", "no jail is enabled", "enable"},
		{
			"a mistake would lock the session out", func(p *patient) { p.replaced(" "+client, "") },
			Warn, "lockout", "would lock you out", "add " + client + " to ignoreip",
		},
		{
			"the session is about to be locked out", func(p *patient) {
				p.replaced(" "+client, "")
				p.log(time.Now(), "refused "+client, "refused "+client)
			}, Bad, "lockout", "2 failures", "add " + client + " to ignoreip",
		},
		{
			"sudo hides the session", func(p *patient) {
				p.replaced(" "+client, "")
				p.file("proc/self/environ", "SUDO_USER=me\x00")
				p.file("proc/self/stat", "9 (sudo) S 7 9")
				p.file("proc/7/environ", "SSH_CONNECTION=::ffff:"+client+" 1 2 3\x00")
			}, Warn, "lockout", "would lock you out", client,
		},
		{"everybody is ignored", func(p *patient) { p.replaced(client, "0.0.0.0/0") }, Bad, "lockout", "nobody is ever banned", "jail.local"},
		{"the machine itself is not ignored", func(p *patient) { p.replaced("127.0.0.1", "\nignoreself = false") }, Warn, "lockout", "own addresses are not", "ignoreself = true"},
		{"a program is missing", func(p *patient) { _ = os.Remove(p.path("bin/tell")) }, Bad, "actions", "action tell needs", "install"},
		{"an ignorecommand is missing", func(p *patient) { p.file("etc/jail.local", p.jail("ignorecommand = /nowhere/ask <ip>\n")) }, Bad, "actions", "ignorecommand needs", "install"},
		{"a jail without action", func(p *patient) { p.replaced("action = tell", "action =") }, Warn, "actions", "keep nobody out", "banaction"},
		{
			"an action of Python without Python", func(p *patient) {
				p.file("etc/action.d/py.py", "")
				p.replaced("action = tell", "action = py.py")
			}, Bad, "actions", "needs this program", "install",
		},
	}
}

func chmod(p *patient, name string, mode os.FileMode) {
	p.t.Helper()
	if err := os.Chmod(p.path(name), mode); err != nil {
		p.t.Fatal(err)
	}
}

func illnessesOfLogs() []illness {
	now := time.Now()
	return []illness{
		{"a log is missing", func(p *patient) { _ = os.Remove(p.path("door.log")) }, Bad, "logs", "no such file", "logpath"},
		{"a log below a file", func(p *patient) { p.replaced("door.log", "door.log/x") }, Bad, "logs", "not a directory", "root"},
		{
			"a pipe in place of a log", func(p *patient) {
				_ = os.Remove(p.path("door.log"))
				if err := syscall.Mkfifo(p.path("door.log"), 0o600); err != nil {
					p.t.Fatal(err)
				}
			}, Bad, "logs", "no file", "name a file",
		},
		{"a log that fails", func(p *patient) { p.replaced(p.path("door.log"), "/proc/self/mem") }, Bad, "logs", "cannot be read", "root"},
		{"no log matches", func(p *patient) { p.replaced("door.log", "none*.log") }, Warn, "logs", "no file matches", "pattern"},
		{"a log has not been written for long", func(p *patient) { p.log(now.Add(-100*time.Hour), "x") }, Warn, "logs", "for 4 days", "journal"},
		{"a log is from the future", func(p *patient) { p.log(now.Add(time.Hour), "x") }, Warn, "logs", "from now", "clock"},
		{"a log is empty", func(p *patient) { p.log(now) }, OK, "logs", "no line in it yet", ""},
		{
			"dates in another zone", func(p *patient) { p.log(now.Add(-2*time.Hour), "x"); p.written(now) },
			Bad, "dates", "by -2h0m0s", "logtimezone = UTC",
		},
		{"dates of half an hour", func(p *patient) { p.log(now.Add(330*time.Minute), "x"); p.written(now) }, Bad, "dates", "by 5h30m0s", "logtimezone = "},
		{"dates ahead", func(p *patient) { p.log(now.Add(7*time.Minute), "x"); p.written(now) }, Warn, "dates", "after it was written", "clock"},
		{"dates of a file that was touched", func(p *patient) { p.log(now.Add(-100*time.Minute), "x"); p.written(now) }, Warn, "dates", "older than the file", "touched"},
		{"lines without dates", func(p *patient) { p.file("door.log", "refused 192.0.2.1\n") }, Warn, "dates", "no date", "datepattern"},
		{"a filter that matches nothing", func(p *patient) { p.log(now, "x", "y", "z") }, Warn, "filters", "none of the last 3 lines", "agentctl regex --explain"},
		{
			"a filter that is given up", func(p *patient) {
				p.file("etc/filter.d/door.conf", "[Definition]\nfailregex = ^ refused <HOST>$\n            ^ (?=(a+)\\1)((?:a+)+)+b <HOST>$\n")
				p.log(now, strings.Repeat("a", 4000))
			}, Bad, "filters", "failregex 2 needs too many steps on 1 of 1 lines", "simpler",
		},
		{
			"a filter that is slow", func(p *patient) {
				at := now
				p.o.Machine.Now = func() time.Time { at = at.Add(2 * time.Millisecond); return at }
				p.log(now, make([]string, 200)...)
			}, Warn, "filters", "would outrun it", "simpler",
		},
		{
			"a filter for which time runs out", func(p *patient) {
				at := now
				p.o.Machine.Now = func() time.Time { at = at.Add(time.Second); return at }
				p.log(now, make([]string, 200)...)
			}, Warn, "filters", "would outrun it", "simpler",
		},
		{"there is no journalctl", func(p *patient) { journal(p) }, Bad, "journal", "journalctl is not found", "install"},
		{"the journal cannot be read", func(p *patient) { journal(p); p.program("journalctl", "echo no disk >&2; exit 1") }, Bad, "journal", "no disk", "journalctl _COMM=door"},
		{"the journal has nothing for a jail", func(p *patient) { journal(p); p.program("journalctl", "") }, Warn, "journal", "no entry of the last day", "journalmatch"},
		{
			"the journal has something", func(p *patient) {
				journal(p)
				p.program("journalctl", fmt.Sprintf(`printf '__CURSOR=a\n__REALTIME_TIMESTAMP=%d\nMESSAGE=refused 192.0.2.1\n\n'`, now.UnixMicro()))
			}, OK, "journal", "readable", "",
		},
	}
}

// journal has the jail read the journal.
func journal(p *patient) {
	p.t.Helper()
	p.replaced("backend = polling", "backend = systemd\njournalmatch = _COMM=door")
}

func illnessesOfTheMachine() []illness {
	fails := func(err error) func(*patient) {
		return func(p *patient) { p.o.Machine.Firewall = func() (nft.Features, error) { return nft.Features{}, err } }
	}
	user := "Uid:\t1000\t1000\t1000\t1000\nCapEff:\t0000000000000000\n"
	return []illness{
		{"not root", func(p *patient) { p.file("proc/self/status", user) }, Warn, "rights", "not run as root", "sudo"},
		{"not root, with what is needed", func(p *patient) { p.file("proc/self/status", "Uid:\t5\t5\t5\t5\nCapEff:\t0000000000001004\n") }, OK, "rights", "not root, but with", ""},
		{"root that cannot read everything", func(p *patient) { p.file("proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t0000000000001000\n") }, Warn, "rights", "CAP_DAC_READ_SEARCH", "container"},
		{"no /proc", func(p *patient) { p.o.Machine.Proc = p.path("none") }, Warn, "rights", "no such file", "mount /proc"},
		{"root in a container", func(p *patient) { p.file("proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80405fb\n") }, Bad, "rights", "CAP_NET_ADMIN", "--cap-add"},
		{"no nftables in the kernel", fails(&firewall.Error{Op: "probe", Err: firewall.ErrUnsupported}), Bad, "nftables", "probe", "modprobe nf_tables"},
		{"no nftables in the kernel, but ipset", func(p *patient) {
			fails(&firewall.Error{Op: "probe", Err: firewall.ErrUnsupported})(p)
			p.o.Machine.Ipset = func() error { return nil }
		}, Warn, "nftables", "ipset and iptables take its place", "nothing has to be done"},
		{"nftables is forbidden to root", fails(firewall.ErrPermission), Bad, "nftables", "", "CAP_NET_ADMIN"},
		{
			"nftables is forbidden to others", func(p *patient) { fails(firewall.ErrPermission)(p); p.file("proc/self/status", user) },
			Warn, "nftables", "", "as root",
		},
		{"an old kernel", func(p *patient) {
			p.o.Machine.Firewall = func() (nft.Features, error) { return nft.Features{Reject: true}, nil }
		}, Warn, "nftables", "old", "nothing"},
		{
			"something passes packets by our rules", func(p *patient) {
				p.o.Machine.Hooks = func(context.Context) (hooks.Report, error) {
					return hooks.Report{Warnings: []string{"XDP program 7 on eth0 sees packets first → find out what it does"}}, nil
				}
			}, Warn, "coexistence", "XDP program 7 on eth0 sees packets first", "find out what it does",
		},
		{
			"what passes packets by our rules may not be seen", func(p *patient) {
				p.o.Machine.Hooks = func(context.Context) (hooks.Report, error) { return hooks.Report{}, syscall.EPERM }
			}, Bad, "coexistence", "not permitted", "CAP_NET_ADMIN",
		},
		{
			"part of what handles packets cannot be seen", func(p *patient) {
				p.o.Machine.Hooks = func(context.Context) (hooks.Report, error) {
					return hooks.Report{Unread: []string{"the rules of iptables-legacy: it hangs"}}, nil
				}
			}, Warn, "coexistence", "not looked at: the rules of iptables-legacy", "iptables-save",
		},
		{
			"fail2ban has left a table", func(p *patient) { p.program("nft", "echo 'table inet f2b-table'") },
			Bad, "leftovers", "inet f2b-table", "nft delete table inet f2b-table",
		},
		{"fail2ban has left chains", func(p *patient) { p.program("iptables-save", "echo ':f2b-sshd - [0:0]'; echo ':INPUT ACCEPT [0:0]'") }, Bad, "leftovers", "has 1 here: f2b-sshd;", "iptables -X f2b-sshd"},
		{
			"fail2ban has left chains in a table of another", func(p *patient) {
				p.program("nft", "printf 'table ip filter {\\n\\tchain f2b-sshd {\\n\\t}\\n\\tchain INPUT {\\n'")
			}, Bad, "leftovers", "has 1 here: ip filter f2b-sshd;", "nft delete chain ip filter f2b-sshd",
		},
		{"fail2ban has left sets", func(p *patient) { p.program("ipset", "echo f2b-sshd; echo other") }, Bad, "leftovers", "f2b-sshd", "ipset destroy f2b-sshd"},
		{
			"fail2ban uses a table", func(p *patient) { p.daemon.PID = 0; p.program("nft", "echo 'table inet f2b-table'") },
			OK, "leftovers", "as long as it runs", "",
		},
		{"the kernel's rules cannot be listed", func(p *patient) { p.program("nft", "exit 1") }, Warn, "leftovers", "exit status 1", "nft -t list chains"},
		{
			"IPv6 was to be left out", func(p *patient) {
				p.file("etc/fail2ban.local", "[Definition]\nallowipv6 = no\n")
			}, Warn, "ipv6", "all the same", "switch it off",
		},
		{"IPv6 is off", func(p *patient) { p.file("proc/sys/net/ipv6/conf/all/disable_ipv6", "1\n") }, OK, "ipv6", "off in the kernel", ""},
		{
			"the machine has an address of IPv6", func(p *patient) {
				p.o.Machine.Own = func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("2001:db8::1")} }
			}, OK, "ipv6", "2001:db8::1", "",
		},
		{"the disk is full", room(1 << 20), Bad, "database", "1 MiB are left", "make room"},
		{"the disk is nearly full", room(100 << 20), Warn, "database", "100 MiB are left", "make room"},
		{
			"the disk cannot be asked", func(p *patient) {
				p.o.Machine.Free = func(string) (int64, error) { return 0, errors.New("stale") }
			}, Warn, "database", "stale", "df",
		},
		{"others may read the database", func(p *patient) { p.file("agentd.db", ""); chmod(p, "agentd.db", 0o644) }, Warn, "database", "mode 0644", "chmod 600"},
		{"a folder in the database's place", func(p *patient) { p.file("agentd.db/x", "") }, Bad, "database", "no file", "move it"},
		{"a file in the folder's place", func(p *patient) { p.file("db", ""); p.daemon.Database = p.path("db/agentd.db") }, Bad, "database", "no folder", "move it"},
		{"a folder that cannot be written to", func(p *patient) { p.daemon.Database = "/proc/self/agentd.db" }, Bad, "database", "cannot write", "read-only"},
		{
			"nothing keeps the clock right", func(p *patient) {
				p.o.Machine.Synchronised = func() (bool, time.Duration, error) { return false, 0, nil }
			}, Warn, "clock", "nothing keeps it right", "timedatectl",
		},
		{
			"the clock cannot be asked", func(p *patient) {
				p.o.Machine.Synchronised = func() (bool, time.Duration, error) { return false, 0, errors.New("seccomp") }
			}, Warn, "clock", "seccomp", "timedatectl",
		},
		{"the clock is wrong", func(p *patient) { p.o.Machine.Now = func() time.Time { return time.Unix(1e9, 0) } }, Bad, "clock", "2001", "timedatectl"},
	}
}

func room(n int64) func(*patient) {
	return func(p *patient) { p.o.Machine.Free = func(string) (int64, error) { return n, nil } }
}

// TestAnExaminationEndsWithItsContext and says that it is not whole.
func TestAnExaminationEndsWithItsContext(t *testing.T) {
	p := newPatient(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if r := Examine(ctx, p.o); !r.Incomplete {
		t.Errorf("%+v", r)
	}
}

// TestJailsWithOneIllnessShareAFinding, so that a hundred jails are not a hundred lines.
func TestJailsWithOneIllnessShareAFinding(t *testing.T) {
	p := newPatient(t)
	p.file("etc/jail.local", p.jail("[second]\nenabled = true\nbackend = polling\nfilter = door\naction = tell\nlogpath = "+p.path("door.log")+"\n"))
	_ = os.Remove(p.path("door.log"))
	f := mustFind(t, p.examine(), Bad, "logs", "no such file")
	if len(f.Jails) != 2 || f.Jails[0] != "door" || f.Jails[1] != "second" {
		t.Errorf("%+v", f)
	}
}
