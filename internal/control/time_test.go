package control_test

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/palisade-agent/palisade/internal/control"
)

// memory is a listener whose peers are in the same test, so that its clock can be the test's.
type memory struct {
	peers chan net.Conn
	close sync.Once
	ended chan struct{}
}

func newMemory() *memory { return &memory{peers: make(chan net.Conn), ended: make(chan struct{})} }

func (m *memory) Accept() (net.Conn, error) {
	select {
	case c := <-m.peers:
		return c, nil
	case <-m.ended:
		return nil, net.ErrClosed
	}
}

func (m *memory) Close() error   { m.close.Do(func() { close(m.ended) }); return nil }
func (m *memory) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "unix"} }
func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case m.peers <- there:
		return here, nil
	case <-m.ended:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// patient is a daemon whose answers take their time.
type patient struct {
	daemon
	takes time.Duration
	every time.Duration // between events
}

func (p *patient) Reload(ctx context.Context) (control.ReloadResult, error) {
	select {
	case <-time.After(p.takes):
		return control.ReloadResult{Applied: true}, nil
	case <-ctx.Done():
		return control.ReloadResult{}, ctx.Err()
	}
}

func (p *patient) Events(ctx context.Context, each func(control.Event) error) error {
	for i := 0; ; i++ {
		if err := each(control.Event{Kind: "found", Count: i}); err != nil {
			return err
		}
		select {
		case <-time.After(p.every):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// inMemory runs a server on the test's clock. It must be called within synctest.Test.
func inMemory(t *testing.T, s control.Service) (m *memory, c *control.Client, end func()) {
	t.Helper()
	m = newMemory()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- control.ServerOn(m, control.ServerOptions{Service: s}).Run(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(end)
	c = control.ClientOver(m.dial)
	t.Cleanup(c.Close)
	return m, c, end
}

func TestAStreamLastsLongerThanAnyRequestMay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := inMemory(t, &patient{every: time.Hour})
		enough, n := errors.New("enough"), 0
		err := c.Events(t.Context(), func(control.Event) error {
			if n++; n == 50 {
				return enough
			}
			return nil
		})
		if !errors.Is(err, enough) || n != 50 {
			t.Errorf("%d events, %v", n, err)
		}
	})
}

func TestAnAnswerMayTakeItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := inMemory(t, &patient{takes: 50 * time.Second})
		if r, err := c.Reload(t.Context()); err != nil || !r.Applied {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestAnAnswerThatNeverComesIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := inMemory(t, &patient{takes: 24 * time.Hour})
		begin := time.Now()
		if _, err := c.Reload(t.Context()); !errors.Is(err, control.ErrNoAnswer) {
			t.Errorf("%v", err)
		}
		if took := time.Since(begin); took > 5*time.Minute {
			t.Errorf("given up after %v", took)
		}
	})
}

// TestAPeerThatStallsIsCutOff: whoever connects has a place among 64, and must not keep it for nothing.
func TestAPeerThatStallsIsCutOff(t *testing.T) {
	for name, request := range map[string]string{
		"says nothing":               "",
		"stops within a header":      "GET /v1/ping HTTP/1.1\r\nHos",
		"stops within a body":        "POST /v1/ban HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{",
		"stops before a body":        "GET /v1/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n",
		"asks once and stays silent": "GET /v1/ping HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m, _, _ := inMemory(t, &daemon{})
				p, err := m.dial(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				go func() { _, _ = p.Write([]byte(request)) }()
				for b := make([]byte, 1000); err == nil; {
					_, err = p.Read(b)
				}
				if took := time.Since(begin); took > 2*time.Minute {
					t.Errorf("it was cut off after %v", took)
				}
				p.Close()
			})
		})
	}
}

// TestTheEndWaitsForNobody: a stop ends streams at once, gives requests under way a moment, and cuts off
// what is left.
func TestTheEndWaitsForNobody(t *testing.T) {
	t.Run("a stream", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, end := inMemory(t, &patient{every: time.Hour})
			first, done := make(chan struct{}), make(chan error, 1)
			go func() {
				done <- c.Events(t.Context(), func(control.Event) error { close(first); return nil })
			}()
			<-first
			begin := time.Now()
			end()
			if took := time.Since(begin); took > 600*time.Millisecond {
				t.Errorf("the end took %v", took)
			}
			if err := <-done; err != nil {
				t.Errorf("the stream ended with %v", err)
			}
		})
	})
	t.Run("a request that is nearly done", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, end := inMemory(t, &patient{takes: time.Second})
			done := make(chan error, 1)
			go func() {
				r, err := c.Reload(t.Context())
				if err == nil && !r.Applied {
					err = errors.New("not applied")
				}
				done <- err
			}()
			synctest.Wait()
			end()
			if err := <-done; err != nil {
				t.Errorf("%v", err)
			}
		})
	})
	t.Run("a request that takes too long", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			_, c, end := inMemory(t, &patient{takes: time.Hour})
			done := make(chan error, 1)
			go func() {
				_, err := c.Reload(t.Context())
				done <- err
			}()
			synctest.Wait()
			begin := time.Now()
			end()
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the end took %v", took)
			}
			if err := <-done; err == nil {
				t.Error("it was answered")
			}
		})
	})
	t.Run("a peer that reads nothing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			m, _, end := inMemory(t, &patient{})
			p, err := m.dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer p.Close()
			if _, err := p.Write([]byte("GET /v1/events HTTP/1.1\r\nHost: x\r\n\r\n")); err != nil {
				t.Fatal(err)
			}
			synctest.Wait() // the daemon is stuck in its first write
			begin := time.Now()
			end()
			if took := time.Since(begin); took > 5*time.Second {
				t.Errorf("the end took %v", took)
			}
		})
	})
}

func TestStreamsLeaveRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, c, _ := inMemory(t, &patient{every: time.Hour})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		refused := make(chan error, 100)
		for range 100 {
			wg.Go(func() {
				if err := c.Events(ctx, func(control.Event) error { return nil }); !errors.Is(err, context.Canceled) {
					refused <- err
				}
			})
			synctest.Wait()
		}
		if err := c.Ping(t.Context()); err != nil {
			t.Errorf("%v", err)
		}
		cancel()
		wg.Wait()
		close(refused)
		if n := len(refused); n < 36 || n >= 100 {
			t.Errorf("%d of 100 were refused", n)
		}
		for err := range refused {
			if !strings.Contains(err.Error(), "too many") {
				t.Errorf("%v", err)
			}
		}
	})
}

// TestADaemonThatVanishesIsNotAStreamThatEnds: the first is an error.
func TestADaemonThatVanishesIsNotAStreamThatEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		go func() {
			p, err := m.Accept()
			if err != nil {
				return
			}
			b := make([]byte, 4096)
			_, _ = p.Read(b)
			_, _ = p.Write([]byte("HTTP/1.1 200 OK\r\nContent-Type: application/jsonl\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n{\"kind\":\"found\"}\r\n"))
			p.Close()
		}()
		c := control.ClientOver(m.dial)
		if err := c.Events(t.Context(), func(control.Event) error { return nil }); !errors.Is(err, control.ErrNotRunning) {
			t.Errorf("%v", err)
		}
	})
}
