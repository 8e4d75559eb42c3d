// Package hooks looks, without changing anything, at what else handles packets on this machine: which chains
// stand before and behind ours, and what could let a packet pass by us.
//
//	device -> XDP -> tc ingress -> netdev/inet ingress, flowtables -> prerouting -> input | forward -> ...
//	                                                                  ^ we are here, priority -300
//
// In nftables, and between the chains of nftables and those of iptables, an accept only ends the chain it
// stands in: the packet goes on to ours all the same, and what others do before us can only drop it first.
// So most of what is found here is no danger, and a warning is given only for what really passes by us: a
// program or filter at a device that sends packets on by itself, a flowtable, a bridge whose packets no
// chain sees, and, where we are a chain of iptables, an ACCEPT in front of it in the same chain.
//
// netlink.go asks the kernel, nft.go, links.go, tcx.go and legacy.go read what it says; report.go judges it and is
// free of effects. Elements of sets are never read, since that can take a minute where sets are large.
package hooks
