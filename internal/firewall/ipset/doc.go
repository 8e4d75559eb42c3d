// Package ipset is the firewall's backend for machines with iptables: elements live in the kernel's
// ipsets, and a few rules of iptables look packets up in them.
//
// There is one ipset per firewall.Set: hash:ip for hosts, hash:net for networks of one length. Their names
// begin with "pal-" (names.go). Messages are our own (wire.go, socket.go), because elements go out
// thousands at a time and because a set is made with as many buckets as it will need, neither of which
// github.com/vishvananda/netlink can do.
//
// Rules are written by the iptables that is installed, for the legacy tables or for nf_tables, whichever it
// is for (program.go), all of a table in one step. They stand in a chain PALISADE, to which the first rule
// of PREROUTING in the table raw leads: before connection tracking and address translation, for this host
// and for what it forwards. See rules.go for the order in it.
//
// Nothing keeps other programs from changing sets and rules, and nobody tells of it: Inspect looks (watch.go
// and inspect.go), so cheaply that it can every second.
package ipset
