package control

import (
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
	answerTimeout = 60 * time.Second
	maxAnswer     = 1 << 30 // a million bans fit
)

// Client asks a daemon over its control socket. It is safe for concurrent use.
type Client struct {
	path string
	http *http.Client
}

// NewClient makes a client for the socket at path. It connects with the first request.
func NewClient(path string) *Client {
	var d net.Dialer
	return &Client{path: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return d.DialContext(ctx, "unix", path) },
	}}}
}

// Ping asks for a sign of life.
func (c *Client) Ping(ctx context.Context) error {
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
	return s, c.get(ctx, "/v1/jails/"+url.PathEscape(name), nil, &s)
}

// Banned asks for the bans in force, of one ID or (empty) of all; limit 0 is no limit.
func (c *Client) Banned(ctx context.Context, id string, limit int) (b Banned, err error) {
	return b, c.get(ctx, "/v1/banned", url.Values{"id": {id}, "limit": {strconv.Itoa(limit)}}, &b)
}

// Firewall asks what the kernel holds; limit 0 is no limit.
func (c *Client) Firewall(ctx context.Context, limit int) (f Firewall, err error) {
	return f, c.get(ctx, "/v1/firewall", url.Values{"limit": {strconv.Itoa(limit)}}, &f)
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

// Stop asks the daemon to end and waits until nobody listens on the socket any more.
func (c *Client) Stop(ctx context.Context, keep bool) error {
	path := "/v1/stop"
	if keep {
		path += "?keep=1"
	}
	if err := c.post(ctx, path, nil, &struct{}{}); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for {
		c.http.CloseIdleConnections()
		if err := c.Ping(ctx); errors.Is(err, ErrNotRunning) {
			return nil
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("agentd has been told to stop and is still there: %w", ctx.Err())
		}
	}
}

// Events calls each for every event from now on, until ctx ends, the daemon ends, or each fails.
func (c *Client) Events(ctx context.Context, each func(Event) error) error {
	resp, err := c.send(ctx, http.MethodGet, "/v1/events", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	d := json.NewDecoder(resp.Body)
	for {
		var e Event
		switch err := d.Decode(&e); {
		case ctx.Err() != nil, errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return ctx.Err()
		case err != nil:
			return c.foreign(err)
		}
		if err := each(e); err != nil {
			return err
		}
	}
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
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, &answerError{e.Error, ErrNoJail}
	case http.StatusBadRequest:
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
	case errors.Is(err, fs.ErrPermission), errors.Is(statErr, fs.ErrPermission):
		return fmt.Errorf("%w to use %s: run as root, as with sudo", ErrPermission, c.path)
	case errors.Is(statErr, fs.ErrNotExist):
		return fmt.Errorf("%w: there is no socket at %s (start agentd, or name its socket with -s)", ErrNotRunning, c.path)
	case statErr == nil && st.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%w: %s is no socket (name agentd's with -s)", ErrNotOurs, c.path)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("%w: nobody listens on %s (start agentd)", ErrNotRunning, c.path)
	case errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err):
		return fmt.Errorf("%w on %s within %v (see its log)", ErrNoAnswer, c.path, answerTimeout)
	}
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	return c.foreign(err)
}

func (c *Client) foreign(err error) error {
	return fmt.Errorf("%w: what listens on %s does not speak its language: %w", ErrNotOurs, c.path, err)
}
