// Package agent is the shell around the pure core: it brings log lines to the filters, failures to
// the jails, and what these decide to the firewall, the store and whoever listens.
//
//	source ──> intake ──(bounded channel)──> engine ──> keeper (firewall)      now
//	 one per    one per    blocks when full     │  └──> events (log, control)  now
//	 file       file: matches, resolves,        └─────> committer ──> store    within 200 ms
//	            ignores                                 one transaction
//
// Every piece of state has one owner. The engine goroutine owns the jail.Book and the positions; an
// intake goroutine owns the memory of its filters; the keeper owns the kernel's table; the committer
// is the only one that writes to the store. They share nothing but messages.
//
// A slow engine makes the intakes wait, and the log file is the buffer. Enforcement never waits for
// the disk: a ban is handed to the keeper first and committed after. Positions commit in the same
// transaction as the bans and tallies that the lines up to them made, so that a crash between the
// two re-reads the lines and comes to the same bans.
//
// Constructors start nothing; Run blocks until everything it started has ended.
package agent
