package f2b_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
)

const (
	endOfFrame = "<F2B_END_COMMAND>"
	closing    = "<F2B_CLOSE_COMMAND>"
)

// counter answers every command, and counts them.
type counter struct{ commands *atomic.Int64 }

func (c counter) Handle(context.Context, []any) (any, error) {
	c.commands.Add(1)
	return "done", nil
}

// oneConn is a listener that gives a single connection.
type oneConn struct {
	conns chan net.Conn
	done  chan struct{}
	shut  atomic.Bool
}

func (l *oneConn) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *oneConn) Close() error {
	if l.shut.CompareAndSwap(false, true) {
		close(l.done)
	}
	return nil
}

func (l *oneConn) Addr() net.Addr { return &net.UnixAddr{Name: "fuzz", Net: "unix"} }

// inPieces is a connection of which no more than a few bytes are read at a time.
type inPieces struct {
	net.Conn
	most int
}

func (c inPieces) Read(p []byte) (int, error) { return c.Conn.Read(p[:min(c.most, len(p))]) }

// socketPair gives the ends of a connection. Those of net.Pipe would be held by the timers of their deadlines long
// after they were closed.
func socketPair(t *testing.T) (near, far net.Conn) {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	ends := make([]net.Conn, 2)
	for i, fd := range fds {
		file := os.NewFile(uintptr(fd), "end")
		ends[i], err = net.FileConn(file)
		_ = file.Close()
		if err != nil {
			t.Fatal(err)
		}
	}
	return ends[0], ends[1]
}

// commandsIn counts what is asked by bytes that a peer sends, and what is answered: frames until the end that a
// peer asks for, and those of them that are commands.
func commandsIn(data []byte) (commands int64, answers int) {
	for {
		frame, rest, whole := bytes.Cut(data, []byte(endOfFrame))
		if !whole || string(frame) == closing {
			return commands, answers
		}
		answers++
		if v, err := pickle.Unmarshal(frame); err == nil {
			switch v.(type) {
			case pickle.List, pickle.Tuple:
				commands++
			}
		}
		data = rest
	}
}

// FuzzFraming: whatever a peer sends, and however it is cut, every whole message has its one answer, what is none
// is not executed, and the server ends.
func FuzzFraming(f *testing.F) {
	ping, other := request("ping"), request("status", "x")
	f.Add([]byte(ping), uint8(0))
	f.Add([]byte(ping+other+ping), uint8(3))
	f.Add([]byte(ping+closing+endOfFrame+ping), uint8(7))
	f.Add([]byte("nonsense"+endOfFrame+ping[:9]), uint8(1))
	f.Add([]byte("<F2B_END_<F2B_END_COMMAND>"+ping), uint8(16))
	f.Add([]byte(endOfFrame+"<F2B_END_COMMAND"), uint8(2))
	f.Fuzz(func(t *testing.T, data []byte, piece uint8) {
		if len(data) > 64<<10 {
			return
		}
		var executed atomic.Int64
		l := &oneConn{conns: make(chan net.Conn, 1), done: make(chan struct{})}
		near, far := socketPair(t)
		size := max(1, int(piece))
		l.conns <- inPieces{far, size}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error, 1)
		s := f2b.NewServer(l, f2b.ServerOptions{Handler: counter{&executed}})
		go func() { ended <- s.Run(ctx) }()

		wantCommands, wantAnswers := commandsIn(data)
		got := make(chan int, 1)
		go func() {
			var all []byte
			n := 0
			part := make([]byte, 4096)
			for n < wantAnswers {
				k, err := near.Read(part)
				all = append(all, part[:k]...)
				n = bytes.Count(all, []byte(endOfFrame))
				if err != nil {
					break
				}
			}
			got <- n
			_, _ = io.Copy(io.Discard, near) // more than there should be is found by the count of commands
		}()
		if err := near.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
			t.Fatal(err)
		}
		_, _ = near.Write(data) // as far as the server listens
		if n := <-got; n != wantAnswers {
			t.Errorf("%d answers, want %d", n, wantAnswers)
		}
		_ = near.Close()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
		if n := executed.Load(); n != wantCommands {
			t.Errorf("%d commands were executed, want %d", n, wantCommands)
		}
	})
}
