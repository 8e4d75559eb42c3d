package ipset

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall"
)

const (
	// lockWait is for how many seconds iptables waits while another one works; programTime is after how
	// long it is given up.
	lockWait    = "10"
	programTime = 30 * time.Second
	// outputMax bounds what is read of a listing; tables raw with more are not known.
	outputMax = 16 << 20
	// lineMax bounds what is told of a program's complaint.
	lineMax = 300
)

// program is an iptables for one family.
type program struct {
	v6      bool
	name    string // "iptables", "ip6tables-legacy", ...; with "-restore" behind it, its other half
	legacy  bool
	version string
}

// findProgram looks which iptables a name leads to.
func findProgram(name string, v6 bool) (program, error) {
	p := program{v6: v6, name: name}
	for _, n := range []string{name, name + "-restore"} {
		if _, err := exec.LookPath(n); err != nil {
			return p, &firewall.Error{
				Op: "look for " + n, Err: fmt.Errorf("%w: %w", firewall.ErrUnsupported, err),
				Hint: "install the package iptables",
			}
		}
	}
	out, err := p.run("ask for its version", "", name, "--version")
	if err != nil {
		return p, err
	}
	p.version = strings.TrimSpace(out)
	p.legacy = !strings.Contains(out, "nf_tables") // those before 1.8 say nothing of either
	return p, nil
}

// run executes a program to its end.
func (p program) run(op, input, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), programTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "LC_") || strings.HasPrefix(s, "LANG") }), "LC_ALL=C")
	cmd.WaitDelay = time.Second
	cmd.Stdin = strings.NewReader(input)
	out, complaint := &bounded{max: outputMax}, &bounded{max: 16 << 10}
	cmd.Stdout, cmd.Stderr = out, complaint
	err := cmd.Run()
	if err == nil && out.full {
		err = fmt.Errorf("it printed more than %d bytes", outputMax)
	}
	if err != nil {
		return "", p.failure(op, name, err, complaint.String())
	}
	return out.String(), nil
}

// failure makes an error of a program's own words.
func (p program) failure(op, name string, err error, complaint string) error {
	var lines []string
	for line := range strings.Lines(complaint) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "Try `") {
			lines = append(lines, line)
		}
	}
	said := strings.Join(lines, "; ")
	if said != "" {
		err = fmt.Errorf("%s: %w: %s", name, err, said[:min(len(said), lineMax)])
	} else {
		err = fmt.Errorf("%s: %w", name, err)
	}
	e := &firewall.Error{Op: op, Err: err}
	because := func(reason error, hint string) { e.Err, e.Hint = fmt.Errorf("%w: %w", reason, err), hint }
	switch {
	case strings.Contains(said, "Permission denied"), strings.Contains(said, "Operation not permitted"):
		because(firewall.ErrPermission, "run as root, or with the capabilities CAP_NET_ADMIN and CAP_NET_RAW")
	case strings.Contains(said, "Set ") && strings.Contains(said, "doesn't exist"):
		because(firewall.ErrLost, "")
	case strings.Contains(said, "table does not exist"), strings.Contains(said, "do you need to insmod"),
		strings.Contains(said, "Couldn't load match"), strings.Contains(said, "Protocol not supported"):
		because(firewall.ErrUnsupported, "load what it needs with: modprobe -a xt_set xt_multiport xt_limit iptable_raw ip6table_raw; in a container the host has to")
	case strings.Contains(said, "Another app is currently holding the xtables lock"):
		e.Hint = "another iptables runs for long: look which with: fuser -v /run/xtables.lock"
	default:
	}
	return e
}

// list reads what stands in a table. With iptables-legacy that makes a table that is not in the kernel yet,
// which costs every packet a little; so such a table counts as empty.
func (p program) list(name string) (standing, error) {
	if p.legacy && !legacyTable(p.v6, name) {
		return parseListing(""), nil
	}
	out, err := p.run("list the rules of the table "+name, "", p.name, "-w", lockWait, "-t", name, "-S")
	return parseListing(out), err
}

// legacyTable tells whether the kernel has a table of iptables-legacy. Where it does not say, it may.
func legacyTable(v6 bool, name string) bool {
	file := "/proc/thread-self/net/ip_tables_names"
	if v6 {
		file = "/proc/thread-self/net/ip6_tables_names"
	}
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	return err != nil || slices.Contains(strings.Fields(string(b)), name)
}

// restore hands a script to iptables-restore, which brings all of it in force at once or nothing.
func (p program) restore(script string) error {
	_, err := p.run("change the rules", script, p.name+"-restore", "--noflush", "-w", lockWait)
	return err
}

// bounded is a buffer that forgets what is beyond its bounds.
type bounded struct {
	bytes.Buffer
	max  int
	full bool
}

// Write never fails: the program that writes is to go on.
func (b *bounded) Write(p []byte) (int, error) {
	n := len(p)
	if room := b.max - b.Len(); n > room {
		b.full = true
		p = p[:room]
	}
	b.Buffer.Write(p)
	return n, nil
}
