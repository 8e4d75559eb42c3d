// Package store keeps what must outlive the process in one bbolt file: the bans in force, what is
// remembered of earlier ones, the counts of failures, and how far the logs have been read.
//
// The file has a bucket for each, keyed by jail and ID (or jail and path), so that a jail's entries lie
// together. Values begin with a version and are read with every length checked: a damaged value is
// reported and left out, the rest is read.
//
// A Commit is one transaction with one fsync, all or nothing. That is what makes the agent's promise
// hold: positions move together with what the lines up to them have led to.
package store
