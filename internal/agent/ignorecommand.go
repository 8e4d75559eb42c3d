package agent

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/action"
	"github.com/palisade-agent/palisade/internal/ident"
)

// ignoreCommandTimeout is fail2ban's limit for any command.
const ignoreCommandTimeout = 60 * time.Second

// tagValues are the values that a text with tags can ask for, taken from one failure.
type tagValues struct {
	id       ident.ID
	ip       ident.ID // the address, where the ID is something else
	time     time.Time
	failures int
	lines    []string
	captures map[string]string
}

var tagPattern = regexp.MustCompile(`<[A-Za-z0-9_.-]+>`)

// value looks a tag up by its name without brackets.
func (v tagValues) value(tag string) (string, bool) {
	if name, isCapture := strings.CutPrefix(tag, "F-"); isCapture {
		switch name {
		case "ID":
			return v.captures["fid"], true
		case "PORT":
			return v.captures["fport"], true
		}
		return v.captures[strings.ToLower(name)], true
	}
	switch tag {
	case "ip":
		if !v.ip.IsZero() {
			return v.ip.String(), true
		}
		return v.id.String(), true
	case "fid":
		return v.id.String(), true
	case "family":
		if f := v.id.Family(); f != "" {
			return f, true
		}
		return "None", true
	case "failures":
		return strconv.Itoa(v.failures), true
	case "time":
		return strconv.FormatFloat(float64(v.time.UnixMicro())/1e6, 'f', 1, 64), true
	case "matches":
		return strings.Join(v.lines, "\n"), true
	case "br":
		return "\n", true
	case "sp":
		return " ", true
	}
	return "", false
}

// expandPlain puts the values into the text as they are, for a text that no shell will see.
func (v tagValues) expandPlain(text string) string {
	return tagPattern.ReplaceAllStringFunc(text, func(tag string) string {
		if s, ok := v.value(tag[1 : len(tag)-1]); ok {
			return s
		}
		return tag
	})
}

// runIgnoreCommand asks the command of the configuration. Exit status 0 is yes and 1 is no; anything
// else is no, with an error.
func runIgnoreCommand(ctx context.Context, command string, v tagValues) (ignored bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, ignoreCommandTimeout)
	defer cancel()
	c, err := action.Expand(command, action.Tags{
		Value: func(name string) (string, bool) {
			if strings.HasPrefix(name, "F-") {
				return "", false // a capture
			}
			return v.value(name)
		},
		Capture: func(name string) string { return v.captures[name] },
	})
	if err != nil {
		return false, fmt.Errorf("%s: %w", command, err)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", slices.Concat([]string{"-c", c.Script}, c.Args)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return true, nil
	case errors.As(err, &exit) && exit.ExitCode() == 1:
		return false, nil
	case ctx.Err() != nil:
		return false, fmt.Errorf("%s: ended after %v: %w", command, ignoreCommandTimeout, ctx.Err())
	}
	return false, fmt.Errorf("%s: %w", command, err)
}
