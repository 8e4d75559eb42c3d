package serve_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/export"
	"github.com/palisade-agent/palisade/internal/export/serve"
	"github.com/palisade-agent/palisade/internal/firewall/cidr"
)

// rig is a Server with what it serves.
type rig struct {
	*serve.Server
	t *testing.T

	mu       sync.Mutex
	statuses []export.Status
}

func set(texts ...string) cidr.Ranges {
	var b cidr.Builder
	for _, t := range texts {
		b.Add(netip.MustParsePrefix(t))
	}
	return b.Ranges()
}

func someList(s cidr.Ranges, seq uint64) export.Status {
	return export.Status{
		Export: export.Export{Name: "e", Format: export.EDL, Options: export.Options{IPv4: true, IPv6: true}, Serve: true}, Set: s, Known: true, Seq: seq,
	}
}

func start(t *testing.T, s serve.Settings, statuses ...export.Status) (*rig, string) {
	t.Helper()
	r := &rig{t: t, statuses: statuses}
	r.Server = serve.New(serve.Options{
		Exports: func() []export.Status {
			r.mu.Lock()
			defer r.mu.Unlock()
			return append([]export.Status(nil), r.statuses...)
		},
		Mounted: map[string]http.Handler{"/taxii2/": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "mounted") })},
	})
	if s.Listen == "" {
		s.Listen = "127.0.0.1:0"
	}
	r.Set(s)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return r, r.where()
}

func (r *rig) where() string {
	r.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if where, _, _ := r.Status(); where != "" {
			return where
		}
	}
	_, _, err := r.Status()
	r.t.Fatalf("it does not listen: %v", err)
	return ""
}

func (r *rig) change(s ...export.Status) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.statuses = s
}

// ask asks with headers in pairs, and gives the status, the body and the answer's headers.
func ask(t *testing.T, method, url string, pairs ...string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i] == "basic" {
			user, password, _ := strings.Cut(pairs[i+1], ":")
			req.SetBasicAuth(user, password)
			continue
		}
		req.Header.Set(pairs[i], pairs[i+1])
	}
	transport := &http.Transport{DisableCompression: true, DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} //nolint:gosec // it is our own
	resp, err := transport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body := io.Reader(resp.Body)
	if resp.Header.Get("Content-Encoding") == "gzip" {
		if body, err = gzip.NewReader(body); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b), resp.Header
}

func secret(s string) func() (string, error) { return func() (string, error) { return s, nil } }

func TestAListIsServedByFamilyAndPage(t *testing.T) {
	x := someList(set("8.8.8.8/32", "9.9.9.0/24", "2606:4700::/32"), 1)
	bounded := x
	bounded.Export.Name, bounded.Export.Most = "b", 2
	hidden := x
	hidden.Export.Name, hidden.Export.Serve = "h", false
	unknown := x
	unknown.Export.Name, unknown.Known = "u", false
	_, at := start(t, serve.Settings{}, x, bounded, hidden, unknown)
	for _, c := range []struct {
		path   string
		status int
		want   string
	}{
		{"/e.txt", 200, "8.8.8.8\n9.9.9.0/24\n2606:4700::/32\n"},
		{"/e.v4.txt", 200, "8.8.8.8\n9.9.9.0/24\n"},
		{"/e.v6.txt", 200, "2606:4700::/32\n"},
		{"/e.txt?page=2", 200, ""},
		{"/b.txt", 200, "8.8.8.8\n9.9.9.0/24\n"},
		{"/b.txt?page=2", 200, "2606:4700::/32\n"},
		{"/b.txt?page=3", 200, ""},
		{"/", 200, "/e.txt\n/b.txt\n/u.txt\n"},
		{"/h.txt", 404, ""},
		{"/x.txt", 404, ""},
		{"/e", 404, ""},
		{"/../etc/passwd", 404, ""},
		{"/a/e.txt", 404, ""},
		{"/u.txt", 503, ""},
		{"/e.txt?page=0", 400, ""},
		{"/e.txt?page=-1", 400, ""},
		{"/e.txt?page=x", 400, ""},
		{"/e.txt?page=99999999999999999999", 400, ""},
		{"/taxii2/", 200, "mounted"},
	} {
		status, body, h := ask(t, "GET", at+c.path)
		if status != c.status || status == 200 && body != c.want || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %d %q %v", c.path, status, body, h)
		}
		if c.status == 503 && h.Get("Retry-After") == "" {
			t.Errorf("%s does not say when to ask again", c.path)
		}
	}
	if _, _, h := ask(t, "GET", at+"/b.txt"); h.Get("Link") != `</b.txt?page=2>; rel="next"` {
		t.Errorf("the next page is not named: %v", h)
	}
	if status, body, h := ask(t, "HEAD", at+"/e.txt"); status != 200 || body != "" || h.Get("Content-Length") != "34" {
		t.Errorf("HEAD: %d %q %v", status, body, h)
	}
	if status, _, h := ask(t, "POST", at+"/e.txt"); status != 405 || h.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %d %v", status, h)
	}
}

func TestWhatIsAsItWasIsNotSentAgain(t *testing.T) {
	r, at := start(t, serve.Settings{}, someList(set("8.8.8.8/32"), 1))
	_, _, h := ask(t, "GET", at+"/e.txt")
	tag := h.Get("ETag")
	for header, want := range map[string]int{tag: 304, "W/" + tag: 304, `"x", ` + tag: 304, "*": 304, `"x"`: 200} {
		if status, _, _ := ask(t, "GET", at+"/e.txt", "If-None-Match", header); status != want {
			t.Errorf("%s: %d", header, status)
		}
	}
	r.change(someList(set("9.9.9.9/32"), 2))
	if status, body, _ := ask(t, "GET", at+"/e.txt", "If-None-Match", tag); status != 200 || body != "9.9.9.9\n" {
		t.Errorf("after a change: %d %q", status, body)
	}
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("9.%d.%d.1/32", i/250, i%250))
	}
	r.change(someList(set(many...), 3))
	if _, body, h := ask(t, "GET", at+"/e.txt", "Accept-Encoding", "gzip"); h.Get("Content-Encoding") != "gzip" || strings.Count(body, "\n") != 2000 {
		t.Errorf("packed: %v, %d lines", h, strings.Count(body, "\n"))
	}
	_, fetches, _ := r.Status()
	if f := fetches["e"]; f.Count != 8 || f.Peer.String() != "127.0.0.1" {
		t.Errorf("%+v", f)
	}
}

func TestOnlyWhoKnowsTheTokenIsServed(t *testing.T) {
	_, at := start(t, serve.Settings{Token: secret("right"), User: "u", Password: secret("word")}, someList(set("8.8.8.8/32"), 1))
	for _, c := range []struct {
		pairs []string
		want  int
	}{
		{nil, 401},
		{[]string{"Authorization", "Bearer right"}, 200},
		{[]string{"X-Api-Key", "right"}, 200},
		{[]string{"basic", "anybody:right"}, 200},
		{[]string{"basic", "u:word"}, 200},
		{[]string{"Authorization", "Bearer wrong"}, 401},
		{[]string{"Authorization", "Bearer "}, 401},
		{[]string{"X-Api-Key", ""}, 401},
		{[]string{"basic", "v:word"}, 401},
		{[]string{"basic", "u:"}, 401},
		{[]string{"basic", ":"}, 401},
		{[]string{"Authorization", "Basic !!!"}, 401},
	} {
		if status, body, h := ask(t, "GET", at+"/e.txt", c.pairs...); status != c.want || status == 401 && (strings.Contains(body, "8.8.8.8") || h.Get("WWW-Authenticate") == "") {
			t.Errorf("%q: %d %q", c.pairs, status, body)
		}
	}
	if status, _, _ := ask(t, "GET", at+"/taxii2/"); status != 401 {
		t.Errorf("what is mounted is for everybody: %d", status)
	}
	_, at = start(t, serve.Settings{Token: func() (string, error) { return "", errors.New("no such file") }}, someList(set("8.8.8.8/32"), 1))
	if status, body, _ := ask(t, "GET", at+"/e.txt", "Authorization", "Bearer "); status != 503 || strings.Contains(body, "no such file") {
		t.Errorf("without a token of its own: %d %q", status, body)
	}
	_, at = start(t, serve.Settings{Allow: set("192.0.2.0/24")}, someList(set("8.8.8.8/32"), 1))
	if status, _, _ := ask(t, "GET", at+"/e.txt"); status != 403 {
		t.Errorf("from an address that may not ask: %d", status)
	}
}

func TestHostilePeersAreBounded(t *testing.T) {
	_, at := start(t, serve.Settings{}, someList(set("8.8.8.8/32"), 1))
	address := strings.TrimPrefix(at, "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /e.txt HTTP/1.1\r\nHost: x\r\nX-Long: %s\r\n\r\n", strings.Repeat("x", 1<<20))
	if line, _ := bufio.NewReader(conn).ReadString('\n'); line != "" && !strings.Contains(line, "431") {
		t.Errorf("a header of a megabyte: %q", line)
	}
	slow, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprint(slow, "GET /e.txt HTTP/1.1\r\n")
	if _, err := io.ReadAll(slow); err != nil { // it is cut off, in its time
		t.Logf("the slow peer was cut off: %v", err)
	}
	limited := false
	for range 200 {
		if status, _, h := ask(t, "GET", at+"/e.txt"); status == http.StatusTooManyRequests && h.Get("Retry-After") != "" {
			limited = true
			break
		}
	}
	if !limited {
		t.Error("a peer may ask as often as it likes")
	}
}

// certificateOf writes a certificate with a name and its key.
func certificateOf(t *testing.T, dir, name string) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), DNSNames: []string{name}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for path, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestSettingsChangeWhileItRuns(t *testing.T) {
	cert, key := certificateOf(t, t.TempDir(), "one")
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	free.Close()
	r, at := start(t, serve.Settings{Listen: free.Addr().String()}, someList(set("8.8.8.8/32"), 1))
	if status, _, _ := ask(t, "GET", at+"/e.txt"); status != 200 {
		t.Errorf("%d", status)
	}
	host := strings.TrimPrefix(at, "http://")
	r.Set(serve.Settings{Listen: host, Token: secret("right")})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if status, _, _ := ask(t, "GET", at+"/e.txt"); status == 401 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the token does not count")
		}
	}
	r.Set(serve.Settings{Listen: host, Cert: cert, Key: key})
	for end := time.Now().Add(30 * time.Second); !strings.HasPrefix(r.where(), "https://"); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it does not speak TLS")
		}
	}
	if status, body, _ := ask(t, "GET", r.where()+"/e.txt"); status != 200 || body != "8.8.8.8\n" {
		t.Errorf("%d %q", status, body)
	}
	if _, err := tls.Dial("tcp", host, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}); err == nil { //nolint:gosec // on purpose
		t.Error("it speaks an old TLS")
	}
	r.Set(serve.Settings{Listen: host, Cert: cert + "x", Key: key})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, _, err := r.Status(); err != nil && strings.Contains(err.Error(), "no such file") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("a certificate that is not there is not told")
		}
	}
	r.Set(serve.Settings{})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if where, _, err := r.Status(); where == "" && err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it goes on")
		}
	}
}

func TestAnAddressThatIsTakenIsToldAndTriedAgain(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := serve.New(serve.Options{Exports: func() []export.Status { return nil }})
	r.Set(serve.Settings{Listen: l.Addr().String()})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if _, _, err := r.Status(); err != nil && strings.Contains(err.Error(), "address already in use") {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not told")
		}
	}
	l.Close()
	r.Set(serve.Settings{Listen: l.Addr().String()})
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		if where, _, err := r.Status(); where != "" && err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it is not tried again")
		}
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// FuzzRequest: whatever a peer asks for, it gets an answer that is one of those there are.
func FuzzRequest(f *testing.F) {
	s := serve.New(serve.Options{Exports: func() []export.Status { return []export.Status{someList(set("8.8.8.8/32"), 1)} }})
	f.Add("/e.txt", "page=1", "Bearer x")
	f.Add("/e.v6.txt", "page=9999", `Basic Og==`)
	f.Fuzz(func(t *testing.T, path, query, auth string) {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.URL.Path, req.URL.RawQuery, req.RemoteAddr = path, query, fmt.Sprintf("10.0.%d.1:1", len(path)%250)
		req.Header.Set("Authorization", auth)
		w := &recorder{header: http.Header{}}
		s.ServeHTTP(w, req)
		switch w.status {
		case 0, 200, 400, 404, 429:
		default:
			t.Errorf("%q?%q: %d", path, query, w.status)
		}
	})
}

type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
