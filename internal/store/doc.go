// Package store keeps what must outlive the process in one bbolt file: the bans in force, what is
// remembered of earlier ones, the counts of failures, and how far the logs have been read.
//
// The file has a bucket for each, keyed by jail and ID (or jail and path), so that a jail's entries lie
// together. Values begin with a version and end with a checksum, and are read with every length checked:
// a damaged value is reported and left out, the rest is read.
//
// A Commit is one transaction, all or nothing, durable when it returns. That is what makes the agent's
// promise hold: positions move together with what the lines up to them have led to.
//
// Open reads every page by itself (verify.go) before bbolt maps the file: bbolt trusts what it reads, and
// ends the process where a page is impossible. What happens to the file later is caught as far as it can
// be, and makes the DB refuse to go on.
package store
