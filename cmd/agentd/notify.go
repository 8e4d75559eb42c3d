package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/palisade-agent/palisade/internal/control"
)

// notifier tells a service manager how the daemon stands, by systemd's protocol. The zero notifier tells nobody.
type notifier struct {
	socket string
	// every is how often a sign of life is wanted; 0 is never.
	every time.Duration
}

// newNotifier reads what the service manager has put into the environment, and takes it out: the commands of
// actions are not to speak for the daemon.
func newNotifier() notifier {
	n := notifier{socket: os.Getenv("NOTIFY_SOCKET")}
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		if usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64); err == nil && usec > 0 {
			n.every = time.Duration(usec) * time.Microsecond
		}
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} {
		_ = os.Unsetenv(name) // a name without oddities
	}
	return n
}

// tell sends states, as "READY=1". That nobody listens is no reason to fail.
func (n notifier) tell(states ...string) {
	if n.socket == "" {
		return
	}
	name := n.socket
	if strings.HasPrefix(name, "@") {
		name = "\x00" + name[1:] // one without a file
	}
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return
	}
	defer func() { _ = c.Close() }()                    // a datagram is out or it is not
	_ = c.SetWriteDeadline(time.Now().Add(time.Second)) // a socket has deadlines
	_, _ = c.Write([]byte(strings.Join(states, "\n")))
}

// reloading tells that a reload begins. What follows is READY=1.
func (n notifier) reloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return
	}
	n.tell("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
}

// watch gives signs of life as long as the daemon answers: its engine must take the question and answer it. It
// ends with ctx.
func (n notifier) watch(ctx context.Context, s control.Service) {
	every := n.every / 2
	if every == 0 {
		if n.socket == "" {
			return
		}
		every = time.Minute // for the line about how it stands
	}
	t := time.NewTicker(every)
	defer t.Stop()
	for {
		ask, cancel := context.WithTimeout(ctx, every)
		st, err := s.Status(ask)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			n.tell("WATCHDOG=1", "STATUS="+statusLine(st))
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// statusLine tells how the daemon stands in a few words.
func statusLine(st control.Status) string {
	banned := 0
	for _, j := range st.Jails {
		banned += j.CurrentlyBanned
	}
	line := fmt.Sprintf("%s: %d jails, %d banned", st.Health, len(st.Jails), banned)
	if len(st.Reasons) > 0 {
		line += ", " + st.Reasons[0]
	}
	return oneLine(line)
}
