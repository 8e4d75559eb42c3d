package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/palisade-agent/palisade/internal/agent"
	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/eventlog"
	"github.com/palisade-agent/palisade/internal/feed"
	"github.com/palisade-agent/palisade/internal/firewall/cut"
	"github.com/palisade-agent/palisade/internal/report"
)

// The bounds of what is done for those who ask.
const (
	maxPeers      = 16
	maxHeader     = 16 << 10
	requestTime   = 5 * time.Second
	statsTime     = 5 * time.Second // for the engine to find the time
	answerTime    = 20 * time.Second
	idleTimeout   = 2 * time.Minute // longer than the usual minute between two scrapes
	shutdownGrace = time.Second
)

// Options are what a Server tells of. Version and Stats are required.
type Options struct {
	Version string
	Stats   func(context.Context) (agent.Stats, error)
	// Database is the size of the database in bytes; nil tells nothing of it, and so does an error.
	Database func() (int64, error)
	// Events is how the event file stands; nil if there is none.
	Events func() eventlog.Stats
	// Cut is what was done to open connections of banned peers; nil if nothing is.
	Cut func() cut.Status
	// Reports is how those stand who are told of bans; nil if nobody is.
	Reports func() []report.DestinationStatus
	// Feeds is how lists stand; nil if there are none.
	Feeds func() []feed.Status
	Log   *slog.Logger // nil logs nothing
}

// Server answers scrapes. Make one with Listen; it starts with Run.
type Server struct {
	o        Options
	listener net.Listener
	turn     chan struct{} // one scrape at a time
}

// Address completes an address to listen on: a port alone is one of this machine's loopback, and everything else must
// say which address of the machine it wants.
func Address(text string) (string, error) {
	if !strings.Contains(text, ":") {
		text = ":" + text
	}
	host, port, err := net.SplitHostPort(text)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", fmt.Errorf("%q is no address with a port: give a port (9191), which only this machine reaches, or an address and a port (192.0.2.1:9191, [::]:9191)", text)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// Listen listens on an address as Address gives it.
func Listen(ctx context.Context, address string, o Options) (*Server, error) {
	var config net.ListenConfig
	l, err := config.Listen(ctx, "tcp", address)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("metrics: another program listens on %s (ss -ltnp tells which): stop it, or name another port with --metrics", address)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return nil, fmt.Errorf("metrics: %s is no address of this machine: name one with --metrics", address)
	case err != nil:
		return nil, fmt.Errorf("metrics: %w", err)
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Server{o: o, listener: control.LimitPeers(l, maxPeers), turn: make(chan struct{}, 1)}, nil
}

// Address is where it listens.
func (s *Server) Address() string { return s.listener.Addr().String() }

// Run answers until ctx ends; scrapes under way then have a moment to finish. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	routes := http.NewServeMux()
	routes.HandleFunc("GET /metrics", s.scrape)
	routes.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "agentd's numbers for Prometheus are at /metrics")
	})
	server := &http.Server{
		Handler:           routes,
		ReadHeaderTimeout: requestTime, ReadTimeout: requestTime, WriteTimeout: answerTime, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.o.Log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(s.listener) }()
	select {
	case err := <-ended:
		return fmt.Errorf("answer on %s: %w", s.Address(), err)
	case <-ctx.Done():
	}
	grace, endGrace := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer endGrace()
	if err := server.Shutdown(grace); err != nil {
		_ = server.Close() // what is left is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("answer on %s: %w", s.Address(), err)
	}
	return nil
}

func (s *Server) scrape(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), statsTime)
	defer cancel()
	b, err := s.text(ctx)
	if err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(b) // a peer that has gone is told nothing
}

// text is the answer to a scrape.
func (s *Server) text(ctx context.Context) ([]byte, error) {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	st, err := s.o.Stats(ctx)
	if err != nil {
		return nil, fmt.Errorf("the daemon does not answer: %w", err)
	}
	var e encoder
	writeAgent(&e, s.o.Version, st)
	if s.o.Database != nil {
		if size, err := s.o.Database(); err == nil {
			e.single("palisade_store_size_bytes", gauge, "The size of the database's file.", float64(size))
		}
	}
	if s.o.Events != nil {
		writeEvents(&e, s.o.Events())
	}
	if s.o.Cut != nil {
		writeCut(&e, s.o.Cut())
	}
	if s.o.Reports != nil {
		writeReports(&e, s.o.Reports())
	}
	if s.o.Feeds != nil {
		writeFeeds(&e, s.o.Feeds(), time.Now())
	}
	writeProcess(&e)
	return e.b, nil
}
