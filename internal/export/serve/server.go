package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
	"github.com/palisade-agent/palisade/internal/export"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// The bounds of the server.
const (
	maxPeers      = 128
	maxHeader     = 16 << 10
	headerTimeout = 5 * time.Second
	answerTimeout = 2 * time.Minute // a list of a million is 15 MB
	idleTimeout   = time.Minute
	shutdownGrace = 3 * time.Second
	// relisten is the wait before an address that could not be had is tried again.
	relisten = 5 * time.Second
	// certEvery is how often the files of a certificate are looked at.
	certEvery = 10 * time.Second
)

// Settings say where and to whom lists are served.
type Settings struct {
	Listen    string // HOST:PORT; empty serves nobody
	Cert, Key string // files in PEM; empty is without TLS
	// Token and Password give what a peer must know; nil: it need not. They are asked for each request, so that
	// an exchanged one counts at once.
	Token    func() (string, error)
	User     string
	Password func() (string, error)
	Allow    cidr.Ranges // who may ask; empty: everybody
}

// Options are what a Server needs.
type Options struct {
	Exports func() []export.Status
	// Mounted answer below their paths, which end with a slash, once a peer has shown that it may ask.
	Mounted map[string]http.Handler
	Log     *slog.Logger // nil logs nothing
	Now     func() time.Time
}

// Server serves lists. Make one with New; it works while Run does. Its methods are safe for concurrent use.
type Server struct {
	o       Options
	log     *slog.Logger
	now     func() time.Time
	lists   lists
	rates   rates
	changed chan struct{} // has a value when the settings have changed

	mu       sync.Mutex // guards the fields below
	settings Settings
	where    string // the server listens; empty: it does not
	err      error  // why it does not
	fetches  map[string]Fetch
}

// Fetch is the last time that a list was asked for.
type Fetch struct {
	At    time.Time
	Peer  netip.Addr
	Count uint64
}

// New makes a Server that serves nobody; see Set.
func New(o Options) *Server {
	s := &Server{o: o, log: o.Log, now: o.Now, changed: make(chan struct{}, 1), fetches: map[string]Fetch{}}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// Set says where and to whom lists are served from now on. Peers that are being served are, unless the address
// changes.
func (s *Server) Set(settings Settings) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settings = settings
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Status tells where the server listens, why not, and which list was asked for when.
func (s *Server) Status() (where string, fetches map[string]Fetch, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.where, maps.Clone(s.fetches), s.err
}

func (s *Server) current() Settings {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.settings
}

// Run serves until ctx ends, and returns nil. An address that cannot be had is tried again.
func (s *Server) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		set := s.current()
		if set.Listen == "" {
			s.told("", nil)
			s.wait(ctx, nil)
			continue
		}
		if err := s.serve(ctx, set); err != nil {
			s.told("", err)
			retry := time.NewTimer(relisten)
			s.wait(ctx, retry.C)
			retry.Stop()
		}
	}
	return nil
}

func (s *Server) wait(ctx context.Context, retry <-chan time.Time) {
	select {
	case <-ctx.Done():
	case <-s.changed:
	case <-retry:
	}
}

// told notes how the server stands.
func (s *Server) told(where string, err error) {
	s.mu.Lock()
	was, wasErr := s.where, s.err
	s.where, s.err = where, err
	s.mu.Unlock()
	switch {
	case err != nil && (wasErr == nil || wasErr.Error() != err.Error()):
		s.log.Error("lists are not served; it is tried again", "err", err)
	case err == nil && where != "" && where != was:
		s.log.Info("lists are served", "addr", where)
	}
}

// serve serves at an address until ctx ends, or the address or TLS changes.
func (s *Server) serve(ctx context.Context, set Settings) error {
	certs := &certificate{cert: set.Cert, key: set.Key, now: s.now}
	if set.Cert != "" {
		if _, err := certs.get(nil); err != nil {
			return err
		}
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", set.Listen)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	scheme := "http"
	l = control.LimitPeers(l, maxPeers)
	if set.Cert != "" {
		scheme = "https"
		l = tls.NewListener(l, &tls.Config{GetCertificate: certs.get, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}})
	}
	server := &http.Server{
		Handler: s, ReadHeaderTimeout: headerTimeout, ReadTimeout: headerTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	s.told(scheme+"://"+l.Addr().String(), nil)
	for {
		select {
		case err := <-ended:
			return fmt.Errorf("serve lists: %w", err)
		case <-s.changed:
			if now := s.current(); now.Listen == set.Listen && now.Cert == set.Cert && now.Key == set.Key {
				continue
			}
		case <-ctx.Done():
		}
		break
	}
	s.told("", nil)
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownGrace)
	defer cancel()
	if server.Shutdown(grace) != nil {
		_ = server.Close() // what is left is cut off
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve lists: %w", err)
	}
	return nil
}

// certificate is read anew when its files change.
type certificate struct {
	cert, key string
	now       func() time.Time

	mu     sync.Mutex // guards the fields below
	have   *tls.Certificate
	stamp  time.Time // of the newer file
	looked time.Time
}

// get gives the certificate as it is now; one that cannot be read leaves the last good one in place.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.have != nil && c.now().Sub(c.looked) < certEvery {
		return c.have, nil
	}
	c.looked = c.now()
	var newest time.Time
	for _, path := range []string{c.cert, c.key} {
		st, err := os.Stat(path)
		if err != nil {
			return c.last(err)
		}
		if st.ModTime().After(newest) {
			newest = st.ModTime()
		}
	}
	if c.have != nil && newest.Equal(c.stamp) {
		return c.have, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return c.last(err)
	}
	c.have, c.stamp = &pair, newest
	return c.have, nil
}

func (c *certificate) last(err error) (*tls.Certificate, error) {
	if c.have != nil {
		return c.have, nil
	}
	return nil, fmt.Errorf("read the certificate: %w", err)
}
