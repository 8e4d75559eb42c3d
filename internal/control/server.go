package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"sync"
	"time"
)

// The bounds of the socket.
const (
	maxPeers      = 64
	maxStreams    = maxPeers / 2 // so that there is room for those who ask
	maxBody       = 1 << 20
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	bodyTimeout   = 30 * time.Second
	answerTime    = 30 * time.Second // for the peer to take an answer
	idleTimeout   = time.Minute
	shutdownGrace = 3 * time.Second
	probeTimeout  = time.Second
)

// ServerOptions are what a server needs. Service is required.
type ServerOptions struct {
	Service Service
	Log     *slog.Logger // nil discards
	// Fail2ban answers a request of fail2ban's protocol; nil answers none.
	Fail2ban func(ctx context.Context, request []byte) (answer []byte)
	// Routes are what parts of the daemon answer besides.
	Routes []Route
}

// Route is a request that a part of the daemon answers by itself. Pattern is that of http.ServeMux, with its
// method. What Answer gives is sent as JSON, or its error: one that wraps ErrInvalid is the asker's fault.
type Route struct {
	Pattern string
	Answer  func(r *http.Request) (any, error)
}

// Server answers on a control socket. Make one with Listen; it starts with Run.
type Server struct {
	path     string
	listener net.Listener
	service  Service
	fail2ban func(ctx context.Context, request []byte) (answer []byte)
	routed   []Route
	log      *slog.Logger

	requests sync.WaitGroup // under way
}

// Run answers until ctx ends. Then streams of events end at once, requests under way have a moment to
// finish, and the socket is removed. It returns when everything has ended; it may be called once.
func (s *Server) Run(ctx context.Context) error {
	// Requests outlive ctx by the grace, streams do not.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	streams := make(chan struct{}, maxStreams)
	server := &http.Server{
		Handler:           s.guard(s.routes(ctx, streams)),
		ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		BaseContext: func(net.Listener) context.Context { return base },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(LimitPeers(s.listener, maxPeers)) }()
	select {
	case err := <-ended:
		return fmt.Errorf("answer on %s: %w", s.path, err)
	case <-ctx.Done():
	}
	grace, endGrace := context.WithTimeout(base, shutdownGrace)
	defer endGrace()
	if err := server.Shutdown(grace); err != nil {
		cancel()
		_ = server.Close() // what is left is cut off
	}
	err := <-ended
	s.requests.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer on %s: %w", s.path, err)
	}
	return nil
}

// LimitPeers bounds how many peers a listener has at once: one more waits until another has gone.
func LimitPeers(l net.Listener, most int) net.Listener {
	return &limited{Listener: l, free: make(chan struct{}, most)}
}

type limited struct {
	net.Listener
	free chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &counted{Conn: c, gone: sync.OnceFunc(func() { <-l.free })}, nil
}

type counted struct {
	net.Conn
	gone func()
}

// Close implements net.Conn.
func (c *counted) Close() error {
	defer c.gone()
	return c.Conn.Close()
}

// guard bounds every request, and keeps a panic from reaching the peer or ending the daemon.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(plain http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		defer s.requests.Done()
		w := &answerWriter{ResponseWriter: plain}
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			s.log.Error("a request failed badly", "path", fmt.Sprintf("%.200q", r.URL.Path), "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			if w.begun {
				panic(http.ErrAbortHandler) // half an answer must not look whole
			}
			fail(w, errors.New("internal error: the daemon's log says more"))
		}()
		if err := readBody(w, r); err != nil {
			fail(w, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// readBody takes the body before anything is done: the time that the peer has for it is not the time
// that the answer may take.
func readBody(w http.ResponseWriter, r *http.Request) error {
	if r.ContentLength == 0 {
		return nil
	}
	c := http.NewResponseController(w)
	if err := c.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return fmt.Errorf("bound the time of a request: %w", err)
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		w.Header().Set("Connection", "close") // where the next request begins is unknown
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			return fmt.Errorf("%w: its body is above %d bytes", ErrInvalid, maxBody)
		}
		return fmt.Errorf("%w: its body is not whole", ErrInvalid)
	}
	r.Body = io.NopCloser(bytes.NewReader(b))
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return fmt.Errorf("bound the time of a request: %w", err)
	}
	return nil
}

// answerWriter bounds the time that the peer takes for each part of an answer.
type answerWriter struct {
	http.ResponseWriter
	begun  bool
	stream bool // a listener that is slow loses events, not its place
}

// Unwrap lets a ResponseController through.
func (w *answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w *answerWriter) WriteHeader(status int) {
	w.begun = true
	if !w.stream {
		_ = http.NewResponseController(w.ResponseWriter).SetWriteDeadline(time.Now().Add(answerTime))
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (w *answerWriter) Write(b []byte) (int, error) {
	if !w.begun {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}
