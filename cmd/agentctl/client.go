package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/executor"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/setup"
)

// clientFailed is the exit status of fail2ban's client for everything that is no success.
const clientFailed = 255

// clientVersion is the release whose client this answers as.
const clientVersion = executor.Version

// fail2banClient answers as fail2ban-client: its options, its texts, its exit status. The server that it
// asks may be ours or fail2ban's own, since both speak the same on their socket.
type fail2banClient struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	now            func() time.Time
	release        config.Release

	// what the options say
	name                 string // by which it was called
	conf, socket         string
	agentd               string // its socket, asked where nobody has fail2ban's
	named                bool   // conf was given
	timeout              time.Duration
	dump, pretty, test   bool
	help, version, short bool
	interactive          bool
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
    -i                      commands from the input, a line each
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

// answerAsClient is main for the names fail2ban-client and fail2ban-server.
func answerAsClient(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	c := &fail2banClient{
		name: name, conf: config.DefaultDir, agentd: defaultSocket, timeout: 30 * time.Second,
		stdin: os.Stdin, stdout: stdout, stderr: stderr, now: time.Now,
	}
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
			fmt.Fprintf(c.stdout, "ERROR: %s\n", safe(err.Error()))
			return clientFailed
		}
		fmt.Fprintln(c.stdout, int64(d/time.Second))
		return 0
	case c.dump:
		if code := c.printStream(); code != 0 || !c.test {
			return code
		}
		return c.testConfig()
	}
	if c.test {
		if code := c.testConfig(); code != 0 || len(words) == 0 {
			return code
		}
	}
	if c.interactive {
		return c.prompt(ctx)
	}
	return c.do(ctx, words)
}

// do does what the words of a command say.
func (c *fail2banClient) do(ctx context.Context, words []string) int {
	if len(words) == 0 && c.name == "fail2ban-server" {
		words = []string{"start"}
	}
	switch {
	case len(words) == 0:
		fmt.Fprint(c.stdout, clientUsage)
		return clientFailed
	case words[0] == "help" && len(words) == 1:
		fmt.Fprint(c.stdout, clientUsage)
		return 0
	case words[0] == "start" && len(words) == 1:
		c.say("ERROR", "the server is started by the service manager: systemctl start agentd, or run agentd")
		return clientFailed
	case words[0] == "restart" && len(words) == 1:
		c.say("ERROR", "the server is restarted by the service manager: systemctl restart agentd")
		return clientFailed
	case words[0] == "ping" && len(words) > 1:
		seconds, err := strconv.ParseFloat(words[1], 64)
		if err != nil || seconds < 0 || seconds > maxPing {
			c.say("ERROR", "could not convert string to float: %s", f2b.Repr(words[1]))
			return clientFailed
		}
		c.timeout = time.Duration(seconds * float64(time.Second))
	}
	return c.command(ctx, words)
}

// maxPing is how many seconds a ping may wait: a day.
const maxPing = 86400

// maxTyped is how long a line of commands may be, in bytes.
const maxTyped = 1 << 20

// prompt is -i: commands from the input, a line each, until exit, quit, or its end.
func (c *fail2banClient) prompt(ctx context.Context) int {
	fmt.Fprintf(c.stdout, "%s\n\n", "Palisade answering as fail2ban-client: a command a line, or help, exit, quit")
	lines := bufio.NewScanner(c.stdin)
	lines.Buffer(nil, maxTyped)
	for {
		fmt.Fprint(c.stdout, "fail2ban> ")
		if ctx.Err() != nil || !lines.Scan() {
			fmt.Fprintln(c.stdout)
			return clientFailed // fail2ban's client ends so, too
		}
		words, err := config.ShellWords(lines.Text())
		switch {
		case err != nil:
			c.say("ERROR", "%v", err)
		case len(words) == 0:
		case words[0] == "exit", words[0] == "quit":
			return 0
		default:
			c.do(ctx, words)
		}
	}
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
		name = whole(name, known)
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

// whole is the long option that a beginning of its name means, where that is one alone.
func whole(name string, known map[string]bool) string {
	if _, ok := known[name]; ok || len(name) < len("--x") {
		return name
	}
	meant := ""
	for option := range known {
		switch {
		case !strings.HasPrefix(option, name):
		case meant != "":
			return name
		default:
			meant = option
		}
	}
	return meant
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
	case "-i":
		c.interactive = true
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
	if d := control.NewClient(c.agentd); c.socket == "" && nobody(err) && d.Ping(ctx) == nil {
		value, err = askAgentd(ctx, d, request)
	}
	if e, ok := errors.AsType[*f2b.ExceptionError](err); ok {
		c.say("ERROR", "NOK: %s", f2b.Repr(pickle.Tuple(e.Args)))
		fmt.Fprintln(c.stdout, printable(f2b.BeautifyError(pickle.Exception(*e))))
		return clientFailed
	}
	if err != nil {
		text := unreachable(path, err)
		if request[0] == "reload" && nobody(err) {
			text = "Could not find server"
		}
		c.say("ERROR", "%s", text)
		return clientFailed
	}
	fmt.Fprintln(c.stdout, printable(f2b.Beautify(words, tame(words, value))))
	return 0
}

// askAgentd asks over agentd's own socket.
func askAgentd(ctx context.Context, d *control.Client, command []any) (any, error) {
	request, err := f2b.Request(command)
	if err != nil {
		return nil, err
	}
	answer, err := d.Fail2ban(ctx, request)
	if err != nil {
		return nil, err
	}
	return f2b.Result(answer)
}

// tame escapes what would not print in the IDs of a list that is shown as plain text: an attacker may have
// chosen them, and must not begin a line that looks like another answer.
func tame(words []string, value any) any {
	switch {
	case len(words) > 1 && words[0] == "status":
		return each(value, safe)
	case len(words) > 3 && words[0] == "get" && words[2] == "banip" && words[3] == "--with-time":
		return each(value, func(s string) string {
			if i := strings.LastIndex(s, " \t"); i >= 0 {
				return safe(s[:i]) + s[i:]
			}
			return safe(s)
		})
	case len(words) > 2 && words[0] == "get" && words[2] == "banip":
		return each(value, safe)
	}
	return value
}

// each replaces every text in a value.
func each(value any, by func(string) string) any {
	switch v := value.(type) {
	case string:
		return by(v)
	case pickle.List:
		out := make(pickle.List, len(v))
		for i, item := range v {
			out[i] = each(item, by)
		}
		return out
	case pickle.Tuple:
		return pickle.Tuple(each(pickle.List(v), by).(pickle.List))
	}
	return value
}

// nobody reports whether an error says that nobody listens.
func nobody(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED)
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
