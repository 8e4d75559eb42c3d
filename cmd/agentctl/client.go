package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/setup"
)

// clientFailed is the exit status of fail2ban's client for everything that is no success.
const clientFailed = 255

// clientVersion is the release whose client this answers as.
const clientVersion = "1.1.0"

// fail2banClient answers as fail2ban-client: its options, its texts, its exit status. The server that it
// asks may be ours or fail2ban's own, since both speak the same on their socket.
type fail2banClient struct {
	stdout, stderr io.Writer
	now            func() time.Time
	release        config.Release

	// what the options say
	conf, socket         string
	named                bool // conf was given
	timeout              time.Duration
	dump, pretty, test   bool
	help, version, short bool
	seconds              bool
	secondsOf            string
	quiet                int
}

const clientUsage = `Usage: fail2ban-client [OPTIONS] <COMMAND>

Palisade answering as fail2ban-client. See also agentctl --help, which has more.

Options:
    -c, --conf <DIR>        configuration directory (default /etc/fail2ban)
    -s, --socket <FILE>     socket path (default: what fail2ban.conf says)
    -p, --pidfile <FILE>    pidfile path (not used)
    --pname <NAME>          name of the process (not used)
    --loglevel <LEVEL>      logging level (not used)
    --logtarget <TARGET>    logging target (not used)
    --syslogsocket auto|<FILE>
    -d                      dump the configuration
    --dp, --dump-pretty     dump the configuration, more readable
    -t, --test              test the configuration
    -v                      say more
    -q                      say less
    -x, -b, -f, --async     how to start a server (not used)
    --timeout <TIME>        how long to wait for the server (default 30 s)
    --str2sec <STRING>      convert a time to seconds
    -h, --help              this
    -V, --version           the version (-V returns the short form)

Commands: ping, version, status [--all|JAIL], banned [IP]..., set JAIL banip|unbanip IP...,
get JAIL OPTION, set JAIL OPTION VALUE, unban IP...|--all, reload, stop, and the others of
fail2ban's protocol.

Example:
  fail2ban-client status sshd
`

// clientOptions says which options take a value.
func clientOptions() map[string]bool {
	return map[string]bool{
		"-c": true, "--conf": true, "-s": true, "--socket": true, "-p": true, "--pidfile": true, "--pname": true, "--loglevel": true,
		"--logtarget": true, "--syslogsocket": true, "--timeout": true, "--str2sec": true,
		"-d": false, "--dp": false, "--dump-pretty": false, "-t": false, "--test": false, "-i": false, "-v": false, "-q": false, "-x": false,
		"-b": false, "-f": false, "--async": false, "-h": false, "--help": false, "-V": false, "--version": false,
	}
}

// answerAsClient is main for the name fail2ban-client.
func answerAsClient(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &fail2banClient{conf: config.DefaultDir, timeout: 30 * time.Second, stdout: stdout, stderr: stderr, now: time.Now}
	return c.run(ctx, args)
}

func (c *fail2banClient) run(ctx context.Context, args []string) int {
	words, err := c.parse(args)
	if err != nil {
		fmt.Fprint(c.stdout, clientUsage)
		fmt.Fprintf(c.stderr, "fail2ban-client: %s\n", safe(err.Error()))
		return clientFailed
	}
	switch {
	case c.help:
		fmt.Fprint(c.stdout, clientUsage)
		return 0
	case c.short:
		fmt.Fprintln(c.stdout, clientVersion)
		return 0
	case c.version:
		fmt.Fprintln(c.stdout, "Fail2Ban v"+clientVersion)
		return 0
	case c.seconds:
		d, err := config.ParseTime(c.secondsOf)
		if err != nil {
			c.say("ERROR", "%v", err)
			return clientFailed
		}
		fmt.Fprintln(c.stdout, int64(d/time.Second))
		return 0
	case c.dump:
		return c.printStream()
	}
	if c.test {
		if code := c.testConfig(); code != 0 || len(words) == 0 {
			return code
		}
	}
	switch {
	case len(words) == 0:
		fmt.Fprint(c.stdout, clientUsage)
		return clientFailed
	case words[0] == "start":
		c.say("ERROR", "the server is started by the service manager: systemctl start agentd, or run agentd")
		return clientFailed
	case words[0] == "restart" && len(words) == 1:
		c.say("ERROR", "the server is restarted by the service manager: systemctl restart agentd")
		return clientFailed
	}
	return c.command(ctx, words)
}

// parse reads the options, which end at the first word that is none.
func (c *fail2banClient) parse(args []string) (words []string, err error) {
	known := clientOptions()
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && args[0] != "-" {
		arg := args[0]
		args = args[1:]
		if arg == "--" {
			break
		}
		name, value, has := strings.Cut(arg, "=")
		if !strings.HasPrefix(arg, "--") { // short ones may stand together, and a value at once behind one
			name, value, has = arg[:2], arg[2:], len(arg) > 2
			if takes, ok := known[name]; ok && !takes && has {
				args, has, value = append([]string{"-" + value}, args...), false, ""
			}
		}
		takes, ok := known[name]
		switch {
		case !ok:
			return nil, fmt.Errorf("option %s not recognized", name)
		case takes && !has:
			if len(args) == 0 {
				return nil, fmt.Errorf("option %s requires argument", name)
			}
			value, args = args[0], args[1:]
		case !takes && has:
			return nil, fmt.Errorf("option %s must not have an argument", name)
		}
		if err := c.set(name, value); err != nil {
			return nil, err
		}
	}
	return args, nil
}

func (c *fail2banClient) set(name, value string) error {
	switch name {
	case "-c", "--conf":
		c.conf, c.named = value, true
	case "-s", "--socket":
		c.socket = value
	case "--timeout":
		d, err := config.ParseTime(value)
		if err != nil || d <= 0 {
			return fmt.Errorf("option --timeout: %q is no time", value)
		}
		c.timeout = d
	case "--str2sec":
		c.seconds, c.secondsOf = true, value
	case "-d":
		c.dump = true
	case "--dp", "--dump-pretty":
		c.dump, c.pretty = true, true
	case "-t", "--test":
		c.test = true
	case "-q":
		c.quiet++
	case "-v":
		c.quiet--
	case "-h", "--help":
		c.help = true
	case "-V":
		c.short = true
	case "--version":
		c.version = true
	}
	return nil
}

// say writes a message as fail2ban's client logs it.
func (c *fail2banClient) say(level, format string, args ...any) {
	if level == "WARNING" && c.quiet > 0 {
		return
	}
	now := c.now()
	fmt.Fprintf(c.stderr, "%s,%03d fail2ban                [%d]: %-7s %s\n", now.Format("2006-01-02 15:04:05"), now.Nanosecond()/1e6, os.Getpid(), level,
		safe(fmt.Sprintf(format, args...)))
}

func (c *fail2banClient) read() (*config.Config, error) {
	l := setup.New(c.conf, c.named)
	l.Release = c.release
	return l.Read()
}

// printStream is -d.
func (c *fail2banClient) printStream() int {
	cfg, err := c.read()
	if err != nil {
		c.say("ERROR", "Failed during configuration: %v", err)
		return clientFailed
	}
	failed := c.warn(cfg)
	for _, command := range cfg.Stream() {
		text := f2b.Repr(command)
		if c.pretty {
			text = f2b.Pretty(command)
		}
		fmt.Fprintln(c.stdout, text)
	}
	if failed && len(cfg.Jails) == 0 {
		return clientFailed
	}
	return 0
}

// warn tells what is wrong with a configuration, and whether there are errors.
func (c *fail2banClient) warn(cfg *config.Config) (failed bool) {
	for _, p := range cfg.Problems {
		if p.Severity == config.Error {
			failed = true
			c.say("ERROR", "%s", p.Error())
			continue
		}
		c.say("WARNING", "%s", p.Error())
	}
	return failed
}

// testConfig is -t. It tells all that is wrong, where fail2ban's client ends at the first mistake.
func (c *fail2banClient) testConfig() int {
	l := setup.New(c.conf, c.named)
	l.Release = c.release
	r, err := l.Check()
	if err != nil {
		c.say("ERROR", "Failed during configuration: %v", err)
	}
	for _, p := range r.Problems {
		level := "WARNING"
		if p.Severity == config.Error.String() {
			level = "ERROR"
		}
		c.say(level, "%s", setup.ProblemText(p))
	}
	if err != nil || !r.OK {
		fmt.Fprintln(c.stdout, "ERROR: test configuration failed")
		return clientFailed
	}
	fmt.Fprintln(c.stdout, "OK: configuration test is successful")
	return 0
}

// command asks the server.
func (c *fail2banClient) command(ctx context.Context, words []string) int {
	path := c.socket
	if path == "" {
		cfg, err := c.read()
		if err != nil {
			c.say("ERROR", "Failed during configuration: %v", err)
			return clientFailed
		}
		path = cfg.Global.Socket
	}
	request, err := c.request(words)
	if err != nil {
		c.say("ERROR", "%v", err)
		return clientFailed
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	value, err := f2b.Ask(ctx, path, request)
	if e, ok := errors.AsType[*f2b.ExceptionError](err); ok {
		c.say("ERROR", "NOK: %s", f2b.Repr(pickle.Tuple(e.Args)))
		fmt.Fprintln(c.stdout, printable(f2b.BeautifyError(pickle.Exception(*e))))
		return clientFailed
	}
	if err != nil {
		c.say("ERROR", "%s", unreachable(path, err))
		return clientFailed
	}
	fmt.Fprintln(c.stdout, printable(f2b.Beautify(words, value)))
	return 0
}

// unreachable says why there was no answer, in the words that scripts look for.
func unreachable(path string, err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "Failed to access socket path: " + path + ". Is fail2ban running?"
	case errors.Is(err, fs.ErrPermission):
		return "Permission denied to socket: " + path + ", (you must be root)"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "[[Errno 111] Connection refused] Unable to contact server. Is it running?"
	}
	return err.Error()
}

// request makes the command of the words. A reload carries the configuration, which fail2ban's server does
// not read itself.
func (c *fail2banClient) request(words []string) ([]any, error) {
	if words[0] == "restart" {
		words = append([]string{"reload", "--restart"}, words[1:]...)
	}
	if words[0] != "reload" {
		return texts(words), nil
	}
	jail, options := "--all", pickle.List{}
	var rest []string
	for _, w := range words[1:] {
		switch w {
		case "--restart", "--unban", "--if-exists":
			options = append(options, w)
		case "--all":
		default:
			rest = append(rest, w)
		}
	}
	if len(rest) > 1 {
		return nil, fmt.Errorf("Unexpected argument(s) for reload: %s", f2b.Repr(texts(rest))) //nolint:staticcheck // the words are fail2ban's
	}
	if len(rest) == 1 {
		jail = rest[0]
	}
	cfg, err := c.read()
	if err != nil {
		return nil, err
	}
	c.warn(cfg)
	var others []string
	for _, command := range cfg.Stream() {
		if name, ok := command[len(command)-1].(string); ok && command[0] == "start" && jail != "--all" && name != jail {
			others = append(others, name)
		}
	}
	var stream pickle.List
	for _, command := range cfg.Stream() {
		if !concerns(command, others) {
			stream = append(stream, plain(command))
		}
	}
	return []any{"reload", jail, options, stream}, nil
}

// plain turns the values of a configuration's stream into those of a pickle.
func plain(v any) any {
	switch v := v.(type) {
	case []any:
		l := make(pickle.List, len(v))
		for i, item := range v {
			l[i] = plain(item)
		}
		return l
	case map[string]any:
		d := pickle.Dict{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			d = append(d, pickle.Item{Key: k, Value: plain(v[k])})
		}
		return d
	case bool, string, nil, int, int64, float64:
		return v
	}
	return f2b.Repr(v)
}

func texts(words []string) []any {
	all := make([]any, len(words))
	for i, w := range words {
		all[i] = w
	}
	return all
}

// printable makes an answer fit for a terminal: its lines and tabs are meant.
func printable(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		parts := strings.Split(line, "\t")
		for k := range parts {
			parts[k] = safe(parts[k])
		}
		lines[i] = strings.Join(parts, "\t")
	}
	return strings.Join(lines, "\n")
}
