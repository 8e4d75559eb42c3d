package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/firewall/hooks"
	"github.com/palisade-agent/palisade/internal/firewall/ipset"
	"github.com/palisade-agent/palisade/internal/firewall/nft"
)

// maxOutput is how much of a program's answer is read.
const maxOutput = 1 << 20

// Machine is what an examination sees besides files. What is not set is the machine that we run on.
type Machine struct {
	Proc string // in place of /proc
	// Path is where programs are looked for, as in $PATH.
	Path string
	// Firewall tries nftables.
	Firewall func() (nft.Features, error)
	// Ipset tries what takes the place of nftables where there is none.
	Ipset func() error
	// Hooks looks at what else handles packets.
	Hooks func(context.Context) (hooks.Report, error)
	// Synchronised reports whether something keeps the clock right, and by how much it may be wrong.
	Synchronised func() (bool, time.Duration, error)
	// Free is how much room there is for us on the disk of a folder, in bytes.
	Free func(folder string) (int64, error)
	// Resolver looks up the host names of ignore lists.
	Resolver *agent.Resolver
	// Own are the machine's own addresses.
	Own func() []netip.Addr
	Now func() time.Time
}

// sbin are folders that the PATH of a user may lack and that of a service has.
const sbin = ":/usr/local/sbin:/usr/sbin:/sbin"

// whole is the machine with nothing left out.
func (m Machine) whole() Machine {
	if m.Proc == "" {
		m.Proc = "/proc"
	}
	if m.Path == "" {
		m.Path = os.Getenv("PATH") + sbin
	}
	if m.Firewall == nil {
		m.Firewall = nft.Probe
	}
	if m.Ipset == nil {
		m.Ipset = ipset.Probe
	}
	if m.Hooks == nil {
		m.Hooks = hooks.Look
	}
	if m.Synchronised == nil {
		m.Synchronised = synchronised
	}
	if m.Free == nil {
		m.Free = free
	}
	if m.Resolver == nil {
		m.Resolver = agent.NewResolver()
	}
	if m.Own == nil {
		m.Own = m.Resolver.Own
	}
	if m.Now == nil {
		m.Now = time.Now
	}
	return m
}

// find gives the path of a program; false if there is none. A name with a slash is a path already.
func (m Machine) find(name string) (path string, ok bool) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	for dir := range strings.SplitSeq(m.Path, ":") {
		if !filepath.IsAbs(dir) {
			continue
		}
		if path := filepath.Join(dir, name); executable(path) {
			return path, true
		}
	}
	return "", false
}

func executable(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular() && st.Mode()&0o111 != 0
}

// errNoProgram says that a program is not there.
var errNoProgram = errors.New("no such program")

// run asks a program and gives what it wrote, the first of it if that is much. The error is errNoProgram, or
// says how it failed; what it wrote is given then, too.
func (m Machine) run(ctx context.Context, name string, args ...string) (string, error) {
	path, ok := m.find(name)
	if !ok {
		return "", fmt.Errorf("%s: %w", name, errNoProgram)
	}
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // the names are ours
	cmd.Env = append(os.Environ(), "LC_ALL=C", "PATH="+m.Path)
	cmd.WaitDelay = time.Second // a child that lives on with its output must not keep us
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("run %s: %w", name, err)
	}
	text, err := io.ReadAll(io.LimitReader(out, maxOutput))
	if len(text) == maxOutput {
		cancel() // the rest is not wanted
		_ = cmd.Wait()
		return string(text), nil
	}
	if err = errors.Join(err, cmd.Wait()); err != nil {
		err = fmt.Errorf("%s: %w", name, err)
	}
	return string(text), err
}

// proc reads a file of /proc, the first 64 KiB of it.
func (m Machine) proc(name string) ([]byte, error) {
	f, err := os.Open(filepath.Join(m.Proc, name))
	if err != nil {
		return nil, fmt.Errorf("read what the kernel says: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	if err != nil {
		return nil, fmt.Errorf("read what the kernel says: %w", err)
	}
	return b, nil
}

// synchronised asks the kernel.
func synchronised() (bool, time.Duration, error) {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	if err != nil {
		return false, 0, fmt.Errorf("ask for the clock's state: %w", err)
	}
	const failed, unsynced = 5, 0x40 // TIME_ERROR, STA_UNSYNC
	return state != failed && t.Status&unsynced == 0, time.Duration(t.Maxerror) * time.Microsecond, nil
}

// free asks the file system.
func free(folder string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(folder, &st); err != nil {
		return 0, &fs.PathError{Op: "statfs", Path: folder, Err: err}
	}
	room := st.Bavail
	if os.Geteuid() == 0 {
		room = st.Bfree
	}
	return int64(room) * st.Bsize, nil
}
