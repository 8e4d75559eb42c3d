// Command agentctl shows and steers agentd over its control socket.
//
// Every command is an entry of the table in commands.go: its words, its help with an example, and the
// function that runs it. What goes to stdout is data, for people as tables and with --json for
// programs; what goes to stderr is talk. Text that somebody else chose never reaches a terminal as more
// than text. Exit status: 0 done, 1 failed or found wrong, 2 wrong usage. The transcripts in testdata
// show what every command looks like.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/config"
	"github.com/palisade-agent/palisade/internal/control"
)

const defaultSocket = "/run/agentd/agentd.sock"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := answer(ctx, filepath.Base(os.Args[0]), os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// call is one run of a command.
type call struct {
	client *control.Client
	socket string
	config string          // the configuration folder, for the commands that read one
	named  bool            // that folder was named, so it must be there
	args   []string        // the command's own words, options taken out
	flags  map[string]bool // its switches
	values map[string]string
	lists  map[string][]string // the values of options that may come several times
	json   bool
	stdin  io.Reader
	stdout *bufio.Writer // remembers the first error, which run reports
	stderr io.Writer
	now    func() time.Time // times are told as seen from now, in its zone
}

// errUsage marks an error of the caller's, which exits with 2.
var errUsage = errors.New("wrong usage")

func usagef(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errUsage, fmt.Sprintf(format, args...))
}

// errFound marks a command that worked and found something wrong; all has been said.
var errFound = errors.New("something is wrong")

// answer is main without the process. A program that is called by one of fail2ban's names, as through
// a link, answers as that one does.
func answer(ctx context.Context, name string, args []string, stdout, stderr io.Writer) int {
	switch name {
	case "fail2ban-client", "fail2ban-server":
		return answerAsClient(ctx, name, args, stdout, stderr)
	case "fail2ban-regex":
		return answerAsRegex(ctx, args, stdout, stderr)
	}
	return run(ctx, args, stdout, stderr)
}

// run answers as agentctl.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	return runAt(ctx, args, stdout, stderr, time.Now)
}

// runAt is run at any time.
func runAt(ctx context.Context, args []string, stdout, stderr io.Writer, now func() time.Time) int {
	c := &call{
		socket: defaultSocket, config: config.DefaultDir, lists: map[string][]string{}, flags: map[string]bool{}, values: map[string]string{},
		stdin: os.Stdin, stdout: bufio.NewWriter(stdout), stderr: stderr, now: now,
	}
	cmd, err := c.parse(args)
	if err == nil && cmd != nil {
		c.client = control.NewClient(c.socket)
		err = cmd.run(ctx, c)
		err = c.withJails(ctx, err)
	}
	if flushErr := c.stdout.Flush(); flushErr != nil {
		err = fmt.Errorf("write the answer: %w", flushErr)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errFound):
		return 1
	}
	c.talk("%v", err)
	if errors.Is(err, errUsage) {
		return 2
	}
	return 1
}

// talk says something to the person who called, on one line.
func (c *call) talk(format string, args ...any) {
	fmt.Fprintln(c.stderr, "agentctl:", safe(fmt.Sprintf(format, args...)))
}

// withJails adds to the error of an unknown jail which jails there are.
func (c *call) withJails(ctx context.Context, err error) error {
	if !errors.Is(err, control.ErrNoJail) {
		return err
	}
	names, listErr := c.jails(ctx)
	switch {
	case listErr != nil:
		return err
	case len(names) == 0:
		return fmt.Errorf("%w (no jail is enabled)", err)
	}
	asked := c.values["jail"]
	if len(c.args) > 0 && asked == "" {
		asked = c.args[0]
	}
	if name := nearest(asked, names); name != "" {
		return fmt.Errorf("%w: did you mean %q?", err, name)
	}
	return fmt.Errorf("%w (there are: %s)", err, listed(names))
}

// jails names the jails that run.
func (c *call) jails(ctx context.Context) ([]string, error) {
	s, err := c.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, j := range s.Jails {
		names = append(names, j.Name)
	}
	return names, nil
}
