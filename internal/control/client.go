package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

var (
	// ErrNotRunning says that nobody listens on the socket.
	ErrNotRunning = errors.New("agentd is not running")
	// ErrPermission says that the socket is not for this user.
	ErrPermission = errors.New("no permission")
	// ErrNotOurs says that there is something at the path that is not agentd's socket.
	ErrNotOurs = errors.New("not agentd's socket")
	// ErrNoAnswer says that agentd took the request and did not answer in time.
	ErrNoAnswer = errors.New("agentd does not answer")
)

const (
	pingTimeout   = 5 * time.Second
	answerTimeout = 60 * time.Second // a reload of a large configuration takes seconds
	stopTimeout   = 60 * time.Second // the last commit and taking down a large table take some
	stopEvery     = 20 * time.Millisecond
	maxAnswer     = 1 << 30 // a million bans fit
	maxEvent      = 1 << 20
)

// Client asks a daemon over its control socket. It is safe for concurrent use.
type Client struct {
	path string
	http *http.Client
	peer atomic.Int64 // the daemon's process, as the kernel names it; 0: unknown
}

// NewClient makes a client for the socket at path. It connects with the first request.
func NewClient(path string) *Client {
	var d net.Dialer
	c := &Client{path: path}
	c.http = &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := d.DialContext(ctx, "unix", path)
			if u, ok := conn.(*net.UnixConn); ok {
				c.peer.Store(processOf(u))
			}
			return conn, err
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close gives up connections that wait for another request. The client may be used again.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// processOf names the process that listens at the other end; 0 where the kernel does not tell, as across
// containers.
func processOf(u *net.UnixConn) int64 {
	raw, err := u.SyscallConn()
	if err != nil {
		return 0
	}
	var cred *syscall.Ucred
	err = errors.Join(raw.Control(func(fd uintptr) {
		cred, err = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	}), err)
	if err != nil {
		return 0
	}
	return int64(cred.Pid)
}

// Ping asks for a sign of life, for 5 seconds.
func (c *Client) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	var v map[string]string
	if err := c.get(ctx, "/v1/ping", nil, &v); err != nil {
		return err
	}
	if v["ping"] != "pong" {
		return c.foreign(errors.New("it does not know ping"))
	}
	return nil
}

// Status asks how the daemon stands.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	return s, c.get(ctx, "/v1/status", nil, &s)
}

// Jail asks about one jail.
func (c *Client) Jail(ctx context.Context, name string) (s JailStatus, err error) {
	return s, c.get(ctx, "/v1/jails/"+strings.ReplaceAll(url.PathEscape(name), ".", "%2E"), nil, &s)
}

// Banned asks for the bans in force, of one ID or (empty) of all; limit 0 is no limit.
func (c *Client) Banned(ctx context.Context, id string, limit int) (b Banned, err error) {
	return b, c.get(ctx, "/v1/banned", url.Values{"id": {id}, "limit": {strconv.Itoa(limit)}}, &b)
}

// Firewall asks what the kernel holds; limit 0 is no limit.
func (c *Client) Firewall(ctx context.Context, limit int) (f Firewall, err error) {
	return f, c.get(ctx, "/v1/firewall", url.Values{"limit": {strconv.Itoa(limit)}}, &f)
}

// Blocked asks for a page of what is blocked.
func (c *Client) Blocked(ctx context.Context, q BlockedQuery) (b Blocked, err error) {
	v := url.Values{"owner": {q.Owner}, "within": {q.Within}, "holds": {q.Holds}, "after": {q.After}, "limit": {strconv.Itoa(q.Limit)}}
	if q.Hits {
		v.Set("hits", "1")
	}
	return b, c.get(ctx, "/v1/blocked", v, &b)
}

// Ban asks for bans.
func (c *Client) Ban(ctx context.Context, r BanRequest) (v ChangeResult, err error) {
	return v, c.post(ctx, "/v1/ban", r, &v)
}

// Unban asks to lift bans.
func (c *Client) Unban(ctx context.Context, r UnbanRequest) (v ChangeResult, err error) {
	return v, c.post(ctx, "/v1/unban", r, &v)
}

// Reload asks to read the configuration again.
func (c *Client) Reload(ctx context.Context) (v ReloadResult, err error) {
	return v, c.post(ctx, "/v1/reload", nil, &v)
}

// Why tells all that is known of an ID.
func (c *Client) Why(ctx context.Context, id string) (v Why, err error) {
	return v, c.get(ctx, "/v1/why", url.Values{"id": {id}}, &v)
}

// Import takes over bans; see Service.
func (c *Client) Import(ctx context.Context, r ImportRequest) (v ImportResult, err error) {
	err = c.post(ctx, "/v1/import", r, &v)
	return v, err
}

// Fail2ban asks for something in fail2ban's protocol.
func (c *Client) Fail2ban(ctx context.Context, request []byte) ([]byte, error) {
	var a Fail2banAnswer
	err := c.post(ctx, "/v1/fail2ban", Fail2banRequest{request}, &a)
	return a.Answer, err
}

// Stop asks the daemon to end and waits until nobody listens on the socket any more and its process has
// gone, so that another may start.
func (c *Client) Stop(ctx context.Context, keep bool) error {
	path := "/v1/stop"
	if keep {
		path += "?keep=1"
	}
	if err := c.post(ctx, path, nil, &struct{}{}); err != nil {
		return err
	}
	process := int(c.peer.Load())
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	for {
		c.Close()
		if err := c.Ping(ctx); errors.Is(err, ErrNotRunning) && gone(process) {
			return nil
		}
		select {
		case <-time.After(stopEvery):
		case <-ctx.Done():
			return fmt.Errorf("agentd has been told to stop and is still there: %w", ctx.Err())
		}
	}
}

// gone reports whether a process has ended, as far as that can be known.
func gone(process int) bool {
	return process <= 0 || process == os.Getpid() || errors.Is(syscall.Kill(process, 0), syscall.ESRCH)
}

// Events calls each for every event from now on, until ctx ends, the daemon ends, or each fails.
func (c *Client) Events(ctx context.Context, each func(Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return c.foreign(err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
	switch err := lines.Err(); {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, bufio.ErrTooLong):
		return c.foreign(err)
	case err != nil:
		return fmt.Errorf("%w any more: it has gone without a word", ErrNotRunning)
	}
	return nil
}

// Verify has the kernel compared with what is wished; progress is told how far it is.
func (c *Client) Verify(ctx context.Context, progress func(done, total int)) (Verification, error) {
	resp, err := c.send(ctx, http.MethodPost, "/v1/firewall/verify", nil)
	if err != nil {
		return Verification{}, err
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	lines.Buffer(nil, maxEvent)
	for lines.Scan() {
		var l verifyLine
		switch err := json.Unmarshal(lines.Bytes(), &l); {
		case err != nil:
			return Verification{}, c.foreign(err)
		case l.Error != "":
			return Verification{}, &answerError{l.Error, nil}
		case l.Result != nil:
			return *l.Result, nil
		}
		progress(l.Done, l.Total)
	}
	if ctx.Err() != nil {
		return Verification{}, ctx.Err()
	}
	return Verification{}, fmt.Errorf("%w any more: it has gone without a word", ErrNotRunning)
}

// Get asks one of the daemon's parts, see Route, for something; the answer is stored in v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	return c.get(ctx, path, query, v)
}

// Post has one of the daemon's parts, see Route, do something; the answer is stored in v.
func (c *Client) Post(ctx context.Context, path string, body, v any) error {
	return c.post(ctx, path, body, v)
}

func (c *Client) get(ctx context.Context, path string, query url.Values, v any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil, v)
}

func (c *Client) post(ctx context.Context, path string, body, v any) error {
	var b []byte
	if body != nil {
		var err error
		if b, err = json.Marshal(body); err != nil {
			return fmt.Errorf("write the request: %w", err)
		}
	}
	return c.call(ctx, http.MethodPost, path, b, v)
}

func (c *Client) call(ctx context.Context, method, path string, body []byte, v any) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.send(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(v); err != nil {
		return c.foreign(err)
	}
	return nil
}

// send sends a request; an answer other than 200 is an error in the daemon's words.
func (c *Client) send(ctx context.Context, method, path string, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://agentd"+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("write the request: %w", err)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.explain(err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	var e wireError
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxBody)).Decode(&e); err != nil || e.Error == "" {
		return nil, c.foreign(fmt.Errorf("it answered %s", resp.Status))
	}
	switch e.Kind {
	case kindNoJail:
		return nil, &answerError{e.Error, ErrNoJail}
	case kindInvalid:
		return nil, &answerError{e.Error, ErrInvalid}
	}
	return nil, &answerError{e.Error, nil}
}

// answerError is an error that the daemon answered with, in its words.
type answerError struct {
	text string
	kind error
}

// Error gives the daemon's words.
func (e *answerError) Error() string { return e.text }

// Unwrap gives the kind, if it is one that callers tell apart.
func (e *answerError) Unwrap() error { return e.kind }

// explain says in one line why there is no answer, and what to do.
func (c *Client) explain(err error) error {
	st, statErr := os.Stat(c.path)
	switch {
	case errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("%w on %s in time (is it agentd's socket? then its log says more)", ErrNoAnswer, c.path)
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return fmt.Errorf("%w: what listens on %s hung up (is it agentd's socket? then its log says more)", ErrNoAnswer, c.path)
	case errors.Is(err, syscall.EAGAIN):
		return fmt.Errorf("%w on %s: too many are waiting there (agentd's log says more)", ErrNoAnswer, c.path)
	case errors.Is(err, fs.ErrPermission), errors.Is(statErr, fs.ErrPermission):
		return fmt.Errorf("%w to use %s: run as root, as with sudo", ErrPermission, c.path)
	case errors.Is(statErr, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket at %s (start agentd, or name its socket with -s)", ErrNotRunning, c.path)
	case statErr == nil && st.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%w: %s is no socket (name agentd's with -s)", ErrNotOurs, c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s (start agentd)", ErrNotRunning, c.path)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return c.foreign(err)
}

func (c *Client) foreign(err error) error {
	return fmt.Errorf("%w: what listens on %s does not speak its language: %w", ErrNotOurs, c.path, err)
}
