package f2b

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
)

// What ends a message, and what says that no more will come.
const (
	endOfCommand = "<F2B_END_COMMAND>"
	closeCommand = "<F2B_CLOSE_COMMAND>"
)

// The bounds of the socket.
const (
	maxPeers = 64
	// A request is there in this time after its first byte, and an answer is taken.
	requestTime = 30 * time.Second
	answerTime  = 30 * time.Second
	// A peer that asks nothing is let go after this; programs that poll connect anew or ask more often.
	idleTime = 10 * time.Minute
	// Requests under way have this long to end when the server does.
	shutdownGrace = 3 * time.Second
	readBuffer    = 4 << 10
)

// Handler executes commands. Several may be executed at once.
type Handler interface {
	// Handle executes a command: its words, which are texts most of the time, and what they may hold
	// besides is in package pickle. The value is one that pickle.Marshal takes. An error is told the peer
	// as the exception that it is, if it is an *ExceptionError, and else as a plain Exception with its text.
	Handle(ctx context.Context, command []any) (any, error)
}

// ExceptionError is an error that stands for an exception of fail2ban's server.
type ExceptionError pickle.Exception

// Error gives what the exception was made with.
func (e *ExceptionError) Error() string { return fmt.Sprint(e.Args...) }

// ServerOptions are what a server needs. Handler is required.
type ServerOptions struct {
	Handler Handler
	Log     *slog.Logger // nil discards
}

// Server answers on fail2ban's socket. It starts with Run.
type Server struct {
	listener net.Listener
	handler  Handler
	log      *slog.Logger
	peers    sync.WaitGroup
}

// NewServer makes a server for a socket that somebody listens on already; the server closes it.
func NewServer(l net.Listener, o ServerOptions) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{listener: l, handler: o.Handler, log: o.Log}
}

// Run answers until ctx ends. Commands under way have a moment to finish. It returns when everything has
// ended; it may be called once.
func (s *Server) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stopped := context.AfterFunc(ctx, func() { _ = s.listener.Close() })
	defer stopped()
	free := make(chan struct{}, maxPeers)
	for {
		free <- struct{}{}
		c, err := s.listener.Accept()
		if ctx.Err() != nil {
			if err == nil {
				_ = c.Close()
			}
			break
		}
		if err != nil {
			cancel()
			s.peers.Wait()
			return fmt.Errorf("answer on %v: %w", s.listener.Addr(), err)
		}
		s.peers.Go(func() {
			defer func() { <-free }()
			s.serve(ctx, base, c)
		})
	}
	ended := make(chan struct{})
	go func() { s.peers.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(shutdownGrace):
		cancel()
		<-ended
	}
	return nil
}

// serve answers one peer. It ends with the peer, when ctx ends between two commands, and with base.
func (s *Server) serve(ctx, base context.Context, c net.Conn) {
	defer c.Close()
	var mu sync.Mutex // guards busy
	busy := false     // a command is being executed
	defer context.AfterFunc(ctx, func() {
		mu.Lock()
		defer mu.Unlock()
		if !busy {
			_ = c.SetReadDeadline(time.Unix(1, 0))
		}
	})()
	defer context.AfterFunc(base, func() { _ = c.Close() })()
	r := frames{conn: c}
	for ctx.Err() == nil {
		frame, err := r.next()
		switch {
		case errors.Is(err, errTooLong):
			s.send(c, marshal(s.log, fmt.Sprintf("ERROR: a command of more than %d bytes", pickle.MaxBytes)))
			return
		case err != nil || string(frame) == closeCommand:
			return
		}
		mu.Lock()
		busy = true
		mu.Unlock()
		ok := s.send(c, Execute(base, s.handler, s.log, frame))
		mu.Lock()
		busy = false
		mu.Unlock()
		if !ok {
			return
		}
	}
}

// Execute has a handler do what a request asks for, and gives the answer, both as they are on the socket but for
// what ends them there.
func Execute(ctx context.Context, h Handler, log *slog.Logger, request []byte) (answer []byte) {
	return marshal(log, execute(ctx, h, log, request))
}

func execute(ctx context.Context, h Handler, log *slog.Logger, frame []byte) (answer any) {
	request, err := pickle.Unmarshal(frame)
	if err != nil {
		log.Debug("a request was refused", "err", err)
		return "ERROR: " + err.Error()
	}
	var words []any
	switch r := request.(type) {
	case pickle.List:
		words = r
	case pickle.Tuple:
		words = r
	default:
		return "ERROR: a command is a list of words"
	}
	defer func() {
		if p := recover(); p != nil {
			log.Error("a command failed badly", "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			answer = pickle.Tuple{1, pickle.Exception{Module: "builtins", Class: "Exception", Args: []any{"internal error: the daemon's log says more"}}}
		}
	}()
	value, err := h.Handle(ctx, words)
	if err == nil {
		return pickle.Tuple{0, value}
	}
	if e, ok := errors.AsType[*ExceptionError](err); ok {
		return pickle.Tuple{1, pickle.Exception(*e)}
	}
	return pickle.Tuple{1, pickle.Exception{Module: "builtins", Class: "Exception", Args: []any{err.Error()}}}
}

// marshal writes a value.
func marshal(log *slog.Logger, v any) []byte {
	b, err := pickle.Marshal(v)
	if err != nil {
		log.Error("an answer cannot be written", "err", err)
		b, _ = pickle.Marshal("ERROR: the answer cannot be written") // a text can
	}
	return b
}

// send reports whether the peer took an answer.
func (s *Server) send(c net.Conn, b []byte) bool {
	if err := c.SetWriteDeadline(time.Now().Add(answerTime)); err != nil {
		return false
	}
	_, err := c.Write(append(b, endOfCommand...))
	return err == nil
}

// frames cuts what a peer sends into messages.
type frames struct {
	conn net.Conn
	buf  []byte // received and not given out
	seen int    // of buf, without the end in it
}

var errTooLong = errors.New("the message is too long")

// next gives a message without its end. It is valid until the next call.
func (f *frames) next() ([]byte, error) {
	if err := f.conn.SetReadDeadline(time.Now().Add(idleTime)); err != nil {
		return nil, err
	}
	started := len(f.buf) > 0
	for {
		if i := bytes.Index(f.buf[f.seen:], []byte(endOfCommand)); i >= 0 {
			frame := bytes.Clone(f.buf[:f.seen+i])
			f.buf = append(f.buf[:0], f.buf[f.seen+i+len(endOfCommand):]...)
			f.seen = 0
			return frame, nil
		}
		f.seen = max(len(f.buf)-len(endOfCommand)+1, 0)
		if len(f.buf) > pickle.MaxBytes+len(endOfCommand) {
			return nil, errTooLong
		}
		if !started && len(f.buf) > 0 {
			started = true
			if err := f.conn.SetReadDeadline(time.Now().Add(requestTime)); err != nil {
				return nil, err
			}
		}
		f.buf = slices.Grow(f.buf, readBuffer)
		n, err := f.conn.Read(f.buf[len(f.buf):cap(f.buf)])
		f.buf = f.buf[:len(f.buf)+n]
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			return nil, err
		}
	}
}
