package control_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// daemon is a Service that remembers what it was asked.
type daemon struct {
	mu    sync.Mutex // guards the fields below
	asked []string
	err   error
	stop  func()
}

func (d *daemon) note(format string, args ...any) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.asked = append(d.asked, fmt.Sprintf(format, args...))
	return d.err
}

func (d *daemon) Status(context.Context) (control.Status, error) {
	return control.Status{Version: "1.2.3", Health: "ok"}, d.note("status")
}

func (d *daemon) Jail(_ context.Context, name string) (control.JailStatus, error) {
	if name == "none" {
		return control.JailStatus{}, fmt.Errorf("%w: %q", control.ErrNoJail, name)
	}
	if name == "panics" {
		panic("on purpose")
	}
	return control.JailStatus{JailSummary: control.JailSummary{Name: name}}, d.note("jail %s", name)
}

func (d *daemon) Banned(_ context.Context, id string, limit int) (control.Banned, error) {
	return control.Banned{Total: 7}, d.note("banned %q %d", id, limit)
}

func (d *daemon) Ban(_ context.Context, r control.BanRequest) (control.ChangeResult, error) {
	return control.ChangeResult{Changes: []control.Change{{Jail: r.Jail, ID: r.IDs[0], Done: true}}}, d.note("ban %s %v %v", r.Jail, r.IDs, r.Force)
}

func (d *daemon) Unban(_ context.Context, r control.UnbanRequest) (control.ChangeResult, error) {
	if !r.All && len(r.IDs) == 0 {
		return control.ChangeResult{}, fmt.Errorf("%w: name an address", control.ErrInvalid)
	}
	return control.ChangeResult{}, d.note("unban %v %v", r.IDs, r.All)
}

func (d *daemon) Why(_ context.Context, id string) (control.Why, error) {
	return control.Why{ID: id}, d.note("why")
}

func (d *daemon) Import(_ context.Context, r control.ImportRequest) (control.ImportResult, error) {
	return control.ImportResult{Jails: []control.ImportedJail{{Jail: r.Bans[0].Jail, Bans: len(r.Bans)}}}, d.note("import")
}

func (d *daemon) Reload(context.Context) (control.ReloadResult, error) {
	return control.ReloadResult{Applied: true, Jails: []string{"a"}}, d.note("reload")
}

func (d *daemon) Stop(_ context.Context, keep bool) error {
	if d.stop != nil {
		d.stop()
	}
	return d.note("stop %v", keep)
}

func (d *daemon) Firewall(_ context.Context, limit int) (control.Firewall, error) {
	return control.Firewall{Truncated: true}, d.note("firewall %d", limit)
}

func (d *daemon) Blocked(_ context.Context, q control.BlockedQuery) (control.Blocked, error) {
	n := 7
	return control.Blocked{Total: &n}, d.note("blocked %+v", q)
}

func (d *daemon) Verify(_ context.Context, progress func(done, total int)) (control.Verification, error) {
	for i := range 1000 {
		progress(i+1, 1000)
	}
	return control.Verification{Right: true, Wanted: 1000}, d.note("verify")
}

func (d *daemon) Events(ctx context.Context, each func(control.Event) error) error {
	for i := 0; ; i++ {
		if err := each(control.Event{Kind: "found", Count: i, ID: strings.Repeat("x", 1000)}); err != nil {
			return err
		}
		if i == 3 && d.note("events") == nil {
			<-ctx.Done()
			return ctx.Err()
		}
	}
}

// serve runs a server until the test ends, and gives a client of it.
func serve(t *testing.T, s control.Service) (c *control.Client, path string, end func() error) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "run", "agentd.sock")
	server, err := control.Listen(t.Context(), path, control.ServerOptions{Service: s})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	end = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	return control.NewClient(path), path, end
}

func TestEveryRequestArrivesAndIsAnswered(t *testing.T) {
	d := &daemon{}
	c, _, _ := serve(t, d)
	ctx := t.Context()
	check := func(name string, got any, err error, want any) {
		t.Helper()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	check("ping", nil, c.Ping(ctx), nil)
	s, err := c.Status(ctx)
	check("status", s.Version, err, "1.2.3")
	j, err := c.Jail(ctx, "a/b ü?")
	check("jail", j.Name, err, "a/b ü?")
	b, err := c.Banned(ctx, "192.0.2.0/24", 5)
	check("banned", b.Total, err, 7)
	v, err := c.Ban(ctx, control.BanRequest{Jail: "j", IDs: []string{"192.0.2.1"}, Force: true})
	check("ban", v.Changes, err, []control.Change{{Jail: "j", ID: "192.0.2.1", Done: true}})
	_, err = c.Unban(ctx, control.UnbanRequest{All: true})
	check("unban", nil, err, nil)
	r, err := c.Reload(ctx)
	check("reload", r.Jails, err, []string{"a"})
	f, err := c.Firewall(ctx, 9)
	check("firewall", f.Truncated, err, true)
	x, err := c.Blocked(ctx, control.BlockedQuery{Owner: "feed:", Within: "192.0.2.0/24", Holds: "192.0.2.1", After: "192.0.2.0/30", Limit: 3, Hits: true})
	check("blocked", *x.Total, err, 7)
	last, told := 0, 0
	y, err := c.Verify(ctx, func(done, _ int) { last = done; told++ })
	check("verify", y.Right && last == 1000 && told > 10 && told < 200, err, true)
	want := []string{
		"status", "jail a/b ü?", `banned "192.0.2.0/24" 5`, "ban j [192.0.2.1] true", "unban [] true", "reload", "firewall 9",
		"blocked {Owner:feed: Within:192.0.2.0/24 Holds:192.0.2.1 After:192.0.2.0/30 Limit:3 Hits:true}", "verify",
	}
	if !reflect.DeepEqual(d.asked, want) {
		t.Errorf("asked\n%q\nwant\n%q", d.asked, want)
	}
}

func TestErrorsKeepTheirKindAndWords(t *testing.T) {
	d := &daemon{}
	c, _, _ := serve(t, d)
	if _, err := c.Jail(t.Context(), "none"); !errors.Is(err, control.ErrNoJail) || err.Error() != `there is no such jail: "none"` {
		t.Errorf("%v", err)
	}
	if _, err := c.Unban(t.Context(), control.UnbanRequest{}); !errors.Is(err, control.ErrInvalid) {
		t.Errorf("%v", err)
	}
	d.err = errors.New("the disk burns")
	if _, err := c.Status(t.Context()); err == nil || err.Error() != "the disk burns" {
		t.Errorf("%v", err)
	}
}

func TestAnyNameOfAJailArrives(t *testing.T) {
	d := &daemon{}
	c, _, _ := serve(t, d)
	for _, name := range []string{"sshd", ".", "..", "a/../b", "a b", "ü", "%2F", "?x=1#y", "\x00\n", strings.Repeat("x", 2000)} {
		if s, err := c.Jail(t.Context(), name); err != nil || s.Name != name {
			t.Errorf("%.20q: %.20q, %v", name, s.Name, err)
		}
	}
}

// TestARequestOfANewerClientIsNotAMissingJail: both are answered with 404.
func TestARequestOfANewerClientIsNotAMissingJail(t *testing.T) {
	c, _, _ := serve(t, &daemon{})
	if _, err := c.Jail(t.Context(), ""); err == nil || errors.Is(err, control.ErrNoJail) || !strings.Contains(err.Error(), "no such request") {
		t.Errorf("%v", err)
	}
}

// cracked is a daemon that panics when it has begun to answer.
type cracked struct{ daemon }

func (*cracked) Events(_ context.Context, each func(control.Event) error) error {
	if err := each(control.Event{Kind: "found"}); err != nil {
		return err
	}
	panic("on purpose")
}

func TestAPanicWithinAStreamIsNotItsEnd(t *testing.T) {
	c, _, _ := serve(t, &cracked{})
	n := 0
	err := c.Events(t.Context(), func(control.Event) error { n++; return nil })
	if n > 1 || !errors.Is(err, control.ErrNotRunning) {
		t.Errorf("%d events, %v", n, err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
}

func TestAPanicEndsOneRequest(t *testing.T) {
	c, _, _ := serve(t, &daemon{})
	if _, err := c.Jail(t.Context(), "panics"); err == nil || strings.Contains(err.Error(), "on purpose") {
		t.Errorf("%v: what went wrong inside is the log's matter", err)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("%v", err)
	}
}

func TestEventsStreamUntilTheServerEnds(t *testing.T) {
	c, _, end := serve(t, &daemon{})
	var got []int
	done := make(chan error, 1)
	first := make(chan struct{})
	go func() {
		done <- c.Events(context.Background(), func(e control.Event) error {
			if got = append(got, e.Count); len(got) == 4 {
				close(first)
			}
			return nil
		})
	}()
	<-first
	if err := end(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || !reflect.DeepEqual(got, []int{0, 1, 2, 3}) {
		t.Errorf("%v, %v", got, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Events(ctx, func(control.Event) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestAListenerThatStopsEndsItsStream(t *testing.T) {
	c, _, _ := serve(t, &daemon{})
	enough := errors.New("enough")
	if err := c.Events(t.Context(), func(control.Event) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v", err)
	}
}

func TestStopWaitsUntilNobodyListens(t *testing.T) {
	d := &daemon{}
	c, path, end := serve(t, d)
	d.stop = func() { go end() }
	if err := c.Stop(t.Context(), true); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("the socket is still there")
	}
	if d.asked[0] != "stop true" {
		t.Errorf("%q", d.asked)
	}
}

func TestTheSocketIsItsOwnersAlone(t *testing.T) {
	_, path, _ := serve(t, &daemon{})
	st, err := os.Stat(path)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
}

func TestListenMindsWhatIsThere(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := control.Listen(t.Context(), file, control.ServerOptions{Service: &daemon{}}); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Error("the file was touched")
	}
	_, living, _ := serve(t, &daemon{})
	if _, err := control.Listen(t.Context(), living, control.ServerOptions{Service: &daemon{}}); err == nil || !strings.Contains(err.Error(), "answers on") {
		t.Errorf("a living daemon: %v", err)
	}
	stale := filepath.Join(dir, "stale")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s, err := control.Listen(t.Context(), stale, control.ServerOptions{Service: &daemon{}})
	if err != nil {
		t.Fatalf("a socket left by a dead daemon: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("%v", err)
	}
}

func TestListenRefusesWhatTheKernelCannotName(t *testing.T) {
	t.Chdir(t.TempDir())
	for n, fits := range map[int]bool{107: true, 108: false, 5000: false} {
		ctx, cancel := context.WithCancel(t.Context())
		s, err := control.Listen(ctx, strings.Repeat("s", n), control.ServerOptions{Service: &daemon{}})
		cancel()
		switch {
		case !fits && (err == nil || !strings.Contains(err.Error(), "a shorter one")):
			t.Errorf("%d bytes: %v", n, err)
		case fits && err != nil:
			t.Errorf("%d bytes: %v", n, err)
		case fits:
			if err := s.Run(ctx); err != nil {
				t.Errorf("%d bytes: %v", n, err)
			}
		}
	}
}

func TestTheClientSaysWhyThereIsNoAnswer(t *testing.T) {
	dir := t.TempDir()
	file, folder := filepath.Join(dir, "file"), filepath.Join(dir, "folder")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Mkdir(folder, 0o700)); err != nil {
		t.Fatal(err)
	}
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	foreign := filepath.Join(dir, "foreign")
	f, err := net.Listen("unix", foreign)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	go func() {
		for {
			c, err := f.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // what is not read would reset the connection
			_, _ = io.WriteString(c, "220 mail.example ESMTP\r\n")
			c.Close()
		}
	}()
	mute := filepath.Join(dir, "mute")
	m, err := net.Listen("unix", mute)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	go func() {
		for {
			c, err := m.Accept()
			if err != nil {
				return
			}
			_, _ = c.Read(make([]byte, 4096)) // a daemon that dies has mostly taken the request
			c.Close()
		}
	}()
	web := filepath.Join(dir, "web")
	w, err := net.Listen("unix", web)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = http.Serve(w, http.NotFoundHandler()) }() //nolint:gosec // a test's
	defer w.Close()
	for path, want := range map[string]error{
		filepath.Join(dir, "none"): control.ErrNotRunning, dead: control.ErrNotRunning,
		file: control.ErrNotOurs, folder: control.ErrNotOurs, foreign: control.ErrNotOurs, web: control.ErrNotOurs,
		mute: control.ErrNoAnswer,
	} {
		err := control.NewClient(path).Ping(t.Context())
		if !errors.Is(err, want) || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
	slow := filepath.Join(dir, "slow")
	sl, err := net.Listen("unix", slow)
	if err != nil {
		t.Fatal(err)
	}
	defer sl.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := control.NewClient(slow).Ping(ctx); !errors.Is(err, control.ErrNoAnswer) {
		t.Errorf("%v", err)
	}
}

// TestNoPermission needs to be somebody who may not open the socket: a child of another user.
func TestNoPermission(t *testing.T) {
	if path := os.Getenv("CONTROL_TEST_SOCKET"); path != "" {
		err := control.NewClient(path).Ping(t.Context())
		if !errors.Is(err, control.ErrPermission) || !strings.Contains(err.Error(), "sudo") {
			t.Errorf("%v", err)
		}
		return
	}
	if os.Getuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	dir, err := os.MkdirTemp("", "palisade-control-") //nolint:usetesting // t.TempDir lies in a folder that is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	s, err := control.Listen(t.Context(), path, control.ServerOptions{Service: &daemon{}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	self := filepath.Join(dir, "test")
	if err := copyFile(os.Args[0], self); err != nil {
		t.Fatal(err)
	}
	p, err := os.StartProcess(self, []string{self, "-test.run=^TestNoPermission$"}, &os.ProcAttr{
		Dir: "/", Env: append(os.Environ(), "CONTROL_TEST_SOCKET="+path), Files: []*os.File{nil, os.Stdout, os.Stderr},
		Sys: &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if st, err := p.Wait(); err != nil || !st.Success() {
		t.Errorf("as nobody: %v, %v", st, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o755)
}

// raw sends bytes to the socket and gives the status line and the body of the answer.
func raw(t *testing.T, path, request string) (status, body string) {
	t.Helper()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	go func() { _, _ = io.WriteString(c, request) }()
	b, _ := io.ReadAll(c)
	status, rest, _ := strings.Cut(string(b), "\r\n")
	_, body, _ = strings.Cut(rest, "\r\n\r\n")
	return status, body
}

func TestHostileRequestsAreRefused(t *testing.T) {
	d := &daemon{}
	c, path, _ := serve(t, d)
	post := func(to, body string) string {
		return fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", to, len(body), body)
	}
	get := func(to string) string { return "GET " + to + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" }
	for name, x := range map[string]struct{ request, status string }{
		"a body that is too large":    {post("/v1/ban", `{"jail":"`+strings.Repeat("a", 2<<20)+`"}`), "400"},
		"a body that is no JSON":      {post("/v1/ban", "{"), "400"},
		"a field that does not exist": {post("/v1/ban", `{"jail":"j","ids":["x"],"evil":1}`), "400"},
		"a wrong type":                {post("/v1/ban", `{"jail":7}`), "400"},
		"a header that is too large":  {"GET /v1/ping HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("a", 64<<10) + "\r\n\r\n", "431"},
		"no HTTP":                     {"hello\r\n\r\n", "400"},
		"a limit that is no number":   {get("/v1/banned?limit=many"), "400"},
		"a limit below zero":          {get("/v1/firewall?limit=-1"), "400"},
		"something behind the JSON":   {post("/v1/unban", `{"all":true}{"all":true}`), "400"},
		"an empty body":               {post("/v1/ban", ""), "400"},
		"a body of unknown length":    {"POST /v1/ban HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\nfffff0\r\n" + strings.Repeat("a", 2<<20), "400"},
		"an unknown path":             {get("/v1/nothing"), "404"},
		"a wrong method":              {get("/v1/ban"), "404"},
	} {
		status, body := raw(t, path, x.request)
		if !strings.Contains(status, " "+x.status+" ") {
			t.Errorf("%s: %s %.200s", name, status, body)
		}
	}
	if len(d.asked) > 0 {
		t.Errorf("these reached the service: %q", d.asked)
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("after all that: %v", err)
	}
}

func TestMorePeersThanAllowedWait(t *testing.T) {
	c, path, _ := serve(t, &daemon{})
	var peers []net.Conn
	for range 64 {
		p, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		peers = append(peers, p)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := c.Ping(ctx); err == nil {
		t.Error("a peer more than allowed was answered")
	}
	for _, p := range peers {
		p.Close()
	}
	if err := c.Ping(t.Context()); err != nil {
		t.Errorf("once they have gone: %v", err)
	}
}

func TestTimesOnTheWireAreNullForEver(t *testing.T) {
	b, err := json.Marshal(control.Ban{ID: "x"})
	if err != nil || !bytes.Contains(b, []byte(`"until":null`)) {
		t.Errorf("%s, %v", b, err)
	}
}

func FuzzControl(f *testing.F) {
	path := filepath.Join(f.TempDir(), "s")
	s, err := control.Listen(f.Context(), path, control.ServerOptions{Service: &daemon{}})
	if err != nil {
		f.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	f.Cleanup(func() { cancel(); <-ended })
	f.Add("POST", "/v1/ban", `{"jail":"j","ids":["192.0.2.1"]}`)
	f.Add("GET", "/v1/banned?id=x&limit=3", "")
	f.Add("GET", "/v1/jails/%2e%2e", "")
	client := control.NewClient(path)
	f.Fuzz(func(t *testing.T, method, target, body string) {
		if strings.HasPrefix(target, "/v1/events") || strings.ContainsAny(method+target, "\r\n") {
			return
		}
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", method, target, len(body), body)
		_, _ = io.Copy(io.Discard, io.LimitReader(c, 1<<20))
		c.Close()
		if err := client.Ping(context.Background()); err != nil {
			t.Fatalf("after %q %q %q: %v", method, target, body, err)
		}
	})
}
