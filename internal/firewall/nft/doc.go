// Package nft is the firewall's backend for nftables.
//
// Everything stands in one table, inet palisade. Where the kernel knows how (probed at the start, never
// guessed from a version) the table has the flags owner and persist: only the socket that made it can
// change it, so neither "nft flush ruleset" nor anybody's edit opens the gate, and it outlives us, so
// that a restart has no gap. The price is that one socket does all the writing. Elsewhere the table is
// a plain one, and Inspect watches the ruleset's generation to find out about changes by others.
//
// One chain looks at packets at prerouting, priority -300: before connection tracking and address
// translation, for the host and for what it forwards. See rules.go for the order in it. Elements live
// in hash sets with timeouts, one per family and prefix length, looked up with the source masked; so
// overlapping networks never meet.
//
// Messages are our own (wire.go, socket.go), because a transaction of an owned table must come whole
// from the owner's socket and because elements go out thousands at a time; the expressions of rules
// are encoded by github.com/google/nftables.
package nft
