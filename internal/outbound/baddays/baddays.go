// Package baddays is an HTTPS server for tests, with the worst days that a publisher or a service can have.
package baddays

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// Asked is a request that came.
type Asked struct {
	Method, Path, Query string
	Header              http.Header
	Body                string
}

// Server answers with what tests tell it to. Its Handler is by path; what has none is 404.
type Server struct {
	URL string // without a slash at its end
	CA  string // a file with the certificate to trust

	mux  *http.ServeMux
	done chan struct{}

	mu    sync.Mutex // guards asked
	asked []Asked
}

// New starts a server that runs until the test ends.
func New(tb testing.TB) *Server {
	tb.Helper()
	s := &Server{mux: http.NewServeMux(), done: make(chan struct{})}
	server := httptest.NewUnstartedServer(http.HandlerFunc(s.serve))
	server.EnableHTTP2 = false
	server.StartTLS()
	s.URL = server.URL
	s.CA = filepath.Join(tb.TempDir(), "ca.pem")
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(s.CA, cert, 0o600); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		close(s.done)
		server.CloseClientConnections()
		server.Close()
	})
	return s
}

// Handle answers at a path, or a pattern of http.ServeMux.
func (s *Server) Handle(pattern string, h http.HandlerFunc) { s.mux.HandleFunc(pattern, h) }

// Asked are the requests that came, in their order.
func (s *Server) Asked() []Asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Asked(nil), s.asked...)
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(io.LimitReader(r.Body, 8<<20))
	r.Body = io.NopCloser(bytes.NewReader(body))
	s.mu.Lock()
	s.asked = append(s.asked, Asked{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), string(body)})
	s.mu.Unlock()
	s.mux.ServeHTTP(w, r)
}

// Text answers with a text, its type and, if there are any, further headers: "Name: value".
func Text(body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		set(w, headers)
		_, _ = io.WriteString(w, body)
	}
}

// Status answers with a status and a body.
func Status(code int, body string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		set(w, headers)
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

func set(w http.ResponseWriter, headers []string) {
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ":")
		w.Header().Set(name, strings.TrimSpace(value))
	}
}

// Redirect sends elsewhere.
func Redirect(to string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
}

// SlowLoris sends a byte now and then, for ever.
func (s *Server) SlowLoris(every time.Duration) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for s.pause(r, every) {
			_, _ = io.WriteString(w, "1")
			w.(http.Flusher).Flush()
		}
	}
}

// Silent takes the request and says nothing.
func (s *Server) Silent() http.HandlerFunc {
	return func(_ http.ResponseWriter, r *http.Request) { s.pause(r, time.Hour) }
}

func (s *Server) pause(r *http.Request, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-r.Context().Done():
	case <-s.done:
	}
	return false
}

// Endless sends lines until nobody takes them: far more than two gigabytes, if one lets it.
func Endless(line string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		block := []byte(strings.Repeat(line+"\n", 1+(64<<10)/len(line)))
		for r.Context().Err() == nil {
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
}

// Bomb answers with little that unpacks to many bytes.
func Bomb(size int64) http.HandlerFunc {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.Copy(z, io.LimitReader(zeros{}, size))
	_ = z.Close()
	return packed(b.Bytes())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '\n'
	}
	return len(p), nil
}

// Packed answers with a text in gzip.
func Packed(body string) http.HandlerFunc { return packed(zip(body)) }

// TruncatedGzip answers with the first half of one.
func TruncatedGzip(body string) http.HandlerFunc {
	b := zip(body)
	return packed(b[:len(b)/2])
}

func zip(body string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.WriteString(z, body)
	_ = z.Close()
	return b.Bytes()
}

func packed(b []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(b)
	}
}

// Short promises more bytes than it sends.
func Short(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)+100))
		_, _ = io.WriteString(w, body)
	}
}

// Reset breaks the connection off.
func Reset() http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		if t, ok := c.(interface{ NetConn() net.Conn }); ok {
			if tcp, ok := t.NetConn().(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
		}
		_ = c.Close()
	}
}

// In answers one after the other; the last goes on for ever.
func In(handlers ...http.HandlerFunc) http.HandlerFunc {
	var mu sync.Mutex
	n := 0
	return func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		h := handlers[min(n, len(handlers)-1)]
		n++
		mu.Unlock()
		h(w, r)
	}
}
