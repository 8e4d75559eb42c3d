package main

import (
	"cmp"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/metrics"
)

// flags are the command line.
type flags struct {
	config    string
	configSet bool // named by the user: it must exist
	socket    string
	f2bSocket string
	db        string
	firewall  string // empty: what agent.conf says
	logTarget string
	logLevel  string
	pidfile   string
	eventFile string // empty: none
	metrics   string // the address to tell them at; empty: nowhere
	check     bool
	version   bool
}

// errHelp: the user asked for help and has got it.
var errHelp = errors.New("help")

const usage = `Usage: agentd [options]

Follows the logs that a fail2ban configuration names and bans, in the kernel, who fails too often.
Runs in the foreground; agentctl shows and steers it.

Options:
  -c, --config DIR         configuration (default /etc/fail2ban; where there is none, the built-in one)
  -s, --socket PATH        control socket (default /run/agentd/agentd.sock)
      --fail2ban-socket PATH
                           answer fail2ban-client there; none to leave it (default: what fail2ban.conf
                           says, /var/run/fail2ban/fail2ban.sock)
      --db PATH            database (default /var/lib/agentd/agentd.db)
      --firewall KIND      auto (nft, or else ipset), nft, ipset with iptables, script to leave the firewall
                           to the action scripts alone, or memory to try things without privilege (default:
                           backend of agent.conf, else auto)
      --log-target TARGET  stderr, stdout, syslog, journal or a file (default: logtarget of fail2ban.conf,
                           else stderr)
      --log-level LEVEL    CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG (default: loglevel of
                           fail2ban.conf, else INFO)
      --pidfile PATH       write the process ID there
      --event-file PATH    write every ban and its end there, a line of JSON each (default: nowhere)
      --metrics ADDR       tell numbers to Prometheus: a port (9191) for this machine alone, or an address and
                           a port (192.0.2.1:9191, [::]:9191) (default: do not)
      --check              check the configuration, say everything that is wrong, and exit
      --version            print the version
  -h, --help               print this

Signals: TERM or INT stop (a second one at once), USR2 stops and leaves the bans in the kernel, HUP reloads,
USR1 opens the log and the event file anew.
Exit status: 0 done, 1 failed or found wrong, 2 wrong usage.

Example: try an existing configuration without touching the machine
  agentd -c /etc/fail2ban --firewall memory --db /tmp/try.db -s /tmp/try.sock
`

func parseFlags(args []string, stdout io.Writer) (flags, error) {
	var f flags
	set := flag.NewFlagSet("agentd", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	for _, name := range []string{"c", "config"} {
		set.Func(name, "", func(v string) error { f.config, f.configSet = v, true; return nil })
	}
	for _, name := range []string{"s", "socket"} {
		set.StringVar(&f.socket, name, "/run/agentd/agentd.sock", "")
	}
	set.StringVar(&f.f2bSocket, "fail2ban-socket", "", "")
	set.StringVar(&f.db, "db", "/var/lib/agentd/agentd.db", "")
	set.StringVar(&f.firewall, "firewall", "", "")
	set.StringVar(&f.logTarget, "log-target", "", "")
	set.StringVar(&f.logLevel, "log-level", "", "")
	set.StringVar(&f.pidfile, "pidfile", "", "")
	set.StringVar(&f.eventFile, "event-file", "", "")
	set.Func("metrics", "", func(v string) (err error) { f.metrics, err = metrics.Address(v); return err })
	set.BoolVar(&f.check, "check", false, "")
	set.BoolVar(&f.version, "version", false, "")
	err := set.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return f, errHelp
	case err != nil:
		return f, fmt.Errorf("%w (see agentd --help)", err)
	case set.NArg() > 0:
		return f, fmt.Errorf("unexpected argument %q (see agentd --help)", set.Arg(0))
	}
	switch f.firewall {
	case "", "auto", "nft", "ipset", "script", "memory":
	default:
		return f, fmt.Errorf("--firewall %s: use auto, nft, ipset, script or memory", f.firewall)
	}
	if _, err := parseLevel(cmp.Or(f.logLevel, "INFO")); err != nil {
		return f, fmt.Errorf("--log-level: %w", err)
	}
	if f.config == "" {
		f.config = "/etc/fail2ban"
	}
	if f.configSet {
		st, err := os.Stat(f.config)
		if err != nil {
			return f, fmt.Errorf("-c: %w", err)
		}
		if !st.IsDir() {
			return f, fmt.Errorf("-c %s is no folder: name the one that jail.conf or jail.local is in", f.config)
		}
	}
	return f, nil
}

// openLog opens the log: what the flags say, else what fail2ban.conf does, else standard error.
func openLog(f flags, g config.Global, out outputs) (*lineHandler, error) {
	name, levelText, socket := f.logTarget, f.logLevel, g.SyslogSocket
	if name == "" {
		name = "stderr"
		if !g.Origin("logtarget").IsZero() {
			name = g.LogTarget
		}
	}
	if levelText == "" {
		levelText = "INFO"
		if !g.Origin("loglevel").IsZero() {
			levelText = g.LogLevel
		}
	}
	level, err := parseLevel(levelText)
	if err != nil { // in fail2ban.conf, where it is told as a problem
		level = slog.LevelInfo
	}
	c, err := newLogControl(name, socket, level, out)
	if err != nil && f.logTarget == "" { // a log that cannot be written is no reason to let everybody in
		refused := err
		if c, err = newLogControl("stderr", socket, level, out); err == nil {
			slog.New(newLineHandler(c)).Error("the log cannot go where fail2ban.conf says; it goes to standard error", "logtarget", name, "err", refused)
		}
	}
	if err != nil {
		return nil, err
	}
	return newLineHandler(c), nil
}

// version tells what this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
