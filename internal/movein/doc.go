// Package movein reads the database of fail2ban's server, so that its bans, what it remembers of offenders, and
// how far it has read its logs are not lost on the day that Palisade takes over.
//
// The file is never opened where it lies: it is copied to a folder of its own, with what SQLite keeps beside it,
// so that a server that still runs is not disturbed and nothing is written next to its data. The copy is checked as
// a whole before anything of it is believed. Its contents may come from anybody: numbers and lengths are bounded, and
// a row that makes no sense is counted and left out.
package movein
