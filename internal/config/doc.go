// Package config reads the configuration of fail2ban: the dialect of its INI files, its jails,
// filters and actions, and turns it into checked, typed values.
//
// Load reads one folder (by default /etc/fail2ban) and gives back a Config: the global options, the
// jails that are enabled and usable, and every problem that was found, each with file, line, section,
// key, value and what to do next. It never stops at the first problem, and a problem switches off
// only the jails that depend on it: where fail2ban dies on one duplicate key, the jails that use that
// key are missing here, and the others run.
//
// Beside fail2ban's files it reads agent.conf (agentconf.go), in the same dialect, for what fail2ban has no
// settings for.
//
// The way of a value: files are found, bounded and parsed (files.go, ini.go), merged section by
// section (merge.go), read with %(names)s replaced (interpolate.go), split into name[option=value]
// specs (spec.go), filled with <tags> (tags.go), and checked (jail.go and the files beside it).
// Config.Stream gives the same as the ordered commands that a fail2ban client sends to its server, so
// that the two can be compared command by command.
//
// The dialect is that of fail2ban 1.1; Options.Release selects 1.0 where that is asked for.
package config
