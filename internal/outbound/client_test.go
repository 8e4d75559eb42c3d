package outbound_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/outbound"
	"github.com/palisade-agent/palisade/internal/outbound/baddays"
)

const theKey = "a-key-that-nobody-sees"

func client(t *testing.T, s *baddays.Server) *outbound.Client {
	t.Helper()
	c, err := outbound.New(outbound.Options{UserAgent: "palisade-test/1", CAFile: s.CA})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnAnswerArrivesWithKeyAgentAndBody(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/plain", baddays.Text("hello"))
	s.Handle("/packed", baddays.Packed("hello"))
	c := client(t, s)
	for _, path := range []string{"/plain", "/packed"} {
		r, err := c.Do(t.Context(), outbound.Request{URL: s.URL + path + "?x=1", Key: outbound.HeaderKey("X-API-Key", theKey)})
		if err != nil || string(r.Body) != "hello" || !r.OK() {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
	if _, err := c.Do(t.Context(), outbound.Request{Method: "POST", URL: s.URL + "/plain", Key: outbound.BasicKey("u", "p"), Body: []byte("text"), Header: http.Header{"Content-Type": {"text/x"}}}); err != nil {
		t.Error(err)
	}
	asked := s.Asked()
	if h := asked[0].Header; h.Get("X-Api-Key") != theKey || h.Get("User-Agent") != "palisade-test/1" || asked[0].Query != "x=1" {
		t.Errorf("asked: %+v", asked[0])
	}
	if a := asked[2]; a.Body != "text" || a.Header.Get("Authorization") != "Basic dTpw" || a.Header.Get("Content-Type") != "text/x" || a.Method != "POST" {
		t.Errorf("asked: %+v", a)
	}
}

func TestAKeyDoesNotFollowToAnotherHost(t *testing.T) {
	here, there := baddays.New(t), baddays.New(t)
	both := filepath.Join(t.TempDir(), "both.pem")
	for _, s := range []*baddays.Server{here, there} {
		b, err := os.ReadFile(s.CA)
		f, err2 := os.OpenFile(both, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err := errors.Join(err, err2); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(b); err != nil {
			t.Fatal(err)
		}
		f.Close()
	}
	c, err := outbound.New(outbound.Options{CAFile: both})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	here.Handle("/away", baddays.Redirect(there.URL+"/list"))
	here.Handle("/near", baddays.Redirect("/list"))
	here.Handle("/list", baddays.Text("here"))
	there.Handle("/list", baddays.Text("there"))
	there.Handle("/back", baddays.Redirect(here.URL+"/list"))
	here.Handle("/tour", baddays.Redirect(there.URL+"/back"))
	for path, want := range map[string]string{"/away": "there", "/near": "here", "/tour": "here"} {
		r, err := c.Do(t.Context(), outbound.Request{URL: here.URL + path, Key: outbound.HeaderKey("X-API-Key", theKey)})
		if err != nil || string(r.Body) != want {
			t.Errorf("%s: %+v, %v", path, r, err)
		}
	}
	for _, a := range there.Asked() {
		if strings.Contains(fmt.Sprint(a), theKey) {
			t.Errorf("the key went to another host: %+v", a)
		}
	}
	for _, a := range here.Asked() {
		if a.Header.Get("X-Api-Key") != theKey {
			t.Errorf("its own host did not get the key: %+v", a)
		}
	}
}

func TestWhatIsSentIsNotSentElsewhere(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/report", baddays.Redirect("/other"))
	s.Handle("/other", baddays.Text("taken"))
	r, err := client(t, s).Do(t.Context(), outbound.Request{Method: "POST", URL: s.URL + "/report", Body: []byte("x")})
	if err != nil || r.Status != http.StatusFound || len(s.Asked()) != 1 {
		t.Errorf("%+v, %v, %d requests", r, err, len(s.Asked()))
	}
}

func TestBadAnswersAreBoundedAndNamed(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/endless", baddays.Endless("192.0.2.1"))
	s.Handle("/bomb", baddays.Bomb(64<<20))
	s.Handle("/half", baddays.TruncatedGzip(strings.Repeat("192.0.2.1\n192.0.2.77\n", 1000)))
	s.Handle("/short", baddays.Short("192.0.2.1"))
	s.Handle("/reset", baddays.Reset())
	s.Handle("/silent", s.Silent())
	s.Handle("/loris", s.SlowLoris(time.Millisecond))
	s.Handle("/brotli", baddays.Text("x", "Content-Encoding: br"))
	s.Handle("/loop", baddays.Redirect("/loop"))
	s.Handle("/down", baddays.Redirect("http://127.0.0.1:1/list"))
	s.Handle("/file", baddays.Redirect("file:///etc/passwd"))
	s.Handle("/headers", baddays.Text("x", "X-Long: "+strings.Repeat("x", 1<<20)))
	c := client(t, s)
	for path, want := range map[string]struct {
		is   error
		says string
	}{
		"/endless": {outbound.ErrTooLarge, ""},
		"/bomb":    {outbound.ErrTooLarge, ""},
		"/half":    {io.ErrUnexpectedEOF, ""},
		"/short":   {io.ErrUnexpectedEOF, ""},
		"/reset":   {nil, ""},
		"/silent":  {outbound.ErrSlow, "nothing for 200ms"},
		"/loris":   {outbound.ErrSlow, "2s are over"},
		"/brotli":  {nil, `packed as "br"`},
		"/loop":    {outbound.ErrRedirect, "more than 5 times"},
		"/down":    {outbound.ErrRedirect, "from https to http://127.0.0.1:1/list"},
		"/file":    {outbound.ErrRedirect, "from https to file:///etc/passwd"},
		"/headers": {nil, "headers"},
	} {
		t.Run(path[1:], func(t *testing.T) {
			t.Parallel()
			_, err := c.Do(t.Context(), outbound.Request{
				URL: s.URL + path + "?key=in-the-query", Key: outbound.HeaderKey("X-API-Key", theKey), Timeout: 2 * time.Second, Idle: 200 * time.Millisecond,
			})
			var e *outbound.Error
			if !errors.As(err, &e) || want.is != nil && !errors.Is(err, want.is) || !strings.Contains(err.Error(), want.says) {
				t.Fatalf("%v", err)
			}
			if strings.Contains(err.Error(), theKey) || strings.Contains(err.Error(), "in-the-query") || !strings.HasPrefix(err.Error(), "GET https://127.0.0.1:") {
				t.Errorf("the error says too much or too little: %v", err)
			}
		})
	}
}

func TestAStatusIsAnAnswerAndItsBodyIsCut(t *testing.T) {
	s := baddays.New(t)
	s.Handle("/full", baddays.Status(429, strings.Repeat("x", 1<<20), "Retry-After: 7"))
	r, err := client(t, s).Do(t.Context(), outbound.Request{URL: s.URL + "/full"})
	if err != nil || r.Status != 429 || r.OK() || len(r.Body) > 64<<10 {
		t.Fatalf("%v, %d bytes", err, len(r.Body))
	}
	if d, ok := outbound.RetryAfter(r.Header, time.Now()); !ok || d != 7*time.Second {
		t.Errorf("wait %v, %v", d, ok)
	}
}

func TestAnUnknownCertificateIsRefusedWithTheNextStep(t *testing.T) {
	s := baddays.New(t)
	c, err := outbound.New(outbound.Options{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Do(t.Context(), outbound.Request{URL: s.URL + "/list"})
	if _, unknown := errors.AsType[x509.UnknownAuthorityError](err); !unknown || !strings.Contains(err.Error(), "name its certificate at ca in [http]") || len(s.Asked()) != 0 {
		t.Errorf("%v", err)
	}
	var e *outbound.Error
	if !errors.As(err, &e) || e.Sent {
		t.Errorf("it counts as sent: %+v", e)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(none, []byte("nothing"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]outbound.Options{
		"write http://HOST:PORT":   {Proxy: "proxy.example:3128"},
		"no such file":             {CAFile: none + "x"},
		"must be PEM":              {CAFile: none},
		"is no URL: write http://": {Proxy: "::"},
	} {
		if _, err := outbound.New(o); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

func TestAProxyIsUsed(t *testing.T) {
	var asked string
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		fmt.Fprint(w, "by proxy")
	}))
	defer proxy.Close()
	c, err := outbound.New(outbound.Options{Proxy: proxy.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := c.Do(t.Context(), outbound.Request{URL: "http://list.example/x"})
	if err != nil || string(r.Body) != "by proxy" || asked != "http://list.example/x" {
		t.Errorf("%+v, %v, asked %q", r, err, asked)
	}
}

func TestWaitsAreReadAndBounded(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for text, want := range map[string]time.Duration{
		"0": 0, "30": 30 * time.Second, "29241": 29241 * time.Second, "999999999999999999": 24 * time.Hour,
		"Mon, 23 Nov 2026 12:05:00 GMT": 5 * time.Minute, "Mon, 23 Nov 2026 11:05:00 GMT": 0, "Mon, 23 Nov 2099 12:05:00 GMT": 24 * time.Hour,
		"": -1, "soon": -1, "-5": -1, "1.5": -1,
	} {
		d, ok := outbound.RetryAfter(http.Header{"Retry-After": {text}}, now)
		if ok != (want >= 0) || ok && d != want {
			t.Errorf("%q: %v, %v", text, d, ok)
		}
	}
}

func TestTextsOfOthersAreMadeFitToShow(t *testing.T) {
	for text, want := range map[string]string{
		"a\x1b[31mb\nc": "a [31mb c", "x\xff\xfey": "x y", "a\t\tb\r": "a b", "\u202eevil": "evil", strings.Repeat("ä", 100): strings.Repeat("ä", 10) + "…",
	} {
		if got := outbound.Clean(text, 20); got != want {
			t.Errorf("%q: %q, not %q", text, got, want)
		}
	}
}
