package outbound

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	defaultLimit   = 1 << 20
	defaultTimeout = time.Minute
	defaultIdle    = 30 * time.Second
	errorBody      = 64 << 10 // what is kept of an answer that is no success
	maxHeader      = 64 << 10
	maxRedirects   = 5
	maxCA          = 4 << 20
	dialTimeout    = 15 * time.Second
	idleConns      = 16
)

var (
	// ErrTooLarge says that an answer has more bytes than it may.
	ErrTooLarge = errors.New("the answer is too large")
	// ErrSlow says that an answer did not go on.
	ErrSlow = errors.New("the answer does not go on")
	// ErrRedirect says that an answer sends the request where it must not go.
	ErrRedirect = errors.New("the answer leads elsewhere")
)

// Options are the settings of a Client; the zero value is ready to use.
type Options struct {
	UserAgent string        // name, version and address, as RFC 9110 wants it; empty is "palisade"
	Proxy     string        // URL of a proxy; empty is that of the environment
	CAFile    string        // PEM certificates that are trusted besides the system's
	Timeout   time.Duration // of requests that say no other; 0 is a minute
}

// Client asks. It is safe for concurrent use and keeps no state but connections that can be used again.
type Client struct {
	agent   string
	timeout time.Duration
	// public is for what a public machine has sent elsewhere: it does not reach into private networks.
	direct, public *http.Transport
}

// New makes a Client. The error says what is wrong with the proxy or the certificates.
func New(o Options) (*Client, error) {
	c := &Client{agent: o.UserAgent, timeout: o.Timeout}
	if c.agent == "" {
		c.agent = "palisade"
	}
	if c.timeout == 0 {
		c.timeout = defaultTimeout
	}
	proxy := http.ProxyFromEnvironment
	if o.Proxy != "" {
		u, err := url.Parse(o.Proxy)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("the proxy %q is no URL: write http://HOST:PORT", o.Proxy)
		}
		proxy = http.ProxyURL(u)
	}
	var roots *x509.CertPool
	if o.CAFile != "" {
		var err error
		if roots, err = readRoots(o.CAFile); err != nil {
			return nil, err
		}
	}
	transport := func(control func(string, string, syscall.RawConn) error) *http.Transport {
		d := net.Dialer{Timeout: dialTimeout, Control: control}
		return &http.Transport{
			Proxy: proxy, DialContext: d.DialContext, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
			MaxIdleConns: idleConns, MaxIdleConnsPerHost: 1, IdleConnTimeout: defaultIdle,
		}
	}
	c.direct, c.public = transport(nil), transport(onlyPublic)
	return c, nil
}

// Close gives up connections that wait for another request.
func (c *Client) Close() {
	c.direct.CloseIdleConnections()
	c.public.CloseIdleConnections()
}

func readRoots(path string) (*x509.CertPool, error) {
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	defer f.Close()
	pem, err := io.ReadAll(io.LimitReader(f, maxCA))
	if err != nil {
		return nil, fmt.Errorf("read certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate: it must be PEM, with BEGIN CERTIFICATE", path)
	}
	return roots, nil
}

// onlyPublic refuses connections into private networks.
func onlyPublic(_, address string, _ syscall.RawConn) error {
	if a, err := netip.ParseAddrPort(address); err != nil || !isPublic(a.Addr()) {
		return fmt.Errorf("%w: from a public machine to %s, which is not public", ErrRedirect, address)
	}
	return nil
}

func isPublic(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsGlobalUnicast() && !a.IsPrivate()
}

// Key is what a service knows us by. It is never shown.
type Key struct {
	header, value string
}

// HeaderKey is a key that is sent as the value of a header.
func HeaderKey(header, value string) Key { return Key{header, value} }

// BasicKey is a user with a password.
func BasicKey(user, password string) Key {
	return Key{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
}

// String shows no key.
func (k Key) String() string {
	if k.header == "" {
		return "(none)"
	}
	return "(a key)"
}

// GoString implements fmt.GoStringer.
func (k Key) GoString() string { return "outbound.Key" + k.String() }

// Request is what is asked.
type Request struct {
	Method string // empty is GET
	URL    string
	Header http.Header
	Key    Key
	Body   []byte
	// Limit bounds the bytes of the answer, once it is unpacked; 0 is 1 MiB.
	Limit int64
	// Timeout bounds the whole request, the reading of the answer too; 0 is the Client's.
	Timeout time.Duration
	// Idle bounds the time without a byte of the answer; 0 is 30 s.
	Idle time.Duration
}

// Response is an answer, whatever it says.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
}

// OK reports whether it is a success.
func (r *Response) OK() bool { return r.Status >= 200 && r.Status < 300 }

// Stream is an answer whose body is read as it comes. Its reader gives ErrTooLarge beyond the limit.
type Stream struct {
	Status int
	Header http.Header
	Body   io.Reader
	close  func()
}

// Close ends it.
func (s *Stream) Close() { s.close() }

// OK reports whether it is a success.
func (s *Stream) OK() bool { return s.Status >= 200 && s.Status < 300 }

// Error is why there is no answer. It names method and address, without query, and no key.
type Error struct {
	Method, Where string
	Sent          bool // the other side may have got the request
	Err           error
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s %s: %v", e.Method, e.Where, e.Err) }

// Unwrap implements errors.Unwrap.
func (e *Error) Unwrap() error { return e.Err }

// Do asks and reads the answer. Any status is an answer; the body of one that is no success is cut at 64 KiB. An
// error is an *Error.
func (c *Client) Do(ctx context.Context, r Request) (*Response, error) {
	s, err := c.Open(ctx, r)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	body := s.Body
	if !s.OK() {
		body = io.LimitReader(body, errorBody)
	}
	b, err := io.ReadAll(body)
	if err != nil && s.OK() {
		return nil, &Error{r.method(), where(r.URL), true, err}
	}
	return &Response{s.Status, s.Header, b}, nil
}

// Open asks and leaves the answer's body to be read. GET and HEAD follow redirects, the key only to the same
// host. An error is an *Error.
func (c *Client) Open(ctx context.Context, r Request) (*Stream, error) {
	timeout, idle := r.Timeout, r.Idle
	if timeout == 0 {
		timeout = c.timeout
	}
	if idle == 0 {
		idle = defaultIdle
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("%w: %s are over", ErrSlow, timeout))
	ctx, cancelCause := context.WithCancelCause(ctx)
	watch := time.AfterFunc(idle, func() { cancelCause(fmt.Errorf("%w: nothing for %s", ErrSlow, idle)) })
	end := func() { watch.Stop(); cancelCause(nil); cancel() }

	begin, err := url.Parse(r.URL)
	if err != nil {
		end()
		return nil, &Error{r.method(), where(r.URL), false, errors.New("this is no URL")}
	}
	t := trip{client: c, request: r, first: begin, transport: c.direct}
	resp, err := t.follow(ctx) //nolint:bodyclose // Stream.Close does it
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		end()
		return nil, &Error{r.method(), where(r.URL), t.sent.Load(), plain(err)}
	}
	limit := r.Limit
	if limit == 0 {
		limit = defaultLimit
	}
	var body io.Reader = &watched{resp.Body, watch, idle, ctx}
	switch enc := strings.ToLower(resp.Header.Get("Content-Encoding")); enc {
	case "", "identity":
	case "gzip", "x-gzip":
		body = &unpacked{from: body}
	default:
		end()
		_ = resp.Body.Close()
		return nil, &Error{r.method(), where(r.URL), true, fmt.Errorf("the answer is packed as %.20q, which was not asked for", enc)}
	}
	s := &Stream{Status: resp.StatusCode, Header: resp.Header, Body: &bounded{body, limit}}
	s.close = func() { end(); _ = resp.Body.Close() }
	return s, nil
}

func (r Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

// trip is one request with all the places that it is sent to.
type trip struct {
	client    *Client
	request   Request
	first     *url.URL
	transport *http.Transport
	sent      atomic.Bool
}

func (t *trip) follow(ctx context.Context) (*http.Response, error) {
	at := t.first
	for hop := 0; ; hop++ {
		resp, err := t.ask(ctx, at, hop)
		if err != nil {
			return nil, err
		}
		switch resp.StatusCode {
		case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		default:
			return resp, nil
		}
		if m := t.request.method(); m != http.MethodGet && m != http.MethodHead {
			return resp, nil // what is sent is sent to one place
		}
		_ = resp.Body.Close()
		to, err := resp.Location()
		switch {
		case err != nil:
			return nil, fmt.Errorf("%w: it does not say where", ErrRedirect)
		case hop == maxRedirects:
			return nil, fmt.Errorf("%w: more than %d times", ErrRedirect, maxRedirects)
		case to.Scheme != "https" && (to.Scheme != "http" || at.Scheme == "https"):
			return nil, fmt.Errorf("%w: from %s to %s", ErrRedirect, at.Scheme, where(to.String()))
		}
		at = to
	}
}

func (t *trip) ask(ctx context.Context, at *url.URL, hop int) (*http.Response, error) {
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(i httptrace.GotConnInfo) {
			if a, err := netip.ParseAddrPort(i.Conn.RemoteAddr().String()); hop == 0 && err == nil && isPublic(a.Addr()) {
				t.transport = t.client.public
			}
		},
		WroteHeaders: func() { t.sent.Store(true) },
	})
	transport := t.transport
	req, err := http.NewRequestWithContext(ctx, t.request.method(), at.String(), bytes.NewReader(t.request.Body))
	if err != nil {
		return nil, err
	}
	if t.request.Header != nil {
		req.Header = t.request.Header.Clone()
	}
	req.Header.Set("User-Agent", t.client.agent)
	req.Header.Set("Accept-Encoding", "gzip")
	if k := t.request.Key; k.header != "" && at.Scheme == t.first.Scheme && at.Host == t.first.Host {
		req.Header.Set(k.header, k.value)
	}
	return transport.RoundTrip(req)
}
