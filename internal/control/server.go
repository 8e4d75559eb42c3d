package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// The bounds of the socket.
const (
	maxPeers       = 64
	maxBody        = 1 << 20
	maxHeader      = 16 << 10
	headerTimeout  = 5 * time.Second
	requestTimeout = 30 * time.Second // reading a request, and writing an answer
	idleTimeout    = time.Minute
	shutdownGrace  = 3 * time.Second
	probeTimeout   = time.Second
)

// ServerOptions are what a server needs. Service is required.
type ServerOptions struct {
	Service Service
	Log     *slog.Logger // nil discards
}

// Server answers on a control socket. Make one with Listen; it starts with Run.
type Server struct {
	path     string
	listener *net.UnixListener
	http     *http.Server
	log      *slog.Logger
}

// Listen makes the socket at path, with mode 0600, and its folder if there is none. A socket that a dead
// daemon has left is replaced. It is an error if a living one answers there, or if the path is anything
// but a socket.
func Listen(ctx context.Context, path string, o ServerOptions) (*Server, error) {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if err := clearPath(ctx, path); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("make the folder of the control socket: %w", err)
	}
	// The mask keeps the socket closed to others from its first moment.
	old := syscall.Umask(0o177)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	syscall.Umask(old)
	if err != nil {
		return nil, fmt.Errorf("listen on the control socket: %w", err)
	}
	s := &Server{path: path, listener: l, log: o.Log}
	s.http = &http.Server{
		Handler:           s.guard(routes(o.Service)),
		ReadHeaderTimeout: headerTimeout, ReadTimeout: requestTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
	}
	return s, nil
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
	if c, err := d.DialContext(ctx, "unix", path); err == nil {
		c.Close()
		return fmt.Errorf("a daemon answers on %s already: stop it first (agentctl -s %s stop)", path, path)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove the socket that a dead daemon has left: %w", err)
	}
	return nil
}

// Run answers until ctx ends, then lets requests under way finish for a moment and removes the socket.
func (s *Server) Run(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s.http.BaseContext = func(net.Listener) context.Context { return base }
	ended := make(chan error, 1)
	go func() { ended <- s.http.Serve(&limited{UnixListener: s.listener, free: make(chan struct{}, maxPeers)}) }()
	select {
	case err := <-ended:
		return fmt.Errorf("answer on %s: %w", s.path, err)
	case <-ctx.Done():
	}
	grace, endGrace := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer endGrace()
	// Streams of events would never end by themselves.
	time.AfterFunc(shutdownGrace/3, cancel)
	if err := s.http.Shutdown(grace); err != nil {
		_ = s.http.Close() // what is left is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer on %s: %w", s.path, err)
	}
	return nil
}

// limited bounds the peers: one more waits until another has gone.
type limited struct {
	*net.UnixListener
	free chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	l.free <- struct{}{}
	c, err := l.UnixListener.Accept()
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

// guard bounds every request and keeps a panic from reaching the peer or ending the daemon.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("a request failed badly", "path", r.URL.Path, "err", fmt.Sprint(p), "stack", string(debug.Stack()))
				fail(w, errors.New("internal error: the daemon's log says more"))
			}
		}()
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(requestTimeout))
		next.ServeHTTP(w, r)
	})
}

// routes maps requests to the service.
func routes(s Service) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/ping", func(w http.ResponseWriter, _ *http.Request) { answer(w, map[string]string{"ping": "pong"}) })
	mux.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		v, err := s.Status(r.Context())
		reply(w, v, err)
	})
	mux.HandleFunc("GET /v1/jails/{name}", func(w http.ResponseWriter, r *http.Request) {
		v, err := s.Jail(r.Context(), r.PathValue("name"))
		reply(w, v, err)
	})
	mux.HandleFunc("GET /v1/banned", func(w http.ResponseWriter, r *http.Request) {
		limit, err := number(r, "limit")
		if err != nil {
			fail(w, err)
			return
		}
		v, err := s.Banned(r.Context(), r.URL.Query().Get("id"), limit)
		reply(w, v, err)
	})
	mux.HandleFunc("GET /v1/firewall", func(w http.ResponseWriter, r *http.Request) {
		limit, err := number(r, "limit")
		if err != nil {
			fail(w, err)
			return
		}
		v, err := s.Firewall(r.Context(), limit)
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/ban", func(w http.ResponseWriter, r *http.Request) { withBody(w, r, s.Ban) })
	mux.HandleFunc("POST /v1/unban", func(w http.ResponseWriter, r *http.Request) { withBody(w, r, s.Unban) })
	mux.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		v, err := s.Reload(r.Context())
		reply(w, v, err)
	})
	mux.HandleFunc("POST /v1/stop", func(w http.ResponseWriter, r *http.Request) {
		err := s.Stop(r.Context(), r.URL.Query().Get("keep") == "1")
		reply(w, struct{}{}, err)
	})
	mux.HandleFunc("GET /v1/events", func(w http.ResponseWriter, r *http.Request) { stream(w, r, s) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		writeJSON(w, wireError{fmt.Sprintf("no such request: %s %.100q", r.Method, r.URL.Path)})
	})
	return mux
}

// wireError is the body of every answer that is not 200.
type wireError struct {
	Error string `json:"error"`
}

func number(r *http.Request, name string) (int, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		return 0, fmt.Errorf("%w: %s=%.50q is no number", ErrInvalid, name, text)
	}
	return n, nil
}

func withBody[Request, Result any](w http.ResponseWriter, r *http.Request, f func(context.Context, Request) (Result, error)) {
	var req Request
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&req); err != nil {
		fail(w, fmt.Errorf("%w: %w", ErrInvalid, err))
		return
	}
	v, err := f(r.Context(), req)
	reply(w, v, err)
}

func reply(w http.ResponseWriter, v any, err error) {
	if err != nil {
		fail(w, err)
		return
	}
	answer(w, v)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	writeJSON(w, v)
}

func fail(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, ErrNoJail):
		status = http.StatusNotFound
	case errors.Is(err, ErrInvalid):
		status = http.StatusBadRequest
	}
	w.WriteHeader(status)
	writeJSON(w, wireError{err.Error()})
}

// writeJSON writes v; a peer that has gone has nobody to tell.
func writeJSON(w http.ResponseWriter, v any) {
	_ = json.NewEncoder(w).Encode(v)
}

// stream sends events as lines of JSON as they happen.
func stream(w http.ResponseWriter, r *http.Request, s Service) {
	c := http.NewResponseController(w)
	w.Header().Set("Content-Type", "application/jsonl")
	w.WriteHeader(http.StatusOK)
	if err := c.Flush(); err != nil {
		return
	}
	encode := json.NewEncoder(w)
	_ = s.Events(r.Context(), func(e Event) error {
		_ = c.SetWriteDeadline(time.Now().Add(requestTimeout))
		return errors.Join(encode.Encode(e), c.Flush())
	})
}
