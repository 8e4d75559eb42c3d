// Package feed takes lists of addresses that others publish and makes of them what the firewall blocks before
// the first packet counts.
//
//	Source ──> Runner: fetch ──> Parse ──> Guard ──> the last good copy on disk ──> cidr.Ranges ──> the firewall
//
// Parse and Guard are pure: what the bytes of a list say, and what of it may be blocked. A Runner has the
// effects: it asks, waits, keeps copies, and says how each list stands. A list that cannot be had, or is not
// what it was, keeps its last good copy; after a time without a good answer that copy ends, too.
package feed
