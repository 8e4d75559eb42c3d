// Command agentctl shows and steers agentd over its control socket.
//
// Every command is an entry of the table in commands.go: its words, its help with an example, and the
// function that runs it. What goes to stdout is data, for people as tables and with --json for
// programs; what goes to stderr is talk. Exit status: 0 done, 1 failed or found wrong, 2 wrong usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/palisade-agent/palisade/internal/control"
)

const defaultSocket = "/run/agentd/agentd.sock"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// call is one run of a command.
type call struct {
	client *control.Client
	socket string
	args   []string        // the command's own words, options taken out
	flags  map[string]bool // its switches
	values map[string]string
	json   bool
	stdout io.Writer
	stderr io.Writer
}

// errUsage marks an error of the caller's, which exits with 2.
var errUsage = errors.New("wrong usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// errFound marks a command that worked and found something wrong; all has been said.
var errFound = errors.New("something is wrong")

// run is main without the process.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &call{socket: defaultSocket, flags: map[string]bool{}, values: map[string]string{}, stdout: stdout, stderr: stderr}
	cmd, err := c.parse(args)
	if err == nil && cmd == nil {
		return 0 // help has been given
	}
	if err == nil {
		c.client = control.NewClient(c.socket)
		err = cmd.run(ctx, c)
	}
	switch {
	case err == nil, errors.Is(err, context.Canceled):
		return 0
	case errors.Is(err, errFound):
		return 1
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "agentctl:", safe(err.Error()))
		return 2
	}
	fmt.Fprintln(stderr, "agentctl:", safe(err.Error()))
	return 1
}

// parse finds the command and its options, which may stand before or after it.
func (c *call) parse(args []string) (cmd *command, err error) {
	var words []string
	help := false
	for i := 0; i < len(args); i++ {
		name, value, has := strings.Cut(args[i], "=")
		if !strings.HasPrefix(name, "-") || name == "-" {
			words = append(words, args[i])
			continue
		}
		take := func() (string, error) {
			if has {
				return value, nil
			}
			if i++; i >= len(args) {
				return "", usagef("%s needs a value", name)
			}
			return args[i], nil
		}
		switch name {
		case "-h", "--help":
			help = true
		case "-V", "--version":
			words = append([]string{"version"}, words...)
		case "--json":
			c.json = true
		case "-s", "--socket":
			if c.socket, err = take(); err != nil {
				return nil, err
			}
		case "--":
			words = append(words, args[i+1:]...)
			i = len(args)
		default:
			option := strings.TrimLeft(name, "-")
			switch kind, known := options[option]; {
			case !known:
				return nil, usagef("unknown option %s (see agentctl --help)", name)
			case kind == optionSwitch:
				c.flags[option] = true
			default:
				if c.values[option], err = take(); err != nil {
					return nil, err
				}
			}
		}
	}
	if len(words) == 0 || words[0] == "help" {
		if len(words) > 1 {
			words, help = words[1:], true
		} else {
			fmt.Fprint(c.stdout, overview())
			if help || len(words) > 0 || len(args) > 0 {
				return nil, nil //nolint:nilnil // no command and no error: help was asked for
			}
			return nil, usagef("no command")
		}
	}
	cmd = find(words[0])
	if cmd == nil {
		return nil, usagef("unknown command %q%s (see agentctl --help)", words[0], suggestion(words[0]))
	}
	if help {
		fmt.Fprint(c.stdout, cmd.help())
		return nil, nil //nolint:nilnil // as above
	}
	c.args = words[1:]
	if n := len(c.args); n < cmd.min || cmd.max >= 0 && n > cmd.max {
		return nil, usagef("agentctl %s (see agentctl %s --help)", cmd.usage, cmd.name)
	}
	for option := range c.flags {
		if !cmd.takes(option) {
			return nil, usagef("%s does not take --%s (see agentctl %s --help)", cmd.name, option, cmd.name)
		}
	}
	for option := range c.values {
		if !cmd.takes(option) {
			return nil, usagef("%s does not take --%s (see agentctl %s --help)", cmd.name, option, cmd.name)
		}
	}
	return cmd, nil
}

// print shows a value: as JSON if that was asked for, and otherwise by show.
func (c *call) print(v any, show func(w io.Writer)) error {
	if !c.json {
		show(c.stdout)
		return nil
	}
	e := json.NewEncoder(c.stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}
