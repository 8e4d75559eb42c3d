// Package cut ends what is already open when somebody is banned.
//
// A rule keeps packets out; the connection that they belonged to stays as it was. A server goes on
// waiting on its socket, often for minutes, and the kernel remembers the flow. So after a ban TCP sockets
// of this host with the banned peer are destroyed (sock_diag: the server's next read fails, the peer gets
// a reset), and then the flows that came from it are forgotten (ctnetlink), those to published ports of
// containers among them: what counts is the port as it was dialled. A container's own sockets are in
// another network namespace and stay; their packets are dropped by the ban.
//
// Bans are collected for a moment and cut together: one look at all sockets and flows per pass, however
// many bans there are, and at most a pass a second. Nothing waits for it and nothing depends on it.
//
// Look at Cutter.Run for the loop, at matcher for who is meant, at kernel.go for what the kernel is asked.
package cut
