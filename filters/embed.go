// Package filters holds the filter definitions that come with Palisade, in fail2ban's syntax: what a
// service logs when somebody fails to get in. They serve where a user's own tree has none of that name.
//
// Each is written from what its service logs, and anchored at both ends, so that no text that a peer
// chooses (a user name, a path) can stand where the address is read. testdata/logs has a sample file
// for each, with forged lines that must not match.
package filters

import "embed"

// FS holds the files, as NAME.conf.
//
//go:embed *.conf
var FS embed.FS
