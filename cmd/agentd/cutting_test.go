package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/palisade-agent/palisade/internal/firewall/packets"
)

// connect opens a connection of a peer outside to a listener of the host, and gives the host's end.
func connect(t *testing.T, n *packets.Network, l net.Listener, from string) net.Conn {
	t.Helper()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	var client net.Conn
	var err error
	n.In(t, packets.Peers, func() {
		d := net.Dialer{Timeout: 10 * time.Second, KeepAlive: -1, LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
		client, err = d.DialContext(t.Context(), "tcp4", net.JoinHostPort(packets.Host4, port))
	})
	if err != nil {
		t.Fatalf("%s to port %s: %v", from, port, err)
	}
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = client.Close(), server.Close() })
	return server
}

// silent tells whether a connection is open, and nothing comes.
func silent(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return errors.Is(err, os.ErrDeadlineExceeded)
}

func TestPacketABanEndsTheConnectionsThatAreOpen(t *testing.T) {
	if !inNamespaces(t, root) {
		return
	}
	sh(t, "mount --make-rprivate / && mount -t proc proc /proc")
	n := packets.New(t)
	listeners := map[string]net.Listener{}
	for _, port := range []string{"22", "443"} {
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp4", ":"+port)
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		listeners[port] = l
	}
	for _, firewall := range []string{"nft", "ipset"} {
		t.Run(firewall, func(t *testing.T) {
			if _, err := exec.LookPath(firewall); err != nil {
				t.Skip(err)
			}
			g := &guard{t: t, dir: t.TempDir(), firewall: firewall, network: n, log: &lockedBuffer{}}
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("--- agentd said:\n%.6000s", g.log.String())
				}
			})
			g.configure("22")
			g.start()
			banned, spared := connect(t, g.network, listeners["22"], "198.18.0.1"), connect(t, g.network, listeners["22"], "198.18.0.2")
			elsewhere := connect(t, g.network, listeners["443"], "198.18.0.1")
			g.ctl("ban", "app", "198.18.0.1")
			waitFor(t, 20*time.Second, "the banned address's connection ends", func() bool { return !silent(banned) })
			if !silent(spared) || !silent(elsewhere) {
				t.Error("the connection of another address, or to another port, has ended, too")
			}
			if s := g.tell("status"); strings.Contains(s, "degraded") || strings.Contains(s, "open connections") {
				t.Errorf("all is well, and the status says: %s", s)
			}
			g.end(syscall.SIGTERM)
		})
	}
}
