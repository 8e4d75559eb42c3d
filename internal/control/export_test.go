package control

import (
	"context"
	"net"
	"net/http"
)

// ServerOn makes a server that answers on any listener.
func ServerOn(l net.Listener, o ServerOptions) *Server { return newServer("memory", l, o) }

// ClientOver makes a client that connects by a function.
func ClientOver(dial func(context.Context) (net.Conn, error)) *Client {
	c := NewClient("memory")
	c.http.Transport.(*http.Transport).DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }
	return c
}
