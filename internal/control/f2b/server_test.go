package f2b_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/control/f2b"
	"github.com/palisade-agent/palisade/internal/control/f2b/pickle"
	"github.com/palisade-agent/palisade/internal/oracle"
)

// handler plays a daemon of a few words.
type handler struct{}

func (handler) Handle(ctx context.Context, words []any) (any, error) {
	switch fmt.Sprint(words...) {
	case "ping":
		return "pong", nil
	case "echo":
		return pickle.List{}, nil
	case "panic":
		panic("something is wrong")
	case "wait":
		<-ctx.Done()
		return nil, ctx.Err()
	case "unwritable":
		return make(chan int), nil
	}
	if len(words) > 1 && words[0] == "status" {
		return nil, &f2b.ExceptionError{Module: "fail2ban.exceptions", Class: "UnknownJailException", Args: []any{words[1]}}
	}
	return nil, errors.New("Invalid command")
}

// serve starts a server and gives its socket.
func serve(t *testing.T) (path string, stop func()) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	s := f2b.NewServer(l, f2b.ServerOptions{Handler: handler{}})
	go func() { ended <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	t.Cleanup(stop)
	return path, stop
}

// peer is a connection that sends whatever it likes.
type peer struct {
	t    *testing.T
	conn net.Conn
}

func dial(t *testing.T, path string) *peer {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return &peer{t, c}
}

func (p *peer) send(parts ...string) {
	p.t.Helper()
	for _, part := range parts {
		if _, err := p.conn.Write([]byte(part)); err != nil {
			p.t.Fatal(err)
		}
	}
}

// answer reads one answer; "" is the end of the connection.
func (p *peer) answer() string {
	p.t.Helper()
	var got []byte
	one := make([]byte, 1)
	for !strings.HasSuffix(string(got), "<F2B_END_COMMAND>") {
		if _, err := p.conn.Read(one); err != nil {
			if len(got) > 0 {
				p.t.Fatalf("half an answer: %q, %v", got, err)
			}
			return ""
		}
		got = append(got, one[0])
	}
	v, err := pickle.Unmarshal(got[:len(got)-len("<F2B_END_COMMAND>")])
	if err != nil {
		p.t.Fatal(err)
	}
	return fmt.Sprintf("%v", v)
}

func request(words ...any) string {
	b, err := pickle.Marshal(pickle.List(words))
	if err != nil {
		panic(err)
	}
	return string(b) + "<F2B_END_COMMAND>"
}

// TestTheRealClientIsAnswered: fail2ban's own Python client.
func TestTheRealClientIsAnswered(t *testing.T) {
	path, _ := serve(t)
	for command, want := range map[string]string{
		"ping":       "Server replied: pong",
		"status x":   "Sorry but the jail 'x' does not exist",
		"get x idle": "Invalid command",
	} {
		args := append([]string{"-c", filepath.Join(oracle.Fail2ban(t), "etc/fail2ban"), "-s", path}, strings.Fields(command)...)
		out, err := oracle.Program(t, "fail2ban-client", args...).Output()
		if got := strings.TrimSpace(string(out)); got != want || (err == nil) != (command == "ping") {
			t.Errorf("%s: %q, %v", command, got, err)
		}
	}
}

func TestOneConnectionCarriesManyCommands(t *testing.T) {
	path, _ := serve(t)
	p := dial(t, path)
	ping := request("ping")
	p.send(ping+ping, ping[:5], ping[5:len(ping)-3], ping[len(ping)-3:]) // two at once, one in pieces
	for range 3 {
		if got := p.answer(); got != "[0 pong]" {
			t.Errorf("%s", got)
		}
	}
	p.send("<F2B_CLOSE_COMMAND><F2B_END_COMMAND>")
	if got := p.answer(); got != "" {
		t.Errorf("after the end: %s", got)
	}
}

// TestABadRequestHurtsNobody: the connection goes on, and others do.
func TestABadRequestHurtsNobody(t *testing.T) {
	path, _ := serve(t)
	p := dial(t, path)
	for _, bad := range []string{
		"nonsense<F2B_END_COMMAND>", "cos\nsystem\n(S'true'\ntR.<F2B_END_COMMAND>", "<F2B_END_COMMAND>", "I1\n.<F2B_END_COMMAND>",
		request("unwritable"),
	} {
		p.send(bad)
		if got := p.answer(); !strings.HasPrefix(got, "ERROR: ") {
			t.Errorf("%q: %s", bad, got)
		}
	}
	p.send(request("panic"))
	if got := p.answer(); !strings.Contains(got, "internal error") {
		t.Errorf("%s", got)
	}
	p.send(request("ping"))
	if got := p.answer(); got != "[0 pong]" {
		t.Errorf("%s", got)
	}

	endless := dial(t, path)
	chunk := strings.Repeat("x", 64<<10)
	for range pickle.MaxBytes/len(chunk) + 1 {
		if _, err := endless.conn.Write([]byte(chunk)); err != nil {
			break // it has been told and cut off
		}
	}
	if got := endless.answer(); !strings.HasPrefix(got, "ERROR: a command of more than") {
		t.Errorf("without an end: %s", got)
	}
	p.send(request("ping"))
	if got := p.answer(); got != "[0 pong]" {
		t.Errorf("%s", got)
	}
}

// TestTheServerEndsWithItsPeers: those that wait for something, and those in the middle of a word.
func TestTheServerEndsWithItsPeers(t *testing.T) {
	path, stop := serve(t)
	idle, half, busy := dial(t, path), dial(t, path), dial(t, path)
	half.send("abc")
	busy.send(request("wait"))
	idle.send(request("ping"))
	if got := idle.answer(); got != "[0 pong]" {
		t.Errorf("%s", got)
	}
	stop()
	if got := idle.answer(); got != "" {
		t.Errorf("%s", got)
	}
}
