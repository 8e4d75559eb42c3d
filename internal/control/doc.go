// Package control is the control socket: HTTP and JSON over a Unix socket that only its owner can open.
//
//	agentctl ── Client ──> socket ──> Server ──> Service (implemented by the agent)
//
// types.go holds what goes over the wire and the Service interface, server.go and client.go the two
// ends. Requests are bounded in size, time and number; a peer that misbehaves gets an error and nobody
// else notices. curl is a client, too:
//
//	curl --unix-socket /run/agentd/agentd.sock http://agentd/v1/status
package control
