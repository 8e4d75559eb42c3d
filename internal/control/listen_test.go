package control_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// TestADaemonThatIsBusyIsNotADeadOne: its queue of peers is full, and its socket must not be taken away.
func TestADaemonThatIsBusyIsNotADeadOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for full := false; !full; {
		c, err := net.Dial("unix", path)
		if full = errors.Is(err, syscall.EAGAIN); !full {
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
	}
	if _, err := control.Listen(t.Context(), path, control.ServerOptions{Service: &daemon{}}); !errors.Is(err, control.ErrInUse) {
		t.Errorf("listen: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("the socket is gone: %v", err)
	}
	if err := control.NewClient(path).Ping(t.Context()); !errors.Is(err, control.ErrNoAnswer) {
		t.Errorf("the client: %v", err)
	}
}

func TestALivingDaemonKeepsItsSocket(t *testing.T) {
	c, path, _ := serve(t, &daemon{})
	if _, err := control.Listen(t.Context(), path, control.ServerOptions{Service: &daemon{}}); !errors.Is(err, control.ErrInUse) || !strings.Contains(err.Error(), "agentctl -s "+path+" stop") {
		t.Errorf("%v", err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
}

// TestTheSocketsModeIsNotTheMasks runs a child for each mask, since a mask is its process's.
func TestTheSocketsModeIsNotTheMasks(t *testing.T) {
	if path := os.Getenv("CONTROL_TEST_MASK"); path != "" {
		var mask int
		if _, err := fmt.Sscanf(os.Getenv("CONTROL_TEST_UMASK"), "%o", &mask); err != nil {
			t.Fatal(err)
		}
		syscall.Umask(mask)
		s, err := control.Listen(t.Context(), path, control.ServerOptions{Service: &daemon{}})
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Stat(path)
		if err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", st.Mode(), err)
		}
		if now := syscall.Umask(mask); now != mask {
			t.Errorf("the process's mask is %o now", now)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
		return
	}
	for _, mask := range []string{"000", "022", "077", "777"} {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTheSocketsModeIsNotTheMasks$")
		cmd.Env = append(os.Environ(), "CONTROL_TEST_MASK="+filepath.Join(t.TempDir(), "s"), "CONTROL_TEST_UMASK="+mask)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("mask %s: %v\n%s", mask, err, out)
		}
	}
}

// TestStopWaitsUntilTheProcessHasGone: after its socket, a daemon has a last commit to make, and whoever
// starts another must not meet it.
func TestStopWaitsUntilTheProcessHasGone(t *testing.T) {
	if path := os.Getenv("CONTROL_TEST_STOP"); path != "" {
		d := &daemon{}
		ctx, cancel := context.WithCancel(t.Context())
		d.stop = cancel
		s, err := control.Listen(ctx, path, control.ServerOptions{Service: d})
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("ready")
		if err := s.Run(ctx); err != nil {
			t.Fatal(err)
		}
		<-time.After(300 * time.Millisecond) // the last commit
		return
	}
	path := filepath.Join(t.TempDir(), "s")
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStopWaitsUntilTheProcessHasGone$")
	cmd.Env = append(os.Environ(), "CONTROL_TEST_STOP="+path)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() && lines.Text() != "ready" {
		continue
	}
	ended := make(chan time.Time, 1)
	go func() {
		for lines.Scan() { // until the process closes its end
			continue
		}
		_ = cmd.Wait() // or it would be a zombie, which still is a process
		ended <- time.Now()
	}()
	if err := control.NewClient(path).Stop(t.Context(), false); err != nil {
		t.Fatal(err)
	}
	stopped := time.Now()
	if at := <-ended; stopped.Before(at.Add(-20 * time.Millisecond)) {
		t.Errorf("stop came back %v before the process had gone", at.Sub(stopped))
	}
}
