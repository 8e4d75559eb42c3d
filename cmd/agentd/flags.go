package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime/debug"
)

// flags are the command line.
type flags struct {
	config    string
	configSet bool // named by the user: it must exist
	socket    string
	f2bSocket string
	db        string
	firewall  string
	logTarget string
	logLevel  string
	pidfile   string
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
      --firewall KIND      auto, nft, script to leave the firewall to the action scripts alone, or memory to
                           try things without privilege (default auto)
      --log-target TARGET  stderr or a file (default stderr)
      --log-level LEVEL    CRITICAL, ERROR, WARNING, NOTICE, INFO or DEBUG (default INFO)
      --pidfile PATH       write the process ID there
      --check              check the configuration, say everything that is wrong, and exit
      --version            print the version
  -h, --help               print this

Signals: TERM or INT stop (a second one at once), HUP reloads.
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
	set.StringVar(&f.firewall, "firewall", "auto", "")
	set.StringVar(&f.logTarget, "log-target", "stderr", "")
	set.StringVar(&f.logLevel, "log-level", "INFO", "")
	set.StringVar(&f.pidfile, "pidfile", "", "")
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
	case "auto", "nft", "script", "memory":
	default:
		return f, fmt.Errorf("--firewall %s: use auto, nft, script or memory", f.firewall)
	}
	if _, err := parseLevel(f.logLevel); err != nil {
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

// openLog opens the target of the log.
func openLog(f flags, stderr io.Writer) (h *lineHandler, closeLog func(), err error) {
	level, err := parseLevel(f.logLevel)
	if err != nil {
		return nil, nil, err
	}
	style := logStyle{date: true, padding: true}
	if f.logTarget == "stderr" {
		return newLineHandler(stderr, level, os.Getpid(), style), func() {}, nil
	}
	file, err := openLogFile(f.logTarget)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log: %w", err)
	}
	return newLineHandler(file, level, os.Getpid(), style), file.close, nil
}

// version tells what this binary was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}
