package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// ErrInUse says that a living daemon answers on the socket.
var ErrInUse = errors.New("the control socket is in use")

const (
	socketMode = 0o600
	longest    = len(syscall.RawSockaddrUnix{}.Path) - 1 // bytes of a socket's path; the kernel ends it with a zero
)

// Listen makes the control socket at path, see ListenUnix.
func Listen(ctx context.Context, path string, o ServerOptions) (*Server, error) {
	l, err := ListenUnix(ctx, path)
	if err != nil {
		return nil, err
	}
	return newServer(path, l, o), nil
}

// ListenUnix makes a socket at path, with mode 0600, and its folder if there is none. A socket that a dead
// daemon has left is replaced. It is an error if a living one answers there (ErrInUse), or if the path is
// anything but a socket. A path has at most 107 bytes, which is the kernel's limit.
func ListenUnix(ctx context.Context, path string) (net.Listener, error) {
	if len(path) > longest {
		return nil, fmt.Errorf("the path of the control socket has %d bytes, and the kernel takes %d: name a shorter one with -s", len(path), longest)
	}
	if err := clearPath(ctx, path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the control socket: %w", err)
	}
	// The mode that a socket has when it is bound is the file's: it is closed to others from its first
	// moment, without the process's mask, which other goroutines make files under.
	var modeErr error
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return errors.Join(c.Control(func(fd uintptr) { modeErr = syscall.Fchmod(int(fd), socketMode) }), modeErr)
	}}
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	if err := os.Chmod(path, socketMode); err != nil { // the mask may have taken more away
		return nil, errors.Join(fmt.Errorf("listen on the control socket: %w", err), l.Close())
	}
	return l, nil
}

func newServer(path string, l net.Listener, o ServerOptions) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{path: path, listener: l, service: o.Service, fail2ban: o.Fail2ban, routed: o.Routes, log: o.Log}
}

// clearPath makes way for a new socket.
func clearPath(ctx context.Context, path string) error {
	st, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("look at the control socket: %w", err)
	case st.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there and is no socket: move it away, or name another path with -s", path)
	}
	d := net.Dialer{Timeout: probeTimeout}
	c, err := d.DialContext(ctx, "unix", path)
	switch {
	case err == nil:
		_ = c.Close() // it was only to see who is there
		return fmt.Errorf("%w: a daemon answers on %s already: stop it first (agentctl -s %s stop)", ErrInUse, path, path)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%w: a daemon listens on %s and has no time to answer: stop it first", ErrInUse, path)
	case !errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("see whether a daemon answers on the control socket: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the socket that a dead daemon has left: %w", err)
	}
	return nil
}
