// Package jails holds the jail definitions that come with Palisade, in fail2ban's syntax: jail.conf with
// the defaults and one jail per filter, none enabled, and the action that they name. They serve where
// there is no configuration folder; a single [NAME] enabled = true in jail.local is then enough.
package jails

import "embed"

// FS holds jail.conf and action.d as a configuration folder does.
//
//go:embed jail.conf action.d
var FS embed.FS
