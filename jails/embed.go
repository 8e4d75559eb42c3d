// Package jails holds the stock jails, all of them disabled, and the action that they ban with.
//
// The files are in fail2ban's syntax and laid out like /etc/fail2ban: jail.conf and action.d at the
// root. They serve where a configuration has no file of the same name.
package jails

import "embed"

// FS holds jail.conf and action.d at its root.
//
//go:embed jail.conf action.d/*.conf
var FS embed.FS
